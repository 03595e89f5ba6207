"""MNIST, Fashion-MNIST and KMNIST, downloaded once and verified, and small digits that come with xpnet."""

import hashlib
import logging
import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xpnet._core.files import check_path, open_regular
from xpnet.data import idx
from xpnet.data._download import discard, download
from xpnet.errors import ArgumentError, DataError, DatasetUnavailableError

_TRAIN_IMAGES, _TEST_IMAGES = (60000, 28, 28), (10000, 28, 28)


@dataclass(frozen=True)
class _Published:
    """A published set of four files, in the order of load_mnist's result."""

    title: str
    mirrors: tuple[str, ...]  # addresses to which the name of a file is appended
    files: dict[str, tuple[tuple[int, ...], str]]  # by name: the shape of the array, and the SHA-256
    folders: tuple[str, ...]  # sub-folders that may hold the files, in lower case
    gzipped: bool = True  # whether the SHA-256 is of the published .gz, or of the decompressed content


def _files(*sha256: str) -> dict[str, tuple[tuple[int, ...], str]]:
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    shapes = (_TRAIN_IMAGES, _TRAIN_IMAGES[:1], _TEST_IMAGES, _TEST_IMAGES[:1])
    return dict(zip(names, zip(shapes, sha256, strict=True), strict=True))


