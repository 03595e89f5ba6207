"""A block of training steps, recorded once and replayed: by a recorder on NumPy, as a CUDA graph on CuPy.

A step sees four things. *State*: parameters, optimizers' slots, layers' running statistics, which stay where they are
and are changed in place. *Data*, which nobody changes. A *block*: for each step the indices of its samples, and a row
of numbers that the host computes, such as the learning rate. And its *losses*. Everything else that a step computes
with is a constant of the recording; a recording in which that shows is refused, and the steps are made one by one.

The CUDA graph has not yet been run on a GPU.
"""

import time
import warnings
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from xpnet._core.arrays import Array, get_array_module
from xpnet._core.cupy import CupyNamespace
from xpnet.backend import asarray
from xpnet.errors import CaptureError
from xpnet.training.step import Losses, TrainingStep

__all__ = ["GraphedSteps", "Runner", "Steps", "capture"]

_BLOCK = 64  # steps on NumPy at most between two looks at the clock
_BLOCK_SECONDS = 0.02  # at most, unless a single step takes longer: an interrupt waits until the end of a block
_BLOCK_WORK = 2**27  # floating-point operations in the first block, before it is known how long steps take
_GRAPH = 50  # to capture a step takes as long as to call it; and a graph only runs whole, the rest is called
_FEWEST = 32  # steps; for fewer a recording, which takes five, does not pay
_MOST_WORK = 2**34  # floating-point operations a step; where there are more, calling the layers costs next to nothing


class Runner(Protocol):
    """What makes recorded training steps, a block at a time."""

    def run(self, indices: Array, numbers: Array, losses: Losses) -> None:
        """A step for each row of `indices` (n, B), with the same row of `numbers` (n, m); adds the losses, (n,)."""

    def is_current(self) -> bool:
        """Whether all that the recording takes for constant is as it was."""

    def close(self) -> None:
        """Give back what the recording holds."""


def capture(step: TrainingStep, *, batch_size: int, steps: int, numbers: np.ndarray) -> Runner | None:
    """Record a training step.

    Whatever the steps change that are made for this is put back: recording leaves everything as it was.

    Parameters
    ----------
    step
        The step.
    batch_size
        How many samples each minibatch has.
    steps
        How many there are in a block: exactly so many on CuPy.
    numbers
        A row such as the step will be given, (m,), float64.

    Returns
    -------
    Runner or None
        None where arrays of the network's kind cannot be recorded.

    Raises
    ------
    CaptureError
        Where this step cannot be recorded; it names the call that stands in the way.
    """
    xp = get_array_module(step.network.state.like)
    if xp is np:
        from xpnet.engine.replay import RecordedSteps

        with step.network.state.lock:  # the layers hold recorded arrays until the steps are undone
            return RecordedSteps(step, batch_size, numbers)
    if isinstance(xp, CupyNamespace):
        with step.network.state.lock:
            return GraphedSteps(step, batch_size, steps, numbers)
    return None


class GraphedSteps:
    """Training steps on CuPy, as a CUDA graph of so many.

    Parameters
    ----------
    step, batch_size, steps, numbers
        As for `capture`.
    """

    def __init__(self, step: TrainingStep, batch_size: int, steps: int, numbers: np.ndarray) -> None:
        from xpnet.engine.cuda_graph import CudaGraphRunner

        like, owners = step.network.state.like, step.owners()
        self._graph = CudaGraphRunner(
            step.block,
            batch_size=batch_size,
            numbers=len(numbers),
            steps=steps,
            like=like,
            owners=owners,
            varying=step.varying(),
        )

    def run(self, indices: Array, numbers: Array, losses: Losses) -> None:
        """A block of steps; adds its losses."""
        losses.add_block(self._graph.run(indices, numbers))

    def is_current(self) -> bool:
        """Whether all that the graph takes for constant is as it was."""
        return self._graph.is_current()

    def close(self) -> None:
        """Give back the graph and its memory."""
        self._graph.close()


