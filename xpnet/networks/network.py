"""A network: layers in order and a last layer that gives the loss."""

import copy
import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn, Self

import numpy as np

from xpnet._core.arrays import Array, accepts_out, as_inputs, dtype_name, get_array_module, to_numpy
from xpnet._core.checks import check_count, check_finite, check_not_negative, check_range, check_shape, check_together
from xpnet._core.memory import raise_out_of_memory
from xpnet.backend import Backend, asarray, backend_of
from xpnet.data.weights import load_expected_weights, save_weights
from xpnet.errors import ArgumentError, DataError, ShapeError
from xpnet.layers import Layer, LossLayer, SoftmaxWithLoss
from xpnet.layers.base import checked, fixed_input_shape
from xpnet.layers.losses import check_loss_layer, loss_of_checked
from xpnet.networks.class_names import check_class_count, check_classes, has_exclusive_classes, without_words
from xpnet.networks.entry import Entry
from xpnet.networks.gradient_check import numerical_network_gradient
from xpnet.networks.params import Params
from xpnet.networks.plan import Plan
from xpnet.networks.state import NetworkState
from xpnet.networks.summary import summary_table


def check_network(network: Any) -> "Network":
    """The network itself, if it is one."""
    if not isinstance(network, Network):
        got = f"the class {network.__name__}" if isinstance(network, type) else f"{network!r:.60}"
        raise ArgumentError(f"network must be a network such as `TwoLayerNet(784, 50, 10)`, got {got}.")
    return network


