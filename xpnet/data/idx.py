"""IDX files, the format of MNIST: single arrays, and sets of images such as Fashion-MNIST, EMNIST and QMNIST."""

import gzip
import hashlib
import math
import os
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet._core.arrays import as_inputs
from xpnet._core.checks import check_count, check_flag
from xpnet._core.files import check_path, open_regular
from xpnet.errors import ArgumentError, DataError
from xpnet.functions import one_hot

Images: TypeAlias = NDArray[Any]
Labels: TypeAlias = NDArray[Any]
Dataset: TypeAlias = tuple[tuple[Images, Labels], tuple[Images, Labels]]

FileKind: TypeAlias = tuple[str, str, str]  # ("emnist-letters", "train", "images"): set, part, content

# The names of the published files, with dots and underscores replaced by dashes.
_NAME = re.compile(r"(?:(?P<set>.+)-)?(?P<part>train|test|t10k)-(?P<content>images|labels)-idx\d(?:-[a-z0-9]+)?")
_PARTS = [(part, content) for part in ("train", "test") for content in ("images", "labels")]
_MAX_SHOWN = 8  # entries of a folder in a message

# By the third byte of a file; the numbers are big-endian.
_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 32
_MAX_GZIP_RATIO = 1032  # the most bytes that a byte of a gzip file can unpack to


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the array in one IDX file, gzipped or not.

    Parameters
    ----------
    path
        The file: uint8, int8, int16, int32, float32 or float64, in up to 32 dimensions.

    Returns
    -------
    numpy.ndarray
        A new array with the dtype of the file, in this machine's byte order.

    Raises
    ------
    DataError
        If the file is missing, is no IDX file, or does not have the size that its header states.

    Examples
    --------
    The labels of QMNIST are rows of eight numbers, the first of which is the class::

        t_train = read_idx("qmnist-train-labels-idx2-int.gz")[:, 0]
    """
    return _read(check_path("path", path)).copy()


def load_idx(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    name: str | None = None,
    transposed: bool | None = None,
    first_label: int | None = None,
) -> Dataset:
    """Load a set of images in the form of MNIST: four IDX files, each gzipped or not.

    Reads Fashion-MNIST, KMNIST, the sets of EMNIST, and your own. Only the consistency of the files is verified;
    `load_mnist` compares MNIST, Fashion-MNIST and KMNIST with the published files.

    Parameters
    ----------
    source
        A folder with the files, or with a sub-folder ``raw`` or ``gzip`` of them, with names such as
        ``train-images-idx3-ubyte``, ``t10k-labels.idx1-ubyte.gz`` or ``emnist-letters-test-images-idx3-ubyte``. Or the
        four files: training images, training labels, test images, test labels.
    normalize
        True: pixels as float32 from 0 to 1 (uint8 times 1/255); False: pixels as in the file.
    flatten
        True: images of shape (N, H*W); False: (N, 1, H, W).
    one_hot_label
        True: labels as float32 of shape (N, classes), up to the largest label; False: int64 of shape (N,).
    name
        Set to load if the folder holds several: ``"emnist-letters"``, the beginning of its files' names.
    transposed
        Whether the files hold the columns of the images as rows; None: if their names are those of EMNIST.
    first_label
        Label of the first class, which becomes 0. None: 1 for ``emnist-letters``, else 0; labels that begin at another
        number are then an error.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        New NumPy arrays.

    Raises
    ------
    DataError
        If a file is missing or damaged, the files do not belong together, or the labels do not begin at `first_label`.

    Examples
    --------
    The 26 letters of EMNIST, upright, as classes from 0::

        (x_train, t_train), (x_test, t_test) = load_idx("gzip", name="emnist-letters")

    Files of other names::

        data = load_idx(["a.idx", "a_labels.idx", "b.idx", "b_labels.idx"])
    """
    check_switches(normalize, flatten, one_hot_label)
    files = _four_files(source, name)
    (set_name, _, _) = next(iter(_by_kind(files[:1])), ("", "", ""))
    upright = not (set_name.startswith("emnist") if transposed is None else check_flag("transposed", transposed))
    if first_label is None and set_name == "emnist-letters":
        first_label = 1
    x_train, t_train, x_test, t_test = (_read(path) for path in files)
    _check_pair(files[:2], x_train, t_train, normalize)
    _check_pair(files[2:], x_test, t_test, normalize)
    first = _first_label(first_label, files[1], int(t_train.min()), files[3], int(t_test.min()))
    t_train, t_test = t_train.astype(np.int64) - first, t_test.astype(np.int64) - first
    if not upright:
        x_train, x_test = (x.swapaxes(-1, -2) for x in (x_train, x_test))
    if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
        raise DataError(
            f"The images in {files[0]} are {x_train.shape[1:]} {x_train.dtype}, those in {files[2]} are "
            f"{x_test.shape[1:]} {x_test.dtype}. Expected were images of one form: take both files from one set."
        )
    classes = int(max(t_train.max(), t_test.max())) + 1
    halves = (x_train, t_train), (x_test, t_test)
    return transform(halves, normalize, flatten, classes if one_hot_label else None)


def check_switches(normalize: Any, flatten: Any, one_hot_label: Any) -> None:
    """Raise an ArgumentError unless each of a loader's switches is True or False."""
    for name, value in {"normalize": normalize, "flatten": flatten, "one_hot_label": one_hot_label}.items():
        check_flag(name, value)


