"""Last layers of a network: an output activation and its loss (course row 13)."""

import math
from typing import Any, ClassVar

import numpy as np

from xpnet._core.arrays import Array, arange, get_array_module
from xpnet._core.checks import (
    call_of,
    check_amounts,
    check_between,
    check_binary,
    check_finite,
    check_labels,
    index_labels,
    is_one_hot,
    valid_labels,
)
from xpnet._core.declared import is_library_code
from xpnet.backend import asarray
from xpnet.errors import ArgumentError, ShapeError
from xpnet.functions import as_floating, as_targets, one_hot, sample_count, sigmoid, softmax


class LossLayer:
    """Base class of last layers; subclasses implement ``compute_loss``, ``backward`` and ``check_targets``.

    A subclass may implement ``forward`` instead of ``compute_loss``; it is then called in training too.
    """

    classifies: bool = False
    """Whether the outputs stand for classes, so that there is an accuracy."""

    state_names: ClassVar[tuple[str, ...]] = ()
    """The attributes whose arrays the layer keeps from one training step to the next."""

    recordable: ClassVar[bool] = True
    fusable: ClassVar[bool] = False
    """Both as for `Layer`."""

    def forward(self, x: Array, t: Array) -> Array:
        """The loss of the scores `x` for the targets `t`, which are checked: a 0-d array."""
        _, x = as_floating(x)
        t = as_targets(t)
        targets = self.prepare_targets(t, tuple(x.shape), x.dtype)
        if targets.ndim > t.ndim == x.ndim - 1 and x.shape[-1] == 1:
            raise ShapeError(
                f"Expected targets of the outputs' shape {tuple(x.shape)}, got {tuple(t.shape)}. Make a column of them "
                "with `t = t.reshape(-1, 1)`."
            )
        return self.compute_loss(x, asarray(targets, like=x))

    def compute_loss(self, x: Array, t: Array) -> Array:
        """The loss for targets from `prepare_targets`; nothing is checked again."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `compute_loss(x, t)`.")

    def write_loss(self, out: Array, x: Array, t: Array) -> None:
        """Write the loss for targets that `prepare_targets` gave to `out`, a 0-d array."""
        out[...] = loss_of_checked(self, x, t)

    def backward(self, dout: float = 1.0) -> Array:
        """The gradient of the loss by the scores, times `dout`."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `backward(dout)`.")

    def check_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array:
        """The targets in the form that ``compute_loss`` takes; an error if they do not fit scores of that shape."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `check_targets(t, shape)`.")

    def valid_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array | None:  # noqa: ARG002
        """A mask of the targets whose values are valid, computed on their device; None if all are."""
        return None

    def prepare_targets(self, t: Array, scores_shape: tuple[int, ...], dtype: Any, *, mark_wrong: bool = True) -> Array:
        """Checked targets as ``compute_loss`` takes them; rows are converted to the dtype of the scores.

        The values of NumPy arrays are checked. Elsewhere that would wait for the device; with `mark_wrong`, invalid
        targets become NaN instead, and with them the loss and the gradient.
        """
        t, xp = self.check_targets(t, scores_shape), get_array_module(t)
        is_index = t.ndim < len(scores_shape)
        t = t if is_index else xp.astype(t, dtype)
        if xp is np or not mark_wrong or (fits := self.valid_targets(t, scores_shape)) is None:
            return t
        if is_index:
            t = one_hot(t, scores_shape[-1], dtype)
        return xp.where(fits if fits.ndim == t.ndim else fits[..., None], t, xp.nan)

    def stored_targets(self, t: np.ndarray, dtype: str) -> np.ndarray:
        """Checked targets as a `Trainer` stores them: class indices, if they can be, or numbers of that dtype."""
        if self.classifies and (t.ndim < 2 or is_one_hot(t)):
            return index_labels(t)
        check_finite("t", t)
        return t.astype(dtype, copy=False)

    def count_correct(self, scores: Array, t: Array) -> Array:
        """The number of scores (N, C) whose maximum is at the label, a 0-d array; NaN counts as wrong.

        The labels `t` are indices (N,), or rows (N, C) whose maximum is taken.
        """
        xp = get_array_module(scores)
        labels = t if t.ndim < scores.ndim else xp.argmax(t, axis=-1)
        is_number = xp.logical_not(xp.isnan(xp.max(scores, axis=-1)))
        right = xp.logical_and(xp.argmax(scores, axis=-1) == labels, is_number)
        return xp.sum(xp.astype(right, xp.int32))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def check_loss_layer(name: str, layer: Any) -> None:
    """Raise unless `layer` is a last layer; `name` is for messages."""
    if isinstance(layer, type):
        raise ArgumentError(f"{name} must be a layer with a loss, got the class. Use `{call_of(layer)}`.")
    if not isinstance(layer, LossLayer):
        raise ArgumentError(f"{name} must be a layer with a loss such as `SoftmaxWithLoss()`, got {layer!r:.60}.")


def loss_of_checked(last_layer: LossLayer, x: Array, t: Array) -> Array:
    """The loss for targets from `LossLayer.prepare_targets`, by its own ``forward`` if a user's class has one."""
    return last_layer.compute_loss(x, t) if is_library_code(last_layer.forward) else last_layer.forward(x, t)


