"""Dropout (course row 20)."""

from functools import partial
from typing import ClassVar

import numpy as np

from xpnet._core.arrays import Array, get_array_module
from xpnet._core.checks import check_between, check_flag
from xpnet._core.random import next_key, random_bits, random_streams
from xpnet.backend import asarray
from xpnet.layers.base import Layer, checked
from xpnet.layers.initializers import Random


class Dropout(Layer):
    """Dropout: in training each number is set to 0 with a given probability, and the others are scaled up.

    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014). The
    mask is the same on every backend and differs in each step, also if steps are recorded (see `xpnet._core.random`).

    Note: the course scales at inference instead of in training, as section 4 of the paper does: ``inverted=False``.

    Parameters
    ----------
    dropout_ratio
        The probability, from 0 to below 1.
    inverted
        Scale by 1 / (1 - dropout_ratio) in training (True), or by 1 - dropout_ratio at inference (False).
    seed
        A whole number, or a ``numpy.random.Generator`` to draw one from, for the same masks in each run; or None.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Dropout(0.5, seed=0)
    >>> layer.forward(np.ones(4))
    array([1., 1., 1., 1.])
    >>> layer.train = True
    >>> layer.forward(np.ones(8))
    array([0., 0., 0., 0., 2., 0., 2., 0.])
    """

    counter_names: ClassVar[tuple[str, ...]] = ("key",)
    dropout_ratio: float = checked(partial(check_between, low=0, high=1, below=True))
    inverted: bool = checked(check_flag)

    def __init__(self, dropout_ratio: float = 0.5, *, inverted: bool = True, seed: Random = None) -> None:
        self.dropout_ratio = dropout_ratio
        self.inverted = inverted
        if isinstance(seed, np.random.Generator):
            seed = int(seed.integers(2**31))
        self.key: Array = random_streams(seed).noise.integers(-(2**31), 2**31, 1).astype(np.int32)

    def forward(self, x: Array) -> Array:
        """x times a mask of zeros and ones, scaled; any shape, the dtype of `x`."""
        xp = get_array_module(x)
        if not self.train:
            return x if self.inverted else x * (1 - self.dropout_ratio)
        key = next_key(asarray(self.key, like=x))
        # The bits are a number from -2**31 to 2**31, below this limit with the given probability.
        limit = min(round(self.dropout_ratio * 2**32), 2**32 - 1) - 2**31
        mask = xp.astype(random_bits(x.shape, key) >= limit, x.dtype)
        if self.inverted:
            mask *= 1 / (1 - self.dropout_ratio)
        self.key, self.mask = key, mask
        return x * mask

    def backward(self, dout: Array) -> Array:
        """`dout` times the same mask; after inference, scaled as the input was."""
        if not self.train:
            return dout if self.inverted else dout * (1 - self.dropout_ratio)
        self.check_gradient(dout, self.mask)
        return dout * self.mask

    def __repr__(self) -> str:
        return f"Dropout({self.dropout_ratio:g}{'' if self.inverted else ', inverted=False'})"
