"""Files of named arrays in three formats, told apart by their content; none is trusted."""

import io
import os
import pickle
import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from safetensors.numpy import save

from xpnet.data import weights as weight_files
from xpnet.data.weights import read_arrays
from xpnet.errors import ArgumentError, DataError

ARRAYS = {"W1": np.arange(6, dtype="f4").reshape(2, 3), "b1": np.array([0.5, -1.0]), "h": np.ones(2, "f2")}


def npz(compressed=False, **arrays):
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


FORMS = {
    "npz": npz(**ARRAYS),
    "npz, compressed": npz(compressed=True, **ARRAYS),
    "npz, Fortran's order": npz(**{name: np.asfortranarray(array) for name, array in ARRAYS.items()}),
    "npz, big-endian": npz(**{name: array.astype(array.dtype.newbyteorder(">")) for name, array in ARRAYS.items()}),
    "safetensors": save(ARRAYS),
    "pickle": pickle.dumps(ARRAYS, 4),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.any"


def refused(path, content, says):
    path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        read_arrays(path)
    assert str(caught.value).startswith(f"{path} ")


@pytest.mark.parametrize("form", FORMS)
def test_each_format_is_told_by_its_content(path, form):
    path.write_bytes(FORMS[form])
    read = read_arrays(path)
    assert set(read) == set(ARRAYS)
    for name, expected in ARRAYS.items():
        assert (read[name].dtype, read[name].shape) == (expected.dtype, expected.shape)
        assert np.array_equal(read[name], expected)
        read[name] += 1  # the caller's own


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_cut_short_or_changed_is_one_error(path, form):
    content, rng = FORMS[form], np.random.default_rng(0)
    for cut in {0, 1, 4, 9, *rng.integers(10, len(content) - 1, 40).tolist(), len(content) - 1}:
        refused(path, content[:cut], "damaged|no pickle")
    for _ in range(200):
        changed = bytearray(content)
        changed[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(changed)
        with suppress(DataError):  # and no other error; some bytes are numbers, some are looked at by no one
            read_arrays(path)


def test_what_is_there_is_said(path, tmp_path):
    with pytest.raises(DataError, match=r"missing\.pkl cannot be read \(.*No such file"):
        read_arrays(tmp_path / "missing.pkl")
    with pytest.raises(DataError, match="cannot be read"):
        read_arrays(tmp_path)
    refused(path, b"<html>404</html>", "is a web page")
    refused(path, npz(a=np.array([1, 2])), r"holds a of dtype int64, expected were floats")
    refused(path, save({"a": np.array([1, 2])}), "holds a of dtype int64")
    refused(path, npz(a=np.array([None], dtype=object)), "dtype object")
    refused(path, npz(a=np.array(["text"])), "expected were floats")


def test_a_zip_that_would_unpack_to_more_than_it_says_or_may(path, monkeypatch):
    monkeypatch.setattr(weight_files, "_MAX_BYTES", 10_000)
    refused(path, bytes(10_001), "has 10,001 bytes, expected were 10,000 at most")
    refused(path, npz(compressed=True, bomb=np.zeros(10**6)), "unpacks to more than 10,000 bytes")
    refused(path, npz(compressed=True, **{f"a{i}": np.zeros(600) for i in range(3)}), "unpacks to more than 10,000")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    for member in (header.getvalue(), header.getvalue().replace(b"1000000000000", b"-1           ")):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.npy", member)
        tracemalloc.start()
        refused(path, file.getvalue(), "damaged")
        assert tracemalloc.get_traced_memory()[1] < 10**6
        tracemalloc.stop()


def test_a_member_with_more_or_fewer_numbers_than_its_header_says(path):
    good = io.BytesIO()
    np.save(good, np.ones(4))
    for member in (good.getvalue() + b"more", good.getvalue()[:-8]):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.npy", member)
        refused(path, file.getvalue(), "damaged")


def zipped(members, how=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def test_a_zip_that_numpy_does_not_write(path):
    good = io.BytesIO()
    np.save(good, np.ones(4))
    one = good.getvalue()
    refused(path, zipped([("a.txt", one)]), "no npz file of NumPy's: it holds 'a.txt'")
    refused(path, zipped([("a.npy", one)], zipfile.ZIP_LZMA), "no npz file of NumPy's")
    refused(path, zipped([("a.npy", one), ("b.npy", one)]).replace(b"b.npy", b"a.npy"), "a name is in it twice")
    refused(path, zipped([(f"{i}.npy", b"") for i in range(1001)]), "more than 1,000 arrays")
    refused(path, zipped([("a.npy", one[:6] + b"\2\0" + one[8:10] + b"\0\0" + one[10:])]), "another version than 1.0")
    refused(path, npz(a=np.ones(2, np.longdouble)), "expected were floats of 16, 32 or 64 bits")


def test_what_is_no_file_or_holds_nothing(path):
    with pytest.raises(ArgumentError, match="must be a path"):
        read_arrays("a\0b")
    refused(path, save({}), "holds no arrays")
    refused(path, pickle.dumps({}, protocol=3), "dictionary of arrays")
    path.unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(path)
        with pytest.raises(DataError, match="pipe or a device"):
            read_arrays(path)  # and does not wait for someone to write
