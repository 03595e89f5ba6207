"""`load_weights`: the book's files of parameters, as the book wrote them, and others; nothing in a file is run."""

import hashlib
import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from xpnet import TwoLayerNet, load_mnist
from xpnet.data import weights as weight_files
from xpnet.data.weights import load_weights
from xpnet.errors import ArgumentError, DataError, ShapeError
from xpnet.networks.convolutional import DeepConvNet, SimpleConvNet

DTYPES = ("f8", "f4", "f2")
DATA_DIR = os.environ.get("XPNET_DATA_DIR", "")
# Of 10,000 test images, as the book's own code has them with the same file: by the SHA-256 of the file, which has been
# another one since 2022. The book's figures, 0.989 and 0.9935, belong to those of 2016.
RIGHT = {
    "params.pkl": {
        "290ab40c1b1218b392cdc155b633a5df642d829453702fa421ce5f3c6c55f779": 9890,
        "a5da99cffddafcfe5e686e79dc0ec3a7cc993b58e64f483b50960511e5e85344": 9600,
    },
    "deep_convnet_params.pkl": {
        "8c81d1d6ddedd08c8277c957f3af30a91e455a1d65474ec2b5a0e3527b7422cc": 9935,
        "4b7a27baee2037605afa94d3f514ca9fa9cc96623739328609765073cfd5f802": 9797,
    },
}
NETWORKS = {"params.pkl": SimpleConvNet, "deep_convnet_params.pkl": DeepConvNet}


def parameters(network=SimpleConvNet, dtype="f8"):
    """Such as the book's, with other numbers: those of a large array are more than a frame of a pickle holds."""
    rng = np.random.default_rng(0)
    params = {name: rng.standard_normal(value.shape).astype(dtype) for name, value in network().params.items()}
    params["W1"].flat[:2] = [-0.0, np.finfo(dtype).smallest_subnormal]
    return params


def same_bits(read, expected):
    assert list(read) == list(expected)
    for name, array in expected.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert read[name].tobytes() == array.tobytes()
        assert read[name].flags.writeable
        assert read[name].flags.owndata


class _OldFramer(pickle._Framer):
    """Frames as Python 3.4 to 3.6 cuts them: large arrays are inside, and the last frame may be of any size."""

    def write_large_bytes(self, header, payload):
        self.write(header)
        self.write(payload)

    def commit_frame(self, force=False):
        if self.current_frame and (self.current_frame.tell() >= self._FRAME_SIZE_TARGET or force):
            data = self.current_frame.getvalue()
            self.file_write(pickle.FRAME + struct.pack("<Q", len(data)) + data)
            self.current_frame = io.BytesIO()


class _OldPickler(pickle._Pickler):
    def __init__(self, file, protocol):
        super().__init__(file, protocol)
        self.framer = _OldFramer(file.write)
        self.write, self._write_large_bytes = self.framer.write, self.framer.write_large_bytes


def of_2016(params, protocol):
    """A pickle as Python 3.5 and NumPy 1.11 wrote it, byte for byte.

    A module of NumPy's had another name, and 0 and 1 stood for the False and the True of a dtype.
    """
    file = io.BytesIO()
    _OldPickler(file, protocol).dump(params)
    content = file.getvalue()
    now, then = b"numpy._core.multiarray", b"numpy.core.multiarray"
    if protocol >= 4:  # names have their length before them
        now, then = bytes([len(now)]) + now, bytes([len(then)]) + then
    assert now in content
    # Both stand before the first array's numbers, in which the same bytes may be by chance.
    changed = content.replace(now, then, 1).replace(b"\x89\x88\x87", b"K\x00K\x01\x87", 1)
    if protocol >= 4:  # and the first frame, in which they are, has its length
        (size,) = struct.unpack("<Q", content[3:11])
        changed = content[:3] + struct.pack("<Q", size + len(changed) - len(content)) + changed[11:]
    return changed


# --- files that are read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [SimpleConvNet, DeepConvNet])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_what_the_book_writes_is_read_to_the_bit(network, dtype, protocol, tmp_path):
    params, path = parameters(network, dtype), tmp_path / "params.pkl"
    with open(path, "wb") as file:
        pickle.dump(params, file, protocol)  # `save_params` of the book
    same_bits(load_weights(path), params)
    same_bits(load_weights(str(path)), params)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("protocol", [3, 4])
def test_what_python_and_numpy_of_2016_wrote_is_read_to_the_bit(dtype, protocol, tmp_path):
    params, path = parameters(dtype=dtype), tmp_path / "params.pkl"
    content = of_2016(params, protocol)
    assert content != pickle.dumps(params, protocol)
    assert b"numpy.core.multiarray" in content
    path.write_bytes(content)
    same_bits(load_weights(path), params)


@pytest.mark.parametrize("dtype", DTYPES)
def test_safetensors_and_npz(dtype, tmp_path):
    params, npz = parameters(dtype=dtype), io.BytesIO()
    np.savez(npz, **params)
    for name, content in (("w.npz", npz.getvalue()), ("w.safetensors", save(params))):
        (tmp_path / name).write_bytes(content)
        read = load_weights(tmp_path / name)
        same_bits({name: read[name] for name in params}, params)
        assert set(read) == set(params)


