"""Layers that compute what two neighbours in a network would, where one is faster.

A fused layer works on the parameters of the layers that it stands for and leaves the gradients there, so that neither
the network nor an optimizer need know. It gives what they would to the bit on NumPy, if its text says no other.
"""

import math

from xpnet._core.arrays import Array, accepts_out, get_array_module
from xpnet.engine import kernels
from xpnet.engine.kernels.operation import one_kernel
from xpnet.functions import label_rows, relu_grad
from xpnet.layers import Affine, Convolution, Layer, LossLayer, MaxPooling, Relu
from xpnet.layers._windows import as_batch, batch_innermost, framed
from xpnet.layers.convolution import filter_gradient, filtered
from xpnet.layers.losses import softmax_and_losses, weighted
from xpnet.layers.pooling import shares

__all__ = ["AffineRelu", "AffineSoftmaxWithLoss", "ConvolutionPooling", "ReluPooling"]

_MOST_PLACES = 9  # in a window of pooling: with more the products become small
_MOST_COPIED = 5  # numbers of a window for each filter: more take longer to copy than the filters' numbers to pool


@one_kernel(kernels.bias_relu)
def bias_relu(y: Array, b: Array) -> Array:
    """max(y + b, 0) for a product `y` (N, H), which is overwritten, and biases `b` (H,)."""
    xp = get_array_module(y)
    y += b
    return xp.maximum(y, 0, **({"out": y} if accepts_out(xp) else {}))


@one_kernel(kernels.relu_gradient)
def relu_gradient(dout: Array, y: Array) -> Array:
    """`dout` where the output `y` of a ReLU is positive, else 0; any shape, a new array."""
    return dout * relu_grad(y)


@one_kernel(kernels.softmax_cross_entropy)
def softmax_cross_entropy(scores: Array, b: Array | None, t: Array) -> tuple[Array, Array]:
    """The cross entropy of the softmax of each row, and the gradient of its mean with respect to the scores.

    Parameters
    ----------
    scores
        (N, C), float32 or float64 for the kernel.
    b
        Biases (C,) to be added to each row first, or None.
    t
        Class indices (N,), or rows (N, C) that sum to 1, which is not checked.

    Returns
    -------
    tuple of two arrays
        The gradient, (softmax - t) / N, (N, C), and the losses of the rows, (N,). Both of the scores' dtype, and NaN in
        rows whose class index is out of range.
    """
    scores = scores if b is None else scores + b
    t = label_rows(t, scores.shape, scores.dtype) if t.ndim < scores.ndim else t
    y, losses = softmax_and_losses(scores)
    return (y - t) * (1.0 / scores.shape[0]), get_array_module(t).sum(weighted(losses, t), axis=-1)


@one_kernel(kernels.mean)
def mean(x: Array, out: Array | None = None) -> Array:
    """The mean of `x` (N,), a 0-d array; written to `out`, a 0-d array, where one is given and the library can."""
    return get_array_module(x).mean(x, **({} if out is None else {"out": out}))


