"""For the author of a new layer: assertions that it is right, and that it would be on every backend."""

import copy
from typing import Any

import numpy as np

from xpnet._core.arrays import Array, dtype_name, to_numpy
from xpnet.backend import Backend, asarray, backend_of, get_backend
from xpnet.gradient import numerical_gradient
from xpnet.layers import Layer
from xpnet.layers.base import walk_layers
from xpnet.testing.counting import COUNTING, count_operations


def error_in_eps(actual: Array, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest number expected, in units of the dtype's eps.

    Infinite where an infinity or a NaN is expected and something else came.

    Examples
    --------
    >>> error_in_eps(np.array([1.0 + 2**-52]), np.array([1.0]))
    1.0
    """
    values, expected = to_numpy(actual), np.asarray(expected)
    finite = np.isfinite(expected)
    if not np.array_equal(values[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    scale = float(np.max(np.abs(expected[finite]), initial=0.0)) or 1.0
    difference = np.abs(values[finite].astype(np.float64) - expected[finite])
    error = float(np.max(difference, initial=0.0)) / scale
    return error / float(np.finfo(values.dtype if values.dtype.kind == "f" else np.float64).eps)


def assert_array(
    actual: Array, expected: np.ndarray, *, backend: str | Backend, dtype: str, eps: float, name: str = "the result"
) -> None:
    """Raise an AssertionError unless `actual` is what it should be, and where.

    Parameters
    ----------
    actual, expected
        What was computed, and what should have been, in float64.
    backend, dtype
        Where `actual` should live, and in which dtype.
    eps
        How far it may be off, as `error_in_eps` counts it.
    name
        What to call it in the message.
    """
    where, should = backend_of(actual), get_backend(backend)
    problems = []
    if where.xp is not should.xp:
        problems.append(f"belongs to {where.name} and not to {should.name}")
    elif should.device is not None and actual.device != should.device:
        problems.append(f"is on {actual.device} and not on {should.device}")
    if dtype_name(actual) != dtype:
        problems.append(f"is {dtype_name(actual)} and not {dtype}")
    if tuple(actual.shape) != expected.shape:
        problems.append(f"has shape {tuple(actual.shape)} and not {expected.shape}")
    elif not (error := error_in_eps(actual, expected)) <= eps:  # so that a NaN is a problem, too
        problems.append(f"is off by {error:.3g} eps, more than {eps:g}")
    if problems:
        raise AssertionError(f"{name} {'; it '.join(problems)}.")


def check_layer(layer: Layer, x: np.ndarray, *, tolerance: float = 1e-7, h: float = 1e-5) -> None:
    """Raise an AssertionError unless a layer keeps the rules that make it run on every backend.

    Its gradients are compared with numerical ones in float64; it must not write into its arguments, must compute in the
    dtype it is given, and must not wait for the device.

    Parameters
    ----------
    layer
        A layer with NumPy parameters; it is copied, not changed.
    x
        An input for it, NumPy. Choose numbers away from kinks: no zeros for a ReLU.
    tolerance
        How far a gradient may be off, relative to its largest number; the error of the central difference.
    h
        The step of the numerical gradient.

    Examples
    --------
    >>> from xpnet import Sigmoid
    >>> check_layer(Sigmoid(), np.linspace(-2.0, 2.0, 10).reshape(2, 5))
    """
    exact, x = _moved(layer, "numpy", "float64"), np.array(x, dtype="float64")
    y = exact.forward(x)
    dout = np.random.default_rng(0).standard_normal(y.shape)
    x_before, dout_before = x.copy(), dout.copy()
    dx = exact.backward(dout)
    _require(np.array_equal(x, x_before), layer, "forward or backward wrote into its input x")
    _require(np.array_equal(dout, dout_before), layer, "backward wrote into dout")

    before = _moved(layer, "numpy", "float64")  # what it counts is as it was, so each copy drops what `exact` dropped

    def weighted_output(_: np.ndarray) -> float:
        return float(np.sum(_moved(before, "numpy", "float64").forward(x) * dout))

    parameters, gradients = _learned(before), _learned(exact, "d")
    arrays = {"x": (x, dx)} | {name: (array, gradients[name]) for name, array in parameters.items()}
    for name, (array, grad) in arrays.items():
        expected = numerical_gradient(weighted_output, array, h)
        _require(np.shape(grad) == array.shape, layer, f"the gradient by {name} has shape {np.shape(grad)}")
        error = np.max(np.abs(grad - expected)) / max(np.max(np.abs(expected)), 1e-300)
        _require(error <= tolerance, layer, f"the gradient by {name} is off by {error:.1e} of its largest number")

    single = _moved(layer, COUNTING, "float32")
    x_single, dout_single = (asarray(a, dtype="float32", backend=COUNTING) for a in (x, dout))
    with count_operations() as counts:
        results: dict[str, Any] = {"forward": single.forward(x_single), "backward": single.backward(dout_single)}
    results |= {f"d{name}": grad for name, grad in _learned(single, "d").items()}
    for name, result in results.items():
        _require(dtype_name(result) == "float32", layer, f"{name} of float32 numbers is {dtype_name(result)}")
    _require(not counts.waits, layer, f"it waits for the device: {dict(counts.waits)}")
    _require(not counts.copies, layer, f"it copies from the host: {dict(counts.copies)}")


def _moved(layer: Layer, backend: str | Backend, dtype: str) -> Layer:
    moved = copy.deepcopy(layer)
    moved.needs_input_gradient = True
    for part in walk_layers([moved]):
        for name in (*part.parameter_names, *part.statistic_names):
            setattr(part, name, asarray(getattr(part, name), dtype=dtype, backend=backend))
        for name in part.counter_names:
            setattr(part, name, asarray(getattr(part, name), backend=backend))
    return moved


def _learned(layer: Layer, prefix: str = "") -> dict[str, Array]:
    """The layer's parameters, or with the prefix "d" their gradients, those of layers inside it too, by name."""
    parts = list(walk_layers([layer]))
    return {
        name if len(parts) == 1 else f"{name} of {part!r}, number {i}": getattr(part, prefix + name)
        for i, part in enumerate(parts)
        for name in part.parameter_names
    }


def _require(condition: Any, layer: Layer, problem: str) -> None:
    if not condition:
        raise AssertionError(f"{layer!r}: {problem}.")
