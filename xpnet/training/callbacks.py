"""What can be done after each evaluation: stop in time, and keep the best weights.

A callback is a function of the trainer. One that is an object may have two methods more: ``begin(trainer)`` is called
before the first step, and may refuse; ``finish(trainer)`` after the last one, also where the user interrupts.
"""

import math
import os
import warnings
from typing import TYPE_CHECKING

from xpnet._core.arrays import Array
from xpnet._core.checks import check_count, check_not_negative
from xpnet._core.files import check_path, check_writable
from xpnet.errors import ArgumentError
from xpnet.networks.network import Network
from xpnet.training.history import History

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer

__all__ = ["BestModel", "EarlyStopping"]

_MONITORS = {"val_loss": -1, "val_acc": 1}  # and whether more is better or worse


class _Best:
    """Follows a number on the validation set, and knows when it is better than ever before.

    Attributes
    ----------
    best
        The best so far; NaN before the first evaluation.
    best_iteration
        After how many iterations that was.
    """

    def __init__(self, monitor: str, min_delta: float = 0.0) -> None:
        if monitor not in _MONITORS:
            raise ArgumentError(f"monitor must be one of {', '.join(map(repr, _MONITORS))}, got {monitor!r}.")
        self.monitor = monitor
        self.min_delta = check_not_negative("min_delta", min_delta)
        self.best, self.best_iteration = math.nan, 0

    def begin(self, trainer: "Trainer") -> None:
        """Refuse where there is nothing to follow."""
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
        """Whether the newest number is the best, by more than `min_delta`; takes note of it."""
        value = getattr(trainer.history, self.monitor)[-1]
        gain = _MONITORS[self.monitor] * (value - self.best)
        if not (gain > self.min_delta or (math.isnan(self.best) and not math.isnan(value))):
            return False
        self.best, self.best_iteration = value, trainer.history.iterations[-1]
        return True

    def _where(self) -> str:
        return f"{self.best_iteration:,} iterations, {self.monitor} {self.best:.4f}"

    def __repr__(self) -> str:
        names = [name for name in ("patience", "path", "monitor", "min_delta") if hasattr(self, name)]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


class EarlyStopping(_Best):
    """Ends a training that no longer gets better, and gives the network back the weights with which it was best.

    Prechelt, "Early Stopping - But When?" (1998), with the criterion UP counted in evaluations. The best weights are
    given back also where the training comes to its end by itself, or the user interrupts it.

    Parameters
    ----------
    patience
        How many evaluations in a row may bring nothing better.
    monitor
        ``"val_loss"`` or ``"val_acc"``.
    min_delta
        By how much a number must be better to count.

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

    def __init__(self, patience: int = 5, monitor: str = "val_loss", min_delta: float = 0.0) -> None:
        super().__init__(monitor, min_delta)
        self.patience = check_count("patience", patience)
        self._waited = 0
        self._weights: dict[str, Array] = {}
        self._followed: History | None = None

    def begin(self, trainer: "Trainer") -> None:
        """Refuse where there is nothing to follow; begin to wait anew, and with another trainer altogether anew."""
        super().begin(trainer)
        self._waited = 0
        if self._followed is not trainer.history:  # the weights kept are those of another network
            self._followed, self._weights = trainer.history, {}
            self.best, self.best_iteration = math.nan, 0

    def __call__(self, trainer: "Trainer") -> None:
        """Keep the weights, or wait."""
        if self.improved(trainer):
            self._waited, self._weights = 0, trainer.network.state.weights()
            return
        self._waited += 1
        if self._waited >= self.patience:
            trainer.stop()

    def finish(self, trainer: "Trainer") -> None:
        """Give the best weights back."""
        if self._weights:
            trainer.network.state.set_weights(self._weights)
            trainer.say(f"Given back: the weights after {self._where()}")


class BestModel(_Best):
    """Writes the weights to a file each time when they are better than ever before.

    Given to one trainer after the other it keeps the best of all. Where the file cannot be written, because the disk is
    full, say, it warns and training goes on; it tries again after each evaluation and at the end.

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

    def __init__(self, path: str | os.PathLike[str], monitor: str = "val_loss", min_delta: float = 0.0) -> None:
        super().__init__(monitor, min_delta)
        self.path = check_path("path", path)
        self.unwritten: Network | None = None
        self._written = False

    def begin(self, trainer: "Trainer") -> None:
        """Refuse where there is nothing to follow, or the file cannot be written."""
        super().begin(trainer)
        check_writable(self.path)
        self._written = False

    def __call__(self, trainer: "Trainer") -> None:
        """Write the weights, if they are the best."""
        if self.improved(trainer):
            self._write(trainer.network)
        elif self.unwritten is not None:
            self._write(self.unwritten)

    def finish(self, trainer: "Trainer") -> None:
        """Tell where they are."""
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
