"""The files of a folder of images, and how one of them is read.

The header of a file is read before its pixels, so that no file takes more memory than `most_pixels` allows.
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

__all__ = ["File", "Listing", "differing_neighbors", "list_files", "read_image"]

_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png")
# What Windows, macOS and a Synology server put into folders; names that begin with a dot are passed over anyway.
_SYSTEM_FILES = {
    *("desktop.ini", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "$recycle.bin", "system volume information"),
    *("icon\r", "__macosx", "@eadir"),
}
# Folders under these names, next to each other, hold the parts of one data set.
_PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}


class File(NamedTuple):
    """A file that may be an image: its path inside the folder, its class, what tells whether it has changed."""

    name: str
    label: int
    size: int
    changed: int
    path: Path


class Listing(NamedTuple):
    """The classes of a folder, the files in them, and what is neither."""

    class_names: list[str]
    files: list[File]
    problems: dict[str, str]


def list_files(folder: Path, classes: Sequence[str] | None = None) -> Listing:
    """List the files of each class, sorted by name; no file is opened.

    A class is a sub-folder, with or without images, or, where `classes` is given, one of those names. Names that
    Unicode writes in two ways are one name: macOS keeps accents and Korean syllables in parts.
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
            problems[name] = "lies beside the classes; put it into the sub-folder of its class"
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
    """The classes without a folder, and the folders that are no class or nearly the name of another."""
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
            doubtful[name] = f"is another class than {other}, but their names differ in capitals alone"
        elif other != name:
            doubtful[name] = "has the name of another folder, written with other Unicode characters; both are one class"
    return doubtful


def _files_of_class(name: str, folder: Path, label: int, problems: dict[str, str]) -> Iterator[File]:
    for inside, path, found in _entries(folder, f"{name}/", problems):
        if stat.S_ISDIR(found.st_mode):
            problems[inside] = "is a folder inside a class, which is not looked into"
        elif not stat.S_ISREG(found.st_mode):
            problems[inside] = "is no regular file"
        elif path.suffix.lower() not in _EXTENSIONS:
            problems[inside] = f"has none of the extensions {', '.join(_EXTENSIONS)}"
        else:
            yield File(inside, label, found.st_size, found.st_mtime_ns, path)


def _entries(folder: Path, prefix: str, problems: dict[str, str]) -> Iterator[tuple[str, Path, os.stat_result]]:
    """The visible contents of a folder, sorted; what cannot be looked at, such as a loop of links, is a problem."""
    try:
        names = sorted(name for name in os.listdir(folder) if not _is_hidden(name))
    except OSError as error:
        problems[prefix.rstrip("/")] = f"cannot be read ({error.strerror})"
        return
    for name in names:
        try:
            yield prefix + name, folder / name, os.stat(folder / name)
        except OSError as error:
            problems[prefix + name] = f"cannot be read ({error.strerror})"


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def differing_neighbors(folder: Path, class_names: Sequence[str]) -> dict[str, str]:
    """The other parts of a data set in ``train/``, ``test/``, ``val/`` that have these classes and more.

    The labels of each part count its own folders, so that those of two such parts do not mean the same.
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


def read_image(path: Path, shape: tuple[int, int, int], crop: bool, most_pixels: int) -> np.ndarray:
    """Read one image, uint8 (C, H, W).

    A DataError says what is wrong with the file. An OSError or a MemoryError is not the file's fault: another time, or
    on another computer, it may be read.
    """
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    try:
        # Pillow's warnings are of things that do not matter here.
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > 8 * most_pixels + 2**20:
                raise DataError(f"has more bytes than an image of {most_pixels:,} pixels can have")
            start = file.read(2)
            file.seek(0)
            if start not in (b"\xff\xd8", b"\x89P"):
                raise DataError("is no JPEG or PNG image, whatever its name says")
            # Not by Image.open(), which has a limit of its own, one for all programs.
            image = JpegImageFile(file) if start == b"\xff\xd8" else PngImageFile(file)
            width, height = image.size  # of the header; nothing is decoded yet
            if width * height > most_pixels:
                raise DataError(f"has {width:,} x {height:,} pixels, more than most_pixels={most_pixels:,}")
            # Of a JPEG an eighth, a quarter or half of the width is decoded, where that is enough.
            image.draft("RGB" if shape[0] == 3 else "L", (2 * max(shape[1:]),) * 2)
            opaque = _opaque_pixels(image, file) if isinstance(image, PngImageFile) else None
            return _as_array(image, opaque, shape, crop)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # Pillow raises what it likes for what is damaged
        if isinstance(error, OSError) and error.errno is not None:  # of the system, and not of Pillow
            raise
        if "out of memory" in str(error):
            raise MemoryError from error
        raise DataError(f"cannot be decoded ({str(error) or type(error).__name__})") from error


def _opaque_pixels(image: "PngImageFile", file: BinaryIO) -> "PillowImage | None":
    """Where a PNG does not have its one transparent color (of a tRNS chunk): 255, else 0. None for no such color.

    The color is written in the file's 1 to 16 bits, of which only the lowest count (PNG 3rd edition, 11.3.1.1). Pillow
    compares it with the 8 bits that it makes of each sample, which is wrong for 2, 4 and 16.
    """
    from PIL import Image, ImageChops
    from PIL.PngImagePlugin import PngImageFile

    if image.mode not in ("1", "L", "I;16", "RGB") or "transparency" not in image.info:
        return None
    form = str(image.tile[0].args)  # how the samples of the file become those of Pillow
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
            low.tile = [low.tile[0]._replace(args="RGB;16L")]  # read as if the lower byte came last
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
    if image.mode == "I;16":  # which Pillow would cut off at 255
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
