"""Image files: every kind of PNG and JPEG, photographs upright, cut off, squashed, averaged."""

import struct
import zlib

import numpy as np
import pytest
from image_files import BLUE, CHANNELS, DEPTHS, GREEN, RED, on_white, one, png, save
from PIL import Image

from xpnet.data._image_files import read_image


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("kind", "depth"), DEPTHS)
def test_every_kind_and_depth_of_png(tmp_path, kind, depth, interlaced, transparent):
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 2**depth, (9, 8, CHANNELS[kind]))
    palette = rng.integers(0, 256, 3 * 2**depth, dtype=np.uint8).tobytes() if kind == 3 else None
    transparency = None
    if transparent and kind == 3:
        transparency = rng.integers(0, 256, 2**depth, dtype=np.uint8).tobytes()
    elif transparent and kind in (0, 2):
        samples[1, 1] = samples[5, 6] = samples[0, 0]
        if depth == 16:  # of which 8 bits are the same
            samples[2, 2] = samples[0, 0] ^ 1
        # What lies above the bits of a sample is no part of it (PNG, 3rd edition, 11.3.1.1).
        transparency = (samples[0, 0] + (2**depth if depth < 16 else 0)).astype(">u2").tobytes()
    content = png(samples, kind, depth, interlaced=interlaced, palette=palette, transparency=transparency)
    (tmp_path / "a.png").write_bytes(content)
    expected = on_white(samples, kind, depth, palette, transparency)
    found = one(tmp_path / "a.png", (9, 8)).transpose(1, 2, 0)
    assert np.abs(found - expected).max() <= 0.51
    gray = one(tmp_path / "a.png", (9, 8), color=False)[0]
    assert np.abs(gray - expected @ [0.299, 0.587, 0.114]).max() <= 1.01


@pytest.mark.parametrize(("kind", "depth"), [(0, 8), (0, 16), (2, 16), (3, 8), (4, 16), (6, 8)])
def test_photographs_of_every_depth_stand_upright(tmp_path, kind, depth):
    """Turned and made transparent, whichever comes first in the file."""
    samples = np.random.default_rng(0).integers(0, 2**depth, (8, 6, CHANNELS[kind]))
    palette = bytes(range(256)) * 3 if kind == 3 else None
    transparency = b"\0" * 9 if kind == 3 else samples[0, 0].astype(">u2").tobytes() if kind in (0, 2) else None
    exif = Image.Exif()
    exif[0x0112] = 6
    content = png(samples, kind, depth, palette=palette, transparency=transparency, exif=exif.tobytes()[6:])
    (tmp_path / "a.png").write_bytes(content)
    upright = np.rot90(on_white(samples, kind, depth, palette, transparency), -1)
    assert np.abs(one(tmp_path / "a.png", (6, 8)).transpose(1, 2, 0) - upright).max() <= 0.51


JPEGS = {
    "gray": (Image.new("L", (16, 16), 90), (90, 90, 90)),
    "YCbCr": (Image.new("RGB", (16, 16), (200, 100, 50)), (200, 100, 50)),
    "RGB without a transform": (Image.new("RGB", (16, 16), (200, 100, 50)), (200, 100, 50)),
    "four inks": (Image.new("CMYK", (16, 16), (0, 255, 255, 0)), RED),
    "four inks, half black": (Image.new("CMYK", (16, 16), (0, 0, 0, 128)), (127, 127, 127)),
}


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", JPEGS)
def test_every_mode_of_jpeg(tmp_path, mode, progressive):
    image, color = JPEGS[mode]
    options = {"keep_rgb": True} if mode == "RGB without a transform" else {}
    path = save(tmp_path / "a.jpg", image, quality=95, progressive=progressive, **options)
    assert np.abs(one(path).astype(int) - np.array(color)[:, None, None]).max() <= 4
    gray = float(np.dot(color, [0.299, 0.587, 0.114]))
    assert np.abs(one(path, color=False) - gray).max() <= 4


# How a camera stores an image that stands upright, by its note in the file (EXIF 2.3, tag 0x0112).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_photographs_stand_upright(tmp_path, orientation, extension):
    upright = np.zeros((40, 80, 3), np.uint8)
    upright[:20, :40], upright[:20, 40:], upright[20:, :40] = RED, GREEN, BLUE
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    found = one(save(tmp_path / f"a.{extension}", stored, exif=exif), (20, 40)).transpose(1, 2, 0)
    for y, x, color in ((5, 10, RED), (5, 30, GREEN), (15, 10, BLUE), (15, 30, (0, 0, 0))):
        assert np.abs(found[y, x].astype(int) - color).max() < 10


@pytest.mark.parametrize("extension", ["png", "jpg"])
@pytest.mark.parametrize("tall", [False, True])
def test_what_is_too_wide_is_cut_off_or_squashed(tmp_path, extension, tall):
    thirds = np.zeros((60, 180, 3), np.uint8)
    thirds[:, :60], thirds[:, 60:120], thirds[:, 120:] = RED, GREEN, BLUE
    path = save(tmp_path / f"a.{extension}", thirds.swapaxes(0, 1).copy() if tall else thirds, quality=95)
    cut, squashed = one(path, (30, 30)).astype(int), one(path, (30, 30), crop=False).astype(int)
    if tall:
        cut, squashed = cut.swapaxes(1, 2), squashed.swapaxes(1, 2)
    assert np.abs(cut[:, :, 3:-3] - np.array(GREEN)[:, None, None]).max() < 10
    for column, color in ((4, RED), (15, GREEN), (25, BLUE)):
        assert np.abs(squashed[:, :, column] - np.array(color)[:, None]).max() < 10


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_a_large_image_is_averaged_and_a_small_one_grows(tmp_path, extension):
    fine = np.indices((512, 512)).sum(axis=0) % 2 * 255
    found = one(save(tmp_path / f"a.{extension}", fine.astype(np.uint8)), (8, 8))
    assert np.abs(found.astype(int) - 127).max() <= 4
    assert one(save(tmp_path / f"b.{extension}", 50), (20, 30)).shape == (3, 20, 30)
    assert one(save(tmp_path / f"c.{extension}", np.full((1, 900), 50, np.uint8))).shape == (3, 8, 8)
