"""Load images from a folder with a sub-folder of JPEG and PNG files for each class."""

import hashlib
import json
import math
import os
import shutil
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

Put: TypeAlias = Callable[[int, np.ndarray], None]

_MAX_NAMED = 100  # files in a message; `problems` has them all
_CACHE_FORMAT = 2  # part of a cache's name, so that other versions are not used


@dataclass(frozen=True)
class ImageFolder:
    """The result of `load_image_folder`.

    Attributes
    ----------
    train, test
        Images, uint8 (N, C, H, W), and labels, int64 (N,), in random order.
    class_names
        The sorted names of the sub-folders, or the argument `classes`: label k is ``class_names[k]``, also for classes
        without images.
    problems
        Reasons why something could not be used, by path inside the folder.
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
    max_pixels: int = 50_000_000,
    strict: bool = False,
    verbose: bool = True,
) -> ImageFolder:
    """Load a folder with a sub-folder of JPEG and PNG files for each class.

    Photographs are rotated as their EXIF data say, transparent pixels become white, palettes and 16 bits become 8 bits.
    Sub-folders of a class, hidden files and system files (``desktop.ini``, ``Thumbs.db``, ``__MACOSX``) are ignored.

    Parameters
    ----------
    folder
        The folder.
    size
        Height and width of the resulting images.
    classes
        Names of the classes in the order of their labels; None for the sorted sub-folders. If training and test images
        are in two folders, give the second the ``class_names`` of the first, so that labels agree even if one of the
        folders lacks a class.
    color
        True: three channels (RGB); False: one (brightness).
    split
        Fraction of each class for the test set, at least 0 and below 1, rounded down.
    seed
        Seed of the split and of the order, which do not depend on the order of the file system.
    crop
        True: keep the proportions and crop both sides; False: squash.
    cache
        Folder for the resulting images, for sets that do not fit into memory. They are then a read-only memory map of a
        file there, which is reused until the images or the arguments change.
    max_pixels
        Maximum number of pixels of an image. Decoding takes up to 16 bytes for each.
    strict
        Raise an error instead of a warning if something cannot be used.
    verbose
        Show a progress bar on a terminal if it takes long.

    Returns
    -------
    ImageFolder
        Its `train` and `test` are arguments of a `Trainer`, which takes ``None, None`` for an empty `test`.

    Warns
    -----
    UserWarning
        For each file that cannot be used, each class without images, and each folder that is not one of `classes`.
        Without `classes`, also for each class that `folder` lacks and a neighboring folder has, if they are called
        ``train``, ``test`` or ``val``.

    Raises
    ------
    DataError
        If there is no such folder, or no usable image in it; with `strict`, instead of each warning.
    ImportError
        If Pillow is not installed.

    Notes
    -----
    A `Trainer` on NumPy reads a mapped set minibatch by minibatch. A GPU gets all of it, once, and ``validation=0.2``
    makes a copy in memory.

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
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise ArgumentError(f"size must be a height and a width, such as `size=(32, 32)`, got {size!r}.")
    height, width = check_count("the height in size", size[0]), check_count("the width in size", size[1])
    shape = 3 if color else 1, height, width
    check_between("split", split, 0, 1, below=True)
    check_count("max_pixels", max_pixels)
    check_count("seed", seed, 0)  # not None: another split each time would mix the two sets
    place, kept_in = check_path("folder", folder), None if cache is None else check_path("cache", cache)
    if kept_in is not None and kept_in.resolve().is_relative_to(place.resolve()):
        raise ArgumentError(f"cache={str(cache)!r} lies in the folder of images. Choose a folder outside of it.")
    listing = list_files(place, _check_classes(classes))
    files = [listing.files[i] for i in random_streams(seed).order.permutation(len(listing.files))]

    def fill(put: Put) -> tuple[_Index, bool]:
        bar = tqdm(files, "reading images", delay=1, unit="image", leave=False, disable=None if verbose else True)
        return _fill(put, bar, listing, split, lambda path: read_image(path, shape, crop, max_pixels))

    if kept_in is None:
        block = np.empty((len(files), *shape), dtype=np.uint8)
        loaded = fill(block.__setitem__)[0].over(block)
    else:
        versions = [_CACHE_FORMAT, shape, split, seed, crop, max_pixels, *listing[:1], listing.problems]
        versions.append([file[:-1] for file in files])
        loaded = _through_cache(kept_in, versions, (len(files), *shape), fill)
    if classes is None:
        loaded = replace(loaded, problems=loaded.problems | differing_neighbors(place, loaded.class_names))
    _report(folder, loaded.problems, strict=strict)
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


