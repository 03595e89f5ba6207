"""Where the memory of a device runs out: what it was for, and that a smaller minibatch goes on."""

import numpy as np
import pytest
from cuda_device import memory_left, needs_stand_in

from xpnet import Trainer, TwoLayerNet, to_numpy
from xpnet._core.cupy import cupy_namespace
from xpnet.engine import cublas
from xpnet.errors import CaptureError, OutOfMemoryError


@pytest.fixture
def small_gpu(monkeypatch):
    """Room for the data and small batches, but not for all 10,000 samples as floats, 20 million bytes.

    And for two workspaces of cuBLAS, since a small array may lie in the memory of the first and keep it.
    """
    import cupy

    workspace, pool = 2**22, cupy.cuda.MemoryPool()  # a pool of its own: others may have any blocks in reserve
    monkeypatch.setattr(cublas, "workspace_size", lambda capability: workspace)
    monkeypatch.setattr(cupy_namespace().cupy, "get_default_memory_pool", lambda: pool)
    with cupy.cuda.using_allocator(pool.malloc):
        network = TwoLayerNet(500, 6, 7, 0.1, seed=0, backend="cupy")
        with memory_left(2 * workspace + 10_000 * (500 + 8) + 4_000_000):
            yield network


def of_size(network, size, capture):
    options = {"mini_batch_size": size, "iterations": 40, "evaluate_sample_num_per_epoch": 10, "capture": capture}
    rng = np.random.default_rng(0)
    x, t = rng.integers(0, 256, (10_000, 500), dtype=np.uint8), rng.integers(0, 7, 10_000)
    return Trainer(network, x, t, None, None, optimizer_param={"lr": 0.3}, verbose=False, seed=0, **options)


@needs_stand_in
def test_on_a_gpu_the_graph_is_given_up_the_batch_is_named_and_a_smaller_one_goes_on(small_gpu):
    before = {key: to_numpy(value) for key, value in small_gpu.state.weights().items()}
    warned = r"too small to capture 1 step of 10000 samples \(Out of memory allocating [\d,]+ bytes"
    told = r"a minibatch with mini_batch_size=10000: Out of memory allocating [\d,]+ bytes.*=5000`"
    with pytest.warns(UserWarning, match=warned), pytest.raises(OutOfMemoryError, match=told):
        of_size(small_gpu, 10_000, "auto").train()
    for key, value in small_gpu.state.weights().items():
        assert to_numpy(value).tobytes() == before[key].tobytes()
    goes_on = of_size(small_gpu, 10, True).train().loss
    expected = of_size(TwoLayerNet(500, 6, 7, 0.1, seed=0, backend="numpy"), 10, False).train().loss
    np.testing.assert_allclose(goes_on, expected, rtol=1e-4)


@needs_stand_in
def test_on_a_gpu_a_recording_that_must_be_made_says_so(small_gpu):
    with pytest.raises(CaptureError, match=r"The GPU's memory is too small to capture 1 step of 10000 samples"):
        of_size(small_gpu, 10_000, True).train()
