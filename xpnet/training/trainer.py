"""The training loop: minibatches, steps, evaluations, and what is shown meanwhile."""

import contextlib
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xpnet._core.arrays import Array, get_array_module, to_numpy
from xpnet._core.checks import check_callbacks, check_count
from xpnet._core.cupy import CupyNamespace
from xpnet._core.declared import is_library_code
from xpnet._core.interrupts import Interrupts, deferred_interrupts
from xpnet._core.memory import memory_for
from xpnet._core.random import random_streams
from xpnet._core.settings import checked_setting, fixed_setting
from xpnet._core.threads import blas_threads
from xpnet.backend import synchronize
from xpnet.errors import ArgumentError
from xpnet.layers.base import largest_product
from xpnet.networks.entry import operations
from xpnet.networks.network import Network, check_network
from xpnet.optimizers import Optimizer, SupportsUpdate, check_bound, make_optimizer
from xpnet.training.data_sets import (
    Samples,
    check_augmentation,
    check_minibatches,
    checked,
    classes_for,
    warn_of_scales,
    with_validation,
)
from xpnet.training.diagnosis import find_break, probe, snapshot
from xpnet.training.history import History
from xpnet.training.progress import TrainingDisplay
from xpnet.training.step import CaptureKey, Losses, TrainingStep
from xpnet.training.step_runner import StepRunner

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Trainer"]

_REFRESH_SECONDS = 0.1  # how often the progress bar fetches the loss from the device

# The state is kept so often that an error inside a step costs little: the steps since then are made again. To keep it
# costs 20 us for 40,000 parameters and 40 ms for ten million with Adam's slots, at most one percent of the time.
_KEEP_SECONDS = 0.1
_KEEP_COST = 100  # times as long as it takes to keep the state

_ANOTHER = (
    "When this training has ended make another trainer, with the new value among its arguments: "
    "`Trainer(trainer.network, x_train, t_train, x_test, t_test, optimizer=trainer.optimizer)`."
)


class _BetweenSteps(NamedTuple):
    """The state of a training between two steps, to which a step that was not completed is undone."""

    restore: Callable[[], None]
    """Puts back what steps change."""
    order: np.ndarray
    """The samples that are left of the epoch."""
    left: int
    """The steps that are left of the training."""
    losses: int
    """How many losses the history has."""
    number: int
    """The number of the next step, for the optimizer."""
    until: float
    """When to keep the state again, by the clock."""


