"""Callbacks: what is done at certain moments of a training, such as to stop in time or to keep the best weights."""

import math
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from xpnet._core.arrays import Array
from xpnet._core.checks import call_of, check_count, check_not_negative
from xpnet._core.files import check_path, check_writable
from xpnet.errors import ArgumentError
from xpnet.networks.network import Network
from xpnet.training.history import History

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer

Monitor = Literal["val_loss", "val_acc"]
_MONITORS = {"val_loss": -1, "val_acc": 1}  # and whether more is better or worse


class Callback:
    """Base class of callbacks; subclasses override the methods that they need.

    A plain function of the trainer is a callback as well, which is called after each evaluation.

    Examples
    --------
    >>> from xpnet import Trainer, TwoLayerNet, load_digits
    >>> class PrintLoss(Callback):
    ...     def on_epoch_end(self, trainer):
    ...         print(f"{len(trainer.history.loss)} steps")
    >>> (x_train, t_train), _ = load_digits(normalize=False)
    >>> network = TwoLayerNet(64, 50, 10, seed=0, backend="numpy")
    >>> _ = Trainer(network, x_train, t_train, epochs=2, callbacks=[PrintLoss()], verbose=False, seed=0).train()
    15 steps
    30 steps
    """

    def on_train_begin(self, trainer: "Trainer") -> None:
        """Called before the first step. An error here ends the training before it has begun."""

    def on_train_end(self, trainer: "Trainer") -> None:
        """Called after the last step, also after an interrupt or an error."""

    def on_epoch_begin(self, trainer: "Trainer") -> None:
        """Called before the first step of an epoch."""

    def on_epoch_end(self, trainer: "Trainer") -> None:
        """Called after the last step of an epoch, before the evaluation; not where the training ends within one."""

    def on_evaluation(self, trainer: "Trainer") -> None:
        """Called after each evaluation, whose results are the last ones of ``trainer.history``."""


def check_callbacks(callbacks: Any) -> list[Any]:
    """A list of callbacks, checked."""
    if callable(callbacks) or not hasattr(callbacks, "__iter__"):
        one = call_of(callbacks) if isinstance(callbacks, type) else "callback"
        raise ArgumentError(f"callbacks must be a list, got {callbacks!r}. Put it into one with `callbacks=[{one}]`.")
    for callback in callbacks:
        if isinstance(callback, type) or not (isinstance(callback, Callback) or callable(callback)):
            fix = f" Use `{call_of(callback)}`." if isinstance(callback, type) else ""
            raise ArgumentError(f"callbacks must be functions of the trainer, got {callback!r}.{fix}")
    return list(callbacks)


def hook(callback: Any, name: str) -> "Callable[[Trainer], None]":
    """What to call at a moment such as ``"on_epoch_end"``: a method of the callback, or a plain function itself."""
    if isinstance(callback, Callback):
        return getattr(callback, name)
    return callback if name == "on_evaluation" else lambda _: None


class _Best(Callback):
    """Monitors a result on the validation set.

    Attributes
    ----------
    best
        The best so far; NaN before the first evaluation.
    best_iteration
        After how many iterations that was.
    """

    def __init__(self, monitor: Monitor, min_delta: float = 0.0) -> None:
        if monitor not in _MONITORS:
            raise ArgumentError(f"monitor must be one of {', '.join(map(repr, _MONITORS))}, got {monitor!r}.")
        self.monitor = monitor
        self.min_delta = check_not_negative("min_delta", min_delta)
        self.best, self.best_iteration = math.nan, 0

    def on_train_begin(self, trainer: "Trainer") -> None:
        """Refuse if there is nothing to monitor."""
        if trainer.validation is None:
            raise ArgumentError(
                f"{self!r} follows {self.monitor}, but there is no validation set. Give the trainer a share of "
                "the training set with `validation=0.2`, or one of its own with `validation=(x_val, t_val)`."
            )
        if [id(callback) for callback in trainer.callbacks].count(id(self)) > 1:
            raise ArgumentError(f"{self!r} is twice among the callbacks, and would count each evaluation twice.")
        if trainer.validation.x.shape[0] == 1:
            warnings.warn(
                f"{self!r} follows {self.monitor} of a validation set of one sample, which says next to nothing. Hold "
                "out more, as with `validation=0.2`.",
                stacklevel=4,
            )
        if self.monitor == "val_acc" and not trainer.network.last_layer.classifies:
            raise ArgumentError(
                f"{self!r} follows val_acc, but {trainer.network.last_layer} has no classes. Use `monitor='val_loss'`."
            )

    def improved(self, trainer: "Trainer") -> bool:
        """Whether the newest result is the best, by more than `min_delta`; it is then kept as `best`."""
        value = getattr(trainer.history, self.monitor)[-1]
        gain = _MONITORS[self.monitor] * (value - self.best)
        if not (gain > self.min_delta or (math.isnan(self.best) and not math.isnan(value))):
            return False
        self.best, self.best_iteration = value, trainer.history.evaluated_at[-1]
        return True

    def _where(self) -> str:
        return f"{self.best_iteration:,} iterations, {self.monitor} {self.best:.4f}"

    def __repr__(self) -> str:
        names = [name for name in ("patience", "path", "monitor", "min_delta") if hasattr(self, name)]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


