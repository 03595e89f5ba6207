"""Files of a network's weights: safetensors, which holds arrays and nothing that could run."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from xpnet._core.files import check_path, write_whole
from xpnet.data._formats import file_format
from xpnet.data._safetensors import read_header
from xpnet.data.array_files import check_finite_weights, file_sha256, open_weights, verified_tensors
from xpnet.errors import DamagedFileError, DataError

__all__ = ["load_expected_weights", "save_weights"]


def save_weights(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    description: str,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write named arrays, whole or not at all, with a checksum of them and of the metadata.

    Parameters
    ----------
    path
        The file.
    arrays
        Finite floats.
    description
        The network in a line, for people.
    metadata
        More text by name, to be read by `load_expected_weights`.

    Raises
    ------
    DataError
        When a weight is NaN or infinite. An older file is left as it was.
    WriteError
        When the file cannot be written.
    """
    from safetensors.numpy import save

    target = check_path("path", path)
    try:
        check_finite_weights(arrays)
    except DataError as error:
        raise DataError(f"{target} is not written: the network {error}.") from None
    contiguous = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    text = {**(metadata or {}), "format": "xpnet", "network": description}
    text["sha256"] = file_sha256(contiguous, text)
    return write_whole(target, save(contiguous, metadata=text))


def load_expected_weights(
    path: str | os.PathLike[str], expected: Mapping[str, tuple[tuple[int, ...], str]]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read what `save_weights` wrote of a network whose arrays are known; `load_weights` reads files of any.

    Parameters
    ----------
    path
        A safetensors file.
    expected
        The shape and dtype of each array that must be in it; there may be no other.

    Returns
    -------
    arrays, metadata
        The arrays by name, and the file's metadata.

    Raises
    ------
    DataError
        When the file is missing or damaged, does not hold what is expected, or holds NaN or infinity.
    """
    try:
        with open_weights(path) as file:
            if (kind := file_format(file)) != "safetensors":
                raise DataError(_not_safetensors(kind, os.fspath(path), file.read(1)))
            header = read_header(file, os.fstat(file.fileno()).st_size)
            found = {name: (shape, str(header.dtype(name))) for name, shape in header.shapes.items()}
            if found != dict(expected):
                raise DataError(
                    f"holds other weights than this network's. In the file: {_describe(found)}. Expected: "
                    f"{_describe(expected)}. Make the network with the sizes and dtype it was saved with"
                )
            arrays = verified_tensors(file, header, list(header.shapes))
            check_finite_weights(arrays)
    except DamagedFileError as error:
        raise DamagedFileError(f"{error} Copy it once more, or load another.") from error.__cause__
    return arrays, header.metadata


def _not_safetensors(kind: str, path: str, first: bytes) -> str:
    if kind == "npz" or first == b"\x80":
        what = "an npz file" if kind == "npz" else "a pickle"
        return f"is {what}, expected was a safetensors file. Use `network.state.set_weights(load_weights({path!r}))`"
    return (
        "is no safetensors file, which `network.save` writes. Give the path of a file of weights, such as "
        "`network.load('weights.safetensors')`"
    )


def _describe(form: Mapping[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{key} {shape} {dtype}" for key, (shape, dtype) in sorted(form.items())) or "nothing"