class Trainer:
    """Trains a network on minibatches, and evaluates it before the first, after each epoch and at the end.

    Parameters
    ----------
    network
        Trained where it lives: the data are moved there once, uint8 images as they are, to become floats a minibatch at
        a time.
    x_train, t_train, x_test, t_test
        Arrays of any backend: inputs (N, ...), uint8 pixels or floats; labels (N,), class indices or words, or rows
        (N, C) that sum to 1, or the targets of a regression. The different words, sorted (digits by their numbers),
        become the network's `classes` unless it has some. The test set may be None, None. All are checked before
        anything is moved.
    epochs
        How many times to go through the training set.
    mini_batch_size
        Samples a step.
    optimizer, optimizer_param
        A name and its arguments, or an optimizer that is made already. Without a rate each has its own, SGD 0.01.
    evaluate_sample_num_per_epoch
        Take accuracies on the first so many samples of each set only; None for all.
    verbose
        Print the course's row at each evaluation, and show a progress bar where there is a terminal.
    iterations
        How many steps to make, instead of `epochs`.
    sampling
        ``"shuffle"``: each epoch takes every sample once, in a new order, and its last minibatch may be short (see
        `drop_last`).
        ``"choice"``: each minibatch is drawn anew, with replacement, as the course draws it.
    seed
        For the order; the same seed gives the same minibatches on every backend.
    callbacks
        Functions that are called with the trainer after each evaluation; ``trainer.stop()`` ends the training there.
        See `EarlyStopping` and `BestModel`.
    validation
        A validation set: what share of the training set to hold out for it (see `split_validation`), of class indices
        and words the same share of each class, or a pair ``(x_val, t_val)``; None for none.
    augmentation
        What changes the inputs of each minibatch of the training set at random, as an `Augmentation` does; None for
        nothing. It is given floats. With a function of one's own steps are made one by one, unless it has an attribute
        ``recordable = True``, which says that it makes the same array operations each time.
    capture
        ``"auto"``: record a step once and replay it, on NumPy and on CuPy, which gives the same results faster; where a
        step cannot be recorded, warn and make the steps one by one. True: record, or raise. False: do not. Classes of
        layers and losses from outside the library are not recorded unless they say ``recordable = True``.
    drop_last
        Whether to leave out the last minibatch of an epoch where it is short, other samples in each epoch. None: only
        where it has a single sample and the network normalizes over the batch, which needs at least two values.

    Attributes
    ----------
    train_loss_list, train_acc_list, test_acc_list
        The course's lists: a float an iteration, and one an evaluation.
    history
        The same and more, as a `History`.
    fuses
        Whether recorded steps on CuPy compute neighbouring operations in one kernel; True.

    Notes
    -----
    The attributes with the names of arguments can be set, also by a callback, and take effect with the next step or
    evaluation: `optimizer`, `augmentation`, `callbacks`, `capture`, `evaluate_sample_num_per_epoch`, `iterations`,
    `sampling` (with the next epoch) and `verbose`. The network, the data and `mini_batch_size` are fixed: setting
    them is an error.

    A step is made whole or not at all. Ctrl-C takes effect between two steps, a second one at once; after it, and
    after an error in a step, an augmentation or a schedule, parameters, statistics, the optimizer and `history` are
    those of the last step that was completed. `train` then goes on with the next one, and gives the numbers that it
    would have given without the interruption. (After an error the steps of the last tenth of a second may be made
    again. So random numbers should come from generators that the augmentation or the layer keeps as attributes.)

    Where the loss ceases to be finite, training ends with a warning that names the layer where that began, and the
    network has the weights from before that step.

    Examples
    --------
    >>> from xpnet import Trainer, TwoLayerNet, load_digits
    >>> (x_train, t_train), (x_test, t_test) = load_digits(normalize=False)
    >>> trainer = Trainer(TwoLayerNet(64, 50, 10, seed=0, backend="numpy"), x_train, t_train, x_test, t_test, epochs=40,
    ...                   mini_batch_size=20, optimizer_param={"lr": 0.1}, verbose=False, seed=0)
    >>> trainer.train().test_acc[-1] > 0.9
    True
    """

    network: Network = fixed_setting(_ANOTHER)
    x_train: Array = fixed_setting(_ANOTHER)
    t_train: Array = fixed_setting(_ANOTHER)
    x_test: Array = fixed_setting(_ANOTHER)
    t_test: Array = fixed_setting(_ANOTHER)
    mini_batch_size: int = fixed_setting(_ANOTHER)
    drop_last: bool = fixed_setting(_ANOTHER)
    train_size: int = fixed_setting(_ANOTHER)
    iterations_per_epoch: int = fixed_setting(_ANOTHER)
    history: History = fixed_setting(_ANOTHER)
    optimizer: SupportsUpdate = checked_setting(lambda trainer, value: trainer._checked_optimizer(value))
    callbacks: list[Callable[["Trainer"], None]] = checked_setting(lambda _, value: check_callbacks(value))
    sampling: str = checked_setting(lambda _, value: _check_choice("sampling", value, "shuffle", "choice"))
    capture: bool | str = checked_setting(lambda _, value: _check_choice("capture", value, "auto", True, False))
    evaluate_sample_num_per_epoch: int | None = checked_setting(
        lambda _, value: None if value is None else check_count("evaluate_sample_num_per_epoch", value)
    )
    augmentation: Callable[[Array], Array] | None = checked_setting(
        lambda trainer, value: trainer._checked_augmentation(value)
    )
    iterations: int = checked_setting(lambda trainer, value: trainer._changed_iterations(value))
    fuses: bool = True

    def __init__(
        self,
        network: Network,
        x_train: Array,
        t_train: Array,
        x_test: Array,
        t_test: Array,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str | SupportsUpdate = "SGD",
        optimizer_param: Mapping[str, Any] = MappingProxyType({}),
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
        *,
        iterations: int | None = None,
        sampling: str = "shuffle",
        seed: int | None = None,
        callbacks: Sequence[Callable[["Trainer"], None]] = (),
        capture: bool | str = "auto",
        validation: float | tuple[Array, Array] | None = None,
        augmentation: Callable[[Array], Array] | None = None,
        drop_last: bool | None = None,
    ) -> None:
        self.sampling, self.capture = sampling, capture
        self.network = check_network(network)
        self.mini_batch_size = check_count("mini_batch_size", mini_batch_size)
        self.optimizer = make_optimizer(optimizer, optimizer_param)
        self.callbacks = check_callbacks(callbacks)
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        self._rng = random_streams(seed).order
        classes = classes_for(network, t_train)
        train, test = checked(network, "train", x_train, t_train, classes), None
        if x_test is not None:
            test = checked(network, "test", x_test, t_test, classes)
        train, held_out = with_validation(network, train, validation, self._rng, classes)
        self.drop_last = check_minibatches(network, train, self.mini_batch_size, sampling, drop_last)
        self._drops_one_sample = drop_last is None and self.drop_last
        sets = {"train": train, "test": test, "val": held_out}
        warn_of_scales(sets)
        with memory_for("the data sets beside the network", "Give fewer samples, and pixels as uint8."):
            self._sets = {name: samples.beside(network) for name, samples in sets.items() if samples is not None}
        self.x_train, self.t_train = self._sets["train"]
        self.augmentation = augmentation
        no_test: tuple[Array, Array] = (None, None)
        self.x_test, self.t_test = self._sets.get("test", no_test)
        self.train_size = self.x_train.shape[0]
        whole, rest = divmod(self.train_size, self.mini_batch_size)
        self.iterations_per_epoch = whole + (rest > 0 and not self.drop_last)
        # A training that was interrupted is unfinished: it has steps left, and the rest of an epoch's samples.
        self._running = self._unfinished = False
        self._left, self._order = 0, np.empty(0, dtype=np.int64)
        self._callbacks_due: list[Callable[[Trainer], None]] = []
        self.iterations = (
            check_count("epochs", epochs) * self.iterations_per_epoch if iterations is None else iterations
        )
        self.history = History(
            iterations_per_epoch=self.iterations_per_epoch, description=f"{network!r}, {self.optimizer!r}"
        )
        self._stop = False
        self._started = 0.0
        self._steps: StepRunner | None = None
        self._targets_fit = network.last_layer
        self._key: CaptureKey | None = None
        self._display = TrainingDisplay(
            verbose=verbose, validation=self.validation is not None, classifies=network.last_layer.classifies
        )
        network.classes = classes  # last, so that an error before leaves the network as it was

    @property
    def verbose(self) -> bool:
        """Whether anything is shown."""
        return self._display.verbose

    @verbose.setter
    def verbose(self, verbose: bool) -> None:
        self._display.verbose = bool(verbose)

    @property
    def validation(self) -> Samples | None:
        """The validation set ``(x, t)``, beside the network; None where there is none."""
        return self._sets.get("val")

    @property
    def train_loss_list(self) -> list[float]:
        """The loss of each iteration."""
        return self.history.loss

    @property
    def train_acc_list(self) -> list[float]:
        """The accuracy on the training set at each evaluation."""
        return self.history.train_acc

    @property
    def test_acc_list(self) -> list[float]:
        """The accuracy on the test set at each evaluation."""
        return self.history.test_acc

    def stop(self) -> None:
        """Ask, from a callback, that training end after this evaluation."""
        self._stop = True

    def train(self) -> History:
        """Make all iterations, or stop early where a callback asks.

        Called again, it makes as many more, beginning within an epoch where it ended within one. After an interrupt or
        an error it makes those that were left; set `iterations` for another number.
        """
        with contextlib.ExitStack() as at_the_end:
            at_the_end.enter_context(self.network.state.training())
            interrupts = at_the_end.enter_context(deferred_interrupts())
            # A warning names the layer whose numbers are not finite; NumPy's own would come many times before.
            at_the_end.enter_context(np.errstate(all="ignore"))
            self.network.state.flatten()
            if not self._unfinished:
                self._unfinished, self._left, self._stop = True, self.iterations, False
            self._running = True
            at_the_end.callback(setattr, self, "_running", False)
            bar = at_the_end.enter_context(self._display.bar(len(self.history.loss), self._left))
            self._started = time.perf_counter() - (self.history.time[-1] if self.history.time else 0.0)
            at_the_end.callback(self._forget_steps)  # a recording holds memory, and what it recorded may change
            begun: list[Callable[[Trainer], None]] = []
            self._begin_callbacks(begun, at_the_end)
            self._display.head()
            if self._drops_one_sample:
                self.say("Each epoch leaves out one sample, since batch normalization needs two in a minibatch.")
            self._tell_of_rate_0()
            while True:
                if self._evaluation_is_due():
                    self._evaluate(bar, interrupts)
                self._begin_callbacks(begun, at_the_end)  # those that were added under way
                while self._callbacks_due:
                    callback = self._callbacks_due.pop(0)
                    if callback in self.callbacks:  # it may have been removed, because it failed
                        callback(self)
                if self._stop or not self._left:
                    break
                interrupts.check()
                self._run_epoch(bar, interrupts)
                interrupts.check()
            self._unfinished = False
        if self.verbose:
            h = self.history
            print(  # noqa: T201
                f"{len(h.loss):,} iterations in {h.seconds:.2f} s, and {h.evaluation_seconds:.2f} s to evaluate"
                f"{'' if h.evaluated_samples is None else f' up to {h.evaluated_samples:,} samples of each set'}, "
                f"with {self.network.backend.describe()}"
            )
        return self.history

    def _begin_callbacks(self, begun: list[Callable[["Trainer"], None]], at_the_end: contextlib.ExitStack) -> None:
        """Call ``begin`` of each callback that has not begun, and have its ``finish`` called at the end."""
        for callback in self.callbacks:
            if not any(callback is other for other in begun):
                getattr(callback, "begin", _nothing)(self)
                begun.append(callback)
                at_the_end.callback(getattr(callback, "finish", _nothing), self)

    def _tell_of_rate_0(self) -> None:
        """Warn where a schedule has come to its end, at a rate of 0, before this training begins."""
        optimizer = self.optimizer
        if not self._left or not isinstance(optimizer, Optimizer) or not callable(optimizer.lr):
            return
        first = optimizer.iter
        if optimizer.rate(first) == optimizer.rate(first + self._left - 1) == 0:
            warnings.warn(
                f"The learning rate of {optimizer!r} is 0 at each of the next {self._left:,} steps, so nothing is "
                "learned: its schedule has come to its end. Use another rate, as with `trainer.optimizer.lr = 0.001`.",
                stacklevel=3,
            )

    def train_step(self, x: Array, t: Array) -> Array:
        """One step on a minibatch, beside the network, in its dtype and augmented; returns the loss, on the device.

        A subclass may have a step of its own. Its steps are called and not recorded.
        """
        return TrainingStep(self.network, self.optimizer, self.x_train, self.t_train).run_minibatch(x, t)

    def _run_epoch(self, bar: "tqdm[Any]", interrupts: Interrupts) -> None:
        """Make the steps that are left of an epoch, or of the training where those are fewer; fewer on Ctrl-C."""
        begun = time.perf_counter()
        if not self._order.size:
            self._order = self._draw_order()
        try:
            with blas_threads(self.largest_product), self._memory_for_minibatch():
                self._make_steps(self._current_steps(), bar, interrupts)
        finally:
            synchronize(self.network.state.like)
            self.history.seconds += time.perf_counter() - begun
            bar.update(len(self.history.loss) - bar.n)

    def _make_steps(self, runner: StepRunner, bar: "tqdm[Any]", interrupts: Interrupts) -> None:
        """Make the steps; the order is uploaded once, losses are fetched at the end or once in a while."""
        order = self._uploaded(self._order, self._left)
        losses, shown = Losses(), time.perf_counter()
        between: _BetweenSteps | None
        between = self._between_steps(runner.step)
        try:
            for _ in runner.run(order, between.number, losses):
                now = time.perf_counter()
                if not bar.disable and now - shown > _REFRESH_SECONDS:
                    bar.update(len(self.history.loss) + losses.count - bar.n)
                    bar.set_postfix(self._display.postfix(losses.last(), self.history))
                    shown = now
                if interrupts.pending:
                    break
                if now > between.until:
                    self._complete(between, runner.step, losses)
                    if self._stop:
                        return
                    between = None  # what it keeps is freed before the same is kept again
                    between = self._between_steps(runner.step)
            self._complete(between, runner.step, losses)
        except BaseException as error:
            if between is not None:
                if isinstance(error, MemoryError):
                    traceback.clear_frames(error.__traceback__)  # which hold the arrays of the step
                with interrupts.shielded():
                    self._undo(between, runner, losses.count)
            raise

    def _between_steps(self, step: TrainingStep) -> _BetweenSteps:
        """Keep the state as it is between two steps."""
        begun = time.perf_counter()
        restore = snapshot(step)
        now = time.perf_counter()
        number = self.optimizer.iter if step.counts_steps else len(self.history.loss)  # type: ignore[attr-defined]
        until = now + max(_KEEP_SECONDS, _KEEP_COST * (now - begun))
        return _BetweenSteps(restore, self._order, self._left, len(self.history.loss), number, until)

    def _complete(self, between: _BetweenSteps, step: TrainingStep, losses: Losses) -> None:
        """Record steps that were made, or find out which of them broke the network."""
        *made, broken = losses.fetch(probe(step))
        if np.isfinite([*made, broken]).all():
            self._record(step, made)
        else:
            between.restore()
            self._tell_of_break(between, made)

    def _record(self, step: TrainingStep, losses: list[float]) -> None:
        """Count steps that were made."""
        if step.counts_steps:
            self.optimizer.advance(len(losses))  # type: ignore[attr-defined]
        self.history.loss += losses
        self._order, self._left = self._order[len(losses) * self.mini_batch_size :], self._left - len(losses)

    def _undo(self, between: _BetweenSteps, runner: StepRunner, complete: int) -> None:
        """Undo a step that was not completed: put the state back, and make the steps before it again.

        Where they cannot be made again they are undone as well: the state is that of one step in any case.
        """
        between.restore()
        del self.history.loss[between.losses :]
        self._order, self._left = between.order, between.left
        losses = Losses()
        try:
            for _ in runner.run(self._uploaded(self._order, complete), between.number, losses):
                pass
            made = losses.fetch()
        except BaseException:  # the error that is raised in the end has come before
            between.restore()
            return
        self._record(runner.step, made)

    def _uploaded(self, order: np.ndarray, steps: int) -> Array:
        """The samples of the first steps of an order, on the network's device."""
        return self.network.asarray(order[: steps * self.mini_batch_size])

    def _tell_of_break(self, between: _BetweenSteps, made: list[float]) -> None:
        """Make steps again up to the one that breaks the network, name its cause, and end the training there."""
        step = self.step(fused=False)
        rows = step.step_scalars(between.number, len(made)).tolist()
        minibatches = step.minibatches(self._uploaded(self._order, len(made)), self.mini_batch_size)
        found = find_break(step, minibatches, rows, made)
        self.history.loss += made[: found.steps + 1]
        self._order = self._order[found.steps * self.mini_batch_size :]
        self.stop()
        warnings.warn(
            f"Training ends at iteration {between.losses + found.steps + 1}, where {found.what} is not finite. The "
            "network has the weights from before that. The usual remedy is a lower learning rate than that of "
            f"{self.optimizer!r}, or `max_norm=1.0` as another of its arguments.",
            stacklevel=6,
        )

    def _memory_for_minibatch(self) -> contextlib.AbstractContextManager[None]:
        size = self.mini_batch_size
        smaller = f"Train on with a smaller one, as with `mini_batch_size={max(1, size // 2)}`."
        return memory_for(f"a minibatch with mini_batch_size={size}", f"What was learned before it is kept. {smaller}")

    @property
    def operations_a_step(self) -> float:
        """About how many floating-point operations a step has."""
        return self.mini_batch_size * sum(operations(self.network.layers, tuple(self.x_train.shape[1:])))

    @property
    def largest_product(self) -> float:
        """About how many operations the largest product of a step has: by it `blas_threads` decides."""
        return largest_product(self.network.layers.values(), tuple(self.x_train.shape[1:]), self.mini_batch_size)

    def step(self, *, fused: bool = True) -> TrainingStep:
        """A step on this trainer's data, network and optimizer; fused on CuPy, where steps are recorded."""
        train_step = None if is_library_code(self.train_step) else self.train_step
        on_cupy = isinstance(get_array_module(self.network.state.like), CupyNamespace)
        fused = fused and self.fuses and on_cupy and self.capture is not False and train_step is None
        data = self.x_train, self.t_train
        how: dict[str, Any] = {"augmentation": self.augmentation, "fused": fused, "train_step": train_step}
        return TrainingStep(self.network, self.optimizer, *data, **how)

    def steps(self, at_once: int) -> StepRunner:
        """What makes this trainer's steps, up to so many at once; records one now, if it may."""
        return StepRunner(
            self.step(),
            self.mini_batch_size,
            self.capture,
            planned=self.iterations,
            at_once=at_once,
            work=self.operations_a_step,
        )

    def _current_steps(self) -> StepRunner:
        """What makes the steps; made anew where a callback has changed what was recorded."""
        parts = self.network, self.optimizer, self.augmentation, self.train_step
        key = CaptureKey.of(*parts, self.capture, self.fuses)
        if self._steps is None or key != self._key or not self._steps.is_current():
            self._forget_steps()
            self._check_last_layer()
            whole = max(1, self.train_size // self.mini_batch_size)
            self._steps = self.steps(min(self.iterations, whole))
            # Again, since the steps may have laid the network's parameters into one buffer.
            self._key = CaptureKey.of(*parts, self.capture, self.fuses)
        return self._steps

    def _check_last_layer(self) -> None:
        """That the targets fit the last layer, which may be another than when they were checked."""
        before, now = self._targets_fit, self.network.last_layer
        if now is before:
            return
        if now.classifies != before.classifies:
            raise ArgumentError(f"A training with {before} cannot go on with {now} as last layer. {_ANOTHER}")
        for x, t in self._sets.values():
            now.check_targets(to_numpy(t), (t.shape[0], *self.network.output_shape(tuple(x.shape[1:]))))
        self._targets_fit = now

    def _forget_steps(self) -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _draw_order(self) -> np.ndarray:
        """The indices of an epoch, drawn on the host so that they are the same on every backend."""
        if self.sampling == "shuffle":
            return self._rng.permutation(self.train_size)[: self.iterations_per_epoch * self.mini_batch_size]
        return self._rng.integers(0, self.train_size, self.iterations_per_epoch * self.mini_batch_size)

    def _evaluation_is_due(self) -> bool:
        """Before the first step, after each epoch, and at the end: unless it has been done."""
        evaluated = self.history.iterations
        at_an_end = self._stop or not self._left or not self._order.size
        return not evaluated or (at_an_end and evaluated[-1] != len(self.history.loss))

    def _evaluate(self, bar: "tqdm[Any]", interrupts: Interrupts) -> None:
        begun = time.perf_counter()
        history, network = self.history, self.network
        most = self.evaluate_sample_num_per_epoch
        sets = {name: samples.first(most) for name, samples in self._sets.items()}
        results = {}
        with interrupts.immediate():
            if network.last_layer.classifies:
                results = {f"{name}_acc": network.accuracy(*samples) for name, samples in sets.items()}
            if "val" in sets:
                results["val_loss"] = float(network.loss(*sets["val"]))
            loss = history.loss[-1] if history.loss else self._first_loss()
        now = time.perf_counter()
        self._callbacks_due = list(self.callbacks)
        all_taken = most is None or all(samples.x.shape[0] <= most for samples in self._sets.values())
        history.evaluated_samples = None if all_taken else most
        history.record(len(history.loss), now - self._started, results)
        history.evaluation_seconds += now - begun
        bar.set_postfix(self._display.postfix(loss, history))
        self._display.row(loss, history, results)

    def _checked_optimizer(self, optimizer: Any) -> SupportsUpdate:
        optimizer = make_optimizer(optimizer, {})
        check_bound(optimizer, self.network.params)
        return optimizer

    def _checked_augmentation(self, augmentation: Any) -> Any:
        if augmentation is not None:
            check_augmentation(augmentation, self._sets["train"], self.network)
        return augmentation

    def _changed_iterations(self, iterations: Any) -> int:
        """During a training they are how many it has in all, else how many the next one has."""
        count = check_count("iterations", iterations)
        if self._running:
            self._left = max(0, count - (self.iterations - self._left))
        else:
            self._unfinished = False
        return count

    def _first_loss(self) -> float:
        with self._memory_for_minibatch():
            return float(self.network.loss(*self._sets["train"].first(self.mini_batch_size)))

    def say(self, line: str) -> None:
        """Print a line above the progress bar, from a callback; nothing where `verbose` is not set."""
        self._display.say(line)


def _nothing(_: Trainer) -> None:
    """What is done for a callback that has no ``begin`` or ``finish``."""


def _check_choice(name: str, value: Any, *choices: Any) -> Any:
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        *others, last = map(repr, choices)
        raise ArgumentError(f"{name} must be {', '.join(others)} or {last}, got {value!r}.")
    return value
