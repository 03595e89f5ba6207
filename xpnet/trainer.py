"""The training loop: minibatches, steps, evaluations, and what is shown meanwhile."""

import contextlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.backend import Array, asarray, get_array_module, synchronize
from xpnet.capture import Steps
from xpnet.checks import check_callbacks, check_count
from xpnet.cupy_namespace import CupyNamespace
from xpnet.diagnosis import find_break, probe, snapshot
from xpnet.display import TrainingDisplay
from xpnet.errors import ArgumentError
from xpnet.history import History
from xpnet.initializers import random_streams
from xpnet.memory import memory_for
from xpnet.network import Network
from xpnet.optimizers import Optimizer, check_bound, make_optimizer
from xpnet.step import Losses, TrainingStep, constants, parts
from xpnet.threads import blas_threads
from xpnet.training_data import Samples, check_augmentation, checked, with_validation

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Trainer"]

_REFRESH_SECONDS = 0.1  # how often the progress bar fetches the loss from the device


class Trainer:
    """Trains a network on minibatches, and evaluates it before the first, after each epoch and at the end.

    Parameters
    ----------
    network
        Trained where it lives: the data are moved there once, uint8 images as they are, to become floats a minibatch at
        a time.
    x_train, t_train, x_test, t_test
        Arrays of any backend: inputs (N, ...), uint8 pixels or floats; labels (N,) or one-hot (N, C), or the targets of
        a regression. The test set may be None, None. All are checked before anything is moved.
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
        ``"shuffle"``: each epoch takes every sample once, in a new order, and its last minibatch may be short.
        ``"choice"``: each minibatch is drawn anew, with replacement, as the course draws it.
    seed
        For the order; the same seed gives the same minibatches on every backend.
    callbacks
        Functions that are called with the trainer after each evaluation; ``trainer.stop()`` ends the training there.
        See `EarlyStopping` and `BestModel`.
    validation
        A validation set: what share of the training set to hold out for it (see `split_validation`), or a pair
        ``(x_val, t_val)``; None for none.
    augmentation
        What changes the inputs of each minibatch of the training set at random, as an `Augmentation` does; None for
        nothing. It is given floats. With a function of one's own steps are made one by one, unless it has an attribute
        ``recordable = True``, which says that it makes the same array operations each time.
    capture
        ``"auto"``: record a step once and replay it, on NumPy and on CuPy, which gives the same results faster; where a
        step cannot be recorded, warn and make the steps one by one. True: record, or raise. False: do not.

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
        optimizer: str | Optimizer = "SGD",
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
    ) -> None:
        if sampling not in ("shuffle", "choice"):
            raise ArgumentError(f"sampling must be 'shuffle' or 'choice', got {sampling!r}.")
        if capture not in ("auto", True, False):
            raise ArgumentError(f"capture must be 'auto', True or False, got {capture!r}.")
        self.network = network
        self.capture = capture
        self.mini_batch_size = check_count("mini_batch_size", mini_batch_size)
        self.optimizer = make_optimizer(optimizer, optimizer_param)
        check_bound(self.optimizer, network.params)
        self.sampling = sampling
        self.verbose = verbose
        self.callbacks = check_callbacks(callbacks)
        self._evaluated_samples = evaluate_sample_num_per_epoch
        if evaluate_sample_num_per_epoch is not None:
            check_count("evaluate_sample_num_per_epoch", evaluate_sample_num_per_epoch)
        self._rng = random_streams(seed).order
        train, test = checked(network, "train", x_train, t_train), None
        if x_test is not None:
            test = checked(network, "test", x_test, t_test)
        train, held_out = with_validation(network, train, validation, self._rng)
        sets = {"train": train, "test": test, "val": held_out}
        with memory_for("the data sets beside the network", "Give fewer samples, and pixels as uint8."):
            self._sets = {name: samples.beside(network) for name, samples in sets.items() if samples is not None}
        self.x_train, self.t_train = self._sets["train"]
        self.augmentation = augmentation
        if augmentation is not None:
            check_augmentation(augmentation, self._sets["train"], network)
        no_test: tuple[Array, Array] = (None, None)
        self.x_test, self.t_test = self._sets.get("test", no_test)
        self.train_size = self.x_train.shape[0]
        self.iterations_per_epoch = -(-self.train_size // self.mini_batch_size)
        self.iterations = (
            check_count("epochs", epochs) * self.iterations_per_epoch
            if iterations is None
            else check_count("iterations", iterations)
        )
        self.history = History(
            iterations_per_epoch=self.iterations_per_epoch, description=f"{network!r}, {self.optimizer!r}"
        )
        self._stop = False
        self._started = 0.0
        self._steps: Steps | None = None
        self._made_of: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._display = TrainingDisplay(
            verbose=verbose, validation=self.validation is not None, classifies=network.last_layer.classifies
        )

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
        """Make all iterations, or stop early where a callback asks; called again, it goes on for as many more."""
        self.network.flatten()
        self._stop = False
        self._started = time.perf_counter() - (self.history.time[-1] if self.history.time else 0.0)
        with self._display.bar(len(self.history.loss), self.iterations) as bar, contextlib.ExitStack() as at_the_end:
            # What is not finite is told of in a warning that names the layer; NumPy's own would come many times before.
            at_the_end.enter_context(np.errstate(over="ignore", invalid="ignore", divide="ignore"))
            at_the_end.callback(self._forget_steps)  # a recording holds memory, and what it recorded may change
            for callback in self.callbacks:
                getattr(callback, "begin", _nothing)(self)
                at_the_end.callback(getattr(callback, "finish", _nothing), self)
            self._display.head()
            if not self.history.iterations:
                self._evaluate(bar)
            left = self.iterations
            while left > 0 and not self._stop:
                steps = min(left, self.iterations_per_epoch)
                self._run_epoch(steps, bar)
                left -= steps
                self._evaluate(bar)
        if self.verbose:
            h = self.history
            print(  # noqa: T201
                f"{len(h.loss):,} iterations in {h.seconds:.2f} s, and {h.evaluation_seconds:.2f} s to evaluate, "
                f"with {self.network.backend.describe()}"
            )
        return self.history

    def train_step(self, x: Array, t: Array) -> Array:
        """One step on a minibatch, beside the network, in its dtype and augmented; returns the loss, on the device.

        A subclass may have a step of its own. Its steps are called and not recorded.
        """
        return TrainingStep(self.network, self.optimizer, self.x_train, self.t_train).take(x, t)

    def _run_epoch(self, steps: int, bar: "tqdm[Any]") -> None:
        """Make up to an epoch's steps; the order is uploaded once, the losses are fetched once."""
        begun = shown = time.perf_counter()
        first, losses = len(self.history.loss), Losses()
        with blas_threads(self.operations_of_a_layer), self._memory_for_minibatch():
            order = asarray(self._draw_order()[: steps * self.mini_batch_size], like=self.network.anchor)
            maker = self._current_steps()
            restore = snapshot(maker.step)
            counted = self.optimizer.iter if maker.step.counted else first  # type: ignore[attr-defined]
            try:
                for _ in maker.make(order, counted, losses):
                    if not bar.disable and time.perf_counter() - shown > _REFRESH_SECONDS:
                        bar.update(first + losses.count - bar.n)
                        bar.set_postfix(self._display.postfix(losses.last(), self.history))
                        shown = time.perf_counter()
            finally:  # also when the user interrupts: what has been learned is learned, and belongs in the record
                losses.add(probe(maker.step))  # behind the losses, so that nothing waits for it alone
                *made, broken = losses.fetch()
                self.history.loss += made
                if maker.step.counted:
                    self.optimizer.advance(len(made))  # type: ignore[attr-defined]
                synchronize(self.network.anchor)
                self.history.seconds += time.perf_counter() - begun
                bar.update(len(self.history.loss) - bar.n)
        if not np.isfinite([*made, broken]).all():
            restore()
            self._tell_of_break(order, made, first, counted)

    def _tell_of_break(self, order: Array, made: list[float], first: int, counted: int) -> None:
        """Make an epoch's steps again up to the one that breaks the network, name its cause, and end there."""
        step = self.step(fused=False)
        rows = step.numbers(counted, len(made)).tolist()
        found = find_break(step, step.minibatches(order, self.mini_batch_size), rows, made)
        del self.history.loss[first + found.steps + 1 :]
        warnings.warn(
            f"Training ends at iteration {first + found.steps + 1}, where {found.what} is not finite. The network has "
            f"the weights from before that. The usual remedy is a lower learning rate than that of {self.optimizer!r}, "
            "or max_norm=1.0 as another of its arguments.",
            stacklevel=4,
        )
        self.stop()

    def _memory_for_minibatch(self) -> contextlib.AbstractContextManager[None]:
        size = self.mini_batch_size
        smaller = f"Train on with a smaller one:  Trainer(..., mini_batch_size={max(1, size // 2)}) ."
        return memory_for(f"a minibatch with mini_batch_size={size}", f"What was learned before it is kept. {smaller}")

    @property
    def operations_a_step(self) -> float:
        """About how many floating-point operations a step has."""
        return self.mini_batch_size * sum(self.network.operations(tuple(self.x_train.shape[1:])))

    @property
    def operations_of_a_layer(self) -> float:
        """The same of the largest layer: by this it is said how many threads a step may have."""
        return self.mini_batch_size * max(self.network.operations(tuple(self.x_train.shape[1:])))

    def step(self, *, fused: bool = True) -> TrainingStep:
        """A step on this trainer's data, network and optimizer; fused on CuPy, where steps are recorded."""
        own = getattr(self.train_step, "__func__", None) is not _STEP_AS_IT_COMES
        on_cupy = isinstance(get_array_module(self.network.anchor), CupyNamespace)
        fused = fused and self.fuses and on_cupy and self.capture is not False and not own
        step = TrainingStep(
            self.network, self.optimizer, self.x_train, self.t_train, augmentation=self.augmentation, fused=fused
        )
        if own:
            step.take_by(self.train_step)
        return step

    def steps(self, at_once: int) -> Steps:
        """What makes this trainer's steps, up to so many at once; records one now, if it may."""
        return Steps(
            self.step(),
            self.mini_batch_size,
            self.capture,
            planned=self.iterations,
            at_once=at_once,
            work=self.operations_a_step,
        )

    def _current_steps(self) -> Steps:
        """What makes the steps; made anew where a callback has changed what was recorded."""
        makers = self.network, self.optimizer, self.augmentation
        now = constants(*makers)
        others = [id(part) for part in parts(*makers)] != [id(part) for part in self._made_of]
        # Where nothing is recorded no number is out of date.
        if self._steps is None or others or (self._steps.recorded and now != self._constants):
            self._forget_steps()
            whole = max(1, self.train_size // self.mini_batch_size)
            self._steps = self.steps(min(self.iterations, whole))
            self._made_of, self._constants = parts(*makers), now  # now with the slots that the optimizer has made
        return self._steps

    def _forget_steps(self) -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _draw_order(self) -> np.ndarray:
        """The indices of an epoch, drawn on the host so that they are the same on every backend."""
        if self.sampling == "shuffle":
            return self._rng.permutation(self.train_size)
        return self._rng.integers(0, self.train_size, self.iterations_per_epoch * self.mini_batch_size)

    def _evaluate(self, bar: "tqdm[Any]") -> None:
        begun = time.perf_counter()
        history, network = self.history, self.network
        sets = {name: samples.first(self._evaluated_samples) for name, samples in self._sets.items()}
        results = {}
        if network.last_layer.classifies:
            results = {f"{name}_acc": network.accuracy(*samples) for name, samples in sets.items()}
        if "val" in sets:
            results["val_loss"] = float(network.loss(*sets["val"]))
        loss = history.loss[-1] if history.loss else self._first_loss()
        now = time.perf_counter()
        # All at once, so that an interrupt finds the lists of one length.
        history.record(len(history.loss), now - self._started, results)
        history.evaluation_seconds += now - begun
        bar.set_postfix(self._display.postfix(loss, history))
        self._display.row(loss, history, results)
        for callback in self.callbacks:
            callback(self)

    def _first_loss(self) -> float:
        with self._memory_for_minibatch():
            return float(self.network.loss(*self._sets["train"].first(self.mini_batch_size)))

    def say(self, line: str) -> None:
        """Print a line above the progress bar, from a callback; nothing where `verbose` is not set."""
        self._display.say(line)


_STEP_AS_IT_COMES = Trainer.train_step


def _nothing(_: Trainer) -> None:
    """What is done for a callback that has no ``begin`` or ``finish``."""
