"""A network: layers in order and a last layer that gives the loss."""

import contextlib
import copy
import json
import math
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from xpnet._core.arrays import Array, accepts_out, as_inputs, copied, get_array_module, to_numpy
from xpnet._core.checks import (
    check_count,
    check_finite,
    check_gradient_form,
    check_inputs,
    check_not_negative,
    check_range,
    check_shape,
    check_together,
)
from xpnet._core.memory import raise_out_of_memory
from xpnet._core.threads import SMALL_PRODUCT, blas_threads
from xpnet.backend import asarray
from xpnet.errors import ArgumentError, BusyError, DataError, ShapeError
from xpnet.gradient import numerical_network_gradient
from xpnet.layers import (
    Layer,
    LossLayer,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    check_loss_layer,
    checked,
    first_trainable,
    fixed_input_shape,
    largest_product,
    loss_of_checked,
)
from xpnet.networks.class_names import are_words, check_classes, class_indices
from xpnet.networks.plan import Plan
from xpnet.networks.state import LayerStack
from xpnet.networks.summary import summary_table

__all__ = ["Network", "check_network"]

# Warnings of this module name the layer of what is not finite; underflow is part of exp and of small products.
_AS_IT_IS = contextlib.nullcontext()
_MOST_SAMPLES = 1000
_CACHED_NUMBERS = 2**20  # of a layer's outputs, on a processor
_MAX_KNOWN_FORMS = 1000  # of inputs that were checked
_MOST_NUMBERS = 2**26  # elsewhere: a quarter of a gigabyte of float32
_users_of_last_layers: dict[int, list[threading.Thread]] = {}  # by their ids; the inner lists have one each


class _Form(NamedTuple):
    """What inputs of one shape and dtype are to a network.

    Attributes
    ----------
    is_single
        Whether they are one sample and no batch.
    at_once
        How many samples go through the layers at a time.
    is_small
        Whether all go through at once, and no product is so large that OpenBLAS would take several threads for it.
    """

    is_single: bool
    at_once: int
    is_small: bool


def check_network(network: Any) -> "Network":
    """The network itself, if it is one."""
    if not isinstance(network, Network):
        got = f"the class {network.__name__}" if isinstance(network, type) else f"{network!r:.60}"
        raise ArgumentError(f"network must be a network such as `TwoLayerNet(784, 50, 10)`, got {got}.")
    return network


