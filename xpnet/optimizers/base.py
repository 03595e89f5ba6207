"""What an optimizer is to a `Trainer`, and what the optimizers here have in common."""

import functools
import inspect
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol

import numpy as np

from xpnet.backend import Array, asarray, dtype_name, get_array_module
from xpnet.checks import check_not_negative, check_positive
from xpnet.errors import ArgumentError, ShapeError

__all__ = ["BaseOptimizer", "Optimizer", "Rate", "RecordableOptimizer", "clipped"]

Rate = float | Callable[[int], float]
"""A learning rate: a number, or a function that gives the rate of each step (the first is 0), as `xpnet.schedules`."""


class Optimizer(Protocol):
    """What a `Trainer` asks of an optimizer."""

    def update(self, params: MutableMapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change the parameters by the gradients of the same names."""


class RecordableOptimizer(Protocol):
    """What a `Trainer` asks of an optimizer whose steps shall be recorded and replayed.

    A recording keeps Python numbers as they were. So what changes from step to step, as the learning rate may, reaches
    `update` from outside: `numbers` computes it on the host, and each number is then used with arrays alone. What is
    kept from step to step, as velocities are, is made before the first of them, by a method ``prepare(params)``: it
    makes what is not there yet. Where nothing is kept there need be no such method.

    An optimizer that counts its steps, so that it can also be used without numbers, does so in an attribute ``iter``,
    and has a method ``advance(count)`` that adds to it the steps that were made with numbers.

    Attributes
    ----------
    varying
        The attributes that reach a step through `numbers` alone, ``("lr",)``; when another changes, as between two
        epochs, the step is recorded anew.
    """

    varying: tuple[str, ...]

    def numbers(self, first: int, count: int) -> np.ndarray:
        """What the steps `first` (the very first is 0) to `first + count - 1` need: a row each, (count, m), float64."""

    def update(
        self, params: MutableMapping[str, Array], grads: Mapping[str, Array], numbers: Sequence[Any] | None = None
    ) -> None:
        """Change the parameters, with a row of `numbers` as floats or as 0-d arrays; None for the optimizer's own."""


class BaseOptimizer(ABC):
    """An optimizer of which the formula alone is left to write: `step`, and in `slots` what it keeps.

    Parameters
    ----------
    lr
        The learning rate, above 0, or a function that gives the rate of each step, the first being 0.
    weight_decay
        Before each step the parameters are multiplied by 1 - lr * weight_decay: decay as such, not a term in the loss
        whose gradient the formula would then treat like any other (Loshchilov & Hutter 2019, Algorithms 1 and 2).
    max_norm
        Gradients whose norm, taken over all parameters together, is greater are scaled to this norm before the step
        (Pascanu et al. 2013, Algorithm 1).

    Attributes
    ----------
    slots
        The names of what is kept for each parameter: each is an attribute, a dictionary of arrays by the parameters'
        names, which begin at 0.
    iter
        How many steps have been made.

    Examples
    --------
    >>> class Signs(BaseOptimizer):
    ...     def step(self, W, dW, lr):
    ...         W -= lr * get_array_module(dW).sign(dW)
    ...         return (W,)
    >>> params = {"W": np.array([1.0, 2.0])}
    >>> Signs(lr=0.5).update(params, {"W": np.array([0.1, -30.0])})
    >>> params
    {'W': array([0.5, 2.5])}
    """

    slots: tuple[str, ...] = ()
    varying = ("lr", "iter")

    def __init__(self, lr: Rate = 0.01, *, weight_decay: float = 0.0, max_norm: float | None = None) -> None:
        self.lr: Rate = lr if callable(lr) else check_positive("lr", lr)
        self.weight_decay = check_not_negative("weight_decay", weight_decay)
        self.max_norm = None if max_norm is None else check_positive("max_norm", max_norm)
        self.iter = 0
        for slot in self.slots:
            setattr(self, slot, {})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls) and "fused_step" not in vars(cls):
            # An inherited kernel would compute the formula of the class that it was inherited from.
            cls.fused_step = BaseOptimizer.fused_step  # type: ignore[method-assign]

    # --- what a subclass gives ----------------------------------------------------------------------------------------

    @abstractmethod
    def step(self, W: Array, dW: Array, *slots_and_numbers: Any) -> tuple[Array, ...]:
        """The formula, for one array of parameters.

        Parameters
        ----------
        W, dW
            The parameters, to be changed in place, and their gradient, which is only read.
        *slots_and_numbers
            What is kept for them, in the order of `slots`, also to be changed in place; then the `step_numbers`.

        Returns
        -------
        tuple of arrays
            What W and the slots have become: where arrays cannot be written in place, ``W -= ...`` makes a new one.
        """

    def fused_step(self, W: Array, dW: Array, *slots_and_numbers: Any) -> tuple[Array, ...]:
        """The same in one kernel, where a subclass has one."""
        return self.step(W, dW, *slots_and_numbers)

    def step_numbers(self, lr: float, t: int) -> tuple[float, ...]:  # noqa: ARG002 - here the same at each step
        """What changes from step to step, for the step number `t` = 1, 2, ... of rate `lr`: here the rate alone."""
        return (lr,)

    # --- what it gets -------------------------------------------------------------------------------------------------

    def rate(self, step: int) -> float:
        """The learning rate of a step, the first being 0."""
        if not callable(self.lr):
            return self.lr
        try:
            rate = float(self.lr(step))
        except TypeError as error:
            raise ArgumentError(f"lr must be a number, or a function of the step that gives one: {error}.") from error
        if not 0 <= rate < float("inf"):
            raise ArgumentError(f"lr must give a finite rate of at least 0 at each step, got {rate} at step {step}.")
        return rate

    def numbers(self, first: int, count: int) -> np.ndarray:
        """What the steps `first` (the very first is 0) to `first + count - 1` need: a row each, (count, m), float64.

        The `step_numbers`, and, where weights decay, what they are multiplied by.
        """
        if not callable(self.lr) and type(self).step_numbers is BaseOptimizer.step_numbers:
            return np.tile(np.array(self._numbers_of(first), dtype=np.float64), (count, 1))
        return np.array([self._numbers_of(step) for step in range(first, first + count)], dtype=np.float64)

    def _numbers_of(self, step: int) -> tuple[float, ...]:
        lr = self.rate(step)
        return (*self.step_numbers(lr, step + 1), *((1.0 - lr * self.weight_decay,) if self.weight_decay else ()))

    def prepare(self, params: Mapping[str, Array]) -> None:
        """Make the slots that are not there yet; those of parameters that have moved are moved beside them."""
        for slot in self.slots:
            kept = getattr(self, slot)
            if kept and set(kept) != set(params):
                raise ArgumentError(
                    f"This {type(self).__name__} keeps arrays for {', '.join(kept)}, not for {', '.join(params)}: for "
                    "another network, or from before it was laid flat or layers of it were frozen. Make another one:  "
                    f"trainer.optimizer = {type(self).__name__}(...) ."
                )
            for key, W in params.items():
                if key not in kept:
                    kept[key] = get_array_module(W).zeros_like(W)
                elif tuple(kept[key].shape) != tuple(W.shape):
                    raise ShapeError(
                        f"{key} has shape {tuple(W.shape)}, but this {type(self).__name__} keeps for it an array of "
                        f"shape {tuple(kept[key].shape)}, from another network. Make an optimizer for each."
                    )
                else:
                    kept[key] = asarray(kept[key], like=W, dtype=dtype_name(W))

    def update(
        self, params: MutableMapping[str, Array], grads: Mapping[str, Array], numbers: Sequence[Any] | None = None
    ) -> None:
        """Make a step.

        Parameters
        ----------
        params, grads
            Parameters, and their gradients, by name: arrays of any backend, the gradients only read.
        numbers
            A row such as `numbers` gives, as floats or as 0-d arrays beside the parameters and of their dtype; the step
            is then to be counted by `advance`. None for the step number `iter`, which is counted here.
        """
        self._update(self.step, params, grads, numbers)

    def fused_update(
        self, params: MutableMapping[str, Array], grads: Mapping[str, Array], numbers: Sequence[Any] | None = None
    ) -> None:
        """The same, each array's formula in one kernel where there is one."""
        self._update(self.fused_step, params, grads, numbers)

    def advance(self, count: int) -> None:
        """Count steps that were made with numbers."""
        self.iter += count

    def _update(
        self,
        step: Callable[..., tuple[Array, ...]],
        params: MutableMapping[str, Array],
        grads: Mapping[str, Array],
        numbers: Sequence[Any] | None,
    ) -> None:
        if missing := [key for key in params if key not in grads]:
            there = ", ".join(grads) or "none"
            raise ArgumentError(f"There is no gradient for {', '.join(missing)}; there are those of {there}.")
        row = self.numbers(self.iter, 1)[0].tolist() if numbers is None else numbers
        if self.weight_decay:
            *row, decay = row
        self.prepare(params)
        if self.max_norm is not None:
            grads = clipped({key: grads[key] for key in params}, self.max_norm)
        slots = [getattr(self, slot) for slot in self.slots]
        for key in params:
            W = params[key]
            if self.weight_decay:
                W *= decay
            result = step(W, grads[key], *(slot[key] for slot in slots), *row)
            if not isinstance(result, tuple) or len(result) != 1 + len(slots):
                got = f"{len(result)} arrays" if isinstance(result, tuple) else type(result).__name__
                raise ArgumentError(
                    f"{type(self).__name__}.step must give what W and its slots have become, got {got}. End it with  "
                    f"return ({', '.join(('W', *self.slots))},) ."
                )
            params[key], *kept = result
            for slot, value in zip(slots, kept, strict=True):
                slot[key] = value
        if numbers is None:
            self.iter += 1

    def __repr__(self) -> str:
        shown = {"lr": self.lr}
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if (value := getattr(self, name, parameter.default)) != parameter.default:
                shown[name] = value
        return f"{type(self).__name__}({', '.join(f'{name}={_in_short(value)}' for name, value in shown.items())})"


def _in_short(value: Any) -> str:
    """A number, or the name of a function."""
    return f"{value:g}" if isinstance(value, float) else getattr(value, "__name__", repr(value))


def clipped(grads: Mapping[str, Array], max_norm: float) -> dict[str, Array]:
    """The gradients times min(1, max_norm / (norm + 1e-6)), the norm being taken over all of them; new arrays.

    Nothing waits for the device: they are multiplied in any case, where their norm is smaller by 1.

    Examples
    --------
    >>> clipped({"W": np.array([3.0, 0.0]), "b": np.array([4.0])}, max_norm=1.0)
    {'W': array([0.59999988, 0.        ]), 'b': array([0.79999984])}
    """
    xp = get_array_module(*grads.values())
    norm = xp.sqrt(functools.reduce(operator.add, (xp.sum(dW * dW) for dW in grads.values())))
    # 1e-6 as PyTorch's clip_grad_norm_ has it: no division by 0.
    scale = xp.minimum(max_norm / (norm + 1e-6), 1.0)
    return {key: dW * scale for key, dW in grads.items()}
