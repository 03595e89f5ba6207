"""Where memory runs out: on the processor in programs that may have little, on CuPy at the limit of its device."""

import copy
import gc
import sys
import weakref

import numpy as np
import pytest
from cuda_device import memory_left, needs_stand_in
from little_memory import run_within
from small_training import PIXELS, make

from xpnet import Affine, Network, Relu, Trainer, TwoLayerNet, XpnetError, to_numpy
from xpnet._core.memory import memory_for
from xpnet.engine.cublas import workspace_size
from xpnet.errors import CaptureError, OutOfMemoryError

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits of memory")

TRAINING = """
    x, t = np.zeros((20_000, 784), np.uint8), np.zeros(20_000, np.int64)  # 62,720,000 bytes as float32
    network = TwoLayerNet(784, 50, 10, seed=0)

    def trained(size):
        trainer = Trainer(network, x, t, None, None, mini_batch_size=size, iterations=40, verbose=False, seed=0,
                          capture={})
        try:
            trainer.train()
        except MemoryError as error:
            return len(trainer.history.loss), f"{{type(error).__name__}}: {{error}}"
        return len(trainer.history.loss), trainer.history.loss[-1] < trainer.history.loss[0]

    print([trained(20_000), trained(100)])
"""


@on_linux
@pytest.mark.parametrize("capture", [False, True])
def test_a_batch_too_large_is_named_with_the_bytes_and_a_smaller_one_goes_on(capture):
    (steps, told), goes_on = eval(run_within(70, TRAINING.format(capture)))
    assert steps == 0
    assert told.startswith("OutOfMemoryError: Out of memory for a minibatch with mini_batch_size=20000: Unable to ")
    assert "59.8 MiB for an array with shape (20000, 784) and data type float32" in told
    assert told.endswith("as with `mini_batch_size=10000`.")
    assert goes_on == (40, True)


@on_linux
def test_of_a_prediction_the_samples_taken_at_once_are_named():
    code = """
        network, x = TwoLayerNet(784, 50, 10, seed=0), np.zeros((20_000, 784), np.uint8)
        try:
            network.predict(x, batch_size=20_000)
        except MemoryError as error:
            print(error, network.predict(x, batch_size=10_000).shape)
    """
    told = run_within(60, code)
    assert "for a forward pass of batch_size=20000 samples: Unable to allocate 59.8 MiB" in told
    assert told.endswith("as with `batch_size=10000`. (20000, 10)")


@on_linux
def test_of_data_that_do_not_fit_beside_the_network():
    code = """
        x, t = np.zeros((20_000, 784)), np.zeros(20_000, np.int64)
        try:
            Trainer(TwoLayerNet(784, 50, 10, seed=0), x, t, None, None)
        except MemoryError as error:
            print(error)
    """
    assert run_within(170, code).startswith("Out of memory for the data sets beside the network: Unable to allocate 59")


class GivesUp(Relu):
    """A layer for which there is no memory any more, after some forward passes."""

    def __init__(self, passes):
        super().__init__()
        self.left, self.scratch = (
            [None] * passes,
            [],
        )  # lists: an evaluation calls a copy of the layer, which shares them

    def forward(self, x):
        y = super().forward(x)
        if not self.left:
            scratch = np.zeros_like(y)
            self.scratch.append(weakref.ref(scratch))
            raise MemoryError("Out of memory allocating 8 bytes.")
        self.left.pop()
        return y


@pytest.mark.bits
def test_what_was_learned_before_is_kept():
    def network(passes):
        affine = copy.deepcopy(list(TwoLayerNet(12, 6, 7, seed=0).layers.values()))
        return Network([affine[0], GivesUp(passes), affine[2]])

    stopped = make(network(10), iterations=40, capture=False)
    with pytest.raises(OutOfMemoryError, match=r"mini_batch_size=10: Out of memory allocating 8 bytes\. What was"):
        stopped.train()
    whole = make(network(1000), iterations=len(stopped.history.loss), capture=False)
    whole.train()
    assert len(whole.history.loss) == 5  # three in the first epoch, after three passes to evaluate; then two passes
    assert stopped.history.loss == whole.history.loss
    for key, value in whole.network.state.weights().items():
        assert value.tobytes() == stopped.network.state.weights()[key].tobytes()


