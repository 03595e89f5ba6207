"""Convolution and pooling by the method of *Deep Learning from Scratch* (chapter 7), to compare xpnet with.

The code was written for this comparison. A layer copies all windows of all images into the rows of one matrix (im2col)
and computes with it; backward adds the gradients of overlapping windows (col2im). As in the book, the matrix is
float64, the default of `numpy.zeros`, and is kept from ``forward`` to ``backward``, and the unused gradient of the
images is computed as well.

Only NumPy is imported, so that a process that runs it holds nothing else.
"""

from collections.abc import Sequence

import numpy as np

__all__ = ["BookAffine", "BookConvNet", "BookConvolution", "BookPooling", "BookRelu", "col2im", "im2col"]

Array = np.ndarray


def im2col(x: Array, height: int, width: int, stride: int = 1, pad: int = 0) -> Array:
    """The windows of images (N, C, H, W) as rows: float64, (N * OH * OW, C * height * width)."""
    n, c = x.shape[:2]
    oh, ow = _window_counts(x.shape, height, width, stride, pad)
    framed = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.zeros((n, c, height, width, oh, ow))
    for i in range(height):
        for j in range(width):
            windows[:, :, i, j] = framed[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
    return windows.transpose(0, 4, 5, 1, 2, 3).reshape(n * oh * ow, -1)


def col2im(rows: Array, image_shape: tuple[int, ...], height: int, width: int, stride: int = 1, pad: int = 0) -> Array:
    """Images (N, C, H, W) in which each pixel is the sum of what the rows of `im2col` have for it."""
    n, c, h, w = image_shape
    oh, ow = _window_counts(image_shape, height, width, stride, pad)
    windows = rows.reshape(n, oh, ow, c, height, width).transpose(0, 3, 4, 5, 1, 2)
    framed = np.zeros((n, c, h + 2 * pad, w + 2 * pad))
    for i in range(height):
        for j in range(width):
            framed[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride] += windows[:, :, i, j]
    return framed[:, :, pad : pad + h, pad : pad + w]


def _window_counts(image_shape: tuple[int, ...], height: int, width: int, stride: int, pad: int) -> tuple[int, int]:
    h, w = image_shape[2:]
    return (h + 2 * pad - height) // stride + 1, (w + 2 * pad - width) // stride + 1


# --- layers ---------------------------------------------------------------------------------------------------------


class BookConvolution:
    """Filters W (FN, C, FH, FW) and biases b (FN,), over images (N, C, H, W)."""

    def __init__(self, W: Array, b: Array, stride: int = 1, pad: int = 0) -> None:
        self.W, self.b, self.stride, self.pad = W, b, stride, pad

    def forward(self, x: Array) -> Array:
        """(N, FN, OH, OW)."""
        count, _, fh, fw = self.W.shape
        oh, ow = _window_counts(x.shape, fh, fw, self.stride, self.pad)
        self.x = x
        self.rows = im2col(x, fh, fw, self.stride, self.pad)
        self.filters = self.W.reshape(count, -1).T
        y = np.dot(self.rows, self.filters) + self.b
        return y.reshape(len(x), oh, ow, count).transpose(0, 3, 1, 2)

    def backward(self, dout: Array) -> Array:
        """The gradient by x; sets dW and db."""
        count, _, fh, fw = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, count)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.rows.T, dout).T.reshape(self.W.shape)
        drows = np.dot(dout, self.filters.T)
        return col2im(drows, self.x.shape, fh, fw, self.stride, self.pad)


class BookPooling:
    """The largest number of each window, channel by channel; what lies around an image counts as 0."""

    def __init__(self, height: int, width: int, stride: int, pad: int = 0) -> None:
        self.height, self.width, self.stride, self.pad = height, width, stride, pad

    def forward(self, x: Array) -> Array:
        """(N, C, OH, OW)."""
        n, c = x.shape[:2]
        oh, ow = _window_counts(x.shape, self.height, self.width, self.stride, self.pad)
        rows = im2col(x, self.height, self.width, self.stride, self.pad).reshape(-1, self.height * self.width)
        self.x = x
        self.largest = np.argmax(rows, axis=1)
        return np.max(rows, axis=1).reshape(n, oh, ow, c).transpose(0, 3, 1, 2)

    def backward(self, dout: Array) -> Array:
        """`dout` at the first largest number of each window, summed where windows overlap."""
        n, _, oh, ow = dout.shape
        drows = np.zeros((dout.size, self.height * self.width))
        drows[np.arange(dout.size), self.largest] = dout.transpose(0, 2, 3, 1).flatten()
        drows = drows.reshape(n * oh * ow, -1)
        return col2im(drows, self.x.shape, self.height, self.width, self.stride, self.pad)


class BookRelu:
    """The larger of each number and 0."""

    def forward(self, x: Array) -> Array:
        """Of the shape of x."""
        self.mask = x <= 0
        y = x.copy()
        y[self.mask] = 0
        return y

    def backward(self, dout: Array) -> Array:
        """`dout` itself, with 0 where x was not above 0."""
        dout[self.mask] = 0
        return dout


class BookAffine:
    """Each sample, as a row, times W (D, H), plus b (H,)."""

    def __init__(self, W: Array, b: Array) -> None:
        self.W, self.b = W, b

    def forward(self, x: Array) -> Array:
        """(N, H)."""
        self.x_shape = x.shape
        self.x = x.reshape(len(x), -1)
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout: Array) -> Array:
        """The gradient by x; sets dW and db."""
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return np.dot(dout, self.W.T).reshape(self.x_shape)


# --- the network ----------------------------------------------------------------------------------------------------


class BookConvNet:
    """Convolution, ReLU, pooling of 2 x 2, affine, ReLU, affine; softmax with cross entropy.

    Parameters
    ----------
    parameters
        W1, b1, W2, b2, W3, b3: a copy of each, in float64 as the book's own random numbers are.
    """

    def __init__(self, parameters: Sequence[Array]) -> None:
        W1, b1, W2, b2, W3, b3 = (parameter.astype(np.float64) for parameter in parameters)
        self.learning = (BookConvolution(W1, b1), BookAffine(W2, b2), BookAffine(W3, b3))
        convolution, affine, last = self.learning
        self.layers = (convolution, BookRelu(), BookPooling(2, 2, stride=2), affine, BookRelu(), last)

    def scores(self, x: Array) -> Array:
        """(N, 10) for images (N, C, H, W)."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def step(self, x: Array, t: Array, lr: float) -> float:
        """A step of SGD on a minibatch; its loss."""
        scores, samples = self.scores(x), np.arange(len(t))
        exponentials = np.exp(scores - np.max(scores, axis=1, keepdims=True))
        probabilities = exponentials / np.sum(exponentials, axis=1, keepdims=True)
        loss = -np.sum(np.log(probabilities[samples, t] + 1e-7)) / len(t)
        dout = probabilities.copy()
        dout[samples, t] -= 1
        dout /= len(t)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        for learning in self.learning:
            learning.W -= lr * learning.dW
            learning.b -= lr * learning.db
        return float(loss)
