"""The nodes of a computational graph: times, plus, square, exp, one-over (course row 10).

They work on plain numbers and on arrays. The two inputs of a node are numbers, or arrays of one shape.
"""

from xpnet.backend import Array
from xpnet.functions import as_floating

__all__ = ["AddLayer", "ExpLayer", "MulLayer", "ReciprocalLayer", "SquareLayer"]


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
        """The product; keeps both factors."""
        self.x, self.y = x, y
        return x * y

    def backward(self, dout: Array) -> tuple[Array, Array]:
        """Each factor's gradient is `dout` times the other factor."""
        return dout * self.y, dout * self.x


class AddLayer:
    """x + y."""

    def forward(self, x: Array, y: Array) -> Array:
        """The sum."""
        return x + y

    def backward(self, dout: Array) -> tuple[Array, Array]:
        """A sum hands `dout` on to both its terms."""
        return dout, dout


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
        """The square."""
        self.x = x
        return x**2

    def backward(self, dout: Array) -> Array:
        """Dout * 2 x."""
        return dout * 2 * self.x


class ExpLayer:
    """exp(x), which is its own derivative."""

    def forward(self, x: Array) -> Array:
        """The exponential."""
        xp, x = as_floating(x)
        self.y = xp.exp(x)
        return self.y

    def backward(self, dout: Array) -> Array:
        """Dout * exp(x)."""
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
        """One over x."""
        self.y = 1 / x
        return self.y

    def backward(self, dout: Array) -> Array:
        """-dout / x**2, from the output: -dout * y**2."""
        return -dout * self.y**2
