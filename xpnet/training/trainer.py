"""The training loop: epochs, evaluations and callbacks."""

import contextlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from xpnet._core.arrays import Array
from xpnet._core.checks import check_count
from xpnet._core.interrupts import Interrupts, deferred_interrupts
from xpnet._core.random import random_streams
from xpnet._core.settings import checked_setting, fixed_setting
from xpnet.errors import ArgumentError
from xpnet.networks.network import Network, check_network
from xpnet.optimizers import Optimizer, SupportsUpdate, check_bound, make_optimizer
from xpnet.training import data_sets
from xpnet.training.callbacks import Callback, check_callbacks, hook
from xpnet.training.epoch_runner import ANOTHER_TRAINER, EpochRunner
from xpnet.training.history import History
from xpnet.training.progress import TrainingDisplay
from xpnet.training.step import TrainingStep

AnyCallback = Callback | Callable[["Trainer"], None]
Capture = Literal["auto", True, False]
Sampling = Literal["shuffle", "choice"]


class Trainer:
    """Trains a network on minibatches, and evaluates it before the first step, after each epoch and at the end.

    Parameters
    ----------
    network
        The network. It is trained where it is: the data are moved to its device once. uint8 images stay bytes there and
        become floats one minibatch at a time.
    x_train, t_train, x_test, t_test
        Arrays of any backend: inputs (N, ...), uint8 pixels or floats; labels (N,), class indices or words, or rows
        (N, C) that sum to 1, or the targets of a regression. The different words, sorted (digits by their numbers),
        become the network's `classes` unless it has some. The test set is optional. All are checked before anything is
        moved.
    epochs
        The number of passes through the training set.
    mini_batch_size
        Samples per step.
    optimizer, optimizer_param
        A name and its arguments, or an optimizer. Each has a default rate, SGD 0.01.
    evaluate_sample_num_per_epoch
        Evaluate on this number of first samples of each set; None for all.
    verbose
        Print the course's row at each evaluation, and show a progress bar in a terminal.
    iterations
        The number of steps, instead of `epochs`.
    sampling
        ``"shuffle"``: each epoch takes every sample once, in a new order, and its last minibatch may be short.
        ``"choice"``: each minibatch is drawn with replacement, as in the course.
    seed
        Of the order; the same seed gives the same minibatches on every backend.
    callbacks
        Each a `Callback`, such as `EarlyStopping` or `BestModel`, or a function of the trainer that is called after
        each evaluation. ``trainer.stop()`` ends the training there.
    validation
        The fraction of the training set to hold out as a validation set (see `split_validation`; of labels the same
        fraction of each class), or a pair ``(x_val, t_val)``; None for none.
    augmentation
        A function that changes the inputs of each minibatch at random, such as an `Augmentation`; None for none. It is
        given floats. Steps with a function of your own are not recorded, unless it has an attribute
        ``recordable = True``: it makes the same array operations each time.
    capture
        ``"auto"``: record a step once and replay it, on NumPy and on CuPy, which gives the same results faster; warn if
        a step cannot be recorded. True: record, or raise. False: do not. Layers and losses of your own classes are not
        recorded unless these declare ``recordable = True``.
    drop_last
        Whether to leave out the last minibatch of an epoch if it is short, other samples in each epoch. None: only if
        it has a single sample and the network normalizes over the batch, which needs two values.

    Attributes
    ----------
    history
        The losses, accuracies and times, as a `History`. The course's lists of them are `train_loss_list`,
        `train_acc_list` and `test_acc_list`.
    runner
        Makes the steps.

    Notes
    -----
    These attributes can be set, also by a callback, and take effect with the next step or evaluation: `optimizer`,
    `augmentation`, `callbacks`, `capture`, `evaluate_sample_num_per_epoch`, `iterations`, `verbose`, and with the next
    epoch `sampling`. Setting the others is an error.

    A step is made whole or not at all. Ctrl-C takes effect between two steps, a second one immediately. After it, and
    after an error in a step, an augmentation or a schedule, parameters, statistics, the optimizer and `history` are
    those of the last complete step, and `train` continues with the next one, to the same numbers as without the
    interruption. (After an error the steps of the last tenth of a second may be made again, so random numbers should
    come from generators that the augmentation or the layer keeps as attributes.)

    If the loss stops being finite, training ends with a warning that names the layer where that began, and the network
    has the weights from before that step.

    Examples
    --------
    >>> from xpnet import Trainer, TwoLayerNet, load_digits
    >>> (x_train, t_train), (x_test, t_test) = load_digits(normalize=False)
    >>> trainer = Trainer(TwoLayerNet(64, 50, 10, seed=0, backend="numpy"), x_train, t_train, x_test, t_test, epochs=40,
    ...                   mini_batch_size=20, optimizer_param={"lr": 0.1}, verbose=False, seed=0)
    >>> trainer.train().test_acc[-1] > 0.9
    True
    """

    network: Network = fixed_setting(ANOTHER_TRAINER)
    x_train: Array = fixed_setting(ANOTHER_TRAINER)
    t_train: Array = fixed_setting(ANOTHER_TRAINER)
    x_test: Array = fixed_setting(ANOTHER_TRAINER)
    t_test: Array = fixed_setting(ANOTHER_TRAINER)
    mini_batch_size: int = fixed_setting(ANOTHER_TRAINER)
    drop_last: bool = fixed_setting(ANOTHER_TRAINER)
    train_size: int = fixed_setting(ANOTHER_TRAINER)
    iterations_per_epoch: int = fixed_setting(ANOTHER_TRAINER)
    history: History = fixed_setting(ANOTHER_TRAINER)
    runner: EpochRunner = fixed_setting(ANOTHER_TRAINER)
    optimizer: SupportsUpdate = checked_setting(lambda trainer, value: trainer._checked_optimizer(value))
    callbacks: list[AnyCallback] = checked_setting(lambda _, value: check_callbacks(value))
    sampling: Sampling = checked_setting(lambda _, value: _check_choice("sampling", value, "shuffle", "choice"))
    capture: Capture = checked_setting(lambda _, value: _check_choice("capture", value, "auto", True, False))
    evaluate_sample_num_per_epoch: int | None = checked_setting(
        lambda _, value: None if value is None else check_count("evaluate_sample_num_per_epoch", value)
    )
    augmentation: Callable[[Array], Array] | None = checked_setting(
        lambda trainer, value: data_sets.check_augmentation(value, trainer._sets["train"], trainer.network)
    )
    iterations: int = checked_setting(lambda trainer, value: trainer._changed_iterations(value))

    def __init__(
        self,
        network: Network,
        x_train: Array,
        t_train: Array,
        x_test: Array = None,
        t_test: Array = None,
        epochs: int = 20,
        mini_batch_size: int = 100,
        optimizer: str | SupportsUpdate = "SGD",
        optimizer_param: Mapping[str, Any] = MappingProxyType({}),
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
        *,
        iterations: int | None = None,
        sampling: Sampling = "shuffle",
        seed: int | None = None,
        callbacks: Sequence[AnyCallback] = (),
        capture: Capture = "auto",
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

        rng, classes = random_streams(seed).order, data_sets.classes_for(network, t_train)
        train, test = (x_train, t_train), (x_test, t_test)
        sets = data_sets.checked_sets(network, train, test, validation, rng=rng, classes=classes)
        self.drop_last = data_sets.check_minibatches(network, sets["train"], self.mini_batch_size, sampling, drop_last)
        self._drops_one_sample = drop_last is None and self.drop_last
        self._sets = data_sets.moved_sets(sets, network)
        self.x_train, self.t_train = self._sets["train"]
        self.x_test, self.t_test = self._sets.get("test", (None, None))
        self.augmentation = augmentation

        self.train_size = self.x_train.shape[0]
        whole, rest = divmod(self.train_size, self.mini_batch_size)
        self.iterations_per_epoch = whole + (rest > 0 and not self.drop_last)
        self.runner = EpochRunner(self, self._sets, rng)
        # A training that was interrupted is unfinished: it has steps left, and the rest of an epoch's samples.
        self._running = self._unfinished = self._stop = False
        self._due: list[tuple[AnyCallback, str]] = []  # callbacks to call, and their hooks
        self.iterations = (
            check_count("epochs", epochs) * self.iterations_per_epoch if iterations is None else iterations
        )
        description, classifies = f"{network!r}, {self.optimizer!r}", network.last_layer.classifies
        self.history = History(iterations_per_epoch=self.iterations_per_epoch, description=description)
        self._started = 0.0
        self._display = TrainingDisplay(verbose=verbose, validation="val" in sets, classifies=classifies)
        network.classes = classes  # last, so that an error before leaves the network as it was

    @property
    def verbose(self) -> bool:
        """Whether anything is shown."""
        return self._display.verbose

    @verbose.setter
    def verbose(self, verbose: bool) -> None:
        self._display.verbose = bool(verbose)

    @property
    def validation(self) -> data_sets.Samples | None:
        """The validation set ``(x, t)``, on the network's device; None if there is none."""
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
        runner, history = self.runner, self.history
        with contextlib.ExitStack() as at_the_end:
            at_the_end.enter_context(self.network.state.training())
            interrupts = at_the_end.enter_context(deferred_interrupts())
            # A warning names the layer whose numbers are not finite; NumPy's own would come many times before.
            at_the_end.enter_context(np.errstate(all="ignore"))
            self.network.state.flatten()
            if not self._unfinished:
                self._unfinished, self._stop, runner.left = True, False, self.iterations
            self._running = True
            at_the_end.callback(setattr, self, "_running", False)
            at_the_end.enter_context(self._display.bar(len(history.loss), runner.left))
            self._started = time.perf_counter() - (history.elapsed_seconds[-1] if history.elapsed_seconds else 0.0)
            at_the_end.callback(runner.close)
            begun: list[AnyCallback] = []
            self._begin_callbacks(begun, at_the_end)
            self._display.head()
            if self._drops_one_sample:
                self.say("Each epoch leaves out one sample, since batch normalization needs two in a minibatch.")
            self._warn_of_rate_0()
            while True:
                self._call_callbacks()
                if self._evaluation_is_due():
                    self._evaluate(interrupts)
                self._begin_callbacks(begun, at_the_end)  # those that were added under way
                self._call_callbacks()
                if self._stop or not runner.left:
                    break
                interrupts.check()
                if not runner.order.size:
                    runner.begin_epoch()
                    self._call_callbacks("on_epoch_begin")
                    if self._stop:
                        continue
                runner.run(self._display, interrupts)
                if not runner.order.size:
                    self._due += [(callback, "on_epoch_end") for callback in self.callbacks]
                interrupts.check()
            self._unfinished = False
        if self.verbose:
            samples = history.evaluated_samples
            print(  # noqa: T201
                f"{len(history.loss):,} iterations in {history.training_seconds:.2f} s, and "
                f"{history.evaluation_seconds:.2f} s to evaluate"
                f"{'' if samples is None else f' up to {samples:,} samples of each set'}, "
                f"with {self.network.backend.describe()}"
            )
        return history

    def _begin_callbacks(self, begun: list[AnyCallback], at_the_end: contextlib.ExitStack) -> None:
        """Call ``on_train_begin`` of each callback that has not begun, and its ``on_train_end`` at the end."""
        for callback in self.callbacks:
            if not any(callback is other for other in begun):
                hook(callback, "on_train_begin")(self)
                begun.append(callback)
                at_the_end.callback(hook(callback, "on_train_end"), self)

    def _call_callbacks(self, name: str = "") -> None:
        """Call the hooks that are due, and the one of that name; those after one that fails stay due."""
        if name:
            self._due += [(callback, name) for callback in self.callbacks]
        while self._due:
            callback, name = self._due.pop(0)
            if callback in self.callbacks:  # it may have been removed, because it failed
                hook(callback, name)(self)

    def _warn_of_rate_0(self) -> None:
        """Warn where a schedule has come to its end, at a rate of 0, before this training begins."""
        optimizer, left = self.optimizer, self.runner.left
        if not left or not isinstance(optimizer, Optimizer) or not callable(optimizer.lr):
            return
        first = optimizer.iter
        if optimizer.rate(first) == optimizer.rate(first + left - 1) == 0:
            warnings.warn(
                f"The learning rate of {optimizer!r} is 0 at each of the next {left:,} steps, so nothing is "
                "learned: its schedule has come to its end. Use another rate, as with `trainer.optimizer.lr = 0.001`.",
                stacklevel=3,
            )

    def train_step(self, x: Array, t: Array) -> Array:
        """One step on a minibatch on the network's device, in its dtype and augmented; returns the loss, on the device.

        A subclass may have a step of its own. Its steps are called and not recorded.
        """
        return TrainingStep(self.network, self.optimizer, self.x_train, self.t_train).run_minibatch(x, t)

    def _evaluation_is_due(self) -> bool:
        """Before the first step, after each epoch, and at the end: unless it has been done."""
        evaluated = self.history.evaluated_at
        at_an_end = self._stop or not self.runner.left or not self.runner.order.size
        return not evaluated or (at_an_end and evaluated[-1] != len(self.history.loss))

    def _evaluate(self, interrupts: Interrupts) -> None:
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
            if not history.loss:
                with self.runner.memory_for_minibatch():
                    loss = float(network.loss(*self._sets["train"].first(self.mini_batch_size)))
            else:
                loss = history.loss[-1]
        now = time.perf_counter()
        self._due += [(callback, "on_evaluation") for callback in self.callbacks]
        all_taken = most is None or all(samples.x.shape[0] <= most for samples in self._sets.values())
        history.evaluated_samples = None if all_taken else most
        history.record(len(history.loss), now - self._started, results)
        history.evaluation_seconds += now - begun
        self._display.row(loss, history, results)

    def _checked_optimizer(self, optimizer: Any) -> SupportsUpdate:
        optimizer = make_optimizer(optimizer, {})
        check_bound(optimizer, self.network.params)
        return optimizer

    def _changed_iterations(self, iterations: Any) -> int:
        """During a training they are how many it has in all, else how many the next one has."""
        count = check_count("iterations", iterations)
        if self._running:
            self.runner.left = max(0, count - (self.iterations - self.runner.left))
        else:
            self._unfinished = False
        return count

    def say(self, line: str) -> None:
        """Print a line above the progress bar, from a callback; nothing where `verbose` is not set."""
        self._display.say(line)


def _check_choice(name: str, value: Any, *choices: Any) -> Any:
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        *others, last = map(repr, choices)
        raise ArgumentError(f"{name} must be {', '.join(others)} or {last}, got {value!r}.")
    return value
