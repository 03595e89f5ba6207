"""`load_sample_weight` (course row 7): the book's weights from wherever they are, and nothing else in their place."""

import io
import os
import pickle
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from mnist_stand_in import down, isolated, mirrors
from safetensors.numpy import save

from xpnet import ThreeLayerNet, load_sample_weight
from xpnet.data import book_weights
from xpnet.data.weights import content_sha256, read_arrays
from xpnet.errors import DataError, DatasetUnavailableError

SHAPES = {"W1": (784, 50), "b1": (50,), "W2": (50, 100), "b2": (100,), "W3": (100, 10), "b3": (10,)}
ORDER = ["b2", "W1", "b1", "W2", "W3", "b3"]  # that of the book's file
DATA_DIR = os.environ.get("XPNET_DATA_DIR", "")
REAL = next((path for sub in ("", "book") if (path := Path(DATA_DIR, sub, "sample_weight.pkl")).exists()), None)


def stand_in():
    """A file such as the book's, with other numbers."""
    rng = np.random.default_rng(0)
    return pickle.dumps({name: rng.standard_normal(SHAPES[name]).astype(np.float32) for name in ORDER}, protocol=3)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """No test sees this machine's; gives the folder that stands for the cache."""
    return isolated(book_weights, monkeypatch, tmp_path) / "book"


@pytest.fixture(params=["the book's", "a stand-in"])
def content(request, monkeypatch, tmp_path):
    """The content of the book's file, or of one that stands for it."""
    if request.param == "the book's":
        if REAL is None:
            pytest.skip("needs the book's weights: put sample_weight.pkl into the folder that XPNET_DATA_DIR names")
        return REAL.read_bytes()
    path = tmp_path / "stand_in.pkl"
    path.write_bytes(stand_in())
    monkeypatch.setattr(book_weights, "_SHA256", content_sha256(read_arrays(path)))
    return stand_in()


def check(arrays, content):
    expected = pickle.loads(content)  # the tests may trust it
    assert list(arrays) == list(SHAPES)
    for name, array in arrays.items():
        assert (array.shape, array.dtype) == (SHAPES[name], np.float32)
        assert np.array_equal(array, expected[name])
        assert array.flags.writeable
    assert sum(array.size for array in arrays.values()) == 45_360


def test_one_set_of_weights_in_three_formats(content, tmp_path):
    arrays = {name: np.ascontiguousarray(array) for name, array in pickle.loads(content).items()}
    npz = io.BytesIO()
    np.savez_compressed(npz, **arrays)
    forms = {"w.pkl": content, "w.safetensors": save(arrays), "w.npz": npz.getvalue(), "5.pkl": pickle.dumps(arrays, 5)}
    for name, form in forms.items():
        (tmp_path / name).write_bytes(form)
        check(load_sample_weight(tmp_path / name), content)


def test_other_weights_are_refused_and_read_where_that_is_said(content, tmp_path):
    arrays = {name: array.copy() for name, array in pickle.loads(content).items()}
    arrays["W3"][5, 5] += np.float32(1e-6)
    path = tmp_path / "own.pkl"
    path.write_bytes(pickle.dumps(arrays, 4))
    with pytest.raises(DataError, match=r"own\.pkl does not hold the book's weights: .*verify=False"):
        load_sample_weight(path)
    read = load_sample_weight(path, verify=False)
    assert np.array_equal(read["W3"], arrays["W3"])
    ThreeLayerNet(784, 50, 100, 10).set_params(read)
    assert path.read_bytes() == pickle.dumps(arrays, 4)


# --- where it is looked for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sub", ["", "book"])
def test_the_folder_of_the_environment(content, monkeypatch, tmp_path, sub):
    folder = tmp_path / "data"
    (folder / sub).mkdir(parents=True)
    (folder / sub / "sample_weight.pkl").write_bytes(content)
    monkeypatch.setenv("XPNET_DATA_DIR", str(folder))
    check(load_sample_weight(), content)
    (folder / sub / "sample_weight.pkl").write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"sample_weight\.pkl is damaged"):
        load_sample_weight()
    assert (folder / sub / "sample_weight.pkl").read_bytes() == content[:-100]  # it is the user's, and left alone