def transform(halves: Dataset, normalize: bool, flatten: bool, classes: int | None) -> Dataset:
    """Apply the switches of a loader to images and labels, in new arrays; one-hot labels for `classes`."""

    def transformed(images: Images, labels: Labels) -> tuple[Images, Labels]:
        x = images.reshape(len(images), *([-1] if flatten else [-1, *images.shape[-2:]]))
        x = as_inputs(x, np.dtype(np.float32)) if normalize else x.copy()
        return x, labels.astype(np.int64) if classes is None else one_hot(labels, classes, np.float32)

    train, test = halves
    return transformed(*train), transformed(*test)


def _read(path: Path) -> NDArray[Any]:
    try:
        return read_idx_file(path)
    except DataError as error:
        raise DataError(f"{path} {error}.") from error.__cause__  # the new message contains the old one


def _check_pair(files: Sequence[Path], images: Images, labels: Labels, normalize: bool) -> None:
    x_file, t_file = files
    if images.ndim not in (3, 4):
        raise DataError(f"{x_file} holds an array of shape {images.shape}, expected were images: (N, H, W).")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        code = f"xpnet.data.idx.read_idx({str(t_file)!r})[:, 0]"
        fix = f" Use `{code}` for the first number of each." if labels.ndim == 2 else ""
        raise DataError(
            f"{t_file} holds an array of shape {labels.shape} and dtype {labels.dtype}, expected were labels: whole "
            f"numbers (N,).{fix}"
        )
    if len(images) != len(labels):
        raise DataError(
            f"{x_file} holds {len(images):,} images, {t_file} {len(labels):,} labels. Expected was a label for each "
            "image: take both files from one set."
        )
    if normalize and images.dtype != np.uint8:
        raise DataError(
            f"{x_file} holds {images.dtype}, and only uint8 can be divided by 255. Use `normalize=False`, and scale "
            "the images yourself."
        )


def _first_label(asked: int | None, train_file: Path, train_lowest: int, test_file: Path, test_lowest: int) -> int:
    lowest, file = min((train_lowest, train_file), (test_lowest, test_file))
    if lowest < 0:
        raise DataError(f"{file} holds the label {lowest}, expected were labels from 0.")
    if asked is None:
        if lowest > 0:
            raise DataError(
                f"The labels in {train_file} and {test_file} begin at {lowest}, expected were labels from 0. Use "
                f"`first_label={lowest}` to make {lowest} the first class, or `first_label=0` to keep them."
            )
        return 0
    if lowest < check_count("first_label", asked, 0):
        raise DataError(f"{file} holds the label {lowest}, below the first class {asked}. Use `first_label={lowest}`.")
    return asked


# --- finding the files ------------------------------------------------------------------------------------------------


def find_idx_files(folder: Path) -> dict[FileKind, Path]:
    """Find the IDX files in a folder by their names.

    Names changed by unpacking programs and web sites are recognized: dots or underscores for dashes, upper case, with
    or without ``.gz``, a file in a folder of its own name. Of two copies the gzipped one is used.
    """
    found = _by_kind(folder / entry for entry in list_folder(folder))
    for kind, path in found.items():
        if path.is_dir():
            found[kind] = _by_kind(path / entry for entry in list_folder(path)).get(kind, path)
    return found


def _by_kind(paths: Iterable[Path]) -> dict[FileKind, Path]:
    found = {}
    for path in paths:
        match = _NAME.fullmatch(re.sub(r"[._ ]", "-", path.name.lower().removesuffix(".gz")))
        if match and not path.name.startswith("."):  # macOS adds a file "._NAME" for each
            part = "train" if match["part"] == "train" else "test"
            found[match["set"] or "", part, match["content"]] = path
    return found


