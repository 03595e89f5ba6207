"""The way through a network, forward and backward, with fused layers in place of neighbours where they are faster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeGuard, TypeVar

from xpnet._core.arrays import Array
from xpnet._core.checks import check_given_shape
from xpnet.layers import (
    Affine,
    Convolution,
    Layer,
    LossLayer,
    MaxPooling,
    Relu,
    Residual,
    SoftmaxWithLoss,
    first_trainable,
    loss_of_checked,
    methods_of,
    methods_of_class,
)
from xpnet.layers.fused import AffineRelu, AffineSoftmaxWithLoss, ConvolutionPooling, ReluPooling

__all__ = ["Pass", "fuse"]

_Kind = TypeVar("_Kind")
_FUSED = AffineRelu, ConvolutionPooling, ReluPooling
_AS_THEY_COME: dict[type, list[Any]] = {
    kind: methods_of_class(kind) for kind in (Affine, Convolution, MaxPooling, Relu, SoftmaxWithLoss)
}


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
        return cls(tuple(layers), last_layer, tuple(layers[first_trainable(layers) :][::-1]))

    def run(self, x: Array, t: Array, out: Array | None = None) -> Array:
        """One forward and one backward pass; leaves the gradients in the layers and returns the loss, a 0-d array.

        Parameters
        ----------
        x
            A batch of inputs (N, ...), in the dtype of the parameters.
        t
            Its targets, checked, as the last layer takes them.
        out
            A 0-d array to write the loss to, in a library whose arrays can be written in place.
        """
        for layer in self.forward:
            x = layer.forward(x)
        if isinstance(self.last_layer, AffineSoftmaxWithLoss):
            loss = self.last_layer.forward(x, t, out)
        else:
            loss = loss_of_checked(self.last_layer, x, t)
            if out is not None:
                out[...] = loss
                loss = out
        dout = self.last_layer.backward()
        for layer in self.backward:
            dout = layer.backward(dout)
        return loss

    def checked(self) -> Self:
        """The same pass, in which a layer that gives outputs or gradients of a wrong shape is an error."""
        layers = {id(layer): _with_checks(layer) for layer in self.forward}
        return replace(
            self, forward=tuple(layers.values()), backward=tuple(layers[id(layer)] for layer in self.backward)
        )


def _with_checks(layer: Layer) -> Layer:
    if isinstance(layer, _FUSED):
        return layer
    if type(layer) is Residual:
        checked = Residual(*([_with_checks(inner) for inner in way] for way in (layer.branch, layer.shortcut)))
        checked.needs_input_gradient = layer.needs_input_gradient
        return _CheckedLayer(checked)
    return _CheckedLayer(layer)


class _CheckedLayer(Layer):
    """A layer, and a check of the shapes that it is given and gives: wrong ones would be broadcast elsewhere."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.needs_input_gradient = layer.needs_input_gradient

    def forward(self, x: Array) -> Array:
        y = self.layer.forward(x)
        self.x_shape, self.y_shape = tuple(x.shape), (x.shape[0], *self.output_shape(tuple(x.shape[1:])))
        check_given_shape(f"The forward of {self!r} must give an output", y, self.y_shape)
        return y

    def backward(self, dout: Array) -> Array:
        check_given_shape(f"The layer after {self!r} must give a gradient", dout, self.y_shape)
        self.layer.needs_input_gradient = self.needs_input_gradient
        dx = self.layer.backward(dout)
        if self.needs_input_gradient or dx is not None:
            check_given_shape(f"The backward of {self!r} must give a gradient", dx, self.x_shape)
        return dx

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.layer.output_shape(shape)

    def __repr__(self) -> str:
        return repr(self.layer)


def fuse(layers: Sequence[Layer], last_layer: LossLayer, *, kernels: bool = True) -> Pass:
    """The pass through these layers with a fused layer in place of each pair that there is one for.

    ReLU and max pooling become a `ReluPooling`; where nothing needs the gradient by a Convolution's input, it and the
    pooling after it, or after its ReLU, a `ConvolutionPooling` where that is faster. With `kernels`, Affine and Relu
    become an `AffineRelu`, a final Affine and SoftmaxWithLoss an `AffineSoftmaxWithLoss`, for which there are compiled
    kernels. Only layers of exactly these types, as they are: a subclass, or a layer or a type given another
    ``forward``, may compute something else.
    """
    layers = _merged(layers, _relu_pooling)
    no_gradient = layers[: first_trainable(layers) + 1]  # is needed by their input
    layers = _merged(layers, lambda a, b: _convolution_pooling(a, b) if a in no_gradient else None)
    if not kernels:
        return Pass.through(layers, last_layer)
    layers = _merged(layers, _affine_relu)
    last = layers[-1] if layers else None
    if _is(last_layer, SoftmaxWithLoss) and not last_layer.label_smoothing and _is(last, Affine):
        return Pass.through(layers[:-1], AffineSoftmaxWithLoss(last))
    return Pass.through(layers, last_layer)


def _merged(layers: Sequence[Layer], fused: Callable[[Layer, Layer], Layer | None]) -> list[Layer]:
    """The layers, with what `fused` gives for two neighbours in their place; where it gives None they stay."""
    result: list[Layer] = []
    for layer in layers:
        both = fused(result[-1], layer) if result else None
        if both is None:
            result.append(layer)
        else:
            result[-1] = both
    return result


def _relu_pooling(before: Layer, layer: Layer) -> Layer | None:
    return ReluPooling(before, layer) if _is(before, Relu) and _is(layer, MaxPooling) else None


def _convolution_pooling(before: Layer, layer: Layer) -> Layer | None:
    pooling = layer.pooling if isinstance(layer, ReluPooling) else layer
    if not (_is(before, Convolution) and _is(pooling, MaxPooling) and ConvolutionPooling.is_for(before, pooling)):
        return None
    pooled = ConvolutionPooling(before, pooling)
    return ReluPooling(layer.relu, pooled) if isinstance(layer, ReluPooling) else pooled


def _affine_relu(before: Layer, layer: Layer) -> Layer | None:
    return AffineRelu(before) if _is(before, Affine) and _is(layer, Relu) else None


def _is(layer: object, kind: type[_Kind]) -> TypeGuard[_Kind]:
    """Whether it is of exactly this kind, and no method of it, or of the kind, has been replaced."""
    return type(layer) is kind and methods_of([layer]) == _AS_THEY_COME[kind]
