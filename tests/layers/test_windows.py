"""Windows over images: their number, frames around images, sums of gradients, wide products."""

import numpy as np
import pytest

from xpnet import to_numpy
from xpnet.errors import ArgumentError, ShapeError
from xpnet.layers import _windows as windows
from xpnet.layers._windows import Pair

PAIRS = [(1, 1), (2, 1), (1, 3)]


@pytest.mark.parametrize("shape", [(30, 25, 4800), (30, 25, 4801), (30, 25, 100), (3, 2, 20_000)])
def test_wide_products(shape: tuple[int, int, int]) -> None:
    n, k, m = shape
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((n, m)), rng.standard_normal((k, m))
    np.testing.assert_allclose(windows.wide_matmul(a, b), a @ b.T, rtol=0, atol=1e-10)


@pytest.mark.parametrize("stride", PAIRS)
@pytest.mark.parametrize("pad", [(0, 0), (1, 0), (2, 3)])
def test_windows_are_counted_as_numpy_slides_them(stride: Pair, pad: Pair) -> None:
    image = np.pad(np.zeros((7, 6)), [(n, n) for n in pad])
    slid = np.lib.stride_tricks.sliding_window_view(image, (3, 2))[:: stride[0], :: stride[1]]
    assert windows.window_counts("MaxPooling", (7, 6), (3, 2), stride, pad) == slid.shape[:2]


def test_a_window_that_is_larger_than_the_image_is_an_error() -> None:
    with pytest.raises(ShapeError, match=r"MaxPooling has windows of 3 x 9.*the 7 x 8 numbers.*pad=\(0, 1\)"):
        windows.window_counts("MaxPooling", (7, 6), (3, 9), (1, 1), (0, 1))


@pytest.mark.parametrize("pad", [(0, 0), (1, 2), (3, 0)])
def test_a_frame_is_that_of_numpys_pad_and_comes_off_again(be, pad: Pair) -> None:
    x = np.arange(2.0 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(be.dtype)
    expected = np.pad(x, [(0, 0), (0, 0), *((n, n) for n in pad)], constant_values=7.0).transpose(1, 2, 3, 0)
    padded = windows.pad_images(be.put(x), pad, 7.0)
    np.testing.assert_array_equal(to_numpy(padded), expected)
    np.testing.assert_array_equal(to_numpy(windows.unpad_images(padded, pad)), x)


@pytest.mark.parametrize("stride", PAIRS)
def test_parts_are_added_at_every_stride(be, stride: Pair) -> None:
    part = np.arange(1.0, 1 + 2 * 3 * 2 * 4).reshape(2, 3, 2, 4).astype(be.dtype)
    total = np.ones((2, 8, 9, 4), be.dtype)
    expected = total.copy()
    for row, column in np.ndindex(3, 2):
        expected[:, 1 + row * stride[0], 2 + column * stride[1]] += part[:, row, column]
    added = windows.add_at(be.put(total), be.put(part), (1, 2), stride)
    np.testing.assert_array_equal(to_numpy(added), expected)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_blocks_of_rows_follow_one_another_and_none_is_large(rows: int) -> None:
    found = windows.row_blocks(np.zeros(1), rows, 100_000)
    assert [first for first, _ in found] == [0, *(end for _, end in found[:-1])]
    assert found[-1][1] == rows
    assert all(end - first >= 1 and (end - first) * 100_000 * 8 <= 2**22 for first, end in found)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, (1, 2, 3), (1, 0), "2", None])
def test_what_is_no_size_is_an_error(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"stride must be a whole number of at least 1, or a pair of them"):
        windows.check_pair("stride", value, 1)
    assert windows.check_pair("stride", np.int64(3), 1) == (3, 3)
    assert windows.check_pair("stride", [2, 1], 1) == (2, 1)
