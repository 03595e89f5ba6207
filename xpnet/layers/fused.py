"""Fused layers, which compute what two neighbors in a network compute, faster.

A fused layer reads the parameters of the layers it stands for and sets their gradients, so that neither the network nor
an optimizer need know of it. All else that it keeps is its own. On NumPy it gives the same bits, unless it says
otherwise.
"""

import math

from xpnet._core import tuning
from xpnet._core.arrays import Array, accepts_out, get_array_module
from xpnet.engine import kernels
from xpnet.engine.kernels.operation import one_kernel
from xpnet.functions import label_rows, relu_grad
from xpnet.layers import Affine, Convolution, Layer, LossLayer, MaxPooling, Relu, SoftmaxWithLoss
from xpnet.layers._windows import as_batch, batch_innermost, pad_images
from xpnet.layers.convolution import convolve_windows, filter_gradient
from xpnet.layers.losses import softmax_and_losses, weighted
from xpnet.layers.pooling import route_gradient


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
    """The gradient (softmax - t) / N of the mean cross entropy, (N, C), and the losses of the rows, (N,).

    For scores (N, C), to which biases (C,) are added first if given, and labels `t`: class indices (N,), or rows (N, C)
    that sum to 1, which is not checked. A row whose class index is out of range becomes NaN.
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
    """A convolution whose input needs no gradient and the max pooling after it: the maximum of several convolutions.

    The upper left numbers of all pooling windows are a convolution with the stride of the windows; so are the numbers
    right of them, of images shifted by a pixel; and so on. Each lies in memory without gaps, while pooling reads the
    windows of one convolution a few numbers at a time.

    The products are others, and gradients are summed in another order: the last bits may differ from those of the two
    layers. Rows and columns at the border that pooling leaves out are not computed.
    """

    def __init__(self, convolution: Convolution, pooling: MaxPooling) -> None:
        self.convolution = convolution
        self.pooling = pooling

    @staticmethod
    def fits(convolution: Convolution, pooling: Layer) -> bool:
        """Whether it is faster: for small windows, those of pooling also disjoint and inside the image."""
        if not isinstance(pooling, MaxPooling):
            return False
        disjoint = pooling.apart and pooling.pad == (0, 0) and math.prod(pooling.size) <= tuning.MAX_POOLING_PLACES
        return disjoint and math.prod(convolution.W.shape[1:]) <= tuning.MAX_COPIED_PER_FILTER * convolution.W.shape[0]

    def forward(self, x: Array) -> Array:
        """(N, FN, OH, OW) for images (N, C, H, W)."""
        xp, layer = get_array_module(x), self.convolution
        x = pad_images(x, layer.pad)
        parts = [convolve_windows(windows, layer.W, layer.b) for windows in self._windows(x)]
        y = parts[0]
        for part in parts[1:]:
            y = xp.maximum(y, part)
        self.x, self.parts, self.y = x, parts, y
        return as_batch(y)

    def backward(self, dout: Array) -> None:
        """Set the convolution's dW and db, by the first largest number of each window."""
        xp, layer = get_array_module(dout), self.convolution
        dout = batch_innermost(dout)
        layer.db = xp.sum(xp.reshape(dout, (dout.shape[0], -1)), axis=1, **layer.out("db"))
        pairs = zip(route_gradient(dout, self.parts[:-1], self.y), self._windows(self.x), strict=True)
        layer.dW = sum((filter_gradient(share, windows) for share, windows in pairs), start=xp.zeros_like(layer.W))
        self.x, self.parts, self.y = None, [], None  # large, and not kept while the network is evaluated

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
    """Max pooling before the ReLU instead of after it, which leaves the ReLU less to do.

    The ReLU of the maximum is the maximum of the ReLUs, forward and backward, to the bit and on every backend. The
    pooling may also be a `ConvolutionPooling`.
    """

    fusable = True

    def __init__(self, relu: Relu, pooling: Layer) -> None:
        self.relu = relu
        self.pooling = pooling

    def forward(self, x: Array) -> Array:
        """(N, C, OH, OW) for images (N, C, H, W)."""
        return self.relu.forward(self.pooling.forward(x))

    def backward(self, dout: Array) -> Array:
        """The input gradient of the pooling, where the maximum is above 0."""
        dout = as_batch(batch_innermost(dout))  # in the order in which the ReLU's mask lies, and pooling wants it
        return self.pooling.backward(self.relu.backward(dout))

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C, OH, OW) for an image (C, H, W)."""
        return self.pooling.output_shape(shape)

    def __repr__(self) -> str:
        return f"ReluPooling({self.pooling!r})"


class AffineRelu(Layer):
    """max(x W + b, 0): an affine layer and the ReLU after it."""

    def __init__(self, affine: Affine, relu: Relu) -> None:
        self.affine = affine
        self.relu = relu

    def forward(self, x: Array) -> Array:
        """(N, H) for a batch (N, D) or (N, a, b, ...) with a*b*... = D."""
        rows = _rows(x)
        y = bias_relu(get_array_module(x).matmul(rows, self.affine.W), self.affine.b)
        self.rows, self.x_shape, self.y = rows, x.shape, y
        return y

    def backward(self, dout: Array) -> Array:
        """The gradient by the input; sets the affine layer's dW and db."""
        return self.affine.gradients(self.rows, self.x_shape, relu_gradient(dout, self.y))

    def __repr__(self) -> str:
        return f"AffineRelu({_widths(self.affine)})"


class AffineSoftmaxWithLoss(LossLayer):
    """The final affine layer, and softmax with cross entropy.

    The loss is the mean of the rows' losses, in `SoftmaxWithLoss` the sum over all rows divided by N: the last bits of
    the loss may differ, those of the gradients do not.
    """

    classifies = True

    def __init__(self, affine: Affine, loss: SoftmaxWithLoss) -> None:
        self.affine = affine
        self.loss_layer = loss

    def forward(self, x: Array, t: Array) -> Array:
        """The mean cross entropy for the affine layer's input `x` (N, ...) and checked labels `t`."""
        return mean(self._row_losses(x, t))

    compute_loss = forward

    def write_loss(self, out: Array, x: Array, t: Array) -> None:
        """Write the same to `out`, a 0-d array, without another launch where functions take ``out=``."""
        losses = self._row_losses(x, t)
        if accepts_out(get_array_module(out)):
            mean(losses, out)
        else:
            out[...] = mean(losses)

    def backward(self, dout: float = 1.0) -> Array:
        """The gradient by the affine layer's input, times `dout`; None if nothing needs it. Sets dW and db."""
        dscores = self.dscores if dout == 1.0 else self.dscores * dout
        return self.affine.gradients(self.rows, self.x_shape, dscores)

    def _row_losses(self, x: Array, t: Array) -> Array:
        rows = _rows(x)
        scores = get_array_module(x).matmul(rows, self.affine.W)
        self.dscores, losses = softmax_cross_entropy(scores, self.affine.b, t)
        self.rows, self.x_shape = rows, x.shape
        return losses

    def __repr__(self) -> str:
        return f"AffineSoftmaxWithLoss({_widths(self.affine)})"


def _rows(x: Array) -> Array:
    return x if x.ndim == 2 else get_array_module(x).reshape(x, (x.shape[0], -1))


def _widths(affine: Affine) -> str:
    return f"{affine.W.shape[0]} -> {affine.W.shape[1]}"
