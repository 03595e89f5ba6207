"""IDX files: of every dtype, under the names that people have them by, and sets other than MNIST."""

import gzip
import hashlib
import os
import struct
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from mnist_stand_in import FILES, IMAGES, NAMES, cache, holds, idx, mirrors, raw, stand_in, tiny, write

import xpnet
from xpnet import load_digits, load_idx, load_mnist
from xpnet.data import mnist as datasets
from xpnet.data.idx import read_idx
from xpnet.errors import ArgumentError, DataError, XpnetError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def file_of(array, code=None, shape=None):
    """An IDX file by the format's description: big-endian, whatever NumPy has here."""
    kind = array.dtype.str[1:]
    shape = array.shape if shape is None else shape
    head = struct.pack(f">2x2B{len(shape)}I", CODES[kind] if code is None else code, len(shape), *shape)
    return head + array.astype(f">{kind}").tobytes()


# --- the format -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 1, 3, 2)])
@pytest.mark.parametrize("gzipped", [False, True])
def test_every_dtype_is_read_in_this_machines_byte_order(tmp_path, kind, shape, gzipped):
    array = (np.arange(np.prod(shape)) * 77 - (0 if kind == "u1" else 100)).astype(kind).reshape(shape)
    content = file_of(array)
    (tmp_path / "a").write_bytes(gzip.compress(content) if gzipped else content)
    read = read_idx(tmp_path / "a")
    assert (read.dtype, read.shape) == (np.dtype(kind), shape)
    assert read.dtype.isnative
    assert np.array_equal(read, array)
    read += 1  # the caller's own


def test_bytes_by_hand(tmp_path):
    (tmp_path / "a").write_bytes(b"\0\0\x0b\x02" + b"\0\0\0\1" + b"\0\0\0\2" + b"\x01\x02" + b"\xff\xfe")
    assert read_idx(tmp_path / "a").tolist() == [[258, -2]]


ONE = np.arange(6, dtype="i4")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has 0 bytes"),
        (b"\0\0\x08", "has 3 bytes"),
        (b"<html>404</html>", "begins with 3c 68 74 6d"),
        (b"\0\0\x0a\1\0\0\0\1a", "begins with 00 00 0a 01"),
        (b"\0\0\x08\0a", "begins with 00 00 08 00"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"a", "begins with 00 00 08 ff"),
        (b"\0\0\x08\3\0\0\0\1", "is cut short: it has 8 bytes"),
        (file_of(ONE)[:-1], "is cut short: it has 31 bytes, expected were 32"),
        (file_of(ONE) + b"x", "is too long, expected were 32"),
        (file_of(ONE, shape=(0, 3)), r"shape \(0, 3\), expected was one with numbers"),
        (file_of(ONE, shape=(2**32 - 1,) * 8), "is cut short"),
        (gzip.compress(file_of(ONE, shape=(2**31,)), mtime=0), "is cut short"),
    ],
)
def test_what_is_no_idx_file_is_refused_in_little_memory(tmp_path, content, says):
    (tmp_path / "a").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=says) as caught:
            read_idx(tmp_path / "a")
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{tmp_path / 'a'} ")


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_pipe_or_a_folder_is_not_waited_for(tiny, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, says in ((tmp_path / "pipe", "pipe or a device"), (tmp_path, "a folder"), ("/dev/zero", "or a device")):
        with pytest.raises(DataError, match=f"cannot be read .*{says}"):
            read_idx(path)
    for name in NAMES:
        os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="pipe or a device"):
        load_mnist(data_dir=tmp_path)


# --- names and folders, as they are found -----------------------------------------------------------------------------


LAYOUTS = {
    "dots": lambda name: name.replace("-idx", ".idx"),
    "underscores": lambda name: name.replace("-", "_"),
    "upper case": str.upper,
    "torchvision": lambda name: f"MNIST/raw/{name}",
    "torchvision's folder": lambda name: f"raw/{name}",
    "Kaggle": lambda name: f"{name}/{name}",
    "Kaggle, dots": lambda name: f"{name.replace('-idx', '.idx')}/{name}",
    "Kaggle, in mnist": lambda name: f"mnist/{name}/{name.replace('-idx', '.idx')}",
    "upper folder": lambda name: f"MNIST/{name}",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_mnist_is_found_however_it_was_unpacked(tiny, tmp_path, monkeypatch, layout, gzipped, by):
    own = tmp_path / "own"
    for name, content in FILES.items():
        path = own / (LAYOUTS[layout](name) + (".gz" if gzipped else ""))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if gzipped else content)
    if by == "environment":
        monkeypatch.setenv("XPNET_DATA_DIR", str(own))
    assert holds(raw(data_dir=own) if by == "argument" else raw())


