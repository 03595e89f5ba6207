"""The steps of a training: recorded or called, each made whole or not at all."""

import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xpnet._core import tuning
from xpnet._core.arrays import Array, get_array_module, to_numpy
from xpnet._core.cupy import CupyNamespace
from xpnet._core.declared import is_library_code
from xpnet._core.interrupts import Interrupts
from xpnet._core.memory import memory_for
from xpnet._core.threads import blas_threads
from xpnet.backend import synchronize
from xpnet.errors import ArgumentError
from xpnet.layers.base import largest_product
from xpnet.networks.entry import operations
from xpnet.training.data_sets import Samples
from xpnet.training.diagnosis import find_nonfinite, probe, snapshot
from xpnet.training.losses import Losses
from xpnet.training.progress import TrainingDisplay
from xpnet.training.step import CaptureKey, TrainingStep
from xpnet.training.step_runner import StepRunner

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer

ANOTHER_TRAINER = (
    "When this training has ended make another trainer, with the new value among its arguments: "
    "`Trainer(trainer.network, x_train, t_train, x_test, t_test, optimizer=trainer.optimizer)`."
)


class _BetweenSteps(NamedTuple):
    """The state of a training between two steps, to which a step that was not completed is undone."""

    restore: Callable[[], None]  # what steps change
    order: np.ndarray
    left: int
    losses: int  # the number of losses in the history
    number: int  # of the next step, for the optimizer
    until: float  # when to copy the state again, by the clock


