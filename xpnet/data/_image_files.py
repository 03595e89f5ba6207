"""List the files of a folder of images, and read one of them.

The header is read before the pixels, so that no file takes more memory than `max_pixels` allows.
"""

import os
import stat
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from xpnet.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.PngImagePlugin import PngImageFile

_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png")
# Files that Windows, macOS and Synology servers add; names that begin with a dot are ignored anyway.
_SYSTEM_FILES = {
    *("desktop.ini", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "$recycle.bin", "system volume information"),
    *("icon\r", "__macosx", "@eadir"),
}
# Neighboring folders with these names are the parts of one data set.
_PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}


class File(NamedTuple):
    """A possible image: its path inside the folder, its class, and its size and time, to detect changes."""

    name: str
    label: int
    size: int
    changed: int
    path: Path


class Listing(NamedTuple):
    """The classes of a folder, their files, and the problems with anything else."""

    class_names: list[str]
    files: list[File]
    problems: dict[str, str]


def list_files(folder: Path, classes: Sequence[str] | None = None) -> Listing:
    """List the files of each class, sorted by name, without opening them.

    The classes are the sub-folders, or `classes`. Names are compared in NFC, because macOS decomposes accents and
    Korean syllables.
    """
    try:
        os.listdir(folder)
    except OSError as error:
        raise DataError(
            f"The folder {folder} cannot be read ({error.strerror}). Expected a folder of classes, each a sub-folder."
        ) from error
    problems: dict[str, str] = {}
    folders: dict[str, Path] = {}
    for name, path, status in _entries(folder, "", problems):
        if stat.S_ISDIR(status.st_mode):
            folders[name] = path
        elif path.suffix.lower() in _EXTENSIONS:
            problems[name] = "is not in the sub-folder of a class; put it into the sub-folder of its class"
    class_names = sorted(set(map(_composed, folders))) if classes is None else list(classes)
    labels = {_composed(name): label for label, name in enumerate(class_names)}
    problems |= _doubtful_names(list(folders), class_names, labels)
    files: list[File] = []
    for name, path in folders.items():
        label = labels.get(_composed(name))
        if label is not None:
            files += _files_of_class(name, path, label, problems)
    return Listing(class_names, files, problems)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _doubtful_names(folders: list[str], class_names: list[str], labels: dict[str, int]) -> dict[str, str]:
    doubtful = dict.fromkeys(class_names, "is one of `classes`, but not a folder")
    seen: dict[str, str] = {}
    for name in folders:
        composed = _composed(name)
        if composed not in labels:
            close = [other for other in class_names if _composed(other).casefold() == composed.casefold()]
            hint = f" (which has {close[0]!r})" if close else ""
            doubtful[name] = f"is not one of `classes`{hint}, so its files are not used"
            continue
        doubtful.pop(class_names[labels[composed]], None)
        other = seen.setdefault(composed.casefold(), name)
        if _composed(other) != composed:
            doubtful[name] = f"is another class than {other}, but their names differ only in capitals"
        elif other != name:
            doubtful[name] = "has the name of another folder, written with other Unicode characters; both are one class"
    return doubtful


def _files_of_class(name: str, folder: Path, label: int, problems: dict[str, str]) -> Iterator[File]:
    for inside, path, found in _entries(folder, f"{name}/", problems):
        if stat.S_ISDIR(found.st_mode):
            problems[inside] = "is a folder inside a class, which is not searched"
        elif not stat.S_ISREG(found.st_mode):
            problems[inside] = "is no regular file"
        elif path.suffix.lower() not in _EXTENSIONS:
            problems[inside] = f"has none of the extensions {', '.join(_EXTENSIONS)}"
        else:
            yield File(inside, label, found.st_size, found.st_mtime_ns, path)


