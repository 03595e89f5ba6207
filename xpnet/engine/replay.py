"""Training steps on NumPy, replayed from a recording of one, which is checked against the step itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from xpnet.engine.state import OTHER_NUMBERS, Constants, Feedback, StateScan, StateSnapshot
from xpnet.engine.tape import Operation, RecordedArray, python_calls, recording, wrapped
from xpnet.errors import CaptureError
from xpnet.training.step import Losses, TrainingStep

__all__ = ["RecordedSteps"]


class RecordedSteps:
    """Training steps on NumPy, replayed from a recording of one.

    The recording is checked before it is used: two steps are made by calling the layers and two by replaying, from the
    same state, with different samples and numbers; all that they change must be equal, to the bit.

    Parameters
    ----------
    step, batch_size, numbers
        As for `capture`.
    """

    def __init__(self, step: TrainingStep, batch_size: int, numbers: np.ndarray) -> None:
        self._indices = np.zeros(batch_size, dtype=np.int64)
        self._numbers = np.zeros(len(numbers), dtype=step.network.state.like.dtype)
        attributes = StateScan(step.owners())
        restore = StateSnapshot(step.owners()).restore
        try:
            self._check(step, attributes, restore, np.asarray(numbers, dtype=np.float64))
        finally:
            restore()
        self._constants = Constants(attributes, arrays=self._read, varying=self._written | step.varying())

    def _check(
        self, step: TrainingStep, attributes: StateScan, restore: Callable[[], None], numbers: np.ndarray
    ) -> None:
        """Record the step, and compare the recording with the step itself."""
        samples = np.arange(len(self._indices)) % step.x.shape[0]
        # Two minibatches that differ, and numbers that differ: what is a constant of the recording shows.
        indices = np.stack([samples, (samples[::-1] + len(samples)) % step.x.shape[0]])
        rows = np.stack([numbers, 0.5 * numbers])
        arrays, slots = attributes.arrays(), StateScan([step.optimizer]).arrays().keys()
        values, generators = attributes.values(), attributes.generator_states()
        called = [step(indices[0], rows[0].tolist())]
        scalars = attributes.scalars()
        called.append(step(indices[1], rows[1].tolist()))
        attributes.check_constant(scalars)
        attributes.check_nothing_drawn(generators)
        for name in StateScan([step.optimizer]).arrays():
            if name not in slots:
                raise CaptureError(
                    f"{name}, which the first step makes: it belongs in the optimizer's `prepare(params)`"
                )
        in_place = {name for name, array in attributes.arrays().items() if arrays.get(name) is array}
        rebound = attributes.replaced(arrays)
        self._written = attributes.written(values)
        after = attributes.contents(in_place | rebound)
        restore()
        self._feedback = Feedback(attributes, rebound)
        self._indices[...], self._numbers[...] = indices[0], rows[0]
        self._record(step, attributes)
        restore()
        replayed = Losses()
        self.run(indices, rows, replayed)
        same = attributes.matches({name: after[name] for name in in_place | self._feedback.own.keys()})
        if not same or not np.array_equal(called, replayed.fetch(), equal_nan=True):
            raise CaptureError(OTHER_NUMBERS)

    def _record(self, step: TrainingStep, attributes: StateScan) -> None:
        """Make the step once, noting each operation in it."""
        with recording() as tape, _recorded(StateScan([*step.owners(), step])):
            row = wrapped(self._numbers)
            try:
                loss = step(wrapped(self._indices), tuple(row[i, ...] for i in range(len(self._numbers))))
            except CaptureError:
                raise
            except Exception as error:  # of whatever kind: as it is the step has just been made without one
                raise CaptureError(f"{type(error).__name__}: {error}") from error
        self._loss = loss.array
        self._read = {name for name, array in attributes.arrays().items() if tape.reads(array)}
        # Of what is made anew only what was read is needed again; the rest is what layers keep for their backward.
        own = self._feedback.own = {name: a for name, a in self._feedback.own.items() if tape.reads(a)}
        made = {name: array for name, array in attributes.arrays().items() if name in own and array is not own[name]}
        copies = {name: array.copy() for name, array in made.items()}  # since one may be the old value of another
        tape.operations += [Operation(np.copyto, (array,), copies[name]) for name, array in made.items()]
        tape.operations += [Operation(np.copyto, (copies[name],), own[name]) for name in made]
        self._calls = python_calls(tape.operations)

    def run(self, indices: np.ndarray, numbers: np.ndarray, losses: Losses) -> None:
        """A step for each row of `indices` (n, B), with the same row of `numbers` (n, m); adds the losses, (n,)."""
        self._feedback.copy_back()
        made = np.empty(len(indices), dtype=self._loss.dtype)
        calls, buffer, row, loss = self._calls, self._indices, self._numbers, self._loss
        k = 0
        try:
            for k in range(len(indices)):
                buffer[...] = indices[k]
                row[...] = numbers[k]
                for call in calls:
                    call()
                made[k] = loss
            k = len(indices)
        finally:  # after an exception too: the trainer is told which steps are complete
            losses.add_block(made[:k])

    def is_current(self) -> bool:
        """Whether all that the recording takes for constant is as it was."""
        return self._constants.unchanged()

    def close(self) -> None:
        """Give back the memory of the recording."""
        self._calls.clear()


@contextmanager
def _recorded(attributes: StateScan) -> Iterator[None]:
    """Inside a ``with`` block have recorded arrays in the place of arrays, and arrays again at its end."""
    for _, container, key, value in list(attributes.places()):
        if isinstance(value, np.ndarray):
            container[key] = wrapped(value)
    try:
        yield
    finally:
        for _, container, key, value in list(attributes.places()):
            if isinstance(value, RecordedArray):
                container[key] = value.array
