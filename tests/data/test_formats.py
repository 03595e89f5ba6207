"""The formats of files of weights, told apart by their first bytes: files that other programs wrote."""

import bz2
import gzip
import io
import lzma
import pickle
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from xpnet.data._formats import file_format
from xpnet.errors import DataError

PARAMS = {"W1": np.arange(6.0).reshape(2, 3)}


def written(write):
    """What a function writes into a file."""
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def archive(*names):
    """A zip archive of files with these names."""

    def write(file):
        with zipfile.ZipFile(file, "w") as opened:
            for name in names:
                opened.writestr(name, b"content")

    return written(write)


NPZ = written(lambda file: np.savez(file, **PARAMS))

READ = {
    "safetensors": [save(PARAMS), save(PARAMS, {"written": "by hand"})],
    "npz": [NPZ, written(lambda file: np.savez_compressed(file, **PARAMS)), b"PK\3\4 and then damage"],
    "pickle": [*(pickle.dumps(PARAMS, protocol) for protocol in range(6)), b"anything else"],
}

REFUSED = {
    "npy": (written(lambda file: np.save(file, PARAMS["W1"])), r"a \.npy file, whose array has no name.*numpy\.savez"),
    "gzip": (gzip.compress(NPZ), "compressed with gzip.*python -m gzip -d"),
    "bzip2": (bz2.compress(NPZ), "compressed with bzip2"),
    "xz": (lzma.compress(NPZ), "compressed with xz"),
    "PyTorch": (archive("archive/data.pkl", "archive/data/0"), "a file of PyTorch.*torch.load"),
    "Keras": (archive("metadata.json", "model.weights.h5"), "a file of Keras"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file, perhaps a file of Keras"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "a web page": (b"\n<!DOCTYPE html><html></html>", "a web page.*Raw"),
    "ONNX": (b"\x08\x0a\x12\x07pytorch", "perhaps a model of ONNX"),
    "nothing": (b"", "is damaged: it is empty"),
}


@pytest.mark.parametrize(("expected", "content"), [(name, file) for name, files in READ.items() for file in files])
def test_what_is_read_is_told_by_its_content(expected, content):
    file = io.BufferedReader(io.BytesIO(content))
    file.read(3)
    assert file_format(file) == expected
    assert file.tell() == 0


@pytest.mark.parametrize("name", REFUSED)
def test_what_others_wrote_is_named_with_what_to_do(name):
    content, says = REFUSED[name]
    with pytest.raises(DataError, match=says):
        file_format(io.BufferedReader(io.BytesIO(content)))