def _entries(folder: Path, prefix: str, problems: dict[str, str]) -> Iterator[tuple[str, Path, os.stat_result]]:
    """The sorted visible contents of a folder; unreadable entries, such as loops of links, become problems."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        problems[prefix.rstrip("/")] = f"cannot be read ({error.strerror})"
        return
    for name in names:
        if name.startswith(".") or name.lower() in _SYSTEM_FILES:
            continue
        try:
            yield prefix + name, folder / name, os.stat(folder / name)
        except OSError as error:
            problems[prefix + name] = f"cannot be read ({error.strerror})"


def differing_neighbors(folder: Path, class_names: Sequence[str]) -> dict[str, str]:
    """The other parts of a data set in ``train/``, ``test/``, ``val/`` that have these classes and more.

    Each part numbers its own folders, so the labels of two such parts would not agree.
    """
    folder = Path(os.path.abspath(folder))
    if folder.name.lower() not in _PARTS:
        return {}
    here, differing = set(class_names), {}
    for name, path, status in _entries(folder.parent, "", {}):
        if name.lower() not in _PARTS or path == folder or not stat.S_ISDIR(status.st_mode):
            continue
        there = {_composed(inside) for inside, _, found in _entries(path, "", {}) if stat.S_ISDIR(found.st_mode)}
        if here & there and there - here:
            more = ", ".join(sorted(there - here))
            differing[f"../{name}"] = f"has classes that this folder lacks ({more}); give both the same `classes`"
    return differing


def read_image(path: Path, shape: tuple[int, int, int], crop: bool, max_pixels: int) -> np.ndarray:
    """Read one image, uint8 (C, H, W).

    Raises a DataError, with a predicate, if the file is wrong. After an OSError or a MemoryError another attempt may
    succeed.
    """
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    try:
        # Pillow warns of things that do not matter here.
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > 8 * max_pixels + 2**20:
                raise DataError(f"has more bytes than an image of {max_pixels:,} pixels can have")
            start = file.read(2)
            file.seek(0)
            if start not in (b"\xff\xd8", b"\x89P"):
                raise DataError("is no JPEG or PNG image, whatever its name says")
            # Not Image.open(), which has its own global limit.
            image = JpegImageFile(file) if start == b"\xff\xd8" else PngImageFile(file)
            width, height = image.size  # from the header, before decoding
            if width * height > max_pixels:
                raise DataError(f"has {width:,} x {height:,} pixels, more than max_pixels={max_pixels:,}")
            # Decodes a JPEG at 1/8, 1/4 or 1/2 of its size if that is enough.
            image.draft("RGB" if shape[0] == 3 else "L", (2 * max(shape[1:]),) * 2)
            opaque = _opaque_pixels(image, file) if isinstance(image, PngImageFile) else None
            return _as_array(image, opaque, shape, crop)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # Pillow raises any error for damaged files
        if isinstance(error, OSError) and error.errno is not None:  # an error of the system
            raise
        if "out of memory" in str(error):
            raise MemoryError from error
        raise DataError(f"cannot be decoded ({str(error) or type(error).__name__})") from error


def _opaque_pixels(image: "PngImageFile", file: BinaryIO) -> "PillowImage | None":
    """The mask of the transparent color of a PNG (tRNS chunk): 0 at this color, else 255. None without such a color.

    The color has the file's 1 to 16 bits, of which only the lowest count (PNG 3rd edition, 11.3.1.1). Pillow compares
    it with samples of 8 bits, which is wrong for 2, 4 and 16.
    """
    from PIL import Image, ImageChops
    from PIL.PngImagePlugin import PngImageFile

    if image.mode not in ("1", "L", "I;16", "RGB") or "transparency" not in image.info:
        return None
    form = str(image.tile[0].args)  # how Pillow converts the samples
    color = image.info.pop("transparency")
    if form == "I;16B":
        return Image.fromarray((np.asarray(image) != color) * np.uint8(255))
    opaque = Image.new("L", image.size)
    samples: Sequence[tuple[PillowImage, int, int]]
    if image.mode != "RGB":
        largest = {"1": 255, "L;2": 3, "L;4": 15, "L": 255}[form]
        samples = [(image.convert("L"), 0, (color & largest) * (255 // largest))]
    else:
        samples = [(image, channel, value & 255) for channel, value in enumerate(color)]
        if form == "RGB;16B":
            image.load()
            file.seek(0)
            low = PngImageFile(file)
            low.tile = [low.tile[0]._replace(args="RGB;16L")]  # reads the lower byte
            high = [(image, channel, value >> 8) for channel, value in enumerate(color)]
            samples = [(low, channel, value) for _, channel, value in samples] + high
    for part, channel, value in samples:
        others = [0 if sample == value else 255 for sample in range(256)]
        opaque = ImageChops.lighter(opaque, part.getchannel(channel).point(others))
    return opaque


def _as_array(
    image: "PillowImage", opaque: "PillowImage | None", shape: tuple[int, int, int], crop: bool
) -> np.ndarray:
    from PIL import Image, ImageOps

    channels, height, width = shape
    if image.mode == "I;16":  # Pillow would clip it at 255
        info = image.info
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image.info = info
    elif image.mode not in ("L", "RGB", "LA", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if opaque is not None:
        image.putalpha(opaque)
    ImageOps.exif_transpose(image, in_place=True)
    if crop:
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    else:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    if image.mode in ("LA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)
