"""Capture a training step: record it, check that a replay gives the same bits as the step itself, else refuse by name.

A step sees four things. *State*: parameters, optimizer slots, running statistics, which are updated in place or bound
again. *Data*, which nobody changes. *Inputs*: the indices of its samples, and the step scalars, such as the learning
rate, that the host computes. And its *loss*. Everything else that it computes with is a constant of the capture.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from xpnet._core.arrays import Array, get_array_module, to_numpy
from xpnet._core.cupy import CupyNamespace
from xpnet.engine.state import Constants, StateScan, StateSnapshot
from xpnet.errors import CaptureError

__all__ = ["Replayer", "Step", "capture"]


class Step(Protocol):
    """What capture asks of a training step."""

    optimizer: Any

    @property
    def like(self) -> Array:
        """An array on the network's device and of its dtype."""

    @property
    def sample_count(self) -> int:
        """The number of samples in the data."""

    def state_owners(self) -> Sequence[object]:
        """The objects whose attributes hold what a step changes."""

    def run(self, indices: Array, scalars: Sequence[Any] = ()) -> Array:
        """Take a step on the samples of `indices` (B,) with its step scalars; returns the loss."""

    def run_block(self, order: Array, scalars: Array, losses: Array) -> None:
        """Take a step for each row of `order` (n, B) and of `scalars` (n, m); writes `losses` (n,)."""


class Trial(NamedTuple):
    """A recording that is not verified yet."""

    run: Callable[[Array, Array, Callable[[Array], None]], None]
    """As `Replayer.run`."""
    compared: Collection[str]
    """The names of the arrays that a replay leaves as the steps do."""


class Replayer(Protocol):
    """Records a step for one kind of arrays, and replays it."""

    constants: Constants

    def session(self) -> AbstractContextManager[None]:
        """What surrounds the whole capture."""

    def plain_step(self, indices: np.ndarray, scalars: np.ndarray) -> Array:
        """Take a step without a recording."""

    def record(self, plain: "PlainSteps") -> Iterable[Trial]:
        """Record the step; more than one trial if it is not known what the steps must hand on."""

    def finish(self, plain: "PlainSteps") -> Collection[str]:
        """Make the last trial final, from the state before the steps; returns the arrays that it uses in place."""

    def run(self, indices: Array, scalars: Array, add_losses: Callable[[Array], None]) -> None:
        """Replay a step for each row of `indices` (n, B) and of `scalars` (n, m); hands over the losses (n,)."""

    def close(self) -> None:
        """Free what the recording holds."""


@dataclass(frozen=True)
class PlainSteps:
    """Two steps that were taken without a recording.

    Attributes
    ----------
    indices, scalars
        What they were given: other samples and other scalars each, so that what is constant in a recording shows.
    start
        The state before them.
    state, losses
        The state that they changed, and their losses.
    in_place, replaced, written
        The names of arrays that are the same objects as before; for which there are others of the same form; and all
        names that hold another object.
    contents
        The numbers in the first two after the steps.
    """

    indices: np.ndarray
    scalars: np.ndarray
    start: StateSnapshot
    state: StateScan
    losses: list[np.ndarray]
    in_place: set[str]
    replaced: set[str]
    written: set[str]
    contents: Mapping[str, Array]


def capture(step: Step, *, batch_size: int, steps: int, scalars: np.ndarray) -> Replayer | None:
    """Capture a training step. The state stays as it was.

    Parameters
    ----------
    step
        The step.
    batch_size
        Samples in each minibatch.
    steps
        Steps in a block that is replayed: at most on NumPy, exactly on CuPy.
    scalars
        The step scalars of one step, (m,), float64.

    Returns
    -------
    Replayer or None
        None if arrays of this kind cannot be recorded.

    Raises
    ------
    CaptureError
        If this step cannot be recorded; the message names the cause.
    """
    replayer = _replayer_for(step, batch_size, steps, len(scalars))
    if replayer is None:
        return None
    with replayer.session():
        start = StateSnapshot(step.state_owners())
        try:
            plain = take_plain_steps(step, replayer, batch_size, scalars, start)
            if not any(verify(trial, plain) for trial in replayer.record(plain)):
                raise CaptureError(
                    "The replayed steps give other numbers than the steps themselves: something changes from step to "
                    "step that is neither in an array from before the first step nor in the optimizer's "
                    "`step_scalars(first, count)`."
                )
            start.restore()
            used = replayer.finish(plain)
        except BaseException:
            start.restore()
            raise
        varying = {f"{type(step.optimizer).__name__}.{name}" for name in getattr(step.optimizer, "varying", ())}
        replayer.constants = Constants(plain.state, arrays=used, varying=plain.written | varying)
    return replayer


def take_plain_steps(
    step: Step, replayer: Replayer, batch_size: int, scalars: np.ndarray, start: StateSnapshot
) -> PlainSteps:
    """Take two steps, and refuse what cannot be right in a recording of one."""
    samples = np.arange(batch_size)  # some twice at first: a minibatch that an evaluation has not left in the layers
    indices = np.stack([samples // 2, samples[::-1] + batch_size]) % step.sample_count
    rows = np.stack([scalars, 0.5 * scalars])
    state, slots = StateScan(step.state_owners()), StateScan([step.optimizer])
    arrays, values, generators, made = state.arrays(), state.values(), state.generator_states(), slots.arrays()
    losses = [to_numpy(replayer.plain_step(indices[0], rows[0]))]
    between = state.scalars()
    losses.append(to_numpy(replayer.plain_step(indices[1], rows[1])))
    if name := _first_change(between, after := state.scalars()):
        raise CaptureError(
            f"{name} changes from step to step on the host (from {between[name]!r} to {after[name]!r}), which a replay "
            "does not repeat. Return what depends on it from the optimizer's `step_scalars(first, count)`."
        )
    if name := _first_change(generators, state.generator_states()):
        raise CaptureError(
            f"The step draws random numbers from {name}, and every replay would draw the same. Draw them by "
            "`xpnet._core.random`, as Dropout does, or do not declare `recordable = True`."
        )
    if name := next((name for name in slots.arrays() if name not in made), None):
        raise CaptureError(f"The first step creates {name}. Create it in the optimizer's `prepare(params)`.")
    in_place = {name for name, array in state.arrays().items() if arrays.get(name) is array}
    replaced = state.replaced(arrays)
    written = {name for name, value in state.values().items() if values.get(name) is not value}
    contents = state.contents(in_place | replaced)
    return PlainSteps(indices, rows, start, state, losses, in_place, replaced, written, contents)


def verify(trial: Trial, plain: PlainSteps) -> bool:
    """Whether a replay of the two steps, from the same state, gives the same state and losses to the bit."""
    plain.start.restore()
    losses: list[Array] = []
    trial.run(plain.indices, plain.scalars, losses.append)
    same = plain.state.matches({name: plain.contents[name] for name in trial.compared})
    return same and np.array_equal(np.concat([to_numpy(a) for a in losses]), plain.losses, equal_nan=True)


def _replayer_for(step: Step, batch_size: int, steps: int, scalars: int) -> Replayer | None:
    xp = get_array_module(step.like)
    if xp is np:
        from xpnet.engine.replay import NumpyReplayer

        return NumpyReplayer(step, batch_size, scalars)
    if isinstance(xp, CupyNamespace):
        from xpnet.engine.cuda_graph import CudaGraphReplayer

        return CudaGraphReplayer(step, batch_size, steps, scalars)
    return None


def _first_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    return next((name for name, value in after.items() if before.get(name, value) != value), None)