class ConvolutionPooling(Layer):
    """A convolution whose input needs no gradient and the max pooling after it: the largest of several convolutions.

    The upper left numbers of all pooling windows are a convolution with the stride of the windows; so are the numbers
    right of them, from images that begin one pixel further right; and so on. Each of these lies in memory without
    gaps, where the windows of one convolution would be read and written a few numbers at a time.

    The products are others, and the gradients sums in another order: the last bits may differ from those of the two.
    What pooling leaves out, rows and columns at the border, is not computed, so that nothing there is found not finite.

    Parameters
    ----------
    convolution, pooling
        The two layers: the former's parameters are used and its gradients are set.
    """

    def __init__(self, convolution: Convolution, pooling: MaxPooling) -> None:
        self.convolution = convolution
        self.pooling = pooling

    @classmethod
    def is_for(cls, convolution: Convolution, pooling: MaxPooling) -> bool:
        """Whether it can take their place, and is faster where the gradient by the images is not needed.

        It is where the windows of pooling do not overlap or reach beyond the image and are small, and where those of
        the convolution are, which are copied with gaps.
        """
        side_by_side = pooling.apart and pooling.pad == (0, 0) and math.prod(pooling.size) <= _MOST_PLACES
        small = math.prod(convolution.W.shape[1:]) <= _MOST_COPIED * convolution.W.shape[0]
        return side_by_side and small

    def forward(self, x: Array) -> Array:
        """(N, FN, OH, OW) for images (N, C, H, W)."""
        xp, layer = get_array_module(x), self.convolution
        x = framed(x, layer.pad)
        parts = [filtered(windows, layer.W, layer.b) for windows in self._windows(x)]
        y = parts[0]
        for part in parts[1:]:
            y = xp.maximum(y, part)
        layer.x, self.parts, self.y = x, parts, y
        return as_batch(y)

    def backward(self, dout: Array) -> None:
        """Set the convolution's dW and db, by the first largest number of each window."""
        xp, layer = get_array_module(dout), self.convolution
        dout = batch_innermost(dout)
        layer.db = xp.sum(xp.reshape(dout, (dout.shape[0], -1)), axis=1, **layer.out("db"))
        pairs = zip(shares(dout, self.parts[:-1], self.y), self._windows(layer.x), strict=True)
        layer.dW = sum((filter_gradient(share, windows) for share, windows in pairs), start=xp.zeros_like(layer.W))
        self.parts, self.y = [], None  # large, and not kept while the network is evaluated

    def _windows(self, x: Array) -> list[Array]:
        """For each place in a pooling window the convolution's windows there, (C, FH, FW, OH, OW, N)."""
        windows = self.convolution.windows(x)
        (_, oh, ow), (down, right) = self.pooling.output_shape((1, *windows.shape[3:5])), self.pooling.stride
        return [
            windows[:, :, :, i : i + (oh - 1) * down + 1 : down, j : j + (ow - 1) * right + 1 : right, :]
            for i, j in self.pooling.places()
        ]

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(FN, OH, OW) for an image (C, H, W)."""
        return self.pooling.output_shape(self.convolution.output_shape(shape))

    def __repr__(self) -> str:
        return f"ConvolutionPooling({self.convolution!r}, {self.pooling!r})"


class ReluPooling(Layer):
    """ReLU and the max pooling after it, in the other order, in which there is less for the ReLU to do.

    The ReLU of the largest number is the largest of the ReLUs: forward and backward, to the bit and on every backend,
    if `pooling` is a `MaxPooling`.

    Parameters
    ----------
    relu, pooling
        The two layers, which are used as they are; the latter may be a `ConvolutionPooling`.
    """

    def __init__(self, relu: Relu, pooling: Layer) -> None:
        self.relu = relu
        self.pooling = pooling

    def forward(self, x: Array) -> Array:
        """(N, C, OH, OW) for images (N, C, H, W)."""
        return self.relu.forward(self.pooling.forward(x))

    def backward(self, dout: Array) -> Array:
        """What `pooling` gives back: the gradient goes to the first largest number of each window, if it is above 0."""
        dout = as_batch(batch_innermost(dout))  # in the order in which the ReLU's mask lies, and pooling wants it
        return self.pooling.backward(self.relu.backward(dout))

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C, OH, OW) for an image (C, H, W)."""
        return self.pooling.output_shape(shape)

    def __repr__(self) -> str:
        return f"ReluPooling({self.pooling!r})"


class AffineRelu(Layer):
    """max(x W + b, 0): an affine layer and the ReLU after it. The ReLU keeps nothing of it.

    Parameters
    ----------
    affine
        The affine layer, whose parameters are used and whose gradients are set.
    """

    def __init__(self, affine: Affine) -> None:
        self.affine = affine

    def forward(self, x: Array) -> Array:
        """(N, H) for a batch (N, D) or (N, a, b, ...) with a*b*... = D."""
        y = bias_relu(_product(self.affine, x), self.affine.b)
        self.y = y
        return y

    def backward(self, dout: Array) -> Array:
        """The gradient by the input; sets the affine layer's dW and db."""
        return self.affine.backward(relu_gradient(dout, self.y))

    def __repr__(self) -> str:
        return f"AffineRelu({_widths(self.affine)})"


class AffineSoftmaxWithLoss(LossLayer):
    """The final affine layer, and softmax with the cross entropy of it; the original last layer keeps nothing of it.

    The loss is the mean of the rows' losses, the sum over all rows at once in `SoftmaxWithLoss`: the last bits of the
    loss may differ, those of the gradients do not.

    Parameters
    ----------
    affine
        The affine layer, whose parameters are used and whose gradients are set.
    """

    classifies = True

    def __init__(self, affine: Affine) -> None:
        self.affine = affine

    def forward(self, x: Array, t: Array, out: Array | None = None) -> Array:
        """The mean cross entropy for the affine layer's input `x` (N, ...) and labels `t`, indices or one-hot.

        It is written to `out`, a 0-d array, where one is given.
        """
        self.dscores, losses = softmax_cross_entropy(_product(self.affine, x), self.affine.b, t)
        if out is None or accepts_out(get_array_module(out)):
            return mean(losses, out)
        out[...] = mean(losses)
        return out

    def backward(self, dout: float = 1.0) -> Array:
        """The gradient by the affine layer's input, times `dout`; sets the affine layer's dW and db.

        None where nothing needs it (``affine.needs_input_gradient``).
        """
        return self.affine.backward(self.dscores if dout == 1.0 else self.dscores * dout)

    def __repr__(self) -> str:
        return f"AffineSoftmaxWithLoss({_widths(self.affine)})"


def _product(affine: Affine, x: Array) -> Array:
    """X W, the bias still to be added; leaves in the affine layer what its own ``backward`` needs."""
    xp = get_array_module(x)
    rows = x if x.ndim == 2 else xp.reshape(x, (x.shape[0], -1))
    affine.x, affine.x_shape = rows, x.shape
    return xp.matmul(rows, affine.W)


def _widths(affine: Affine) -> str:
    return f"{affine.W.shape[0]} -> {affine.W.shape[1]}"
