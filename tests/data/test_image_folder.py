"""A folder of one's own images: what comes of good files, that each bad one is named, and how much memory it takes."""

import json
import os
import struct
import sys
import unicodedata
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import little_memory
import numpy as np
import pytest
from image_files import CHANNELS, DEPTHS, RED, chunk, one, png, save
from PIL import Image

from xpnet import Affine, Network, Trainer, TwoLayerNet, load_image_folder
from xpnet.data import image_folder
from xpnet.data._image_files import read_image
from xpnet.data.image_folder import ImageFolder
from xpnet.errors import ArgumentError, DataError, ShapeError

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's names of files, and limits of memory")


def folder_of(root, **counts):
    """A folder of gray images, each of another brightness; the classes in the order in which they are given."""
    brightness = 0
    for name, count in counts.items():
        for i in range(count):
            save(root / name / f"{i:03}.png", brightness)
            brightness += 1
    return root


def load(root, size=(8, 8), **options):
    """The data set, where nothing is wrong: any warning is an error."""
    return load_image_folder(root, size, **options)


def told(root, size=(8, 8), **options):
    """The data set, and the warning."""
    with pytest.warns(UserWarning, match=r"There (is|are) [\d,]+ problems? in ") as caught:
        data = load_image_folder(root, size, **options)
    (warning,) = caught
    assert warning.filename == __file__
    return data, str(warning.message)


