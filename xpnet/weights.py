"""Files of weights: safetensors, which holds arrays and nothing that could run."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from xpnet.errors import DataError
from xpnet.files import write_whole

__all__ = ["load_expected_weights", "save_weights"]


def save_weights(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], description: str) -> Path:
    """Write named arrays, whole or not at all."""
    from safetensors.numpy import save

    contiguous = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    return write_whole(path, save(contiguous, metadata={"format": "xpnet", "network": description}))


def load_expected_weights(
    path: str | os.PathLike[str], expected: Mapping[str, tuple[tuple[int, ...], str]]
) -> dict[str, np.ndarray]:
    """Read what `save_weights` wrote of a network whose arrays are known; `load_weights` reads files of any.

    Parameters
    ----------
    path
        A safetensors file.
    expected
        The shape and dtype of each array that must be in it; there may be no other.

    Raises
    ------
    DataError
        When the file is missing or damaged, or does not hold what is expected.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays: dict[str, np.ndarray] = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be read as a safetensors file of weights: {error}") from error
    found = {key: (tuple(value.shape), str(value.dtype)) for key, value in arrays.items()}
    if found != dict(expected):
        raise DataError(
            f"{path} holds other weights than this network's. In the file: {_describe(found)}. "
            f"Expected: {_describe(expected)}. Make the network with the sizes and dtype it was saved with."
        )
    return arrays


def _describe(form: Mapping[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{key} {shape} {dtype}" for key, (shape, dtype) in sorted(form.items())) or "nothing"
