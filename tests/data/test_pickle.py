"""The reader of pickled arrays: it reads what NumPy writes, and runs nothing, whatever it is given."""

import collections
import io
import os
import pickle
import pickletools
import struct
import tracemalloc

import numpy as np
import pytest

from xpnet.data import _pickle as _pickled
from xpnet.data._pickle import read_pickled_arrays
from xpnet.errors import DataError

PROTOCOLS = (3, 4, 5)
ARRAYS = {
    "W1": np.arange(6.0).reshape(2, 3),
    "b1": np.array([1.5, -2.0, np.inf], "f4"),
    "big-endian": np.arange(3, dtype=">f4"),
    "Fortran": np.asfortranarray(np.arange(6, dtype="f2").reshape(2, 3)),
    "a view": np.arange(12.0).reshape(3, 4)[:, 1:3],
    "scalar": np.array(3.0),
}
RAN = []


def ran(*arguments):
    """What no file may call."""
    RAN.append(arguments)
    return {}


class Subclass(np.ndarray):
    """An array, and yet not one of NumPy's."""


class Calls:
    """Pickled, it is a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture(autouse=True)
def _nothing_runs():
    RAN.clear()
    yield
    assert RAN == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("write", [pickle.dumps, pickle._dumps], ids=["C", "Python"])
def test_it_reads_what_numpy_writes(write, protocol):
    read = read_pickled_arrays(write(ARRAYS, protocol))
    assert list(read) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        assert read[name].dtype == expected.dtype.newbyteorder("=")
        assert read[name].dtype.isnative
        assert read[name].shape == expected.shape
        assert np.array_equal(read[name], expected)
        assert read[name].flags.writeable
        assert read[name].flags.owndata


def test_an_array_of_no_numbers_and_one_that_is_in_twice():
    empty = read_pickled_arrays(pickle.dumps({"e": np.zeros((0, 3))}, 3))
    assert empty["e"].shape == (0, 3)
    array = np.ones(2)
    twice = read_pickled_arrays(pickle.dumps({"a": array, "b": array}, 4))
    assert twice["a"].tolist() == twice["b"].tolist() == [1, 1]


def refused(content, says=""):
    with pytest.raises(DataError, match=says):
        read_pickled_arrays(content)


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_is_refused_by_name_and_not_made(protocol, tmp_path):
    refused(pickle.dumps(Calls(os.mkdir, str(tmp_path / "made")), protocol), rf"{os.name}.*\.mkdir|posix\.mkdir")
    refused(pickle.dumps({"W1": np.ones(2), "x": Calls(ran, 1)}, protocol), r"test_pickle\.ran|_codecs|__builtin__")
    refused(pickle.dumps(Calls(eval, "ran()"), protocol), r"builtin.*\.eval")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (collections.OrderedDict(a=1), r"collections\.OrderedDict"),
        (Calls, r"test_pickle\.Calls"),
        (np.float64(1.0), "scalar"),
        (np.array([1, 2], "i4"), "expected were floats"),
        (np.array([None]), "expected were floats|operation"),
        (np.array(["a"]), "expected were floats"),
        (np.zeros(2, [("a", "f4")]), "expected were floats|does not write|operation"),
        (np.ma.array([1.0]), "numpy.ma"),
        (np.ones(2).view(Subclass), "Subclass"),
        ([1, 2], "operation|no array"),
        (1.0, "operation BINFLOAT"),
        ("text", "no array of floats"),
        ({1, 2}, "operation|set"),
    ],
    ids=lambda value: f"{value!r:.25}",
)
def test_what_is_no_array_of_floats_is_refused(value, says, protocol):
    refused(pickle.dumps({"W1": np.ones(2), "x": value}, protocol), says)


@pytest.mark.parametrize("value", [np.ones(2), {}, "text", 3, None, (1, 2), {1: np.ones(2)}, {"a": {"b": np.ones(2)}}])
def test_what_is_no_dictionary_of_arrays_by_name_is_refused(value):
    refused(pickle.dumps(value, 3), "expected w")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "after", [b"\0", b".", b"more", pickle.dumps(ARRAYS, 4)], ids=["zero", "end", "text", "pickle"]
)
def test_bytes_after_its_end_are_damage(protocol, after):
    refused(pickle.dumps(ARRAYS, protocol) + after, "damaged")
    if protocol == 3:
        refused(pickle.dumps(ARRAYS, protocol) + after, f"{len(after):,} bytes follow its end")


@pytest.mark.parametrize("protocol", range(3))
def test_an_old_protocol_is_named(protocol):
    says = f"is a pickle of protocol {protocol if protocol == 2 else '0 or 1'}, expected was 3, 4 or 5"
    refused(pickle.dumps(ARRAYS, protocol), says)
    refused(pickle.dumps({"e": np.zeros(0)}, protocol), says)  # no bytes are written by another name


@pytest.mark.parametrize(
    ("value", "says"),
    [([1.0], "a list"), (1.5, "a Python float"), ({1}, "a set|builtin.*set"), (2**40, "a large whole number")],
)
def test_what_people_put_in_the_place_of_arrays_is_named(value, says):
    refused(pickle.dumps({"W1": value}, 4), says)


# --- written by hand ------------------------------------------------------------------------------------------------


def made(*parts, protocol=3):
    return pickle.PROTO + bytes([protocol]) + b"".join(parts) + b"."


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


RECONSTRUCT, NDARRAY, DTYPE = (
    name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), name("numpy", "dtype"),
)  # fmt: skip


def framed(*parts):
    """Operations of protocol 4 with the frame around them, which has the end in it too."""
    inside = b"".join(parts)
    return b"\x95" + struct.pack("<Q", len(inside) + 1) + inside


SHORT_NAME = b"\x8c" + bytes([len(__name__)]) + __name__.encode()
"""This module's name as protocol 4 writes short texts."""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (made(RECONSTRUCT, NDARRAY, b"K\x00\x85", b"C\x01b\x87R", b"}", text("array"), b"K\x01sb"), "damaged|form"),
        (made(NDARRAY, b"J\xff\xff\xff\x7f\x85R"), r"calls numpy\.ndarray"),  # would reserve 17 GB
        (made(RECONSTRUCT, NDARRAY, b"J\xff\xff\xff\x7f\x85", b"C\x01b\x87R"), "begins an array"),
        (made(DTYPE, text("O8"), b"K\x00K\x01\x87R"), "expected were floats"),
        *[(made(named, b"}", text("f"), b"K\x01sb"), "damaged") for named in (RECONSTRUCT, NDARRAY, DTYPE)],
        *[(made(named, b"N}", text("f"), b"K\x01s\x86b"), "damaged") for named in (RECONSTRUCT, NDARRAY, DTYPE)],
        (made(name("_codecs", "encode")), r"_codecs\.encode"),
        (made(name("numpy", "dtype.__class__")), r"dtype\.__class__"),
        (made(name("numpy", "load")), r"numpy\.load"),
        (made(framed(text(__name__), text("ran"), b"\x93)R"), protocol=4), r"test_pickle\.ran"),
        (made(text("a"), protocol=4), "is not in a frame as pickle cuts them"),
        (made(b"\x95" + struct.pack("<Q", 3), text("a"), protocol=4), "is not in a frame as pickle cuts them"),
        (made(framed(SHORT_NAME, b"\x8c\x03ran", b"\x93)R"), protocol=4), r"test_pickle\.ran"),
        (made(framed(SHORT_NAME + b"\x94\x8c\x03ran\x94h\x00h\x01\x93)R"), protocol=4), r"test_pickle\.ran"),
        (made(b"(", b"i%b\nran\n" % __name__.encode()), r"test_pickle\.ran"),
        (made(b"(", name(__name__, "ran"), b"o"), r"test_pickle\.ran"),
        (made(b"}r", struct.pack("<I", 2**31 - 1)), "keeps number 2147483647"),  # would reserve 32 GB
        (made(b"\x96", struct.pack("<Q", 2**62), protocol=5), "damaged"),
        (made(b"B", struct.pack("<I", 2**32 - 1)), "damaged"),
        (made(b"(" * 20_001), "more than 20,000 operations|damaged"),
        (made(b"}" * 30_000), "more than 20,000 operations"),
        (made(b"\x82\x01"), "operation EXT1"),
        (made(b"Pid\n"), "operation PERSID"),
        (made(b"}2"), "operation DUP"),
        (made(b"\x8a\x09" + b"\xff" * 9), "operation LONG1"),
        (b"", "damaged, or no pickle"),
        (b"\x80", "damaged, or no pickle"),
        (b"<html>404</html>", "no pickle"),
        (b"}.", "protocol 0 or 1"),
        (made(b"}", protocol=6), "damaged"),
    ],
)  # fmt: skip
def test_what_numpy_does_not_write_is_refused(content, says):
    before = attributes()
    refused(content, says)
    assert attributes() == before  # a pickle may set attributes of classes that it can name


