"""What every layer has: forward, backward, and the names of its parameters."""

import copy
import functools
import gc
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any, ClassVar

from xpnet._core.arrays import Array, copied, get_array_module
from xpnet._core.checks import call_of, check_flag, check_form, check_given_shape, check_parameter
from xpnet._core.settings import Setting
from xpnet.errors import ArgumentError, ShapeError

__all__ = [
    "Layer",
    "check_layer",
    "checked",
    "first_trainable",
    "fixed_input_shape",
    "has_own_methods",
    "inner_layer_names",
    "is_user_class",
    "largest_product",
    "layer_view",
    "methods_of",
    "methods_of_class",
    "multiplications",
    "values_per_statistic",
    "walk_layers",
]

_NOWHERE: Mapping[str, Array] = {}
_METHODS = "forward", "backward", "compute_loss"  # the last one of loss layers


class Parameter:
    """A parameter as an attribute: read plainly, checked where it is set, and written into the network's buffer if any.

    It has no ``__get__``, so that reading ``self.W`` costs what reading any attribute costs.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, layer: "Layer", value: Array) -> None:
        current = layer.__dict__.get(self.name)
        if value is current and value is not None:  # ``W -= ...`` assigns the very array that it has changed
            return
        name, view = f"{type(layer).__name__}.{self.name}", layer._buffer_views.get(self.name)
        if layer._in_network and current is not None:
            check_form(name, value, current)
        if view is None:
            layer.__dict__[self.name] = check_parameter(name, value)
        else:
            view[...] = value


def checked(check: Callable[[str, Any], Any], *, fixed: bool = False) -> Any:
    """An attribute that holds what `check` makes of its name and of what it is set to, at any time.

    Parameters
    ----------
    check
        Such as `xpnet._core.checks.check_positive`.
    fixed
        Whether it may not change once the layer is part of a network, because shapes depend on it.
    """

    def checked_value(owner: Any, name: str, value: Any) -> Any:
        value = check(name, value)
        if fixed and owner._in_network and value != vars(owner)[name]:
            raise ArgumentError(
                f"`{name}` of {owner!r} cannot change, since the network has checked its shapes. Make a network of "
                "other layers."
            )
        return value

    return Setting(checked_value)


class Layer:
    """A step of a network. Subclasses give ``forward`` and ``backward``.

    A layer may be made of layers: those that it keeps as attributes, also in lists and tuples, belong to the network.
    Parameters are plain arrays of float32 or float64. A layer belongs to one network: for another, copy it.

    Attributes
    ----------
    parameter_names
        The attributes that are learned, ``("W", "b")`` for an affine layer. The gradient of each is kept under its name
        with a ``d`` before it: ``dW``, ``db``.
    statistic_names
        The attributes that are gathered while training and used at inference, as running means are: arrays that lie
        beside the parameters, move with them and are saved with them, and that nothing is learned by.
    counter_names
        Integer arrays by which one training step differs from the next: they move with the parameters and are not
        saved.
    recordable
        Whether ``forward`` and ``backward`` make the same array operations in every step, so that a `Trainer` may
        record a step and replay it. A class from outside the library with methods of its own declares
        ``recordable = True`` itself; else the layer is called in each step. One that draws random numbers on the host,
        or decides by the values, must not declare it.
    fusable
        Whether a fused layer that computes the same may take the place of this one and its neighbor. It holds for the
        class that declares it, and not for classes derived from that.
    frozen
        Whether the layer is used as it is, in training too, and not learned; set by ``Network.freeze``.
    train
        Whether this is training; set by the network and by nothing else. ``gradient`` sets it, after which a layer that
        is called by hand goes on as in training. ``predict`` leaves it: there a copy of the layer is called (see
        `layer_view`), whose flag is False.
    needs_input_gradient
        Whether anything needs what ``backward`` returns. The network clears it for its first layer that learns: there
        is nothing before that to be learned, and the input's gradient is a third of all the arithmetic.
    """

    parameter_names: ClassVar[tuple[str, ...]] = ()
    statistic_names: ClassVar[tuple[str, ...]] = ()
    counter_names: ClassVar[tuple[str, ...]] = ()
    recordable: ClassVar[bool] = True
    fusable: ClassVar[bool] = False
    train: bool = False
    needs_input_gradient: bool = True
    _frozen: bool = False
    _in_network: bool = False
    _buffer_views: Mapping[str, Array] = _NOWHERE
    _out: Mapping[str, Mapping[str, Array]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__dict__.get("__slots__"):
            raise ArgumentError(f"{cls.__name__} has `__slots__`, which are not copied with a layer. Leave them out.")
        for name in cls.__dict__.get("parameter_names", ()):
            descriptor = Parameter()
            descriptor.__set_name__(cls, name)
            setattr(cls, name, descriptor)

    def forward(self, x: Array) -> Array:
        """The layer's output for the input `x`; keeps what ``backward`` will need."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to compute `forward(x)`.")

    def backward(self, dout: Array) -> Array:
        """The gradient of the loss by the input, from `dout`, its gradient by the output; never writes into `dout`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to compute `backward(dout)`.")

    def out(self, name: str) -> Mapping[str, Array]:
        """``{"out": array}`` where the network has a place for this gradient, else ``{}``.

        So ``xp.matmul(x.T, dout, **self.out("dW"))`` reads the same and runs on every backend.
        """
        return self._out.get(name, _NOWHERE)

    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of one input sample, where the layer's parameters settle it, else None."""
        return None

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one output sample for one input sample of `shape`; a ShapeError where that does not fit."""
        return shape

    def check_batch(self, x: Array) -> None:
        """That a batch fits the layer where it is called by hand; a network checks what it is given, once."""
        if self._in_network:
            return
        get_array_module(x)
        try:
            self.output_shape(tuple(x.shape[1:]))
        except ShapeError as error:
            raise ShapeError(f"{type(self).__name__} {error}.") from None

    def check_gradient(self, dout: Array, y: Array) -> None:
        """That `dout` has the shape of the output `y` where ``backward`` is called by hand; else it is broadcast."""
        if not self._in_network:
            check_given_shape(f"The backward of {self!r} must be given a gradient", dout, tuple(y.shape))

    @property
    def frozen(self) -> bool:
        """Whether the layer is used as it is, in training too, and not learned."""
        return self._frozen

    @frozen.setter
    def frozen(self, value: bool) -> None:
        if self._in_network:
            raise ArgumentError(
                f"{self!r} is part of a network, which keeps a list of what it learns. Use `network.freeze(name)`, "
                "with the name that the layer has in `network.layers`."
            )
        self._frozen = check_flag("frozen", value)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The attributes whose arrays the layer keeps from one training step to the next."""
        learned = () if self._frozen else self.parameter_names
        return (*learned, *self.statistic_names, *self.counter_names)

    @property
    def parameter_count(self) -> int:
        """How many numbers the layer learns, and those inside it."""
        return _numbers_in(layer for layer in walk_layers([self]) if not layer.frozen)

    @property
    def frozen_count(self) -> int:
        """How many numbers the layer, and those inside it, do not learn because they are frozen."""
        return _numbers_in(layer for layer in walk_layers([self]) if layer.frozen)

    def multiplications(self, shape: tuple[int, ...]) -> int:  # noqa: ARG002 - here whatever the shape is
        """About how many ``forward`` makes for one sample of `shape`: one a parameter, if it says no other."""
        return self.parameter_count + self.frozen_count

    def largest_product(self, shape: tuple[int, ...], samples: int) -> float:
        """About how many floating-point operations the largest matrix product has, for that many samples of `shape`."""
        return 2.0 * samples * self.multiplications(shape)

    def values_per_statistic(self, shape: tuple[int, ...]) -> int | None:  # noqa: ARG002 - here whatever the shape is
        """How many values of one sample of that shape a statistic of the batch has, at least; None without statistics.

        Two values are needed in training: a mean of one is the value itself.
        """
        return None

    def __getstate__(self) -> dict[str, Any]:
        # A copy has no share in the network's buffers: views would be copied as arrays and stay behind.
        attributes = self.__dict__.copy()  # at once, while a thread that trains may add one
        for name in ("_buffer_views", "_out", "_in_network"):
            attributes.pop(name, None)
        return attributes

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _numbers_in(layers: Iterable[Layer]) -> int:
    return sum(math.prod(getattr(layer, name).shape) for layer in layers for name in layer.parameter_names)