def black_png(path, width, height):
    """A PNG of one bit a pixel, all black, written a row at a time: its 30,000 x 30,000 pixels are 100 kB."""
    compress, row = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    data = b"".join([*(compress.compress(row) for _ in range(height)), compress.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def colored_jpeg(path, size=(64, 64)):
    rng = np.random.default_rng(0)
    return save(path, rng.integers(0, 256, (*size, 3), dtype=np.uint8), quality=95)


# --- what comes of good files ---------------------------------------------------------------------------------------


def test_each_image_is_there_once_with_its_label(tmp_path):
    data = load(folder_of(tmp_path, ant=10, bee=20, cat=5), split=0.2)
    assert isinstance(data, ImageFolder)
    (x_train, t_train), (x_test, t_test) = data.train, data.test
    assert (x_train.shape, t_train.shape, x_test.shape, t_test.shape) == ((28, 3, 8, 8), (28,), (7, 3, 8, 8), (7,))
    assert (x_train.dtype, x_test.dtype, t_train.dtype, t_test.dtype) == ("uint8", "uint8", "int64", "int64")
    assert data.class_names == ["ant", "bee", "cat"]
    assert data.problems == {}
    x, t = np.concatenate([x_train, x_test]), np.concatenate([t_train, t_test])
    brightness = x[:, 0, 0, 0]
    assert (x == brightness[:, None, None, None]).all()
    assert sorted(brightness.tolist()) == list(range(35))
    assert np.array_equal(t, (brightness >= 10).astype(int) + (brightness >= 30))


@pytest.mark.parametrize(
    ("split", "expected"), [(0, [0, 0, 0]), (0.2, [2, 4, 0]), (0.29, [2, 5, 1]), (0.5, [5, 10, 2])]
)
def test_each_class_gives_its_share_to_the_test_set(tmp_path, split, expected):
    data = load(folder_of(tmp_path, ant=10, bee=20, cat=4), split=split)
    assert np.bincount(data.test[1], minlength=3).tolist() == expected
    assert np.bincount(data.train[1]).tolist() == [10 - expected[0], 20 - expected[1], 4 - expected[2]]


def test_a_share_that_is_no_binary_number(tmp_path):
    assert 0.29 * 100 < 29
    assert len(load(folder_of(tmp_path, ant=100), split=0.29).test[0]) == 29


def bits(data):
    return b"".join(array.tobytes() for pair in (data.train, data.test) for array in pair)


def test_the_order_of_the_file_system_does_not_matter_and_the_seed_does(tmp_path, monkeypatch):
    root = folder_of(tmp_path, bee=10, ant=20)
    expected = load(root, seed=3)
    assert bits(load(root, seed=3)) == bits(expected)
    assert bits(load(root, seed=4)) != bits(expected)
    listdir = os.listdir
    for rng in map(np.random.default_rng, range(3)):
        monkeypatch.setattr(os, "listdir", lambda path, rng=rng: rng.permutation(listdir(path)).tolist())
        assert bits(load(root, seed=3)) == bits(expected)


def test_the_samples_of_the_classes_are_mixed(tmp_path):
    """Evaluations look at the first samples of a set alone."""
    data = load(folder_of(tmp_path, ant=30, bee=30))
    for _, labels in (data.train, data.test):
        assert 0.2 < labels[: len(labels) // 2].mean() < 0.8
    test = data.test[0][:, 0, 0, 0]
    assert not np.array_equal(test, np.sort(test))


def test_the_names_of_files(tmp_path):
    for name in ("a.jpg", "b.JPEG", "c.PNG", "d.jpeg", "e.JpG", "f.jfif", "g.JPE"):
        save(tmp_path / "ant" / name, RED, format="PNG" if name.endswith("PNG") else "JPEG")
    save(tmp_path / "ant" / "a jpeg, in truth.png", RED, format="JPEG")
    (tmp_path / "readme.txt").write_text("nothing")
    data = load(tmp_path)
    assert data.class_names == ["ant"]
    assert len(data.train[0]) + len(data.test[0]) == 8


@on_linux
def test_the_files_of_systems_are_passed_over(tmp_path):
    """Of Windows, macOS and a Synology server, in any spelling of capitals; `load` turns any warning into an error."""
    folder_of(tmp_path, ant=2)
    files = (
        "desktop.ini",
        "Desktop.ini",
        "Thumbs.db",
        "ehthumbs.db",
        ".DS_Store",
        "._000.png",
        "Icon\r",
        ".hidden.jpg",
    )
    for name in files:
        (tmp_path / name).write_bytes(b"x")
        (tmp_path / "ant" / name).write_bytes(b"x")
    for name in (
        "__MACOSX",
        "$RECYCLE.BIN",
        "System Volume Information",
        "@eaDir",
        ".ipynb_checkpoints",
        ".thumbnails",
    ):
        save(tmp_path / name / "a.png", RED)
        save(tmp_path / "ant" / name / "a.png", RED)
    data = load(tmp_path, strict=True)
    assert data.class_names == ["ant"]
    assert len(data.train[0]) + len(data.test[0]) == 2


def test_color_and_brightness(tmp_path):
    root = tmp_path / "data"
    save(root / "ant" / "a.png", (200, 100, 50))
    assert load(root).train[0][0, :, 0, 0].tolist() == [200, 100, 50]
    gray = load(root, color=False).train[0]
    assert gray.shape == (1, 1, 8, 8)
    assert gray[0, 0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    save(root / "ant" / "a.png", 77)
    assert load(root).train[0][0, :, 0, 0].tolist() == [77, 77, 77]


def test_one_image_is_a_training_set(tmp_path):
    data = load(folder_of(tmp_path, ant=1))
    assert len(data.train[0]) == 1
    assert len(data.test[0]) == 0


def test_a_network_learns_from_it(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(40):
        for name, bright in (("dark", 60), ("light", 190)):
            save(tmp_path / name / f"{i}.png", rng.integers(bright - 40, bright + 40, (8, 8, 3)).astype(np.uint8))
    data = load(tmp_path)
    (x_train, t_train), (x_test, t_test) = ((x.reshape(len(x), -1), t) for x, t in (data.train, data.test))
    network = TwoLayerNet(192, 8, 2, seed=0)
    Trainer(network, x_train, t_train, x_test, t_test, 40, 16, "Adam", {"lr": 0.01}, verbose=False, seed=0).train()
    assert network.accuracy(x_test, t_test) == 1


# --- what is wrong with others --------------------------------------------------------------------------------------


def broken_folder(root):
    """Ten good images, and what a folder may have besides."""
    folder_of(root, ant=6, bee=4)
    whole = colored_jpeg(root / "ant" / "whole.jpg").read_bytes()
    (root / "ant" / "whole.jpg").unlink()
    (root / "ant" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "bee" / "text.png").write_text("This is no image.\n" * 100)
    (root / "empty").mkdir()
    black_png(root / "bee" / "huge.png", 30_000, 30_000)
    return root


BROKEN = {
    "ant/cut.jpg": "cannot be decoded (image file is truncated",
    "bee/text.png": "is no JPEG or PNG image, whatever its name says",
    "bee/huge.png": "has 30,000 x 30,000 pixels, more than max_pixels=50,000,000",
    "empty": "is a class without a usable image; it keeps its label",
}


def test_each_broken_file_is_named_and_the_rest_is_used(tmp_path):
    data, message = told(broken_folder(tmp_path))
    assert set(data.problems) == set(BROKEN)
    for name, why in BROKEN.items():
        assert data.problems[name].startswith(why)
        assert f"\n  {name} {why}" in message
    assert len(message.splitlines()) == 1 + len(BROKEN)
    assert str(tmp_path) in message
    assert data.class_names == ["ant", "bee", "empty"]
    x, t = (np.concatenate(pair) for pair in zip(data.train, data.test, strict=True))
    brightness = x[:, 0, 0, 0]
    assert sorted(brightness.tolist()) == list(range(10))
    assert np.array_equal(t, brightness >= 6)
    assert np.bincount(data.test[1]).tolist() == [1]  # a fifth of 6 and of 4


def test_strict_is_an_error_that_names_them_all(tmp_path):
    with pytest.raises(DataError) as caught:
        load(broken_folder(tmp_path), strict=True)
    assert all(f"{name} {why}" in str(caught.value) for name, why in BROKEN.items())
    assert "strict=False" in str(caught.value)


@pytest.mark.parametrize("content", [None, b""])
def test_a_class_without_an_image_keeps_its_label(tmp_path, content):
    folder_of(tmp_path, ant=5, cat=10)
    (tmp_path / "bee").mkdir()
    if content is not None:
        (tmp_path / "bee" / "a.png").write_bytes(content)
    data, _ = told(tmp_path)
    assert set(data.problems) == ({"bee"} if content is None else {"bee", "bee/a.png"})
    assert data.class_names == ["ant", "bee", "cat"]
    assert np.bincount(data.train[1]).tolist() == [4, 0, 8]


def test_the_labels_of_two_folders_with_the_same_classes(tmp_path):
    train = load(folder_of(tmp_path / "train", ant=1, bee=1, cat=1), split=0)
    root = folder_of(tmp_path / "test", ant=2, cat=1)
    test, message = told(root, split=0, classes=train.class_names)
    assert test.class_names == train.class_names == ["ant", "bee", "cat"]
    assert sorted(test.train[1].tolist()) == [0, 0, 2]
    assert test.problems == {"bee": "is one of `classes`, but not a folder"}
    assert "There is 1 problem in " in message
    (root / "bee").mkdir()
    test, _ = told(root, split=0, classes=tuple(train.class_names))
    assert test.problems == {"bee": "is a class without a usable image; it keeps its label"}
    folder_of(root, bee=3)
    assert np.bincount(load(root, split=0, classes=train.class_names).train[1]).tolist() == [2, 3, 1]


def test_classes_have_the_order_in_which_they_are_given(tmp_path, kept):
    root = folder_of(tmp_path / "data", ant=1, bee=2, cat=4)
    for options in ({}, {"cache": kept}):
        data = load(root, split=0, classes=["cat", "ant", "bee"], **options)
        assert data.class_names == ["cat", "ant", "bee"]
        assert np.bincount(data.train[1]).tolist() == [4, 1, 2]
        assert np.bincount(load(root, split=0, **options).train[1]).tolist() == [1, 2, 4]


def test_a_folder_that_is_not_one_of_the_classes_is_named(tmp_path):
    folder_of(tmp_path, ant=1, Bee=2, cat=4)
    data, _ = told(tmp_path, split=0, classes=["cat", "bee"])
    assert data.problems == {
        "ant": "is not one of `classes`, so its files are not used",
        "Bee": "is not one of `classes` (which has 'bee'), so its files are not used",
        "bee": "is one of `classes`, but not a folder",
    }
    assert data.train[1].tolist() == [0] * 4
    with pytest.raises(DataError, match="Bee is not one of `classes`"):
        load(tmp_path, classes=["cat"], strict=True)


@pytest.mark.parametrize(("here", "there"), [("test", "train"), ("Val", "Train"), ("training", "validation")])
def test_parts_that_lie_next_to_each_other_and_have_other_classes(tmp_path, monkeypatch, here, there):
    """Loaded one by one their labels would not mean the same."""
    folder_of(tmp_path / here, ant=1, cat=1)
    folder_of(tmp_path / there, ant=1, bee=1, cat=1)
    data, message = told(tmp_path / here)
    assert data.problems == {f"../{there}": "has classes that this folder lacks (bee); give both the same `classes`"}
    assert f"\n  ../{there} has classes" in message
    with pytest.raises(DataError, match="has classes that this folder lacks"):
        load(tmp_path / here, strict=True)
    monkeypatch.chdir(tmp_path / here)
    assert told(".", cache=tmp_path / "kept")[0].problems == data.problems
    load(tmp_path / there)
    load(tmp_path / here, classes=["ant", "cat"])
    (tmp_path / here / "bee").mkdir()
    assert set(told(tmp_path / here)[0].problems) == {"bee"}


def test_parts_that_are_no_parts_of_one_set(tmp_path):
    """Images without classes in one folder, other things, or other names."""
    folder_of(tmp_path / "train", ant=1, bee=1)
    save(tmp_path / "test" / "a.png", RED)
    folder_of(tmp_path / "val", images=1)
    folder_of(tmp_path / "else", ant=1, bee=1, cat=1)
    (tmp_path / "validation").write_text("")
    load(tmp_path / "train")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_as_macos_writes_them(tmp_path, form):
    """Korean syllables and accents in parts are the same name, with the same label, and can be named as typed."""
    for name, count in {"고양이": 1, "강아지": 2, "café": 3}.items():
        for i in range(count):
            save(tmp_path / unicodedata.normalize(form, name) / f"사진{i}.png", RED)
    for options in ({}, {"classes": ["café", "강아지", "고양이"]}):
        data = load(tmp_path, split=0, **options)
        assert data.class_names == ["café", "강아지", "고양이"]
        assert np.bincount(data.train[1]).tolist() == [3, 2, 1]


@on_linux
def test_what_is_no_file_of_a_class(tmp_path):
    folder_of(tmp_path, ant=5)
    save(tmp_path / "beside.PNG", RED)
    save(tmp_path / "ant" / "inner" / "deep.png", RED)
    (tmp_path / "ant" / "photo.heic").write_bytes(b"ftypheic")
    (tmp_path / "ant" / "a\nline.gif").write_bytes(b"GIF89a")
    (tmp_path / "ant" / "loop.png").symlink_to("loop.png")
    (tmp_path / "ant" / "up").symlink_to("..")
    (tmp_path / "ant" / "nowhere.png").symlink_to("missing")
    (tmp_path / "round").symlink_to("round")
    os.mkfifo(tmp_path / "ant" / "pipe.png")  # would be waited for
    data, message = told(tmp_path)
    expected = {
        "beside.PNG": "is not in the sub-folder of a class",
        "ant/inner": "is a folder inside a class",
        "ant/photo.heic": "has none of the extensions .jpg, .jpeg, .jpe, .jfif, .png",
        "ant/a\nline.gif": "has none of the extensions",
        "ant/loop.png": "cannot be read (Too many levels of symbolic links)",
        "ant/up": "is a folder inside a class",
        "ant/nowhere.png": "cannot be read (No such file or directory)",
        "ant/pipe.png": "is no regular file",
        "round": "cannot be read (Too many levels of symbolic links)",
    }
    assert set(data.problems) == set(expected)
    assert all(data.problems[name].startswith(why) for name, why in expected.items())
    assert "ant/a\\nline.gif" in message
    assert len(data.train[0]) + len(data.test[0]) == 5


@on_linux
def test_two_classes_of_nearly_one_name(tmp_path):
    for name in ("Ant", "ant", "café", "cafe\u0301"):
        save(tmp_path / name / "a.png", RED)
    data, _ = told(tmp_path)
    assert data.class_names == ["Ant", "ant", "café"]
    assert np.bincount(np.concatenate([data.train[1], data.test[1]])).tolist() == [1, 1, 2]
    assert data.problems == {
        "ant": "is another class than Ant, but their names differ only in capitals",
        "café": "has the name of another folder, written with other Unicode characters; both are one class",
    }


def test_files_that_may_not_be_read(tmp_path, monkeypatch):
    folder_of(tmp_path, ant=3, bee=3)
    denied = PermissionError(13, "Permission denied")
    real_open, real_listdir = Path.open, os.listdir

    def refusing_open(path, *args):  # by hand: the administrator, who runs many a test, may read everything
        if path.name == "001.png":
            raise denied
        return real_open(path, *args)

    def refusing_listdir(path):
        if Path(path).name == "bee":
            raise denied
        return real_listdir(path)

    monkeypatch.setattr(Path, "open", refusing_open)
    monkeypatch.setattr(os, "listdir", refusing_listdir)
    data, _ = told(tmp_path)
    assert data.problems["ant/001.png"] == "cannot be read (Permission denied)"
    assert data.problems["bee"] == "cannot be read (Permission denied)"
    assert data.class_names == ["ant", "bee"]
    assert len(data.train[0]) == 2


@on_linux
def test_a_name_that_is_not_text(tmp_path):
    folder_of(tmp_path, ant=2)
    Path(os.fsdecode(os.fsencode(tmp_path / "ant") + b"/\xff.png")).write_bytes(b"")
    data, message = told(tmp_path, cache=tmp_path.with_name("kept"))
    assert list(data.problems) == ["ant/\udcff.png"]
    message.encode()  # can be printed
    again, _ = told(tmp_path, cache=tmp_path.with_name("kept"))
    assert again.problems == data.problems


def test_no_more_than_some_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "_MAX_NAMED", 3)
    folder_of(tmp_path, ant=2)
    for i in range(10):
        (tmp_path / "ant" / f"{i}.txt").write_text("")
    data, message = told(tmp_path)
    assert len(data.problems) == 10
    assert message.endswith(
        "\n  ant/2.txt has none of the extensions .jpg, .jpeg, .jpe, .jfif, .png\n  and 7 more, which `problems` has"
    )


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_file_that_is_cut_short_or_changed_is_one_error(tmp_path, name):
    content, rng = colored_jpeg(tmp_path / name).read_bytes(), np.random.default_rng(0)
    path = tmp_path / name
    for cut in {0, 1, 2, 8, *rng.integers(9, len(content) * 3 // 4, 30).tolist()}:
        path.write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"^(cannot be decoded \(.+\)|is no JPEG or PNG image, whatever)"):
            one(path)
    for _ in range(150):
        changed = bytearray(content)
        changed[rng.integers(min(len(content), 800))] = rng.integers(256)
        path.write_bytes(changed)
        with suppress(DataError):  # and no other error; some bytes are pixels
            one(path)


def test_the_largest_image_and_the_largest_file(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((20, 30), np.uint8))
    assert one(path, max_pixels=600).shape == (3, 8, 8)
    with pytest.raises(DataError, match=r"has 30 x 20 pixels, more than max_pixels=599"):
        one(path, max_pixels=599)
    with path.open("r+b") as file:
        file.truncate(2**20 + 8 * 600 + 1)
    with pytest.raises(DataError, match="has more bytes than an image of 600 pixels can have"):
        one(path, max_pixels=600)


def test_pillows_own_limit_does_not_count(tmp_path, monkeypatch):
    path = save(tmp_path / "a.jpg", np.zeros((20, 30), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one(path).shape == (3, 8, 8)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(DataError, match=r"The folder .*absent cannot be read \(No such file or directory\)"):
        load(tmp_path / "absent")
    with pytest.raises(DataError, match="There is no image to use. Expected sub-folders"):
        load(tmp_path)
    save(tmp_path / "a.png", RED)
    with pytest.raises(DataError, match=r"There is no image to use(.|\n)*a\.png is not in the sub-folder of a class"):
        load(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 32}, r"size must be a height and a width, such as `size=\(32, 32\)`, got 32"),
        ({"classes": "ant"}, r"Expected classes to be different names .*`classes=\['cat', 'dog'\]`, got 'ant'"),
        ({"classes": []}, "Expected classes to be different names"),
        ({"classes": ["ant", "ant"]}, "Expected classes to be different names"),
        ({"classes": [0, 1]}, "Expected classes to be different names"),
        ({"classes": 2}, "Expected classes to be different names"),
        ({"size": (32, 0)}, "the width in size must be a whole number of at least 1, got 0"),
        ({"split": 1}, "split must be a number from 0 up to, but not, 1, got 1"),
        ({"seed": None}, "seed must be a whole number of at least 0, got None"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": "a"}, "seed must be a whole number of at least 0, got 'a'"),
        ({"max_pixels": 0}, "max_pixels must be"),
        ({"color": "gray"}, "color must be True or False, got 'gray'"),
        ({"crop": "no"}, "crop must be True or False, got 'no'"),
        ({"strict": 0}, "strict must be True or False, got 0"),
        ({"cache": ""}, "cache must be a path, such as .*, got ''"),
        ({"cache": 3}, "cache must be a path, such as .*, got 3"),
    ],
)
def test_arguments_that_are_none(tmp_path, options, says):
    with pytest.raises(ArgumentError, match=says):
        load_image_folder(folder_of(tmp_path, ant=2), **options)


@pytest.mark.parametrize("folder", ["", None, 3, b"photographs", ["photographs"]])
def test_what_is_no_path(folder):
    with pytest.raises(ArgumentError, match="folder must be a path, such as `'output/file'`, got"):
        load_image_folder(folder)


def test_what_a_trainer_says_of_a_test_set_that_is_empty(tmp_path):
    data = load(folder_of(tmp_path, ant=2, bee=2), split=0)
    network = Network([Affine.create(data.train[0][0].size, 2, rng=0, backend="numpy")])
    with pytest.raises(ShapeError, match=r"x_test has shape \(0, .*Use `None, None` for no test set"):
        Trainer(network, *data.train, *data.test, verbose=False)
    Trainer(network, *data.train, None, None, epochs=1, mini_batch_size=2, verbose=False).train()


def test_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"needs Pillow. Install it with `pip install '\.\[images\]'`"):
        load(tmp_path)


# --- kept in a file -------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "kept"


def mapped(a):
    """Whether an array lies in a file."""
    while a is not None and not isinstance(a, np.memmap):
        a = getattr(a, "base", None)
    return a is not None


def test_the_kept_set_is_the_same_and_lies_in_a_file(tmp_path, kept):
    root = broken_folder(tmp_path / "data")
    (in_memory, message), (first, first_message), (again, again_message) = (
        told(root),
        told(root, cache=kept),
        told(root, cache=str(kept)),
    )
    assert message == first_message == again_message
    for data in (first, again):
        assert bits(data) == bits(in_memory)
        assert (data.class_names, data.problems) == (in_memory.class_names, in_memory.problems)
        for x, t in (data.train, data.test):
            assert type(x) is np.ndarray
            assert mapped(x)
            assert not mapped(t)
            assert not x.flags.writeable
    assert len(list(kept.iterdir())) == 2


def test_it_is_read_again_until_something_changes(tmp_path, kept, monkeypatch):
    read = []
    monkeypatch.setattr(
        image_folder, "read_image", lambda path, *args: read.append(path.name) or read_image(path, *args)
    )
    root = folder_of(tmp_path / "data", ant=5, bee=5)

    def reads(**options):
        read.clear()
        load(root, cache=kept, **options)
        return len(read)

    assert [reads(), reads()] == [10, 0]
    for options in ({"seed": 1}, {"split": 0.4}, {"color": False}, {"crop": False}, {"max_pixels": 10**6}):
        assert [reads(**options), reads(**options)] == [10, 0]
    save(root / "ant" / "new.png", RED)
    assert [reads(), reads()] == [11, 0]
    os.utime(save(root / "ant" / "000.png", 200), (1, 1))
    assert [reads(), reads()] == [11, 0]
    assert (load(root, cache=kept).train[0] == 200).any() or (load(root, cache=kept).test[0] == 200).any()
    os.rename(root / "bee", root / "cow")
    assert [reads(), reads()] == [11, 0]
    assert load(root, cache=kept).class_names == ["ant", "cow"]


@pytest.mark.parametrize("damage", ["cut", "other", "empty", "no index", "bad index", "other index"])
def test_a_kept_set_that_is_not_as_it_should_be_is_made_again(tmp_path, kept, damage):
    root = folder_of(tmp_path / "data", ant=5, bee=5)
    expected = bits(load(root, cache=kept))
    images, index = next(kept.glob("*.npy")), next(kept.glob("*.json"))
    if damage == "cut":
        images.write_bytes(images.read_bytes()[:-1])
    elif damage == "other":
        np.save(images, np.zeros(3))
    elif damage == "empty":
        images.write_bytes(b"")
    elif damage == "no index":
        index.unlink()
    elif damage == "bad index":
        index.write_text("{")
    else:
        index.write_text("[]")
    assert bits(load(root, cache=kept)) == expected
    assert json.loads(index.read_text())["class_names"] == ["ant", "bee"]


def test_an_index_with_a_changed_character_is_made_again(tmp_path, kept):
    """Each is read as it was, or not at all: flipped bits, cut, extended, exchanged."""
    root = folder_of(tmp_path / "data", ant=5, bee=5)
    expected = load(root, cache=kept)
    index = next(kept.glob("*.json"))
    content, rng = index.read_bytes(), np.random.default_rng(0)
    for i in range(300):
        damaged = bytearray(content)
        place = rng.integers(len(content))
        if i % 3 == 0:
            damaged[place] ^= 1 << rng.integers(8)
        elif i % 3 == 1:
            del damaged[place : place + rng.integers(1, 9)]
        else:
            damaged[place:place] = content[rng.integers(len(content)) :][:9]
        index.write_bytes(damaged)
        found = load(root, cache=kept)
        assert bits(found) == bits(expected)
        assert (found.class_names, found.problems) == (expected.class_names, expected.problems)


@pytest.mark.parametrize(
    "change",
    [
        *({"train": [1] * 8}, {"train": [0]}, {"train": [0.5] * 8}, {"train": [2**70]}, {"train": None}),
        *({"class_names": ["b", "a"]}, {"problems": None}, {"problems": {"a": "b"}}, {"more": 1}, {"checksum": ""}),
    ],
)
def test_an_index_with_other_content_is_made_again(tmp_path, kept, change):
    root = folder_of(tmp_path / "data", ant=5, bee=5)
    expected = bits(load(root, cache=kept))
    index = next(kept.glob("*.json"))
    written = index.read_text()
    index.write_text(json.dumps(json.loads(written) | change))
    assert bits(load(root, cache=kept)) == expected
    assert json.loads(index.read_text()).keys() == json.loads(written).keys()
    index.write_text("[" * 100_000)
    assert bits(load(root, cache=kept)) == expected


@pytest.mark.parametrize("descr", ["|i1", "|b1"])
def test_images_of_another_dtype_are_made_again(tmp_path, kept, descr):
    """Of the size and time that the index knows."""
    root = folder_of(tmp_path / "data", ant=5, bee=5)
    expected = load(root, cache=kept)
    images = next(kept.glob("*.npy"))
    status, content = images.stat(), images.read_bytes()
    images.write_bytes(content.replace(b"|u1", descr.encode(), 1))
    os.utime(images, ns=(status.st_atime_ns, status.st_mtime_ns))
    found = load(root, cache=kept)
    assert found.train[0].dtype == "uint8"
    assert bits(found) == bits(expected)


def test_images_that_were_exchanged_are_made_again(tmp_path, kept):
    root = folder_of(tmp_path / "data", ant=5, bee=5)
    expected = bits(load(root, cache=kept))
    images = next(kept.glob("*.npy"))
    content = bytearray(images.read_bytes())
    content[-1] ^= 255
    images.write_bytes(content)
    os.utime(images, (1, 1))
    assert bits(load(root, cache=kept)) == expected


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (MemoryError(), "too little memory"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(24, "Too many open files"), "Too many open files"),
    ],
)
def test_what_is_not_the_fault_of_the_file_is_not_kept(tmp_path, kept, monkeypatch, error, why):
    root = folder_of(tmp_path / "data", ant=5, bee=5)
    expected = bits(load(root))

    def failing(path, *args):
        if path.name == "001.png":
            raise error
        return read_image(path, *args)

    with monkeypatch.context() as patched:
        patched.setattr(image_folder, "read_image", failing)
        data, _ = told(root, cache=kept)
    assert data.problems == dict.fromkeys(["ant/001.png", "bee/001.png"], f"cannot be read ({why})")
    assert bits(load(root, cache=kept)) == expected
    assert bits(load(root, cache=kept)) == expected


def test_what_pillow_says_of_memory_is_not_the_fault_of_the_file(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", RED)

    def failing(*args):
        raise OSError("out of memory error when reading image file")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", failing)
    with pytest.raises(MemoryError):
        one(path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_is_interrupted_leaves_nothing(tmp_path, kept, monkeypatch, error):
    root = folder_of(tmp_path / "data", ant=5)
    calls = []

    def interrupted(*args):
        calls.append(args)
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(*((image_folder, "read_image") if error is KeyboardInterrupt else (os, "fsync")), interrupted)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else DataError) as caught:
            load(root, cache=kept)
    assert calls
    if error is not KeyboardInterrupt:
        assert "cannot be kept in" in str(caught.value)
        assert "No space left on device" in str(caught.value)
    assert list(kept.iterdir()) == []
    assert len(load(root, cache=kept).train[0]) == 4


def test_a_place_that_will_not_do(tmp_path, monkeypatch):
    root = folder_of(tmp_path / "data", ant=2)
    for inside in (root, root / "kept", tmp_path / "data" / ".." / "data" / "kept"):
        with pytest.raises(ArgumentError, match="lies in the folder of images. Choose a folder outside of it"):
            load(root, cache=inside)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be kept in .*file.*Set `cache` to a folder"):
        load(root, cache=tmp_path / "file")
    full = type("usage", (), {"free": 2 * 3 * 64 - 1})
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(DataError, match="the disk is too full.*room for 384 bytes"):
        load(root, cache=tmp_path / "kept")


# --- how much memory ------------------------------------------------------------------------------------------------


def run_within(megabytes, code):
    return little_memory.run_within(megabytes, code, "import PIL.Image, PIL.JpegImagePlugin, PIL.PngImagePlugin")


@on_linux
def test_a_decompression_bomb_takes_no_memory(tmp_path):
    root = broken_folder(tmp_path)
    assert (root / "bee" / "huge.png").stat().st_size < 500_000
    load = f"load_image_folder({str(root)!r}, (8, 8), max_pixels={{}}).problems['bee/huge.png']"
    assert run_within(30, f"print({load.format(50_000_000)})") == BROKEN["bee/huge.png"]
    # And the limit is one: decoded, the image does not fit into it.
    assert run_within(300, f"print({load.format(10**9)})") == "cannot be read (too little memory)"


@on_linux
@pytest.mark.parametrize(("kind", "depth"), DEPTHS)
def test_an_image_of_the_largest_size_takes_16_bytes_a_pixel(tmp_path, kind, depth):
    side = 2000
    pixels = bytes(side**2 * depth * CHANNELS[kind] // 8)
    rows = b"".join(b"\0" + pixels[: len(pixels) // side] for _ in range(side))
    (tmp_path / "ant").mkdir()
    content = png(np.zeros((1, 1, CHANNELS[kind]), int), kind, depth, palette=bytes(6), transparency=bytes(6))
    header = struct.pack(">IIBBBBB", 1, 1, depth, kind, 0, 0, 0)
    content = content.replace(chunk(b"IHDR", header), chunk(b"IHDR", struct.pack(">II", side, side) + header[8:]))
    start = content.index(b"IDAT") - 4
    (tmp_path / "ant" / "a.png").write_bytes(
        content[:start] + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    code = f"print(len(load_image_folder({str(tmp_path)!r}, (8, 8), max_pixels={side**2}).train[0]))"
    assert run_within(side**2 * 16 / 2**20 + 8, code) == "1"


@on_linux
def test_a_large_jpeg_is_decoded_small(tmp_path):
    save(tmp_path / "ant" / "a.jpg", Image.new("RGB", (8000, 6000)), quality=50)
    assert run_within(20, f"print(len(load_image_folder({str(tmp_path)!r}, (64, 64)).train[0]))") == "1"


@on_linux
def test_a_folder_that_does_not_fit_into_memory_is_trained_on(tmp_path):
    """3,000 images of 128 x 128 pixels, 147 MB; the training takes some 50 MB, and as many with ten times as many."""
    for name, color in (("dark", (40, 50, 60)), ("light", (200, 190, 180))):
        original = save(tmp_path / "one" / f"{name}.png", Image.new("RGB", (128, 128), color))
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(1500):
            (tmp_path / "data" / name / f"{i}.png").symlink_to(original)
    code = f"""
        try:
            data = load_image_folder({str(tmp_path / "data")!r}, (128, 128), cache={{}})
            (x_train, t_train), (x_test, t_test) = ((x.reshape(len(x), -1), t) for x, t in (data.train, data.test))
            trainer = Trainer(TwoLayerNet(128 * 128 * 3, 4, 2, seed=0), x_train, t_train, x_test, t_test, epochs=1,
                              mini_batch_size=10, evaluate_sample_num_per_epoch=20, verbose=False, seed=0)
            trainer.train()
            print(x_train.nbytes + x_test.nbytes, trainer.test_acc_list[-1])
        except MemoryError:
            print("too little memory")
    """
    assert run_within(70, code.format(repr(str(tmp_path / "kept")))) == f"{3000 * 128 * 128 * 3} 1.0"
    assert run_within(70, code.format(None)) == "too little memory"