def test_a_download_fills_the_cache_once(content, monkeypatch, cache, mirrors, down):
    mirrors.answers = {"/short/sample_weight.pkl": content[:-9], "/right/sample_weight.pkl": content}
    addresses = (down, mirrors.url("short"), mirrors.url("right"))
    monkeypatch.setattr(book_weights, "_MIRRORS", addresses)
    check(load_sample_weight(), content)
    assert mirrors.asked == ["/short/sample_weight.pkl", "/right/sample_weight.pkl"]
    check(load_sample_weight(), content)
    assert len(mirrors.asked) == 2
    assert os.listdir(cache) == ["sample_weight.pkl"]
    (cache / "sample_weight.pkl").write_bytes(b"something else")
    check(load_sample_weight(), content)
    assert (cache / "sample_weight.pkl").read_bytes() == content


def test_where_nobody_gives_it_the_error_says_how_to_bring_it(monkeypatch, tmp_path, cache, down):
    monkeypatch.setenv("XPNET_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(book_weights, "_MIRRORS", (down,))
    with pytest.raises(
        DatasetUnavailableError, match=r"(?s)book's weights are not in .*down/sample_weight\.pkl: .*XPNET_DATA"
    ):
        load_sample_weight()
    assert not cache.exists() or os.listdir(cache) == []


# --- damage ---------------------------------------------------------------------------------------------------------


def corrupted(content, rng):
    """The content with something wrong in it: a byte, a bit, a run, a block; half of the time near an array's head."""
    heads = [content.index(name) + int(rng.integers(0, 60)) for name in (b"b2", b"W1", b"b1", b"W2", b"W3", b"b3")]
    place = int(rng.choice(heads)) if rng.random() < 0.5 else int(rng.integers(len(content)))
    size = int(rng.integers(1, 200))
    before, run, after = content[:place], content[place : place + size], content[place + size :]
    kind = int(rng.integers(7))
    if kind == 0:  # one byte
        return before + rng.bytes(1) + content[place + 1 :]
    if kind == 1:  # one bit
        return before + bytes([content[place] ^ 1 << int(rng.integers(8))]) + content[place + 1 :]
    if kind == 2:  # a run of noise
        return before + rng.bytes(len(run)) + after
    if kind == 3:  # a run of zeros
        return before + bytes(len(run)) + after
    if kind == 4:  # something left out
        return before + after
    if kind == 5:  # something twice
        return before + run + run + after
    return before  # the rest left out


AUDITED = {"on": False, "events": set()}


def audit(event, arguments):
    """Notes what the interpreter does: it calls this before it opens, imports, compiles, starts anything."""
    if AUDITED["on"]:
        AUDITED["events"].add((event, str(arguments[0]) if arguments else ""))


sys.addaudithook(audit)


def test_a_thousand_corruptions_are_refused_and_run_nothing(content, tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "sample_weight.pkl"
    path.write_bytes(content)
    load_sample_weight(path)  # imports what it needs
    refused = 0
    AUDITED["events"].clear()
    tracemalloc.start()
    while refused < 1000:
        damaged = corrupted(content, rng)
        if damaged == content:
            continue
        path.write_bytes(damaged)
        tracemalloc.reset_peak()
        held, _ = tracemalloc.get_traced_memory()
        AUDITED["on"] = True
        try:
            with pytest.raises(DataError) as caught:
                load_sample_weight(path)
        finally:
            AUDITED["on"] = False
        _, peak = tracemalloc.get_traced_memory()
        assert peak - held < 8 * len(content)
        assert str(caught.value).startswith(f"{path} ")
        refused += 1
    tracemalloc.stop()
    assert {event for event, _ in AUDITED["events"]} <= {"open", "object.__getattr__"}, AUDITED["events"]
    assert {what for event, what in AUDITED["events"] if event == "open"} <= {str(path)}


def test_a_file_that_calls_a_function_is_refused_by_name(tmp_path):
    path = tmp_path / "sample_weight.pkl"

    class Calls:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    for protocol in range(6):
        path.write_bytes(pickle.dumps({**pickle.loads(stand_in()), "W4": Calls()}, protocol))
        for verify in (True, False):
            with pytest.raises(DataError, match="holds more than NumPy arrays: it wants to use"):
                load_sample_weight(path, verify=verify)
    assert not (tmp_path / "made").exists()
