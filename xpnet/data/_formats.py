"""Telling the formats of files of weights apart by their content, and naming those that are not read here."""

import io
import zipfile

from xpnet.errors import DamagedFileError, DataError

__all__ = ["file_format"]

# How files begin that hold weights of others, or none; what they are; and what to do with them.
_FROM_PYTORCH = (
    "a file of PyTorch. In a program that has PyTorch write the arrays alone: `numpy.savez('weights.npz', **{name: "
    "t.float().numpy() for name, t in torch.load('weights.pt', map_location='cpu', weights_only=True).items()})`, and "
    "load weights.npz"
)
_FROM_KERAS = (
    "a file of Keras. In a program that has Keras write the arrays alone: `numpy.savez('weights.npz', **{w.path: "
    "numpy.asarray(w) for w in model.weights})`, and load weights.npz"
)
_UNPACK = "Unpack it, and load the file that is in it"
_FORMATS = {
    b"\x93NUMPY": "a .npy file, whose array has no name. Write the arrays by name: `numpy.savez('weights.npz', "
    "**params)`, and load weights.npz",
    b"\x89HDF\r\n\x1a\n": f"an HDF5 file, perhaps {_FROM_KERAS}",
    b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19": _FROM_PYTORCH,  # before PyTorch 1.6
    b"\x1f\x8b": f"compressed with gzip. {_UNPACK}: `python -m gzip -d weights.npz.gz`",
    b"BZh": f"compressed with bzip2. {_UNPACK}",
    b"\xfd7zXZ\0": f"compressed with xz. {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"compressed with Zstandard. {_UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive. {_UNPACK}",
    b"version https://git-lfs": "a pointer to a file that Git LFS keeps elsewhere. Fetch the file: `git lfs pull`",
    b"<": "a web page, not the file that was to be downloaded. Download the file itself; on GitHub its page has a "
    "button `Raw`",
}


def file_format(file: io.BufferedReader) -> str:
    """Tell ``"safetensors"``, ``"npz"`` and ``"pickle"`` apart, the last being whatever is none of the others.

    Raises
    ------
    DataError
        For formats of other programs, by name and with what to do, as a predicate.
    """
    file.seek(0)
    head = file.read(64)
    file.seek(0)
    if not head:
        raise DamagedFileError("is damaged: it is empty")
    if head[8:9] == b"{" and head[4:8] == bytes(4):  # after the length of the header, in JSON
        return "safetensors"
    if head.startswith(b"PK"):
        return _zip_format(file)
    for magic, what in _FORMATS.items():
        if head.lstrip().startswith(magic):
            raise DataError(f"is {what}")
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42"):
        raise DataError(
            "is perhaps a model of ONNX. In a program that has ONNX write the arrays alone: `numpy.savez("
            "'weights.npz', **{a.name: onnx.numpy_helper.to_array(a) for a in onnx.load('model.onnx').graph."
            "initializer})`, and load weights.npz"
        )
    return "pickle"


def _zip_format(file: io.BufferedReader) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # whatever zipfile raises for what is damaged; the reader of npz files says it
        names = []
    file.seek(0)
    if any(name.endswith("data.pkl") for name in names):
        raise DataError(f"is {_FROM_PYTORCH}")
    if "model.weights.h5" in names:
        raise DataError(f"is {_FROM_KERAS}")
    return "npz"
