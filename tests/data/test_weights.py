"""Files of weights: whole or absent, and never trusted."""

import os
import pickle
import stat

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
