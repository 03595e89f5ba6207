"""The entry of a network: checks of its inputs, and the shapes between its layers."""

import contextlib
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from xpnet._core import tuning
from xpnet._core.arrays import Array, get_array_module
from xpnet._core.checks import check_inputs, check_together
from xpnet._core.threads import blas_threads
from xpnet.errors import ShapeError
from xpnet.layers import Layer
from xpnet.layers.base import first_trainable, largest_product

_MAX_KNOWN_FORMS = 1000  # of inputs that were checked


class Form(NamedTuple):
    """Inputs of one shape and dtype, as a network takes them."""

    is_single: bool  # one sample and no batch
    at_once: int  # samples that go through the layers at a time
    is_small: bool  # all go through at once, and no product is so large that OpenBLAS would take several threads for it


class Entry:
    """Checks the inputs of layers in order, and knows the shapes between them."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self._layers = layers
        self.input_shape: tuple[int, ...] | None = None  # of one sample, if it is known
        self._shapes: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        self._products: dict[tuple[tuple[int, ...], int], float] = {}
        self._known_forms: dict[tuple[np.dtype, tuple[int, ...]], Form] = {}  # of NumPy arrays

    def set_input_shape(self, shape: tuple[int, ...] | None) -> None:
        """Set the shape of one sample, checked."""
        if shape is not None:
            self.output_shape(shape)
        self.input_shape = shape
        self._known_forms.clear()

    def inputs(self, x: Array, like: Array) -> tuple[Array, Form]:
        """Check that inputs are on the device of `like`, a parameter, and make a batch of a single sample."""
        # A prediction of one sample takes about ten microseconds, of which the checks would be a fifth.
        on_host = type(x) is np.ndarray is type(like)
        known = self._known_forms.get((x.dtype, x.shape)) if on_host else None
        if known is not None:
            return (x[None, ...] if known.is_single else x), known
        check_together("x", x, like)
        check_inputs(x)
        is_single = x.ndim == 1 or (self.input_shape is not None and tuple(x.shape) == self.input_shape)
        batch = x[None, ...] if is_single else x
        self.output_shape(tuple(batch.shape[1:]))
        at_once = self.samples_at_once(batch)
        product = self._largest_product(tuple(batch.shape[1:]), min(at_once, batch.shape[0]))
        form = Form(is_single, at_once, batch.shape[0] <= at_once and product < tuning.MIN_OPENBLAS_THREADED_FLOPS)
        if on_host and len(self._known_forms) < _MAX_KNOWN_FORMS:
            self._known_forms[x.dtype, x.shape] = form
        return batch, form

    def output_shape(self, sample_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the scores of one sample of that shape, or the ShapeError of the layer that it does not fit."""
        return self._shapes_of(sample_shape)[-1]

    def samples_at_once(self, x: Array) -> int:
        """How many samples go through the layers at a time, where the caller leaves it open."""
        numbers = tuning.MAX_CPU_OUTPUT_NUMBERS if get_array_module(x) is np else tuning.MAX_GPU_OUTPUT_NUMBERS
        widest = max(math.prod(shape) for shape in self._shapes_of(tuple(x.shape[1:])))
        return min(tuning.MAX_PREDICTED_SAMPLES, max(1, numbers // widest))

    def threads_for(self, x: Array, at_once: int) -> contextlib.AbstractContextManager[None]:
        """A context that limits the threads of BLAS for small products, `at_once` samples of `x` at a time."""
        product = self._largest_product(tuple(x.shape[1:]), min(at_once, x.shape[0]))
        return blas_threads(product) if product >= tuning.MIN_OPENBLAS_THREADED_FLOPS else contextlib.nullcontext()

    def _largest_product(self, sample_shape: tuple[int, ...], samples: int) -> float:
        key = sample_shape, samples
        if key not in self._products:
            self._products[key] = largest_product(self._layers.values(), sample_shape, samples)
        return self._products[key]

    def _shapes_of(self, sample_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shapes of one sample before the first layer and after each."""
        if sample_shape not in self._shapes:
            shapes = [sample_shape]
            for name, layer in self._layers.items():
                try:
                    shapes.append(layer.output_shape(shapes[-1]))
                except ShapeError as error:
                    raise ShapeError(f"{name}: {error} `x` has one row a sample.") from None
            self._shapes[sample_shape] = shapes
        return self._shapes[sample_shape]


def operations(layers: Mapping[str, Layer], sample_shape: tuple[int, ...]) -> list[float]:
    """About how many floating-point operations each layer makes of a sample in training.

    A product and a sum for each multiplication; as many again backward for the weights, and for the inputs. None of
    these in layers before the first that learns.
    """
    in_order, shape, counts = list(layers.values()), sample_shape, []
    first = first_trainable(in_order)
    for i, layer in enumerate(in_order):
        counts.append(layer.multiplications(shape) * (2.0 if i < first else 6.0))
        shape = layer.output_shape(shape)
    return counts
