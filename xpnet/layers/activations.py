"""Activation layers: ReLU and sigmoid (course row 11), tanh, leaky ReLU and GELU (row 20)."""

import math
from functools import partial
from typing import ClassVar

from xpnet._core.arrays import Array, get_array_module
from xpnet._core.checks import check_between
from xpnet.functions import sigmoid
from xpnet.layers.base import Layer, checked

_GELU_SCALE, _GELU_CUBE = math.sqrt(2 / math.pi), 0.044715
_GELU_FLAT = 20.0  # where tanh(u) is 1, to the bit


class Relu(Layer):
    """ReLU: max(x, 0), element by element.

    Note: the course zeroes `dout` in place, which changes the caller's array; here the result is a new array.

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

    fusable: ClassVar[bool] = True

    def forward(self, x: Array) -> Array:
        """max(x, 0); any shape, the dtype of `x`."""
        y = self.y = get_array_module(x).maximum(x, 0)
        return y

    def backward(self, dout: Array) -> Array:
        """`dout` where the input was positive, else 0."""
        xp = get_array_module(dout)
        self.check_gradient(dout, self.y)
        return dout * xp.astype(self.y > 0, dout.dtype)

    @property
    def mask(self) -> Array:
        """True where the last input was not positive: the course's mask."""
        return self.y <= 0


ReLU = Relu  # as one of the notes spells it


class Sigmoid(Layer):
    """Sigmoid: 1 / (1 + exp(-x)), element by element.

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
        y = self.y = sigmoid(x)
        return y

    def backward(self, dout: Array) -> Array:
        """`dout` * y * (1 - y)."""
        self.check_gradient(dout, self.y)
        return dout * self.y * (1 - self.y)


class Tanh(Layer):
    """Tanh, element by element: between -1 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Tanh()
    >>> layer.forward(np.array([0.0]))
    array([0.])
    >>> layer.backward(np.array([1.0]))
    array([1.])
    """

    def forward(self, x: Array) -> Array:
        """tanh(x); any shape, the dtype of `x`."""
        y = self.y = get_array_module(x).tanh(x)
        return y

    def backward(self, dout: Array) -> Array:
        """`dout` * (1 - y**2)."""
        self.check_gradient(dout, self.y)
        return dout * (1 - self.y * self.y)


class LeakyRelu(Layer):
    """Leaky ReLU: x if x is positive, else slope * x, so that every unit has a gradient.

    Maas, Hannun and Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models" (2013).

    Parameters
    ----------
    slope
        The factor of negative numbers, from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> layer = LeakyRelu()
    >>> layer.forward(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    >>> layer.backward(np.array([1.0, 1.0]))
    array([0.01, 1.  ])
    """

    slope: float = checked(partial(check_between, low=0, high=1))

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Array) -> Array:
        """max(x, slope * x); any shape, the dtype of `x`."""
        y = get_array_module(x).maximum(x, self.slope * x)
        self.x = x
        return y

    def backward(self, dout: Array) -> Array:
        """`dout` where the input was positive, else slope * `dout`."""
        xp = get_array_module(dout)
        self.check_gradient(dout, self.x)
        positive = xp.astype(self.x > 0, dout.dtype)
        return dout * (self.slope + (1 - self.slope) * positive)

    def __repr__(self) -> str:
        return f"LeakyRelu(slope={self.slope:g})"


class Gelu(Layer):
    """GELU: x times the probability that a normal number is below x, approximated by tanh.

    0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x**3))): Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016),
    section 2. PyTorch calls it ``GELU(approximate="tanh")``; the error is at most 5e-4.

    Note: the exact form needs the error function, which NumPy and the array API standard do not have.

    Examples
    --------
    >>> import numpy as np
    >>> Gelu().forward(np.array([-1.0, 0.0, 1.0]))
    array([-0.15880801,  0.        ,  0.84119199])
    """

    def forward(self, x: Array) -> Array:
        """0.5 x (1 + tanh(u)) with u = sqrt(2/pi) (x + 0.044715 x**3); any shape, the dtype of `x`."""
        xp = get_array_module(x)
        tanh = xp.tanh(_GELU_SCALE * (x + _GELU_CUBE * x * x * x))
        y = 0.5 * x * (1 + tanh)
        self.x, self.tanh = x, tanh
        return y

    def backward(self, dout: Array) -> Array:
        """`dout` * (0.5 (1 + tanh u) + 0.5 x (1 - tanh(u)**2) du/dx)."""
        xp, tanh = get_array_module(dout), self.tanh
        self.check_gradient(dout, self.x)
        x = xp.minimum(xp.maximum(self.x, -_GELU_FLAT), _GELU_FLAT)  # beyond, 0 would be multiplied by infinity
        du = _GELU_SCALE * (1 + 3 * _GELU_CUBE * x * x)
        return dout * (0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * du)