class EpochRunner:
    """Makes the steps of a trainer, and undoes what an interrupted step has begun.

    It reads the trainer's settings again for each epoch, since callbacks may change them. `sets` are its data on the
    network's device; `rng` draws the order of the samples.
    """

    fuses: bool = True  # whether recorded steps on CuPy compute neighboring operations in one kernel

    def __init__(self, trainer: "Trainer", sets: Mapping[str, Samples], rng: np.random.Generator) -> None:
        self._trainer, self._sets, self._rng = trainer, sets, rng
        self.order, self.left = np.empty(0, dtype=np.int64), 0  # samples of the epoch and steps of the training to come
        self._steps: StepRunner | None = None
        self._targets_fit = trainer.network.last_layer
        self._key: CaptureKey | None = None

    @property
    def operations_per_step(self) -> float:
        """About how many floating-point operations a step has."""
        trainer = self._trainer
        return trainer.mini_batch_size * sum(operations(trainer.network.layers, tuple(trainer.x_train.shape[1:])))

    @property
    def largest_product(self) -> float:
        """About how many operations the largest product of a step has, which determines the number of threads."""
        trainer = self._trainer
        layers, sample_shape = trainer.network.layers.values(), tuple(trainer.x_train.shape[1:])
        return largest_product(layers, sample_shape, trainer.mini_batch_size)

    def step(self, *, fused: bool = True) -> TrainingStep:
        """A step on the trainer's data, network and optimizer; fused on CuPy, where steps are recorded."""
        trainer = self._trainer
        train_step = None if is_library_code(trainer.train_step) else trainer.train_step
        on_cupy = isinstance(get_array_module(trainer.network.state.like), CupyNamespace)
        fused = fused and self.fuses and on_cupy and trainer.capture is not False and train_step is None
        parts = trainer.network, trainer.optimizer, trainer.x_train, trainer.t_train
        return TrainingStep(*parts, augmentation=trainer.augmentation, fused=fused, train_step=train_step)

    def steps(self, at_once: int) -> StepRunner:
        """Makes the trainer's steps, up to `at_once` of them at a time; records one now, if it may."""
        trainer = self._trainer
        size, planned, work = trainer.mini_batch_size, trainer.iterations, self.operations_per_step
        return StepRunner(self.step(), size, trainer.capture, planned=planned, at_once=at_once, work=work)

    def begin_epoch(self) -> None:
        """Draw the samples of an epoch, on the host so that they are the same on every backend."""
        trainer = self._trainer
        count = trainer.iterations_per_epoch * trainer.mini_batch_size
        if trainer.sampling == "shuffle":
            self.order = self._rng.permutation(trainer.train_size)[:count]
        else:
            self.order = self._rng.integers(0, trainer.train_size, count)

    def run(self, display: TrainingDisplay, interrupts: Interrupts) -> None:
        """Make the steps that are left of an epoch, or of the training where those are fewer; fewer on Ctrl-C."""
        begun, history = time.perf_counter(), self._trainer.history
        try:
            with blas_threads(self.largest_product), self.memory_for_minibatch():
                self._make_steps(self._current_steps(), display, interrupts)
        finally:
            synchronize(self._trainer.network.state.like)
            history.training_seconds += time.perf_counter() - begun
            display.advance(len(history.loss))

    def memory_for_minibatch(self) -> AbstractContextManager[None]:
        """A context in which a lack of memory is an error that names the size of the minibatch."""
        size = self._trainer.mini_batch_size
        smaller = f"Train on with a smaller one, as with `mini_batch_size={max(1, size // 2)}`."
        return memory_for(f"a minibatch with mini_batch_size={size}", f"What was learned before it is kept. {smaller}")

    def close(self) -> None:
        """Release a recording, which holds memory."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _make_steps(self, maker: StepRunner, display: TrainingDisplay, interrupts: Interrupts) -> None:
        """Make the steps; the order is uploaded once, losses are fetched at the end or once in a while."""
        order, losses = self._uploaded(self.order, self.left), Losses()
        between: _BetweenSteps | None
        between = self._between_steps(maker.step)
        try:
            for _ in maker.run(order, between.number, losses):
                display.refresh(losses, self._trainer.history)
                if interrupts.pending:
                    break
                if time.perf_counter() > between.until:
                    if not self._complete(between, maker.step, losses):
                        return
                    between = None  # its copy is freed before the next one is made
                    between = self._between_steps(maker.step)
            self._complete(between, maker.step, losses)
        except BaseException as error:
            if between is not None:
                if isinstance(error, MemoryError):
                    traceback.clear_frames(error.__traceback__)  # which hold the arrays of the step
                with interrupts.shielded():
                    self._undo(between, maker, losses.count)
            raise

    def _between_steps(self, step: TrainingStep) -> _BetweenSteps:
        """Copy the state between two steps."""
        begun, losses = time.perf_counter(), len(self._trainer.history.loss)
        restore = snapshot(step)
        now = time.perf_counter()
        number = self._trainer.optimizer.iter if step.counts_steps else losses  # type: ignore[attr-defined]
        until = now + max(tuning.MIN_SECONDS_BETWEEN_COPIES, tuning.MIN_COPY_RATIO * (now - begun))
        return _BetweenSteps(restore, self.order, self.left, losses, number, until)

    def _complete(self, between: _BetweenSteps, step: TrainingStep, losses: Losses) -> bool:
        """Record steps that were made; False where one of them broke the network, which ends the training."""
        *made, broken = losses.fetch(probe(step))
        if np.isfinite([*made, broken]).all():
            self._record(step, made)
            return True
        between.restore()
        self._report_break(between, made)
        return False

    def _record(self, step: TrainingStep, losses: list[float]) -> None:
        """Count steps that were made."""
        trainer = self._trainer
        if step.counts_steps:
            trainer.optimizer.advance(len(losses))  # type: ignore[attr-defined]
        trainer.history.loss += losses
        self.order, self.left = self.order[len(losses) * trainer.mini_batch_size :], self.left - len(losses)

    def _undo(self, between: _BetweenSteps, maker: StepRunner, complete: int) -> None:
        """Undo a step that was not completed: restore the state, and make the steps before it again.

        Where they cannot be made again they are undone as well: the state is that of one step in any case.
        """
        between.restore()
        del self._trainer.history.loss[between.losses :]
        self.order, self.left = between.order, between.left
        losses = Losses()
        try:
            for _ in maker.run(self._uploaded(self.order, complete), between.number, losses):
                pass
            made = losses.fetch()
        except BaseException:  # the caller raises the error that came first
            between.restore()
            return
        self._record(maker.step, made)

    def _uploaded(self, order: np.ndarray, steps: int) -> Array:
        """The samples of the first steps of an order, on the network's device."""
        return self._trainer.network.asarray(order[: steps * self._trainer.mini_batch_size])

    def _report_break(self, between: _BetweenSteps, made: list[float]) -> None:
        """Make steps again up to the one that breaks the network, name its cause, and end the training there."""
        trainer, step = self._trainer, self.step(fused=False)
        rows = step.step_scalars(between.number, len(made)).tolist()
        minibatches = step.minibatches(self._uploaded(self.order, len(made)), trainer.mini_batch_size)
        found = find_nonfinite(step, minibatches, rows, made)
        trainer.history.loss += made[: found.steps + 1]
        self.order = self.order[found.steps * trainer.mini_batch_size :]
        trainer.stop()
        warnings.warn(
            f"Training ends at iteration {between.losses + found.steps + 1}, where {found.what} is not finite. The "
            "network has the weights from before that. The usual remedy is a lower learning rate than that of "
            f"{trainer.optimizer!r}, or `max_norm=1.0` as another of its arguments.",
            stacklevel=7,
        )

    def _current_steps(self) -> StepRunner:
        """What runs the steps; built again if a callback has changed what was captured."""
        trainer = self._trainer
        parts = trainer.network, trainer.optimizer, trainer.augmentation, trainer.train_step
        key = CaptureKey.of(*parts, trainer.capture, self.fuses)
        if self._steps is None or key != self._key or not self._steps.is_current():
            self.close()
            self._check_last_layer()
            whole = max(1, trainer.train_size // trainer.mini_batch_size)
            self._steps = self.steps(min(trainer.iterations, whole))
            # Again, since the steps may have laid the network's parameters into one buffer.
            self._key = CaptureKey.of(*parts, trainer.capture, self.fuses)
        return self._steps

    def _check_last_layer(self) -> None:
        """Check that the targets fit the last layer, which may be another than when they were checked."""
        network, before = self._trainer.network, self._targets_fit
        now = network.last_layer
        if now is before:
            return
        if now.classifies != before.classifies:
            raise ArgumentError(f"A training with {before} cannot go on with {now} as last layer. {ANOTHER_TRAINER}")
        for x, t in self._sets.values():
            now.check_targets(to_numpy(t), (t.shape[0], *network.output_shape(tuple(x.shape[1:]))))
        self._targets_fit = now
