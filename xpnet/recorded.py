"""Training steps on NumPy, replayed from a recording of one, which is checked against the step itself."""

import functools
from collections.abc import Callable

import numpy as np

from xpnet.errors import CaptureError
from xpnet.recorder import wrapped
from xpnet.step import Attributes, Losses, TrainingStep
from xpnet.tape import recording

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
        self._numbers = np.zeros(len(numbers), dtype=step.network.anchor.dtype)
        self._carried: dict[str, np.ndarray] = {}
        self._attributes = attributes = step.attributes()
        restore = attributes.snapshot()
        try:
            self._check(step, attributes, restore, np.asarray(numbers, dtype=np.float64))
        finally:
            restore()

    def _check(
        self, step: TrainingStep, attributes: Attributes, restore: Callable[[], None], numbers: np.ndarray
    ) -> None:
        """Record the step, and compare the recording with the step itself."""
        samples = np.arange(len(self._indices)) % step.x.shape[0]
        # Two minibatches that differ, and numbers that differ: what is a constant of the recording shows.
        indices = np.stack([samples, (samples[::-1] + len(samples)) % step.x.shape[0]])
        rows = np.stack([numbers, 0.5 * numbers])
        arrays, slots = attributes.arrays(), Attributes([step.optimizer]).arrays().keys()
        called = [step(indices[0], rows[0].tolist())]
        scalars = attributes.scalars()
        called.append(step(indices[1], rows[1].tolist()))
        for name, value in attributes.scalars().items():
            if scalars.get(name, value) != value:
                raise CaptureError(
                    f"{name}, which changes from step to step (from {scalars[name]!r} to {value!r}); let the "
                    "optimizer's  numbers(first, count)  give what depends on it"
                )
        for name in Attributes([step.optimizer]).arrays():
            if name not in slots:
                raise CaptureError(
                    f"{name}, which the first step makes: it belongs in the optimizer's  prepare(params)"
                )
        in_place = {name for name, array in attributes.arrays().items() if arrays.get(name) is array}
        after = attributes.contents()
        restore()
        self._record(step, attributes)
        restore()
        replayed = Losses()
        self.run(indices, rows, replayed)
        now = attributes.contents()
        if not np.array_equal(called, replayed.fetch(), equal_nan=True) or not all(
            np.array_equal(after[name], now[name], equal_nan=True) for name in in_place | self._carried.keys()
        ):
            raise CaptureError(
                "the step, whose recording gives other numbers: something in it changes from step to step that is "
                "neither kept in an array nor given by the optimizer's  numbers(first, count)"
            )

    def _record(self, step: TrainingStep, attributes: Attributes) -> None:
        """Make the step once, noting each operation in it."""
        arrays = attributes.arrays()
        with recording() as tape, attributes.recorded(), Attributes([step]).recorded():
            row = wrapped(self._numbers)
            try:
                loss = step(wrapped(self._indices), tuple(row[i, ...] for i in range(len(self._numbers))))
            except CaptureError:
                raise
            except Exception as error:  # of whatever kind: as it is the step has just been made without one
                raise CaptureError(f"{type(error).__name__}: {error}") from error
        self._calls, self._loss = tape.calls, loss.array
        for name, array in attributes.arrays().items():
            old = arrays.get(name)
            # What is read and then made anew is carried from step to step: the next step reads it where this one did.
            if old is not None and old is not array and old.shape == array.shape and tape.was_read(old):
                if np.may_share_memory(old, step.x) or np.may_share_memory(old, step.t):
                    raise CaptureError(f"{name}, which is carried from step to step and lies in the data set")
                self._calls.append(functools.partial(np.copyto, old, array))
                self._carried[name] = old

    def run(self, indices: np.ndarray, numbers: np.ndarray, losses: Losses) -> None:
        """A step for each row of `indices` (n, B), with the same row of `numbers` (n, m); adds the losses, (n,)."""
        self._bring_carried()
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
        finally:  # also when the user interrupts: the steps that were made have been made
            losses.add_block(made[:k])

    def _bring_carried(self) -> None:
        """What is carried, to where the recording reads it: a step that was called meanwhile has made it anew."""
        if not self._carried:
            return
        for name, container, key, value in list(self._attributes.places()):
            place = self._carried.get(name)
            if place is not None and place is not value:
                place[...] = value
                container[key] = place

    def close(self) -> None:
        """Give back the memory of the recording."""
        self._calls.clear()
