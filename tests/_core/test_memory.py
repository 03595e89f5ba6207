"""Where memory runs out: in programs that may have little."""

import copy
import gc
import sys
import weakref

import numpy as np
import pytest
from little_memory import run_within
from small_training import PIXELS, make

from xpnet import Affine, Network, Relu, TwoLayerNet, XpnetError
from xpnet._core.memory import memory_for
from xpnet.errors import OutOfMemoryError

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
