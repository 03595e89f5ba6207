"""The way through a network, forward and backward, and fusion: one layer in place of two neighbours where it is faster.

A fused layer computes what its two would, to the bit on NumPy, in fewer kernels on a GPU. It works on the parameters of
the layers that it stands for and leaves the gradients there, so that neither the network nor an optimizer need know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from xpnet.backend import Array, accepts_out, get_array_module
from xpnet.kernels import bias_relu, mean, relu_gradient, softmax_cross_entropy
from xpnet.layers import Affine, Layer, LossLayer, Pooling, Relu, SoftmaxWithLoss, first_that_learns
from xpnet.windows import as_batch, batch_innermost

__all__ = ["AffineRelu", "AffineSoftmaxWithLoss", "Pass", "ReluPooling", "fuse"]


@dataclass(frozen=True)
class Pass:
    """Which layers a batch goes through, forward and backward, in order.

    Attributes
    ----------
    forward
        The layers whose ``forward`` is called, the first one first.
    last_layer
        What turns their output into the loss.
    backward
        The layers whose ``backward`` is called, the last one first: nothing before the first layer that learns, and
        no layer at all where the only one that does has become part of the last layer.

    Examples
    --------
    >>> import numpy as np
    >>> layers = [Affine(np.ones((2, 3)), np.zeros(3)), Relu(), Affine(np.ones((3, 2)), np.zeros(2))]
    >>> fuse(layers, SoftmaxWithLoss())
    Pass(forward=(AffineRelu(2 -> 3),), last_layer=AffineSoftmaxWithLoss(3 -> 2), backward=(AffineRelu(2 -> 3),))
    """

    forward: tuple[Layer, ...]
    last_layer: LossLayer
    backward: tuple[Layer, ...]

    @classmethod
    def through(cls, layers: Sequence[Layer], last_layer: LossLayer) -> Self:
        """The pass through these layers as they are."""
        return cls(tuple(layers), last_layer, tuple(layers[first_that_learns(layers) :][::-1]))

    def run(self, x: Array, t: Array, out: Array | None = None) -> Array:
        """One forward and one backward pass; leaves the gradients in the layers and returns the loss, a 0-d array.

        Parameters
        ----------
        x
            A batch of inputs (N, ...), in the dtype of the parameters.
        t
            Its targets, as the last layer takes them.
        out
            A 0-d array to write the loss to, in a library whose arrays can be written in place.
        """
        for layer in self.forward:
            x = layer.forward(x)
        if isinstance(self.last_layer, AffineSoftmaxWithLoss):
            loss = self.last_layer.forward(x, t, out)
        else:
            loss = self.last_layer.forward(x, t)
            if out is not None:
                out[...] = loss
                loss = out
        dout = self.last_layer.backward()
        for layer in self.backward:
            dout = layer.backward(dout)
        return loss


def fuse(layers: Sequence[Layer], last_layer: LossLayer, *, kernels: bool = True) -> Pass:
    """The pass through these layers with a fused layer in place of each pair that there is one for.

    ReLU and Pooling become a `ReluPooling`. With `kernels`, Affine and Relu become an `AffineRelu`, a final Affine and
    SoftmaxWithLoss an `AffineSoftmaxWithLoss`, for which there are compiled kernels. Only layers of exactly these
    types: a subclass may compute something else.
    """
    layers = _pooled_first(layers)
    if not kernels:
        return Pass.through(layers, last_layer)
    fused: list[Layer] = []
    for layer in layers:
        before = fused[-1] if fused else None
        if type(layer) is Relu and type(before) is Affine:
            fused[-1] = AffineRelu(before)
        else:
            fused.append(layer)
    before = fused[-1] if fused else None
    plain_loss = type(last_layer) is SoftmaxWithLoss and not last_layer.label_smoothing
    if plain_loss and type(before) is Affine:
        return Pass.through(fused[:-1], AffineSoftmaxWithLoss(before))
    return Pass.through(fused, last_layer)


def _pooled_first(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with a `ReluPooling` in place of each ReLU and max pooling after it."""
    result: list[Layer] = []
    for layer in layers:
        before = result[-1] if result else None
        if type(layer) is Pooling and type(before) is Relu:
            result[-1] = ReluPooling(before, layer)
        else:
            result.append(layer)
    return result


class ReluPooling(Layer):
    """ReLU and the max pooling after it, in the other order, in which there is less for the ReLU to do.

    The ReLU of the largest number is the largest of the ReLUs: forward and backward, to the bit and on every backend.

    Parameters
    ----------
    relu, pooling
        The two layers, which are used as they are.
    """

    def __init__(self, relu: Relu, pooling: Pooling) -> None:
        self.relu = relu
        self.pooling = pooling

    def forward(self, x: Array) -> Array:
        """(N, C, OH, OW) for images (N, C, H, W)."""
        return self.relu.forward(self.pooling.forward(x))

    def backward(self, dout: Array) -> Array:
        """The gradient by the images: at the first largest number of each window, where that is above 0."""
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
        self.y = bias_relu(_product(self.affine, x), self.affine.b)
        return self.y

    def backward(self, dout: Array) -> Array:
        """The gradient by the input; sets the affine layer's dW and db."""
        return self.affine.backward(relu_gradient(dout, self.y))

    @property
    def parameter_count(self) -> int:
        """How many numbers the affine layer learns."""
        return self.affine.parameter_count

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
    affine.x_shape = x.shape
    affine.x = x if x.ndim == 2 else xp.reshape(x, (x.shape[0], -1))
    return xp.matmul(affine.x, affine.W)


def _widths(affine: Affine) -> str:
    return f"{affine.W.shape[0]} -> {affine.W.shape[1]}"
