"""Run the training steps of an epoch: replay a capture if there is one, else call the layers."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from xpnet._core import tuning
from xpnet._core.arrays import Array, get_array_module
from xpnet._core.cupy import CupyNamespace
from xpnet.backend import asarray
from xpnet.engine.capture import Replayer, capture
from xpnet.errors import CaptureError
from xpnet.training.losses import Losses
from xpnet.training.step import TrainingStep


class StepRunner:
    """Runs training steps in blocks.

    Parameters
    ----------
    choice
        ``"auto"``: capture the step if that pays; warn if it cannot be captured. True: capture it, or raise the
        CaptureError. False: call it.
    planned, at_once
        The steps of the whole training, and of the longest order that `run` is given.
    work
        Floating-point operations in each step.
    """

    def __init__(
        self, step: TrainingStep, batch_size: int, choice: bool | str, *, planned: int, at_once: int, work: float
    ) -> None:
        self.step = step
        self._batch_size = batch_size
        self._settings = self._network_settings()
        self._replayer: Replayer | None = None
        first_block = max(1, tuning.MAX_FIRST_BLOCK_FLOPS // max(1, work))
        self._block, self._least = int(min(tuning.MAX_BLOCK_STEPS, first_block)), 1
        on_gpu = isinstance(get_array_module(step.like), CupyNamespace)
        if on_gpu:
            self._block = self._least = graph_steps(at_once)
        pays = planned >= tuning.MIN_CAPTURED_STEPS and (on_gpu or work <= tuning.MAX_CAPTURED_STEP_FLOPS)
        try:
            if choice is True or (choice == "auto" and pays and step.obstacle is None):
                step.check_recordable()
                scalars = step.step_scalars(0, 1)[0]
                with step.network.state.lock:  # the layers hold recorded arrays during the capture
                    self._replayer = capture(step, batch_size=batch_size, steps=self._block, scalars=scalars)
            if choice is True and not self.recorded:
                raise CaptureError(f"There is no recording of arrays of {step.network.backend.name}.")
        except CaptureError as error:
            message = f"Training steps cannot be recorded. {error}"
            if choice is True:
                raise CaptureError(f"{message} Use `capture='auto'` to do without.") from error
            advice = "They are made one by one, which is slower. Use `capture=False` to do so without a warning."
            warnings.warn(f"{message} {advice}", stacklevel=3)

    @property
    def recorded(self) -> bool:
        """Whether there is a capture."""
        return self._replayer is not None

    def is_current(self) -> bool:
        """Whether a replay still does what the layers and the optimizer would do if they were called."""
        if self._replayer is None:
            return True
        return self._replayer.constants.unchanged() and self._settings == self._network_settings()

    def run(self, order: Array, first: int, losses: Losses) -> Iterator[None]:
        """Take the steps of an order of samples (n,), the first one being step number `first`.

        Yields after one or several steps; `losses` has those of all steps that are complete.
        """
        size, whole = self._batch_size, order.shape[0] // self._batch_size
        scalars = self.step.step_scalars(first, -(-order.shape[0] // size))
        done = 0
        if self._replayer is not None and whole:
            indices = get_array_module(order).reshape(order[: whole * size], (whole, size))
            rows = asarray(scalars, like=order, dtype=self.step.network.dtype)
            while done + self._least <= whole:
                end, begun = min(done + self._block, whole), time.perf_counter()
                self._replayer.run(indices[done:end, ...], rows[done:end, ...], losses.add_block)
                if self._least == 1:
                    steps_a_second = (end - done) / max(time.perf_counter() - begun, 1e-9)
                    self._block = int(min(tuning.MAX_BLOCK_STEPS, max(1, tuning.MAX_BLOCK_SECONDS * steps_a_second)))
                done = end
                yield
        minibatches = self.step.minibatches(order[done * size :], size)
        for (x, t), row in zip(minibatches, scalars[done:].tolist(), strict=True):
            losses.add(self.step.run_minibatch(x, t, row))
            yield

    def close(self) -> None:
        """Free what the capture holds."""
        if self._replayer is not None:
            self._replayer.close()
            self._replayer = None

    def _network_settings(self) -> dict[str, Any]:
        """The scalars among the network's own attributes, such as its weight decay."""
        return {name: v for name, v in vars(self.step.network).items() if isinstance(v, int | float | str | np.generic)}


def graph_steps(at_once: int) -> int:
    """The length of a CUDA graph that leaves the fewest of an epoch's steps to be called one by one."""
    most = min(at_once, tuning.MAX_GRAPH_STEPS)
    return max(range(max(1, most // 2), most + 1), key=lambda steps: (-(at_once % steps), steps))
