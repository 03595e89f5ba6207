"""Load images from a folder with a sub-folder of JPEG and PNG files for each class."""

import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.lib import format as npy

from xpnet._core.checks import check_between, check_count, check_flag
from xpnet._core.files import check_path, whole_file, write_whole
from xpnet._core.random import random_streams
from xpnet.data._image_files import File, Listing, differing_neighbors, list_files, read_image
from xpnet.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["ImageFolder", "load_image_folder"]

Put: TypeAlias = Callable[[int, np.ndarray], None]

_MOST_TOLD = 100  # files that a message names; `problems` has them all
_CACHE_FORMAT = 2  # part of a cache's name: one of another version is not found


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, as `load_image_folder` gives them.

    Attributes
    ----------
    train, test
        Each a pair: images, uint8 (N, C, H, W), and labels, int64 (N,); in random order.
    class_names
        The names of the sub-folders, sorted, or what was given as `classes`: label k is ``class_names[k]``. A class
        without images has a name and a label too.
    problems
        What could not be used, and why, by the path inside the folder.
    """

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    class_names: list[str]
    problems: dict[str, str]


def load_image_folder(
    folder: str | os.PathLike[str],
    size: tuple[int, int] = (32, 32),
    *,
    classes: Sequence[str] | None = None,
    color: bool = True,
    split: float = 0.2,
    seed: int = 0,
    crop: bool = True,
    cache: str | os.PathLike[str] | None = None,
    most_pixels: int = 50_000_000,
    strict: bool = False,
    verbose: bool = True,
) -> ImageFolder:
    """Load a folder in which each sub-folder is a class and holds its JPEG and PNG files.

    Photographs are turned upright as their cameras noted (EXIF), transparent pixels are laid on white, palettes and 16
    bits become 8. Sub-folders of a class are not looked into. Files whose name begins with a dot are passed over, and
    so are those of the system, such as ``desktop.ini``, ``Thumbs.db`` and ``__MACOSX``.

    Parameters
    ----------
    folder
        The folder.
    size
        Height and width of the images that are made.
    classes
        The names of the classes in the order of their labels; None for the sub-folders, sorted. Where training and
        test images lie in two folders, give the second the ``class_names`` of the first: labels are then the same, also
        where one of the folders lacks a class.
    color
        Three channels, red, green and blue (True), or one, the brightness (False).
    split
        The share of each class that becomes the test set, from 0 up to, but not, 1, rounded down.
    seed
        A whole number: the same gives the same split and order, however the file system lists the files.
    crop
        Keep the proportions, and cut away what is too wide or too high on both sides (True), or squash (False).
    cache
        A folder to keep the made images in: then they are not in memory, but in a file there that is mapped, read as
        it is used, and found again as long as neither the images nor the arguments change. The arrays are for reading.
        For what does not fit into memory.
    most_pixels
        How many pixels an image may have. Decoding takes up to 16 bytes for each.
    strict
        Raise where something cannot be used, instead of a warning.
    verbose
        Show a progress bar where there is a terminal and it takes long.

    Returns
    -------
    ImageFolder
        Its `train` and `test` are what a `Trainer` takes; where `test` is empty, because `split` is 0 or classes are
        small, with ``None, None`` in its place.

    Warns
    -----
    UserWarning
        Naming each file that cannot be used, each class without images, and each folder that is not one of `classes`.
        Also, unless `classes` is given, each class that `folder` lacks and a folder next to it has, where they are
        called ``train``, ``test`` or ``val``.

    Raises
    ------
    DataError
        There is no such folder, or no usable image in it; with `strict`, the same that is warned of otherwise.
    ImportError
        Pillow, which reads the files, is not installed.

    Notes
    -----
    A `Trainer` on NumPy reads a mapped set minibatch by minibatch. On a GPU all of it is moved there, once; and
    ``validation=0.2`` makes a copy in memory.

    Examples
    --------
    A network for photographs::

        data = load_image_folder("photographs", size=(64, 64))
        trainer = Trainer(network, *data.train, *data.test)
        print(data.class_names, data.problems)

    Training and test images in two folders::

        train = load_image_folder("photographs/train", split=0)
        test = load_image_folder("photographs/test", split=0, classes=train.class_names)
        trainer = Trainer(network, *train.train, *test.train)
    """
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError("load_image_folder needs Pillow. Install it with `pip install '.[images]'`.") from error
    from tqdm.auto import tqdm

    for name, flag in {"color": color, "crop": crop, "strict": strict, "verbose": verbose}.items():
        check_flag(name, flag)
    shape = (3 if color else 1, *_check_size(size))
    check_between("split", split, 0, 1, below=True)
    check_count("most_pixels", most_pixels)
    check_count("seed", seed, 0)  # and not None: another split each time would mix the two sets
    place, kept_in = check_path("folder", folder), None if cache is None else check_path("cache", cache)
    if kept_in is not None and kept_in.resolve().is_relative_to(place.resolve()):
        raise ArgumentError(f"cache={str(cache)!r} lies in the folder of images. Choose a folder outside of it.")
    listing = list_files(place, _check_classes(classes))
    files = [listing.files[i] for i in random_streams(seed).order.permutation(len(listing.files))]

    def fill(put: Put) -> tuple[_Index, bool]:
        bar = tqdm(files, "reading images", delay=1, unit="image", leave=False, disable=None if verbose else True)
        return _fill(put, bar, listing, split, lambda path: read_image(path, shape, crop, most_pixels))

    if kept_in is None:
        block = np.empty((len(files), *shape), dtype=np.uint8)
        loaded = fill(block.__setitem__)[0].over(block)
    else:
        versions = [_CACHE_FORMAT, shape, split, seed, crop, most_pixels, *listing[:1], listing.problems]
        versions.append([file[:-1] for file in files])
        loaded = _through_cache(kept_in, versions, (len(files), *shape), fill)
    if classes is None:
        loaded = replace(loaded, problems=loaded.problems | differing_neighbors(place, loaded.class_names))
    _tell(folder, loaded.problems, strict=strict)
    return loaded


def _check_classes(classes: Any) -> list[str] | None:
    if classes is None:
        return None
    names = [] if isinstance(classes, str) or not hasattr(classes, "__iter__") else list(classes)
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise ArgumentError(
            f"Expected classes to be different names of sub-folders, such as `classes=['cat', 'dog']`, got {classes!r}."
        )
    return [str(name) for name in names]


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise ArgumentError(f"size must be a height and a width, such as `size=(32, 32)`, got {size!r}.")
    return check_count("the height in size", size[0]), check_count("the width in size", size[1])


def _tell(folder: str | os.PathLike[str], problems: dict[str, str], *, strict: bool) -> None:
    """Name each problem: in an error where that is wanted, else in a warning."""
    if not problems:
        return
    lines = [f"\n  {name if name.isprintable() else ascii(name)} {why}" for name, why in sorted(problems.items())]
    if len(lines) > _MOST_TOLD:
        lines[_MOST_TOLD:] = [f"\n  and {len(lines) - _MOST_TOLD:,} more, which `problems` has"]
    count = f"{len(problems):,} problem{'s' * (len(problems) > 1)}"
    message = f"There {'is' if len(problems) == 1 else 'are'} {count} in {os.fspath(folder)}:{''.join(lines)}"
    if strict:
        raise DataError(f"{message}\nRepair or remove them, or load the others with `strict=False`.")
    warnings.warn(message, stacklevel=3)


@dataclass(frozen=True)
class _Index:
    """What is in a block of images: those for training at its beginning, those for testing at its end."""

    train: list[int]
    test: list[int]
    class_names: list[str]
    problems: dict[str, str]

    def over(self, block: np.ndarray) -> ImageFolder:
        """The data set whose images lie in `block`, as views of it."""
        train, test = (np.array(labels, dtype=np.int64) for labels in (self.train, self.test))
        x_train, x_test = block[: len(train)], block[len(block) - len(test) :]
        return ImageFolder((x_train, train), (x_test, test), self.class_names, self.problems)


def _fill(
    put: Put, files: "tqdm[File]", listing: Listing, split: float, read: Callable[[Path], np.ndarray]
) -> tuple[_Index, bool]:
    """Put each image that can be read into its place; which set it belongs to is decided as it comes.

    Each class sends every n-th of its images to the test set, so that the share is right whatever is broken. The flag
    says whether another attempt would give the same: not where the system failed, for want of memory, say.
    """
    train: list[int] = []
    test: list[int] = []
    counts = [0] * len(listing.class_names)
    problems, repeatable = dict(listing.problems), True
    for file in files:
        try:
            pixels = read(file.path)
        except DataError as error:
            problems[file.name] = str(error)
            continue
        except (OSError, MemoryError) as error:
            problems[file.name] = f"cannot be read ({getattr(error, 'strerror', None) or 'too little memory'})"
            repeatable = False
            continue
        counts[file.label] += 1
        for_testing = _rounded_down(counts[file.label] * split) > _rounded_down((counts[file.label] - 1) * split)
        put(len(listing.files) - 1 - len(test) if for_testing else len(train), pixels)
        (test if for_testing else train).append(file.label)
    if not train and not test:
        reasons = "".join(f"\n  {name} {why}" for name, why in sorted(problems.items())[:_MOST_TOLD])
        raise DataError(f"There is no image to use. Expected sub-folders of JPEG and PNG files.{reasons}")
    for name, count in zip(listing.class_names, counts, strict=True):
        if not count:
            problems.setdefault(name, "is a class without a usable image; it keeps its label")
    # From the end of the block backwards is how the test set was filled.
    return _Index(train, test[::-1], listing.class_names, problems), repeatable


def _rounded_down(share: float) -> int:
    return int(share + 1e-9)  # 0.29 * 100 is 28.999999999999996


# --- in a file ------------------------------------------------------------------------------------------------------


def _through_cache(
    folder: Path, versions: list[Any], shape: tuple[int, ...], fill: Callable[[Put], tuple[_Index, bool]]
) -> ImageFolder:
    """The data set from its two files, which are written first where they are not there; their name is a hash."""
    import hashlib

    name = hashlib.sha256(json.dumps(versions).encode()).hexdigest()[:32]
    images, index = folder / f"{name}.npy", folder / f"{name}.json"
    found = _read_cache(images, index, shape)
    if found is None:
        try:
            with _writing(images, shape) as put:
                filled, repeatable = fill(put)
            if repeatable:
                write_whole(index, json.dumps(_signed(asdict(filled), images)))
        except OSError as error:
            raise DataError(
                f"The images cannot be kept in {folder} ({error.strerror or error}). Set `cache` to a folder that can "
                f"be written and has room for {math.prod(shape):,} bytes."
            ) from error
        return filled.over(_mapped(images))
    return found


def _read_cache(images: Path, index: Path, shape: tuple[int, ...]) -> ImageFolder | None:
    """The data set, its images mapped; None where one of its files is missing, changed or damaged."""
    try:
        content = json.loads(index.read_text())
        known = {name: content[name] for name in _Index.__annotations__}
        if content != _signed(known, images):
            return None
        block = _mapped(images)
        return _Index(**known).over(block) if block.shape == shape and block.dtype == np.uint8 else None
    except (OSError, ValueError, TypeError, LookupError, RecursionError):  # whatever damaged text leads to
        return None


def _signed(content: dict[str, Any], images: Path) -> dict[str, Any]:
    """What an index holds, and a checksum of it and of the size and time of the file of images.

    Not of the images, which a checksum would have to read: they may be larger than the memory.
    """
    import hashlib

    status = images.stat()
    signed = json.dumps([content, status.st_size, status.st_mtime_ns], sort_keys=True)
    return {**content, "checksum": hashlib.sha256(signed.encode()).hexdigest()}


def _mapped(path: Path) -> np.ndarray:
    """The array in a .npy file, read as it is used; of the type of which all arrays are."""
    return np.asarray(npy.open_memmap(path, mode="r"))


@contextmanager
def _writing(path: Path, shape: tuple[int, ...]) -> Iterator[Put]:
    """Write a .npy file image by image, in any order, whole or not at all.

    Not into a mapped file: where the disk is full, that ends the program without a word.
    """
    import shutil

    path.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(path.parent).free < math.prod(shape):
        raise OSError("the disk is too full")
    with whole_file(path) as file:
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start, length = file.tell(), math.prod(shape[1:])

        def put(i: int, pixels: np.ndarray) -> None:
            file.seek(start + i * length)
            file.write(pixels.tobytes())

        yield put
        file.truncate(start + shape[0] * length)
