"""The training loop: minibatches, steps, evaluations, and what is shown meanwhile."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.backend import Array, asarray, get_array_module, is_array, synchronize, to_numpy
from xpnet.capture import Steps
from xpnet.checks import check_count, check_finite, check_inputs, index_labels
from xpnet.cupy_namespace import CupyNamespace
from xpnet.errors import ArgumentError, ArrayMixError
from xpnet.functions import as_inputs
from xpnet.history import History
from xpnet.initializers import random_streams
from xpnet.network import Network
from xpnet.optimizers import Optimizer, make_optimizer
from xpnet.step import Losses, TrainingStep
from xpnet.threads import blas_threads

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
        A name and its arguments, or an optimizer that is made already.
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
        optimizer_param: Mapping[str, Any] = MappingProxyType({"lr": 0.01}),
        evaluate_sample_num_per_epoch: int | None = None,
        verbose: bool = True,
        *,
        iterations: int | None = None,
        sampling: str = "shuffle",
        seed: int | None = None,
        callbacks: Sequence[Callable[["Trainer"], None]] = (),
        capture: bool | str = "auto",
    ) -> None:
        if sampling not in ("shuffle", "choice"):
            raise ArgumentError(f"sampling must be 'shuffle' or 'choice', got {sampling!r}.")
        if capture not in ("auto", True, False):
            raise ArgumentError(f"capture must be 'auto', True or False, got {capture!r}.")
        self.network = network
        self.capture = capture
        self.mini_batch_size = check_count("mini_batch_size", mini_batch_size)
        self.optimizer = make_optimizer(optimizer, optimizer_param)
        self.sampling = sampling
        self.verbose = verbose
        self.callbacks = list(callbacks)
        self._evaluated_samples = evaluate_sample_num_per_epoch and check_count(
            "evaluate_sample_num_per_epoch", evaluate_sample_num_per_epoch
        )
        self._rng = random_streams(seed).order
        has_test = x_test is not None
        checked = [_checked(network, "train", x_train, t_train)]
        checked += [_checked(network, "test", x_test, t_test)] if has_test else []
        placed = [(_placed(network, x), asarray(t, like=network.anchor)) for x, t in checked]
        self.x_train, self.t_train = placed[0]
        self.x_test: Array = placed[1][0] if has_test else None
        self.t_test: Array = placed[1][1] if has_test else None
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
        self._recorded: tuple[Any, ...] = ()

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
        from tqdm.auto import tqdm

        self.network.flatten()
        self._stop = False
        self._started = time.perf_counter() - (self.history.time[-1] if self.history.time else 0.0)
        # disable=None: no bar where the output is no terminal
        bar = tqdm(total=self.iterations, desc="training", unit="it", disable=None if self.verbose else True)
        with bar, contextlib.ExitStack() as at_the_end:
            at_the_end.callback(self._forget_steps)  # a recording holds memory, and what it recorded may change
            self._show("loss", "time", "n", "[TrainAcc]", "[TestAcc]")
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
        """One step on a minibatch, beside the network and in its dtype; returns the loss, on the device.

        A subclass may have a step of its own. Its steps are called and not recorded.
        """
        return TrainingStep(self.network, self.optimizer, self.x_train, self.t_train).take(x, t)

    def _run_epoch(self, steps: int, bar: "tqdm[Any]") -> None:
        """Make up to an epoch's steps; the order is uploaded once, the losses are fetched once."""
        begun = shown = time.perf_counter()
        first, losses = len(self.history.loss), Losses()
        order = asarray(self._draw_order()[: steps * self.mini_batch_size], like=self.network.anchor)
        try:
            with blas_threads(self.operations_a_step):
                for _ in self._current_steps().make(order, first, losses):
                    if not bar.disable and time.perf_counter() - shown > _REFRESH_SECONDS:
                        bar.update(first + losses.count - bar.n)
                        bar.set_postfix(self._postfix(losses.last()))
                        shown = time.perf_counter()
        finally:  # also when the user interrupts: what has been learned is learned, and belongs in the record
            self.history.loss += losses.fetch()
            synchronize(self.network.anchor)
            self.history.seconds += time.perf_counter() - begun
            bar.update(len(self.history.loss) - bar.n)

    @property
    def operations_a_step(self) -> float:
        """About how many floating-point operations a step has: six, forward and backward, a parameter and sample."""
        return 6.0 * self.network.parameter_count * self.mini_batch_size

    def step(self) -> TrainingStep:
        """A step on this trainer's data, network and optimizer; fused on CuPy, where steps are recorded."""
        own = getattr(self.train_step, "__func__", None) is not _STEP_AS_IT_COMES
        on_cupy = isinstance(get_array_module(self.network.anchor), CupyNamespace)
        fused = self.fuses and on_cupy and self.capture is not False and not own
        step = TrainingStep(self.network, self.optimizer, self.x_train, self.t_train, fused=fused)
        if own:
            step.take = lambda x, t, numbers=(): self.train_step(x, t)  # type: ignore[method-assign]  # noqa: ARG005
            step.recordable = False
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
        recorded = (self.network, self.network.buffers, self.optimizer, _constants(self.optimizer))
        if self._steps is None or any(a is not b and a != b for a, b in zip(recorded, self._recorded, strict=True)):
            self._forget_steps()
            whole = max(1, self.train_size // self.mini_batch_size)
            self._steps, self._recorded = self.steps(min(self.iterations, whole)), recorded
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
        sets = {"train": (self.x_train, self.t_train), "test": (self.x_test, self.t_test)}
        accuracies = {
            name: network.accuracy(*_first(self._evaluated_samples, x, t))
            for name, (x, t) in sets.items()
            if x is not None and network.last_layer.classifies
        }
        if history.loss:
            loss = history.loss[-1]
        else:
            loss = float(network.loss(*_first(self.mini_batch_size, self.x_train, self.t_train)))
        now = time.perf_counter()
        # All at once, so that an interrupt finds the lists of one length.
        history.record(len(history.loss), now - self._started, accuracies)
        history.evaluation_seconds += now - begun
        bar.set_postfix(self._postfix(loss))
        self._show(
            f"{loss:.4f}",
            f"{history.time[-1]:.4f}",
            f"{len(history.loss):06d}",
            *(f"{accuracies[-1]:.4f}" if accuracies else "-" for accuracies in (history.train_acc, history.test_acc)),
        )
        for callback in self.callbacks:
            callback(self)

    def _postfix(self, loss: float) -> dict[str, str]:
        accuracies = {"train": self.history.train_acc, "test": self.history.test_acc}
        return {"loss": f"{loss:.4f}"} | {name: f"{values[-1]:.4f}" for name, values in accuracies.items() if values}

    def _show(self, *row: str) -> None:
        """Print a row of the course's table, above the progress bar."""
        if self.verbose:
            from tqdm.auto import tqdm

            widths = (8, 9, 7, 11, 11)
            tqdm.write("".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


_STEP_AS_IT_COMES = Trainer.train_step


def _constants(optimizer: Optimizer) -> dict[str, Any]:
    """What a recording would keep as it was; the attributes that reach a step through `numbers` are not among them."""
    varying = getattr(optimizer, "varying", ())
    return {name: v for name, v in vars(optimizer).items() if isinstance(v, int | float | str) and name not in varying}


def _first(n: int | None, x: Array, t: Array) -> tuple[Array, Array]:
    """The first `n` samples, or all of them."""
    n = x.shape[0] if n is None else min(n, x.shape[0])
    return x[:n, ...], t[:n, ...]


def _checked(network: Network, name: str, x: Array, t: Array) -> tuple[Array, np.ndarray]:
    """Look at everything, on the host where need be, before anything is moved or learned."""
    for label, array in ((f"x_{name}", x), (f"t_{name}", t)):
        if not is_array(array):
            raise ArrayMixError(
                f"{label} must be an array, got {type(array).__name__}. Make it one with  numpy.asarray({label}) ."
            )
    check_inputs(x)
    check_finite(f"x_{name}", x)
    targets = network.last_layer.check_targets(to_numpy(t), (x.shape[0], *network.output_shape(tuple(x.shape[1:]))))
    if network.last_layer.classifies:
        return x, index_labels(targets)
    check_finite(f"t_{name}", targets)
    return x, targets.astype(network.dtype, copy=False)


def _placed(network: Network, x: Array) -> Array:
    """The inputs beside the network: pixels stay bytes, floats take its dtype."""
    x = asarray(x, like=network.anchor)
    return x if x.dtype == get_array_module(x).uint8 else as_inputs(x, network.anchor.dtype)
