"""The training loop: minibatches, steps, evaluations, and what is shown meanwhile."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.backend import Array, asarray, get_array_module, is_array, synchronize, to_numpy
from xpnet.checks import check_count, check_finite, check_inputs, index_labels
from xpnet.errors import ArgumentError, ArrayMixError
from xpnet.functions import as_inputs
from xpnet.history import History
from xpnet.initializers import random_streams
from xpnet.network import Network
from xpnet.optimizers import Optimizer, make_optimizer

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Trainer"]

_GATHERED_NUMBERS = 2**18  # made floats at once: 1 MB of them stays in a cache near the processor
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

    Attributes
    ----------
    train_loss_list, train_acc_list, test_acc_list
        The course's lists: a float an iteration, and one an evaluation.
    history
        The same and more, as a `History`.

    Examples
    --------
    >>> from xpnet import Trainer, TwoLayerNet, load_digits
    >>> (x_train, t_train), (x_test, t_test) = load_digits(normalize=False)
    >>> trainer = Trainer(TwoLayerNet(64, 50, 10, seed=0, backend="numpy"), x_train, t_train, x_test, t_test, epochs=40,
    ...                   mini_batch_size=20, optimizer_param={"lr": 0.1}, verbose=False, seed=0)
    >>> trainer.train().test_acc[-1] > 0.9
    True
    """

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
    ) -> None:
        if sampling not in ("shuffle", "choice"):
            raise ArgumentError(f"sampling must be 'shuffle' or 'choice', got {sampling!r}.")
        self.network = network
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
        with tqdm(total=self.iterations, desc="training", unit="it", disable=None if self.verbose else True) as bar:
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
        """One step on a minibatch, beside the network and in its dtype; returns the loss, on the device."""
        loss = self.network.compute_gradients(x, t)
        self.optimizer.update(*self.network.optimizer_view())
        return loss

    def _minibatches(self, order: Array, steps: int) -> Iterator[tuple[Array, Array]]:
        """The first `steps` minibatches of an order, several gathered at once: fewer operations, and larger ones."""
        xp = get_array_module(order)
        size, anchor = self.mini_batch_size, self.network.anchor
        numbers = size * math.prod(self.x_train.shape[1:])
        at_once = max(1, _GATHERED_NUMBERS // numbers) * size
        end = min(steps * size, order.shape[0])
        for start in range(0, end, at_once):
            indices = order[start : min(start + at_once, end)]
            x = as_inputs(xp.take(self.x_train, indices, axis=0), anchor.dtype)
            t = xp.take(self.t_train, indices, axis=0)
            for i in range(0, indices.shape[0], size):
                stop = min(i + size, indices.shape[0])
                yield x[i:stop, ...], t[i:stop, ...]

    def _run_epoch(self, steps: int, bar: "tqdm[Any]") -> None:
        """Make up to an epoch's steps; the order is uploaded once, the losses are fetched once."""
        begun = shown = time.perf_counter()
        order = asarray(self._draw_order(), like=self.network.anchor)
        losses: list[Array] = []
        try:
            for x, t in self._minibatches(order, steps):
                losses.append(self.train_step(x, t))
                if not bar.disable and time.perf_counter() - shown > _REFRESH_SECONDS:
                    bar.update(len(self.history.loss) + len(losses) - bar.n)
                    bar.set_postfix(self._postfix(float(losses[-1])))
                    shown = time.perf_counter()
        finally:  # also when the user interrupts: what has been learned is learned, and belongs in the record
            if losses:
                self.history.loss += to_numpy(get_array_module(losses[0]).stack(losses)).tolist()
            synchronize(self.network.anchor)
            self.history.seconds += time.perf_counter() - begun
            bar.update(len(self.history.loss) - bar.n)

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
