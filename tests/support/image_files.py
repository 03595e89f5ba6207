"""Image files made by hand or by Pillow, and what they show."""

import struct
import zlib

import numpy as np
from PIL import Image

from xpnet.data._image_files import read_image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def save(path, image, **options):
    """An image, an array, or a color that fills 8 x 8 pixels, as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, tuple | int):
        image = Image.new("L" if isinstance(image, int) else "RGB", (8, 8), image)
    elif isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(path, **options)
    return path


def one(path, size=(8, 8), color=True, crop=True, max_pixels=10**6):
    return read_image(path, (3 if color else 1, *size), crop, max_pixels)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each color type of PNG


DEPTHS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
DEPTHS += [(4, 8), (4, 16), (6, 8), (6, 16)]


# Where the seven passes of Adam7 begin, and their steps: rows, columns (PNG, 3rd edition, 8.1).
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def png(samples, kind, depth, *, interlaced=False, palette=None, transparency=None, exif=None):
    """A PNG file of samples (H, W, C), put together by hand."""
    height, width, _ = samples.shape
    rows = [row for y, x, dy, dx in (ADAM7 if interlaced else [(0, 0, 1, 1)]) for row in samples[y::dy, x::dx]]
    bits = ["".join(f"{sample:0{depth}b}" for sample in row.flat) for row in rows if row.size]
    lines = [b"\0" + int(line + "0" * (-len(line) % 8), 2).to_bytes((len(line) + 7) // 8, "big") for line in bits]
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)}
    chunks |= {b"PLTE": palette} if palette else {}
    chunks |= {b"tRNS": transparency} if transparency else {}
    chunks |= {b"eXIf": exif} if exif else {}
    chunks |= {b"IDAT": zlib.compress(b"".join(lines)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*item) for item in chunks.items())


def on_white(samples, kind, depth, palette=None, transparency=None):
    """What such a file shows on white, (H, W, 3), by the specification of PNG and not by Pillow."""
    if kind == 3:
        alphas = np.full(len(palette) // 3, 255)
        alphas[: len(transparency or b"")] = list(transparency or b"")
        colors, opacity = np.reshape(list(palette), (-1, 3))[samples[..., 0]], alphas[samples[..., 0]]
    else:
        eight = samples >> 8 if depth == 16 else samples * (255 // (2**depth - 1))
        colors = eight[..., :3] if kind in (2, 6) else np.repeat(eight[..., :1], 3, axis=-1)
        opacity = eight[..., -1] if kind in (4, 6) else np.full(samples.shape[:2], 255)
        if transparency:
            color = np.frombuffer(transparency, ">u2").astype(int) % 2**depth
            opacity = np.where((samples == color).all(axis=-1), 0, 255)
    share = opacity[..., None] / 255
    return colors * share + 255 * (1 - share)
