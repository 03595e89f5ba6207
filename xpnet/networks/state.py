"""The layers of a network and all the numbers in them: where they lie, moving, copying, and files of them."""

import copy
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Self

from xpnet._core.arrays import Array, copied, dtype_name, is_writable, to_numpy
from xpnet._core.checks import check_network_dtype, check_parameter, check_together
from xpnet._core.flat import Flat
from xpnet.backend import Backend, asarray, backend_of, get_backend
from xpnet.data.weights import load_expected_weights, save_weights
from xpnet.errors import ArgumentError, BusyError, DtypeError
from xpnet.layers import Layer, check_layer, inner_layer_names, is_user_class, layer_view, walk_layers
from xpnet.networks.params import FlatBuffers, Params, check_untied, lay_flat, name_layers, parameter_places, put

__all__ = ["LayerStack"]

_SECONDS_BETWEEN_LOOKS = 0.05  # while waiting for another thread's gradient


def _named(layers: Any) -> dict[str, Layer]:
    """The layers of a network by name, each checked."""
    if isinstance(layers, Mapping):
        named = dict(layers)
    elif isinstance(layers, Layer | str) or not isinstance(layers, Iterable):
        raise ArgumentError(f"layers must be a list of layers such as `[Affine.create(4, 3)]`, got {layers!r:.60}.")
    else:
        layers = list(layers)
        for number, layer in enumerate(layers):
            check_layer(f"Layer {number} of the network", layer)
        return name_layers(layers)
    for name, layer in named.items():
        if not isinstance(name, str):
            raise ArgumentError(f"The names of layers must be strings, got {name!r}.")
        check_layer(f"The layer {name!r} of the network", layer)
    return named


