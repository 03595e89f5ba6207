"""The parameters of a network by name, as a live view on its layers, and the buffer that may hold them."""

import itertools
import math
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from xpnet._core.arrays import Array, accepts_out, copied, dtype_name, get_array_module, is_writable
from xpnet._core.checks import check_form
from xpnet.backend import asarray
from xpnet.errors import ArgumentError
from xpnet.layers import Layer
from xpnet.layers.base import walk_layers


def name_layers(layers: Sequence[Layer]) -> dict[str, Layer]:
    """Call the n-th layer of a class by the class's name and n: ``Affine1``, ``Relu1``, ``Affine2``."""
    counts: dict[str, int] = {}
    named = {}
    for layer in layers:
        kind = type(layer).__name__
        counts[kind] = counts.get(kind, 0) + 1
        named[f"{kind}{counts[kind]}"] = layer
    return named


def parameter_places(layers: Mapping[str, Layer], kind: str = "parameter_names") -> dict[str, tuple[Layer, str]]:
    """The layer and attribute of each parameter, ``{"W1": (layer, "W"), ...}``; the n-th ``W`` is Wn.

    Those of layers inside a layer come after its own. `kind` may be another attribute of layers that names their
    arrays, such as ``"statistic_names"``.
    """
    places: dict[str, tuple[Layer, str]] = {}
    counts: dict[str, int] = {}
    for layer in walk_layers(layers.values()):
        for name in getattr(layer, kind):
            counts[name] = counts.get(name, 0) + 1
            places[f"{name}{counts[name]}"] = (layer, name)
    return places


class Params(MutableMapping[str, Array]):
    """The parameters (or gradients) of a network by name: reads and writes reach the layers themselves.

    The course keeps a dictionary next to the layers. On arrays that cannot be written in place, ``params[key] -= ...``
    would then change the dictionary alone, and the network would silently learn nothing.

    `prefix` is ``"d"`` for the gradients, `kind` is for messages. `optimizer_marks` are those of the optimizers that
    have made steps with the parameters; None if no optimizer can be bound to them.
    """

    def __init__(
        self,
        places: Mapping[str, tuple[Layer, str]],
        prefix: str = "",
        kind: str = "parameters",
        optimizer_marks: set[str] | None = None,
    ) -> None:
        self._kind = kind
        self.optimizer_marks = optimizer_marks
        self._places = {key: (layer, prefix + name) for key, (layer, name) in places.items()}

    def __getitem__(self, key: str) -> Array:
        layer, name = self._place(key)
        return getattr(layer, name)

    def __setitem__(self, key: str, value: Array) -> None:
        layer, name = self._place(key)
        current = getattr(layer, name)
        if value is current:
            return
        if current is not None:
            check_form(key, value, current)
        # In place where possible, because a recording refers to the array's memory.
        is_statistic = self._kind == "statistics" and current is not None
        if name in layer._buffer_views or (is_statistic and is_writable(current)):
            current[...] = value
        else:
            setattr(layer, name, value)

    def copies(self, values: Mapping[str, Any]) -> dict[str, Array]:
        """Copies of new values for all parameters, checked and converted to their dtype and device, for `update`."""
        if set(values) != set(self):
            raise ArgumentError(
                f"Expected the {self._kind} {', '.join(self) or 'none'}, got {', '.join(map(str, values)) or 'none'}. "
                "Make the network with the layers that these values were learned with. With values of running "
                "statistics or of frozen parameters among them, use `network.state.set_weights(values)`."
            )
        copies = {}
        for key, current in self.items():
            value = asarray(values[key], like=current, dtype=dtype_name(current))
            check_form(key, value, current)
            copies[key] = copied(value)
        return copies

    def _place(self, key: str) -> tuple[Layer, str]:
        try:
            return self._places[key]
        except KeyError:
            hint = " What is frozen is in `network.state.frozen`." if self._kind == "parameters" else ""
            raise KeyError(f"There is no parameter {key!r}; there are {', '.join(self._places)}.{hint}") from None

    def __delitem__(self, key: str) -> None:
        raise TypeError(f"A network's parameters cannot be deleted, not even {key!r}.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        shapes = {key: None if value is None else tuple(value.shape) for key, value in self.items()}
        return "Params(" + ", ".join(f"{key}: {shape}" for key, shape in shapes.items()) + ")"


def check_untied(parameters: Mapping[str, Array]) -> None:
    """Check that no two parameters share memory: in a buffer each would learn for itself."""
    for (key, a), (other, b) in itertools.combinations(parameters.items(), 2):
        xp = get_array_module(a)
        # The bounds first: CuPy compares them on the host, but sorts the addresses of all elements to know for certain.
        may_share = hasattr(xp, "shares_memory") and xp.may_share_memory(a, b)
        if a is b or (may_share and bool(xp.shares_memory(a, b))):
            raise ArgumentError(
                f"{key} and {other} share memory, and each is to learn for itself. Copy one, as in `W.T.copy()`."
            )


@dataclass
class FlatBuffers:
    """All parameters of a network in one array (P,), and all gradients in another; the layers hold views."""

    params: Array
    grads: Array
    views: list[Array]
    state_names: ClassVar[tuple[str, ...]] = ()  # the layers name the parameters

    def hold(self, places: Mapping[str, tuple[Layer, str]]) -> bool:
        """Whether the layers still hold these views."""
        held = (layer._buffer_views.get(name) for layer, name in places.values())
        return all(mine is view for mine, view in zip(held, self.views, strict=True))


def lay_flat(places: Mapping[str, tuple[Layer, str]]) -> FlatBuffers | None:
    """Copy all parameters into one array and all gradients into another, and make the layers' own views of them.

    An update, a norm or a sum over all processes is then one operation instead of one per parameter. Returns None, with
    nothing changed, if arrays cannot be written in place.
    """
    arrays = [getattr(layer, name) for layer, name in places.values()]
    xp = get_array_module(*arrays)
    params = xp.concat([xp.reshape(array, (-1,)) for array in arrays])
    if not is_writable(params):
        return None
    grads = xp.zeros_like(params)
    start, views = 0, []
    for (layer, name), array in zip(places.values(), arrays, strict=True):
        end = start + math.prod(array.shape)
        view, grad_view = (xp.reshape(buffer[start:end], array.shape) for buffer in (params, grads))
        start = end
        views.append(view)
        layer._buffer_views = {**layer._buffer_views, name: view, f"d{name}": grad_view}
        layer.__dict__.update({name: view, f"d{name}": grad_view})
        if accepts_out(xp):
            layer._out = {**layer._out, f"d{name}": {"out": grad_view}}
    return FlatBuffers(params, grads, views)
