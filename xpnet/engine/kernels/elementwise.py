"""Kernels that compute each number of the result by itself."""

import math
from typing import Any

from xpnet._core.arrays import Array
from xpnet.engine.kernels.operation import ElementKernel

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


def gather(x: Array, t: Array, indices: Array, dtype: Any) -> tuple[Array, Array]:
    """Launch `xpnet.training.step.gather`; the indices are not checked."""
    import cupy

    rows, x_width, t_width = indices.shape[0], math.prod(x.shape[1:]), math.prod(t.shape[1:])
    inputs, targets = cupy.empty((rows, *x.shape[1:]), dtype), cupy.empty((rows, *t.shape[1:]), t.dtype)
    scale = 1 / 255 if x.dtype == cupy.uint8 else 1.0
    GATHER(x, t, indices, x_width, t_width, scale, inputs, targets, size=rows * (x_width + t_width))
    return inputs, targets


BIAS_RELU = ElementKernel(
    "bias_relu",
    "T b",
    "T y",
    """
    const T z = y + b;
    y = z <= T(0) ? T(0) : z;  // a NaN stays one
    """,
)


def bias_relu(y: Array, b: Array) -> Array:
    """Launch `xpnet.layers.fused.bias_relu`, in place of `y`."""
    return BIAS_RELU(b, y)


RELU_GRADIENT = ElementKernel("relu_gradient", "T dout, T y", "T dx", "dx = dout * (y > T(0) ? T(1) : T(0))")


def relu_gradient(dout: Array, y: Array) -> Array:
    """Launch `xpnet.layers.fused.relu_gradient`."""
    return RELU_GRADIENT(dout, y)


SGD_UPDATE = ElementKernel("sgd_update", "T grads, T lr", "T params", "params -= lr * grads")


def sgd_update(W: Array, dW: Array, lr: float | Array) -> tuple[Array]:
    """Launch the update of `xpnet.optimizers.SGD`. A rate that is a 0-d array is read on the device."""
    SGD_UPDATE(dW, lr, W)
    return (W,)


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


def adam_update(
    W: Array, dW: Array, m: Array, v: Array, rate: float | Array, eps: float | Array, *, beta1: float, beta2: float
) -> tuple[Array, Array, Array]:
    """Launch the update of `xpnet.optimizers.Adam`. A `rate` or `eps` that is a 0-d array is read on the device."""
    ADAM_UPDATE(dW, rate, eps, 1 - beta1, 1 - beta2, W, m, v)
    return W, m, v
