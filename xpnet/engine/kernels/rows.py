"""Kernels that reduce rows: the loss, and the mean of the losses."""

from xpnet._core.arrays import Array, dtype_name
from xpnet.engine.kernels.operation import C_TYPES, RowKernel

SOFTMAX_CROSS_ENTROPY = RowKernel(
    "softmax_cross_entropy",
    r"""
// One block of 32 threads a row: a thread takes every 32nd column, and reads back only what it wrote itself.
extern "C" __global__ void softmax_cross_entropy(
    const real* scores, const real* b, const long long* labels, const real* one_hot,
    long long classes, real scale, real* dscores, real* losses)
{
    const long long row = blockIdx.x;
    const real* s = scores + row * classes;
    real* d = dscores + row * classes;

    real highest = b ? s[0] + b[0] : s[0];
    for (long long c = threadIdx.x; c < classes; c += 32) {
        d[c] = b ? s[c] + b[c] : s[c];
        if (d[c] > highest) highest = d[c];
    }
    highest = warp_max(highest);

    real total = 0;
    for (long long c = threadIdx.x; c < classes; c += 32) total += exp(d[c] - highest);
    total = warp_sum(total);

    const real log_total = log(total);
    const bool no_class = labels && (labels[row] < 0 || labels[row] >= classes);
    real loss = 0;
    for (long long c = threadIdx.x; c < classes; c += 32) {
        const real shifted = d[c] - highest;
        const real t = no_class ? real(nan("")) : labels ? real(labels[row] == c) : one_hot[row * classes + c];
        d[c] = (exp(shifted) / total - t) * scale;
        if (t != 0) loss += t * (log_total - shifted);  // of a class that is masked by a score of -inf: 0 * inf
    }
    loss = warp_sum(loss);
    if (threadIdx.x == 0) losses[row] = loss;
}
""",
)


def softmax_cross_entropy(scores: Array, b: Array | None, t: Array) -> tuple[Array, Array]:
    """Launch `xpnet.layers.fused.softmax_cross_entropy`."""
    import cupy

    dtype = dtype_name(scores)
    if dtype not in C_TYPES:
        return NotImplemented
    rows, classes = scores.shape
    # Each of these gives the array itself back if, as in a network, it is contiguous and has that dtype.
    scores = cupy.ascontiguousarray(scores)
    biases = None if b is None else cupy.ascontiguousarray(b, dtype=scores.dtype)
    labels = cupy.ascontiguousarray(t, dtype=cupy.int64) if t.ndim == 1 else None
    one_hot_rows = cupy.ascontiguousarray(t, dtype=scores.dtype) if t.ndim == 2 else None
    dscores, losses = cupy.empty((rows, classes), scores.dtype), cupy.empty(rows, scores.dtype)
    scale = scores.dtype.type(1.0 / rows)
    SOFTMAX_CROSS_ENTROPY(dtype, rows, scores, biases, labels, one_hot_rows, classes, scale, dscores, losses)
    return dscores, losses


# CuPy's own mean is a sum and a division, two kernels.
MEAN = RowKernel(
    "mean",
    r"""
extern "C" __global__ void mean(const real* x, long long n, real* out)
{
    real sum = 0;
    for (long long i = threadIdx.x; i < n; i += 32) sum += x[i];
    sum = warp_sum(sum);
    if (threadIdx.x == 0) out[0] = sum / n;
}
""",
)


def mean(x: Array, out: Array | None = None) -> Array:
    """Launch `xpnet.layers.fused.mean`."""
    import cupy

    dtype = dtype_name(x)
    if dtype not in C_TYPES:
        return NotImplemented
    out = cupy.empty((), x.dtype) if out is None else out
    MEAN(dtype, 1, cupy.ascontiguousarray(x), x.shape[0], out)
    return out