def describe_folder(folder: Path) -> str:
    """A sentence on the contents of a folder, for messages."""
    if not folder.exists():
        return f"There is no folder {folder}."
    if not folder.is_dir():
        return f"{folder} is a file, not a folder."
    names = [f"{entry}/" if (folder / entry).is_dir() else entry for entry in list_folder(folder)]
    more = f" and {len(names) - _MAX_SHOWN:,} more" if len(names) > _MAX_SHOWN else ""
    return f"It holds {', '.join(names[:_MAX_SHOWN])}{more}." if names else "It is empty."


def list_folder(folder: Path) -> list[str]:
    """The sorted names in a folder; empty if there is no such folder."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read ({error}). Change its permissions.") from error


def _four_files(source: Any, name: str | None) -> list[Path]:
    if isinstance(source, list | tuple):
        if len(source) != 4:
            raise ArgumentError(
                f"load_idx takes a folder or four files, training images and labels, test images and labels, got "
                f"{len(source)} paths. Read a single file with `xpnet.data.idx.read_idx(path)`."
            )
        return [check_path("source", path) for path in source]
    folder = check_path("source", source)
    found: dict[FileKind, Path] = {}
    for place in (folder / "gzip", folder / "raw", folder):
        found |= find_idx_files(place)
    sets = sorted({kind[0] for kind in found})
    if name is None and len(sets) > 1:
        raise DataError(
            f"{folder} holds several sets: {', '.join(map(repr, sets))}. Choose one with `name={sets[-1]!r}`."
        )
    chosen = (sets[0] if sets else "") if name is None else name
    missing = [f"{part} {content}" for part, content in _PARTS if (chosen, part, content) not in found]
    if missing:
        which = f"the set {chosen!r} in {folder}" if chosen else f"{folder}"
        raise DataError(
            f"Four IDX files were expected, but {which} lacks {', '.join(missing)}, such as "
            f"train-images-idx3-ubyte or train-images.idx3-ubyte.gz. {describe_folder(folder)}"
        )
    return [found[chosen, part, content] for part, content in _PARTS]


# --- the format ------------------------------------------------------------------------------------------------------


def read_idx_file(path: Path, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Read an IDX file, gzipped or not, into a read-only array, allocating no more than the file can hold.

    `shape` is the expected shape of an array of bytes, if known. The message of a DataError is a predicate, to which
    the caller adds the file or the address.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            # By content, because browsers may unpack a .gz without changing its name.
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if gzipped:
                return _read_array(gzip.GzipFile(fileobj=file), size * _MAX_GZIP_RATIO, shape)  # type: ignore[arg-type]
            return _read_array(file, size, shape)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"is damaged: it cannot be decompressed ({error}), a whole gzip file was expected") from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error}), a readable file was expected") from error


def _read_array(file: BinaryIO, max_bytes: int, shape: tuple[int, ...] | None) -> NDArray[Any]:
    """Read two zero bytes, the dtype, the number of dimensions, each size as big-endian uint32, and the numbers."""
    head = file.read(4)
    known = len(head) == 4 and head[:2] == b"\0\0" and head[2] in _DTYPES and 0 < head[3] <= _MAX_DIMENSIONS
    if not known or (shape is not None and head[2] != 0x08):
        expected = "00 00, a dtype and the number of dimensions" if shape is None else f"00 00 08 {len(shape):02x}"
        begins = f"begins with {head.hex(' ')}" if len(head) == 4 else f"has {len(head)} bytes"
        raise DataError(f"is not an IDX file{' of bytes' if shape else ''}: it {begins}, expected was {expected}")
    sizes = file.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise DataError(
            f"is cut short: it has {4 + len(sizes):,} bytes, expected were {head[3]} dimensions and numbers"
        )
    found, dtype = tuple(np.frombuffer(sizes, ">u4").tolist()), np.dtype(_DTYPES[head[2]])
    if shape is not None and found != shape:
        raise DataError(f"holds an array of shape {found}, expected was {shape}: it is another file under this name")
    if not all(found):
        raise DataError(f"holds an array of shape {found}, expected was one with numbers in it")
    start, size = 4 + len(sizes), math.prod(found) * dtype.itemsize
    # One more byte detects a file that is too long, without unpacking all of a gzip bomb.
    numbers = file.read(min(size, max_bytes) + 1)
    if len(numbers) != size:
        problem = f"is cut short: it has {start + len(numbers):,} bytes" if len(numbers) < size else "is too long"
        raise DataError(f"{problem}, expected were {start + size:,} (decompressed)")
    array = np.frombuffer(numbers, dtype).reshape(found)
    return array.astype(dtype.newbyteorder("="), copy=False)


def idx_sha256(array: NDArray[np.uint8]) -> str:
    """The SHA-256 of the decompressed IDX file of an array of bytes."""
    digest = hashlib.sha256(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