def test_an_error_that_is_kept_keeps_no_arrays():
    layer = GivesUp(0)
    with pytest.raises(OutOfMemoryError) as kept:
        Network([Affine(np.ones((12, 6)), np.zeros(6)), layer]).predict(PIXELS)
    gc.collect()
    assert isinstance(kept.value.__cause__, MemoryError)
    assert layer.scratch[0]() is None


def test_the_name_that_is_nearest_wins_and_other_errors_pass():
    with (
        pytest.raises(OutOfMemoryError, match="^Out of memory for a pass: the system gives no more. Halve it.$") as e,
        memory_for("a step", "Smaller."),
        memory_for("a pass", "Halve it."),
    ):
        raise MemoryError
    assert isinstance(e.value, XpnetError)
    with pytest.raises(ZeroDivisionError), memory_for("a step", "Smaller."):
        1 / 0  # noqa: B018


def test_a_forward_pass_of_large_images_takes_fewer_at_once(be):
    sizes = []

    class Noting(Relu):
        def forward(self, x):
            sizes.append(x.shape[0])
            return super().forward(x)

    network = Network([Affine(be.put(np.zeros((2, 2**17))), be.put(np.zeros(2**17))), Noting()])
    network.predict(be.put(np.zeros((600, 2))), batch_size=None)
    most = 2**20 if be.name == "numpy" else 2**26
    assert max(sizes) == most // 2**17


# --- on CuPy, with a device that is too small ------------------------------------------------------------------------


@pytest.fixture
def small_gpu():
    """Room for cuBLAS, the data, and small batches, but not for all 10,000 samples as floats, 40 million bytes."""
    network = TwoLayerNet(1000, 6, 7, 0.1, seed=0, backend="cupy")
    free_blocks()
    with memory_left(workspace_size(90) + 10_000 * (1000 + 8) + 4_000_000):
        yield network


def free_blocks():
    import cupy

    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()


def of_size(network, size, capture):
    options = {"mini_batch_size": size, "iterations": 40, "evaluate_sample_num_per_epoch": 10, "capture": capture}
    rng = np.random.default_rng(0)
    x, t = rng.integers(0, 256, (10_000, 1000), dtype=np.uint8), rng.integers(0, 7, 10_000)
    return Trainer(network, x, t, None, None, optimizer_param={"lr": 0.3}, verbose=False, seed=0, **options)


@needs_stand_in
def test_on_a_gpu_the_graph_is_given_up_the_batch_is_named_and_a_smaller_one_goes_on(small_gpu):
    before = {key: to_numpy(value) for key, value in small_gpu.state.weights().items()}
    warned = r"the block of 1 steps of 10000 samples, .* too small \(Out of memory allocating [\d,]+ bytes"
    told = r"a minibatch with mini_batch_size=10000: Out of memory allocating [\d,]+ bytes.*=5000`"
    with pytest.warns(UserWarning, match=warned), pytest.raises(OutOfMemoryError, match=told):
        of_size(small_gpu, 10_000, "auto").train()
    for key, value in small_gpu.state.weights().items():
        assert to_numpy(value).tobytes() == before[key].tobytes()
    free_blocks()  # of which the pool would give out parts, and have no room for the workspace of cuBLAS
    goes_on = of_size(small_gpu, 10, True).train().loss
    expected = of_size(TwoLayerNet(1000, 6, 7, 0.1, seed=0, backend="numpy"), 10, False).train().loss
    np.testing.assert_allclose(goes_on, expected, rtol=1e-4)


@needs_stand_in
def test_on_a_gpu_a_recording_that_must_be_made_says_so(small_gpu):
    with pytest.raises(CaptureError, match=r"the block of 1 steps of 10000 samples, for which the GPU's memory"):
        of_size(small_gpu, 10_000, True).train()
