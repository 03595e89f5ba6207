"""Each message about images that names a remedy: the remedy, taken literally from the message, works."""

import warnings

import numpy as np
import pytest
from PIL import Image
from remedies import codes

from xpnet import Augmentation, load_image_folder
from xpnet.errors import ArgumentError, DataError, ShapeError


@pytest.fixture
def photographs(tmp_path):
    for place in ("train/cat", "train/dog", "train/owl", "test/cat", "test/owl"):
        (tmp_path / "photographs" / place).mkdir(parents=True)
        for name in ("a.png", "b.png"):
            Image.new("RGB", (8, 8)).save(tmp_path / "photographs" / place / name)
    return tmp_path / "photographs"


def load(folder, *code, **options):
    """Call `load_image_folder` with the arguments in `code`, as text; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = {"folder": folder, "load_image_folder": load_image_folder, "options": options}
        return eval(f"load_image_folder({', '.join(['folder', *code])}, **options)", names)


def test_the_size_of_images(photographs):
    with pytest.raises(ArgumentError) as caught:
        load(photographs / "train", size=32)
    assert load(photographs / "train", codes(caught.value)[0]).train[0].shape[2:] == (32, 32)


def test_the_names_of_classes(photographs):
    (photographs / "train" / "owl").rename(photographs / "owl")
    with pytest.raises(ArgumentError) as caught:
        load(photographs / "train", classes="cat")
    assert load(photographs / "train", codes(caught.value)[0]).class_names == ["cat", "dog"]


def test_parts_with_other_classes(photographs):
    with pytest.raises(DataError, match="give both the same `classes`"):
        load(photographs / "test", strict=True)
    (photographs / "test" / "dog").mkdir()
    Image.new("RGB", (8, 8)).save(photographs / "test" / "dog" / "a.png")
    train = load(photographs / "train", strict=True)
    assert load(photographs / "test", strict=True, classes=train.class_names).class_names == train.class_names


def test_strict_and_a_broken_file(photographs):
    (photographs / "train" / "cat" / "c.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load(photographs / "train", strict=True)
    with pytest.warns(UserWarning, match=r"cat/c\.png") as warned:
        data = eval(
            f"load_image_folder(folder, {codes(caught.value)[0]})", globals() | {"folder": photographs / "train"}
        )
    assert len(warned) == 1
    assert np.concatenate([data.train[1], data.test[1]]).size == 6


def test_a_cache_among_the_images(photographs, tmp_path):
    with pytest.raises(ArgumentError, match="Choose a folder outside of it"):
        load(photographs / "train", cache=photographs / "train" / "cache")
    assert load(photographs / "train", cache=tmp_path / "cache").class_names == ["cat", "dog", "owl"]


def test_channels_last():
    for x in (np.zeros((4, 8, 9, 3), "float32"), np.zeros((4, 8, 100, 1), "float32")):
        with pytest.raises(ShapeError) as caught:
            Augmentation()(x)
        assert Augmentation()(eval(codes(caught.value)[0])).shape == (4, x.shape[3], *x.shape[1:3])
    assert eval(f"Augmentation({codes(caught.value)[-1]})")(x).shape == x.shape


def test_channels_last_in_image_shape():
    names = {"x": np.zeros((4, 28 * 28 * 3), "float32")}
    with pytest.raises(ArgumentError) as caught:
        Augmentation(image_shape=(28, 28, 3))
    exec(codes(caught.value)[-1], names)
    assert Augmentation()(names["x"]).shape == (4, 3, 28, 28)
