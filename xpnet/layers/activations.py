"""Activation layers: ReLU and the sigmoid (course row 11)."""

from xpnet.backend import Array, get_array_module
from xpnet.functions import sigmoid
from xpnet.layers.base import Layer

__all__ = ["ReLU", "Relu", "Sigmoid"]


class Relu(Layer):
    """max(x, 0), element by element.

    Note: the course zeroes `dout` in place where its mask is True, which changes the caller's array; here the product
    with 0 or 1 is a new one.

    Examples
    --------
    >>> import numpy as np
    >>> relu = Relu()
    >>> relu.forward(np.array([[1.0, -0.5], [-2.0, 3.0]]))
    array([[1., 0.],
           [0., 3.]])
    >>> relu.backward(np.array([[-0.1, 3.0], [1.3, -1.8]])) + 0.0
    array([[-0.1,  0. ],
           [ 0. , -1.8]])
    """

    def forward(self, x: Array) -> Array:
        """max(x, 0); any shape, the dtype of `x`."""
        xp = get_array_module(x)
        self.y = xp.maximum(x, 0)
        return self.y

    def backward(self, dout: Array) -> Array:
        """`dout` where the input was positive, else 0."""
        xp = get_array_module(dout)
        return dout * xp.astype(self.y > 0, dout.dtype)

    @property
    def mask(self) -> Array:
        """True where the last input was not positive: the course's mask."""
        return self.y <= 0


ReLU = Relu  # as one of the notes spells it


class Sigmoid(Layer):
    """1 / (1 + exp(-x)), element by element.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Sigmoid()
    >>> layer.forward(np.array([0.0]))
    array([0.5])
    >>> layer.backward(np.array([1.0]))
    array([0.25])
    """

    def forward(self, x: Array) -> Array:
        """1 / (1 + exp(-x)); any shape, the dtype of `x`."""
        self.y = sigmoid(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        """Dout * y * (1 - y)."""
        return dout * self.y * (1 - self.y)