class Steps:
    """Makes the steps of an epoch: replays a recording where there is one, and calls the layers where not.

    Parameters
    ----------
    step
        The step.
    batch_size
        How many samples a minibatch has.
    choice
        ``"auto"``: record, where steps are many and small and arrays of this kind can be recorded; where a step cannot,
        warn and go on without. True: record, or raise the CaptureError. False: do not record.
    planned
        How many steps there will be.
    at_once
        How many of them, at most, in an order that `make` is given.
    work
        How many floating-point operations a step has.

    Attributes
    ----------
    step
        The step.
    """

    def __init__(
        self, step: TrainingStep, batch_size: int, choice: bool | str, *, planned: int, at_once: int, work: float
    ) -> None:
        self.step = step
        self._network_settings = step.network_settings()
        self._batch_size = batch_size
        self._runner: Runner | None = None
        self._block, self._least = int(min(_BLOCK, max(1, _BLOCK_WORK // max(1, work)))), 1
        on_gpu = isinstance(get_array_module(step.network.state.like), CupyNamespace)
        if on_gpu:
            self._block = self._least = _steps_of_a_graph(at_once)
        if choice is True or (choice == "auto" and planned >= _FEWEST and (on_gpu or work <= _MOST_WORK)):
            self._capture(must=choice is True)

    def _capture(self, *, must: bool) -> None:
        if not self.step.recordable and not must:
            return
        try:
            numbers = self.step.step_scalars_to_capture()
            self._runner = capture(self.step, batch_size=self._batch_size, steps=self._block, numbers=numbers)
            if self._runner is None and must:
                raise CaptureError(f"its arrays, those of {self.step.network.backend.name}")
        except CaptureError as error:
            message = f"Training steps cannot be recorded, because of {error}."
            if must:
                raise CaptureError(f"{message} Use `capture='auto'` to do without.") from error
            advice = "They are made one by one, which is slower. Use `capture=False` to do so without a warning."
            warnings.warn(f"{message} {advice}", stacklevel=4)

    @property
    def recorded(self) -> bool:
        """Whether there is a recording."""
        return self._runner is not None

    def is_current(self) -> bool:
        """Whether the step, and a recording of it, are still what the layers and the optimizer would do if called."""
        if self._runner is None:
            return True
        return self._runner.is_current() and self._network_settings == self.step.network_settings()

    def make(self, order: Array, first: int, losses: Losses) -> Iterator[None]:
        """Make the steps of an order of samples (n,), the first one being number `first`.

        Yields between two steps, each of them or now and then; `losses` has those of all steps that are complete.
        """
        size, whole = self._batch_size, order.shape[0] // self._batch_size
        numbers = self.step.step_scalars(first, -(-order.shape[0] // size))
        done = 0
        if self._runner is not None and whole:
            indices = get_array_module(order).reshape(order[: whole * size], (whole, size))
            rows = asarray(numbers, like=order, dtype=self.step.network.dtype)
            while done + self._least <= whole:
                end, begun = min(done + self._block, whole), time.perf_counter()
                self._runner.run(indices[done:end, ...], rows[done:end, ...], losses)
                if self._least == 1:
                    steps_a_second = (end - done) / max(time.perf_counter() - begun, 1e-9)
                    self._block = int(min(_BLOCK, max(1, _BLOCK_SECONDS * steps_a_second)))
                done = end
                yield
        minibatches = self.step.minibatches(order[done * size :], size)
        for (x, t), row in zip(minibatches, numbers[done:].tolist(), strict=True):
            losses.add(self.step.take(x, t, row))
            yield

    def close(self) -> None:
        """Give back what the recording holds."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None


def _steps_of_a_graph(at_once: int) -> int:
    """As many as leave the fewest of an epoch's steps to be called, each of which takes as long as many in a graph."""
    most = min(at_once, _GRAPH)
    return max(range(max(1, most // 2), most + 1), key=lambda steps: (-(at_once % steps), steps))
