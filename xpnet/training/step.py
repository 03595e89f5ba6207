"""One step of training as an object: what it computes, and the objects that it changes."""

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from xpnet._core.arrays import Array, as_inputs, get_array_module, to_numpy
from xpnet.engine import kernels
from xpnet.engine.kernels.operation import one_kernel
from xpnet.errors import CaptureError
from xpnet.layers.base import has_own_methods, methods_of, walk_layers
from xpnet.networks.network import Network
from xpnet.optimizers import SupportsUpdate, bind

__all__ = ["Losses", "TrainingStep", "parts"]

_LAYER_METHODS = "forward", "backward", "compute_loss"
_GATHERED_NUMBERS = 2**18  # made floats at once: 1 MB of them stays in a cache near the processor
_GATHERED_ELSEWHERE = 2**22  # and 16 MB in a GPU's


@one_kernel(kernels.gather)
def gather(x: Array, t: Array, indices: Array, dtype: Any) -> tuple[Array, Array]:
    """Gather the samples of a minibatch as a network takes them, and their targets.

    Parameters
    ----------
    x
        All inputs (N, ...): uint8 pixels, which become `dtype` times 1/255, or floats.
    t
        All targets: class indices (N,) or rows (N, D).
    indices
        The samples, integers (B,) in 0..N-1.
    dtype
        The network's dtype, as its parameters have it.

    Returns
    -------
    tuple of two arrays
        Inputs (B, ...) of `dtype` and targets (B,) or (B, D) of the dtype of `t`.
    """
    xp = get_array_module(x)
    return as_inputs(xp.take(x, indices, axis=0), dtype), xp.take(t, indices, axis=0)


