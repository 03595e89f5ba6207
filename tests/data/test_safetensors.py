"""The header of a safetensors file: read before the arrays, and refused where it does not fit them."""

import json
import tracemalloc

import numpy as np
import pytest

from xpnet import TwoLayerNet, load_weights
from xpnet.data.weights import load_expected_weights
from xpnet.errors import DataError


def refused(network, path, says):
    before = {key: value.copy() for key, value in network.params.items()}
    with pytest.raises(DataError, match=says):
        network.load(path)
    assert all(np.array_equal(network.params[key], before[key]) for key in before)


def header(entries):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text


def test_a_large_file_of_other_weights_is_refused_before_it_is_read(tmp_path):
    path, size = tmp_path / "w.safetensors", 2**33
    head = header({"W1": {"dtype": "F32", "shape": [2**31], "data_offsets": [0, size]}})
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)  # with a hole, which takes no space
    tracemalloc.start()
    try:
        refused(TwoLayerNet(3, 2, 2, backend="numpy"), path, r"holds other weights .*W1 \(2147483648,\) float32")
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "entries",
    [
        {"W": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"W": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"W": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
        {"W": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}},
        {"W": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"W": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"a": 1}},
        {"W": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}},
        {"W": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}},
        {"W": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 8]}},
        {"W": {"dtype": "F32", "shape": [2]}},
        {
            "W": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "V": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [8, 8]},
        },
        {"W": {"dtype": "F32", "shape": [2, *[1] * 70], "data_offsets": [0, 8]}},
        {"W": {"dtype": 3, "shape": [2], "data_offsets": [0, 8]}},
        {"W": 3},
        [1],
    ],
    ids=str,
)
def test_a_header_that_does_not_fit_its_arrays_is_damage(tmp_path, entries):
    (tmp_path / "w.safetensors").write_bytes(header(entries).replace(b"[1]", b"{1}") + bytes(8))
    with pytest.raises(DataError, match="damaged"):
        load_weights(tmp_path / "w.safetensors")


def test_bfloat16_is_read_exactly(tmp_path):
    """By hand: a bfloat16 is a sign, eight bits of exponent and seven of fraction."""
    bits = {1.0: 0x3F80, -2.5: 0xC020, 0.0: 0x0000, 3.140625: 0x4049, 2.0**-126: 0x0080, -(2.0**127): 0xFF00}
    path, data = tmp_path / "w.safetensors", np.array(list(bits.values()), "<u2").tobytes()
    path.write_bytes(header({"W": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}) + data)
    for read in (load_weights(path), load_expected_weights(path, {"W": ((2, 3), "float32")})[0]):
        assert read["W"].dtype == np.float32
        assert read["W"].ravel().tolist() == list(bits)
        read["W"] += 1


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F4", "I64", "BOOL", "C64"])
def test_dtypes_that_are_no_weights_are_named(tmp_path, kind):
    size = {"I64": 8, "C64": 8}.get(kind, 1)
    path = tmp_path / "w.safetensors"
    path.write_bytes(header({"W1": {"dtype": kind, "shape": [2], "data_offsets": [0, 2 * size]}}) + bytes(2 * size))
    numpy_name = {"I64": "int64", "BOOL": "bool", "C64": "complex64"}.get(kind, kind)
    refused(TwoLayerNet(3, 2, 2, backend="numpy"), path, numpy_name)
    with pytest.raises(DataError, match=f"holds W1 of dtype {numpy_name}.* expected were") as caught:
        load_weights(path)
    assert "damaged" not in str(caught.value)
    assert "download" not in str(caught.value)
