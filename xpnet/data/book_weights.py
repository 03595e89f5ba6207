"""The book's pre-trained weights (course row 7)."""

import logging
import os
from functools import partial
from pathlib import Path

import numpy as np

from xpnet._core.files import check_path
from xpnet.data._download import discard, download
from xpnet.data.weights import content_sha256, read_arrays
from xpnet.errors import DataError, DatasetUnavailableError

_NAME = "sample_weight.pkl"
_MIRRORS = (
    "https://raw.githubusercontent.com/oreilly-japan/deep-learning-from-scratch/master/ch03/",
    "https://raw.githubusercontent.com/WegraLee/deep-learning-from-scratch/master/ch03/",
)
_MAX_BYTES = 2**20  # the file has 181,853
_PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")
# The `content_sha256` of its arrays.
_SHA256 = "0a4fc810420ea3dbef9a75b5fe8a49eac1a8c26b10ac03d6d513f447af5a1ff8"

_log = logging.getLogger("xpnet")


def load_sample_weight(path: str | os.PathLike[str] | None = None, *, verify: bool = True) -> dict[str, np.ndarray]:
    """Load the weights of the book's pre-trained network, 784-50-100-10 with sigmoids, for a `ThreeLayerNet`.

    The book's file is a pickle; as in `load_weights`, nothing in it is run.

    Parameters
    ----------
    path
        The book's ``sample_weight.pkl``, or the same weights as a safetensors or npz file. None: the folder
        ``XPNET_DATA_DIR`` or its sub-folder ``book``; else the user's cache; else the file is downloaded from the
        book's repository into the cache.
    verify
        Whether to verify that the weights are the book's. False accepts any weights.

    Returns
    -------
    dict of str to numpy.ndarray
        ``W1 b1 W2 b2 W3 b3``, new float32 arrays.

    Raises
    ------
    DataError
        If the file is missing, damaged, holds anything but arrays of floats, or, with `verify`, other weights.
    DatasetUnavailableError
        If no path is given, the file is not on this machine, and no mirror provided it.

    Source: K. Saitoh, *Deep Learning from Scratch*, ``ch03/sample_weight.pkl``, MIT license.

    Examples
    --------
    These weights classify 9,352 of the 10,000 test images of MNIST correctly::

        network = ThreeLayerNet(784, 50, 100, 10).set_params(load_sample_weight())
    """
    own = _own_file() if path is None else check_path("path", path)
    return _from_cache() if own is None else _read(own, verify)


def _read(path: Path, verify: bool) -> dict[str, np.ndarray]:
    arrays = read_arrays(path)
    if not verify:
        return arrays
    found = content_sha256(arrays)
    if found != _SHA256:
        raise DataError(
            f"{path} does not hold the book's weights: the SHA-256 of its arrays is {found}, expected was {_SHA256}. "
            f"It was not changed. If they are your own weights, use `load_sample_weight({str(path)!r}, "
            "verify=False)`."
        )
    return {name: arrays[name] for name in _PARAMETERS}


def _own_file() -> Path | None:
    folder = os.environ.get("XPNET_DATA_DIR")
    if not folder:
        return None
    places = [check_path("XPNET_DATA_DIR", folder) / sub / _NAME for sub in ("", "book")]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        _log.info("XPNET_DATA_DIR=%s holds no %s; looking in the cache.", folder, _NAME)
    return found


def _from_cache() -> dict[str, np.ndarray]:
    """Read the weights from the user's cache, downloading a missing or wrong file first."""
    import pooch

    cache = Path(pooch.os_cache("xpnet")) / "book"
    cached = cache / _NAME
    if cached.exists():
        try:
            return _read(cached, verify=True)
        except DataError as error:
            _log.warning("%s It will be downloaded again.", error)
            discard(cached, "the book's file")
    try:
        verify = partial(_read, verify=True)
        return verify(download(_NAME, cache, list(_MIRRORS), max_bytes=_MAX_BYTES, verify=verify))
    except DataError as error:
        reasons = "".join(f"\n  {line}" for line in str(error).splitlines())
        raise DatasetUnavailableError(
            f"The book's weights are not in {cache} and no mirror provided them:{reasons}\n"
            f"Put {_NAME} from the book's ch03 into a folder, and name it with `export XPNET_DATA_DIR=that-folder` "
            f"or `load_sample_weight('that-folder/{_NAME}')`."
        ) from None  # the reasons are all in the message
