"""The execution plan of a network: its layers, with fused layers in place of neighbors where these are faster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from xpnet._core.arrays import Array
from xpnet._core.checks import check_given_shape
from xpnet._core.declared import is_fusable
from xpnet.layers import Affine, Convolution, Layer, LossLayer, MaxPooling, Relu, Residual, SoftmaxWithLoss
from xpnet.layers.base import first_trainable
from xpnet.layers.fused import AffineRelu, AffineSoftmaxWithLoss, ConvolutionPooling, ReluPooling
from xpnet.layers.losses import loss_of_checked


class _Fusion(NamedTuple):
    """What takes the place of two neighbors."""

    make: Callable[[Any, Any], Any]
    fits: Callable[[Any, Any], bool] = lambda *_: True
    compiled: bool = False  # whether it is only faster as a compiled kernel
    input_gradient: bool = True  # whether it computes the gradient by its input


_FUSIONS: dict[tuple[type, type], _Fusion] = {
    (Relu, MaxPooling): _Fusion(ReluPooling),
    (Convolution, MaxPooling): _Fusion(ConvolutionPooling, ConvolutionPooling.fits, input_gradient=False),
    (Convolution, ReluPooling): _Fusion(
        lambda convolution, both: ReluPooling(both.relu, ConvolutionPooling(convolution, both.pooling)),
        lambda convolution, both: ConvolutionPooling.fits(convolution, both.pooling),
        input_gradient=False,
    ),
    (Affine, Relu): _Fusion(AffineRelu, compiled=True),
    (Affine, SoftmaxWithLoss): _Fusion(AffineSoftmaxWithLoss, lambda _, loss: not loss.label_smoothing, compiled=True),
}


@dataclass(frozen=True)
class Plan:
    """The layers that a batch goes through, forward and backward.

    Examples
    --------
    >>> import numpy as np
    >>> layers = [Affine(np.ones((2, 3)), np.zeros(3)), Relu(), Affine(np.ones((3, 2)), np.zeros(2))]
    >>> Plan.fused(layers, SoftmaxWithLoss())
    Plan(forward=(AffineRelu(2 -> 3),), last_layer=AffineSoftmaxWithLoss(3 -> 2), backward=(AffineRelu(2 -> 3),))
    """

    forward: tuple[Layer, ...]
    last_layer: LossLayer
    backward: tuple[Layer, ...]  # from the last layer to the first that learns

    @classmethod
    def of(cls, layers: Sequence[Layer], last_layer: LossLayer) -> Self:
        """The plan with these layers as they are."""
        return cls(tuple(layers), last_layer, tuple(layers[first_trainable(layers) :][::-1]))

    @classmethod
    def fused(cls, layers: Sequence[Layer], last_layer: LossLayer, *, kernels: bool = True) -> Self:
        """The plan with a fused layer in place of each two neighbors that there is one for.

        `kernels`: also those that are only faster as compiled kernels. Only layers whose class declares ``fusable``.
        """
        without_gradient = layers[: first_trainable(layers) + 1]  # nothing learns before them
        merged: list[Any] = []
        for each in (*layers, last_layer):
            layer: Any = each
            while merged:
                needs_gradient = not any(merged[-1] is other for other in without_gradient)
                fusion = _fusion_for(merged[-1], layer, needs_gradient=needs_gradient)
                if fusion is None or (fusion.compiled and not kernels):
                    break
                layer = fusion.make(merged.pop(), layer)
            merged.append(layer)
        return cls.of(merged[:-1], merged[-1])

    def run(self, x: Array, t: Array, out: Array | None = None) -> Array:
        """One forward and one backward pass; leaves the gradients in the layers and returns the loss, a 0-d array.

        For inputs `x` (N, ...) of the parameters' dtype and targets `t` from `LossLayer.prepare_targets`. The loss is
        written to `out`, a 0-d array, if one is given.
        """
        for layer in self.forward:
            x = layer.forward(x)
        if out is None:
            out = loss_of_checked(self.last_layer, x, t)
        else:
            self.last_layer.write_loss(out, x, t)
        dout = self.last_layer.backward()
        for layer in self.backward:
            dout = layer.backward(dout)
        return out

    def checked(self) -> Self:
        """The same plan; a layer that returns an output or a gradient of a wrong shape raises an error."""
        layers = {id(layer): _with_checks(layer) for layer in self.forward}
        backward = tuple(layers[id(layer)] for layer in self.backward)
        return replace(self, forward=tuple(layers.values()), backward=backward)


def _fusion_for(first: object, second: object, *, needs_gradient: bool) -> _Fusion | None:
    if not (is_fusable(first) and is_fusable(second)):
        return None
    for (kind, next_kind), fusion in _FUSIONS.items():
        if isinstance(first, kind) and isinstance(second, next_kind) and fusion.fits(first, second):
            return fusion if fusion.input_gradient or not needs_gradient else None
    return None


def _with_checks(layer: Layer) -> Layer:
    if isinstance(layer, AffineRelu | ConvolutionPooling | ReluPooling):
        return layer
    if type(layer) is Residual:
        checked = Residual(*([_with_checks(inner) for inner in path] for path in (layer.branch, layer.shortcut)))
        checked.needs_input_gradient = layer.needs_input_gradient
        return _CheckedLayer(checked)
    return _CheckedLayer(layer)


class _CheckedLayer(Layer):
    """A layer with checks of all shapes: wrong ones would be broadcast elsewhere."""

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