class LayerStack:
    """Layers by name, in order, and what they hold; `xpnet.Network` says what is computed with them.

    There its attributes `params`, `statistics` and `buffers` are described as well.

    Any number of threads may ask one network at a time, for predictions, a loss, an accuracy or a copy: what a forward
    pass keeps on its way is kept in views of the layers (`layer_views`), which no other call sees. One thread at a time
    may train it (`training`).

    Parameters
    ----------
    layers
        A mapping of names to layers, or a sequence, whose layers are then called ``Affine1``, ``Relu1``, ``Affine2``.
    """

    def __init__(self, layers: Sequence[Layer] | Mapping[str, Layer]) -> None:
        self._layers = _named(layers)
        self._every_layer = list(walk_layers(self._layers.values()))
        self._check_layers()
        self._prepare_for_threads()
        self._every_place = parameter_places(self._layers)
        if not self._every_place:
            raise ArgumentError("A network needs at least one layer with parameters, such as Affine.")
        self._first_place = next(iter(self._every_place.values()))
        self._every_parameter = Params(self._every_place)
        statistics = parameter_places(self._layers, "statistic_names")
        self._kept_places = [*statistics.values(), *parameter_places(self._layers, "counter_names").values()]
        self._statistics = Params(statistics, kind="statistics")
        self._make_plain()
        for key, value in self._every_parameter.items():
            check_together(key, value, self.anchor)
            if value.dtype != self.anchor.dtype:
                raise DtypeError(
                    f"{key} is {dtype_name(value)}, but the first parameter is {self.dtype}. Give all one dtype."
                )
        check_untied(self._every_parameter)
        self._place_what_is_kept()
        self.buffers: FlatBuffers | None = None
        self._known_forms: dict[Any, Any] = {}  # of inputs that were checked, on this backend
        for layer, name in self._every_place.values():
            layer.__dict__.setdefault(f"d{name}", None)
        self._optimizer_marks: set[str] = set()
        self._divide()

    def _check_layers(self) -> None:
        """That no layer stands here twice, or in another network."""
        if len({id(layer) for layer in self._every_layer}) < len(self._every_layer):
            raise ArgumentError("The same layer object stands in the network twice; make a new one for each place.")
        if taken := [layer for layer in self._every_layer if layer._in_network]:
            raise ArgumentError(
                f"{taken[0]!r} belongs to another network. Make new layers for each network, or use "
                "`copy.deepcopy(layers)` to begin with the numbers that these have now."
            )

    def _take_layers(self) -> None:
        """Note in the layers that they belong to a network."""
        for layer in self._every_layer:
            layer._in_network = True

    def _make_plain(self) -> None:
        """Make parameters and statistics plain arrays that can be written, which those read from a file may not be."""
        for key, (layer, name) in self._every_place.items():
            layer.__dict__[name] = check_parameter(key, getattr(layer, name))
        for layer, name in self._kept_places:
            value = getattr(layer, name)
            setattr(layer, name, value if is_writable(value) else copied(value))

    def _prepare_for_threads(self) -> None:
        """Set what is this object's own, and neither copied nor saved with it."""
        self.lock = threading.RLock()
        self._training_lock = threading.RLock()
        self._in_training = False
        named = ((layer, inner_layer_names(layer)) for layer in self._every_layer)
        self._inner_names = {id(layer): names for layer, names in named if names}
        # Those of this library keep the layers that they are made of.
        self._changeable = [layer for layer in self._layers.values() if any(map(is_user_class, walk_layers([layer])))]
        self._parts = list(walk_layers(self._changeable))

    def _divide(self) -> None:
        """Tell what is learned from what is frozen."""
        learned = {key: place for key, place in self._every_place.items() if not place[0].frozen}
        if not learned:
            raise ArgumentError(
                "Every layer that has parameters is frozen: there is nothing to learn. Leave one, or add one, such as "
                "a head with `with_new_head(network, [Affine.create(n_in, n_out)], keep=name)`."
            )
        self._places = learned
        frozen = {key: place for key, place in self._every_place.items() if place[0].frozen}
        self._params = Params(self._places, optimizer_marks=self._optimizer_marks)
        self._frozen = Params(frozen, kind="frozen parameters")
        self._grads = Params(self._places, prefix="d")
        self._grad_places = [(layer, f"d{name}") for layer, name in self._places.values()]

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers by name, in order. To build with other layers make another network."""
        return MappingProxyType(self._layers)

    @property
    def params(self) -> Params:
        """The parameters that are learned, by name: a live view on the layers."""
        return self._params

    @params.setter
    def params(self, _: Any) -> None:
        raise ArgumentError("The parameters are a view on the layers. Use `network.set_params(values)`.")

    @property
    def frozen(self) -> Params:
        """The parameters that are not learned, after `freeze`, by name: a live view as well."""
        return self._frozen

    @property
    def statistics(self) -> Params:
        """What layers gather in training for inference, by name: a live view as well."""
        return self._statistics

    @property
    def grads(self) -> Params:
        """The gradients that the last `compute_gradients` left in the layers, by the names of the parameters."""
        return self._grads

    @property
    def dtype(self) -> str:
        """The dtype of the parameters, ``"float32"`` or another."""
        return dtype_name(self.anchor)

    @property
    def backend(self) -> Backend:
        """Where the parameters live."""
        return backend_of(self.anchor)

    @property
    def anchor(self) -> Array:
        """The first parameter: whatever is computed with the network must lie beside it (``asarray(a, like=...)``)."""
        layer, name = self._first_place
        return getattr(layer, name)

    @property
    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(layer.parameter_count for layer in self._layers.values())

    # --- what is learned ---------------------------------------------------------------------------------------------

    def freeze(self, *names: str) -> Self:
        """Use these layers as they are, by name, in training too; returns the network.

        Their parameters leave `params` for `frozen`, their batch normalisation and dropout work as at inference, and
        what stands before the first layer that still learns costs no backward arithmetic.
        """
        if not names:
            raise ArgumentError(f"freeze takes the names of layers; there are {', '.join(self._layers)}.")
        return self._set_frozen(names, frozen=True)

    def unfreeze(self, *names: str) -> Self:
        """Learn these layers again, or all where none is named; returns the network."""
        return self._set_frozen(names or tuple(self._layers), frozen=False)

    def _set_frozen(self, names: Sequence[str], *, frozen: bool) -> Self:
        if unknown := [name for name in names if not isinstance(name, str) or name not in self._layers]:
            raise ArgumentError(f"There is no layer {unknown[0]!r}; there are {', '.join(self._layers)}.")
        before = {layer: layer.frozen for layer in self._every_layer}
        for layer in walk_layers([self._layers[name] for name in names]):
            layer._frozen = frozen
        try:
            self._divide()
        except ArgumentError:
            for layer, was in before.items():
                layer._frozen = was
            raise
        if self.buffers is not None:
            self._place_parameters({key: copied(value) for key, value in self._every_parameter.items()})
        return self

    # --- several threads ---------------------------------------------------------------------------------------------

    @contextmanager
    def training(self) -> Iterator[None]:
        """Inside a ``with`` block this thread alone may train the network; all threads may ask it.

        Raises
        ------
        BusyError
            Where another thread, or this one, is inside such a block.
        """
        with self._own_gradients():
            if self._in_training:
                raise self._busy()
            self._in_training = True
            try:
                yield
            finally:
                self._in_training = False

    @contextmanager
    def _own_gradients(self) -> Iterator[None]:
        """Inside a ``with`` block the layers' gradients and flags are this thread's; waits for those of a moment."""
        while not self._training_lock.acquire(timeout=_SECONDS_BETWEEN_LOOKS):
            if self._in_training:
                raise self._busy()
        try:
            if self._changeable:
                self._check_parts()
            yield
        finally:
            self._training_lock.release()

    def _check_parts(self) -> None:
        """That layers of a user's classes are still made of the layers that the network has found in them."""
        parts = list(walk_layers(self._changeable))
        if [id(layer) for layer in parts] != [id(layer) for layer in self._parts]:
            raise ArgumentError(
                f"A layer of {self!r} is made of other layers than when the network was made, and the network does not "
                "learn the new ones. Put them in their places before the network is made."
            )

    def _busy(self) -> BusyError:
        return BusyError(
            f"{self!r} is being trained already, in another thread or by the trainer whose callback this is. Use a "
            "copy, `network.copy()`, or wait until that training has ended."
        )

    def layer_views(self, *, train: bool = False) -> list[Layer]:
        """Views of the layers in order, to call ``forward`` of: they share the parameters and keep all else.

        To be called with `lock` held.

        `train`: as in a training step, with copies of the statistics and counters, which such a step changes.
        """
        views = [layer_view(layer, self._inner_names, train=train) for layer in self._layers.values()]
        if train:
            for view in walk_layers(views):
                for name in (*view.statistic_names, *view.counter_names):
                    setattr(view, name, copied(getattr(view, name)))
        return views

    # --- where and how the parameters lie ----------------------------------------------------------------------------

    def flatten(self) -> Self:
        """Lay what is learned into one buffer and its gradients into another, the layers keeping views; see `lay_flat`.

        Speed alone changes. Where arrays cannot be written in place nothing happens.
        """
        if self.buffers is None or not self.buffers.hold(self._places):
            self.buffers = lay_flat(self._places)
        return self

    def optimizer_view(self) -> tuple[MutableMapping[str, Array], Mapping[str, Array]]:
        """Parameters and gradients as an optimizer should take them: one array each where flattened, else by name."""
        if self.buffers is None:
            return self.params, self._grads
        key = f"all but {', '.join(self.frozen)}" if self.frozen else "all"
        return Flat({key: self.buffers.params}, self._optimizer_marks), {key: self.buffers.grads}

    def to(self, backend: str | Backend | None = None, *, dtype: Any = None) -> Self:
        """Move the parameters to a backend, or to another dtype, or both; returns the network itself.

        `dtype` is float32 or float64, in any spelling: ``"float64"``, ``numpy.float64``, ``"f8"``.

        Examples
        --------
        >>> from xpnet import TwoLayerNet
        >>> TwoLayerNet(4, 3, 2, backend="numpy").to(dtype="float64")
        TwoLayerNet(4-3-2, 23 parameters, float64 on numpy)
        """
        if dtype is not None:
            dtype = check_network_dtype(dtype)
        where: dict[str, Any] = {"like": self.anchor} if backend is None else {"backend": get_backend(backend)}
        self._place_parameters(
            {key: asarray(value, dtype=dtype, **where) for key, value in self._every_parameter.items()}
        )
        self._place_what_is_kept()
        return self

    def _place_parameters(self, values: Mapping[str, Array]) -> None:
        """Put other arrays in the place of all parameters, laid flat anew where they were."""
        with self.lock:
            flat, self.buffers = self.buffers is not None, None
            self._known_forms.clear()
            for key, (layer, name) in self._every_place.items():
                layer._buffer_views, layer._out = {}, {}
                layer.__dict__.update({name: values[key], f"d{name}": None})
            if flat:
                self.flatten()

    def _place_what_is_kept(self) -> None:
        """Put the layers' statistics and counters beside the parameters, the statistics in their dtype."""
        for layer, name in self._kept_places:
            dtype = self.dtype if name in layer.statistic_names else None
            setattr(layer, name, asarray(getattr(layer, name), like=self.anchor, dtype=dtype))

    def set_params(self, values: Mapping[str, Any]) -> Self:
        """Give each of `params` the value of its name, an array of any backend or a list; returns the network.

        The values are copied, converted to the network's dtype and moved to its device. Where a name or a shape does
        not fit, that is an error and nothing is changed.
        """
        self.params.replace(values)
        return self

    def copy(self) -> Self:
        """A network of its own with the same parameters."""
        with self.lock:
            return copy.deepcopy(self)

    __copy__ = copy  # a shallow copy would share its layers, and with them the buffers, with the original

    def __getstate__(self) -> dict[str, Any]:
        # The layers' views are not copied (Layer.__getstate__), so neither are the buffers: they are laid anew.
        state = {**self.__dict__, "buffers": None, "flat": self.buffers is not None}
        for name in ("lock", "_training_lock", "_in_training", "_inner_names", "_changeable", "_parts"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        flat = state.pop("flat")
        self.__dict__.update(state)
        self._make_plain()
        self._take_layers()
        self._prepare_for_threads()
        if flat:
            self.flatten()

    # --- weights, and files of them -----------------------------------------------------------------------------------

    def weights(self) -> dict[str, Array]:
        """Parameters, frozen ones too, and statistics by name, all that inference needs; arrays of the caller's own."""
        with self.lock:
            return {key: copied(value) for key, value in self._live().items()}

    def _live(self) -> dict[str, Array]:
        """Parameters and statistics by name, themselves."""
        return {**self._every_parameter, **self.statistics}

    def set_weights(self, values: Mapping[str, Any]) -> Self:
        """Give parameters and statistics the values that `weights` gave, all of them or none; returns the network."""
        names = {key for key in self.statistics if key in values}
        statistics = {key: value for key, value in values.items() if key in names}
        parameters = {key: value for key, value in values.items() if key not in names}
        set_parameters = self._every_parameter.replacement(parameters)
        set_statistics = self.statistics.replacement(statistics)
        set_parameters()
        set_statistics()
        return self

    def snapshot(self, *, parameters: bool = True) -> Callable[[], None]:
        """Keep all that training changes, statistics and counters too; a call of the result puts it back."""
        places = [*(self._places.values() if parameters else ()), *self._kept_places]
        kept = [(layer, name, copied(getattr(layer, name))) for layer, name in places]

        def restore() -> None:
            for layer, name, value in kept:
                put(layer, name, copied(value))

        return restore

    def kept_arrays(self) -> list[Array]:
        """Statistics and counters, which steps change in their places, and frozen parameters, which they only read."""
        return [*(getattr(layer, name) for layer, name in self._kept_places), *self.frozen.values()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters and statistics to a safetensors file, whole or not at all, with a checksum.

        Raises
        ------
        DataError
            When a weight is NaN or infinite: training has diverged. An older file of that name is left as it was.
        WriteError
            When the file cannot be written.
        """
        with self.lock:
            arrays = {key: to_numpy(value) for key, value in self._live().items()}
        save_weights(path, arrays, description=repr(self), metadata=self._metadata())

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote, by any network of the same shapes; returns the network.

        Raises
        ------
        DataError
            When the file is missing, damaged, or holds other parameters than this network's, NaN or infinity. Nothing
            is changed then.
        """
        expected = {key: (tuple(value.shape), dtype_name(value)) for key, value in self._live().items()}
        arrays, metadata = load_expected_weights(path, expected)
        take_metadata = self._read_metadata(metadata)
        self.set_weights(arrays)
        take_metadata()
        return self

    def _metadata(self) -> dict[str, str]:
        """What a file of weights says of the network besides: text by name."""
        return {}

    def _read_metadata(self, metadata: Mapping[str, str]) -> Callable[[], None]:  # noqa: ARG002 - here there is none
        """Check what `_metadata` gave; the function that is returned puts it in place."""
        return lambda: None
