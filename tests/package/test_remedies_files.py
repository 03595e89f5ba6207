"""What error messages about files advise, copied from the messages and run."""

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from remedies import codes

from xpnet import Trainer, TwoLayerNet, load_digits, load_mnist, load_weights
from xpnet.errors import DataError

PARAMS = {name: to.astype("f4") for name, to in {"W1": np.arange(6.0).reshape(2, 3), "b1": np.ones(3)}.items()}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def remedy(path, load=load_weights):
    """The code in the message about a file that cannot be loaded."""
    with pytest.raises(DataError) as caught:
        load(path)
    message = str(caught.value)
    assert "download" not in message
    assert "damaged" not in message
    return codes(message)[0]


def equal(weights, expected=PARAMS):
    assert weights.keys() == expected.keys()
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)


def test_an_npz_or_a_pickle_given_to_a_network(here):
    saved = TwoLayerNet(4, 3, 2, seed=0, backend="numpy")
    np.savez("w.npz", **saved.params)
    (here / "w.pkl").write_bytes(pickle.dumps(dict(saved.params), 4))
    for name in ("w.npz", "w.pkl"):
        network = TwoLayerNet(4, 3, 2, seed=1, backend="numpy")
        exec(remedy(name, network.load), {"network": network, "load_weights": load_weights})
        equal(network.params, saved.params)


@pytest.mark.parametrize("form", ["zip", "before PyTorch 1.6", "a plain pickle"])
def test_a_file_of_pytorch(form):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    state = model.state_dict()
    if form == "a plain pickle":
        with open("weights.pt", "wb") as file:
            pickle.dump(dict(state), file)
    else:
        torch.save(state, "weights.pt", _use_new_zipfile_serialization=form == "zip")
    names = {"numpy": np, "torch": torch, "params": state}
    exec(remedy("weights.pt"), names)
    equal(
        load_weights("weights.npz"), {n: t.numpy() for n, t in state.items() if not n.endswith("num_batches_tracked")}
    )


@pytest.mark.parametrize("kind", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_a_safetensors_file_of_pytorch_in_another_dtype(kind):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    tensors = {name: torch.tensor(array).to(getattr(torch, kind)) for name, array in PARAMS.items()}
    save_file(tensors, "weights.safetensors")
    name = "weights.safetensors"
    if kind != "bfloat16":
        exec(remedy(name), {})
        name = "float32.safetensors"
    equal(load_weights(name), {name: t.float().numpy() for name, t in tensors.items()})


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"{}")
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [b"\x89HDF\r\n\x1a\n" + bytes(100), zipped("config.json", "model.weights.h5")], ids=["h5", "keras"]
)
def test_a_file_of_keras(here, content):
    (here / "w.keras").write_bytes(content)
    model = SimpleNamespace(weights=[Variable(name, array) for name, array in PARAMS.items()])
    exec(remedy("w.keras"), {"numpy": np, "model": model})
    equal(load_weights("weights.npz"))


class Variable:
    """As one of Keras: a path, and an array for NumPy."""

    def __init__(self, path, array):
        self.path, self.array = path, array

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_a_model_of_onnx(here):
    (here / "model.onnx").write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x03x.y" + bytes(100))
    graph = SimpleNamespace(initializer=[SimpleNamespace(name=name) for name in PARAMS])
    onnx = SimpleNamespace(
        load=lambda path: SimpleNamespace(graph=graph),
        numpy_helper=SimpleNamespace(to_array=lambda tensor: PARAMS[tensor.name]),
    )
    exec(remedy("model.onnx"), {"numpy": np, "onnx": onnx})
    equal(load_weights("weights.npz"))


def test_an_npy_file():
    np.save("w.npy", PARAMS)
    exec(remedy("w.npy"), {"numpy": np, "params": PARAMS})
    equal(load_weights("weights.npz"))


