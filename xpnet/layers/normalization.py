"""Normalization: of each column or channel over the batch, or of each row (course row 20)."""

import math
from functools import partial
from typing import Any, ClassVar, Self

from xpnet._core.arrays import Array, get_array_module
from xpnet._core.checks import check_between, check_positive
from xpnet.backend import Backend
from xpnet.errors import ShapeError
from xpnet.layers._windows import batch_innermost
from xpnet.layers.base import Layer, checked
from xpnet.layers.initializers import constant


class _Normalization(Layer):
    """Parameters of both layers: a scale and a shift for each of D columns."""

    parameter_names: ClassVar[tuple[str, ...]] = ("gamma", "beta")

    eps: float = checked(check_positive)

    def __init__(self, gamma: Array, beta: Array, eps: float) -> None:
        self.gamma = gamma
        self.beta = beta
        if self.gamma.ndim != 1 or tuple(self.beta.shape) != tuple(self.gamma.shape):
            raise ShapeError(
                f"{type(self).__name__} expects gamma and beta of the same shape (D,), got gamma "
                f"{tuple(self.gamma.shape)} and beta {tuple(self.beta.shape)}."
            )
        self.eps = eps

    @classmethod
    def create(cls, size: int, *, dtype: str = "float32", backend: str | Backend | None = None, **options: Any) -> Self:
        """A layer for `size` columns or channels, with gamma 1 and beta 0; `options` are those of the class."""
        return cls(constant(1.0, size, dtype, backend), constant(0.0, size, dtype, backend), **options)

    def input_shape(self) -> tuple[int, ...]:
        """One vector of D numbers."""
        return (self.gamma.shape[0],)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(D,), the shape of the input."""
        if tuple(shape) != self.input_shape():
            raise ShapeError(
                f"{type(self).__name__} expects vectors of {self.gamma.shape[0]} numbers (gamma is "
                f"{tuple(self.gamma.shape)}), got samples of shape {tuple(shape)}."
            )
        return shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.gamma.shape[0]})"


class BatchNormalization(_Normalization):
    """Batch normalization (``BatchNorm1d``, ``BatchNorm2d``): gamma * (x - mean) / sqrt(variance + eps) + beta.

    In training the mean and the variance of each column, or of each channel of images, are those of the batch, of at
    least two values (a ShapeError otherwise); at inference they are running means over the training batches. Ioffe and
    Szegedy, "Batch Normalization" (2015), algorithms 1 and 2.

    Note: the course divides the running variance by N; here it is by N - 1, as in the paper and in PyTorch. The
    course's eps is 1e-6, PyTorch's 1e-5. `momentum` is the course's, 1 minus PyTorch's.

    Parameters
    ----------
    gamma, beta
        Scale and shift, shape (D,) for D columns or channels; usually 1 and 0 at the start.
    momentum
        The share of a running mean that is kept in each step, from 0 to 1.
    eps
        The number added to the variance, above 0.

    Attributes
    ----------
    running_mean, running_var
        The running means, (D,), 0 and 1 at the start; moved and saved with the parameters.
    dgamma, dbeta
        The gradients, set by ``backward``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = BatchNormalization(np.array([1.0]), np.array([0.0]), eps=1e-12)
    >>> layer.train = True
    >>> layer.forward(np.array([[1.0], [3.0]]))
    array([[-1.],
           [ 1.]])
    >>> layer.running_mean, layer.running_var
    (array([0.2]), array([1.1]))
    """

    statistic_names: ClassVar[tuple[str, ...]] = ("running_mean", "running_var")
    momentum: float = checked(partial(check_between, low=0, high=1))

    def __init__(self, gamma: Array, beta: Array, momentum: float = 0.9, *, eps: float = 1e-5) -> None:
        super().__init__(gamma, beta, eps)
        xp = get_array_module(self.gamma)
        self.momentum = momentum
        self.running_mean = xp.zeros_like(self.gamma)
        self.running_var = xp.ones_like(self.gamma)

    def forward(self, x: Array) -> Array:
        """gamma * (x - mean) / sqrt(variance + eps) + beta, (N, D) for (N, D), (N, D, H, W) for (N, D, H, W)."""
        xp = get_array_module(x)
        self.check_batch(x)
        x, rows, n = _columns(x)
        if self.train:
            if n < 2:
                raise ShapeError(
                    f"{self!r} needs at least two values of each column or channel in training, got one: with a single "
                    "value every output is `beta` and every gradient before it 0. Use minibatches of two samples or "
                    "more, with `drop_last=True` if the last one would have a single sample."
                )
            mean = xp.sum(x, axis=rows) / n
            centered = x - mean
            var = xp.sum(centered * centered, axis=rows) / n
            self._keep(mean, var, n)
        else:
            centered, var = x - self.running_mean, self.running_var
        scale = 1 / xp.sqrt(var + self.eps)
        centered *= scale
        y = self.gamma * centered
        y += self.beta
        self.normal, self.scale = centered, scale
        return y if y.ndim == 2 else xp.permute_dims(y, (0, 3, 1, 2))

    def backward(self, dout: Array) -> Array:
        """The gradient by x, through mean and variance if they are the batch's; sets dgamma and dbeta."""
        xp = get_array_module(dout)
        dout, rows, n = _columns(dout)
        self.check_gradient(dout, self.normal)
        self.dgamma = xp.sum(dout * self.normal, axis=rows, **self.out("dgamma"))
        self.dbeta = xp.sum(dout, axis=rows, **self.out("dbeta"))
        if not self.needs_input_gradient:
            return None
        if self.train:
            dx = dout - self.dbeta / n
            dx -= self.normal * (self.dgamma / n)
            dx *= self.gamma * self.scale
        else:
            dx = dout * (self.gamma * self.scale)
        return dx if dx.ndim == 2 else xp.permute_dims(dx, (0, 3, 1, 2))

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the input: (D,) or (D, H, W)."""
        if len(shape) == 3 and shape[0] == self.gamma.shape[0]:
            return shape
        return super().output_shape(shape)

    def values_per_statistic(self, shape: tuple[int, ...]) -> int | None:
        """1 for a vector, H * W for an image; None if frozen, as the running statistics are then used in training."""
        return None if self.frozen else math.prod(shape[1:])

    def _keep(self, mean: Array, var: Array, n: int) -> None:
        """Update the running means, with the unbiased variance of this batch."""
        self.running_mean *= self.momentum
        self.running_mean += (1 - self.momentum) * mean
        self.running_var *= self.momentum
        self.running_var += (1 - self.momentum) * n / (n - 1) * var


def _columns(x: Array) -> tuple[Array, int | tuple[int, ...], int]:
    """The batch with columns or channels as the last axis; the other axes; the number of values along these."""
    if x.ndim == 2:
        return x, 0, x.shape[0]
    n, _, h, w = x.shape
    # One memory order, whatever the order of the images: so sums have the same bits in recorded steps.
    return get_array_module(x).permute_dims(batch_innermost(x), (3, 1, 2, 0)), (0, 1, 2), n * h * w


class LayerNormalization(_Normalization):
    """Layer normalization (``LayerNorm``): each row with mean 0 and variance 1, times gamma, plus beta.

    A row has at least two numbers (a ShapeError otherwise), since every output would be beta. Ba, Kiros and Hinton,
    "Layer Normalization" (2016), equations 3 and 4.

    Parameters
    ----------
    gamma, beta, eps
        As for `BatchNormalization`, with one scale and shift for each of the D columns.

    Examples
    --------
    >>> import numpy as np
    >>> layer = LayerNormalization(np.ones(2), np.zeros(2), eps=1e-12)
    >>> layer.forward(np.array([[1.0, 3.0], [20.0, 10.0]]))
    array([[-1.,  1.],
           [ 1., -1.]])
    """

    def __init__(self, gamma: Array, beta: Array, *, eps: float = 1e-5) -> None:
        super().__init__(gamma, beta, eps)
        if self.gamma.shape[0] == 1:
            raise ShapeError(
                "LayerNormalization normalizes each row, and needs at least two columns, got one: every output would "
                "be `beta`. Use `BatchNormalization`, which normalizes each column, or leave the layer out."
            )

    def forward(self, x: Array) -> Array:
        """gamma * (x - mean) / sqrt(variance + eps) + beta, of the last axis: (..., D) for (..., D)."""
        xp = get_array_module(x)
        d = x.shape[-1]
        if not self._in_network:
            self.check_batch(xp.reshape(x, (-1, d)))
        centered = x - xp.sum(x, axis=-1, keepdims=True) / d
        var = xp.sum(centered * centered, axis=-1, keepdims=True) / d
        scale = 1 / xp.sqrt(var + self.eps)
        centered *= scale
        y = self.gamma * centered
        y += self.beta
        self.normal, self.scale = centered, scale
        return y

    def backward(self, dout: Array) -> Array:
        """The gradient by x, through mean and variance; sets dgamma and dbeta."""
        xp = get_array_module(dout)
        self.check_gradient(dout, self.normal)
        rows = tuple(range(dout.ndim - 1))
        self.dgamma = xp.sum(dout * self.normal, axis=rows, **self.out("dgamma"))
        self.dbeta = xp.sum(dout, axis=rows, **self.out("dbeta"))
        if not self.needs_input_gradient:
            return None
        d = dout.shape[-1]
        dnormal = dout * self.gamma
        mean = xp.sum(dnormal, axis=-1, keepdims=True) / d
        along = xp.sum(dnormal * self.normal, axis=-1, keepdims=True) / d
        return (dnormal - mean - self.normal * along) * self.scale