def walk_layers(layers: Iterable[Any]) -> Iterator[Layer]:
    """Each of the layers, and after it those that it keeps as attributes, also in lists and tuples."""
    for layer in layers:
        if isinstance(layer, Layer):
            yield layer
            yield from walk_layers(list(vars(layer).values()))  # a thread that trains may add an attribute
        elif isinstance(layer, list | tuple):
            yield from walk_layers(layer)


def check_layer(name: str, layer: Any) -> None:
    """That it is a layer, and that every layer that it is made of can be found; `name` is for messages."""
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
        bound = [key for key, value in vars(inner).items() if key not in _METHODS and _holds_on_to(inner, value)]
        if bound:
            raise ArgumentError(
                f"{type(inner).__name__} keeps a function in {bound[0]!r} that refers to a layer, and copies of the "
                "network would go on using that layer. Make it a method of the class, and refer to layers by `self`."
            )


def _hides_layers(value: Any, *, inside: bool = False) -> bool:
    """Whether layers are kept where `walk_layers` does not look: in dictionaries, sets and other objects.

    `inside`: whether this is kept in one of them itself.
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
    else:  # an object, such as a network; what it refers to may go on without end
        parts = vars(value).values()
    return any(_hides_layers(part, inside=True) for part in parts)


def _holds_on_to(layer: Layer, value: Any) -> bool:
    """Whether a value is a function, or has one in it, to which a layer is bound that a copy would not replace.

    A method of the layer itself is bound to the copy in a copy (see `layer_view`).
    """
    if isinstance(value, MethodType):
        return value.__self__ is not layer and _refers_to_layers(value)
    return _refers_to_layers(value)


def _refers_to_layers(value: Any) -> bool:
    """Whether there is a function among values that knows a layer: as a method, in a closure, or as an argument."""
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


def is_user_class(layer: Layer) -> bool:
    """Whether a layer's class is a user's, not the library's."""
    return type(layer).__module__.partition(".")[0] != __name__.partition(".")[0]


