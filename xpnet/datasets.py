"""Handwritten digits to learn from: MNIST, downloaded once and verified at each load, and a small set at hand."""

import logging
import math
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.errors import DataError
from xpnet.functions import as_inputs, one_hot

__all__ = ["DatasetUnavailable", "load_digits", "load_mnist"]

Images: TypeAlias = NDArray[Any]
Labels: TypeAlias = NDArray[Any]
Dataset: TypeAlias = tuple[tuple[Images, Labels], tuple[Images, Labels]]

# The shape of each file's array and the SHA-256 of its decompressed content, in the order of load_mnist's result.
_FILES = {
    "train-images-idx3-ubyte": ((60000, 28, 28), "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": ((60000,), "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": ((10000, 28, 28), "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": ((10000,), "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)

_log = logging.getLogger("xpnet")


class DatasetUnavailable(DataError):  # noqa: N818 - a state of the network, not a fault of the caller's
    """A data set that is not on this machine and cannot be downloaded either."""


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    data_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Load MNIST: 60,000 handwritten digits for training and 10,000 for testing, 28 x 28 pixels each.

    The four files come from the first of these that has them: `data_dir`; the folder that the environment variable
    ``XPNET_DATA_DIR`` names; the user's cache; the internet, from where they go into the cache. A folder holds them,
    each gzipped or not, itself or in a sub-folder ``mnist``. Each load verifies each file by its SHA-256. One that is
    wrong is replaced in the cache, and reported, never touched, in a folder of yours.

    Parameters
    ----------
    normalize
        Pixels as float32 from 0 to 1 (each times 1/255) if true, as uint8 from 0 to 255 if not.
    flatten
        Images of shape (N, 784) if true, (N, 1, 28, 28) if not.
    one_hot_label
        Labels as float32 of shape (N, 10) if true, as int64 of shape (N,) if not.
    data_dir
        A folder that holds the four files.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        NumPy arrays of the caller's own.

    Raises
    ------
    DatasetUnavailable
        The files are not on this machine, and no mirror gave them.
    DataError
        A file cannot be read or is not the file that MNIST's authors published; `data_dir` lacks the files;
        a folder holds only some of them.

    Note
    ----
    One of the course's notes prints (6000, 10) as the shape of the one-hot training labels: a slip for (60000, 10).

    Source: course row 6; Y. LeCun, C. Cortes and C. J. C. Burges, *The MNIST database of handwritten digits*.

    Examples
    --------
    The course's first lines::

        (x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
        print(x_train.shape, t_train[0], t_test[0])  # (60000, 784) 5 7
    """
    own = _own_files(data_dir)
    train_x, train_t, test_x, test_t = (_read(own[name], name) for name in _FILES) if own else _from_cache()
    return (
        _as_asked(train_x, train_t, normalize, flatten, one_hot_label),
        _as_asked(test_x, test_t, normalize, flatten, one_hot_label),
    )


def load_digits(normalize: bool = True, flatten: bool = True, one_hot_label: bool = False) -> Dataset:
    """Load the small handwritten digits that come with xpnet: 1,437 for training, 360 for testing, 8 x 8 pixels each.

    They need no network. The split is fixed: the first 1,437 images of the original file, and the last 360. The
    file's order is kept, because shuffling would put digits of one writer on both sides.

    Parameters
    ----------
    normalize
        Pixels as float32 from 0 to 1 (each times 1/255) if true, as uint8 from 0 to 255 if not.
    flatten
        Images of shape (N, 64) if true, (N, 1, 8, 8) if not.
    one_hot_label
        Labels as float32 of shape (N, 10) if true, as int64 of shape (N,) if not.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        NumPy arrays of the caller's own.

    Note
    ----
    The original has pixels from 0 to 16; here they are 0 to 255, as in MNIST. ``round(x * 16 / 255)`` gives them back.

    Source: E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository,
    1998, https://doi.org/10.24432/C50P49, CC BY 4.0.

    Examples
    --------
    >>> (x_train, t_train), (x_test, t_test) = load_digits()
    >>> x_train.shape, x_test.shape, x_train.dtype
    ((1437, 64), (360, 64), dtype('float32'))
    >>> t_train[:5]
    array([0, 1, 2, 3, 4])
    """
    from importlib import resources

    with (
        resources.files("xpnet").joinpath("data", "digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        images, labels = arrays["images"], arrays["labels"]
    return (
        _as_asked(images[:1437], labels[:1437], normalize, flatten, one_hot_label),
        _as_asked(images[1437:], labels[1437:], normalize, flatten, one_hot_label),
    )


def _as_asked(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], normalize: bool, flatten: bool, one_hot_label: bool
) -> tuple[Images, Labels]:
    """Images and labels in the form that the three switches ask for, always in new arrays."""
    x: Images = images.reshape(len(images), -1) if flatten else images[:, np.newaxis]
    x = as_inputs(x, np.dtype(np.float32)) if normalize else x.copy()
    return x, one_hot(labels, 10, np.float32) if one_hot_label else labels.astype(np.int64)


# Where the files are.


def _find(folder: Path) -> dict[str, Path]:
    """Those of the four files that are in `folder`, or in its sub-folder mnist if more are there."""
    found = []
    for place in (folder, folder / "mnist"):
        try:
            listing = set(os.listdir(place))
        except (FileNotFoundError, NotADirectoryError):
            listing = set()
        except OSError as error:
            raise DataError(f"The folder {place} cannot be read ({error}). Give yourself the right to.") from error
        files = ((name, file) for name in _FILES for file in (name, f"{name}.gz") if file in listing)
        found.append({name: place / file for name, file in files})
    return max(found, key=len)


def _own_files(data_dir: str | os.PathLike[str] | None) -> dict[str, Path]:
    """The four files in the folder that the caller or the environment names; none if the environment's has none."""
    folder = data_dir if data_dir is not None else os.environ.get("XPNET_DATA_DIR") or None
    if folder is None:
        return {}
    path = Path(folder).expanduser()
    found = _find(path)
    missing = [name for name in _FILES if name not in found]
    if missing and (found or data_dir is not None):
        raise DataError(
            f"MNIST is four files; the folder {path} and its sub-folder mnist lack {', '.join(missing)} "
            "(each may be gzipped, with .gz after the name). Put them there, or do without "
            f"{'data_dir' if data_dir is not None else 'XPNET_DATA_DIR'}, and all four are downloaded."
        )
    if missing:
        _log.info("XPNET_DATA_DIR=%s holds no MNIST; looking in the cache.", path)
    return found


def _read(path: Path, name: str) -> NDArray[np.uint8]:
    """The array in a file of the user's own."""
    from xpnet._idx import read_idx

    try:
        return read_idx(path, *_FILES[name])
    except DataError as error:
        raise DataError(
            f"{path} {error}. It has been left as it is: put {_MIRRORS[0]}{name}.gz in its place, "
            "or do without the folder, and MNIST is downloaded."
        ) from error.__cause__  # the message already says all that the inner DataError does


def _from_cache() -> list[NDArray[np.uint8]]:
    """The four arrays from the user's cache, where a file that is missing or wrong is downloaded first."""
    import pooch

    from xpnet._download import discard
    from xpnet._idx import read_idx

    cache = Path(pooch.os_cache("xpnet")) / "mnist"
    found, mirrors, arrays = _find(cache), list(_MIRRORS), []
    if len(found) < len(_FILES):
        _log.info("MNIST is not on this machine: asking for it on the internet, which may take some seconds.")
    for name, expected in _FILES.items():
        if name in found:
            try:
                arrays.append(read_idx(found[name], *expected))
                continue
            except DataError as error:
                _log.warning("%s %s. It will be downloaded again.", found[name], error)
                discard(found[name], "a file of MNIST")
        arrays.append(_read(_download(name, cache, mirrors), name))
    return arrays


def _download(name: str, cache: Path, mirrors: list[str]) -> Path:
    """The path of the file, now in the cache."""
    from xpnet._download import download
    from xpnet._idx import read_idx

    shape, sha256 = _FILES[name]
    at_most = math.prod(shape) + 2**16  # gzip adds less than this even to what it cannot compress
    try:
        return download(
            f"{name}.gz", cache, mirrors, at_most=at_most, verify=lambda part: read_idx(part, shape, sha256)
        )
    except DataError as error:
        reasons = "".join(f"\n  {line}" for line in str(error).splitlines())
        own = os.environ.get("XPNET_DATA_DIR")
        also = f"\nThe folder {own}, which XPNET_DATA_DIR names, holds none of MNIST's files." if own else ""
        raise DatasetUnavailable(
            f"MNIST is not in {cache} and no mirror gave it:{reasons}{also}\n"
            f"Put the four files {', '.join(_FILES)} (each may be gzipped, with .gz after the name) into a folder, "
            "and name it:  export XPNET_DATA_DIR=that-folder  or  load_mnist(data_dir='that-folder')"
        ) from None  # the reasons are all in the message