class Network:
    """Layers in order, and a last layer that turns their scores into a loss.

    Parameters
    ----------
    layers
        A mapping of names to layers, or a sequence, whose layers are then called ``Affine1``, ``Relu1``, ``Affine2``.
    last_layer
        `SoftmaxWithLoss` (the default), `SigmoidWithLoss`, `IdentityWithLoss`, or one of your own.
    weight_decay_lambda
        The course's weight decay: 0.5 * lambda * sum(W**2) of all weights ``W``, not the biases, is added to the loss.
    input_shape
        The shape of one sample, such as (1, 28, 28), where the first layer's parameters do not determine it: then the
        layers are checked at once, a single image can be given, and `summary` knows all shapes.

    Attributes
    ----------
    params
        The parameters by name, ``W1 b1 W2 b2 ...``: a live view on the layers, so that the course's
        ``network.params[key] -= lr * grads[key]`` trains the network on every backend.
    state
        What the layers hold: frozen parameters, statistics, gradients, buffers, snapshots and weights.
    recordable
        Whether a training step makes the same array operations each time, so that it can be recorded.

    Notes
    -----
    Everywhere `x` is a batch (N, ...) or one sample, (D,) or of the shape given as `input_shape`, of floats or of uint8
    pixels, which count as 1/255 each; floats of another precision are converted to the network's. `t` are class indices
    (N,), words (N,) where the network has `classes`, rows (N, C) that sum to 1 (one-hot, or the probability of each
    class), or for a regression the target outputs. All must be arrays of the network's own backend.

    Examples
    --------
    >>> from xpnet import Affine, Relu
    >>> network = Network([Affine(np.ones((2, 3)), np.zeros(3)), Relu(), Affine(np.ones((3, 2)), np.zeros(2))])
    >>> network
    Network(2-3-2, 17 parameters, float64 on numpy)
    >>> network(np.array([[1.0, -0.5]]))  # the same as `network.predict(...)`
    array([[1.5, 1.5]])
    """

    recordable: bool = True
    _classes: tuple[str, ...] | None = None
    weight_decay_lambda: float = checked(check_not_negative)

    def __init__(
        self,
        layers: Sequence[Layer] | Mapping[str, Layer],
        last_layer: LossLayer | None = None,
        *,
        weight_decay_lambda: float = 0.0,
        input_shape: Sequence[int] | None = None,
    ) -> None:
        self.weight_decay_lambda = weight_decay_lambda
        self.state = NetworkState(layers, SoftmaxWithLoss() if last_layer is None else last_layer)
        self._layers = self.state.layers
        self._plan = Plan.of(list(self._layers.values()), self.last_layer)
        self._checked_batches: set[tuple[int, ...]] = set()
        self._entry = Entry(self._layers)
        self.input_shape = fixed_input_shape(list(self.layers.values())) if input_shape is None else input_shape
        self.state.claim_layers()

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The layers by name, in order. To build with other layers make another network."""
        return MappingProxyType(self._layers)

    @property
    def last_layer(self) -> LossLayer:
        """The layer that turns the scores into a loss."""
        return self.state.last_layer

    @last_layer.setter
    def last_layer(self, last_layer: LossLayer) -> None:
        check_loss_layer("last_layer", last_layer)
        self.state.last_layer = last_layer
        self._plan = Plan.of(list(self._layers.values()), last_layer)

    lastLayer = last_layer  # as one of the notes spells it

    def __dir__(self) -> Iterable[str]:
        return [name for name in super().__dir__() if name != "lastLayer"]

    @property
    def params(self) -> Params:
        """The parameters that are learned, by name: a live view on the layers."""
        return self.state.params

    @params.setter
    def params(self, _: Any) -> None:
        raise ArgumentError("The parameters are a view on the layers. Use `network.set_params(values)`.")

    @property
    def dtype(self) -> str:
        """The dtype of the parameters, ``"float32"`` or ``"float64"``."""
        return self.state.dtype

    @property
    def backend(self) -> Backend:
        """The backend of the parameters."""
        return backend_of(self.state.like)

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of one sample, where it is known."""
        return self._entry.input_shape

    @input_shape.setter
    def input_shape(self, shape: Sequence[int] | None) -> None:
        self._entry.set_input_shape(None if shape is None else check_shape("input_shape", shape))

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, in the order of the outputs; None where they have none.

        A `Trainer` that is given words as labels sets them. They are copied with the network and saved with its
        weights.
        """
        return self._classes

    @classes.setter
    def classes(self, classes: Sequence[str] | None) -> None:
        self._classes = None if classes is None else self._checked_classes(classes)

    def _checked_classes(self, classes: Sequence[str]) -> tuple[str, ...]:
        names = check_classes(classes)
        if self.input_shape is not None:
            check_class_count(names, self.output_shape(self.input_shape)[-1], self.last_layer)
        return names

    def output_shape(self, sample_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the scores of one sample of that shape, or the ShapeError of the layer that it does not fit."""
        return self._entry.output_shape(sample_shape)

    def asarray(self, x: Any, *, dtype: Any = None) -> Array:
        """An array on the backend and device of the parameters, from an array of any backend or a list.

        Examples
        --------
        >>> from xpnet import TwoLayerNet
        >>> network = TwoLayerNet(2, 3, 4, seed=0, backend="numpy")
        >>> network.predict(network.asarray([[0.5, 1.0]])).shape
        (1, 4)
        """
        return asarray(x, like=self.state.like, dtype=dtype)

    # --- inference ---------------------------------------------------------------------------------------------------

    def __call__(self, x: Array) -> Array:
        """The same as `predict`."""
        return self.predict(x)

    @np.errstate(all="ignore")
    def predict(self, x: Array, *, batch_size: int | None = None) -> Array:
        """The scores (before the softmax): (N, C) for a batch, (C,) for one sample.

        A large `x` is processed in batches of `batch_size` samples; by default at most 1,000, and few enough that on
        NumPy the layers' outputs fit into a cache.
        """
        state = self.state
        with state.lock:
            like = state.like
            x, form = self._entry.inputs(x, like)
            layers, dtype = state.views(), like.dtype
        at_once = form.at_once if batch_size is None else check_count("batch_size", batch_size)
        try:
            if form.is_small and batch_size is None:
                scores = _scores(layers, as_inputs(x, dtype))
            else:
                with self._entry.threads_for(x, at_once):
                    batches = list(_batches_of_scores(layers, x, dtype, at_once))
                    scores = batches[0] if len(batches) == 1 else get_array_module(x).concat(batches)
        except MemoryError as error:
            _raise_out_of_memory(error, at_once)
        if type(scores) is np.ndarray and not math.isfinite(np.vdot(scores, scores)):  # the sum of the squares
            self._report_scores(x, scores)
        return scores[0, ...] if form.is_single else scores

    @np.errstate(all="ignore")
    def predict_proba(self, x: Array, *, batch_size: int | None = None) -> Array:
        """The probabilities, softmax of the scores: (N, C) for a batch, (C,) for one sample."""
        if not hasattr(self.last_layer, "probabilities"):
            raise ArgumentError(f"{self.last_layer} gives no probabilities; its outputs are `network.predict(x)`.")
        return self.last_layer.probabilities(self.predict(x, batch_size=batch_size))

    def predict_labels(self, x: Array, *, batch_size: int | None = None) -> Any:
        """The class with the highest score: its name if the network has `classes`, else its index.

        A NumPy array (N,) of words or of int64 for a batch, a word or an int for one sample. NaN is a DataError.

        Examples
        --------
        >>> from xpnet import Affine
        >>> network = Network([Affine(np.eye(2), np.zeros(2))])
        >>> network.predict_labels(np.array([[1.0, 3.0], [2.0, 0.0]]))
        array([1, 0])
        >>> network.classes = ["cat", "dog"]
        >>> network.predict_labels(np.array([1.0, 3.0]))
        'dog'
        """
        if not has_exclusive_classes(self.last_layer):
            instead = "predict_proba(x) > 0.5" if self.last_layer.classifies else "predict(x)"
            raise ArgumentError(
                f"The outputs of {self.last_layer} are no classes that exclude each other. Use `network.{instead}`."
            )
        scores = to_numpy(self.predict(x, batch_size=batch_size))
        if self._classes is not None:
            check_class_count(self._classes, scores.shape[-1], self.last_layer)
        if (bad := np.isnan(scores).any(axis=-1)).any():
            raise DataError(
                f"The scores of {np.count_nonzero(bad)} of {bad.size} samples are NaN, so they have no class. Look for "
                "NaN among the inputs and the parameters."
            )
        labels = scores.argmax(axis=-1)
        named = labels if self._classes is None else np.array(self._classes)[labels]
        return named if scores.ndim > 1 else named.item()

    @np.errstate(all="ignore")
    def loss(self, x: Array, t: Array, *, train: bool = False) -> Array:
        """The mean loss, a scalar of the backend (``float(...)`` fetches it), weight decay included.

        `train`: as in a training step, with dropout and the statistics of the batch, none of which it changes.
        """
        with self.state.lock:
            x, t = self._enter(x, t)
            last_layer = copy.copy(self.last_layer)
            layers, dtype = self.state.views(train=True) if train else [], self.state.like.dtype
            weights = [layer.W for layer in self.state.weighted] if self.weight_decay_lambda else []
        if train:
            _check_values(x, self.dtype)
            with self._entry.threads_for(x, x.shape[0]):
                y = _scores(layers, as_inputs(x, dtype))
        else:
            y = self.predict(x)
        return self._with_penalty(loss_of_checked(last_layer, y, t), weights)

    def _with_penalty(self, loss: Array, weights: Iterable[Array]) -> Array:
        """The loss with 0.5 * lambda * sum(W**2) added to it for each of the weights."""
        xp = get_array_module(loss)
        for W in weights:
            loss = loss + 0.5 * self.weight_decay_lambda * xp.sum(W * W)
        return loss

    @np.errstate(all="ignore")
    def accuracy(self, x: Array, t: Array, *, batch_size: int | None = None) -> float:
        """The fraction of samples that are classified correctly; in batches, as `predict`.

        NaN scores are never correct. The highest entry of a row of labels is its class. The accuracy is NaN if a label
        on a device is no class; in a NumPy array that is an error.
        """
        if not self.last_layer.classifies:
            raise ArgumentError(f"{self.last_layer} has no classes, so no accuracy. Use `network.loss(x, t)`.")
        with self.state.lock:
            x, t = self._enter(x, t, mark_wrong=False)
            layers, dtype = self.state.views(), self.state.like.dtype
        at_once = self._entry.samples_at_once(x) if batch_size is None else check_count("batch_size", batch_size)
        right, start = 0, 0
        try:
            with self._entry.threads_for(x, at_once):
                for scores in _batches_of_scores(layers, x, dtype, at_once):
                    end = start + scores.shape[0]
                    if type(scores) is np.ndarray and not math.isfinite(np.vdot(scores, scores)):
                        self._report_scores(x[start:end, ...], scores, first=start)
                    right = right + self.last_layer.count_correct(scores, t[start:end, ...])
                    start = end
        except MemoryError as error:
            _raise_out_of_memory(error, at_once)
        xp = get_array_module(t)
        if xp is not np and (fits := self.last_layer.valid_targets(t, scores.shape)) is not None:
            right = xp.where(xp.all(fits), right, -1)  # on the device, so that one number is waited for
        count = float(right)
        return count / x.shape[0] if count >= 0 else math.nan

    def _report_scores(self, x: np.ndarray, scores: np.ndarray, first: int = 0) -> None:
        """Raise an error if the inputs of scores are not finite, else warn with the layer where that begins.

        A score of minus infinity rules a class out, and is intended. `first`: the index of the first sample among all.
        """
        _check_values(x, self.dtype)
        good = (np.isfinite(scores) | np.isneginf(scores)).reshape(len(scores), -1).all(axis=1)
        if good.all() or self.state.in_training:  # a trainer says where its network broke
            return
        bad = int(np.argmin(good))
        y = as_inputs(x[bad : bad + 1, ...], self.state.like.dtype)
        with self.state.lock:
            views = self.state.views()
        for name, layer in zip(self.layers, views, strict=True):
            y = layer.forward(y)
            if not np.isfinite(y).all():
                warnings.warn(
                    f"The output of {name}, {layer!r}, is not finite, for inputs that are; the first such sample is at "
                    f"index {first + bad}. Either a weight is not finite, or the numbers are too large for "
                    f"{self.dtype}. Scale the inputs, for example to a mean of 0 and a standard deviation of 1.",
                    RuntimeWarning,
                    stacklevel=4,
                )
                return

    # --- gradients ---------------------------------------------------------------------------------------------------

    @np.errstate(all="ignore")
    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """The gradients of the loss by backpropagation, by the names of the parameters; arrays of the caller's own.

        Called in several threads, one call waits for the other; a BusyError while another thread trains the network.
        """
        with self.state.own_gradients():
            x, t = self._enter(x, t)
            _check_values(x, self.dtype)
            with self._entry.threads_for(x, x.shape[0]):
                self.compute_gradients(as_inputs(x, self.state.like.dtype), t)
            return self.state.gradients()

    def compute_gradients(self, x: Array, t: Array, plan: Plan | None = None, out: Array | None = None) -> Array:
        """One forward and one backward pass: leaves the gradients in the layers and returns the loss.

        For training loops: it checks nothing, and takes `x` in the network's dtype. `plan` may be another plan of the
        same layers, such as a fused one; the loss is written to `out`, a 0-d array, if that is possible.
        """
        state, plan = self.state, plan or self._plan
        state.set_train(True)
        state.clear_gradients()
        out = None if self.weight_decay_lambda else out
        if x.shape in self._checked_batches:
            loss = plan.run(x, t, out)
        else:  # the first batch of this shape: the formula of a layer is the same in the next
            loss = plan.checked().run(x, t, out)
            self._checked_batches.add(x.shape)
        state.collect_gradients()
        if not self.weight_decay_lambda:
            return loss
        for layer in state.weighted:
            layer.dW += self.weight_decay_lambda * layer.W
        return self._with_penalty(loss, [layer.W for layer in state.weighted])

    @np.errstate(all="ignore")
    def numerical_gradient(self, x: Array, t: Array, h: float | None = None) -> dict[str, Array]:
        """The gradients of the loss by central differences (course rows 9, 15), with the step of `numerical_gradient`.

        Computed in float64, on a copy, whatever the network's dtype, and given back in the network's. Works on every
        backend, also where arrays cannot be written in place.
        """
        with self.state.lock:
            x, t = self._enter(x, t)
            dtype = self.state.like.dtype
        with self._entry.threads_for(x, x.shape[0]):
            return numerical_network_gradient(self, as_inputs(x, dtype), t, h)

    def _enter(self, x: Array, t: Any, *, mark_wrong: bool = True) -> tuple[Array, Array]:
        """Check inputs and targets, and make a batch of a single sample; see `LossLayer.prepare_targets`."""
        like = self.state.like
        x, form = self._entry.inputs(x, like)
        indices = without_words(t, self._classes)
        if form.is_single or indices is not t:
            t = self.asarray(indices)
        if form.is_single:
            t = t[None, ...]
        check_together("t", t, like)
        scores_shape = x.shape[0], *self._entry.output_shape(tuple(x.shape[1:]))
        return x, self.last_layer.prepare_targets(t, scores_shape, like.dtype, mark_wrong=mark_wrong)

    # --- parameters --------------------------------------------------------------------------------------------------

    def set_params(self, values: Mapping[str, Any]) -> Self:
        """Give each of `params` the value of its name, an array of any backend or a list; returns the network.

        The values are copied, converted to the network's dtype and moved to its device. Where a name or a shape does
        not fit, that is an error and nothing is changed.
        """
        self.params.update(self.params.copies(values))
        return self

    def freeze(self, *names: str) -> Self:
        """Use these layers as they are, by name, in training too; returns the network.

        Their parameters move from `params` to ``state.frozen``, their batch normalization and dropout work as at
        inference, and what comes before the first layer that still learns costs no backward arithmetic.
        """
        if not names:
            raise ArgumentError(f"freeze takes the names of layers; there are {', '.join(self.layers)}.")
        return self._set_frozen(names, frozen=True)

    def unfreeze(self, *names: str) -> Self:
        """Learn these layers again, or all where none is named; returns the network."""
        return self._set_frozen(names or tuple(self.layers), frozen=False)

    def _set_frozen(self, names: Sequence[str], *, frozen: bool) -> Self:
        self.state.set_frozen(names, frozen=frozen)
        self.last_layer = self.last_layer  # with a backward pass that ends elsewhere
        return self

    def to(self, backend: str | Backend | None = None, *, dtype: Any = None) -> Self:
        """Move the parameters to a backend, or to another dtype, or both; returns the network itself.

        `dtype` is float32 or float64, in any spelling: ``"float64"``, ``numpy.float64``, ``"f8"``.

        Examples
        --------
        >>> from xpnet import TwoLayerNet
        >>> TwoLayerNet(4, 3, 2, backend="numpy").to(dtype="float64")
        TwoLayerNet(4-3-2, 23 parameters, float64 on numpy)
        """
        self.state.to(backend, dtype=dtype)
        return self

    def copy(self) -> Self:
        """A network of its own with the same parameters."""
        with self.state.lock:
            return copy.deepcopy(self)

    __copy__ = copy  # a shallow copy would share its layers, and with them the buffers, with the original

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters and statistics to a safetensors file, whole or not at all, with a checksum.

        A DataError if a weight is NaN or infinite, since training has diverged, and a WriteError if the file cannot be
        written; an older file of that name is left as it was.
        """
        with self.state.lock:
            arrays = {key: to_numpy(value) for key, value in self.state.live().items()}
        metadata = {} if self._classes is None else {"classes": json.dumps(self._classes)}
        save_weights(path, arrays, description=repr(self), metadata=metadata)

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote, by any network of the same shapes; returns the network.

        A DataError if the file is missing, damaged, or holds other parameters than this network's, NaN or infinity;
        nothing is changed then.
        """
        expected = {key: (tuple(value.shape), dtype_name(value)) for key, value in self.state.live().items()}
        arrays, metadata = load_expected_weights(path, expected)
        classes = self._classes
        if "classes" in metadata:
            try:
                classes = self._checked_classes(json.loads(metadata["classes"]))
            except ValueError as error:
                raise DataError(f"The names of classes in the file do not fit the network. {error}") from error
        self.state.set_weights(arrays)
        self._classes = classes
        return self

    # --- description -------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """A table of the layers, their output shapes and parameters, for printing."""
        return f"{self!r}\n\n{summary_table(self.layers, self.last_layer, self.input_shape)}"

    def __repr__(self) -> str:
        sizes = "-".join(["x".join(map(str, self.input_shape or ("?",))), *map(str, self.state.widths)])
        frozen = sum(layer.frozen_count for layer in self.layers.values())
        counts = f"{self.state.parameter_count:,} parameters" + (f", {frozen:,} frozen" if frozen else "")
        return f"{type(self).__name__}({sizes}, {counts}, {self.dtype} on {self.backend.name})"