def attributes():
    """Those of the reader's own classes."""
    kinds = {name: kind for name, kind in vars(_pickled).items() if isinstance(kind, type)}
    return {(name, attribute): value for name, kind in kinds.items() for attribute, value in vars(kind).items()}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_change_of_a_byte_is_refused_or_shows(protocol):
    """What is still read is other arrays. (But for the number of protocol 4: 5 may hold all that 4 does.)"""
    arrays = {"W": np.array([[1.0, 2.0]]), "b": np.array([0.5, 0.25], "f4")}
    content = pickle.dumps(arrays, protocol)
    rng = np.random.default_rng(protocol)
    for place in range(2 if protocol == 4 else 0, len(content)):
        for value in range(256) if protocol == 3 else rng.integers(0, 256, 64).tolist():
            changed = content[:place] + bytes([value]) + content[place + 1 :]
            if changed == content:
                continue
            try:
                read = read_pickled_arrays(changed)
            except DataError:
                continue
            same = read.keys() == arrays.keys() and all(
                read[key].dtype == arrays[key].dtype and np.array_equal(read[key], arrays[key]) for key in arrays
            )
            assert not same, (place, value)


def array(shape=b"K\x01\x85", data=b"C\x04\0\0\x80?", name=b"a"):
    """An array and its name by hand, as pickle writes them but for the memo; this one holds 1."""
    dtype = DTYPE + text("f4") + b"\x89\x88\x87R(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    begun = RECONSTRUCT + NDARRAY + b"K\0\x85C\x01b\x87R"
    return text(name.decode()) + begun + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


