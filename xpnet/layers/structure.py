"""Structure of networks: flattening, and residual connections (course row 20)."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from xpnet._core.arrays import Array, get_array_module
from xpnet.errors import ArgumentError, ShapeError
from xpnet.layers.base import (
    Layer,
    checked,
    first_trainable,
    fixed_input_shape,
    largest_product,
    multiplications,
    values_per_statistic,
)
from xpnet.layers.nested import check_layer


class Flatten(Layer):
    """Flatten each sample to a vector; `Affine` does that by itself.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Flatten()
    >>> layer.forward(np.ones((2, 3, 4, 5))).shape
    (2, 60)
    >>> layer.backward(np.ones((2, 60))).shape
    (2, 3, 4, 5)
    """

    def forward(self, x: Array) -> Array:
        """(N, a * b * ...) for (N, a, b, ...)."""
        xp = get_array_module(x)
        self.x_shape = x.shape
        return xp.reshape(x, (x.shape[0], -1))

    def backward(self, dout: Array) -> Array:
        """`dout` in the shape of the input."""
        return get_array_module(dout).reshape(dout, self.x_shape)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(a * b * ...,)."""
        return (math.prod(shape),)


def _layers(name: str, layers: Any) -> tuple[Layer, ...]:
    """The layers of a branch or a shortcut as a tuple, checked."""
    if isinstance(layers, Layer | str) or not isinstance(layers, Iterable):
        raise ArgumentError(
            f"The {name} of a Residual must be a list of layers, as in `Residual([Relu()])`, got {layers!r:.60}."
        )
    layers = tuple(layers)
    for number, layer in enumerate(layers):
        check_layer(f"Layer {number} of the {name}", layer)
    return layers


class Residual(Layer):
    """Residual (skip) connection: the output of layers plus their input (He et al. 2015, equation 1).

    The parameters of the layers inside belong to the network: of the branch first, then of the shortcut.

    Parameters
    ----------
    branch
        The layers, in order.
    shortcut
        Layers that the input passes through instead, if the branch changes the shape (equation 2).

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet import Relu
    >>> layer = Residual([Relu()])
    >>> layer.forward(np.array([[-1.0, 2.0]]))
    array([[-1.,  4.]])
    >>> layer.backward(np.array([[1.0, 1.0]]))
    array([[1., 2.]])
    """

    branch: Sequence[Layer] = checked(_layers, fixed=True)
    shortcut: Sequence[Layer] = checked(_layers, fixed=True)

    def __init__(self, branch: Sequence[Layer], shortcut: Sequence[Layer] = ()) -> None:
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: Array) -> Array:
        """branch(x) + shortcut(x)."""
        y = x
        for layer in self.branch:
            y = layer.forward(y)
        for layer in self.shortcut:
            x = layer.forward(x)
        return y + x

    def backward(self, dout: Array) -> Array:
        """The sum of the gradients of branch and shortcut; sets the gradients of the layers inside."""
        on_branch, on_shortcut = self._back(self.branch, dout), self._back(self.shortcut, dout)
        return on_branch + on_shortcut if self.needs_input_gradient else None

    def _back(self, layers: Sequence[Layer], dout: Array) -> Array:
        """The backward pass of layers; if the input needs no gradient, only to the first trainable one."""
        first = 0 if self.needs_input_gradient else first_trainable(layers)
        for layer in layers[first:][::-1]:
            layer.needs_input_gradient = self.needs_input_gradient or layer is not layers[first]
            dout = layer.backward(dout)
        return dout

    def input_shape(self) -> tuple[int, ...] | None:
        """That of the branch, or else of the shortcut."""
        return fixed_input_shape(self.branch) or fixed_input_shape(self.shortcut)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of both outputs; a ShapeError if they differ."""
        ways = {"branch": shape, "shortcut": shape}
        for way, layers in (("branch", self.branch), ("shortcut", self.shortcut)):
            for layer in layers:
                try:
                    ways[way] = layer.output_shape(ways[way])
                except ShapeError as error:
                    raise ShapeError(f"In the {way} of a Residual, {layer!r}: {error}") from None
        if ways["branch"] != ways["shortcut"]:
            raise ShapeError(
                f"Residual adds samples of shape {ways['branch']} of its branch to those of its shortcut, "
                f"{ways['shortcut']}, for an input of {tuple(shape)}. Give it a shortcut of layers with the branch's "
                "channels and stride."
            )
        return ways["branch"]

    def multiplications(self, shape: tuple[int, ...]) -> int:
        """The sum for branch and shortcut."""
        return multiplications(self.branch, shape) + multiplications(self.shortcut, shape)

    def values_per_statistic(self, shape: tuple[int, ...]) -> int | None:
        """The minimum for branch and shortcut."""
        counts = [values_per_statistic(layers, shape) for layers in (self.branch, self.shortcut)]
        return min((count for count in counts if count is not None), default=None)

    def largest_product(self, shape: tuple[int, ...], samples: int) -> float:
        """The maximum for branch and shortcut."""
        return max(largest_product(layers, shape, samples) for layers in (self.branch, self.shortcut))

    def __repr__(self) -> str:
        shortcut = f", shortcut={list(self.shortcut)}" if self.shortcut else ""
        return f"Residual({list(self.branch)}{shortcut})"