def test_the_networks_take_them_and_what_they_save_is_read(tmp_path):
    params, path = parameters(), tmp_path / "params.pkl"
    path.write_bytes(pickle.dumps(params, 3))
    network = SimpleConvNet().set_params(load_weights(path))
    for name, value in network.params.items():
        assert np.array_equal(value, params[name].astype(np.float32), equal_nan=True)
    network.save(tmp_path / "w.safetensors")
    again = load_weights(tmp_path / "w.safetensors")
    assert all(again[name].tobytes() == value.tobytes() for name, value in network.params.items())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_books_own_parameters_are_right_as_often_as_in_the_books_code(name, dtype):
    path = Path(DATA_DIR, "book", name)
    if not DATA_DIR or not path.exists():
        pytest.skip(f"needs the book's file: put {name} into the sub-folder book of the folder XPNET_DATA_DIR names")
    content = path.read_bytes()
    expected = RIGHT[name].get(hashlib.sha256(content).hexdigest())
    assert expected is not None, f"{path} is none of the two versions that the book's repository has had"
    params = load_weights(path)
    same_bits(params, pickle.loads(content))  # its SHA-256 is that of a known file
    _, (x, t) = load_mnist(flatten=False)
    network = NETWORKS[name](dtype=dtype).set_params(params)
    right = sum(
        int((network.predict(x[i : i + 200].astype(dtype)).argmax(axis=1) == t[i : i + 200]).sum())
        for i in range(0, len(x), 200)
    )
    assert abs(right - expected) <= (0 if dtype == "float64" else 3)  # float32 may turn images that are nearly a tie


# --- and those that are not -----------------------------------------------------------------------------------------


def refused(path, says):
    with pytest.raises(DataError, match=says) as caught:
        load_weights(path)
    assert str(caught.value).startswith(f"{path} ")


@pytest.mark.parametrize("protocol", range(6))
def test_a_file_that_would_run_something_is_refused_before_it_does(protocol, tmp_path):
    made, path = tmp_path / "made", tmp_path / "params.pkl"

    class Calls:
        def __reduce__(self):
            return os.mkdir, (str(made),)

    for content in (Calls(), {**parameters(), "W4": Calls()}, {"W0": Calls(), **parameters()}):
        path.write_bytes(pickle.dumps(content, protocol))
        refused(path, "holds more than NumPy arrays: it wants to use .* Nothing of it has been run.*numpy.savez")
    assert not made.exists()
    pickle.loads(pickle.dumps(Calls(), protocol))
    assert made.exists()  # so the file is an attack


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_file_that_is_cut_short_is_refused(protocol, tmp_path):
    path, content = tmp_path / "params.pkl", pickle.dumps(parameters(), protocol)
    for size in (0, 1, 2, 100, len(content) // 2, len(content) - 100, len(content) - 1):
        path.write_bytes(content[:size])
        refused(path, "damaged.* Copy or download it once more")


def test_what_is_no_file_of_parameters_is_refused_with_what_mends_it(tmp_path, monkeypatch):
    path = tmp_path / "params.pkl"
    refused(path, r"cannot be read \(.*No such file.*`load_weights\('folder/params\.pkl'\)`")
    refused(tmp_path, r"cannot be read \(it is a folder.*`load_weights\('folder/params\.pkl'\)`")
    for content, says in (
        (b"W1 = 0.5\nb1 = 0\n", "no pickle.* Copy or download it once more"),
        (b"<html>404: Not Found</html>", "is a web page.* Download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1", r"Git LFS.* `git lfs pull`\.$"),
    ):
        path.write_bytes(content)
        refused(path, says)
    path.write_bytes(pickle.dumps({"W1": np.arange(3)}, 4))
    refused(path, r"holds W1 of dtype int64, expected were floats.* `numpy\.savez\('weights\.npz', ")
    path.write_bytes(pickle.dumps(parameters(), 2))
    refused(path, r"protocol 2, expected was 3, 4 or 5\. .* `pickle\.dump\(params, file, protocol=4\)`\.$")
    path.write_bytes(pickle.dumps([1], 3))
    refused(path, "it has a list.*numpy.savez")
    monkeypatch.setattr(weight_files, "_MAX_BYTES", 3)
    refused(path, r"expected were 3 at most\. `network\.load\('weights\.safetensors'\)` reads larger")


def test_parameters_of_another_network_are_refused_by_name_and_by_shape(tmp_path):
    path = tmp_path / "params.pkl"
    path.write_bytes(pickle.dumps(parameters(), 4))
    params = load_weights(path)
    deep = DeepConvNet(seed=0)
    with pytest.raises(ArgumentError, match=r"Expected the parameters W1, .*, b8, got W1, b1, W2, b2, W3, b3\."):
        deep.set_params(params)
    wider = SimpleConvNet(conv_param={"filter_num": 30, "filter_size": 3, "pad": 0, "stride": 1}, seed=0)
    before = wider.state.weights()
    with pytest.raises(ShapeError, match=r"W1 has shape \(30, 1, 3, 3\), got a value of shape \(30, 1, 5, 5\)"):
        wider.set_params(params)
    assert all(np.array_equal(value, before[name]) for name, value in wider.params.items())
    with pytest.raises(ArgumentError, match="Expected the parameters W1, b1, W2, b2, got W1"):
        TwoLayerNet(784, 50, 10).set_params(params)