LAUGHS = b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(200))  # 2 ** 200 empty tuples


@pytest.mark.parametrize(
    "content",
    [
        made(b"}(", array(shape=b"J\xff\xff\xff\x7f\x85"), b"u"),
        made(b"}(", array(shape=b"(" + b"K\x01" * 33 + b"t"), b"u"),
        made(b"}(", array(shape=b"(K\0" + b"J\xff\xff\xff\x7f" * 7 + b"t", data=b"C\0"), b"u"),
        made(b"}(", array(data=b"B\0\0\1\0" + bytes(2**16) + b"q\0", shape=b"M\0\x40\x85"),
             *[array(data=b"h\0", shape=b"M\0\x40\x85", name=b"%d" % i) for i in range(300)], b"u"),
        made(LAUGHS),
        made(LAUGHS, b"NR"),
        made(b"}", LAUGHS, b"Ns"),
        made(b"}(", array(shape=LAUGHS), b"u"),
        made(RECONSTRUCT, LAUGHS, b"R"),
        made(DTYPE, LAUGHS, b"R"),
        made(b"N" + b"\x85" * 19_000),
        made(b"}N" + b"\x85" * 19_000 + b"Ns"),
        made(RECONSTRUCT, b"N" + b"\x85" * 19_000 + b"R"),
        made(b"c" + b"a" * 10**6 + b"\n" + b"b" * 10**6 + b"\n"),
        made(b"}" * 10**6),
        b"\x80\x04\x95" + b"\xff" * 8 + b"}.",
    ],
)  # fmt: skip
def test_a_small_file_takes_little_memory_and_time(content):
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read_pickled_arrays(content)
        assert tracemalloc.get_traced_memory()[1] < 16 * max(len(content), 2**20)
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 300


def test_the_array_by_hand_is_one():
    assert read_pickled_arrays(made(b"}(", array(), b"u"))["a"].tolist() == [1]


def test_the_attacks_are_attacks():
    """Otherwise the tests above would prove nothing: Python's own unpickler runs them."""
    pickle.loads(pickle.dumps(Calls(ran, 1)))
    pickle.Unpickler(io.BytesIO(made(name(__name__, "ran"), b")R"))).load()
    assert RAN == [(1,), ()]
    RAN.clear()
    assert {operation.name for operation, _, _ in pickletools.genops(pickle.dumps(ARRAYS, 5))} >= {
        "BYTEARRAY8",
        "FRAME",
    }
