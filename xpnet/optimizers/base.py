"""The base class of optimizers, and what a `Trainer` accepts as an optimizer."""

import functools
import inspect
import math
import operator
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from xpnet._core.arrays import Array, dtype_name, get_array_module
from xpnet._core.checks import check_between, check_count, check_not_negative, check_positive
from xpnet._core.flat import Flat
from xpnet.backend import asarray
from xpnet.errors import ArgumentError, DataError, DtypeError, ShapeError

Rate = float | Callable[[int], float]
"""A learning rate: a number, or a function of the step (the first is 0), such as `CosineDecay`."""


class SupportsUpdate(Protocol):
    """An optimizer that a `Trainer` accepts: any object with the course's ``update(params, grads)``.

    Recording a step stores Python numbers as constants. To have its steps recorded and replayed, a class that is not
    derived from `Optimizer` therefore also needs:

    ``step_scalars(first, count)``
        What changes from step to step, such as the learning rate, computed on the host: one row for each of the steps
        `first` (the very first is 0) to ``first + count - 1``, shape (count, m), float64.
    ``update(params, grads, step_scalars=None)``
        Takes one of these rows, as floats or as 0-d arrays; None to compute its own.
    ``varying``
        The names of the attributes that affect a step only through `step_scalars`, ``("lr",)``. If another attribute
        changes, the step is recorded again.
    ``prepare(params)``
        Creates the arrays that it keeps from step to step, such as velocities, if it keeps any.
    ``advance(count)``
        Adds the steps made with step scalars to its attribute ``iter``, if it counts its steps.
    """

    def update(self, params: MutableMapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Change the parameters by the gradients of the same names."""


def check_rate(name: str, value: Any) -> Rate:
    """A learning rate: a number above 0, or a function of the step."""
    if isinstance(value, type):
        raise ArgumentError(f"{name} must be a number or a function of the step, got the class {value.__name__}.")
    return value if callable(value) else check_positive(name, value)


def check_share(name: str, value: Any) -> float:
    """The share of a mean that each step keeps: from 0 to below 1."""
    return check_between(name, value, 0, 1, below=True)


class Optimizer(ABC):
    """Base class of optimizers; a subclass gives the formula `update_one` and the names of its `slots`.

    An optimizer belongs to the network that it is first used with, in a `Trainer` or by
    ``optimizer.update(network.params, grads)``: its slots and its step count describe that training. Another network is
    an error, unless network and optimizer are copied together. Plain dictionaries of parameters are not told apart:
    create an optimizer for each.

    Parameters
    ----------
    lr
        The learning rate, above 0, or a function of the step, the first being 0.
    weight_decay
        Decoupled weight decay: before each step the parameters are multiplied by 1 - lr * weight_decay (Loshchilov &
        Hutter 2019, Algorithms 1 and 2). A network's `weight_decay_lambda` adds a term to the loss instead.
    max_norm
        Gradients are scaled down to this norm, taken over all parameters, if theirs is greater (Pascanu et al. 2013,
        Algorithm 1).

    Attributes
    ----------
    slots
        The names of the arrays kept for each parameter, such as velocities: each is an attribute, a dictionary of
        arrays by parameter name, which are 0 at the start.
    iter
        The number of steps so far.

    Examples
    --------
    >>> class Signs(Optimizer):
    ...     def update_one(self, W, dW, lr):
    ...         W -= lr * get_array_module(dW).sign(dW)
    ...         return (W,)
    >>> params = {"W": np.array([1.0, 2.0])}
    >>> Signs(lr=0.5).update(params, {"W": np.array([0.1, -30.0])})
    >>> params
    {'W': array([0.5, 2.5])}
    """

    slots: tuple[str, ...] = ()
    varying = ("lr", "iter")
    squares_gradients: ClassVar[bool] = False
    """Whether a slot holds squares of gradients, which can overflow even if the gradients do not."""

    checks: ClassVar[dict[str, Callable[[str, Any], Any]]] = {
        "lr": check_rate,
        "weight_decay": check_not_negative,
        "max_norm": lambda name, value: None if value is None else check_positive(name, value),
        "iter": lambda name, value: check_count(name, value, least=0),
    }
    """The check and conversion of each attribute on assignment."""

    def __init__(self, lr: Rate = 0.01, *, weight_decay: float = 0.0, max_norm: float | None = None) -> None:
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_norm = max_norm
        self.iter = 0
        for slot in self.slots:
            setattr(self, slot, {})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "update_one" in vars(cls) and "fused_update_one" not in vars(cls):
            # An inherited kernel would compute the formula of the class that it comes from.
            cls.fused_update_one = Optimizer.fused_update_one  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        check = self.checks.get(name)
        super().__setattr__(name, value if check is None else check(name, value))

    @abstractmethod
    def update_one(self, W: Array, dW: Array, *slots_and_scalars: Any) -> tuple[Array, ...]:
        """The formula for one parameter array; returns W and the slots.

        `slots_and_scalars` are the arrays kept for W in the order of `slots`, then the `update_scalars`. W and these
        arrays are changed in place, and returned because ``W -= ...`` makes a new array where arrays are immutable. The
        gradient dW is only read.
        """

    def fused_update_one(self, W: Array, dW: Array, *slots_and_scalars: Any) -> tuple[Array, ...]:
        """The same in one kernel, if a subclass has one."""
        return self.update_one(W, dW, *slots_and_scalars)

    def update_scalars(self, lr: float, t: int) -> tuple[float, ...]:  # noqa: ARG002
        """The scalars that `update_one` takes in step `t` = 1, 2, ... with the rate `lr`; by default the rate alone."""
        return (lr,)

    def rate(self, step: int) -> float:
        """The learning rate of a step; the first is 0."""
        if not callable(self.lr):
            return self.lr
        try:
            rate = float(self.lr(step))
        except TypeError as error:
            raise ArgumentError(f"lr must be a number, or a function of the step that gives one: {error}.") from error
        if not 0 <= rate < float("inf"):
            raise ArgumentError(f"lr must give a finite rate of at least 0 at each step, got {rate} at step {step}.")
        return rate

    def step_scalars(self, first: int, count: int) -> np.ndarray:
        """The scalars of the steps `first` (the very first is 0) to `first + count - 1`: (count, m), float64.

        Each row has the `update_scalars` of a step, followed by the factor of weight decay if there is any.
        """
        if not callable(self.lr) and type(self).update_scalars is Optimizer.update_scalars:
            return np.tile(np.array(self._scalars_of(first), dtype=np.float64), (count, 1))
        rows = np.array([self._scalars_of(step) for step in range(first, first + count)], dtype=np.float64)
        if count and callable(self.lr) and tuple(rows[0]) != self._scalars_of(first):
            raise ArgumentError(
                f"{_in_short(self.lr)} gives different rates for step {first}. A schedule is a function of the step "
                "alone: compute the rate from its argument, and keep nothing between calls."
            )
        return rows

    def _scalars_of(self, step: int) -> tuple[float, ...]:
        lr = self.rate(step)
        return (*self.update_scalars(lr, step + 1), *((1.0 - lr * self.weight_decay,) if self.weight_decay else ()))

    def prepare(self, params: Mapping[str, Array]) -> None:
        """Create missing slots, and move existing ones to the device and dtype of their parameters."""
        bind(self, params)
        for slot in self.slots:
            kept = getattr(self, slot)
            if kept and set(kept) != set(params):
                raise ArgumentError(
                    f"This {type(self).__name__} keeps arrays for {', '.join(kept)}, not for {', '.join(params)}: for "
                    "another network, or from before it was flattened or layers were frozen. Make another one, such as "
                    f"`trainer.optimizer = {_call_that_makes(self)}`."
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
        self, params: MutableMapping[str, Array], grads: Mapping[str, Array], step_scalars: Sequence[Any] | None = None
    ) -> None:
        """Make one step.

        Parameters
        ----------
        params, grads
            The parameters and their gradients by name, arrays of any backend; gradients are only read.
        step_scalars
            A row of `step_scalars(first, count)`, as floats or as 0-d arrays of the parameters' dtype and device; the
            caller then counts the step, by `advance`. None: those of the step `iter`, which is counted here.
        """
        self._update(self.update_one, params, grads, step_scalars)

    def fused_update(
        self, params: MutableMapping[str, Array], grads: Mapping[str, Array], step_scalars: Sequence[Any] | None = None
    ) -> None:
        """The same with one kernel for each array, if there is one."""
        self._update(self.fused_update_one, params, grads, step_scalars)

    def advance(self, count: int) -> None:
        """Count steps that were made with step scalars."""
        self.iter += count

    def _update(
        self,
        step: Callable[..., tuple[Array, ...]],
        params: MutableMapping[str, Array],
        grads: Mapping[str, Array],
        step_scalars: Sequence[Any] | None,
    ) -> None:
        if missing := [key for key in params if key not in grads]:
            there = ", ".join(grads) or "none"
            raise ArgumentError(f"There is no gradient for {', '.join(missing)}; gradients were given for {there}.")
        row = self.step_scalars(self.iter, 1)[0].tolist() if step_scalars is None else step_scalars
        if self.weight_decay:
            *row, decay = row
        if step_scalars is None and not isinstance(params, Flat):  # a network checks its own buffers
            self._check_arrays(params, grads)
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
                    f"{type(self).__name__}.update_one must return W and its slots, got {got}. End it with "
                    f"`return ({', '.join(('W', *self.slots))},)`."
                )
            params[key], *kept = result
            for slot, value in zip(slots, kept, strict=True):
                slot[key] = value
        if step_scalars is None:
            self.iter += 1

    def _check_arrays(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Check parameters and gradients before any changes; values of NumPy arrays only."""
        for key, W in params.items():
            dW = grads[key]
            if not hasattr(W, "dtype"):
                continue  # a Python number, as in the course's first examples
            if dtype_name(W) not in ("float32", "float64"):
                raise DtypeError(
                    f"{key} is {dtype_name(W)}, but {type(self).__name__} updates float32 and float64 arrays. Convert "
                    f"it with `xpnet.asarray({key}, dtype='float32')`."
                )
            if getattr(dW, "shape", ()) != W.shape:
                raise ShapeError(
                    f"{key} has shape {tuple(W.shape)}, but its gradient has shape {tuple(getattr(dW, 'shape', ()))}."
                )
            if self.slots and isinstance(dW, np.ndarray) and not math.isfinite(np.vdot(dW, dW)):
                self._check_values(key, dW)

    def _check_values(self, key: str, dW: np.ndarray) -> None:
        """Raise for a gradient that is not finite, or whose squares are not and would stay in a slot."""
        if not np.isfinite(dW).all():
            raise DataError(
                f"The gradient of {key} has a value that is not finite, so no step is made. Use a lower learning rate "
                f"than that of {self!r}."
            )
        if self.squares_gradients and self.max_norm is None:
            raise DataError(
                f"The gradient of {key} has a value of {np.abs(dW).max():.3g}, whose square overflows in "
                f"{dtype_name(dW)}. Use a lower learning rate than that of {self!r}, or `max_norm=1.0`."
            )

    def __repr__(self) -> str:
        shown = {"lr": self.lr}
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if (value := getattr(self, name, parameter.default)) != parameter.default:
                shown[name] = value
        return f"{type(self).__name__}({', '.join(f'{name}={_in_short(value)}' for name, value in shown.items())})"


def _in_short(value: Any) -> str:
    """A number, or the name of a function."""
    return f"{value:g}" if isinstance(value, float) else getattr(value, "__name__", repr(value))


def bind(optimizer: Any, params: Mapping[str, Array]) -> None:
    """Bind an optimizer to the network with these parameters; an ArgumentError if it belongs to another.

    The two share a mark, which copies keep, so that copies made together continue together. Each use with a network
    that was not used last replaces the mark, so that only one copy of a network continues with the optimizer itself.
    Plain dictionaries have no marks.
    """
    marks = getattr(params, "optimizer_marks", None)
    if marks is None or not hasattr(optimizer, "__dict__"):
        return
    mark, bound_to = getattr(optimizer, "network_mark", (None, None))
    if bound_to is marks:
        return
    check_bound(optimizer, params)
    marks.discard(mark)
    fresh = uuid.uuid4().hex
    marks.add(fresh)
    optimizer.network_mark = fresh, marks


def check_bound(optimizer: Any, params: Mapping[str, Array]) -> None:
    """Raise an ArgumentError if an optimizer has made steps for a network other than that of these parameters."""
    mark, _ = getattr(optimizer, "network_mark", (None, None))
    marks = getattr(params, "optimizer_marks", None)
    unused = getattr(optimizer, "iter", None) == 0 and not getattr(optimizer, "slots", ())
    if mark is None or marks is None or mark in marks or unused:
        return
    steps = f" of {optimizer.iter:,} steps" if isinstance(getattr(optimizer, "iter", None), int) else ""
    raise ArgumentError(
        f"This {type(optimizer).__name__} belongs to another network, and would continue that training{steps}. Make "
        f"an optimizer for each network: `optimizer = {_call_that_makes(optimizer)}`. To continue "
        "with a copy of a network, copy the optimizer with it: "
        "`network, optimizer = copy.deepcopy((network, optimizer))`."
    )


def _call_that_makes(optimizer: Any) -> str:
    """The call that creates an optimizer with the same arguments, for messages; ``...`` if one cannot be written."""
    return f"{type(optimizer).__name__}(...)" if "<" in repr(optimizer) else repr(optimizer)


_HEADROOM = 40  # a power of 2: gradients of up to 2e31 times max_norm have a norm in float32


def clipped(grads: Mapping[str, Array], max_norm: float) -> dict[str, Array]:
    """The gradients times min(1, max_norm / (norm + 1e-6)), with the norm over all of them; new arrays.

    The norm is computed from gradients divided by a power of 2 well above `max_norm`, which gives the same bits without
    overflow in the squares; what underflows is negligible. An infinite norm makes the gradients NaN, not 0. Nothing
    waits for the device: the gradients are multiplied in any case, by 1 if their norm is smaller.

    Examples
    --------
    >>> clipped({"W": np.array([3.0, 0.0]), "b": np.array([4.0])}, max_norm=1.0)
    {'W': array([0.59999988, 0.        ]), 'b': array([0.79999984])}
    >>> clipped({"W": np.array([1e20], dtype="float32")}, max_norm=1.0)
    {'W': array([1.], dtype=float32)}
    """
    xp = get_array_module(*grads.values())
    unit = 2.0 ** min(math.frexp(max_norm)[1] + _HEADROOM, 100)
    squares = [_squares(dW * (1 / unit)) for dW in grads.values()]
    norm = xp.sqrt(functools.reduce(operator.add, (xp.sum(square) for square in squares)))  # in units of `unit`
    # 1e-6 as in PyTorch's clip_grad_norm_, against a division by 0.
    scale = xp.minimum((max_norm / unit) / (norm + 1e-6 / unit), 1.0) + (norm - norm)
    return {key: dW * scale for key, dW in grads.items()}


def _squares(x: Array) -> Array:
    """The squares of an array, in place, which takes less memory and time."""
    x *= x
    return x
