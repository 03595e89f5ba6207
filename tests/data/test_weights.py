"""Files of weights: whole or absent, and never trusted."""

import json
import os
import pickle
import stat
import tracemalloc

import numpy as np
import pytest
from cases import numbers
from safetensors.numpy import save_file
from states import flattened

from xpnet import TwoLayerNet, load_weights, to_numpy
from xpnet._core.files import write_whole
from xpnet.data.weights import load_expected_weights, save_weights
from xpnet.errors import DataError


@pytest.mark.bits
@pytest.mark.parametrize("flat", [False, True])
def test_what_is_saved_is_loaded_on_every_backend(be, tmp_path, flat):
    path = tmp_path / "weights.safetensors"
    saved = TwoLayerNet(12, 6, 7, seed=0, dtype=be.dtype, backend=be.backend)
    other = TwoLayerNet(12, 6, 7, seed=1, dtype=be.dtype, backend=be.backend)
    if flat:
        saved.state.flatten()
        other.state.flatten()
    saved.save(path)
    assert other.load(path) is other
    for key in saved.params:
        assert np.array_equal(to_numpy(saved.params[key]), to_numpy(other.params[key]))
    x = be.put(numbers(1, 5, 12))
    assert np.array_equal(to_numpy(saved.predict(x)), to_numpy(other.predict(x)))


def test_the_file_is_plain_safetensors_with_the_courses_names(tmp_path):
    from safetensors import safe_open

    TwoLayerNet(12, 6, 7).save(tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", framework="np") as file:
        assert sorted(file.keys()) == ["W1", "W2", "b1", "b2"]
        assert "12-6-7" in file.metadata()["network"]


def refused(network, path, says):
    before = {key: value.copy() for key, value in network.params.items()}
    with pytest.raises(DataError, match=says):
        network.load(path)
    assert all(np.array_equal(network.params[key], before[key]) for key in before)


def test_a_file_that_is_not_whole_or_not_this_networks_changes_nothing(tmp_path):
    network = flattened(TwoLayerNet(12, 6, 7, seed=0))
    path = tmp_path / "w.safetensors"
    refused(network, path, "cannot be read")
    refused(network, tmp_path, "cannot be read")
    network.save(path)
    whole = path.read_bytes()
    for cut, says in ((0, "it is empty"), (7, "no safetensors file"), (100, "damaged"), (len(whole) - 1, "damaged")):
        path.write_bytes(whole[:cut])
        refused(network, path, says)
    path.write_bytes(b"\xff" * 8 + whole[8:])
    refused(network, path, "no safetensors file")
    TwoLayerNet(12, 5, 7).save(path)
    refused(network, path, r"holds other weights .*W1 \(12, 5\) float32.*Expected: W1 \(12, 6\) float32")
    TwoLayerNet(12, 6, 7, dtype="float64").save(path)
    refused(network, path, "float64")


def test_a_pickle_is_no_file_of_weights(tmp_path):
    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "w.safetensors").write_bytes(pickle.dumps(Runs()))
    refused(TwoLayerNet(12, 6, 7), tmp_path / "w.safetensors", "is a pickle, expected was a safetensors file")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "w.safetensors"
    network = TwoLayerNet(12, 6, 7, seed=0)
    network.save(path)
    old = path.read_bytes()

    def fails(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, failing, fails)
    with pytest.raises(OSError, match="the disk is full"):
        TwoLayerNet(12, 6, 7, seed=1).save(path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_file_is_written_into_a_new_folder_and_can_be_read_by_others(tmp_path):
    path = write_whole(tmp_path / "new" / "file.txt", "text")
    assert path.read_text() == "text"
    if os.name == "posix":
        plain = tmp_path / "plain.txt"
        plain.write_text("")
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


# --- damage, and weights that are no numbers --------------------------------------------------------------------------


def values(network):
    return {key: to_numpy(value).copy() for key, value in network.state.weights().items()}


def same(weights, others):
    return all(np.array_equal(weights[key], others[key]) for key in weights) and weights.keys() == others.keys()


def test_every_flipped_bit_is_refused_or_changes_no_weight(tmp_path):
    path = tmp_path / "w.safetensors"
    network = TwoLayerNet(3, 2, 2, seed=0, backend="numpy")
    network.save(path)
    right, whole, taken = values(network), path.read_bytes(), 0
    header = int.from_bytes(whole[:8], "little")
    other = TwoLayerNet(3, 2, 2, seed=1, backend="numpy")
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            try:
                other.load(path)
            except DataError:
                continue
            assert same(values(other), right), (place, bit)
            taken += 1
            assert place < 8 + header, "a changed number was believed"
    assert taken < 8 * 20  # those in the names of the two entries that hold the checksum, or tell that there is one


def test_load_weights_sees_them_too(tmp_path):
    path = tmp_path / "w.safetensors"
    TwoLayerNet(3, 2, 2, seed=0, backend="numpy").save(path)
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 1
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"damaged: its content has SHA-256 .* Copy or download it once more\.$"):
        load_weights(path)


def test_a_file_without_a_checksum_is_read_as_before(tmp_path):
    path, network = tmp_path / "w.safetensors", TwoLayerNet(3, 2, 2, seed=0, backend="numpy")
    for metadata in (None, {"format": "xpnet", "network": "an older one"}, {"format": "pt", "sha256": "another's"}):
        save_file(values(network), path, metadata=metadata)
        assert same(values(TwoLayerNet(3, 2, 2, seed=1, backend="numpy").load(path)), values(network))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_refused_by_name(tmp_path, value):
    path, network = tmp_path / "w.safetensors", TwoLayerNet(3, 2, 2, seed=0, backend="numpy")
    wrong = values(network)
    wrong["W2"][1, 0] = value
    save_file(wrong, path)
    says = r"holds W2, in which 1 of 4 numbers are NaN or infinite, the first at index \(1, 0\)"
    refused(network, path, says)
    with pytest.raises(DataError, match=says):
        load_weights(path)
    path.write_bytes(pickle.dumps(wrong, 4))
    with pytest.raises(DataError, match=says):
        load_weights(path)


def test_a_diverged_network_is_not_saved_and_the_old_file_stays(be, tmp_path):
    path = tmp_path / "w.safetensors"
    network = TwoLayerNet(3, 2, 2, seed=0, dtype=be.dtype, backend=be.backend)
    network.save(path)
    old = path.read_bytes()
    network.set_params({**network.params, "b1": np.array([0.0, np.nan])})
    with pytest.raises(
        DataError, match=r"w\.safetensors is not written: the network holds b1, in which 1 of 2 numbers"
    ):
        network.save(path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_text_can_be_kept_with_the_weights_and_is_verified(tmp_path):
    path = tmp_path / "w.safetensors"
    arrays = {"W": np.arange(6, dtype="f4").reshape(2, 3)}
    save_weights(path, arrays, "a network", {"classes": '["고양이", "dog"]'})
    expected = {"W": ((2, 3), "float32")}
    read, metadata = load_expected_weights(path, expected)
    assert np.array_equal(read["W"], arrays["W"])
    assert metadata["classes"] == '["고양이", "dog"]'
    path.write_bytes(path.read_bytes().replace(b"dog", b"cat"))
    with pytest.raises(DataError, match="damaged"):
        load_expected_weights(path, expected)


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
