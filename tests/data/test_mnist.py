"""MNIST on this machine: its forms, where its files are looked for, and that no wrong file is ever used."""

import gzip
import re

import numpy as np
import pytest
from mnist_stand_in import (
    BAD_FILES,
    FILES,
    IMAGES,
    NAMES,
    REAL,
    cache,
    good,
    gz,
    holds,
    mirrors,
    needs_mnist,
    raw,
    tiny,
    write,
)

from xpnet.data import mnist as datasets
from xpnet.data.mnist import load_mnist
from xpnet.errors import DataError, DatasetUnavailableError


@needs_mnist
def test_mnist_as_the_course_has_it():
    (x_train, t_train), (x_test, t_test) = load_mnist(data_dir=REAL)
    assert (x_train.shape, t_train.shape, x_test.shape, t_test.shape) == (
        (60000, 784),
        (60000,),
        (10000, 784),
        (10000,),
    )
    assert (x_train.dtype, t_train.dtype, x_test.dtype, t_test.dtype) == ("float32", "int64", "float32", "int64")
    assert t_train[0] == 5
    assert t_test[0] == 7
    assert (x_train.min(), x_train.max()) == (0, 1)
    assert np.bincount(t_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@needs_mnist
def test_mnist_with_every_switch_the_other_way():
    (x_train, t_train), (x_test, t_test) = load_mnist(False, False, True, data_dir=REAL)
    assert (x_train.shape, x_test.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    assert (t_train.shape, t_test.shape) == ((60000, 10), (10000, 10))
    assert (x_train.dtype, t_train.dtype, x_test.dtype, t_test.dtype) == ("uint8", "float32", "uint8", "float32")
    assert (x_train.min(), x_train.max()) == (0, 255)
    assert t_train[0].tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert (t_train.sum(axis=1) == 1).all()


@needs_mnist
def test_mnist_through_the_environment(monkeypatch):
    monkeypatch.setenv("XPNET_DATA_DIR", REAL)
    assert load_mnist()[1][0].shape == (10000, 784)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize("one_hot_label", [True, False])
def test_each_combination_of_the_switches(tiny, tmp_path, normalize, flatten, one_hot_label):
    loaded = load_mnist(normalize, flatten, one_hot_label, data_dir=write(tmp_path / "d", FILES))
    for (x, t), images, labels in zip(loaded, NAMES[::2], NAMES[1::2], strict=True):
        pixels = np.frombuffer(FILES[images], np.uint8, offset=16)
        classes = np.frombuffer(FILES[labels], np.uint8, offset=8)
        n = len(classes)
        assert x.shape == ((n, 784) if flatten else (n, 1, 28, 28))
        assert x.dtype == (np.float32 if normalize else np.uint8)
        expected = pixels.astype(np.float32) * np.float32(1 / 255) if normalize else pixels
        assert x.tobytes() == expected.tobytes()
        assert t.dtype == (np.float32 if one_hot_label else np.int64)
        assert t.tolist() == (np.eye(10)[classes] if one_hot_label else classes).tolist()
        assert x.flags.writeable
        assert t.flags.writeable


# Where the files come from.


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("sub", [".", "mnist"])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_folder_of_the_users_own(tiny, tmp_path, monkeypatch, cache, gzipped, sub, by):
    write(tmp_path / "own" / sub, FILES, gzipped)
    if by == "argument":
        assert holds(raw(data_dir=tmp_path / "own"))
        assert holds(raw(data_dir=str(tmp_path / "own")))
    else:
        monkeypatch.setenv("XPNET_DATA_DIR", str(tmp_path / "own"))
        assert holds(raw())
    assert not cache.exists()


def test_gzipped_and_plain_files_may_be_mixed(tiny, tmp_path):
    own = write(tmp_path / "own", {IMAGES: FILES[IMAGES]}, gzipped=False)
    write(own, {name: FILES[name] for name in NAMES[1:]})
    assert holds(raw(data_dir=own))


def test_a_gz_that_a_browser_has_unpacked_is_read(tiny, tmp_path):
    own = write(tmp_path / "own", FILES)
    (own / f"{IMAGES}.gz").write_bytes(FILES[IMAGES])
    assert holds(raw(data_dir=own))


def test_the_users_home_in_data_dir(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "own", FILES)
    assert holds(raw(data_dir="~/own"))


def test_the_order_of_the_sources(tiny, tmp_path, monkeypatch, cache, mirrors):
    """Each place is spoilt in its turn: the message then shows which place was read."""
    mirrors.use(mirrors.url("m"))
    argument, environment = write(tmp_path / "argument", FILES), write(tmp_path / "environment", FILES)
    write(cache, FILES)
    monkeypatch.setenv("XPNET_DATA_DIR", str(environment))
    for folder, where in ((argument, {"data_dir": argument}), (environment, {})):
        assert holds(raw(**where))
        bad = folder / f"{IMAGES}.gz"
        bad.write_bytes(b"bad")
        with pytest.raises(DataError, match=re.escape(str(bad))):
            raw(**where)
    monkeypatch.delenv("XPNET_DATA_DIR")
    assert holds(raw())
    assert mirrors.asked == []
    mirrors.serve("m", FILES)
    (cache / f"{IMAGES}.gz").unlink()
    assert holds(raw())
    assert mirrors.asked == [f"/m/{IMAGES}.gz"]


def test_the_environment_is_read_at_each_call(tiny, tmp_path, monkeypatch):
    other = write(tmp_path / "b", FILES)
    monkeypatch.setenv("XPNET_DATA_DIR", str(tmp_path / "a"))
    with pytest.raises(DatasetUnavailableError):
        raw()
    monkeypatch.setenv("XPNET_DATA_DIR", str(other))
    assert holds(raw())


@pytest.mark.parametrize("exists", [True, False])
def test_a_data_dir_without_mnist_is_an_error(tiny, tmp_path, cache, exists):
    write(cache, FILES)  # not what was asked for, so not what is given
    folder = tmp_path / "empty"
    if exists:
        folder.mkdir()
    with pytest.raises(DataError) as caught:
        raw(data_dir=folder)
    assert not isinstance(caught.value, DatasetUnavailableError)
    assert all(part in str(caught.value) for part in (*NAMES, str(folder), "data_dir"))


@pytest.mark.parametrize("value", ["", "{tmp}/absent", "{tmp}/empty", "{tmp}/a-file"])
def test_an_environment_without_mnist_falls_on_to_the_cache(tiny, tmp_path, monkeypatch, cache, value):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").write_bytes(b"")
    write(cache, FILES)
    monkeypatch.setenv("XPNET_DATA_DIR", value.format(tmp=tmp_path))
    monkeypatch.chdir(write(tmp_path / "here", {IMAGES: b"bad"}))  # an empty setting does not mean this folder
    assert holds(raw())


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_some_of_the_four_is_an_error_that_names_the_others(tiny, tmp_path, monkeypatch, cache, by):
    write(cache, FILES)
    own = write(tmp_path / "own", {name: FILES[name] for name in NAMES[:2]})
    monkeypatch.setenv("XPNET_DATA_DIR", str(own))
    with pytest.raises(DataError) as caught:
        raw(data_dir=own if by == "argument" else None)
    message = str(caught.value)
    assert not isinstance(caught.value, DatasetUnavailableError)
    assert all(name in message for name in (*NAMES[2:], str(own)))
    lacking, there = message.split("It holds ")
    assert not any(name in lacking for name in NAMES[:2])
    assert all(f"{name}.gz" in there for name in NAMES[:2])
    assert ("data_dir" if by == "argument" else "XPNET_DATA_DIR") in message


# Files that are not what they should be.


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_of_the_user_is_named_and_left_alone(tiny, tmp_path, kind):
    content, problem = BAD_FILES[kind]
    own = write(tmp_path / "own", FILES)
    bad = own / f"{IMAGES}.gz"
    bad.write_bytes(content)
    with pytest.raises(DataError) as caught:
        raw(data_dir=own)
    message = str(caught.value)
    assert not isinstance(caught.value, DatasetUnavailableError)
    assert message.startswith(str(bad))
    assert problem in message
    assert "expected" in message
    assert "Replace it with " in message
    assert bad.read_bytes() == content


@pytest.mark.parametrize("position", range(4))
def test_each_of_the_four_is_verified(tiny, tmp_path, position):
    own = write(tmp_path / "own", FILES, gzipped=False)
    bad = own / NAMES[position]
    bad.write_bytes(FILES[NAMES[position]][:-1] + b"\xee")
    with pytest.raises(DataError, match=f"{NAMES[position]} .*SHA-256"):
        raw(data_dir=own)


def test_the_table_is_that_of_the_published_files():
    assert {name: (shape, sha256) for name, (shape, sha256) in datasets._SETS["mnist"].files.items()} == {
        NAMES[0]: ((60000, 28, 28), "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        NAMES[1]: ((60000,), "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        NAMES[2]: ((10000, 28, 28), "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        NAMES[3]: ((10000,), "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    }


def test_a_gzip_bomb_is_not_unpacked(tiny, tmp_path, monkeypatch):
    """No more is asked of the decompressor than what a right file has, and one byte."""
    asked = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: asked.append(size) or read(self, size))
    own = write(tmp_path / "own", FILES)
    (own / f"{IMAGES}.gz").write_bytes(gz(good + bytes(50_000_000)))
    with pytest.raises(DataError, match="too long"):
        raw(data_dir=own)
    assert sum(asked) == len(good) + 1


def test_a_folder_under_a_files_name(tiny, tmp_path):
    own = write(tmp_path / "own", FILES)
    bad = own / f"{IMAGES}.gz"
    bad.unlink()
    bad.mkdir()
    with pytest.raises(DataError, match=re.escape(str(bad)) + " cannot be read"):
        raw(data_dir=own)


def test_a_file_that_may_not_be_read(tiny, tmp_path, monkeypatch):
    def refuse(path, *args):  # by hand: the administrator, who runs many a test, may read everything
        raise PermissionError(13, "Permission denied", str(path))

    own = write(tmp_path / "own", FILES)
    monkeypatch.setattr("xpnet._core.files.open", refuse, raising=False)
    with pytest.raises(DataError, match=r"cannot be read .*Permission denied"):
        raw(data_dir=own)


def test_a_folder_that_may_not_be_read(tiny, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    own = write(tmp_path / "own", FILES)
    monkeypatch.setattr(datasets.os, "listdir", refuse)
    with pytest.raises(DataError, match=re.escape(str(own)) + r" cannot be read.*Permission denied"):
        raw(data_dir=own)
