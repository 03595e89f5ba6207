"""The base class of layers, and functions on lists of layers."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from xpnet._core.arrays import Array, get_array_module
from xpnet._core.checks import check_flag, check_form, check_given_shape, check_parameter
from xpnet._core.settings import Setting
from xpnet.errors import ArgumentError, ArrayMixError

_NOWHERE: Mapping[str, Array] = {}


class Parameter:
    """A parameter as an attribute: checked on assignment, and written into the network's buffer if there is one.

    Without a ``__get__``, reading ``self.W`` is as fast as for any attribute.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, layer: "Layer", value: Array) -> None:
        current = layer.__dict__.get(self.name)
        if value is current and value is not None:  # ``W -= ...`` assigns the array that it has just changed
            return
        name, view = f"{type(layer).__name__}.{self.name}", layer._buffer_views.get(self.name)
        if layer._in_network and current is not None:
            check_form(name, value, current)
        if isinstance(value, int | float) and hasattr(layer, "create"):
            raise ArrayMixError(
                f"{name} must be an array, got {value!r}. To create a layer from its sizes use "
                f"`{type(layer).__name__}.create`."
            )
        if view is None:
            layer.__dict__[self.name] = check_parameter(name, value)
        else:
            view[...] = value


def checked(check: Callable[[str, Any], Any], *, fixed: bool = False) -> Any:
    """An attribute that passes each assigned value through `check(name, value)`.

    `fixed`: it cannot change once the layer is part of a network, because shapes depend on it.
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
    """Base class of layers; subclasses implement ``forward`` and ``backward``.

    A layer may contain layers, as attributes or in lists and tuples; these belong to the network as well. Parameters
    are plain arrays of float32 or float64. A layer belongs to one network; for another, copy it.

    Attributes
    ----------
    parameter_names
        The attributes that are learned, ``("W", "b")`` for an affine layer. The gradient of each has the same name with
        a ``d`` in front: ``dW``, ``db``.
    statistic_names
        Arrays that are updated in training and used at inference, such as running means; they are moved and saved with
        the parameters.
    counter_names
        Integer arrays that change with each training step; they are moved with the parameters, and not saved.
    recordable
        Whether ``forward`` and ``backward`` make the same array operations in every step, so that a `Trainer` may
        record a step and replay it. A class from outside the library with methods of its own declares
        ``recordable = True`` itself; else the layer is called in each step. One that draws random numbers on the host,
        or decides by the values, must not declare it.
    fusable
        Whether a fused layer that computes the same may take the place of this one and its neighbor. It holds for the
        class that declares it, and not for classes derived from that.
    frozen
        Whether the parameters are not trained; set by ``Network.freeze``. A frozen layer behaves as at inference.
    train
        Whether this is training; set by the network alone. It stays True after ``gradient``. ``predict`` leaves it, and
        calls a copy of the layer whose flag is False (see `layer_view`).
    needs_input_gradient
        Whether the result of ``backward`` is used. The network clears it for its first trainable layer, which saves a
        third of the arithmetic.
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
        """The output for the input `x`; stores what ``backward`` needs."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `forward(x)`.")

    def backward(self, dout: Array) -> Array:
        """The gradient of the loss by the input, from its gradient `dout` by the output, which is only read."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `backward(dout)`.")

    def out(self, name: str) -> Mapping[str, Array]:
        """``{"out": array}`` if the network has a buffer for this gradient, else ``{}``.

        With it ``xp.matmul(x.T, dout, **self.out("dW"))`` runs on every backend.
        """
        return self._out.get(name, _NOWHERE)

    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of one input sample if the parameters determine it, else None."""
        return None

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one output sample for an input sample of `shape`; a ShapeError if that does not fit."""
        return shape

    def check_batch(self, x: Array) -> None:
        """Raise unless a batch fits the layer; a layer in a network checks nothing, since the network does."""
        if self._in_network:
            return
        get_array_module(x)
        self.output_shape(tuple(x.shape[1:]))

    def check_gradient(self, dout: Array, y: Array) -> None:
        """Raise unless `dout` has the shape of the output `y`; it would broadcast. Not checked in a network."""
        if not self._in_network:
            check_given_shape(f"The backward of {self!r} must be given a gradient", dout, tuple(y.shape))

    @property
    def frozen(self) -> bool:
        """Whether the parameters are not trained."""
        return self._frozen

    @frozen.setter
    def frozen(self, value: bool) -> None:
        if self._in_network:
            raise ArgumentError(
                f"{self!r} is part of a network, which keeps a list of trainable parameters. Use "
                "`network.freeze(name)`, with the name of the layer in `network.layers`."
            )
        self._frozen = check_flag("frozen", value)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The attributes whose arrays the layer keeps from one training step to the next."""
        learned = () if self._frozen else self.parameter_names
        return (*learned, *self.statistic_names, *self.counter_names)

    @property
    def parameter_count(self) -> int:
        """The number of trainable values, with those of inner layers."""
        return _numbers_in(layer for layer in walk_layers([self]) if not layer.frozen)

    @property
    def frozen_count(self) -> int:
        """The number of frozen values, with those of inner layers."""
        return _numbers_in(layer for layer in walk_layers([self]) if layer.frozen)

    def multiplications(self, shape: tuple[int, ...]) -> int:  # noqa: ARG002
        """The approximate number in ``forward`` for one sample of `shape`; by default one a parameter."""
        return self.parameter_count + self.frozen_count

    def largest_product(self, shape: tuple[int, ...], samples: int) -> float:
        """The approximate number of floating-point operations of the largest matrix product."""
        return 2.0 * samples * self.multiplications(shape)

    def values_per_statistic(self, shape: tuple[int, ...]) -> int | None:  # noqa: ARG002
        """The least number of values of one sample that a batch statistic averages; None without statistics."""
        return None

    def __getstate__(self) -> dict[str, Any]:
        # Views on the network's buffers would be copied as arrays that are no longer views.
        attributes = self.__dict__.copy()  # atomic, since a training thread may add one
        for name in ("_buffer_views", "_out", "_in_network"):
            attributes.pop(name, None)
        return attributes

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _numbers_in(layers: Iterable[Layer]) -> int:
    return sum(math.prod(getattr(layer, name).shape) for layer in layers for name in layer.parameter_names)


def walk_layers(layers: Iterable[Any]) -> Iterator[Layer]:
    """Each layer, followed by the layers that it contains as attributes, also in lists and tuples."""
    for layer in layers:
        if isinstance(layer, Layer):
            yield layer
            yield from walk_layers(list(vars(layer).values()))  # a training thread may add an attribute
        elif isinstance(layer, list | tuple):
            yield from walk_layers(layer)


def first_trainable(layers: Sequence[Layer]) -> int:
    """The index of the first layer with trainable parameters, or the number of layers if there is none.

    Layers before it need no gradient, and neither does its input.
    """
    return next((i for i, layer in enumerate(layers) if layer.parameter_count), len(layers))


def fixed_input_shape(layers: Sequence[Layer]) -> tuple[int, ...] | None:
    """The shape of one input sample if the layers, in order, determine it, else None."""
    for layer in layers:
        shape = layer.input_shape()
        if shape is not None or type(layer).output_shape is not Layer.output_shape:
            return shape
    return None


def _with_input_shapes(layers: Iterable[Layer], shape: tuple[int, ...]) -> Iterator[tuple[Layer, tuple[int, ...]]]:
    """Layers, in order, each with the shape of one of its input samples."""
    for layer in layers:
        yield layer, shape
        shape = layer.output_shape(shape)


def multiplications(layers: Iterable[Layer], shape: tuple[int, ...]) -> int:
    """The approximate number of multiplications in the forward pass of layers, in order, for one sample."""
    return sum(layer.multiplications(shape) for layer, shape in _with_input_shapes(layers, shape))


def largest_product(layers: Iterable[Layer], shape: tuple[int, ...], samples: int) -> float:
    """The approximate number of floating-point operations of the largest matrix product of layers, in order."""
    products = (layer.largest_product(shape, samples) for layer, shape in _with_input_shapes(layers, shape))
    return max(products, default=0.0)


def values_per_statistic(layers: Iterable[Layer], shape: tuple[int, ...]) -> int | None:
    """The least number of values of one sample that a batch statistic of these layers averages; None without any."""
    counts = [layer.values_per_statistic(shape) for layer, shape in _with_input_shapes(layers, shape)]
    return min((count for count in counts if count is not None), default=None)