class TrainingStep:
    """What happens to a minibatch: gather it, change its images at random if wanted, forward, loss, backward, update.

    Parameters
    ----------
    network, optimizer
        What the step changes; the network is laid flat (`Network.flatten`).
    x, t
        The data, beside the network: inputs (N, ...), uint8 pixels or floats of the network's dtype, and targets.
    augmentation
        What changes the images of each minibatch, as `Augmentation` does; None for nothing.
    fused
        Compute neighbouring operations in one kernel, where there is such a kernel (see `xpnet.engine.kernels`).

    Attributes
    ----------
    recordable
        Whether every step makes the same array operations, so that it can be recorded.
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
    ) -> None:
        self.network = network
        network.state.flatten()
        self.optimizer = optimizer
        self.x = x
        self.t = t
        self.augmentation = augmentation
        self._compute_gradients: Any = lambda x, t, _: network.compute_gradients(x, t)
        if getattr(network.compute_gradients, "__func__", None) is Network.compute_gradients:
            way = network.fused(kernels=fused)
            self._compute_gradients = functools.partial(network.compute_gradients_through, way)
        self._gather = gather if fused else gather.plain
        self._unrecordable = next(_not_recordable(network, augmentation), None)
        self.recordable = self._unrecordable is None
        params, _ = network.state.optimizer_view()
        bind(optimizer, params)
        if hasattr(optimizer, "prepare"):
            optimizer.prepare(params)
        self._update = _update_of(optimizer, fused=fused)
        self._step_scalars = optimizer.step_scalars if _takes_step_scalars(optimizer) else None  # type: ignore[attr-defined]

    def __call__(self, indices: Array, step_scalars: Sequence[Any] = ()) -> Array:
        """A step on the samples of `indices` (B,); returns its loss, on the device."""
        return self.take(*self.gather(indices), step_scalars)

    def block(self, order: Array, numbers: Array, losses: Array) -> None:
        """Steps on the samples of each row of `order` (n, B), with the same row of `numbers` (n, m); on CuPy.

        Their losses are written to `losses` (n,).
        """
        steps, size = order.shape
        minibatches = self.minibatches(get_array_module(order).reshape(order, (steps * size,)), size)
        for k, (x, t) in enumerate(minibatches):
            loss = losses[k, ...]
            row = tuple(numbers[k, i, ...] for i in range(numbers.shape[1]))
            made = self.take(x, t, row, loss)
            if made is not loss:
                loss[...] = made

    def take(self, x: Array, t: Array, step_scalars: Sequence[Any] = (), loss: Array | None = None) -> Array:
        """A step on a minibatch, beside the network and in its dtype; returns its loss, on the device.

        `step_scalars` are the optimizer's for this step, as floats or 0-d arrays, if it has any. The loss is written to
        `loss` (), where that is given and the step can.
        """
        loss = self._compute_gradients(self.augmented(x), t, loss)
        self._update(*self.network.state.optimizer_view(), *((step_scalars,) if step_scalars else ()))
        return loss

    def gather(self, indices: Array) -> tuple[Array, Array]:
        """The samples of `indices` as inputs in the network's dtype, and their targets."""
        return self._gather(self.x, self.t, indices, self.network.state.like.dtype)

    def augmented(self, x: Array) -> Array:
        """The images of a minibatch as the network sees them in this step."""
        return x if self.augmentation is None else self.augmentation(x)

    def step_scalars(self, first: int, count: int) -> np.ndarray:
        """The optimizer's scalars for some steps, (count, m); none where it has no such method."""
        return np.empty((count, 0)) if self._step_scalars is None else self._step_scalars(first, count)

    def take_by(self, train_step: Callable[[Array, Array], Array]) -> None:
        """Have a step on a minibatch made by another function, which may do anything and so is not recorded."""
        self.take = lambda x, t, *_: train_step(self.augmented(x), t)  # type: ignore[method-assign]
        self.recordable, self._unrecordable, self._step_scalars = False, "a train_step of one's own", None

    @property
    def counted(self) -> bool:
        """Whether the optimizer is to be told how many steps were made with step scalars, by ``advance(count)``."""
        return self._step_scalars is not None and hasattr(self.optimizer, "advance")

    def step_scalars_to_capture(self) -> np.ndarray:
        """The optimizer's scalars of one step; a CaptureError if it, or the network, cannot be recorded."""
        if not self.recordable:
            raise CaptureError(
                f"{self._unrecordable}, which may draw random numbers or decide on the host: replayed, those would be "
                "the same each time. A class that makes the same array operations in each step says so with "
                "`recordable = True`"
            )
        if self._step_scalars is None:
            raise CaptureError(
                f"{self.optimizer!r}: it has no `step_scalars(first, count)` and "
                "`update(params, grads, step_scalars)`, by which a recorded step learns its rate"
            )
        return self.step_scalars(0, 1)[0]

    def minibatches(self, order: Array, size: int) -> Iterator[tuple[Array, Array]]:
        """The minibatches of an order, the last one short where need be.

        Several are gathered at once where they are small: fewer operations, and larger ones.
        """
        numbers = _GATHERED_NUMBERS if get_array_module(self.x) is np else _GATHERED_ELSEWHERE
        at_once = max(1, numbers // (size * math.prod(self.x.shape[1:]))) * size
        for start in range(0, order.shape[0], at_once):
            x, t = self.gather(order[start : min(start + at_once, order.shape[0])])
            for i in range(0, x.shape[0], size):
                stop = min(i + size, x.shape[0])
                yield x[i:stop, ...], t[i:stop, ...]

    def network_settings(self) -> dict[str, Any]:
        """The numbers and strings among the network's own attributes, such as its weight decay."""
        return {name: v for name, v in vars(self.network).items() if isinstance(v, int | float | str | np.generic)}

    def varying(self) -> set[str]:
        """The attributes of the optimizer that reach a step through `step_scalars` alone, named as by `Attributes`."""
        return {f"{type(self.optimizer).__name__}.{name}" for name in getattr(self.optimizer, "varying", ())}

    def owners(self) -> list[object]:
        """The objects whose attributes hold what a step changes: layers, buffers, optimizer and augmentation."""
        layers = list(walk_layers(self.network.layers.values()))
        others = [part for part in (self.network.state.buffers, self.optimizer, self.augmentation) if part is not None]
        return [*layers, self.network.last_layer, *others]


def parts(network: Network, optimizer: SupportsUpdate, augmentation: Any) -> list[Any]:
    """The objects that a step is made of; with others another step is needed."""
    used = network, network.params, network.last_layer, network.state.buffers, optimizer, augmentation
    return [*used, *methods_of(_every_layer(network))]


def _not_recordable(network: Network, augmentation: Any) -> Iterator[str]:
    """What a step is made of that may do something else each time, so that a recording would keep what it did once."""
    parts = [(layer, _LAYER_METHODS) for layer in _every_layer(network)]
    for part, methods in [(network, ("compute_gradients",)), *parts]:
        if not _says_recordable(type(part), methods):
            yield f"the class {type(part).__name__}"
    if has_own_methods(_every_layer(network)):
        yield "a layer's forward or backward that was replaced"
    if not (augmentation is None or getattr(augmentation, "recordable", False)):
        yield "the augmentation"


def _says_recordable(kind: type, methods: Sequence[str]) -> bool:
    """Whether a class declares that its methods can be recorded; those of this library can where nothing is said."""
    for cls in kind.__mro__:
        if "recordable" in vars(cls):
            return bool(vars(cls)["recordable"])
        if any(name in vars(cls) for name in methods):
            return cls.__module__.partition(".")[0] == __name__.partition(".")[0]
    return False


def _every_layer(network: Network) -> list[Any]:
    return [*walk_layers(network.layers.values()), network.last_layer]


def _takes_step_scalars(optimizer: SupportsUpdate) -> bool:
    """Whether it has step scalars, and an ``update`` that takes them: that of a subclass may be the course's."""
    return hasattr(optimizer, "step_scalars") and _accepts(getattr(optimizer.update, "__func__", optimizer.update))


@functools.lru_cache(maxsize=32)  # to look at a signature takes as long as a small step
def _accepts(update: Callable[..., None]) -> bool:
    """Whether ``update(optimizer, params, grads, step_scalars)`` can be called."""
    try:
        inspect.signature(update).bind(None, {}, {}, ())
    except TypeError:
        return False
    return True


def _update_of(optimizer: SupportsUpdate, *, fused: bool) -> Callable[..., None]:
    """Its ``update``, or ``fused_update`` where that is wanted and a subclass has not changed what an update is."""
    for kind in type(optimizer).__mro__ if fused else ():
        if "fused_update" in vars(kind):
            return optimizer.fused_update  # type: ignore[attr-defined]
        if "update" in vars(kind):
            break
    return optimizer.update


class Losses:
    """The losses of some steps, on the device until they are asked for."""

    def __init__(self) -> None:
        self._blocks: list[Array] = []
        self._singles: list[Array] = []
        self.count = 0

    def add(self, loss: Array) -> None:
        """Add the loss of a step, 0-d."""
        self._singles.append(loss)
        self.count += 1

    def add_block(self, losses: Array) -> None:
        """Add the losses of some steps, (n,)."""
        self._settle()
        self._blocks.append(losses)
        self.count += losses.shape[0]

    def last(self) -> float:
        """The newest loss; waits for the device."""
        return float(self._singles[-1] if self._singles else self._blocks[-1][-1])

    def fetch(self, *others: Array) -> list[float]:
        """All of them, in order, and `others`, 0-d, behind them; waits for the device, once. Then there are none."""
        singles = [*self._singles, *others]
        blocks = [*self._blocks, *([get_array_module(singles[0]).stack(singles)] if singles else [])]
        if not blocks:
            return []
        fetched = to_numpy(blocks[0] if len(blocks) == 1 else get_array_module(blocks[0]).concat(blocks)).tolist()
        self._blocks, self._singles, self.count = [], [], 0
        return fetched

    def _settle(self) -> None:
        if self._singles:
            self._blocks.append(get_array_module(self._singles[0]).stack(self._singles))
            self._singles = []
