"""The fused operations in which each number of the result is computed by itself."""

import math
from typing import Any

from xpnet._core.arrays import Array, accepts_out, as_inputs, get_array_module
from xpnet.engine.kernels.operation import ElementKernel, FusedOperation

__all__ = ["adam_update", "bias_relu", "gather", "relu_gradient", "sgd_update"]


@FusedOperation
def gather(x: Array, t: Array, indices: Array, dtype: Any) -> tuple[Array, Array]:
    """The samples of a minibatch, as a network takes them, and their targets.

    Parameters
    ----------
    x
        All inputs (N, ...): uint8 pixels, which become `dtype` times 1/255, or floats.
    t
        All targets: class indices (N,) or rows (N, D).
    indices
        Which samples, integers (B,) in 0..N-1; the kernel does not look whether they are.
    dtype
        The network's dtype, as its parameters have it.

    Returns
    -------
    tuple of two arrays
        Inputs (B, ...) of `dtype` and targets (B,) or (B, D) of the dtype of `t`.
    """
    xp = get_array_module(x)
    return as_inputs(xp.take(x, indices, axis=0), dtype), xp.take(t, indices, axis=0)


GATHER = ElementKernel(
    "gather",
    "raw X x, raw L t, raw I indices, int64 x_width, int64 t_width, T scale",
    "raw T inputs, raw L targets",
    """
    const ptrdiff_t row = i / (x_width + t_width), column = i % (x_width + t_width), sample = indices[row];
    if (column < x_width) {
        inputs[row * x_width + column] = T(x[sample * x_width + column]) * scale;
    } else {
        targets[row * t_width + column - x_width] = t[sample * t_width + column - x_width];
    }
    """,
)


@gather.on_cupy
def _(x: Array, t: Array, indices: Array, dtype: Any) -> tuple[Array, Array]:
    import cupy

    rows, x_width, t_width = indices.shape[0], math.prod(x.shape[1:]), math.prod(t.shape[1:])
    inputs, targets = cupy.empty((rows, *x.shape[1:]), dtype), cupy.empty((rows, *t.shape[1:]), t.dtype)
    scale = 1 / 255 if x.dtype == cupy.uint8 else 1.0
    GATHER(x, t, indices, x_width, t_width, scale, inputs, targets, size=rows * (x_width + t_width))
    return inputs, targets


@FusedOperation
def bias_relu(y: Array, b: Array) -> Array:
    """max(y + b, 0) for a product `y` (N, H) and biases `b` (H,); `y` is used up, the result lies in its place."""
    xp = get_array_module(y)
    y += b
    return xp.maximum(y, 0, **({"out": y} if accepts_out(xp) else {}))


BIAS_RELU = ElementKernel(
    "bias_relu",
    "T b",
    "T y",
    """
    const T z = y + b;
    y = z <= T(0) ? T(0) : z;  // a NaN stays one
    """,
)


@bias_relu.on_cupy
def _(y: Array, b: Array) -> Array:
    return BIAS_RELU(b, y)


@FusedOperation
def relu_gradient(dout: Array, y: Array) -> Array:
    """`dout` where the output `y` of a ReLU is positive, else 0; any shape, a new array."""
    return dout * get_array_module(dout).astype(y > 0, dout.dtype)


RELU_GRADIENT = ElementKernel("relu_gradient", "T dout, T y", "T dx", "dx = dout * (y > T(0) ? T(1) : T(0))")


@relu_gradient.on_cupy
def _(dout: Array, y: Array) -> Array:
    return RELU_GRADIENT(dout, y)


@FusedOperation
def sgd_update(params: Array, grads: Array, lr: float | Array) -> Array:
    """params -= lr * grads, in place, for two buffers of one shape; returns `params`.

    `lr` is a Python float, or a 0-d array beside the parameters and of their dtype, which is read on the device.
    """
    params -= lr * grads
    return params


SGD_UPDATE = ElementKernel("sgd_update", "T grads, T lr", "T params", "params -= lr * grads")


@sgd_update.on_cupy
def _(params: Array, grads: Array, lr: float | Array) -> Array:
    SGD_UPDATE(grads, lr, params)
    return params


@FusedOperation
def adam_update(
    params: Array,
    grads: Array,
    m: Array,
    v: Array,
    rate: float | Array,
    eps: float | Array,
    beta1: float,
    beta2: float,
) -> tuple[Array, Array, Array]:
    """Adam's step on buffers of one shape; returns `params`, `m` and `v`, changed in place where they can be.

    m += (1 - beta1) * (grads - m); v += (1 - beta2) * (grads^2 - v); params -= rate * m / (sqrt(v) + eps), where `rate`
    and `eps` have the step's correction in them (see `xpnet.optimizers.Adam`): Python floats, or 0-d arrays beside the
    parameters and of their dtype, which are read on the device.
    """
    # One array at a time is made, and changed in place: memory that a processor's cache holds.
    change = grads - m
    change *= 1 - beta1
    m += change
    change = grads * grads
    change -= v
    change *= 1 - beta2
    v += change
    change = get_array_module(v).sqrt(v)
    change += eps
    change = m / change
    change *= rate
    params -= change
    return params, m, v


ADAM_UPDATE = ElementKernel(
    "adam_update",
    "T grads, T rate, T eps, T share1, T share2",
    "T params, T m, T v",
    """
    m += (grads - m) * share1;  // 1 - beta1
    v += (grads * grads - v) * share2;  // 1 - beta2
    params -= m / (sqrt(v) + eps) * rate;
    """,
)


@adam_update.on_cupy
def _(
    params: Array,
    grads: Array,
    m: Array,
    v: Array,
    rate: float | Array,
    eps: float | Array,
    beta1: float,
    beta2: float,
) -> tuple[Array, Array, Array]:
    ADAM_UPDATE(grads, rate, eps, 1 - beta1, 1 - beta2, params, m, v)
    return params, m, v
