"""Replay of a training step on NumPy, operation by operation."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from xpnet._core.arrays import Array
from xpnet.engine.capture import PlainSteps, Step, Trial
from xpnet.engine.state import Constants, Feedback, StateScan
from xpnet.engine.tape import Operation, RecordedArray, python_calls, recording, wrapped
from xpnet.errors import CaptureError


class NumpyReplayer:
    """Records a step with `scalars` step scalars on NumPy, and replays it, one minibatch at a time."""

    constants: Constants

    def __init__(self, step: Step, batch_size: int, scalars: int) -> None:
        self._step = step
        self._indices = np.zeros(batch_size, dtype=np.int64)
        self._scalars = np.zeros(scalars, dtype=step.like.dtype)

    def session(self) -> AbstractContextManager[None]:
        """Nothing is needed."""
        return nullcontext()

    def plain_step(self, indices: np.ndarray, scalars: np.ndarray) -> Array:
        """Take a step without a recording."""
        return self._step.run(indices, scalars.tolist())

    def record(self, plain: PlainSteps) -> Iterator[Trial]:
        """Take the step once on recorded arrays, which write each operation to a tape."""
        plain.start.restore()
        feedback = Feedback(plain.state, plain.replaced)
        self._indices[...], self._scalars[...] = plain.indices[0], plain.scalars[0]
        with recording() as tape, _recorded_arrays(StateScan([*plain.state.owners, self._step])):
            try:
                loss = self._step.run(
                    wrapped(self._indices), tuple(wrapped(self._scalars)[i, ...] for i in range(len(self._scalars)))
                )
            except CaptureError:
                raise
            except Exception as error:  # the same step has just been taken without one
                raise CaptureError(f"On recorded arrays the step raises {type(error).__name__}: {error}.") from error
        self._loss = loss.array
        arrays = plain.state.arrays()
        self._read = {name for name, array in arrays.items() if tape.reads(array)}
        # Of the arrays that were bound again only those that were read are needed; layers keep others for backward.
        own = feedback.own = {name: array for name, array in feedback.own.items() if tape.reads(array)}
        made = {name: arrays[name] for name in own if arrays[name] is not own[name]}
        copies = {name: array.copy() for name, array in made.items()}  # one may be the old value of another
        tape.operations += [Operation(np.copyto, (array,), copies[name]) for name, array in made.items()]
        tape.operations += [Operation(np.copyto, (copies[name],), own[name]) for name in made]
        self._feedback = feedback
        self._calls = python_calls(tape.operations)
        yield Trial(self.run, plain.in_place | own.keys())

    def finish(self, _: PlainSteps) -> set[str]:
        """The arrays that the tape reads where they are."""
        return self._read

    def run(self, indices: np.ndarray, scalars: np.ndarray, add_losses: Callable[[np.ndarray], None]) -> None:
        """Replay a step for each row of `indices` (n, B) and of `scalars` (n, m); hands over the losses (n,)."""
        self._feedback.copy_back()
        losses = np.empty(len(indices), dtype=self._loss.dtype)
        calls, buffer, row, loss = self._calls, self._indices, self._scalars, self._loss
        k = 0
        try:
            for k in range(len(indices)):
                buffer[...] = indices[k]
                row[...] = scalars[k]
                for call in calls:
                    call()
                losses[k] = loss
            k = len(indices)
        finally:  # after an exception too: the losses say which steps are complete
            add_losses(losses[:k])

    def close(self) -> None:
        """Free the memory of the recording."""
        self._calls.clear()


@contextmanager
def _recorded_arrays(state: StateScan) -> Iterator[None]:
    """Bind recorded arrays in place of all arrays inside a ``with`` block, and arrays again at its end."""
    for _, container, key, value in list(state.places()):
        if isinstance(value, np.ndarray):
            container[key] = wrapped(value)
    try:
        yield
    finally:
        for _, container, key, value in list(state.places()):
            if isinstance(value, RecordedArray):
                container[key] = value.array
