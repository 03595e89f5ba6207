"""The nodes of a computational graph: product, sum, square, exponential, reciprocal (course row 10).

They take numbers and arrays. Two inputs may be numbers, arrays of one shape, or a number and an array; the gradient of
the number is then the sum over the array.
"""

from numbers import Number
from typing import Any

from xpnet._core.arrays import Array, check_plain, get_array_module, is_array
from xpnet.errors import ShapeError
from xpnet.functions import as_floating


class MulLayer:
    """x * y.

    Examples
    --------
    >>> apple = MulLayer()
    >>> apple.forward(100, 2)
    200
    >>> apple.backward(1.1)
    (2.2, 110.00000000000001)
    """

    def forward(self, x: Array, y: Array) -> Array:
        """Return `x * y`."""
        self.x, self.y = operands("MulLayer", x, y)
        return self.x * self.y

    def backward(self, dout: Array) -> tuple[Array, Array]:
        """Return `dout * y, dout * x`."""
        return gradient_like(self.x, dout * self.y), gradient_like(self.y, dout * self.x)


class AddLayer:
    """x + y."""

    def forward(self, x: Array, y: Array) -> Array:
        """Return `x + y`."""
        self.x, self.y = operands("AddLayer", x, y)
        return self.x + self.y

    def backward(self, dout: Array) -> tuple[Array, Array]:
        """Return `dout` for both terms."""
        return gradient_like(self.x, dout), gradient_like(self.y, dout)


class SquareLayer:
    """x ** 2.

    Examples
    --------
    >>> square = SquareLayer()
    >>> square.forward(3)
    9
    >>> square.backward(1)
    6
    """

    def forward(self, x: Array) -> Array:
        """Return `x**2`."""
        self.x = operand(x)
        return self.x**2

    def backward(self, dout: Array) -> Array:
        """Return `dout * 2 * x`."""
        return dout * 2 * self.x


class ExpLayer:
    """exp(x), which is its own derivative."""

    def forward(self, x: Array) -> Array:
        """Return `exp(x)`."""
        xp, x = as_floating(x)
        self.y = xp.exp(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        """Return `dout * exp(x)`."""
        return dout * self.y


class ReciprocalLayer:
    """1 / x.

    Examples
    --------
    >>> node = ReciprocalLayer()
    >>> node.forward(4)
    0.25
    >>> node.backward(1)
    -0.0625
    """

    def forward(self, x: Array) -> Array:
        """Return `1 / x`."""
        self.y = 1 / operand(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        """Return `-dout / x**2`, computed from the output as `-dout * y**2`."""
        return -dout * self.y**2


def operand(x: Any) -> Any:
    """Return a number or a plain array, and a list, which ``*`` would repeat, as an array of float64."""
    if is_array(x):
        check_plain(x)
    elif not isinstance(x, Number):
        _, x = as_floating(x)
    return x


def operands(node: str, x: Any, y: Any) -> tuple[Any, Any]:
    """Check both inputs: arrays must have the same shape, since others would be broadcast."""
    x, y = operand(x), operand(y)
    if _is_scalar(x) or _is_scalar(y):
        return x, y
    get_array_module(x, y)
    if tuple(x.shape) != tuple(y.shape):
        raise ShapeError(f"{node} expects two arrays of one shape, got {tuple(x.shape)} and {tuple(y.shape)}.")
    return x, y


def gradient_like(x: Any, gradient: Any) -> Any:
    """The gradient with respect to `x`: the sum if `x` is a number that was broadcast."""
    if not _is_scalar(x) or _is_scalar(gradient):
        return gradient
    return get_array_module(gradient).sum(gradient)


def _is_scalar(x: Any) -> bool:
    return not is_array(x) or x.ndim == 0
