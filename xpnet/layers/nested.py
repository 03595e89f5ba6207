"""Layers that contain layers: whether a network finds all of them, and views of them for another thread."""

import copy
import functools
import gc
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any

from xpnet._core.arrays import Array, copied
from xpnet._core.checks import call_of
from xpnet.errors import ArgumentError
from xpnet.layers.base import Layer, walk_layers

_METHODS = "forward", "backward"


def check_layer(name: str, layer: Any) -> None:
    """Raise unless `layer` is a layer whose inner layers the network can find; `name` is for messages."""
    if isinstance(layer, type):
        raise ArgumentError(f"{name} must be a layer, got the class {layer.__name__}. Use `{call_of(layer)}`.")
    if not isinstance(layer, Layer):
        raise ArgumentError(f"{name} must be a layer such as `Relu()`, got {layer!r:.60}.")
    for inner in walk_layers([layer]):
        kinds = type(inner).__mro__
        hidden = [key for key, value in vars(inner).items() if _hides_layers(value)]
        hidden += [key for kind in kinds for key, value in vars(kind).items() if _hides_layers(value, inside=True)]
        if hidden:
            raise ArgumentError(
                f"{type(inner).__name__} keeps layers in {hidden[0]!r}, where the network does not find them. Keep "
                "each in an attribute of the object, or all in one list."
            )
        others = {key: value for key, value in vars(inner).items() if key not in _METHODS}
        bound = [key for key, value in others.items() if not _is_bound(value, inner) and _refers_to_layers(value)]
        if bound:
            raise ArgumentError(
                f"{type(inner).__name__} keeps a function in {bound[0]!r} that refers to a layer, and copies of the "
                "network would go on using that layer. Make it a method of the class, and refer to layers by `self`."
            )


def _hides_layers(value: Any, *, inside: bool = False) -> bool:
    """Whether layers are where `walk_layers` does not look: in dictionaries, sets and other objects.

    `inside`: whether `value` itself is in one of these.
    """
    if isinstance(value, Layer):
        return inside
    if isinstance(value, list | tuple):
        return any(_hides_layers(part, inside=inside) for part in value)
    if isinstance(value, dict):
        parts: Iterable[Any] = value.values()
    elif isinstance(value, set | frozenset | deque):
        parts = value
    elif inside or isinstance(value, type) or not hasattr(value, "__dict__"):
        return False
    else:  # an object, such as a network, whose references may be endless
        parts = vars(value).values()
    return any(_hides_layers(part, inside=True) for part in parts)


def _is_bound(value: Any, layer: Layer) -> bool:
    """Whether a value is a method of this layer, which `layer_view` binds to the copy."""
    return isinstance(value, MethodType) and value.__self__ is layer


def _refers_to_layers(value: Any) -> bool:
    """Whether a function in `value` refers to a layer: as a method, in a closure, or as an argument."""
    values, functions = [value], []
    while values:
        value = values.pop()
        known: Iterable[Any] = ()
        if isinstance(value, list | tuple | set | frozenset | deque):
            values.extend(value)
        elif isinstance(value, dict):
            values.extend(value.values())
        elif isinstance(value, MethodType):
            known = [value.__self__]
        elif isinstance(value, functools.partial):
            known = [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, FunctionType) and value not in functions:
            functions.append(value)  # it may refer to itself
            known = [*gc.get_referents(*(value.__closure__ or ())), *(value.__defaults__ or ())]  # some cells are empty
        if next(walk_layers(known), None) is not None:
            return True
        values.extend(known)
    return False


def inner_layer_names(layer: Layer) -> tuple[str, ...]:
    """The attributes of a layer that hold layers, also in lists and tuples, or its own bound methods."""
    return tuple(
        name
        for name, value in vars(layer).items()
        if next(walk_layers([value]), None) is not None or (_is_bound(value, layer) and name not in _METHODS)
    )


def layer_view(layer: Layer, inner_names: Mapping[int, Sequence[str]], *, train: bool = False) -> Layer:
    """A shallow copy of a layer with the same parameters and its own `train` flag and intermediate results.

    So several threads can call ``forward`` at once. Arrays that are written in place are shared. A ``forward`` that was
    assigned to the layer is called with the layer itself. The flag is always False for frozen layers. `inner_names` are
    the `inner_layer_names` of each layer that contains layers, by its ``id``; these are copied as well.
    """
    view: Layer = object.__new__(type(layer))
    attributes = layer.__dict__.copy()
    attributes["train"] = train and not layer._frozen
    for name in inner_names.get(id(layer), ()):
        value = attributes[name]
        if isinstance(value, MethodType):
            attributes[name] = MethodType(value.__func__, view)
        else:
            attributes[name] = _inner_view(value, inner_names, train=train)
    if "forward" in attributes:
        attributes["forward"] = _with_flags(layer, attributes["forward"], train=train)
    view.__dict__ = attributes
    return view


def _inner_view(value: Any, inner_names: Mapping[int, Sequence[str]], *, train: bool) -> Any:
    """The view of a layer, or a list or tuple of views; anything else unchanged."""
    if isinstance(value, Layer):
        return layer_view(value, inner_names, train=train)
    if not isinstance(value, list | tuple):
        return value
    views = [_inner_view(part, inner_names, train=train) for part in value]
    if isinstance(value, tuple):
        return getattr(type(value), "_make", type(value))(views)  # a named tuple takes no list
    same_kind = copy.copy(value)
    same_kind[:] = views
    return same_kind


def _with_flags(layer: Layer, forward: Callable[[Array], Array], *, train: bool) -> Callable[[Array], Array]:
    """A ``forward`` that was assigned to a layer, with the layer's flags as in a view during each call."""

    def called(x: Array) -> Array:
        layers = list(walk_layers([layer]))
        before: list[tuple[Layer, str, Any]] = [(each, "train", each.train) for each in layers]
        if train:
            kept = ((each, name) for each in layers for name in (*each.statistic_names, *each.counter_names))
            before += [(each, name, copied(getattr(each, name))) for each, name in kept]
        for each in layers:
            each.train = train and not each.frozen
        try:
            return forward(x)
        finally:
            for each, name, value in before:
                setattr(each, name, value)

    return called
