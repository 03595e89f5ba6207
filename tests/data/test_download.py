"""MNIST from the internet: mirrors in turn, verified before it is kept, and nothing half-written."""

import gzip
import logging
import logging.handlers
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pooch
import pytest
from mnist_stand_in import (
    BAD_FILES,
    FILES,
    IMAGES,
    NAMES,
    cache,
    down,
    good,
    gz,
    holds,
    isolated,
    mirrors,
    raw,
    tiny,
    write,
)
from remedies import codes

import xpnet
from xpnet import load_mnist, load_sample_weight
from xpnet.data import _download, book_weights
from xpnet.data import mnist as datasets
from xpnet.data.weights import content_sha256
from xpnet.errors import DataError, DatasetUnavailableError


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
    with pytest.raises(DatasetUnavailableError, match="cut off"):
        raw()
    assert sum(sent) < 20_000_000  # what the sockets' buffers took
    assert os.listdir(cache) == []


def test_all_mirrors_down(tiny, cache, mirrors, down, monkeypatch, tmp_path):
    mirrors.serve("wrong", {IMAGES: FILES[NAMES[2]]})
    monkeypatch.setenv("XPNET_DATA_DIR", str(tmp_path / "photographs"))
    mirrors.use(down, mirrors.url("absent"), mirrors.url("wrong"))
    with pytest.raises(DatasetUnavailableError) as caught:
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
        with pytest.raises(DatasetUnavailableError, match=r"(?s)(?:(?:no answer|timed out).*){3}"):
            raw()


def test_a_look_up_that_hangs_does_not_hang_the_caller(tiny, mirrors, monkeypatch):
    """The time that the system takes to look up a name, or to try each of a host's addresses, is bounded too."""
    monkeypatch.setattr(_download, "_PATIENCE", 0.1)
    wake = threading.Event()

    def hang(*args, **kwargs):
        wake.wait()
        raise socket.gaierror("the name server did not answer")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    mirrors.use("http://one.invalid/", "http://two.invalid/")
    try:
        with pytest.raises(DatasetUnavailableError, match=r"no answer in 0\.1 seconds"):
            raw()  # which comes back although the look-up still hangs
    finally:
        wake.set()


def test_patience_is_about_twenty_seconds_in_all():
    # Read from the source, because no test sees the addresses themselves.
    sets = Path(datasets.__file__).read_text().split(": _Published(\n")[1:]
    mirrors = [len(re.findall(r'"https?://[^"]+/"', text)) for text in sets]
    assert mirrors == [3, 3, 1]
    assert max(mirrors) * _download._PATIENCE <= 20


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
        release.wait()

    mirrors.answers[f"/m/{IMAGES}.gz"] = half
    program = (
        "import dataclasses, pathlib, sys, pooch, xpnet.data._download as of_one_file, xpnet.data.mnist as d\n"
        "of_one_file._PATIENCE = of_one_file._STALL = 600\n"
        "cache, mnist = pathlib.Path(sys.argv[1]), d._SETS['mnist']\n"
        "d._SETS['mnist'] = dataclasses.replace(mnist, mirrors=(sys.argv[2],))\n"
        "pooch.os_cache = lambda project: cache\n"
        "d.load_mnist()"
    )
    command = [sys.executable, "-c", program, str(cache.parent), mirrors.url("m")]
    with subprocess.Popen(command, env=child_environment(), stderr=subprocess.DEVNULL) as child:
        try:
            while not (halfway.is_set() and any(file.stat().st_size for file in cache.glob("*"))):
                assert child.poll() is None, "the program ended before it had half of the file"
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
    with pytest.raises(DatasetUnavailableError):
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
    with pytest.raises(DatasetUnavailableError, match=re.escape(str(cache))):
        raw()


def child_environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)), "NO_PROXY": "*"}


def test_the_import_is_light():
    program = (
        "import sys, xpnet.data.mnist\n"
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


def test_what_is_advised_where_nothing_can_be_downloaded(tiny, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    weights = {"W1": np.ones((4, 3), "f4")}
    isolated(book_weights, monkeypatch, tmp_path)
    monkeypatch.setattr(book_weights, "_SHA256", content_sha256(weights))
    monkeypatch.setattr(book_weights, "_PARAMETERS", tuple(weights))
    messages = []
    for load in (load_mnist, load_sample_weight):
        with pytest.raises(DataError, match="into a folder") as caught:
            load()
        messages.append(str(caught.value))
    folder = write(tmp_path / "that-folder", FILES)
    (folder / book_weights._NAME).write_bytes(pickle.dumps(weights, 4))
    for load, message in zip((load_mnist, load_sample_weight), messages, strict=True):
        export, call = codes(message)
        assert eval(call, {load.__name__: load})
        monkeypatch.setenv(*export.removeprefix("export ").split("="))
        assert load()
        monkeypatch.delenv("XPNET_DATA_DIR")
