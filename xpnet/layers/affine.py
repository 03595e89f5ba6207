"""Affine layer, also called dense, linear or fully connected: x W + b (course row 12)."""

import math
from typing import ClassVar, Self

from xpnet._core.arrays import Array, get_array_module
from xpnet._core.checks import check_count
from xpnet.backend import Backend
from xpnet.errors import ShapeError
from xpnet.layers.base import Layer
from xpnet.layers.initializers import Random, constant, initial_weights, parameter


class Affine(Layer):
    """Dense (linear, fully connected) layer: x W + b, for a vector or a batch; tensors are flattened sample by sample.

    Parameters
    ----------
    W
        Weights, shape (D, H).
    b
        Biases, shape (H,).

    Attributes
    ----------
    dW, db
        The gradients of the loss by W and b, set by ``backward``. (Note: one of the notes stores ``dw`` and reads
        ``dW``.)

    Examples
    --------
    >>> import numpy as np
    >>> affine = Affine(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, 0.5]))
    >>> affine.forward(np.array([[1.0, 1.0]]))
    array([[4.5, 6.5]])
    >>> affine.backward(np.array([[1.0, 0.0]]))
    array([[1., 3.]])
    >>> affine.db
    array([1., 0.])
    """

    parameter_names: ClassVar[tuple[str, ...]] = ("W", "b")
    fusable: ClassVar[bool] = True

    def __init__(self, W: Array, b: Array) -> None:
        self.W = W
        self.b = b
        if self.W.ndim != 2 or tuple(self.b.shape) != tuple(self.W.shape[1:]):
            raise ShapeError(
                f"Affine expects weights W of shape (D, H) and biases b of shape (H,), got W {tuple(self.W.shape)} and "
                f"b {tuple(self.b.shape)}."
            )

    @classmethod
    def create(
        cls,
        n_in: int,
        n_out: int,
        init: float | str = 0.01,
        *,
        rng: Random = None,
        dtype: str = "float32",
        backend: str | Backend | None = None,
    ) -> Self:
        """A layer with `n_in` inputs and `n_out` outputs; its weights are random, its biases 0.

        Parameters
        ----------
        init
            The standard deviation of the weights, or a name such as ``"he"``: see `initial_weights`.
        rng
            A generator, ``numpy.random.default_rng(seed)``, that all layers of a network share; or a seed.
        dtype, backend
            ``"float32"`` or ``"float64"``, and the backend, as for `get_backend`.

        Examples
        --------
        >>> import numpy as np
        >>> Affine.create(784, 50, "he", rng=np.random.default_rng(0))
        Affine(784 -> 50)
        """
        n_in, n_out = check_count("a layer's input size", n_in), check_count("a layer's output size", n_out)
        W = parameter(initial_weights(rng, n_in, n_out, init), dtype, backend)
        return cls(W, constant(0.0, n_out, dtype, backend))

    def forward(self, x: Array) -> Array:
        """x W + b: shape (H,) for a vector (D,), else (N, H) for (N, D) or (N, a, b, ...) with a*b*... = D."""
        xp = get_array_module(x)
        if not self._in_network:
            self.check_batch(x if x.ndim > 1 else x[None, ...])
        rows = _rows(x)
        y = xp.matmul(rows, self.W)
        y += self.b
        self.x, self.x_shape = rows, x.shape
        return y if x.ndim > 1 else y[0, ...]

    def backward(self, dout: Array) -> Array:
        """`dout` W^T in the shape of the input; sets dW = x^T dout and db, the sum of the rows of `dout`."""
        return self.gradients(self.x, self.x_shape, _rows(dout))

    def gradients(self, x: Array, x_shape: tuple[int, ...], dout: Array) -> Array:
        """The same for the rows `x` (N, D) of an input of shape `x_shape`, and `dout` (N, H)."""
        xp = get_array_module(dout)
        self.dW = xp.matmul(x.T, dout, **self.out("dW"))
        self.db = xp.sum(dout, axis=0, **self.out("db"))
        if not self.needs_input_gradient:
            return None
        dx = xp.matmul(dout, self.W.T)
        return dx if dx.shape == x_shape else xp.reshape(dx, x_shape)

    def input_shape(self) -> tuple[int, ...]:
        """One vector of D numbers."""
        return (self.W.shape[0],)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(H,) for a sample of D numbers."""
        if math.prod(shape) != self.W.shape[0]:
            raise ShapeError(
                f"{type(self).__name__} expects {self.W.shape[0]} numbers a sample (W is {tuple(self.W.shape)}), got "
                f"samples of shape {tuple(shape)}, {math.prod(shape)} numbers."
            )
        return (self.W.shape[1],)

    def __repr__(self) -> str:
        return f"Affine({self.W.shape[0]} -> {self.W.shape[1]})"


def _rows(x: Array) -> Array:
    """One row a sample; a vector is one sample, a tensor is flattened sample by sample."""
    if x.ndim == 2:
        return x
    return get_array_module(x).reshape(x, (x.shape[0] if x.ndim > 1 else 1, -1))
