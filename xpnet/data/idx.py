"""Sets of images in IDX files, the format of MNIST: Fashion-MNIST, KMNIST, EMNIST, QMNIST, and sets of one's own."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet._core.arrays import as_inputs
from xpnet._core.checks import check_count, check_flag
from xpnet._core.files import check_path
from xpnet.data._idx import read_idx_file
from xpnet.errors import ArgumentError, DataError
from xpnet.functions import one_hot

__all__ = ["Dataset", "as_asked", "check_switches", "find_idx_files", "folder_content", "load_idx", "read_idx"]

Images: TypeAlias = NDArray[Any]
Labels: TypeAlias = NDArray[Any]
Dataset: TypeAlias = tuple[tuple[Images, Labels], tuple[Images, Labels]]

FileKind: TypeAlias = tuple[str, str, str]  # ("emnist-letters", "train", "images"): set, part, content

# The names of the published files, dots and underscores in them having become dashes.
_NAME = re.compile(r"(?:(?P<set>.+)-)?(?P<part>train|test|t10k)-(?P<content>images|labels)-idx\d(?:-[a-z0-9]+)?")
_PARTS = [(part, content) for part in ("train", "test") for content in ("images", "labels")]
_MAX_SHOWN = 8  # entries of a folder in a message


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the array in one IDX file, gzipped or not.

    Parameters
    ----------
    path
        The file. The format has uint8, int8, int16, int32, float32 and float64, in up to 32 dimensions.

    Returns
    -------
    numpy.ndarray
        The numbers as they are in the file, in this machine's byte order; the caller's own.

    Raises
    ------
    DataError
        When the file is missing, is no IDX file, or has not as many numbers as its header says.

    Examples
    --------
    The labels of QMNIST have eight numbers each, the first of which is the class::

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
    """Load a set of images in the form of MNIST: four IDX files, whatever is in them, each gzipped or not.

    It reads Fashion-MNIST, KMNIST, the sets of EMNIST, and one's own. `load_mnist` compares MNIST, Fashion-MNIST and
    KMNIST with what was published; here that the files fit one another is all that is verified.

    Parameters
    ----------
    source
        A folder that holds the files, itself or in a sub-folder ``raw`` or ``gzip``, under such names as
        ``train-images-idx3-ubyte``, ``t10k-labels.idx1-ubyte.gz`` or ``emnist-letters-test-images-idx3-ubyte``. Or the
        four files themselves: training images, training labels, test images, test labels.
    normalize
        Pixels as float32 from 0 to 1 (each times 1/255) if true, which needs uint8; as they are in the file if not.
    flatten
        Images of shape (N, H W) if true, (N, 1, H, W) if not.
    one_hot_label
        Labels as float32 of shape (N, classes) if true, as int64 of shape (N,) if not. There are as many classes as
        the largest label says.
    name
        Which set, where the folder holds several: ``"emnist-letters"``, the beginning of its files' names.
    transposed
        Whether the files hold the columns of the images as rows. None: those of EMNIST do, known by their names.
    first_label
        The label of the first class, which becomes 0. None: 1 for ``emnist-letters``, known by its name; else 0, and
        labels that begin at another are an error.

    Returns
    -------
    (x_train, t_train), (x_test, t_test)
        NumPy arrays of the caller's own.

    Raises
    ------
    DataError
        When a file is missing or damaged, the files do not fit one another, or the labels do not begin at
        `first_label`.

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
    return (
        as_asked(x_train, t_train, normalize, flatten, classes if one_hot_label else None),
        as_asked(x_test, t_test, normalize, flatten, classes if one_hot_label else None),
    )


def check_switches(normalize: Any, flatten: Any, one_hot_label: Any) -> None:
    """Raise an ArgumentError where one of a loader's switches is neither True nor False."""
    for name, value in {"normalize": normalize, "flatten": flatten, "one_hot_label": one_hot_label}.items():
        check_flag(name, value)


def as_asked(
    images: Images, labels: Labels, normalize: bool, flatten: bool, classes: int | None
) -> tuple[Images, Labels]:
    """Images and labels in the form that the switches of a loader ask for, in new arrays; one-hot for `classes`."""
    channels = images.reshape(len(images), -1, *images.shape[-2:])
    x: Images = channels.reshape(len(images), -1) if flatten else channels
    x = as_inputs(x, np.dtype(np.float32)) if normalize else x.copy()
    return x, labels.astype(np.int64) if classes is None else one_hot(labels, classes, np.float32)


def _read(path: Path) -> NDArray[Any]:
    try:
        return read_idx_file(path)
    except DataError as error:
        raise DataError(f"{path} {error}.") from error.__cause__  # the message already says all that the inner one does


def _check_pair(files: Sequence[Path], images: Images, labels: Labels, normalize: bool) -> None:
    """Raise unless these are images and their labels."""
    x_file, t_file = files
    if images.ndim not in (3, 4):
        raise DataError(f"{x_file} holds an array of shape {images.shape}, expected were images: (N, H, W).")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        fix = f" Use `read_idx({str(t_file)!r})[:, 0]` for the first number of each." if labels.ndim == 2 else ""
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
    """The label that becomes class 0."""
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


# --- where the files are ----------------------------------------------------------------------------------------------


def find_idx_files(folder: Path) -> dict[FileKind, Path]:
    """The IDX files in a folder, by what their names say.

    Names as unpacking programs and web sites change them are known: dots or underscores for dashes, upper case, with
    and without ``.gz``, a file in a folder of its own name. Where a file is there twice, gzipped is taken.
    """
    found = _by_kind(folder / entry for entry in _listing(folder))
    for kind, path in found.items():
        if path.is_dir():
            found[kind] = _by_kind(path / entry for entry in _listing(path)).get(kind, path)
    return found


def _by_kind(paths: Iterable[Path]) -> dict[FileKind, Path]:
    """Those of some paths that are named as IDX files are."""
    found = {}
    for path in paths:
        match = _NAME.fullmatch(re.sub(r"[._ ]", "-", path.name.lower().removesuffix(".gz")))
        if match and not path.name.startswith("."):  # macOS puts a file "._NAME" beside each
            part = "train" if match["part"] == "train" else "test"
            found[match["set"] or "", part, match["content"]] = path
    return found


def folder_content(folder: Path) -> str:
    """What is in a folder, in a sentence for a message."""
    if not folder.exists():
        return f"There is no folder {folder}."
    if not folder.is_dir():
        return f"{folder} is a file, not a folder."
    names = [f"{entry}/" if (folder / entry).is_dir() else entry for entry in _listing(folder)]
    more = f" and {len(names) - _MAX_SHOWN:,} more" if len(names) > _MAX_SHOWN else ""
    return f"It holds {', '.join(names[:_MAX_SHOWN])}{more}." if names else "It is empty."


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read ({error}). Give yourself the right to.") from error


def _four_files(source: Any, name: str | None) -> list[Path]:
    """Training images, training labels, test images, test labels."""
    if isinstance(source, list | tuple):
        if len(source) != 4:
            raise ArgumentError(
                f"load_idx takes a folder or four files, training images and labels, test images and labels, got "
                f"{len(source)} paths. Read a single file with `read_idx(path)`."
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
            f"train-images-idx3-ubyte or train-images.idx3-ubyte.gz. {folder_content(folder)}"
        )
    return [found[chosen, part, content] for part, content in _PARTS]
