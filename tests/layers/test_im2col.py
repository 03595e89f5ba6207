"""The book's matrix of windows, on every backend; tests/course/test_book_im2col.py compares it with the book's code."""

import re
from typing import Any

import numpy as np
import pytest
from matrix import Place

from xpnet import col2im, im2col
from xpnet.errors import ArgumentError, ShapeError


def test_im2col_and_col2im(be: Place) -> None:
    x = np.arange(2 * 3 * 5 * 4).reshape(2, 3, 5, 4)
    columns = im2col(be.put(x.astype(float)), 3, 2, (2, 1), (1, 0))
    be.check(columns, im2col(x, 3, 2, (2, 1), (1, 0)))
    assert (columns.shape, im2col(x, 3, 2).dtype) == ((2 * 3 * 3, 3 * 3 * 2), np.float64)
    be.check(col2im(columns, (2, 3, 5, 4), 3, 2, (2, 1), (1, 0)), x * [[[[1], [2], [1], [2], [1]]]] * [1, 2, 2, 1])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: im2col(np.ones((3, 5, 5)), 2, 2),
            ShapeError,
            "im2col expects images of shape (N, C, H, W), got (3",
        ),
        (lambda: im2col(np.ones((1, 1, 2, 2)), 3, 2), ShapeError, "im2col has windows of 3 x 2, more than the 2 x 2"),
        (lambda: im2col(np.ones((1, 1, 2, 2)), 0, 2), ArgumentError, "filter_h and filter_w must be"),
        (
            lambda: col2im(np.ones((4, 3)), (1, 1, 3, 3), 2, 2),
            ShapeError,
            "matrix of shape (4, 4), one window a row",
        ),
    ],
)
def test_images_and_matrices_that_do_not_fit(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        call()
