"""A network: layers in order and a last layer that gives the loss."""

import copy
import os
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from xpnet.backend import (
    Array,
    Backend,
    accepts_out,
    asarray,
    backend_of,
    dtype_name,
    get_array_module,
    get_backend,
    to_numpy,
)
from xpnet.checks import check_count, check_finite, check_inputs, check_together
from xpnet.errors import ArgumentError, DtypeError, ShapeError
from xpnet.functions import as_inputs
from xpnet.fusion import Pass, fuse
from xpnet.gradient import numerical_network_gradient
from xpnet.layers import Layer, LossLayer, SoftmaxWithLoss
from xpnet.params import FlatBuffers, Params, lay_flat, name_layers, parameter_places
from xpnet.summary import summary_table
from xpnet.weights import load_weights, save_weights

__all__ = ["Network"]


class Network:
    """Layers in order, and a last layer that turns their scores into a loss.

    Parameters
    ----------
    layers
        A mapping of names to layers, or a sequence, whose layers are then called ``Affine1``, ``Relu1``, ``Affine2``.
    last_layer
        `SoftmaxWithLoss` (the default), `IdentityWithLoss`, or one of your own.

    Attributes
    ----------
    params
        The parameters by name, ``W1 b1 W2 b2 ...``: a live view on the layers, so that the course's
        ``network.params[key] -= lr * grads[key]`` trains the network on every backend.
    buffers
        The two arrays in which all parameters and all gradients lie; None until `flatten` is called.
    recordable
        Whether a training step makes the same array operations each time, so that it can be recorded.

    Notes
    -----
    Everywhere `x` is a batch (N, ...) or one sample (D,), of floats or of uint8 pixels, which count as 1/255 each;
    floats of another precision are converted to the network's. `t` are class indices (N,), one-hot rows (N, C), or for
    a regression the target outputs. All must be arrays of the network's own backend.

    Examples
    --------
    >>> from xpnet import Affine, Relu
    >>> network = Network([Affine(np.ones((2, 3)), np.zeros(3)), Relu(), Affine(np.ones((3, 2)), np.zeros(2))])
    >>> network
    Network(2-3-2, 17 parameters, float64 on numpy)
    >>> network.predict(np.array([[1.0, -0.5]]))
    array([[1.5, 1.5]])
    """

    recordable: bool = True

    def __init__(self, layers: Sequence[Layer] | Mapping[str, Layer], last_layer: LossLayer | None = None) -> None:
        self._layers = dict(layers) if isinstance(layers, Mapping) else name_layers(layers)
        self._pass = Pass.through(list(self._layers.values()), last_layer or SoftmaxWithLoss())
        if len({id(layer) for layer in self._layers.values()}) < len(self._layers):
            raise ArgumentError("The same layer object stands in the network twice; make a new one for each place.")
        self._places = parameter_places(self._layers)
        if not self._places:
            raise ArgumentError("A network needs at least one layer with parameters, such as Affine.")
        self._first_place = next(iter(self._places.values()))
        self.params = Params(self._places)
        self._grads = Params(self._places, prefix="d")
        for key, value in self.params.items():
            check_together(key, value, self.anchor)
            if value.dtype != self.anchor.dtype:
                raise DtypeError(
                    f"{key} is {dtype_name(value)}, but the first parameter is {self.dtype}. Give all one dtype."
                )
        self.buffers: FlatBuffers | None = None
        # Nothing before the first layer with parameters needs a gradient, nor does that layer's own input.
        in_order = list(self._layers.values())
        first = next(i for i, layer in enumerate(in_order) if layer.parameter_names)
        in_order[first].needs_input_gradient = False
        self.input_shape = next((s for layer in in_order if (s := layer.input_shape()) is not None), None)
        self._output_shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
        if self.input_shape is not None:
            self.output_shape(self.input_shape)
        self._grad_places = [(layer, f"d{name}") for layer, name in self._places.values()]
        for layer, name in self._grad_places:
            layer.__dict__.setdefault(name, None)

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers by name, in order. To build with other layers make another network."""
        return MappingProxyType(self._layers)

    @property
    def last_layer(self) -> LossLayer:
        """What turns the scores into a loss."""
        return self._pass.last_layer

    @last_layer.setter
    def last_layer(self, last_layer: LossLayer) -> None:
        self._pass = Pass.through(list(self._layers.values()), last_layer)

    @property
    def lastLayer(self) -> LossLayer:
        """``last_layer``, as one of the notes spells it."""
        return self.last_layer

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

    # --- inference ---------------------------------------------------------------------------------------------------

    def predict(self, x: Array, *, batch_size: int = 1000) -> Array:
        """The scores (before the softmax): (N, C) for a batch, (C,) for one sample.

        A large `x` goes through in batches of `batch_size`, so that 60,000 images need little more than their scores.
        """
        x, single = self._enter(x)
        scores = list(self._batches_of_scores(x, check_count("batch_size", batch_size)))
        if single:
            return scores[0][0, ...]
        return scores[0] if len(scores) == 1 else get_array_module(x).concat(scores)

    def predict_proba(self, x: Array, *, batch_size: int = 1000) -> Array:
        """The probabilities, softmax of the scores: (N, C) for a batch, (C,) for one sample."""
        if not hasattr(self.last_layer, "probabilities"):
            raise ArgumentError(f"{self.last_layer} gives no probabilities; its outputs are  network.predict(x) .")
        return self.last_layer.probabilities(self.predict(x, batch_size=batch_size))

    def loss(self, x: Array, t: Array) -> Array:
        """The mean loss, a scalar of the backend (``float(...)`` fetches it)."""
        x, t = self._enter_with_targets(x, t)
        return self.last_layer.forward(self.predict(x), t)

    def accuracy(self, x: Array, t: Array, *, batch_size: int = 1000) -> float:
        """The share of samples whose highest score is at their label, 0 to 1; in batches, as `predict`."""
        if not self.last_layer.classifies:
            raise ArgumentError(f"{self.last_layer} has no classes, so no accuracy. Use  network.loss(x, t) .")
        x, t = self._enter_with_targets(x, t)
        xp = get_array_module(x)
        labels = t if t.ndim == 1 else xp.argmax(t, axis=1)
        right, start = 0, 0
        for scores in self._batches_of_scores(x, check_count("batch_size", batch_size)):
            end = start + scores.shape[0]
            right = right + xp.sum(xp.astype(xp.argmax(scores, axis=1) == labels[start:end], xp.int32))
            start = end
        return float(right) / x.shape[0]

    def _batches_of_scores(self, x: Array, batch_size: int) -> Iterator[Array]:
        for layer in self._layers.values():
            layer.train = False
        xp, dtype, block = get_array_module(x), self.anchor.dtype, None
        if accepts_out(xp) and x.dtype != dtype and x.shape[0] > batch_size:
            block = xp.empty((batch_size, *x.shape[1:]), dtype=dtype)
        for start in range(0, x.shape[0], batch_size):
            y = as_inputs(x[start : min(start + batch_size, x.shape[0]), ...], dtype, block)
            for layer in self._layers.values():
                y = layer.forward(y)
            yield y

    # --- gradients ---------------------------------------------------------------------------------------------------

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """The gradients of the loss by backpropagation, by the names of the parameters; arrays of the caller's own."""
        x, t = self._enter_with_targets(x, t)
        if get_array_module(x) is np:
            check_finite("x", x)  # elsewhere a look at the values would wait for the device
        self.compute_gradients(as_inputs(x, self.anchor.dtype), t)
        if self.buffers is None:
            return dict(self._grads)
        return {key: get_array_module(grad).astype(grad, grad.dtype) for key, grad in self._grads.items()}  # copies

    def compute_gradients(self, x: Array, t: Array) -> Array:
        """One forward and one backward pass: leaves the gradients in the layers and returns the loss.

        The training loop's own: it checks nothing, and takes `x` in the network's dtype.
        """
        return self.compute_gradients_through(self._pass, x, t)

    def compute_gradients_through(self, way: Pass, x: Array, t: Array) -> Array:
        """The same by another pass through the same layers, such as a fused one."""
        for layer in self._layers.values():
            layer.train = True
        for layer, name in self._grad_places:
            setattr(layer, name, None)  # so that a layer that sets none is noticed, and trains on no stale one
        loss = way.run(x, t)
        self._gather_gradients()
        return loss

    def fused(self) -> Pass:
        """The pass through the layers with fused layers in place of neighbours: for arrays whose launches cost time."""
        return fuse(list(self._layers.values()), self.last_layer)

    def _gather_gradients(self) -> None:
        """Bring into the buffer, if there is one, what a layer made anew instead of writing it to ``self.out(...)``."""
        for layer, name in self._grad_places:
            grad, view = getattr(layer, name), layer._buffer_views.get(name)
            if grad is None:
                raise ArgumentError(f"{layer!r} has a parameter {name[1:]}, but its backward sets no  self.{name} .")
            if view is not None and grad is not view:
                view[...] = grad
                setattr(layer, name, view)

    def numerical_gradient(self, x: Array, t: Array, h: float = 1e-4) -> dict[str, Array]:
        """The gradients of the loss by central differences (course rows 9, 15): slow and sure.

        Computed in float64, on a copy, whatever the network's dtype, and given back in the network's. Works on every
        backend, also where arrays cannot be written in place.
        """
        x, t = self._enter_with_targets(x, t)
        return numerical_network_gradient(self, as_inputs(x, self.anchor.dtype), t, h)

    # --- the door ----------------------------------------------------------------------------------------------------

    def _enter(self, x: Array) -> tuple[Array, bool]:
        """Check inputs and make a batch of a single sample; says whether it was one."""
        check_together("x", x, self.anchor)
        check_inputs(x)
        single = x.ndim == 1
        if single:
            x = x[None, ...]
        self.output_shape(tuple(x.shape[1:]))
        return x, single

    def _enter_with_targets(self, x: Array, t: Array) -> tuple[Array, Array]:
        x, single = self._enter(x)
        if single:
            t = asarray(t, like=self.anchor)[None, ...]
        check_together("t", t, self.anchor)
        scores_shape = (x.shape[0], *self.output_shape(tuple(x.shape[1:])))
        t = self.last_layer.check_targets(t, scores_shape)
        return x, t if t.ndim < len(scores_shape) else get_array_module(t).astype(t, self.anchor.dtype)

    def output_shape(self, sample_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the scores of one sample of that shape, or the ShapeError of the layer that it does not fit."""
        if sample_shape not in self._output_shapes:
            shape = sample_shape
            for name, layer in self._layers.items():
                try:
                    shape = layer.output_shape(shape)
                except ShapeError as error:
                    raise ShapeError(f"{name} {error}. x has one row a sample.") from None
            self._output_shapes[sample_shape] = shape
        return self._output_shapes[sample_shape]

    # --- where and how the parameters lie ----------------------------------------------------------------------------

    def flatten(self) -> Self:
        """Lay all parameters into one buffer and all gradients into another, the layers keeping views; see `lay_flat`.

        Speed alone changes. Where arrays cannot be written in place nothing happens.
        """
        if self.buffers is None:
            self.buffers = lay_flat(self._places)
        return self

    def optimizer_view(self) -> tuple[MutableMapping[str, Array], Mapping[str, Array]]:
        """Parameters and gradients as an optimizer should take them: one array each where flattened, else by name."""
        if self.buffers is None:
            return self.params, self._grads
        return {"all": self.buffers.params}, {"all": self.buffers.grads}

    def to(self, backend: str | Backend | None = None, *, dtype: str | None = None) -> Self:
        """Move the parameters to a backend, or to another dtype, or both; returns the network itself.

        Examples
        --------
        >>> from xpnet import TwoLayerNet
        >>> TwoLayerNet(4, 3, 2, backend="numpy").to(dtype="float64")
        TwoLayerNet(4-3-2, 23 parameters, float64 on numpy)
        """
        where: dict[str, Any] = {"like": self.anchor} if backend is None else {"backend": get_backend(backend)}
        moved = {key: asarray(value, dtype=dtype, **where) for key, value in self.params.items()}
        flat, self.buffers = self.buffers is not None, None
        for key, (layer, name) in self._places.items():
            layer._buffer_views, layer._out = {}, {}
            setattr(layer, name, moved[key])
            setattr(layer, f"d{name}", None)
        return self.flatten() if flat else self

    def set_params(self, values: Mapping[str, Any]) -> Self:
        """Give every parameter the value of its name, an array of any backend or a list; returns the network.

        The values are copied, converted to the network's dtype and moved to its device. Where a name or a shape does
        not fit, that is an error and nothing is changed.
        """
        self.params.replace(values)
        return self

    def copy(self) -> Self:
        """A network of its own with the same parameters."""
        return copy.deepcopy(self)

    __copy__ = copy  # a shallow copy would share its layers, and with them the buffers, with the original

    def __getstate__(self) -> dict[str, Any]:
        # The layers' views are not copied (Layer.__getstate__), so neither are the buffers: they are laid anew.
        return {**self.__dict__, "buffers": None, "flat": self.buffers is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        flat = state.pop("flat")
        self.__dict__.update(state)
        if flat:
            self.flatten()

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the parameters to a safetensors file, whole or not at all."""
        save_weights(path, {key: to_numpy(value) for key, value in self.params.items()}, description=repr(self))

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Read the parameters from a file that `save` wrote, by any network of the same shapes; returns the network.

        Raises
        ------
        DataError
            When the file is missing, damaged, or holds other parameters than this network's. Nothing is changed then.
        """
        expected = {key: (tuple(value.shape), dtype_name(value)) for key, value in self.params.items()}
        return self.set_params(load_weights(path, expected))

    # --- telling -----------------------------------------------------------------------------------------------------

    @property
    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(layer.parameter_count for layer in self._layers.values())

    def summary(self) -> str:
        """A table of the layers, their output shapes and parameters, for printing."""
        return f"{self!r}\n\n{summary_table(self._layers, self.last_layer, self.input_shape)}"

    def __repr__(self) -> str:
        widths = [*(self.input_shape or ("?",))]
        widths += [getattr(layer, name).shape[-1] for layer, name in self._places.values() if name == "W"]
        sizes = "-".join(map(str, widths))
        return (
            f"{type(self).__name__}({sizes}, {self.parameter_count:,} parameters, {self.dtype} on {self.backend.name})"
        )