def test_what_macos_puts_beside_files_is_passed_over(tiny, tmp_path):
    own = write(write(tmp_path / "own", FILES), {f"._{name}": b"macOS" for name in NAMES}, gzipped=False)
    assert holds(raw(data_dir=own))
    assert holds(load_idx(own, normalize=False, first_label=0))


def test_what_is_there_instead_is_said(tiny, tmp_path):
    with pytest.raises(DataError, match=r"There is no folder .*absent\."):
        load_mnist(data_dir=tmp_path / "absent")
    with pytest.raises(DataError, match=r"It is empty\."):
        load_mnist(data_dir=tmp_path)
    (tmp_path / "photographs").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"It holds notes\.txt, photographs/\. Put them"):
        load_mnist(data_dir=tmp_path)
    with pytest.raises(DataError, match=r"notes\.txt is a file, not a folder\."):
        load_mnist(data_dir=tmp_path / "notes.txt")
    for i in range(20):
        (tmp_path / f"{i:02}").touch()
    with pytest.raises(DataError, match=r"06, 07 and 14 more\. Put them"):
        load_mnist(data_dir=tmp_path)


# --- sets with published checksums ------------------------------------------------------------------------------------


@pytest.fixture
def sets(tiny, monkeypatch):
    """Miniatures of Fashion-MNIST and KMNIST: the content of each file, which gzip makes the published one."""
    made = {name: stand_in(seed) for seed, name in enumerate(("fashion", "kmnist"), 1)}
    for name, files in made.items():
        shapes = [shape for shape, _ in datasets._SETS["mnist"].files.values()]
        sums = [hashlib.sha256(gzip.compress(content, mtime=0)).hexdigest() for content in files.values()]
        table = dict(zip(files, zip(shapes, sums, strict=True), strict=True))
        monkeypatch.setitem(datasets._SETS, name, replace(datasets._SETS[name], files=table))
    return made


