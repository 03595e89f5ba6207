"""A folder of images that a user has collected: what is in it, and one image at a time, trusting none.

Each file is looked at before it is decoded, so that none takes more memory than its pixels may.
"""

import os
import stat
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xpnet.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

__all__ = ["File", "Listing", "list_files", "read_image"]

_EXTENSIONS = (".jpg", ".jpeg", ".png")


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


def list_files(folder: Path) -> Listing:
    """Look at names alone, in the order of the alphabet."""
    listing = Listing([], [], {})
    names, files, problems = listing
    seen: dict[str, str] = {}
    try:
        os.listdir(folder)
    except OSError as error:
        raise DataError(
            f"The folder {folder} cannot be read ({error.strerror}); one of classes was expected."
        ) from error
    for name, path, status in _entries(folder, "", problems):
        if not stat.S_ISDIR(status.st_mode):
            if path.suffix.lower() in _EXTENSIONS:
                problems[name] = "lies beside the classes; put it into the sub-folder of its class"
            continue
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            problems[name] = f"is another class than {other}, though their names are one but for capitals or accents"
        for inside, file, found in _entries(path, f"{name}/", problems):
            if stat.S_ISDIR(found.st_mode):
                problems[inside] = "is a folder inside a class, which is not looked into"
            elif not stat.S_ISREG(found.st_mode):
                problems[inside] = "is no regular file"
            elif file.suffix.lower() not in _EXTENSIONS:
                problems[inside] = f"has none of the extensions {', '.join(_EXTENSIONS)}"
            else:
                files.append(File(inside, len(names), found.st_size, found.st_mtime_ns, file))
        names.append(name)
    return listing


def _entries(folder: Path, prefix: str, problems: dict[str, str]) -> Iterator[tuple[str, Path, os.stat_result]]:
    """What lies in a folder and is not hidden, sorted; what cannot be looked at, as a loop of links, is a problem."""
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        problems[prefix.rstrip("/")] = f"cannot be read ({error.strerror})"
        return
    for name in names:
        try:
            yield prefix + name, folder / name, os.stat(folder / name)
        except OSError as error:
            problems[prefix + name] = f"cannot be read ({error.strerror})"


def read_image(path: Path, shape: tuple[int, int, int], crop: bool, most_pixels: int) -> np.ndarray:
    """One image, uint8 (C, H, W); a DataError that says what is wrong with the file."""
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
            return _as_array(image, shape, crop)
    except DataError:
        raise
    except Exception as error:  # Pillow raises what it likes for what is damaged
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"cannot be decoded ({reason})") from error


def _as_array(image: "PillowImage", shape: tuple[int, int, int], crop: bool) -> np.ndarray:
    from PIL import Image, ImageOps

    channels, height, width = shape
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode not in ("L", "RGB", "LA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if crop:
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    else:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    if image.mode in ("LA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)