class EarlyStopping(_Best):
    """Stops a training that no longer improves, and restores the best weights.

    Prechelt, "Early Stopping - But When?" (1998), with the criterion UP counted in evaluations. The best weights are
    also restored at the end of a whole training, and after an interrupt.

    Parameters
    ----------
    patience
        The number of evaluations in a row without improvement.
    monitor
        ``"val_loss"`` or ``"val_acc"``.
    min_delta
        The least improvement that counts.

    Examples
    --------
    >>> from xpnet import Trainer, TwoLayerNet, load_digits
    >>> (x_train, t_train), (x_test, t_test) = load_digits(normalize=False)
    >>> stopping = EarlyStopping(patience=2, monitor="val_acc")
    >>> network = TwoLayerNet(64, 50, 10, "he", seed=0, backend="numpy")
    >>> history = Trainer(network, x_train, t_train, x_test, t_test, epochs=100, mini_batch_size=20, optimizer="Adam",
    ...                   validation=0.2, callbacks=[stopping], verbose=False, seed=0).train()
    >>> history.val_acc[-3] == stopping.best >= max(history.val_acc)
    True
    """

    def __init__(self, patience: int = 5, monitor: Monitor = "val_loss", min_delta: float = 0.0) -> None:
        super().__init__(monitor, min_delta)
        self.patience = check_count("patience", patience)
        self._waited = 0
        self._weights: dict[str, Array] = {}
        self._followed: History | None = None

    def on_train_begin(self, trainer: "Trainer") -> None:
        """Refuse if there is nothing to monitor; start counting again, and with another trainer forget the best."""
        super().on_train_begin(trainer)
        self._waited = 0
        if self._followed is not trainer.history:  # the weights kept are those of another network
            self._followed, self._weights = trainer.history, {}
            self.best, self.best_iteration = math.nan, 0

    def on_evaluation(self, trainer: "Trainer") -> None:
        """Keep the weights, or wait."""
        if self.improved(trainer):
            self._waited, self._weights = 0, trainer.network.state.weights()
            return
        self._waited += 1
        if self._waited >= self.patience:
            trainer.stop()

    def on_train_end(self, trainer: "Trainer") -> None:
        """Restore the best weights."""
        if self._weights:
            trainer.network.state.set_weights(self._weights)
            trainer.say(f"Given back: the weights after {self._where()}")


class BestModel(_Best):
    """Writes the weights to a file whenever they are the best so far.

    Used with several trainers in turn it keeps the best of all. If the file cannot be written, for example because the
    disk is full, it warns and training continues; it tries again after each evaluation and at the end.

    Parameters
    ----------
    path
        A safetensors file, which is always whole: read it with ``network.load(path)``.
    monitor, min_delta
        As for `EarlyStopping`.

    Attributes
    ----------
    unwritten
        A copy of the network with the best weights where they could not be written, else None.
    """

    def __init__(self, path: str | os.PathLike[str], monitor: Monitor = "val_loss", min_delta: float = 0.0) -> None:
        super().__init__(monitor, min_delta)
        self.path = check_path("path", path)
        self.unwritten: Network | None = None
        self._written = False

    def on_train_begin(self, trainer: "Trainer") -> None:
        """Refuse if there is nothing to monitor, or the file cannot be written."""
        super().on_train_begin(trainer)
        check_writable(self.path)
        self._written = False

    def on_evaluation(self, trainer: "Trainer") -> None:
        """Write the weights, if they are the best."""
        if self.improved(trainer):
            self._write(trainer.network)
        elif self.unwritten is not None:
            self._write(self.unwritten)

    def on_train_end(self, trainer: "Trainer") -> None:
        """Report where the weights are."""
        if self.unwritten is not None:
            self._write(self.unwritten)
        if self.unwritten is not None:
            warnings.warn(
                f"The best weights, after {self._where()}, are not in {self.path}. Save them in another place with "
                "`trainer.callbacks[0].unwritten.save('best.safetensors')`, where 0 is the place of this BestModel.",
                stacklevel=2,
            )
        elif self._written:
            trainer.say(f"Written: {self.path}, after {self._where()}")
        elif not math.isnan(self.best):
            trainer.say(f"Left as it was: {self.path}, better than this training: {self.monitor} {self.best:.4f}")

    def _write(self, network: Network) -> None:
        """Write the weights, or keep a copy of the network for a later attempt."""
        try:
            network.save(self.path)
        except OSError as error:
            if network is not self.unwritten:
                warnings.warn(f"Training goes on, but the best weights cannot be saved: {error}", stacklevel=3)
                self.unwritten = network.copy()
            return
        self.unwritten, self._written = None, True