def publish(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    return folder


@pytest.mark.parametrize("name", ["fashion", "kmnist"])
def test_a_set_is_downloaded_verified_and_kept(sets, name, cache, mirrors):
    mirrors.answers = {f"/m/{file}.gz": gzip.compress(content, mtime=0) for file, content in sets[name].items()}
    wrong = {f"/w/{file}.gz": gzip.compress(content, mtime=0) for file, content in FILES.items()}
    mirrors.answers |= wrong
    mirrors.use(mirrors.url("w"), mirrors.url("m"))
    assert holds(raw(dataset=name), sets[name])
    asked = len(mirrors.asked)
    assert holds(raw(dataset=name), sets[name])
    assert len(mirrors.asked) == asked
    assert sorted(os.listdir(cache.parent / name)) == sorted(f"{file}.gz" for file in NAMES)
    (cache.parent / name / f"{IMAGES}.gz").write_bytes(gzip.compress(sets[name][IMAGES], mtime=7))  # not as published
    assert holds(raw(dataset=name), sets[name])
    assert len(mirrors.asked) > asked


@pytest.mark.parametrize("sub", ["", "fashion", "FashionMNIST/raw", "fashion-mnist", "raw"])
@pytest.mark.parametrize("form", ["published", "unpacked", "packed again"])
def test_a_set_in_a_folder_of_the_users_own(sets, tmp_path, sub, form):
    own = tmp_path / "own"
    if form == "published":
        publish(own / sub, sets["fashion"])
    else:
        write(own / sub, sets["fashion"], gzipped=form == "packed again")
    assert holds(raw(dataset="fashion", data_dir=own), sets["fashion"])


def test_a_folder_with_several_sets_gives_each(sets, tmp_path, monkeypatch):
    write(tmp_path / "own", FILES)
    for name, files in sets.items():
        publish(tmp_path / "own" / name, files)
    for where in ({"data_dir": tmp_path / "own"}, {}):
        monkeypatch.setenv("XPNET_DATA_DIR", str(tmp_path / "own"))
        assert holds(raw(**where))
        for name, files in sets.items():
            assert holds(raw(dataset=name, **where), files)


@pytest.mark.parametrize("form", ["published", "unpacked"])
def test_the_files_of_another_set_are_told_apart(sets, tmp_path, form):
    """The names of the files are the same in all sets."""
    put = publish if form == "published" else (lambda folder, files: write(folder, files, gzipped=False))
    mnist, fashion = put(tmp_path / "a", FILES), put(tmp_path / "b", sets["fashion"])
    for folder, dataset, files, title, right in (
        (mnist, "fashion", FILES, "MNIST", "mnist"),
        (fashion, "mnist", sets["fashion"], "Fashion-MNIST", "fashion"),
    ):
        with pytest.raises(DataError, match="is not the published file") as caught:
            raw(dataset=dataset, data_dir=folder)
        names = {"load_mnist": load_mnist, "load_idx": load_idx, "folder": folder}
        assert holds(eval(str(caught.value).split("`")[-2].replace(")", ", normalize=False)"), names), files)
        if dataset == "fashion" or form == "published":  # of unpacked files of Fashion-MNIST no checksum is published
            assert f"it is that of {title}. Use `dataset={right!r}` to load it." in str(caught.value)
            argument = str(caught.value).split("`")[1]
            assert holds(eval(f"load_mnist(normalize=False, data_dir=folder, {argument})", names), files)


def test_an_environment_with_mnist_alone_gives_no_other_set(sets, tmp_path, monkeypatch, cache):
    publish(cache.parent / "fashion", sets["fashion"])
    monkeypatch.setenv("XPNET_DATA_DIR", str(write(tmp_path / "own", FILES)))
    assert holds(raw(dataset="fashion"), sets["fashion"])
    monkeypatch.setenv("XPNET_DATA_DIR", str(publish(tmp_path / "other", sets["kmnist"])))
    assert holds(raw(dataset="kmnist"), sets["kmnist"])


def test_a_set_that_is_damaged_or_of_other_labels_is_refused(sets, tmp_path):
    own = write(tmp_path / "own", sets["kmnist"], gzipped=False)
    labels = sets["kmnist"][NAMES[1]]
    (own / NAMES[1]).write_bytes(labels[:-1] + b"\x0a")
    with pytest.raises(DataError, match="holds the label 10, expected were labels from 0 to 9"):
        raw(dataset="kmnist", data_dir=own)
    (own / NAMES[1]).write_bytes(labels[:-1])
    with pytest.raises(DataError, match="cut short"):
        raw(dataset="kmnist", data_dir=own)


@pytest.mark.parametrize("dataset", ["emnist", "MNIST", None, 3, ["mnist"]])
def test_a_set_that_is_not_known_is_named(dataset):
    with pytest.raises(ArgumentError, match=r"dataset must be one of 'mnist', 'fashion', 'kmnist', got .*load_idx"):
        load_mnist(dataset=dataset)


def test_the_table_is_that_of_the_published_sets():
    fashion, kmnist = (datasets._SETS[name] for name in ("fashion", "kmnist"))
    for published in (fashion, kmnist):
        assert [shape for shape, _ in published.files.values()] == [
            (60000, 28, 28),
            (60000,),
            (10000, 28, 28),
            (10000,),
        ]
        assert all(len(sha256) == 64 for _, sha256 in published.files.values())
    assert fashion.files[NAMES[0]][1].startswith("3aede38d61863908")
    assert kmnist.files[NAMES[3]][1].startswith("20bb9a0ef54c7db3")


# --- any set ----------------------------------------------------------------------------------------------------------


def a_set(prefix="", labels=(1, 2, 3), seed=0, side=(5, 4)):
    """Four files of a small set: images that are not square, which shows what was transposed."""
    rng, made = np.random.default_rng(seed), {}
    for part, n in (("train", 6), ("test", 3)):
        made[f"{prefix}{part}-images-idx3-ubyte"] = idx(rng.integers(256, size=(n, *side), dtype=np.uint8))
        made[f"{prefix}{part}-labels-idx1-ubyte"] = idx(np.resize(np.array(labels, np.uint8), n))
    return made


def images_of(files, part):
    content = next(content for name, content in files.items() if f"{part}-images" in name)
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 5, 4)


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_set_of_ones_own(tmp_path, gzipped):
    files = a_set(labels=(0, 1, 2))
    own = write(tmp_path / "own", files, gzipped)
    (x, t), (x_test, t_test) = load_idx(own)
    assert (x.dtype, x.shape, x_test.shape) == ("float32", (6, 20), (3, 20))
    assert np.array_equal(x, images_of(files, "train").reshape(6, 20).astype(np.float32) * np.float32(1 / 255))
    assert (t.dtype, t.tolist(), t_test.tolist()) == ("int64", [0, 1, 2, 0, 1, 2], [0, 1, 2])
    (x, t), (x_test, t_test) = load_idx(str(own), False, False, True)
    assert (x.dtype, x.shape, t.dtype) == ("uint8", (6, 1, 5, 4), "float32")
    assert np.array_equal(x_test[:, 0], images_of(files, "test"))
    assert t_test.tolist() == np.eye(3).tolist()
    for array in (x, t, x_test, t_test):
        assert array.flags.writeable
        assert array.flags.c_contiguous


