"""Capture a training step: record it, verify that a replay gives the same bits as the step itself, else refuse by name.

A step sees *state* (parameters, optimizer slots, running statistics), which it updates in place or binds again; *data*,
which nobody changes; and *inputs*, the indices of its samples and the step scalars that the host computes, such as the
learning rate. It gives a *loss*. Everything else that it computes with is a constant of the capture.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np

from xpnet._core.arrays import Array, get_array_module, to_numpy
from xpnet._core.cupy import CupyNamespace
from xpnet.engine.state import Constants, StateScan, StateSnapshot
from xpnet.errors import CaptureError


class Step(Protocol):
    """What capture asks of a training step; `xpnet.training.step.TrainingStep` is one."""

    sample_count: int
    optimizer: Any

    @property
    def like(self) -> Array:
        """An array of the network: its device and dtype."""

    def state_owners(self) -> Sequence[object]:
        """The objects whose attributes hold the state."""

    def run(self, indices: Array, scalars: Sequence[Any] = ()) -> Array:
        """Take a step on the samples of `indices` (B,); returns its loss."""

    def run_block(self, order: Array, scalars: Array, losses: Array) -> None:
        """Take a step for each row of `order` (n, B) and of `scalars` (n, m); writes `losses` (n,)."""


class PlainSteps(NamedTuple):
    """Two steps that were taken without a recording."""

    indices: np.ndarray  # other samples and other scalars for each, so that what a recording holds constant shows
    scalars: np.ndarray
    start: StateSnapshot
    state: StateScan
    losses: list[np.ndarray]
    in_place: set[str]  # the names of arrays that are the same objects as before
    replaced: set[str]  # of those that are other objects of the same form
    written: set[str]  # of everything that is another object
    contents: Mapping[str, Array]  # the numbers in the first two


class Trial(NamedTuple):
    """A recording that is not verified yet."""

    run: Callable[[Array, Array, Callable[[Array], None]], None]  # as that of a Replayer
    compared: Collection[str]  # the names of the arrays that a replay leaves as the steps do


class Replayer(Protocol):
    """Records a step for one kind of arrays, and replays it: `NumpyReplayer` or `CudaGraphReplayer`."""

    constants: Constants

    def session(self) -> AbstractContextManager[None]:
        """What surrounds the whole capture."""

    def plain_step(self, indices: np.ndarray, scalars: np.ndarray) -> Array:
        """Take a step without a recording; returns its loss."""

    def record(self, plain: PlainSteps) -> Iterable[Trial]:
        """Record the step: several times if it is not known what one step hands on to the next."""

    def finish(self, plain: PlainSteps) -> Collection[str]:
        """Complete the last trial, from the state at the start; returns the arrays that it uses in place."""

    def run(self, indices: Array, scalars: Array, add_losses: Callable[[Array], None]) -> None:
        """Replay a step for each row of `indices` (n, B) and of `scalars` (n, m); hands over the losses (n,)."""

    def close(self) -> None:
        """Free what the recording holds."""


def capture(step: Step, *, batch_size: int, steps: int, scalars: np.ndarray) -> Replayer | None:
    """Capture a step on `batch_size` samples; None for arrays that cannot be recorded. The state stays as it was.

    `steps` of them are replayed in a block: at most on NumPy, exactly on CuPy. `scalars` are the step
    scalars of one step, (m,). Raises a CaptureError that names what cannot be recorded.
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
    """Take two steps, and refuse what no recording of one step can repeat."""
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
