"""The data sets: their forms, where they come from, and that no wrong file is ever used."""

import gzip
import hashlib
import logging
import logging.handlers
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest

import xpnet
from xpnet import _download, datasets
from xpnet.datasets import DatasetUnavailable, load_digits, load_mnist
from xpnet.errors import DataError

REAL = os.environ.get("XPNET_DATA_DIR")
needs_mnist = pytest.mark.skipif(not REAL, reason="needs MNIST: set XPNET_DATA_DIR to the folder of its four files")

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SHAPES = ((6, 28, 28), (6,), (3, 28, 28), (3,))
IMAGES = NAMES[0]


def idx(array):
    return struct.pack(f">3B B {array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def stand_in(seed=0):
    """A miniature MNIST: the content of each file by name."""
    rng = np.random.default_rng(seed)
    tops = {3: 256, 1: 10}
    return {
        name: idx(rng.integers(tops[len(shape)], size=shape, dtype=np.uint8))
        for name, shape in zip(NAMES, SHAPES, strict=True)
    }


FILES = stand_in()


def write(folder, files, gzipped=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if gzipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def holds(loaded, files=FILES):
    """Whether what was loaded, with normalize=False, is the content of the files."""
    (x, t), (x_test, t_test) = loaded
    arrays = (x, t.astype(np.uint8), x_test, t_test.astype(np.uint8))
    return all(files[name].endswith(a.tobytes()) and a.size for name, a in zip(NAMES, arrays, strict=True))


def raw(**where):
    return load_mnist(normalize=False, **where)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """No test sees this machine's cache, its network or its settings; gives the folder that stands for the cache."""
    monkeypatch.delenv("XPNET_DATA_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setattr(datasets, "_MIRRORS", ("http://127.0.0.1:9/",))
    return tmp_path / "cache" / "xpnet" / "mnist"


@pytest.fixture
def tiny(monkeypatch):
    """The miniature in place of MNIST."""
    table = {name: (shape, hashlib.sha256(FILES[name]).hexdigest()) for name, shape in zip(NAMES, SHAPES, strict=True)}
    monkeypatch.setattr(datasets, "_FILES", table)


class Mirrors:
    """Servers on this machine: what is asked is noted, and answered from `answers`, by path."""

    def __init__(self, monkeypatch):
        self.asked, self.answers, self.patch = [], {}, monkeypatch
        mirrors = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.send_response(200)
                self.end_headers()

            def do_GET(self):
                mirrors.asked.append(self.path)
                answer = mirrors.answers.get(self.path)
                if answer is None:
                    self.send_error(404)
                    return
                if callable(answer):
                    answer(self)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, name):
        return f"http://127.0.0.1:{self.server.server_port}/{name}/"

    def use(self, *urls):
        self.patch.setattr(datasets, "_MIRRORS", urls)

    def serve(self, name, files, change=lambda content: content):
        self.answers |= {f"/{name}/{file}.gz": change(gzip.compress(content)) for file, content in files.items()}

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirrors(monkeypatch) -> Iterator[Mirrors]:
    servers = Mirrors(monkeypatch)
    yield servers
    servers.close()


@pytest.fixture
def down():
    """The address of a mirror that is down: nobody listens at this port."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused, and no one else gets it
        yield f"http://127.0.0.1:{held.getsockname()[1]}/down/"


# The forms of MNIST.


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
    with pytest.raises(DatasetUnavailable):
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
    assert not isinstance(caught.value, DatasetUnavailable)
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
    assert not isinstance(caught.value, DatasetUnavailable)
    assert all(name in message for name in (*NAMES[2:], str(own)))
    assert not any(name in message for name in NAMES[:2])
    assert ("data_dir" if by == "argument" else "XPNET_DATA_DIR") in message


# Files that are not what they should be.

gz, good = gzip.compress, FILES[IMAGES]
BAD_FILES = {
    "empty": (b"", "0 bytes"),
    "text": (b"<html>404</html>", "begins with 3c 68 74 6d"),
    "a header cut short": (good[:9], "9 bytes"),
    "cut short": (good[:-1], f"{len(good) - 1:,} bytes, expected were {len(good):,}"),
    "a gzip cut short": (gz(good)[:-20], "cannot be decompressed"),
    "a gzip with a wrong checksum": (gz(good)[:-8] + bytes(8), "cannot be decompressed"),
    "a gzip with a broken middle": (gz(good)[:10] + b"\xff" * 50 + gz(good)[60:], "cannot be decompressed"),
    "rubbish after the gzip": (gz(good) + b"rubbish", "cannot be decompressed"),
    "a gzip of a gzip": (gz(gz(good)), "begins with 1f 8b"),
    "too long": (good + b"x", "too long"),
    "a gzip too long": (gz(good + b"x"), "too long"),
    "one bit changed": (good[:-1] + bytes([good[-1] ^ 1]), "SHA-256"),
    "the other images": (gz(FILES[NAMES[2]]), "shape (3, 28, 28), expected was (6, 28, 28)"),
    "the test labels": (gz(FILES[NAMES[3]]), "shape (3,), expected was (6, 28, 28)"),
    "images of another set": (gz(stand_in(1)[IMAGES]), "SHA-256"),
    "numbers of another type": (b"\0\0\x0d" + good[3:], "begins with 00 00 0d"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_of_the_user_is_named_and_left_alone(tiny, tmp_path, kind):
    content, problem = BAD_FILES[kind]
    own = write(tmp_path / "own", FILES)
    bad = own / f"{IMAGES}.gz"
    bad.write_bytes(content)
    with pytest.raises(DataError) as caught:
        raw(data_dir=own)
    message = str(caught.value)
    assert not isinstance(caught.value, DatasetUnavailable)
    assert message.startswith(str(bad))
    assert problem in message
    assert "expected" in message
    assert "put " in message
    assert bad.read_bytes() == content


@pytest.mark.parametrize("position", range(4))
def test_each_of_the_four_is_verified(tiny, tmp_path, position):
    own = write(tmp_path / "own", FILES, gzipped=False)
    bad = own / NAMES[position]
    bad.write_bytes(FILES[NAMES[position]][:-1] + b"\xee")
    with pytest.raises(DataError, match=f"{NAMES[position]} .*SHA-256"):
        raw(data_dir=own)


def test_the_table_is_that_of_the_published_files():
    assert {name: (shape, sha256) for name, (shape, sha256) in datasets._FILES.items()} == {
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
    assert asked == [len(good) + 1]


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
    monkeypatch.setattr("xpnet._idx.open", refuse, raising=False)
    with pytest.raises(DataError, match=r"cannot be read .*Permission denied"):
        raw(data_dir=own)


def test_a_folder_that_may_not_be_read(tiny, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    own = write(tmp_path / "own", FILES)
    monkeypatch.setattr(datasets.os, "listdir", refuse)
    with pytest.raises(DataError, match=re.escape(str(own)) + r" cannot be read.*Permission denied"):
        raw(data_dir=own)


# Downloads.


def test_a_download_fills_the_cache_once(tiny, cache, mirrors, capsys, monkeypatch):
    chatter = logging.handlers.BufferingHandler(1000)
    monkeypatch.setattr(pooch.get_logger(), "handlers", [chatter])
    mirrors.serve("m", FILES)
    mirrors.use(mirrors.url("m"))
    assert holds(raw())
    assert mirrors.asked == [f"/m/{name}.gz" for name in NAMES]
    assert sorted(os.listdir(cache)) == sorted(f"{name}.gz" for name in NAMES)
    assert holds(raw())
    assert len(mirrors.asked) == 4
    assert capsys.readouterr() == ("", "")  # no progress bars into a file
    assert chatter.buffer == []
    assert pooch.get_logger().level == logging.NOTSET  # and pooch is left as it was


def test_a_terminal_gets_a_progress_bar(tiny, mirrors, capsys, monkeypatch):
    mirrors.serve("m", FILES)
    mirrors.use(mirrors.url("m"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    raw()
    assert "100%" in capsys.readouterr().err


def test_the_next_mirror_is_asked_when_one_is_down_or_wrong(tiny, cache, mirrors, down):
    mirrors.serve("short", FILES, change=lambda content: content[:-20])
    mirrors.serve("right", FILES)
    mirrors.use(down, mirrors.url("short"), mirrors.url("right"))
    assert holds(raw())
    assert mirrors.asked[:2] == [f"/short/{IMAGES}.gz", f"/right/{IMAGES}.gz"]
    assert mirrors.asked[2:] == [f"/right/{name}.gz" for name in NAMES[1:]]  # the mirror that worked is asked first
    assert sorted(os.listdir(cache)) == sorted(f"{name}.gz" for name in NAMES)


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_mirror_with_wrong_content_is_skipped(tiny, cache, mirrors, kind):
    mirrors.serve("right", FILES)
    mirrors.serve("wrong", FILES)
    mirrors.answers[f"/wrong/{IMAGES}.gz"] = BAD_FILES[kind][0]
    mirrors.use(mirrors.url("wrong"), mirrors.url("right"))
    assert holds(raw())
    assert mirrors.asked[:2] == [f"/wrong/{IMAGES}.gz", f"/right/{IMAGES}.gz"]


def test_an_endless_download_is_cut_off(tiny, cache, mirrors):
    sent = []

    def endless(request):
        request.send_response(200)
        request.end_headers()
        try:
            while sum(sent) < 50_000_000:
                request.wfile.write(bytes(2**16))
                sent.append(2**16)
        except OSError:  # the other side has hung up
            pass

    mirrors.answers[f"/m/{IMAGES}.gz"] = endless
    mirrors.use(mirrors.url("m"))
    with pytest.raises(DatasetUnavailable, match="cut off"):
        raw()
    assert sum(sent) < 20_000_000  # what the sockets' buffers took
    assert os.listdir(cache) == []


def test_all_mirrors_down(tiny, cache, mirrors, down, monkeypatch, tmp_path):
    mirrors.serve("wrong", {IMAGES: FILES[NAMES[2]]})
    monkeypatch.setenv("XPNET_DATA_DIR", str(tmp_path / "photographs"))
    mirrors.use(down, mirrors.url("absent"), mirrors.url("wrong"))
    with pytest.raises(DatasetUnavailable) as caught:
        raw()
    lines = str(caught.value).splitlines()
    assert [line.split(".gz: ")[0].strip() for line in lines[1:4]] == [
        f"{mirror}{IMAGES}" for mirror in (down, mirrors.url("absent"), mirrors.url("wrong"))
    ]
    assert "refused" in lines[1]
    assert "404" in lines[2]
    assert "(3, 28, 28)" in lines[3]
    assert str(tmp_path / "photographs") in lines[4]
    assert all(part in lines[5] for part in (*NAMES, "export XPNET_DATA_DIR="))
    assert len(lines) == 6
    assert mirrors.asked == [f"/{name}/{IMAGES}.gz" for name in ("absent", "wrong")]  # after one file it is plain
    assert os.listdir(cache) == []


def test_a_network_that_swallows_everything_fails_soon(tiny, mirrors, monkeypatch):
    monkeypatch.setattr(_download, "_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never says a word
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        mirrors.use(f"{url}a/", f"{url}b/", f"{url}c/")
        start = time.monotonic()
        with pytest.raises(DatasetUnavailable, match=r"no answer|timed out"):
            raw()
        assert time.monotonic() - start < 3


def test_a_look_up_that_hangs_does_not_hang_the_caller(tiny, mirrors, monkeypatch):
    """The time that the system takes to look up a name, or to try each of a host's addresses, is bounded too."""
    monkeypatch.setattr(_download, "_PATIENCE", 0.1)
    wake = threading.Event()

    def hang(*args, **kwargs):
        wake.wait(20)
        raise socket.gaierror("the name server did not answer")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    mirrors.use("http://one.invalid/", "http://two.invalid/")
    start = time.monotonic()
    try:
        with pytest.raises(DatasetUnavailable, match=r"no answer in 0\.1 seconds"):
            raw()
        assert time.monotonic() - start < 3
    finally:
        wake.set()


def test_patience_is_about_twenty_seconds_in_all():
    mirrors = re.findall(r'"(https://[^"]+/)"', Path(datasets.__file__).read_text())
    assert len(mirrors) == 3
    assert len(mirrors) * _download._PATIENCE <= 20


def test_an_interrupted_download_leaves_nothing(tiny, cache, mirrors, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    mirrors.serve("m", FILES)
    mirrors.use(mirrors.url("m"))
    with monkeypatch.context() as patch:
        patch.setattr(_download._Capped, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            raw()
    assert os.listdir(cache) == []
    assert holds(raw())


def test_a_killed_download_leaves_nothing_under_the_files_name(cache, mirrors):
    """A process killed in the midst cannot clean up, so the part must have had another name all along."""
    halfway, release = threading.Event(), threading.Event()

    def half(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        request.wfile.write(bytes(200_000))
        halfway.set()
        release.wait(30)

    mirrors.answers[f"/m/{IMAGES}.gz"] = half
    program = (
        "import pathlib, sys, pooch, xpnet.datasets as d\n"
        "cache, d._MIRRORS = pathlib.Path(sys.argv[1]), (sys.argv[2],)\n"
        "pooch.os_cache = lambda project: cache\n"
        "d.load_mnist()"
    )
    command = [sys.executable, "-c", program, str(cache.parent), mirrors.url("m")]
    with subprocess.Popen(command, env=child_environment(), stderr=subprocess.DEVNULL) as child:
        try:
            assert halfway.wait(30)
            deadline = time.monotonic() + 10
            while not any(file.stat().st_size for file in cache.glob("*")) and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            child.kill()
            release.set()
    assert [file.stat().st_size > 0 for file in cache.iterdir()] == [True]  # the part is there,
    assert not (cache / f"{IMAGES}.gz").exists()  # under another name


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("gzipped", [True, False])
def test_a_bad_file_in_the_cache_is_replaced(tiny, cache, mirrors, caplog, kind, gzipped):
    write(cache, FILES, gzipped)
    bad = cache / (f"{IMAGES}.gz" if gzipped else IMAGES)
    bad.write_bytes(BAD_FILES[kind][0])
    mirrors.serve("m", FILES)
    mirrors.use(mirrors.url("m"))
    with caplog.at_level(logging.WARNING, "xpnet"):
        assert holds(raw())
    assert mirrors.asked == [f"/m/{IMAGES}.gz"]
    (record,) = caplog.records
    assert record.name == "xpnet"
    assert str(bad) in record.getMessage()
    assert gzip.decompress((cache / f"{IMAGES}.gz").read_bytes()) == good
    assert gzipped or not bad.exists()


def test_a_bad_file_in_the_cache_is_not_used_when_there_is_no_network(tiny, cache, mirrors, down):
    write(cache, FILES)
    (cache / f"{IMAGES}.gz").write_bytes(gz(FILES[NAMES[2]]))
    mirrors.use(down)
    with pytest.raises(DatasetUnavailable):
        raw()


def test_what_cannot_be_replaced_in_the_cache_is_named(tiny, cache):
    write(cache, {name: FILES[name] for name in NAMES[1:]})
    (cache / f"{IMAGES}.gz").mkdir()
    with pytest.raises(DataError, match=re.escape(str(cache / IMAGES)) + ".*cannot be replaced"):
        raw()


def test_a_cache_that_cannot_be_written(tiny, cache, mirrors):
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_bytes(b"")  # a file where the folder should be
    mirrors.serve("m", FILES)
    mirrors.use(mirrors.url("m"))
    with pytest.raises(DatasetUnavailable, match=re.escape(str(cache))):
        raw()


def child_environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "NO_PROXY": "*"}


def test_the_import_is_light():
    program = (
        "import sys, xpnet.datasets\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))"
    )
    command = [sys.executable, "-c", program]
    names = subprocess.run(command, env=child_environment(), check=True, capture_output=True, text=True).stdout.split()
    assert not {"pooch", "requests", "tqdm", "urllib3", "sklearn", "scipy"} & set(names)
    assert {"numpy", "xpnet"} <= set(names)


def test_the_author_s_own_server_is_spared():
    """It has long refused downloads, and asked to be left alone."""
    for file in Path(xpnet.__file__).parent.rglob("*.py"):
        assert "lecun.com" not in file.read_text(encoding="utf-8"), file


# The digits in the package.


def test_digits_are_those_that_were_published():
    (x_train, t_train), (x_test, t_test) = load_digits(normalize=False)
    x, t = np.concatenate([x_train, x_test]), np.concatenate([t_train, t_test])
    found = hashlib.sha256(x.tobytes() + t.astype(np.uint8).tobytes()).hexdigest()
    assert found == "a19cb3d96bba7deace8ee5a513a6eb7bad0403d528f00bf4d351b6a7a55baa91"
    assert np.bincount(t_train).tolist() == [143, 146, 142, 146, 144, 145, 144, 143, 141, 143]
    assert np.bincount(t_test).tolist() == [35, 36, 35, 37, 37, 37, 37, 36, 33, 37]
    assert len(np.unique(x)) == 17


def test_digits_are_scikit_learn_s():
    published = pytest.importorskip("sklearn.datasets", reason="scikit-learn is the oracle here").load_digits()
    (x_train, t_train), (x_test, t_test) = load_digits(normalize=False)
    x = np.concatenate([x_train, x_test]).astype(np.float64)
    np.testing.assert_array_equal(np.round(x * 16 / 255), published.data)
    np.testing.assert_array_equal(np.concatenate([t_train, t_test]), published.target)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize("one_hot_label", [True, False])
def test_digits_with_each_combination_of_the_switches(normalize, flatten, one_hot_label):
    pixels = load_digits(normalize=False)
    for n, (x, t), (x_raw, t_raw) in zip(
        (1437, 360), load_digits(normalize, flatten, one_hot_label), pixels, strict=True
    ):
        assert x.shape == ((n, 64) if flatten else (n, 1, 8, 8))
        assert x.dtype == (np.float32 if normalize else np.uint8)
        expected = x_raw.astype(np.float32) * np.float32(1 / 255) if normalize else x_raw
        assert x.tobytes() == expected.tobytes()
        assert t.dtype == (np.float32 if one_hot_label else np.int64)
        assert t.tolist() == (np.eye(10)[t_raw] if one_hot_label else t_raw).tolist()


def test_the_digits_licence_is_beside_them():
    text = (Path(xpnet.__file__).parent / "data" / "LICENSE-digits.txt").read_text(encoding="utf-8")
    for part in ("E. Alpaydin and C. Kaynak", "https://doi.org/10.24432/C50P49", "CC BY 4.0", "scaled"):
        assert part in text