def test_a_file_that_is_still_compressed(here):
    np.savez("weights.npz", **PARAMS)
    (here / "weights.npz.gz").write_bytes(gzip.compress((here / "weights.npz").read_bytes()))
    (here / "weights.npz").unlink()
    _, *rest = remedy("weights.npz.gz").split()
    subprocess.run([sys.executable, *rest], check=True, timeout=600)
    equal(load_weights("weights.npz"))


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"BZh91AY", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "Zstandard"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"\n\n<html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (zipped("archive/data.pkl", "archive/data/0"), "a file of PyTorch"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "a file of PyTorch"),
    ],
    ids=range(9),
)
def test_other_files_are_named(here, head, says):
    (here / "w").write_bytes(head if head.startswith(b"PK") else head + bytes(50))
    network = TwoLayerNet(4, 3, 2, backend="numpy")
    for load in (load_weights, network.load):
        with pytest.raises(DataError, match=f"^w is .*{says}") as caught:
            load("w")
        assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_a_pickle_of_an_old_protocol(here, protocol):
    (here / "w.pkl").write_bytes(pickle.dumps(PARAMS, protocol))
    with open("w.pkl", "r+b") as file:
        exec(remedy("w.pkl"), {"pickle": pickle, "params": PARAMS, "file": file})
        file.truncate()
    equal(load_weights("w.pkl"))


@pytest.mark.parametrize(
    "convert",
    [lambda a: a.tolist(), lambda a: a.astype("i4"), lambda a: a.astype("i8"), np.ma.array],
    ids=["lists", "int32", "int64", "masked arrays"],
)
def test_a_pickle_of_something_else(here, convert):
    params = {name: convert(np.atleast_2d(array)) for name, array in PARAMS.items()}
    (here / "w.pkl").write_bytes(pickle.dumps(params, 4))
    exec(remedy("w.pkl"), {"numpy": np, "params": params})
    equal(load_weights("weights.npz"), {name: np.atleast_2d(array) for name, array in PARAMS.items()})


@pytest.mark.parametrize("form", ["npz", "pickle", "safetensors"])
def test_pytorchs_counters_are_left_out_and_other_integers_named(here, form):
    from safetensors.numpy import save_file

    def write(arrays):
        if form == "npz":
            np.savez("w", **arrays)
            os.replace("w.npz", "w")
        elif form == "pickle":
            (here / "w").write_bytes(pickle.dumps(arrays, 4))
        else:
            save_file(arrays, "w")

    write({**PARAMS, "1.num_batches_tracked": np.array(7), "num_batches_tracked": np.array(7)})
    equal(load_weights("w"))
    write({**PARAMS, "steps": np.array(7)})
    exec(remedy("w"), {"numpy": np, "params": {**PARAMS, "steps": np.array(7)}})
    assert load_weights("weights.npz")["steps"] == 7


def test_a_path_as_bytes():
    from xpnet._core.files import write_whole

    path = b"there.txt"
    with pytest.raises(ValueError, match="must be a path") as caught:
        write_whole(path, "text")
    assert write_whole(eval(codes(caught.value)[0], {"os": os, "path": path}), "text").read_text() == "text"


def test_a_folder_in_the_place_of_a_file(here):
    with pytest.raises(OSError, match="Add the name of a file to it"):
        TwoLayerNet(4, 3, 2, backend="numpy").save(here)
    TwoLayerNet(4, 3, 2, backend="numpy").save(here / "name")
    assert json.loads((here / "name").read_bytes()[8:].split(b"}}")[0] + b"}}")


def test_a_file_that_is_too_large_for_load_weights(here, monkeypatch):
    monkeypatch.setattr("xpnet.data.weights._MAX_BYTES", 100)
    saved, network = (TwoLayerNet(4, 3, 2, seed=seed, backend="numpy") for seed in (0, 1))
    saved.save("weights.safetensors")
    exec(remedy("weights.safetensors"), {"network": network})
    equal(network.params, saved.params)


def test_a_network_that_has_diverged(here):
    (x, t), _ = load_digits()
    network = TwoLayerNet(64, 5, 10, seed=0, backend="numpy")
    network.set_params({**network.params, "b1": np.full(5, np.nan)})
    with pytest.raises(DataError, match="is not written: the network holds b1, in which 5 of 5 numbers") as caught:
        network.save("w.safetensors")
    network = TwoLayerNet(64, 5, 10, seed=0, backend="numpy")
    code = f"Trainer(network, x, t, None, None, epochs=1, verbose=False, {codes(caught.value)[0]}).train()"
    exec(code, {"Trainer": Trainer, "network": network, "x": x, "t": t})
    network.save("w.safetensors")
    equal(load_weights("w.safetensors"), network.params)


def test_mnist_that_is_missing(monkeypatch):
    monkeypatch.setenv("XPNET_DATA_DIR", "absent")
    with pytest.raises(DataError, match=r"There is no folder none\."):
        load_mnist(data_dir="none")