def _check_values(x: Array, dtype: str) -> None:
    """Check that inputs are finite and stay so in the network's dtype, where a look at them waits for no device."""
    if get_array_module(x) is np:
        check_finite("x", x)
        check_range("x", x, dtype)


def _scores(layers: Iterable[Layer], x: Array) -> Array:
    """What layers in order make of a batch of inputs."""
    samples = x.shape[0]
    for layer in layers:
        x = layer.forward(x)
    if x.shape[0] != samples:
        raise ShapeError(f"The layers gave {x.shape[0]} rows of scores for {samples} samples. Give one row for each.")
    return x


def _batches_of_scores(layers: Sequence[Layer], x: Array, dtype: Any, batch_size: int) -> Iterator[Array]:
    """What layers in order make of inputs, for that many samples at a time."""
    xp, block = get_array_module(x), None
    if accepts_out(xp) and x.dtype != dtype and x.shape[0] > batch_size:
        block = xp.empty((batch_size, *x.shape[1:]), dtype=dtype)
    for start in range(0, x.shape[0], batch_size):
        batch = x[start : min(start + batch_size, x.shape[0]), ...]
        yield _scores(layers, as_inputs(batch, dtype, block))


def _raise_out_of_memory(error: MemoryError, batch_size: int) -> NoReturn:
    fewer = f"Take fewer at once, as with `batch_size={max(1, batch_size // 2)}`."
    raise_out_of_memory(error, f"a forward pass of batch_size={batch_size} samples", fewer)