class Network(LayerStack):
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
        The shape of one sample, such as (1, 28, 28), where the first layer's parameters do not settle it: then the
        layers are checked at once, a single image can be given, and `summary` knows all shapes.

    Attributes
    ----------
    params
        The parameters by name, ``W1 b1 W2 b2 ...``: a live view on the layers, so that the course's
        ``network.params[key] -= lr * grads[key]`` trains the network on every backend.
    frozen
        The parameters that are not learned, after `freeze`: a live view as well.
    statistics
        What layers gather in training for inference, ``running_mean1 running_var1 ...``: a live view as well.
    lock
        What a thread holds while the layers' arrays are exchanged for others, as to record a step, and for the moment
        in which a prediction looks at the layers.
    buffers
        The two arrays in which `params` and their gradients lie; None until `flatten` is called.
    classes
        The names of the classes, in the order of the outputs; None where they have none. A `Trainer` that is given
        words as labels sets them. They are copied with the network and saved with its weights.
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
    >>> network.predict(np.array([[1.0, -0.5]]))
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
        super().__init__(layers)
        self.last_layer = SoftmaxWithLoss() if last_layer is None else last_layer
        self._shapes: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        self._products: dict[tuple[tuple[int, ...], int], float] = {}
        self._checked_batches: set[tuple[int, ...]] = set()
        self.input_shape = fixed_input_shape(list(self._layers.values())) if input_shape is None else input_shape
        self._take_layers()

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of one sample, where it is known."""
        return self._input_shape

    @input_shape.setter
    def input_shape(self, shape: Sequence[int] | None) -> None:
        if shape is not None:
            shape = check_shape("input_shape", shape)
            self.output_shape(shape)
        self._input_shape: tuple[int, ...] | None = shape
        self._known_forms.clear()

    @property
    def last_layer(self) -> LossLayer:
        """What turns the scores into a loss."""
        return self._pass.last_layer

    @last_layer.setter
    def last_layer(self, last_layer: LossLayer) -> None:
        check_loss_layer("last_layer", last_layer)
        self._pass = Plan.of(list(self._layers.values()), last_layer)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, in the order of the outputs; None where they have none."""
        return self._classes

    @classes.setter
    def classes(self, classes: Sequence[str] | None) -> None:
        self._classes = None if classes is None else self._checked_classes(classes)

    def _checked_classes(self, classes: Sequence[str]) -> tuple[str, ...]:
        names = check_classes(classes)
        if self._input_shape is not None:
            self.check_class_count(names, self.output_shape(self._input_shape)[-1])
        return names

    @property
    def has_exclusive_classes(self) -> bool:
        """Whether each output is a class, and a sample has one of them."""
        return self.last_layer.classifies and not isinstance(self.last_layer, SigmoidWithLoss)

    def check_class_count(self, classes: Sequence[str], outputs: int) -> None:
        """That there is an output for each class."""
        if not self.has_exclusive_classes:
            raise ArgumentError(
                f"The outputs of {self.last_layer} are no classes that exclude each other, so they have no names. Use "
                "`SoftmaxWithLoss()` as last layer."
            )
        if len(classes) != outputs:
            raise ArgumentError(
                f"Expected {outputs} classes, one for each output of the network, got {len(classes)}: "
                f"{', '.join(map(repr, classes)):.200}. Name all of them in the order of the outputs, or "
                f"make a network with {len(classes)} outputs."
            )

    def _divide(self) -> None:
        super()._divide()
        in_order = list(self._layers.values())
        first = first_trainable(in_order)
        for i, layer in enumerate(in_order):
            layer.needs_input_gradient = i != first
        self._weighted: list[Any] = [layer for layer, name in self._places.values() if name == "W"]
        if hasattr(self, "_pass"):
            self.last_layer = self._pass.last_layer  # with a backward pass that ends elsewhere

    @property
    def lastLayer(self) -> LossLayer:
        """``last_layer``, as one of the notes spells it."""
        return self.last_layer

    @lastLayer.setter
    def lastLayer(self, last_layer: LossLayer) -> None:
        self.last_layer = last_layer

    # --- inference ---------------------------------------------------------------------------------------------------

    @np.errstate(all="ignore")
    def predict(self, x: Array, *, batch_size: int | None = None) -> Array:
        """The scores (before the softmax): (N, C) for a batch, (C,) for one sample.

        A large `x` goes through in batches, so that 60,000 images need little more than their scores: of `batch_size`
        samples, or of 1,000, or of so many fewer as keep the layers' outputs small, on NumPy enough for a cache.
        """
        with self.lock:
            x, form = self._enter(x)
            layers, dtype = self.layer_views(), self.anchor.dtype
        at_once = form.at_once if batch_size is None else check_count("batch_size", batch_size)
        try:
            if form.is_small and batch_size is None:
                scores = _scores(layers, as_inputs(x, dtype))
            else:
                with self._threads_for(x, at_once):
                    scores = _all_scores(layers, x, dtype, at_once)
        except MemoryError as error:
            _raise_out_of_memory(error, at_once)
        if type(scores) is np.ndarray and not math.isfinite(np.vdot(scores, scores)):  # the sum of the squares
            self._tell_of_scores(x, scores)
        return scores[0, ...] if form.is_single else scores

    @np.errstate(all="ignore")
    def predict_proba(self, x: Array, *, batch_size: int | None = None) -> Array:
        """The probabilities, softmax of the scores: (N, C) for a batch, (C,) for one sample."""
        if not hasattr(self.last_layer, "probabilities"):
            raise ArgumentError(f"{self.last_layer} gives no probabilities; its outputs are `network.predict(x)`.")
        return self.last_layer.probabilities(self.predict(x, batch_size=batch_size))

    def predict_labels(self, x: Array, *, batch_size: int | None = None) -> Any:
        """The class with the highest score: its name where the network has `classes`, else its index.

        On the host: a NumPy array (N,) of words or of int64 for a batch, a word or an int for one sample. Scores that
        are NaN are a DataError.

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
        if not self.has_exclusive_classes:
            instead = "predict_proba(x) > 0.5" if self.last_layer.classifies else "predict(x)"
            raise ArgumentError(
                f"The outputs of {self.last_layer} are no classes that exclude each other. Use `network.{instead}`."
            )
        scores = to_numpy(self.predict(x, batch_size=batch_size))
        if self._classes is not None:
            self.check_class_count(self._classes, scores.shape[-1])
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

        `train`: as in a training step, with dropout and with the batch's own statistics, all of them left as they were.
        """
        with self.lock:
            x, t = self._enter_with_targets(x, t)
            last_layer = copy.copy(self.last_layer)
            layers, dtype = self.layer_views(train=True) if train else [], self.anchor.dtype
            weights = self._weights_that_decay()
        if train:
            if get_array_module(x) is np:
                check_finite("x", x)
                check_range("x", x, self.dtype)
            with self._threads_for(x, x.shape[0]):
                y = _scores(layers, as_inputs(x, dtype))
        else:
            y = self.predict(x)
        return self._with_penalty(loss_of_checked(last_layer, y, t), weights)

    def _weights_that_decay(self) -> list[Array]:
        return [layer.W for layer in self._weighted] if self.weight_decay_lambda else []

    def _with_penalty(self, loss: Array, weights: Iterable[Array]) -> Array:
        """The loss with 0.5 * lambda * sum(W**2) added to it for each of the weights."""
        xp = get_array_module(loss)
        for W in weights:
            loss = loss + 0.5 * self.weight_decay_lambda * xp.sum(W * W)
        return loss

    @np.errstate(all="ignore")
    def accuracy(self, x: Array, t: Array, *, batch_size: int | None = None) -> float:
        """The share of samples that are classified rightly, 0 to 1; in batches, as `predict`.

        Scores that are NaN are never right. Of rows of labels the highest entry is the class. NaN where a label in the
        memory of a device is no class; a NumPy one is an error.
        """
        if not self.last_layer.classifies:
            raise ArgumentError(f"{self.last_layer} has no classes, so no accuracy. Use `network.loss(x, t)`.")
        with self.lock:
            x, t = self._enter_with_targets(x, t, mark_wrong=False)
            layers, dtype = self.layer_views(), self.anchor.dtype
        at_once = self._samples_at_once(x) if batch_size is None else check_count("batch_size", batch_size)
        right, start = 0, 0
        try:
            with self._threads_for(x, at_once):
                for scores in _batches_of_scores(layers, x, dtype, at_once):
                    end = start + scores.shape[0]
                    if type(scores) is np.ndarray and not math.isfinite(np.vdot(scores, scores)):
                        self._tell_of_scores(x[start:end, ...], scores, first=start)
                    right = right + self.last_layer.count_right(scores, t[start:end, ...])
                    start = end
        except MemoryError as error:
            _raise_out_of_memory(error, at_once)
        xp = get_array_module(t)
        if xp is not np and (fits := self.last_layer.fitting(t, scores.shape)) is not None:
            right = xp.where(xp.all(fits), right, -1)  # on the device, so that one number is waited for
        count = float(right)
        return count / x.shape[0] if count >= 0 else math.nan

    def _tell_of_scores(self, x: np.ndarray, scores: np.ndarray, first: int = 0) -> None:
        """Raise an error where the inputs of scores are not finite, else warn with the layer where that begins.

        A score of minus infinity alone rules a class out and is meant. `first`: the place of the first of the samples
        among all, for the message.
        """
        check_finite("x", x)
        check_range("x", x, self.dtype)
        good = (np.isfinite(scores) | np.isneginf(scores)).reshape(len(scores), -1).all(axis=1)
        if good.all() or self._in_training:  # a trainer says where its network broke
            return
        bad = int(np.argmin(good))
        y = as_inputs(x[bad : bad + 1, ...], self.anchor.dtype)
        with self.lock:
            views = self.layer_views()
        for name, layer in zip(self._layers, views, strict=True):
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

    def largest_product(self, sample_shape: tuple[int, ...], samples: int) -> float:
        """About how many floating-point operations the largest matrix product has, for that many samples at a time."""
        key = sample_shape, samples
        if key not in self._products:
            self._products[key] = largest_product(self._layers.values(), sample_shape, samples)
        return self._products[key]

    def _threads_for(self, x: Array, at_once: int) -> contextlib.AbstractContextManager[None]:
        """As many threads as products for `x` should have, that many samples at a time."""
        product = self.largest_product(tuple(x.shape[1:]), min(at_once, x.shape[0]))
        return blas_threads(product) if product >= SMALL_PRODUCT else _AS_IT_IS

    def _samples_at_once(self, x: Array) -> int:
        """How many samples go through the layers at a time, where the caller leaves it open."""
        numbers = _CACHED_NUMBERS if get_array_module(x) is np else _MOST_NUMBERS
        return min(_MOST_SAMPLES, max(1, numbers // self._widest(tuple(x.shape[1:]))))

    # --- gradients ---------------------------------------------------------------------------------------------------

    @np.errstate(all="ignore")
    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """The gradients of the loss by backpropagation, by the names of the parameters; arrays of the caller's own.

        Called in several threads, one call waits for the other; a BusyError while another thread trains the network.
        """
        with self._own_gradients():
            x, t = self._enter_with_targets(x, t)
            if get_array_module(x) is np:
                check_finite("x", x)  # elsewhere a look at the values would wait for the device
                check_range("x", x, self.dtype)
            with self._threads_for(x, x.shape[0]):
                self.compute_gradients(as_inputs(x, self.anchor.dtype), t)
            if self.buffers is None:
                return dict(self._grads)
            return {key: copied(grad) for key, grad in self._grads.items()}

    @contextlib.contextmanager
    def _own_gradients(self) -> Iterator[None]:
        with super()._own_gradients(), _used_by_this_thread(self.last_layer):
            yield

    def compute_gradients(self, x: Array, t: Array) -> Array:
        """One forward and one backward pass: leaves the gradients in the layers and returns the loss.

        The training loop's own: it checks nothing, and takes `x` in the network's dtype.
        """
        return self.compute_gradients_through(self._pass, x, t)

    def compute_gradients_through(self, way: Plan, x: Array, t: Array, out: Array | None = None) -> Array:
        """The same by another pass through the same layers, such as a fused one; the loss goes to `out` if it can."""
        self.set_train(True)
        for layer, name in self._grad_places:
            setattr(layer, name, None)  # so that a layer that sets none is noticed, and trains on no stale one
        out = None if self.weight_decay_lambda else out
        if x.shape in self._checked_batches:
            loss = way.run(x, t, out)
        else:  # the first batch of this shape: the formula of a layer is the same in the next
            loss = way.checked().run(x, t, out)
            self._checked_batches.add(x.shape)
        self._gather_gradients()
        if not self.weight_decay_lambda:
            return loss
        for layer in self._weighted:
            dW = layer.dW
            dW += self.weight_decay_lambda * layer.W
            layer.dW = dW
        return self._with_penalty(loss, self._weights_that_decay())

    def set_train(self, train: bool) -> None:
        """Say to the layers whether this is training; to those that are frozen it never is."""
        for layer in self._every_layer:
            layer.train = train and not layer.frozen

    def fused(self, *, kernels: bool = True) -> Plan:
        """The pass through the layers with fused layers in place of neighbours, compiled ones too where `kernels`."""
        return Plan.fused(list(self._layers.values()), self.last_layer, kernels=kernels)

    def _gather_gradients(self) -> None:
        """Bring into the buffer, if there is one, what a layer made anew instead of writing it to ``self.out(...)``."""
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

    @np.errstate(all="ignore")
    def numerical_gradient(self, x: Array, t: Array, h: float | None = None) -> dict[str, Array]:
        """The gradients of the loss by central differences (course rows 9, 15), with the step of `numerical_gradient`.

        Computed in float64, on a copy, whatever the network's dtype, and given back in the network's. Works on every
        backend, also where arrays cannot be written in place.
        """
        with self.lock:
            x, t = self._enter_with_targets(x, t)
            dtype = self.anchor.dtype
        with self._threads_for(x, x.shape[0]):
            return numerical_network_gradient(self, as_inputs(x, dtype), t, h)

    # --- the door ----------------------------------------------------------------------------------------------------

    def _enter(self, x: Array) -> tuple[Array, _Form]:
        """Check inputs and make a batch of a single sample."""
        # A prediction of one sample takes about ten microseconds, of which the checks would be a fifth.
        known = self._known_forms.get((x.dtype, x.shape)) if type(x) is np.ndarray else None
        if known is not None:
            return (x[None, ...] if known.is_single else x), known
        check_together("x", x, self.anchor)
        check_inputs(x)
        is_single = x.ndim == 1 or (self._input_shape is not None and tuple(x.shape) == self._input_shape)
        batch = x[None, ...] if is_single else x
        self.output_shape(tuple(batch.shape[1:]))
        at_once = self._samples_at_once(batch)
        product = self.largest_product(tuple(batch.shape[1:]), min(at_once, batch.shape[0]))
        form = _Form(is_single, at_once, batch.shape[0] <= at_once and product < SMALL_PRODUCT)
        if type(x) is np.ndarray and len(self._known_forms) < _MAX_KNOWN_FORMS:
            self._known_forms[x.dtype, x.shape] = form
        return batch, form

    def _enter_with_targets(self, x: Array, t: Array, *, mark_wrong: bool = True) -> tuple[Array, Array]:
        """Check inputs and targets; see `LossLayer.prepare_targets`."""
        x, form = self._enter(x)
        t = self._without_words(t)
        if form.is_single:
            t = asarray(t, like=self.anchor)[None, ...]
        check_together("t", t, self.anchor)
        scores_shape = (x.shape[0], *self.output_shape(tuple(x.shape[1:])))
        t = self.last_layer.prepare_targets(t, scores_shape, self.anchor.dtype, mark_wrong=mark_wrong)
        return x, t

    def _without_words(self, t: Any) -> Any:
        """Class indices in the place of words, where the classes have names; other targets as they are."""
        if self._classes is None:
            return t
        is_list = isinstance(t, list | tuple) and bool(t) and isinstance(t[0], str)
        words = np.asarray(t) if is_list or isinstance(t, str) else t
        return asarray(class_indices(words, self._classes), like=self.anchor) if are_words(words) else t

    def _metadata(self) -> dict[str, str]:
        return {} if self._classes is None else {"classes": json.dumps(self._classes)}

    def _read_metadata(self, metadata: Mapping[str, str]) -> Callable[[], None]:
        if "classes" not in metadata:
            return super()._read_metadata(metadata)
        try:
            classes = self._checked_classes(json.loads(metadata["classes"]))
        except ValueError as error:
            raise DataError(f"The names of classes in the file do not fit the network. {error}") from error
        return lambda: setattr(self, "classes", classes)

    def output_shape(self, sample_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the scores of one sample of that shape, or the ShapeError of the layer that it does not fit."""
        if sample_shape not in self._shapes:
            shapes = [sample_shape]
            for name, layer in self._layers.items():
                try:
                    shapes.append(layer.output_shape(shapes[-1]))
                except ShapeError as error:
                    raise ShapeError(f"{name} {error}. x has one row a sample.") from None
            self._shapes[sample_shape] = shapes
        return self._shapes[sample_shape][-1]

    def _widest(self, sample_shape: tuple[int, ...]) -> int:
        """The most numbers that a layer makes of a sample of that shape, or that this has itself."""
        self.output_shape(sample_shape)
        return max(math.prod(shape) for shape in self._shapes[sample_shape])

    def operations(self, sample_shape: tuple[int, ...]) -> list[float]:
        """About how many floating-point operations each layer makes of a sample in training.

        A product and a sum for each multiplication; as many again backward for the weights, and for the inputs. None
        of these in layers before the first that learns.
        """
        in_order, shape, counts = list(self._layers.values()), sample_shape, []
        first = first_trainable(in_order)
        for i, layer in enumerate(in_order):
            counts.append(layer.multiplications(shape) * (2.0 if i < first else 6.0))
            shape = layer.output_shape(shape)
        return counts

    # --- telling -----------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """A table of the layers, their output shapes and parameters, for printing."""
        return f"{self!r}\n\n{summary_table(self._layers, self.last_layer, self.input_shape)}"

    def __repr__(self) -> str:
        widths = ["x".join(map(str, self.input_shape or ("?",)))]
        # Its outputs are the second axis of an affine layer's weights (D, H), the first of filters (FN, C, FH, FW).
        shapes = [getattr(layer, name).shape for layer, name in self._every_place.values() if name == "W"]
        sizes = "-".join([*widths, *(str(shape[1] if len(shape) == 2 else shape[0]) for shape in shapes)])
        frozen = sum(layer.frozen_count for layer in self._layers.values())
        counts = f"{self.parameter_count:,} parameters" + (f", {frozen:,} frozen" if frozen else "")
        return f"{type(self).__name__}({sizes}, {counts}, {self.dtype} on {self.backend.name})"


@contextlib.contextmanager
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


def _scores(layers: Iterable[Layer], x: Array) -> Array:
    """What layers in order make of a batch of inputs."""
    samples = x.shape[0]
    for layer in layers:
        x = layer.forward(x)
    if x.shape[0] != samples:
        raise ShapeError(f"The layers gave {x.shape[0]} rows of scores for {samples} samples. Give one row for each.")
    return x


def _all_scores(layers: Sequence[Layer], x: Array, dtype: Any, batch_size: int) -> Array:
    """The same for that many samples at a time."""
    if x.shape[0] <= batch_size:
        return _scores(layers, as_inputs(x, dtype))
    return get_array_module(x).concat(list(_batches_of_scores(layers, x, dtype, batch_size)))


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
