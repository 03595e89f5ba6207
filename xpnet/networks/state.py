"""The arrays of a network: which are learned, and moving, copying and sharing them."""

import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from xpnet._core.arrays import Array, copied, dtype_name, is_writable
from xpnet._core.checks import check_gradient_form, check_network_dtype, check_parameter, check_together
from xpnet._core.declared import is_library_class
from xpnet._core.flat import Flat
from xpnet._core.settings import fixed_setting
from xpnet.backend import Backend, asarray, get_backend
from xpnet.errors import ArgumentError, BusyError, DtypeError
from xpnet.layers import Layer, LossLayer
from xpnet.layers.base import first_trainable, walk_layers
from xpnet.layers.losses import check_loss_layer
from xpnet.layers.nested import check_layer, inner_layer_names, layer_view
from xpnet.networks.params import FlatBuffers, Params, check_untied, lay_flat, name_layers, parameter_places

_OTHER_VALUES = "It is a view on the layers. Use `network.state.set_weights(values)`."
_SECONDS_BETWEEN_LOOKS = 0.05  # while waiting for another thread's gradient
_users_of_last_layers: dict[int, list[threading.Thread]] = {}  # by their ids; the inner lists have one each


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


class NetworkState:
    """What the layers of a network hold, by name; reached as ``network.state``.

    Any number of threads may use a network for predictions at the same time: a forward pass keeps its intermediate
    results in views of the layers (`views`), which no other call sees. One thread at a time may train it (`training`).

    Attributes
    ----------
    params, frozen
        The parameters that are learned and, after `freeze`, those that are not: live views on the layers.
    statistics
        What layers gather in training for inference, ``running_mean1 running_var1 ...``: a live view.
    grads
        The gradients that the last backward pass left in the layers, by the names of the parameters: a live view.
    weighted
        The layers that learn a parameter ``W``, for weight decay.
    buffers
        The two arrays in which `params` and `grads` lie; None until `flatten` is called.
    lock
        Held while the layers' arrays are replaced, for example to record a step, and while views are made.
    """

    layers: dict[str, Layer] = fixed_setting("Make another network.")
    params: Params = fixed_setting(_OTHER_VALUES)
    frozen: Params = fixed_setting(_OTHER_VALUES)
    statistics: Params = fixed_setting(_OTHER_VALUES)
    grads: Params = fixed_setting("The gradients are a view on the layers.")

    def __init__(self, layers: Sequence[Layer] | Mapping[str, Layer], last_layer: LossLayer) -> None:
        check_loss_layer("last_layer", last_layer)
        self.last_layer = last_layer
        self.layers = _named(layers)
        self.every_layer = list(walk_layers(self.layers.values()))
        if len({id(layer) for layer in self.every_layer}) < len(self.every_layer):
            raise ArgumentError("The same layer object stands in the network twice; make a new one for each place.")
        if taken := [layer for layer in self.every_layer if layer._in_network]:
            raise ArgumentError(
                f"{taken[0]!r} belongs to another network. Make new layers for each network, or use "
                "`copy.deepcopy(layers)` to begin with the numbers that these have now."
            )
        self._prepare_for_threads()
        self._every_place = parameter_places(self.layers)
        if not self._every_place:
            raise ArgumentError("A network needs at least one layer with parameters, such as Affine.")
        self._first_place = next(iter(self._every_place.values()))
        self._every_parameter = Params(self._every_place)
        statistics = parameter_places(self.layers, "statistic_names")
        self._kept_places = [*statistics.values(), *parameter_places(self.layers, "counter_names").values()]
        self.statistics = Params(statistics, kind="statistics")
        self._make_plain()
        for key, value in self._every_parameter.items():
            check_together(key, value, self.like)
            if value.dtype != self.like.dtype:
                raise DtypeError(
                    f"{key} is {dtype_name(value)}, but the first parameter is {self.dtype}. Give all one dtype."
                )
        check_untied(self._every_parameter)
        self._place_what_is_kept()
        self.buffers: FlatBuffers | None = None
        for layer, name in self._every_place.values():
            layer.__dict__.setdefault(f"d{name}", None)
        self._optimizer_marks: set[str] = set()
        self._divide()

    def claim_layers(self) -> None:
        """Mark the layers as part of a network, which checks what is assigned to them from now on."""
        for layer in self.every_layer:
            layer._in_network = True

    def _make_plain(self) -> None:
        """Make parameters and statistics plain writable arrays, which those read from a file may not be."""
        for key, (layer, name) in self._every_place.items():
            layer.__dict__[name] = check_parameter(key, getattr(layer, name))
        for layer, name in self._kept_places:
            value = getattr(layer, name)
            setattr(layer, name, value if is_writable(value) else copied(value))

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
        vars(self).update(
            params=Params(learned, optimizer_marks=self._optimizer_marks),
            frozen=Params(frozen, kind="frozen parameters"),
            grads=Params(learned, prefix="d"),
        )
        self._grad_places = [(layer, f"d{name}") for layer, name in learned.values()]
        self.weighted: list[Any] = [layer for layer, name in learned.values() if name == "W"]
        in_order = list(self.layers.values())
        first = first_trainable(in_order)
        for i, layer in enumerate(in_order):
            layer.needs_input_gradient = i != first

    @property
    def like(self) -> Array:
        """The first parameter; inputs must be on its backend and device, as ``asarray(a, like=...)`` puts them."""
        layer, name = self._first_place
        return getattr(layer, name)

    @property
    def dtype(self) -> str:
        """The dtype of the parameters, ``"float32"`` or ``"float64"``."""
        return dtype_name(self.like)

    @property
    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(layer.parameter_count for layer in self.layers.values())

    @property
    def widths(self) -> list[int]:
        """The number of outputs of each layer with a parameter ``W``."""
        # The second axis of an affine layer's weights (D, H), the first of filters (FN, C, FH, FW).
        shapes = [getattr(layer, name).shape for layer, name in self._every_place.values() if name == "W"]
        return [shape[1] if len(shape) == 2 else shape[0] for shape in shapes]

    # --- training and freezing ---------------------------------------------------------------------------------------

    def set_train(self, train: bool) -> None:
        """Tell the layers whether this is training; to frozen ones it never is."""
        for layer in self.every_layer:
            layer.train = train and not layer.frozen

    def clear_gradients(self) -> None:
        """Set all gradients to None, so that a layer that sets none is noticed and trains on no stale one."""
        for layer, name in self._grad_places:
            setattr(layer, name, None)

    def collect_gradients(self) -> None:
        """Copy gradients that were not written via ``self.out(...)`` into the buffer, if there is one."""
        for layer, name in self._grad_places:
            grad, view = getattr(layer, name), layer._buffer_views.get(name)
            if grad is None:
                raise ArgumentError(f"{layer!r} has a parameter {name[1:]}, but its backward sets no `self.{name}`.")
            if grad is view:
                continue
            check_gradient_form(layer, name, grad)
            if view is not None:
                view[...] = grad
                setattr(layer, name, view)

    def gradients(self) -> dict[str, Array]:
        """The gradients in the layers, by the names of the parameters; arrays of the caller's own."""
        return dict(self.grads) if self.buffers is None else {key: copied(grad) for key, grad in self.grads.items()}

    def set_frozen(self, names: Sequence[str], *, frozen: bool) -> None:
        """Freeze the layers of these names, or learn them again; see ``Network.freeze``."""
        if unknown := [name for name in names if not isinstance(name, str) or name not in self.layers]:
            raise ArgumentError(f"There is no layer {unknown[0]!r}; there are {', '.join(self.layers)}.")
        before = {layer: layer.frozen for layer in self.every_layer}
        for layer in walk_layers([self.layers[name] for name in names]):
            layer._frozen = frozen
        try:
            self._divide()
        except ArgumentError:
            for layer, was in before.items():
                layer._frozen = was
            raise
        if self.buffers is not None:
            self._place_parameters({key: copied(value) for key, value in self._every_parameter.items()})

    # --- threads -----------------------------------------------------------------------------------------------------

    def _prepare_for_threads(self) -> None:
        """Set what is this object's own, and neither copied nor saved with it."""
        self.lock = threading.RLock()
        self._training_lock = threading.RLock()
        self.in_training = False
        self._inner_names = {id(layer): names for layer in self.every_layer if (names := inner_layer_names(layer))}
        # Layers of this library keep the layers that they are made of.
        self._changeable = [
            layer
            for layer in self.layers.values()
            if not all(is_library_class(type(inner)) for inner in walk_layers([layer]))
        ]
        self._parts = list(walk_layers(self._changeable))

    @contextmanager
    def training(self) -> Iterator[None]:
        """Inside a ``with`` block only this thread may train the network; all threads may use it for predictions.

        A BusyError if another thread, or this one, is inside such a block already.
        """
        with self.own_gradients():
            if self.in_training:
                raise _busy()
            self.in_training = True
            try:
                yield
            finally:
                self.in_training = False

    @contextmanager
    def own_gradients(self) -> Iterator[None]:
        """Inside a ``with`` block the layers' gradients and flags are this thread's; waits for those of a moment."""
        while not self._training_lock.acquire(timeout=_SECONDS_BETWEEN_LOOKS):
            if self.in_training:
                raise _busy()
        try:
            if self._changeable:
                self._check_parts()
            with _used_by_this_thread(self.last_layer):
                yield
        finally:
            self._training_lock.release()

    def _check_parts(self) -> None:
        """Check that layers of a user's classes still consist of the layers that the network has found in them."""
        parts = list(walk_layers(self._changeable))
        if [id(layer) for layer in parts] != [id(layer) for layer in self._parts]:
            raise ArgumentError(
                "A layer of the network is made of other layers than when the network was made, and the network does "
                "not learn the new ones. Put them in their places before the network is made."
            )

    def views(self, *, train: bool = False) -> list[Layer]:
        """Views of the layers in order, to call ``forward`` of: they share the parameters and keep all else.

        Call it with `lock` held. `train`: as in a training step, with copies of the statistics and counters, which such
        a step changes.
        """
        views = [layer_view(layer, self._inner_names, train=train) for layer in self.layers.values()]
        if train:
            for view in walk_layers(views):
                for name in (*view.statistic_names, *view.counter_names):
                    setattr(view, name, copied(getattr(view, name)))
        return views

    # --- where and how the parameters lie ----------------------------------------------------------------------------

    def flatten(self) -> None:
        """Lay what is learned into one buffer and its gradients into another; the layers keep views (see `lay_flat`).

        Only speed changes. Where arrays cannot be written in place nothing happens.
        """
        if self.buffers is None or not self.buffers.hold(self._places):
            self.buffers = lay_flat(self._places)

    def optimizer_view(self) -> tuple[MutableMapping[str, Array], Mapping[str, Array]]:
        """Parameters and gradients for an optimizer: one array each where flattened, else by name."""
        if self.buffers is None:
            return self.params, self.grads
        key = f"all but {', '.join(self.frozen)}" if self.frozen else "all"
        return Flat({key: self.buffers.params}, self._optimizer_marks), {key: self.buffers.grads}

    def to(self, backend: str | Backend | None = None, *, dtype: Any = None) -> None:
        """Move the numbers to a backend, or to another dtype, or both; see ``Network.to``."""
        if dtype is not None:
            dtype = check_network_dtype(dtype)
        where: dict[str, Any] = {"like": self.like} if backend is None else {"backend": get_backend(backend)}
        values = {key: asarray(value, dtype=dtype, **where) for key, value in self._every_parameter.items()}
        self._place_parameters(values)
        self._place_what_is_kept()

    def _place_parameters(self, values: Mapping[str, Array]) -> None:
        """Replace the arrays of all parameters, flattened again where they were."""
        with self.lock:
            flat, self.buffers = self.buffers is not None, None
            for key, (layer, name) in self._every_place.items():
                layer._buffer_views, layer._out = {}, {}
                layer.__dict__.update({name: values[key], f"d{name}": None})
            if flat:
                self.flatten()

    def _place_what_is_kept(self) -> None:
        """Move statistics and counters to the parameters' device, and convert the statistics to their dtype."""
        for layer, name in self._kept_places:
            dtype = self.dtype if name in layer.statistic_names else None
            setattr(layer, name, asarray(getattr(layer, name), like=self.like, dtype=dtype))

    def __getstate__(self) -> dict[str, Any]:
        # The layers' views are not copied (Layer.__getstate__), so neither are the buffers: they are laid out again.
        state = {**self.__dict__, "buffers": None, "flat": self.buffers is not None}
        for name in ("lock", "_training_lock", "in_training", "_inner_names", "_changeable", "_parts"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        flat = state.pop("flat")
        self.__dict__.update(state)
        self._make_plain()
        self.claim_layers()
        self._prepare_for_threads()
        if flat:
            self.flatten()

    # --- weights -----------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Array]:
        """Parameters, frozen ones too, and statistics by name, all that inference needs; arrays of the caller's own."""
        with self.lock:
            return {key: copied(value) for key, value in self.live().items()}

    def live(self) -> dict[str, Array]:
        """The arrays of `weights` themselves."""
        return {**self._every_parameter, **self.statistics}

    def set_weights(self, values: Mapping[str, Any]) -> None:
        """Give parameters and statistics the values that `weights` gave, all of them or none."""
        statistics = {key: value for key, value in values.items() if key in self.statistics}
        parameters = {key: value for key, value in values.items() if key not in statistics}
        parameters, statistics = self._every_parameter.copies(parameters), self.statistics.copies(statistics)
        self._every_parameter.update(parameters)
        self.statistics.update(statistics)


def _busy() -> BusyError:
    return BusyError(
        "The network is being trained already, in another thread or by the trainer whose callback this is. Use a copy, "
        "`network.copy()`, or wait until that training has ended."
    )


@contextmanager
def _used_by_this_thread(last_layer: LossLayer) -> Iterator[None]:
    """Inside a ``with`` block no other thread may use it, which keeps the probabilities and targets of one batch."""
    this = [threading.current_thread()]
    first = None
    try:
        first = _users_of_last_layers.setdefault(id(last_layer), this)
        if first[0] is not this[0]:
            raise BusyError(
                f"{last_layer!r} is the last layer of two networks, and is used by the other one now, in another "
                "thread. Give each network a last layer of its own."
            )
        yield
    finally:
        if first is this:
            del _users_of_last_layers[id(last_layer)]
