"""Fused operations: one kernel on CuPy and one launch where operations are counted, the plain formula elsewhere."""

import fused_operations as operations
import numpy as np
import pytest
from kernel_numbers import numbers
from matrix import ABSENT, PLACES

from xpnet import asarray, to_numpy
from xpnet._core.cupy import CupyNamespace
from xpnet.engine import kernels
from xpnet.engine.kernels.operation import FusedOperation, one_kernel
from xpnet.testing.counting import COUNTING, count_operations


@pytest.mark.skipif("cupy" in ABSENT, reason=f"CuPy does not take part: {ABSENT.get('cupy')}")
def test_every_operation_can_be_captured_in_a_cuda_graph():
    import cupy

    here = next(place for place in PLACES if place.name == "cupy")
    x, t = here.put(np.arange(12, dtype=np.uint8).reshape(4, 3)), here.put(np.array([0, 1, 2, 0]))
    indices, b, lr = here.put(np.array([3, 1])), here.put(numbers(1, 3)), here.put(np.array(0.1))
    params, loss = here.put(numbers(2, 2, 3)), here.put(np.array(0.0))
    weights, m, v = (here.put(numbers(3, 2, 3) ** 2) for _ in range(3))

    def step():
        inputs, targets = operations.gather(x, t, indices, params.dtype)
        dscores, losses = operations.softmax_cross_entropy(operations.bias_relu(inputs, b), b, targets)
        operations.mean(losses, loss)
        operations.sgd_update(params, operations.relu_gradient(dscores, inputs), lr)
        operations.adam_update(weights, dscores, m, v, lr, lr)

    state = (params, weights, m, v, loss)
    before = [array.copy() for array in state]
    step()  # compiles
    after = [to_numpy(array) for array in state]
    for array, old in zip(state, before, strict=True):
        array[...] = old
    pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with cupy.cuda.using_allocator(pool.malloc), stream:
        stream.begin_capture()
        step()
        graph = stream.end_capture()
        graph.launch(stream)
    stream.synchronize()
    for array, expected in zip(state, after, strict=True):
        here.check(array, expected, eps=0)


def test_an_operation_counts_as_one_launch():
    def put(a):
        return asarray(a, backend=COUNTING)

    y, b, t, lr = put(numbers(1, 4, 3)), put(numbers(2, 3)), put(np.array([0, 1, 2, 0])), put(np.array(0.1))
    x, indices, out = put(np.zeros((4, 5), np.uint8)), put(np.array([3, 3])), put(np.array(0.0))
    m, v = put(numbers(3, 4, 3)), put(numbers(4, 4, 3) ** 2)
    with count_operations() as counts:
        operations.gather(x, t, indices, y.dtype)
        operations.relu_gradient(y, y)
        _, losses = operations.softmax_cross_entropy(y, b, t)
        operations.mean(losses, out)
        operations.mean(losses, out=out)
        operations.sgd_update(y, y, lr)
        operations.adam_update(y, y, m, v, lr, lr)
        operations.bias_relu(y, b)
    assert counts.launches == dict.fromkeys(kernels.__all__, 1) | {"mean": 2}
    assert not counts.waits
    assert not counts.copies
    assert to_numpy(y).min() >= 0  # in place, also here
    assert to_numpy(out) == pytest.approx(to_numpy(losses).mean())
    with pytest.raises(TypeError, match="NumPy array met"):
        operations.bias_relu(y, np.zeros(3))


def test_arrays_of_cupy_go_to_the_kernel(monkeypatch):
    def kernel(x, **constants):
        return NotImplemented if x is None else ("kernel", constants)

    @one_kernel(kernel)
    def double(x):
        """Twice `x`."""
        return "formula"

    with_constant = FusedOperation(double.plain, kernel, beta=0.9)
    assert double(np.ones(3)) == with_constant(np.ones(3)) == "formula"
    monkeypatch.setattr("xpnet.engine.kernels.operation.get_array_module", lambda x: CupyNamespace(None))
    assert double(np.ones(3)) == ("kernel", {})
    assert with_constant(np.ones(3)) == ("kernel", {"beta": 0.9})
    assert double(None) == "formula"  # a dtype without a kernel
    assert repr(double) == "<fused operation kernel>"
    assert double.__doc__ == "Twice `x`."