def softmax_and_losses(x: Array) -> tuple[Array, Array]:
    """y = softmax(x) for scores `x` (N, C), and -log y: the loss of each class if it is the right one; both (N, C)."""
    xp = get_array_module(x)
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    exp = xp.exp(shifted)
    total = xp.sum(exp, axis=-1, keepdims=True)
    # -log y = log(total) - shifted: never the logarithm of a probability that may have become 0.
    return exp / total, xp.log(total) - shifted


def weighted(losses: Array, t: Array) -> Array:
    """t * losses for rows of labels `t` (N, C), but 0 and not 0 * inf where a class is masked by a score of -inf."""
    return t * get_array_module(t).where(t == 0, t, losses)


class _ActivationWithLoss(LossLayer):
    """An activation and the loss whose gradient by the scores is the same simple one for each of these pairs."""

    y: Array
    t: Array

    def backward(self, dout: float = 1.0) -> Array:
        """(y - t) / N, times `dout`."""
        return (self.y - self.t) * (dout / sample_count(self.y))


class SoftmaxWithLoss(_ActivationWithLoss):
    """Softmax and cross entropy, averaged over the batch (``CrossEntropyLoss``).

    Note: the course takes the logarithm of the probabilities plus 1e-7; here the loss is computed from the scores
    (log-sum-exp) and exact: 30, not 16.1, if the score of the right class is 30 below the highest.

    Parameters
    ----------
    label_smoothing
        The share of each label that is spread evenly over all classes, from 0 to below 1: Szegedy et al.,
        "Rethinking the Inception Architecture" (2016), section 7.

    Attributes
    ----------
    y, t, loss
        The probabilities (N, C) of the last ``forward``, its labels as rows, smoothed, and its loss.

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
    fusable: ClassVar[bool] = True

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = check_between("label_smoothing", label_smoothing, 0, 1, below=True)

    def compute_loss(self, x: Array, t: Array) -> Array:
        """The mean cross entropy of scores `x` (N, C) for labels `t`, indices (N,) or rows (N, C) that sum to 1."""
        xp = get_array_module(x)
        self.y, losses = softmax_and_losses(x)
        if t.ndim < x.ndim and not self.label_smoothing:
            is_label = t[..., None] == arange(x.shape[-1], like=t)
            self.t = xp.astype(is_label, x.dtype)
            losses = xp.where(is_label, losses, self.t)
        else:
            rows, share = one_hot(t, x.shape[-1], x.dtype) if t.ndim < x.ndim else t, self.label_smoothing
            self.t = (1 - share) * rows + share / rows.shape[-1] if share else rows
            losses = weighted(losses, self.t)
        self.loss = xp.sum(losses) / sample_count(x)
        return self.loss

    def probabilities(self, x: Array) -> Array:
        """Softmax of the scores."""
        return softmax(x)

    def check_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array:
        """Class indices (N,), or rows (N, C) that sum to 1: one-hot, or probabilities."""
        if scores_shape[-1:] == (1,):
            raise ShapeError(
                f"Expected scores of at least two classes, got the shape {scores_shape}. The softmax of one score is 1 "
                "whatever the score is. Use `SigmoidWithLoss()` for one output."
            )
        return check_labels(t, scores_shape)

    def valid_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array:
        """A mask (N,) of the labels in range, or of the rows that sum to 1."""
        return valid_labels(t, scores_shape)

    def __repr__(self) -> str:
        return f"SoftmaxWithLoss({f'label_smoothing={self.label_smoothing:g}' if self.label_smoothing else ''})"


class SigmoidWithLoss(_ActivationWithLoss):
    """Sigmoid and binary cross entropy, summed over the outputs and averaged over the batch (``BCEWithLogitsLoss``).

    For yes-or-no outputs that do not exclude each other. Computed from the scores, so that the loss is exact also for
    probabilities next to 0 or 1.

    Note: PyTorch's ``binary_cross_entropy_with_logits`` averages over the outputs as well.

    Attributes
    ----------
    y, t, loss
        The probabilities (N, D) of the last ``forward``, its targets, from 0 to 1, and its loss.

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

    def compute_loss(self, x: Array, t: Array) -> Array:
        """The mean over the batch of sum(-t log y - (1 - t) log(1 - y)), y = sigmoid(x), for scores `x` (N, D)."""
        xp = get_array_module(x)
        self.t = t
        self.y = sigmoid(x)
        # -t log y - (1 - t) log(1 - y) = max(x, 0) - x t + log(1 + exp(-|x|)), in which nothing overflows.
        self.loss = xp.sum(xp.maximum(x, 0) - x * t + xp.log1p(xp.exp(-xp.abs(x)))) / sample_count(x)
        return self.loss

    def probabilities(self, x: Array) -> Array:
        """The sigmoid of the scores."""
        return sigmoid(x)

    def check_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array:
        """Numbers from 0 to 1 in the shape of the scores (N, D); (N,) is accepted if D is 1."""
        return check_binary(_in_shape(t, scores_shape))

    def valid_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array:  # noqa: ARG002
        """A mask (N, D) of the targets from 0 to 1."""
        return get_array_module(t).logical_and(t >= 0, t <= 1)

    def stored_targets(self, t: np.ndarray, dtype: str) -> np.ndarray:
        """The targets in the dtype of the network."""
        return t.astype(dtype, copy=False)

    def count_correct(self, scores: Array, t: Array) -> Array:
        """The number of right answers, a score above 0 meaning yes, divided by D: a 0-d array. NaN counts as wrong."""
        xp = get_array_module(scores)
        right = xp.logical_and((scores > 0) == (t > 0.5), xp.logical_not(xp.isnan(scores)))
        return xp.sum(xp.astype(right, scores.dtype)) / math.prod(scores.shape[1:])


class IdentityWithLoss(_ActivationWithLoss):
    """Identity and half the squared error, averaged over the batch: for regression (``MSELoss``).

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

    def compute_loss(self, x: Array, t: Array) -> Array:
        """0.5 * sum((x - t)**2) / N for outputs `x` and targets `t`, both (N, D)."""
        xp = get_array_module(x)
        self.y = x
        self.t = t
        self.loss = xp.sum((x - t) ** 2) / (2 * sample_count(x))
        return self.loss

    def check_targets(self, t: Array, scores_shape: tuple[int, ...]) -> Array:
        """Floats in the shape of the outputs (N, D); (N,) is accepted if D is 1."""
        return check_amounts(_in_shape(t, scores_shape))


def _in_shape(t: Array, scores_shape: tuple[int, ...]) -> Array:
    """The targets in the shape of the scores; a ShapeError if they do not fit."""
    if tuple(t.shape) != tuple(scores_shape) and (*t.shape, 1) != tuple(scores_shape):
        raise ShapeError(f"Expected targets of the outputs' shape {tuple(scores_shape)}, got {tuple(t.shape)}.")
    return get_array_module(t).reshape(t, tuple(scores_shape))
