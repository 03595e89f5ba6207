"""One's own images to learn from: a folder with a sub-folder of JPEG and PNG files for each class."""

import json
import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.lib import format as npy

from xpnet._image_files import File, Listing, list_files, read_image
from xpnet.checks import check_between, check_count, check_flag, check_path
from xpnet.errors import ArgumentError, DataError
from xpnet.files import whole_file, write_whole
from xpnet.initializers import random_streams

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["ImageFolder", "load_image_folder"]

Put: TypeAlias = Callable[[int, np.ndarray], None]

_MOST_TOLD = 100  # files that a message names; `problems` has them all


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, as `load_image_folder` gives them.

    Attributes
    ----------
    train, test
        Each a pair: images, uint8 (N, C, H, W), and labels, int64 (N,); in random order.
    class_names
        The names of the sub-folders, sorted: label k is ``class_names[k]``.
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
    bits become 8. Sub-folders of a class are not looked into; files whose name begins with a dot are passed over.

    Parameters
    ----------
    folder
        The folder.
    size
        Height and width of the images that are made.
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
        Naming each file that cannot be used, one by one, and each class without images, which is left out.

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
    """
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError("load_image_folder needs Pillow. Install it with  pip install 'xpnet[images]' .") from error
    from tqdm.auto import tqdm

    for name, flag in {"color": color, "crop": crop, "strict": strict, "verbose": verbose}.items():
        check_flag(name, flag)
    shape = (3 if color else 1, *_check_size(size))
    check_between("split", split, 0, 1, below=True)
    check_count("most_pixels", most_pixels)
    check_count("seed", seed, 0)  # and not None: another split each time would mix the two sets
    place, kept_in = check_path("folder", folder), None if cache is None else check_path("cache", cache)
    if kept_in is not None and kept_in.resolve().is_relative_to(place.resolve()):
        raise ArgumentError(f"cache={str(cache)!r} lies in the folder of images itself; choose one beside it.")
    listing = list_files(place)
    files = [listing.files[i] for i in random_streams(seed).order.permutation(len(listing.files))]

    def fill(put: Put) -> _Index:
        bar = tqdm(files, "reading images", delay=1, unit="image", leave=False, disable=None if verbose else True)
        return _fill(put, bar, listing, split, lambda path: read_image(path, shape, crop, most_pixels))

    if kept_in is None:
        block = np.empty((len(files), *shape), dtype=np.uint8)
        loaded = fill(block.__setitem__).over(block)
    else:
        versions = [shape, split, seed, crop, most_pixels, [file[:-1] for file in files], listing.problems]
        loaded = _through_cache(kept_in, versions, (len(files), *shape), fill)
    _tell(folder, loaded.problems, strict=strict)
    return loaded


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise ArgumentError(f"size must be a height and a width, as in  size=(32, 32) , got {size!r}.")
    return check_count("the height in size", size[0]), check_count("the width in size", size[1])


def _tell(folder: str | os.PathLike[str], problems: dict[str, str], *, strict: bool) -> None:
    """Name each problem: in an error where that is wanted, else in a warning."""
    if not problems:
        return
    lines = [f"\n  {name if name.isprintable() else ascii(name)} {why}" for name, why in sorted(problems.items())]
    if len(lines) > _MOST_TOLD:
        lines[_MOST_TOLD:] = [f"\n  and {len(lines) - _MOST_TOLD:,} more, which  problems  has"]
    message = f"In {os.fspath(folder)} there is something wrong with {len(problems):,} of the files:{''.join(lines)}"
    if strict:
        raise DataError(f"{message}\nMend or remove them, or say  strict=False  to do without.")
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


def _fill(put: Put, files: "tqdm[File]", listing: Listing, split: float, read: Callable[[Path], np.ndarray]) -> _Index:
    """Put each image that can be read into its place; which set it belongs to is decided as it comes.

    Each class sends every so many-th of its images to the test set, whose share is then right whatever is broken.
    """
    train: list[int] = []
    test: list[int] = []
    counts = [0] * len(listing.class_names)
    problems = dict(listing.problems)
    for file in files:
        try:
            pixels = read(file.path)
        except DataError as error:
            problems[file.name] = str(error)
            continue
        counts[file.label] += 1
        for_testing = _rounded_down(counts[file.label] * split) > _rounded_down((counts[file.label] - 1) * split)
        put(len(listing.files) - 1 - len(test) if for_testing else len(train), pixels)
        (test if for_testing else train).append(file.label)
    for name, count in zip(listing.class_names, counts, strict=True):
        if not count:
            problems.setdefault(name, "is a class without a usable image, and left out")
    kept = [label for label, count in enumerate(counts) if count]
    if not kept:
        reasons = "".join(f"\n  {name} {why}" for name, why in sorted(problems.items())[:_MOST_TOLD])
        raise DataError(f"There is no image to use; expected were sub-folders of JPEG and PNG files.{reasons}")
    new = {label: position for position, label in enumerate(kept)}
    class_names = [listing.class_names[label] for label in kept]
    # From the end of the block backwards is how the test set was filled.
    return _Index([new[label] for label in train], [new[label] for label in reversed(test)], class_names, problems)


def _rounded_down(share: float) -> int:
    return int(share + 1e-9)  # 0.29 * 100 is 28.999999999999996


# --- in a file ------------------------------------------------------------------------------------------------------


def _through_cache(
    folder: Path, versions: list[Any], shape: tuple[int, ...], fill: Callable[[Put], _Index]
) -> ImageFolder:
    """The data set from its two files, which are written first where they are not there; their name is a hash."""
    import hashlib

    name = hashlib.sha256(json.dumps(versions).encode()).hexdigest()[:32]
    images, index = folder / f"{name}.npy", folder / f"{name}.json"
    found = _read_cache(images, index, shape)
    if found is None:
        try:
            with _writing(images, shape) as put:
                filled = fill(put)
            write_whole(index, json.dumps(asdict(filled)))
        except OSError as error:
            raise DataError(
                f"The images cannot be kept in {folder} ({error.strerror or error}). Give  cache=  a folder that can "
                f"be written and has room for {math.prod(shape):,} bytes."
            ) from error
        return filled.over(_mapped(images))
    return found


def _read_cache(images: Path, index: Path, shape: tuple[int, ...]) -> ImageFolder | None:
    """The data set, its images mapped; None where it is not there as it should be."""
    try:
        known = _Index(**json.loads(index.read_text()))
        block = _mapped(images)
        return known.over(block) if block.shape == shape and block.dtype == np.uint8 else None
    except (OSError, ValueError, TypeError):
        return None


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
