"""The book's im2col, with which xpnet is timed, computes what xpnet's layers compute: one is the other's oracle."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from xpnet import SGD, Affine, Convolution, Pooling, Relu, SimpleConvNet, col2im, im2col

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("this copy of the tests has no benchmarks beside it", allow_module_level=True)
sys.path.append(str(BENCHMARKS))
book = importlib.import_module("book_im2col")

TOLERANCE = 1e-10  # of sums of some hundred products of float64
IMAGES = (3, 2, 9, 7)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def close(ours, books):
    np.testing.assert_allclose(ours, books, rtol=0, atol=TOLERANCE)


def both_ways(ours, books, x):
    """Both layers forward and backward; their outputs and gradients by `x` compared."""
    y = ours.forward(x)
    close(y, books.forward(x.copy()))
    dout = drawn(*y.shape, seed=1)
    close(ours.backward(dout.copy()), books.backward(dout.copy()))


def test_im2col_has_a_window_a_row():
    x = np.arange(2 * 3 * 4.0).reshape(1, 2, 3, 4)
    rows = book.im2col(x, 2, 3)
    assert rows.shape == (2 * 2, 2 * 2 * 3)
    for row, (i, j) in zip(rows, [(0, 0), (0, 1), (1, 0), (1, 1)], strict=True):
        np.testing.assert_array_equal(row, x[0, :, i : i + 2, j : j + 3].ravel())
    assert book.im2col(x.astype(np.float32), 2, 3).dtype == np.float64


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (1, 2), (2, 0), (2, 1), (3, 1)])
def test_col2im_is_the_transpose_of_im2col(stride, pad):
    """<im2col(x), rows> = <x, col2im(rows)> for any rows."""
    x = drawn(*IMAGES)
    columns = book.im2col(x, 3, 2, stride, pad)
    rows = drawn(*columns.shape, seed=1)
    close(np.sum(columns * rows), np.sum(x * book.col2im(rows, x.shape, 3, 2, stride, pad)))


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (1, 2), (2, 0), (2, 1), (3, 1)])
def test_im2col_and_col2im_are_the_books(stride, pad):
    x = drawn(*IMAGES)
    columns = book.im2col(x, 3, 2, stride, pad)
    np.testing.assert_array_equal(im2col(x, 3, 2, stride, pad), columns)
    np.testing.assert_array_equal(im2col(x, filter_h=3, filter_w=2, stride=stride, pad=pad), columns)
    rows = drawn(*columns.shape, seed=1)
    np.testing.assert_array_equal(
        col2im(rows, x.shape, 3, 2, stride, pad), book.col2im(rows, x.shape, 3, 2, stride, pad)
    )


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (1, 2), (2, 0), (2, 1), (3, 1)])
def test_convolution(stride, pad):
    W, b = drawn(4, 2, 3, 2), drawn(4, seed=2)
    ours, books = Convolution(W, b, stride, pad), book.BookConvolution(W, b, stride, pad)
    both_ways(ours, books, drawn(*IMAGES))
    close(ours.dW, books.dW)
    close(ours.db, books.db)


@pytest.mark.parametrize(("size", "stride"), [((2, 2), 2), ((3, 2), 1), ((2, 3), 2), ((1, 2), 3)])
def test_pooling(size, stride):
    both_ways(Pooling(*size, stride=stride), book.BookPooling(*size, stride), drawn(*IMAGES))


def test_pooling_of_equal_numbers_goes_to_the_first():
    equal = np.round(drawn(*IMAGES))
    both_ways(Pooling(2, 2), book.BookPooling(2, 2, 2), equal)


def test_pooling_with_zeros_around_an_image():
    """Where all numbers are above 0 it does not matter that the book fills up with 0."""
    both_ways(Pooling(3, 3, stride=2, pad=1), book.BookPooling(3, 3, 2, 1), np.abs(drawn(*IMAGES)) + 0.1)


def test_affine_and_relu():
    W, b = drawn(2 * 9 * 7, 5), drawn(5, seed=2)
    ours, books = Affine(W, b), book.BookAffine(W, b)
    both_ways(ours, books, drawn(*IMAGES))
    close(ours.dW, books.dW)
    close(ours.db, books.db)
    both_ways(Relu(), book.BookRelu(), drawn(*IMAGES))


def test_ten_steps_of_the_network():
    network = SimpleConvNet((1, 8, 8), weight_init_std="he", seed=0, dtype="float64", backend="numpy")
    books = book.BookConvNet(list(network.params.values()))
    x, t, sgd = drawn(20, 1, 8, 8), np.arange(20) % 10, SGD(lr=0.1)
    for _ in range(10):
        # The book adds 1e-7 to a probability before it takes the logarithm.
        loss = -np.mean(np.log(network.predict_proba(x)[np.arange(20), t] + 1e-7))
        sgd.update(network.params, network.gradient(x, t))
        close(loss, books.step(x, t, lr=0.1))
    close(network.predict(x), books.scores(x))