def inner_layer_names(layer: Layer) -> tuple[str, ...]:
    """The attributes of a layer that hold layers, also in lists and tuples, or methods of its own."""
    return tuple(
        name
        for name, value in vars(layer).items()
        if next(walk_layers([value]), None) is not None
        or (isinstance(value, MethodType) and value.__self__ is layer and name not in _METHODS)
    )


def layer_view(layer: Layer, inner_names: Mapping[int, Sequence[str]], *, train: bool = False) -> Layer:
    """A shallow copy of a layer: the same parameters, and a `train` flag and intermediate results of its own.

    What its ``forward`` keeps and what another thread keeps in the layer itself do not overwrite each other. Arrays
    that are written in place are shared. Where ``forward`` was set on the layer, the layer itself is called.

    Parameters
    ----------
    layer
        The layer.
    inner_names
        For each layer that is made of layers, by its ``id``, the attributes that hold them, from
        `inner_layer_names`: in the copy these are copies as well.
    train
        The flag of the copy; frozen layers always have False.
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
    """The view of a layer, or a list or tuple of the views of layers; anything else as it is."""
    if isinstance(value, Layer):
        return layer_view(value, inner_names, train=train)
    if not isinstance(value, list | tuple):
        return value
    views = [_inner_view(part, inner_names, train=train) for part in value]
    if isinstance(value, tuple):
        return getattr(type(value), "_make", type(value))(views)  # a named tuple has no other way to be made of a list
    same_kind = copy.copy(value)
    same_kind[:] = views
    return same_kind


def _with_flags(layer: Layer, forward: Callable[[Array], Array], *, train: bool) -> Callable[[Array], Array]:
    """A ``forward`` that was set on a layer, and may be bound to it, with the layer as in a view during each call."""

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


def first_trainable(layers: Sequence[Layer]) -> int:
    """Where the first layer stands that has parameters and is not frozen; how many there are, where none is such.

    Nothing before it needs a gradient, nor does its own input.
    """
    return next((i for i, layer in enumerate(layers) if layer.parameter_count), len(layers))


def methods_of(layers: Iterable[object]) -> list[Any]:
    """What each computes by, as functions: by them is seen that one was replaced."""
    return [vars(layer).get(name, getattr(type(layer), name, None)) for layer in layers for name in _METHODS]


def methods_of_class(kind: type) -> list[Any]:
    """The same of a class."""
    return [getattr(kind, name, None) for name in _METHODS]


def has_own_methods(layers: Iterable[object]) -> bool:
    """Whether a method that computes was set on one of them, in place of its class's: it may do anything."""
    return any(name in vars(layer) for layer in layers for name in _METHODS)


def fixed_input_shape(layers: Sequence[Layer]) -> tuple[int, ...] | None:
    """The shape of one input sample, if layers in order settle it: the first that says, if none before changes it."""
    for layer in layers:
        shape = layer.input_shape()
        if shape is not None or type(layer).output_shape is not Layer.output_shape:
            return shape
    return None


def multiplications(layers: Iterable[Layer], shape: tuple[int, ...]) -> int:
    """About how many multiplications layers in order make, forward, for one sample of that shape."""
    count = 0
    for layer in layers:
        count += layer.multiplications(shape)
        shape = layer.output_shape(shape)
    return count


def largest_product(layers: Iterable[Layer], shape: tuple[int, ...], samples: int) -> float:
    """About how many floating-point operations the largest matrix product of layers in order has, for such samples."""
    largest = 0.0
    for layer in layers:
        largest = max(largest, layer.largest_product(shape, samples))
        shape = layer.output_shape(shape)
    return largest


def values_per_statistic(layers: Iterable[Layer], shape: tuple[int, ...]) -> int | None:
    """The fewest values of one sample of that shape that a statistic of these layers, in order, has; None without."""
    counts = []
    for layer in layers:
        counts.append(layer.values_per_statistic(shape))
        shape = layer.output_shape(shape)
    return min((count for count in counts if count is not None), default=None)
