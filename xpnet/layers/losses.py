"""The last layer of a network: an output activation and the loss of it, in one (course row 13)."""

from xpnet.backend import Array, dtype_name, get_array_module
from xpnet.checks import check_labels
from xpnet.errors import DtypeError, ShapeError
from xpnet.functions import one_hot, softmax

__all__ = ["IdentityWithLoss", "LossLayer", "SoftmaxWithLoss"]


class LossLayer:
    """What every last layer has. Subclasses give ``forward``, ``backward`` and ``check_targets``."""

    classifies: bool = False
    """Whether the outputs are classes, so that there is an accuracy."""

    def forward(self, x: Array, t: Array) -> Array:
        """The loss, a scalar of the backend, of the scores `x` for the targets `t`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to compute  forward(x, t) .")

    def backward(self, dout: float = 1.0) -> Array:
        """The gradient of the loss by the scores, times `dout`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to compute  backward(dout) .")

    def check_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array:
        """The targets, if they fit scores of that shape, in the form that ``forward`` wants; else an error."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to compute  check_targets(t, shape) .")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class SoftmaxWithLoss(LossLayer):
    """Softmax and the cross entropy of it, averaged over the batch.

    Note: the course takes the logarithm of the probabilities plus 1e-7; here it is taken of the scores (log-sum-exp),
    so that the loss is exact: 30, and not 16.1, where the right class is 30 behind.

    Attributes
    ----------
    y
        The probabilities of the last ``forward``, (N, C).
    t
        Its labels, one-hot.
    loss
        Its loss.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SoftmaxWithLoss()
    >>> round(float(layer.forward(np.array([[0.0, 0.0]]), np.array([1]))), 4)
    0.6931
    >>> layer.backward()
    array([[ 0.5, -0.5]])
    """

    classifies = True

    def forward(self, x: Array, t: Array) -> Array:
        """The mean cross entropy of scores `x` (N, C) for labels `t`, indices (N,) or one-hot (N, C)."""
        xp = get_array_module(x)
        self.t = one_hot(t, x.shape[-1], x.dtype) if t.ndim < x.ndim else t
        shifted = x - xp.max(x, axis=-1, keepdims=True)
        exp = xp.exp(shifted)
        total = xp.sum(exp, axis=-1, keepdims=True)
        self.y = exp / total
        # log y = shifted - log(total): never the logarithm of a probability that may have become 0.
        self.loss = xp.sum(self.t * (xp.log(total) - shifted)) / x.shape[0]
        return self.loss

    def backward(self, dout: float = 1.0) -> Array:
        """(y - t) / N, times `dout`."""
        return (self.y - self.t) * (dout / self.y.shape[0])

    def probabilities(self, x: Array) -> Array:
        """Softmax of the scores."""
        return softmax(x)

    def check_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array:
        """Class indices (N,) or one-hot rows (N, C)."""
        return check_labels(t, scores_shape)


class IdentityWithLoss(LossLayer):
    """The outputs as they are and half their squared error, averaged over the batch: for regression.

    Examples
    --------
    >>> import numpy as np
    >>> layer = IdentityWithLoss()
    >>> float(layer.forward(np.array([[3.0], [1.0]]), np.array([[1.0], [1.0]])))
    1.0
    >>> layer.backward()
    array([[1.],
           [0.]])
    """

    def forward(self, x: Array, t: Array) -> Array:
        """0.5 * sum((x - t)**2) / N for outputs `x` and targets `t`, both (N, D)."""
        xp = get_array_module(x)
        self.y = x
        self.t = t
        self.loss = xp.sum((x - t) ** 2) / (2 * x.shape[0])
        return self.loss

    def backward(self, dout: float = 1.0) -> Array:
        """(y - t) / N, times `dout`."""
        return (self.y - self.t) * (dout / self.y.shape[0])

    def check_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array:
        """Floats of the outputs' shape (N, D); (N,) will do where D is 1."""
        if tuple(t.shape) != tuple(scores_shape) and (*t.shape, 1) != tuple(scores_shape):
            raise ShapeError(f"Targets must have the outputs' shape {tuple(scores_shape)}, got {tuple(t.shape)}.")
        if not dtype_name(t).startswith("float"):
            raise DtypeError(
                f"The targets of a regression must be floats, got {dtype_name(t)}. Convert with t.astype('float32') ."
            )
        return get_array_module(t).reshape(t, tuple(scores_shape))