def test_mnist_itself_is_the_same_through_both(tiny, tmp_path):
    own = write(tmp_path / "own", FILES)
    for one, other in zip(load_mnist(data_dir=own), load_idx(own, first_label=0), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_letters_of_emnist_are_upright_and_begin_at_0(tmp_path):
    files = a_set("emnist-letters-")
    for folder in (tmp_path, tmp_path / "gzip"):
        write(folder, files)
    for source in (tmp_path, tmp_path / "gzip"):
        (x, t), (x_test, _) = load_idx(source, normalize=False, flatten=False)
        assert t.tolist() == [0, 1, 2, 0, 1, 2]
        for images, part in ((x, "train"), (x_test, "test")):
            assert np.array_equal(images[:, 0], images_of(files, part).transpose(0, 2, 1))
            assert images.flags.c_contiguous
    (x, t), _ = load_idx(tmp_path, False, transposed=False, first_label=0)
    assert t.tolist() == [1, 2, 3, 1, 2, 3]
    assert np.array_equal(x, images_of(files, "train").reshape(6, 20))
    (_, t), _ = load_idx(tmp_path, one_hot_label=True)
    assert t.shape == (6, 3)


def test_one_of_several_sets_is_chosen_by_name(tmp_path):
    for prefix, labels in (("emnist-digits-", (0, 1, 2)), ("emnist-letters-", (1, 2, 3)), ("", (0, 1))):
        write(tmp_path, a_set(prefix, labels, seed=len(prefix)))
    with pytest.raises(DataError, match="holds several sets: '', 'emnist-digits', 'emnist-letters'") as caught:
        load_idx(tmp_path)
    (_, t), _ = eval(f"load_idx(path, {str(caught.value).split('`')[1]})", {"load_idx": load_idx, "path": tmp_path})
    assert t.tolist() == [0, 1, 2, 0, 1, 2]
    (x, _), _ = load_idx(tmp_path, False, name="")
    assert np.array_equal(x, images_of(a_set("", (0, 1), seed=0), "train").reshape(6, 20))
    with pytest.raises(DataError, match="the set 'kmnist' in .* lacks train images, train labels, test images"):
        load_idx(tmp_path, name="kmnist")


def test_four_files_of_any_name(tmp_path):
    files = a_set(labels=(0, 1, 2))
    paths = []
    for i, content in enumerate(files.values()):
        paths.append(tmp_path / f"file{i}")
        paths[-1].write_bytes(content)
    (x, t), (x_test, t_test) = load_idx(paths, normalize=False)
    assert np.array_equal(x_test, images_of(files, "test").reshape(3, 20))
    assert (len(x), len(t), len(t_test)) == (6, 6, 3)
    with pytest.raises(
        ArgumentError, match=r"got 2 paths\. Read a single file with `xpnet\.data\.idx\.read_idx\(path\)`"
    ):
        load_idx(paths[:2])
    for order, says in (((1, 0, 2, 3), "expected were images"), ((0, 3, 2, 3), "6 images, .* 3 labels")):
        with pytest.raises(DataError, match=says):
            load_idx([paths[i] for i in order])


def test_labels_of_qmnist_are_told_how_to_be_read(tmp_path):
    rng = np.random.default_rng(0)
    files = a_set("qmnist-", (0, 1, 2))
    wide = {part: rng.integers(10, size=(n, 8), dtype=np.int32) for part, n in (("train", 6), ("test", 3))}
    for part, labels in wide.items():
        del files[f"qmnist-{part}-labels-idx1-ubyte"]
        files[f"qmnist-{part}-labels-idx2-int"] = file_of(labels)
    write(tmp_path, files)
    with pytest.raises(DataError, match=r"shape \(6, 8\) and dtype int32, expected were labels") as caught:
        load_idx(tmp_path)
    assert np.array_equal(eval(str(caught.value).split("`")[1], {"xpnet": xpnet}), wide["train"][:, 0])


@pytest.mark.parametrize(
    ("labels", "arguments", "says", "remedies"),
    [
        ((1, 2, 3), {}, "begin at 1, expected were labels from 0", ["first_label=1", "first_label=0"]),
        ((0, 1, 2), {"first_label": 1}, "holds the label 0, below the first class 1", ["first_label=0"]),
    ],
)
def test_labels_that_begin_elsewhere_are_an_error_that_says_what_to_do(tmp_path, labels, arguments, says, remedies):
    write(tmp_path, a_set(labels=labels))
    with pytest.raises(DataError, match=says) as caught:
        load_idx(tmp_path, **arguments)
    assert str(caught.value).split("`")[1::2] == remedies
    for remedy in remedies:
        (_, t), _ = eval(f"load_idx(path, {remedy})", {"load_idx": load_idx, "path": tmp_path})
        assert t.min() == labels[0] - int(remedy[-1])


def test_numbers_that_are_no_bytes_need_no_normalizing(tmp_path):
    floats = np.linspace(-1, 1, 6 * 20).reshape(6, 5, 4)
    files = [file_of(floats), file_of(np.arange(6, dtype="i2")), file_of(floats[:3]), file_of(np.arange(3, dtype="i2"))]
    paths = [tmp_path / f"{i}" for i in range(4)]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    with pytest.raises(DataError, match="holds float64, and only uint8 can be divided by 255") as caught:
        load_idx(paths)
    (x, t), _ = eval(f"load_idx(paths, {str(caught.value).split('`')[1]})", {"load_idx": load_idx, "paths": paths})
    assert np.array_equal(x, floats.reshape(6, 20))
    assert t.tolist() == list(range(6))
    paths[1].write_bytes(file_of(-np.arange(6, dtype="i2")))
    with pytest.raises(DataError, match="holds the label -5, expected were labels from 0"):
        load_idx(paths, normalize=False)
    paths[1].write_bytes(file_of(np.arange(6.0)))
    with pytest.raises(DataError, match="dtype float64, expected were labels"):
        load_idx(paths, normalize=False)
    paths[1].write_bytes(file_of(np.arange(6, dtype="i2")))
    paths[2].write_bytes(file_of(floats[:3, :4]))
    with pytest.raises(DataError, match=r"are \(5, 4\) float64, those in .* are \(4, 4\) float64"):
        load_idx(paths, normalize=False)


def test_color_images_keep_their_channels(tmp_path):
    images = np.arange(4 * 3 * 2 * 5, dtype="u1").reshape(4, 3, 2, 5)
    paths = [tmp_path / f"{i}" for i in range(4)]
    for path, array in zip(paths, [images, np.arange(4, dtype="u1")] * 2, strict=True):
        path.write_bytes(file_of(array))
    (x, _), _ = load_idx(paths, normalize=False, flatten=False)
    assert np.array_equal(x, images)
    (x, _), _ = load_idx(paths, normalize=False, flatten=False, transposed=True)
    assert np.array_equal(x, images.transpose(0, 1, 3, 2))
    assert load_idx(paths)[0][0].shape == (4, 30)


def test_arguments_are_checked(tmp_path):
    write(tmp_path, a_set(labels=(0, 1)))
    for arguments in (
        {"normalize": "no"},
        {"flatten": 1},
        {"one_hot_label": None},
        {"transposed": "yes"},
        {"first_label": -1},
        {"first_label": 0.5},
        {"source": b"folder"},
        {"source": 3},
        {"source": [b"a"] * 4},
    ):
        with pytest.raises(XpnetError):
            load_idx(**{"source": tmp_path, **arguments})
    with pytest.raises(DataError, match=r"There is no folder .*absent\."):
        load_idx(tmp_path / "absent")
    for load in (load_mnist, load_digits):
        with pytest.raises(ArgumentError, match="flatten must be True or False"):
            load(flatten="no")
