"""Files of weights: whole or absent, and never trusted."""

import os
import pickle
import stat

import numpy as np
import pytest
from cases import numbers

from xpnet import TwoLayerNet, to_numpy
from xpnet.errors import DataError
from xpnet.files import write_whole


@pytest.mark.bits
@pytest.mark.parametrize("flat", [False, True])
def test_what_is_saved_is_loaded_on_every_backend(be, tmp_path, flat):
    path = tmp_path / "weights.safetensors"
    saved = TwoLayerNet(12, 6, 7, seed=0, dtype=be.dtype, backend=be.backend)
    other = TwoLayerNet(12, 6, 7, seed=1, dtype=be.dtype, backend=be.backend)
    if flat:
        saved.flatten()
        other.flatten()
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
    network = TwoLayerNet(12, 6, 7, seed=0).flatten()
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
