"""A tiny MNIST, a cache and mirrors of it, for the tests of the loader: no network, and no file of the user's."""

import gzip
import hashlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pooch
import pytest

from xpnet.data import _download
from xpnet.data import mnist as datasets
from xpnet.data.mnist import load_mnist

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


def use_mirrors(loader, monkeypatch, *urls):
    """Let a loader download from these addresses."""
    if loader is datasets:
        for name, published in datasets._SETS.items():
            monkeypatch.setitem(datasets._SETS, name, replace(published, mirrors=urls))
    else:
        monkeypatch.setattr(loader, "_MIRRORS", urls)


def isolated(loader, monkeypatch, tmp_path):
    """Hide this machine's cache, its network and its settings from a loader; the folder that stands for the cache."""
    monkeypatch.delenv("XPNET_DATA_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    use_mirrors(loader, monkeypatch, "http://127.0.0.1:9/")
    return tmp_path / "cache" / "xpnet"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """No test sees this machine's; gives the folder that stands for the cache."""
    return isolated(datasets, monkeypatch, tmp_path) / "mnist"


@pytest.fixture
def tiny(monkeypatch):
    """The miniature in place of MNIST."""
    table = {name: (shape, hashlib.sha256(FILES[name]).hexdigest()) for name, shape in zip(NAMES, SHAPES, strict=True)}
    monkeypatch.setitem(datasets._SETS, "mnist", replace(datasets._SETS["mnist"], files=table))


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
        use_mirrors(datasets, self.patch, *urls)

    def serve(self, name, files, change=lambda content: content):
        self.answers |= {f"/{name}/{file}.gz": change(gzip.compress(content)) for file, content in files.items()}

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirrors(monkeypatch) -> Iterator[Mirrors]:
    for limit in ("_PATIENCE", "_STALL"):  # a busy machine must not be taken for a dead mirror
        monkeypatch.setattr(_download, limit, 600.0)
    servers = Mirrors(monkeypatch)
    yield servers
    servers.close()


@pytest.fixture
def down():
    """The address of a mirror that is down: nobody listens at this port."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused, and no one else gets it
        yield f"http://127.0.0.1:{held.getsockname()[1]}/down/"
