"""The last layer of a network: an output activation and the loss of it, in one (course row 13)."""

from typing import Any

import numpy as np

from xpnet.backend import Array, dtype_name, get_array_module
from xpnet.checks import check_between, check_binary, check_finite, check_labels, index_labels
from xpnet.errors import ArgumentError, DtypeError, ShapeError
from xpnet.functions import one_hot, sigmoid, softmax

__all__ = ["IdentityWithLoss", "LossLayer", "SigmoidWithLoss", "SoftmaxWithLoss", "check_loss_layer"]


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

    def targets_to_keep(self, t: np.ndarray, dtype: str) -> np.ndarray:
        """Checked targets as a `Trainer` keeps them: class indices, or numbers of the network's dtype."""
        if self.classifies:
            return index_labels(t)
        check_finite("t", t)
        return t.astype(dtype, copy=False)

    def count_right(self, scores: Array, t: Array) -> Array:
        """For how many of the scores (N, C) the highest is at the label, indices (N,) or one-hot (N, C); a scalar."""
        xp = get_array_module(scores)
        labels = t if t.ndim < scores.ndim else xp.argmax(t, axis=1)
        return xp.sum(xp.astype(xp.argmax(scores, axis=1) == labels, xp.int32))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def check_loss_layer(name: str, layer: Any) -> None:
    """That it is a last layer; `name` is for messages."""
    if isinstance(layer, type):
        raise ArgumentError(f"{name} must be a layer with a loss, got the class. Use `{layer.__name__}()`.")
    if not isinstance(layer, LossLayer):
        raise ArgumentError(f"{name} must be a layer with a loss such as `SoftmaxWithLoss()`, got {layer!r:.60}.")


class SoftmaxWithLoss(LossLayer):
    """Softmax and the cross entropy of it, averaged over the batch.

    Note: the course takes the logarithm of the probabilities plus 1e-7; here it is taken of the scores (log-sum-exp),
    so that the loss is exact: 30, and not 16.1, where the right class is 30 behind.

    Parameters
    ----------
    label_smoothing
        The share of each label that is spread evenly over all classes, from 0 up to, but not, 1: Szegedy et al.,
        "Rethinking the Inception Architecture" (2016), section 7.

    Attributes
    ----------
    y
        The probabilities of the last ``forward``, (N, C).
    t
        Its labels, one-hot, and smoothed.
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

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = check_between("label_smoothing", label_smoothing, 0, 1, below=True)

    def forward(self, x: Array, t: Array) -> Array:
        """The mean cross entropy of scores `x` (N, C) for labels `t`, indices (N,) or one-hot (N, C)."""
        xp = get_array_module(x)
        self.t = one_hot(t, x.shape[-1], x.dtype) if t.ndim < x.ndim else t
        if self.label_smoothing:
            self.t = (1 - self.label_smoothing) * self.t + self.label_smoothing / x.shape[-1]
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

    def __repr__(self) -> str:
        return f"SoftmaxWithLoss({f'label_smoothing={self.label_smoothing:g}' if self.label_smoothing else ''})"


class SigmoidWithLoss(LossLayer):
    """The sigmoid and the binary cross entropy of it, summed over the outputs and averaged over the batch.

    For one question with two answers, or several that do not exclude each other: each output is the probability of its
    own yes. Computed from the scores, so that the loss is exact where a probability is next to 0 or 1.

    Note: PyTorch's ``binary_cross_entropy_with_logits`` averages over the outputs as well.

    Attributes
    ----------
    y
        The probabilities of the last ``forward``, (N, D).
    t
        Its targets, from 0 to 1.
    loss
        Its loss.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SigmoidWithLoss()
    >>> round(float(layer.forward(np.array([[0.0], [30.0]]), np.array([[1.0], [0.0]]))), 4)
    15.3466
    >>> layer.backward()
    array([[-0.25],
           [ 0.5 ]])
    """

    classifies = True

    def forward(self, x: Array, t: Array) -> Array:
        """The mean over the batch of sum(-t log y - (1 - t) log(1 - y)), y = sigmoid(x), for scores `x` (N, D)."""
        xp = get_array_module(x)
        self.t = t
        self.y = sigmoid(x)
        # -t log y - (1 - t) log(1 - y) = max(x, 0) - x t + log(1 + exp(-|x|)), in which nothing overflows.
        self.loss = xp.sum(xp.maximum(x, 0) - x * t + xp.log1p(xp.exp(-xp.abs(x)))) / x.shape[0]
        return self.loss

    def backward(self, dout: float = 1.0) -> Array:
        """(y - t) / N, times `dout`."""
        return (self.y - self.t) * (dout / self.y.shape[0])

    def probabilities(self, x: Array) -> Array:
        """The sigmoid of the scores."""
        return sigmoid(x)

    def check_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array:
        """Numbers from 0 to 1 in the shape of the scores (N, D); (N,) will do where D is 1."""
        t = _in_shape(t, scores_shape)
        check_binary(t)
        return t

    def targets_to_keep(self, t: np.ndarray, dtype: str) -> np.ndarray:
        """The targets as numbers of the network's dtype."""
        return t.astype(dtype, copy=False)

    def count_right(self, scores: Array, t: Array) -> Array:
        """For how many of the scores (N, D) the answer is right, yes above 0: over D, a scalar."""
        xp = get_array_module(scores)
        right = xp.astype((scores > 0) == (t > 0.5), scores.dtype)
        return xp.sum(right) / scores.shape[-1]


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
        t = _in_shape(t, scores_shape)
        if not dtype_name(t).startswith("float"):
            raise DtypeError(
                f"The targets of a regression must be floats, got {dtype_name(t)}. Convert with t.astype('float32') ."
            )
        return t


def _in_shape(t: Array, scores_shape: tuple[int, ...]) -> Array:
    """The targets in the shape of the scores, or a ShapeError."""
    if tuple(t.shape) != tuple(scores_shape) and (*t.shape, 1) != tuple(scores_shape):
        raise ShapeError(f"Targets must have the outputs' shape {tuple(scores_shape)}, got {tuple(t.shape)}.")
    return get_array_module(t).reshape(t, tuple(scores_shape))