# The checksums of Fashion-MNIST and KMNIST are those that TensorFlow Datasets publishes.
_SETS = {
    "mnist": _Published(
        "MNIST",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://raw.githubusercontent.com/fgnt/mnist/master/",
        ),
        _files(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        ("mnist",),
        gzipped=False,
    ),
    "fashion": _Published(
        "Fashion-MNIST",
        (
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        _files(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        ("fashion", "fashion-mnist", "fashion_mnist", "fashionmnist"),
    ),
    "kmnist": _Published(
        "KMNIST",
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        _files(
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
        ("kmnist",),
    ),
}

_log = logging.getLogger("xpnet")


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    dataset: str = "mnist",
) -> idx.Dataset:
    """Load MNIST: 60,000 handwritten digits for training and 10,000 for testing, 28 x 28 pixels each.

    The four files are searched in `data_dir`, the folder of the environment variable ``XPNET_DATA_DIR``, and the user's
    cache, and else downloaded into the cache. They may be gzipped, and lie in the folder, in a sub-folder ``mnist``, or
    in a sub-folder ``raw`` of either (as with torchvision); names with dots for dashes, and files in folders of their
    own names, are found too. Each load verifies the SHA-256 of each file. A wrong file is replaced in the cache, and
    only reported, never changed, in your own folder.

    Parameters
    ----------
    normalize
        True: pixels as float32 from 0 to 1 (each times 1/255); False: uint8 from 0 to 255.
    flatten
        True: images of shape (N, 784); False: (N, 1, 28, 28).
    one_hot_label
        True: labels as float32 of shape (N, 10); False: int64 of shape (N,).
    data_dir
        A folder with the four files.
    dataset
        ``"mnist"``, or a set of the same size: ``"fashion"``, Fashion-MNIST, photographs of clothes, in a sub-folder
        ``fashion`` or ``FashionMNIST``; ``"kmnist"``, KMNIST, Japanese characters, in a sub-folder ``kmnist``. The
        published checksums of these are of the ``.gz`` files, so of your unpacked files only the form is verified.
        `load_idx` reads other sets.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        New NumPy arrays.

    Raises
    ------
    DatasetUnavailableError
        If the files are not on this machine, and no mirror provided them.
    DataError
        If a file cannot be read or is not the published one, or a folder lacks some of the files.

    Note
    ----
    One of the course's notes prints (6000, 10) as the shape of the one-hot training labels, instead of (60000, 10).

    Source: course row 6; Y. LeCun, C. Cortes and C. J. C. Burges, *The MNIST database of handwritten digits*;
    H. Xiao, K. Rasul and R. Vollgraf, *Fashion-MNIST*, 2017, arXiv:1708.07747; T. Clanuwat et al., *Deep Learning for
    Classical Japanese Literature*, 2018, arXiv:1812.01718.

    Examples
    --------
    The course's first lines::

        (x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
        print(x_train.shape, t_train[0], t_test[0])  # (60000, 784) 5 7
    """
    idx.check_switches(normalize, flatten, one_hot_label)
    if not isinstance(dataset, str) or dataset not in _SETS:
        raise ArgumentError(
            f"dataset must be one of {', '.join(map(repr, _SETS))}, got {dataset!r}. Other sets of images in IDX files "
            "are read by `load_idx(folder)`."
        )
    published = _SETS[dataset]
    own = _own_files(published, data_dir)
    arrays = [_read(own, name, published) for name in published.files] if own else _from_cache(published, dataset)
    train_x, train_t, test_x, test_t = arrays
    return idx.transform(((train_x, train_t), (test_x, test_t)), normalize, flatten, 10 if one_hot_label else None)


def load_digits(normalize: bool = True, flatten: bool = True, one_hot_label: bool = False) -> idx.Dataset:
    """Load the small handwritten digits that come with xpnet: 1,437 for training, 360 for testing, 8 x 8 pixels each.

    The split is fixed: the first 1,437 images of the original file, and the last 360, in the file's order, because
    shuffling would put digits of one writer on both sides.

    Parameters
    ----------
    normalize, flatten, one_hot_label
        See `load_mnist`, also for the result; the images have shape (N, 64) or (N, 1, 8, 8).

    Note
    ----
    The original pixels from 0 to 16 are scaled to 0 to 255, as in MNIST; ``round(x * 16 / 255)`` restores them.

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

    idx.check_switches(normalize, flatten, one_hot_label)
    with (
        resources.files("xpnet").joinpath("data", "digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        images, labels = arrays["images"], arrays["labels"]
    halves = (images[:1437], labels[:1437]), (images[1437:], labels[1437:])
    return idx.transform(halves, normalize, flatten, 10 if one_hot_label else None)


# --- finding the files ----------------------------------------------------------------------------------------------


def _places(folder: Path, published: _Published) -> list[Path]:
    """The folder, its sub-folders named after the set, and the sub-folders ``raw`` of these."""
    named = [folder / name for name in idx.list_folder(folder) if name.lower() in published.folders]
    # All sets have the same file names: files in the folder itself are MNIST unless there is a sub-folder.
    places = [folder, *named] if published is _SETS["mnist"] else [*named, folder]
    return [place / sub for place in places for sub in ("", "raw")]


def _find_in(place: Path, published: _Published) -> dict[str, Path]:
    kinds = (("", part, content) for part in ("train", "test") for content in ("images", "labels"))
    files = idx.find_idx_files(place)
    return {name: files[kind] for name, kind in zip(published.files, kinds, strict=True) if kind in files}


def _own_files(published: _Published, data_dir: str | os.PathLike[str] | None) -> dict[str, Path]:
    """The four files in the folder given by the caller or the environment; none if the latter has none."""
    folder = data_dir if data_dir is not None else os.environ.get("XPNET_DATA_DIR") or None
    if folder is None:
        return {}
    named_by = "data_dir" if data_dir is not None else "XPNET_DATA_DIR"
    path = check_path(named_by, folder)
    found = max((_find_in(place, published) for place in _places(path, published)), key=len)
    if data_dir is None and published is not _SETS["mnist"] and _is_mnist(found):
        found = {}  # all sets have the same file names
    missing = [name for name in published.files if name not in found]
    if missing and (found or data_dir is not None):
        raise DataError(
            f"{published.title} is four files; the folder {path} and its sub-folder {published.folders[0]} lack "
            f"{', '.join(missing)} (each may be gzipped, with .gz after the name). {idx.describe_folder(path)} Put "
            f"them there, or leave out {named_by} to download all four."
        )
    if missing:
        _log.info("XPNET_DATA_DIR=%s holds no %s; looking in the cache.", path, published.title)
    return found


def _is_mnist(files: dict[str, Path]) -> bool:
    """Whether the smallest of the files is MNIST's."""
    name = "t10k-labels-idx1-ubyte"
    shape, sha256 = _SETS["mnist"].files[name]
    try:
        return name in files and idx.idx_sha256(idx.read_idx_file(files[name], shape)) == sha256
    except DataError:
        return False


# --- reading, verifying and downloading -----------------------------------------------------------------------------


def _verified(path: Path, name: str, published: _Published, *, downloaded: bool) -> NDArray[np.uint8]:
    """Read a file and verify its checksum; of an unpacked file without a published checksum, its labels."""
    shape, sha256 = published.files[name]
    array = idx.read_idx_file(path, shape)
    content = idx.idx_sha256(array)
    if content == sha256:
        return array
    gzipped = _gzip_sha256(path)
    if gzipped == sha256:
        return array
    for key, other in _SETS.items():
        if other.files[name][1] in (content, gzipped):
            raise DataError(f"is not the published file: it is that of {other.title}. Use `dataset={key!r}` to load it")
    if published.gzipped and not downloaded:
        if array.ndim == 1 and array.max() > 9:
            raise DataError(
                f"holds the label {array.max()}, expected were labels from 0 to 9: it belongs to another set"
            )
        return array
    what = f"file has SHA-256 {gzipped}" if published.gzipped else f"content has SHA-256 {content}"
    raise DataError(f"is not the published file: its {what}, expected was {sha256}")


def _gzip_sha256(path: Path) -> str | None:
    with open_regular(path) as file:
        if file.read(2) != b"\x1f\x8b":
            return None
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(files: dict[str, Path], name: str, published: _Published, *, downloaded: bool = False) -> NDArray[np.uint8]:
    path = files[name]
    try:
        return _verified(path, name, published, downloaded=downloaded)
    except DataError as error:
        folder = os.path.commonpath([file.parent for file in files.values()])
        raise DataError(
            f"{path} {error}. It was not changed. Replace it with {published.mirrors[0]}{name}.gz, or leave out the "
            f"folder to download {published.title}. If the folder holds another set, use "
            f"`load_idx({folder!r})`."
        ) from error.__cause__  # the new message contains the old one


def _from_cache(published: _Published, dataset: str) -> list[NDArray[np.uint8]]:
    """Read the four arrays from the user's cache, downloading missing and wrong files first."""
    import pooch

    cache = Path(pooch.os_cache("xpnet")) / dataset
    found, mirrors, arrays = _find_in(cache, published), list(published.mirrors), []
    if len(found) < len(published.files):
        _log.info("%s is not on this machine. Downloading it may take some seconds.", published.title)
    for name in published.files:
        if name in found:
            try:
                arrays.append(_verified(found[name], name, published, downloaded=True))
                continue
            except DataError as error:
                _log.warning("%s %s. It will be downloaded again.", found[name], error)
                discard(found[name], f"a file of {published.title}")
        downloaded = {name: _download(name, cache, mirrors, published, dataset)}
        arrays.append(_read(downloaded, name, published, downloaded=True))
    return arrays


def _download(name: str, cache: Path, mirrors: list[str], published: _Published, dataset: str) -> Path:
    max_bytes = math.prod(published.files[name][0]) + 2**16  # gzip adds less than this even to random data
    verify = partial(_verified, name=name, published=published, downloaded=True)
    try:
        return download(f"{name}.gz", cache, mirrors, max_bytes=max_bytes, verify=verify)
    except DataError as error:
        reasons = "".join(f"\n  {line}" for line in str(error).splitlines())
        own = os.environ.get("XPNET_DATA_DIR")
        missing = own and not check_path("XPNET_DATA_DIR", own).exists()
        what = "does not exist" if missing else f"holds none of {published.title}'s files"
        also = f"\nThe folder {own}, which XPNET_DATA_DIR names, {what}." if own else ""
        sub = "" if published is _SETS["mnist"] else f" (in its sub-folder {published.folders[0]})"
        more = "" if published is _SETS["mnist"] else f", dataset={dataset!r}"
        raise DatasetUnavailableError(
            f"{published.title} is not in {cache} and no mirror provided it:{reasons}{also}\n"
            f"Put the four files {', '.join(published.files)} (each may be gzipped, with .gz after the name) into a "
            f"folder{sub}, and name it with `export XPNET_DATA_DIR=that-folder` or "
            f"`load_mnist(data_dir='that-folder'{more})`."
        ) from None  # the reasons are all in the message