def _report(folder: str | os.PathLike[str], problems: dict[str, str], *, strict: bool) -> None:
    if not problems:
        return
    lines = [f"\n  {name if name.isprintable() else ascii(name)} {why}" for name, why in sorted(problems.items())]
    if len(lines) > _MAX_NAMED:
        lines[_MAX_NAMED:] = [f"\n  and {len(lines) - _MAX_NAMED:,} more, which `problems` has"]
    count = f"{len(problems):,} problem{'s' * (len(problems) > 1)}"
    message = f"There {'is' if len(problems) == 1 else 'are'} {count} in {os.fspath(folder)}:{''.join(lines)}"
    if strict:
        raise DataError(f"{message}\nRepair or remove them, or load the others with `strict=False`.")
    warnings.warn(message, stacklevel=3)


@dataclass(frozen=True)
class _Index:
    """The labels of a block of images: training images at its beginning, test images at its end."""

    train: list[int]
    test: list[int]
    class_names: list[str]
    problems: dict[str, str]

    def over(self, block: np.ndarray) -> ImageFolder:
        """The data set, with views of the images in `block`."""
        train, test = (np.array(labels, dtype=np.int64) for labels in (self.train, self.test))
        x_train, x_test = block[: len(train)], block[len(block) - len(test) :]
        return ImageFolder((x_train, train), (x_test, test), self.class_names, self.problems)


def _fill(
    put: Put, files: "tqdm[File]", listing: Listing, split: float, read: Callable[[Path], np.ndarray]
) -> tuple[_Index, bool]:
    """Read all images, and put each to the training or the test images.

    Every n-th readable image of a class goes to the test set, so that the fraction is right whatever is broken. The
    flag is False if another attempt might have another result, as after a lack of memory.
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
        # Rounded down, where 0.29 * 100 is 28.999999999999996.
        before, now = (int(count * split + 1e-9) for count in (counts[file.label] - 1, counts[file.label]))
        for_testing = now > before
        put(len(listing.files) - 1 - len(test) if for_testing else len(train), pixels)
        (test if for_testing else train).append(file.label)
    if not train and not test:
        reasons = "".join(f"\n  {name} {why}" for name, why in sorted(problems.items())[:_MAX_NAMED])
        raise DataError(f"There is no image to use. Expected sub-folders of JPEG and PNG files.{reasons}")
    for name, count in zip(listing.class_names, counts, strict=True):
        if not count:
            problems.setdefault(name, "is a class without a usable image; it keeps its label")
    # The test set was filled backwards from the end of the block.
    return _Index(train, test[::-1], listing.class_names, problems), repeatable


# --- the cache ------------------------------------------------------------------------------------------------------


def _through_cache(
    folder: Path, versions: list[Any], shape: tuple[int, ...], fill: Callable[[Put], tuple[_Index, bool]]
) -> ImageFolder:
    """Read the data set from its two files, whose name is a hash, after writing them if they are missing."""
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
    """The data set with mapped images; None if one of its files is missing, changed or damaged."""
    try:
        content = json.loads(index.read_text())
        known = {name: content[name] for name in _Index.__annotations__}
        if content != _signed(known, images):
            return None
        block = _mapped(images)
        return _Index(**known).over(block) if block.shape == shape and block.dtype == np.uint8 else None
    except (OSError, ValueError, TypeError, LookupError, RecursionError):  # from damaged text
        return None


def _signed(content: dict[str, Any], images: Path) -> dict[str, Any]:
    """The content of an index, with a checksum of it and of the size and time of the file of images.

    The checksum does not cover the images, which may be larger than the memory.
    """
    status = images.stat()
    signed = json.dumps([content, status.st_size, status.st_mtime_ns], sort_keys=True)
    return {**content, "checksum": hashlib.sha256(signed.encode()).hexdigest()}


def _mapped(path: Path) -> np.ndarray:
    """A memory map of a .npy file, as a plain ndarray."""
    return np.asarray(npy.open_memmap(path, mode="r"))


@contextmanager
def _writing(path: Path, shape: tuple[int, ...]) -> Iterator[Put]:
    """Write a .npy file atomically, image by image in any order.

    Not through a memory map: a full disk would end the program without an error.
    """
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
