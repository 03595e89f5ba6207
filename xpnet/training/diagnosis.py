"""Locate what first produced NaN or infinity, by making the steps of an epoch again."""

import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from xpnet._core.arrays import Array, get_array_module
from xpnet.engine.state import StateSnapshot
from xpnet.layers import Layer
from xpnet.layers.base import walk_layers
from xpnet.layers.losses import loss_of_checked
from xpnet.networks.network import Network
from xpnet.optimizers import SupportsUpdate
from xpnet.training.step import TrainingStep


class NonFinite(NamedTuple):
    """The first step in which something is not finite."""

    steps: int  # before it
    what: str  # such as ``the output of Affine2``


def _all_finite(arrays: Iterable[Array]) -> bool:
    """Whether no NaN and no infinity is in any of them; waits for the device."""
    return all(bool(get_array_module(a).all(get_array_module(a).isfinite(a))) for a in arrays)


def probe(step: TrainingStep) -> Array:
    """0 if parameters, statistics and the optimizer's slots are finite, else NaN; on the device, for later."""
    network, slots = step.network, [array for _, array in _slots(step.optimizer)]
    arrays = [*network.state.optimizer_view()[0].values(), *network.state.statistics.values(), *slots]
    return functools.reduce(operator.add, (get_array_module(a).sum(a * 0) for a in arrays))


def snapshot(step: TrainingStep) -> Callable[[], None]:
    """Copy what steps change; a call of the result puts it back."""
    kept = StateSnapshot(step.state_owners(), declared=True)

    def restore() -> None:
        with step.network.state.lock:
            kept.restore()

    return restore


def find_nonfinite(
    step: TrainingStep, minibatches: Iterable[tuple[Array, Array]], rows: Sequence[Sequence[float]], losses: list[float]
) -> NonFinite:
    """Make steps again, from the state before the first of them, and find the first that is not finite.

    `minibatches`, `rows` (the optimizer's scalars) and `losses` are those of the steps. Examined are the first step
    whose loss was not finite (the last one if all were) and the one before, whose update may be the cause; and the
    optimizer's slots after every step. It leaves the network and the optimizer as they were before the step found.
    """
    suspect = next((k for k, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    for k, ((x, t), row) in enumerate(zip(minibatches, rows, strict=False)):
        if k > suspect:
            break
        restore = snapshot(step)
        if k < suspect - 1:
            _take(step, x, t, row)
            # A slot may overflow in any step, and stop its parameters long before a loss shows it, if ever.
            what = _bad_slot(step.optimizer)
        else:
            what = _first_not_finite(step.network, step.augment(x), t)
            restore()
            if what is None:
                _take(step, x, t, row)
                what = _bad_parameter(step.network, "the update of {} in {}") or _bad_slot(step.optimizer)
        if what is not None:
            restore()
            return NonFinite(k, what)
    return NonFinite(suspect, "something, which did not happen again when the steps were repeated,")


def _take(step: TrainingStep, x: Array, t: Array, row: Sequence[float]) -> None:
    step.run_minibatch(x, t, row)
    if step.counts_steps:
        step.optimizer.advance(1)


def _first_not_finite(network: Network, x: Array, t: Array) -> str | None:
    """What is not finite first, forward and then backward; None if all is finite."""
    if (what := _bad_parameter(network, "{} of {}")) is not None:
        return what
    network.state.set_train(True)
    for name, layer in network.layers.items():
        x = layer.forward(x)
        if not _all_finite([x]):
            return f"the output of {name}, {layer!r},"
    if not _all_finite([loss_of_checked(network.last_layer, x, t)]):
        return f"the loss, of {network.last_layer!r},"
    decay = network.weight_decay_lambda
    for name, layer, parameter in _learned(network.layers):
        W = getattr(layer, parameter)
        if decay and parameter == "W" and not _all_finite([decay * get_array_module(W).sum(W * W)]):
            return f"the weight decay of {name}, {layer!r},"
    dout: Any = network.last_layer.backward()
    for outer, layer in reversed(list(network.layers.items())):
        dout = layer.backward(dout)
        for name, inner, parameter in _learned({outer: layer}):
            gradient, penalty = getattr(inner, f"d{parameter}"), decay if parameter == "W" else 0.0
            if not _all_finite([gradient + penalty * getattr(inner, parameter)]):
                return f"the gradient d{parameter} of {name}, {inner!r},"
        if dout is None:
            break
    return None


def _bad_parameter(network: Network, words: str) -> str | None:
    for kind in ("parameter_names", "statistic_names"):
        for name, layer, parameter in _learned(network.layers, kind):
            if not _all_finite([getattr(layer, parameter)]):
                return words.format(parameter, f"{name}, {layer!r},")
    return None


def _slots(optimizer: SupportsUpdate) -> Iterator[tuple[str, Array]]:
    """What an optimizer keeps of each parameter, with a name such as ``Adam.v``."""
    for name in getattr(optimizer, "slots", ()):
        yield from ((f"{type(optimizer).__name__}.{name}", array) for array in getattr(optimizer, name).values())


def _bad_slot(optimizer: SupportsUpdate) -> str | None:
    return next((f"the update of {name}" for name, array in _slots(optimizer) if not _all_finite([array])), None)


def _learned(layers: Mapping[str, Layer], kind: str = "parameter_names") -> Iterator[tuple[str, Layer, str]]:
    """Each parameter that is learned: the name of the network's layer, the layer or the one inside it, its name."""
    for name, outer in layers.items():
        for layer in walk_layers([outer]):
            if not layer.frozen:
                yield from ((name, layer, parameter) for parameter in getattr(layer, kind))
