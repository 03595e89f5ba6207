"""One training step: gather a minibatch, augment it, compute gradients, update the parameters."""

import functools
import inspect
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from xpnet._core import tuning
from xpnet._core.arrays import Array, as_inputs, get_array_module
from xpnet._core.declared import has_replaced_method, is_library_code, is_recordable, methods_of
from xpnet.engine import kernels
from xpnet.engine.kernels.operation import one_kernel
from xpnet.errors import CaptureError
from xpnet.layers.base import walk_layers
from xpnet.networks.network import Network
from xpnet.networks.plan import Plan
from xpnet.optimizers import SupportsUpdate, bind


@one_kernel(kernels.gather)
def gather(x: Array, t: Array, indices: Array, dtype: Any) -> tuple[Array, Array]:
    """The samples of `indices` (B,), as inputs of `dtype`, and their targets. Pixels (uint8) become 1/255 each."""
    xp = get_array_module(x)
    return as_inputs(xp.take(x, indices, axis=0), dtype), xp.take(t, indices, axis=0)


class TrainingStep:
    """Takes training steps on the minibatches of a data set. The network's parameters are laid into one buffer.

    Parameters
    ----------
    x, t
        The data, on the network's device: inputs (N, ...), uint8 pixels or floats of the network's dtype, and targets.
    augmentation
        Changes the inputs of each minibatch, as `Augmentation` does.
    fused
        Use compiled kernels for neighboring operations.
    train_step
        ``train_step(x, t)`` takes the step in place of this class and returns the loss. It is not recorded.
    """

    def __init__(
        self,
        network: Network,
        optimizer: SupportsUpdate,
        x: Array,
        t: Array,
        *,
        augmentation: Callable[[Array], Array] | None = None,
        fused: bool = False,
        train_step: Callable[[Array, Array], Array] | None = None,
    ) -> None:
        network.state.flatten()
        self.network = network
        self.optimizer: Any = optimizer
        self.x = x
        self.t = t
        self.sample_count: int = x.shape[0]
        self.augmentation = augmentation
        self.fused = fused
        self.train_step = train_step
        layers = list(network.layers.values())
        own = not is_library_code(network.compute_gradients)
        self.plan = None if own else Plan.fused(layers, network.last_layer, kernels=fused)
        self.takes_scalars = train_step is None and _takes_scalars(optimizer)
        declares = "fused_update" in vars(type(optimizer))  # what it inherits may be another update than its own
        inherits = hasattr(optimizer, "fused_update") and is_library_code(optimizer.update)
        self.fuses_update = fused and (declares or inherits)
        params, _ = network.state.optimizer_view()
        bind(optimizer, params)
        if hasattr(optimizer, "prepare"):
            optimizer.prepare(params)

    def run(self, indices: Array, scalars: Sequence[Any] = ()) -> Array:
        """Take a step on the samples of `indices` (B,); returns its loss, on the device."""
        x, t = self.gather(indices)
        return self.run_minibatch(x, t, scalars)

    def run_block(self, order: Array, scalars: Array, losses: Array) -> None:
        """Take a step for each row of `order` (n, B) and of `scalars` (n, m); writes `losses` (n,)."""
        steps, size = order.shape
        minibatches = self.minibatches(get_array_module(order).reshape(order, (steps * size,)), size)
        for k, (x, t) in enumerate(minibatches):
            row, out = tuple(scalars[k, i, ...] for i in range(scalars.shape[1])), losses[k, ...]
            loss = self.run_minibatch(x, t, row, out)
            if loss is not out:
                out[...] = loss

    def run_minibatch(self, x: Array, t: Array, scalars: Sequence[Any] = (), out: Array | None = None) -> Array:
        """Take a step on a minibatch in the network's dtype; returns its loss, which is `out` if it is written there.

        `scalars` are the optimizer's for this step, as floats or 0-d arrays.
        """
        x = self.augment(x)
        if self.train_step is not None:
            return self.train_step(x, t)
        loss = self.gradients(x, t, out)
        self.update(scalars)
        return loss

    def gather(self, indices: Array) -> tuple[Array, Array]:
        """The samples of `indices` as inputs in the network's dtype, and their targets."""
        function = gather if self.fused else gather.plain
        return function(self.x, self.t, indices, self.like.dtype)

    def augment(self, x: Array) -> Array:
        """The inputs of a minibatch as the network sees them in this step."""
        return x if self.augmentation is None else self.augmentation(x)

    def gradients(self, x: Array, t: Array, out: Array | None = None) -> Array:
        """Leave the gradients in the layers; returns the loss."""
        if self.plan is None:
            return self.network.compute_gradients(x, t)
        return self.network.compute_gradients(x, t, self.plan, out)

    def update(self, scalars: Sequence[Any]) -> None:
        """Let the optimizer change the parameters."""
        update = self.optimizer.fused_update if self.fuses_update else self.optimizer.update
        update(*self.network.state.optimizer_view(), *([scalars] if scalars else []))

    def minibatches(self, order: Array, size: int) -> Iterator[tuple[Array, Array]]:
        """The minibatches of an order, the last one possibly short. Small ones are gathered several at once."""
        on_cpu = get_array_module(self.x) is np
        numbers = tuning.MAX_CPU_GATHERED_NUMBERS if on_cpu else tuning.MAX_GPU_GATHERED_NUMBERS
        at_once = max(1, numbers // (size * math.prod(self.x.shape[1:]))) * size
        for start in range(0, order.shape[0], at_once):
            x, t = self.gather(order[start : min(start + at_once, order.shape[0])])
            for i in range(0, x.shape[0], size):
                stop = min(i + size, x.shape[0])
                yield x[i:stop, ...], t[i:stop, ...]

    # --- what capture asks --------------------------------------------------------------------------------------------

    @property
    def like(self) -> Array:
        """An array on the network's device and of its dtype."""
        return self.network.state.like

    def state_owners(self) -> list[object]:
        """The objects whose attributes hold what a step changes: layers, buffers, optimizer and augmentation."""
        others = self.network.state.buffers, self.optimizer, self.augmentation
        return [*_every_layer(self.network), *(other for other in others if other is not None)]

    def step_scalars(self, first: int, count: int) -> np.ndarray:
        """The optimizer's scalars for the steps from number `first` on, (count, m); (count, 0) if it takes none."""
        return self.optimizer.step_scalars(first, count) if self.takes_scalars else np.empty((count, 0))

    @property
    def counts_steps(self) -> bool:
        """Whether the optimizer is to be told the number of steps made with step scalars, by ``advance(count)``."""
        return self.takes_scalars and hasattr(self.optimizer, "advance")

    @property
    def obstacle(self) -> str | None:
        """What may do something else in each step, and does not declare otherwise; None if there is no such part."""
        if self.train_step is not None:
            return "A `train_step` of one's own"
        for part in (self.network, *_every_layer(self.network)):
            if has_replaced_method(part):
                return f"A method of {part!r} that was replaced"
            if not is_recordable(part):
                return f"The class {type(part).__name__}"
        return None if getattr(self.augmentation, "recordable", self.augmentation is None) else "The augmentation"

    def check_recordable(self) -> None:
        """Raise a CaptureError if a part of the step is not made to be recorded."""
        if (obstacle := self.obstacle) is not None:
            raise CaptureError(
                f"{obstacle} may draw random numbers or decide on the host, which every replay would repeat. A class "
                "that makes the same array operations in each step declares `recordable = True`."
            )
        if not self.takes_scalars:
            raise CaptureError(
                f"{self.optimizer!r} has no `step_scalars(first, count)` and `update(params, grads, step_scalars)`, by "
                "which a replayed step gets its learning rate."
            )


@dataclass(frozen=True, eq=False)
class CaptureKey:  # noqa: PLW1641 - not to be hashed
    """What training steps are made of; steps with another key must be built and captured again."""

    parts: tuple[object, ...]  # compared by identity
    settings: tuple[Any, ...]  # compared by value

    @classmethod
    def of(
        cls, network: Network, optimizer: Any, augmentation: Any, train_step: Callable[..., Any], *settings: Any
    ) -> Self:
        """The key of steps with these parts."""
        used = network, network.params, network.last_layer, network.state.buffers, optimizer, augmentation
        methods = [method for part in (network, *_every_layer(network)) for method in methods_of(part)]
        return cls((*used, getattr(train_step, "__func__", train_step), *methods), settings)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CaptureKey) or len(self.parts) != len(other.parts):
            return False
        return all(map(operator.is_, self.parts, other.parts)) and self.settings == other.settings


def _every_layer(network: Network) -> list[Any]:
    return [*walk_layers(network.layers.values()), network.last_layer]


def _takes_scalars(optimizer: Any) -> bool:
    """Whether it has step scalars and an ``update`` that takes them; that of a subclass may be the course's."""
    update = getattr(optimizer.update, "__func__", optimizer.update)
    return hasattr(optimizer, "step_scalars") and _accepts_scalars(update)


@functools.lru_cache(maxsize=32)  # to look at a signature takes as long as a small step
def _accepts_scalars(update: Callable[..., None]) -> bool:
    try:
        inspect.signature(update).bind(None, {}, {}, ())
    except TypeError:
        return False
    return True
