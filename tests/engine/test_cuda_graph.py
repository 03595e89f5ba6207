"""What a CUDA graph of training steps must do, on CuPy, whose streams work late and whose pools reuse memory."""

import gc
import importlib
import weakref

import numpy as np
import pytest
from cuda_device import STAND_IN, late_work, living, memory_left, needs_cupy, needs_stand_in, waiting
from matrix import ABSENT

from xpnet import Affine, Relu, SoftmaxWithLoss, get_array_module
from xpnet.engine import cublas
from xpnet.engine.capture import capture
from xpnet.errors import CaptureError, ShapeError

cupy = None if "cupy" in ABSENT else importlib.import_module("cupy")
pytestmark = needs_cupy


@pytest.fixture(autouse=True)
def _late_work():
    with late_work():
        yield


def current_stream():
    return cupy.cuda.get_current_stream()


STEPS, BATCH, SAMPLES = 3, 4, 20
RNG = np.random.default_rng(0)
X, T = RNG.random((SAMPLES, 5)).astype(np.float32), RNG.integers(0, 3, SAMPLES)
ORDERS = [RNG.permutation(SAMPLES)[: STEPS * BATCH].reshape(STEPS, BATCH) for _ in range(3)]
RATES = [np.float32([[0.5], [0.4], [0.3]]) / (1 + k) for k in range(3)]


class Center:
    """Subtracts a running mean, which it binds anew at each step."""

    def __init__(self, mean):
        self.mean = mean

    def forward(self, x):
        xp = get_array_module(x)
        self.mean = 0.9 * self.mean + 0.1 * xp.mean(x, axis=0)
        return x - self.mean

    def backward(self, dout):
        return dout


class Momentum:
    """Its velocities are changed in place, and the learning rate comes from outside."""

    def __init__(self, arrays):
        self.v = {name: get_array_module(a).zeros_like(a) for name, a in arrays.items()}


class Training:
    """A network of two layers with all that a step can change; `step` is what is captured."""

    def __init__(self, put=None):
        put = put or cupy.asarray
        rng = np.random.default_rng(1)
        weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((5, 6), 6, (6, 3), 3)]
        W1, b1, W2, b2 = map(put, weights)
        self.x, self.t = put(X), put(T)
        self.layers = [Center(put(np.zeros(5, np.float32))), Affine(W1, b1), Relu(), Affine(W2, b2)]
        self.loss = SoftmaxWithLoss()
        self.params = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}
        self.optimizer = Momentum(self.params)
        self.owners = [*self.layers, self.loss, self.optimizer]

    def step(self, indices, numbers):
        xp = get_array_module(indices)
        y, t = xp.take(self.x, indices, axis=0), xp.take(self.t, indices, axis=0)
        for layer in self.layers:
            y = layer.forward(y)
        loss = self.loss.forward(y, t)
        dout = self.loss.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        _, first, _, second = self.layers
        grads = {"W1": first.dW, "b1": first.db, "W2": second.dW, "b2": second.db}
        v = self.optimizer.v
        for name, grad in grads.items():
            v[name] *= 0.9
            v[name] -= numbers[0] * grad
            self.params[name] += v[name]
        return loss

    def state(self):
        return [*self.params.values(), *self.optimizer.v.values(), self.layers[0].mean]

    def numbers(self):
        """All that training changes, on the host."""
        return [a if isinstance(a, np.ndarray) else a.get() for a in self.state()]

    def runner(self, step=None, *, steps=STEPS, scalars=1):
        captured = CapturedStep(self, step or self.step)
        return capture(captured, batch_size=BATCH, steps=steps, scalars=np.full(scalars, 0.5))

    def plain(self, order, rates):
        """A block of steps without a graph; returns the losses."""
        put = cupy.asarray if isinstance(self.x, cupy.ndarray) else np.asarray
        losses = [
            self.step(put(i), tuple(put(row)[i, ...] for i in range(1))) for i, row in zip(order, rates, strict=True)
        ]
        return np.array([float(loss) for loss in losses])


class CapturedStep:
    """What capture asks of a step."""

    sample_count = SAMPLES

    def __init__(self, training, step):
        self.training, self.step = training, step
        self.optimizer, self.like = training.optimizer, training.params["W1"]

    def state_owners(self):
        return self.training.owners

    def run_block(self, order, scalars, losses):
        for k in range(order.shape[0]):
            losses[k, ...] = self.step(order[k], tuple(scalars[k, i] for i in range(scalars.shape[1])))


def same(a, b):
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def launch(runner, order, rates):
    losses = []
    runner.run(order, rates, losses.append)
    return losses[0]


def run(runner, block):
    return launch(runner, cupy.asarray(ORDERS[block]), cupy.asarray(RATES[block]))


def test_blocks_equal_plain_steps_to_the_bit_and_numpy_closely():
    captured, plain, numpys = Training(), Training(), Training(np.array)
    runner = captured.runner()
    for block in range(3):
        losses = run(runner, block).get()
        assert losses.dtype == np.float32
        assert losses.tolist() == plain.plain(ORDERS[block], RATES[block]).tolist()
        assert same(captured.numbers(), plain.numbers())
        np.testing.assert_allclose(losses, numpys.plain(ORDERS[block], RATES[block]), rtol=1e-4)
    for a, b in zip(captured.numbers(), numpys.numbers(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert len(set(map(float, losses))) == STEPS
    runner.close()


class Previous(Center):
    """Subtracts the mean of the minibatch before."""

    def forward(self, x):
        mean, self.mean = self.mean, get_array_module(x).mean(x, axis=0)
        return x - mean


def test_what_matters_from_one_minibatch_to_another_is_carried():
    """Not if the same minibatch came again, as it would in a rehearsal of one."""
    captured, plain = Training(), Training()
    for training in (captured, plain):
        training.layers[0] = Previous(cupy.mean(training.x[:BATCH], axis=0))
        training.owners = [*training.layers, training.loss, training.optimizer]
    runner = captured.runner()
    for block in range(3):
        assert run(runner, block).get().tolist() == plain.plain(ORDERS[block], RATES[block]).tolist()
    assert same(captured.numbers(), plain.numbers())
    runner.close()


def test_making_one_changes_nothing():
    training = Training()
    before, attributes = training.numbers(), [dict(vars(owner)) for owner in training.owners]
    velocities = dict(training.optimizer.v)
    runner = training.runner()
    assert same(training.numbers(), before)
    assert training.optimizer.v == velocities
    assert all(
        vars(o)[name] is value
        for o, old in zip(training.owners[1:], attributes[1:], strict=True)
        for name, value in old.items()
    )
    runner.close()


def test_the_losses_are_the_callers_own():
    runner = Training().runner()
    first = run(runner, 0)
    kept = first.get()
    run(runner, 1).get()
    assert first.get().tolist() == kept.tolist()
    runner.close()


def test_plain_steps_between_blocks_are_gone_on_from():
    captured, plain = Training(), Training()
    runner = captured.runner()
    for block in range(3):
        run(runner, block)
        captured.plain(ORDERS[block][:2], RATES[block][:2])  # binds the running mean anew
        plain.plain(ORDERS[block], RATES[block])
        plain.plain(ORDERS[block][:2], RATES[block][:2])
    assert same(captured.numbers(), plain.numbers())
    runner.close()


def test_what_is_carried_is_a_copy_and_never_the_users_data():
    training = Training()
    # An evaluation of one minibatch leaves views of the data in the layers, and the steps put arrays of the same form.
    training.layers[0].seen = training.x[:BATCH]

    def step(indices, numbers):
        training.layers[0].seen = cupy.take(training.x, indices, axis=0) + 1.0
        return training.step(indices, numbers)

    runner = training.runner(step)
    run(runner, 0)
    assert training.x.get().tobytes() == X.tobytes()
    assert training.layers[0].seen.get().tolist() == (X[ORDERS[0][-1]] + 1).tolist()
    runner.close()


def test_one_carried_array_may_be_the_old_value_of_another():
    training = Training()
    owner = training.layers[0]
    for first, second in (("now", "before"), ("before", "now")):  # in both orders of the attributes
        vars(owner).pop("now", None), vars(owner).pop("before", None)
        setattr(owner, first, cupy.asarray(np.float32([0.0])))
        setattr(owner, second, cupy.asarray(np.float32([0.0])))

        def step(indices, numbers):
            owner.before = owner.now
            owner.now = owner.now + 1.0
            return training.step(indices, numbers)

        runner = training.runner(step, steps=1)
        for count in (1.0, 2.0, 3.0):
            launch(runner, cupy.asarray(ORDERS[0][:1]), cupy.asarray(RATES[0][:1]))
            assert (owner.now.get()[0], owner.before.get()[0]) == (count, count - 1)
        runner.close()


def test_nobody_else_is_given_the_graphs_memory():
    captured, plain = Training(), Training()
    runner = captured.runner()
    # As many arrays as there may be blocks, in all sizes, on the runner's own stream too.
    with runner._resources.stream:
        noise = [cupy.asarray(np.full(n, 1e9, np.float32)) for n in range(1, 200) for _ in range(3)]
    noise += [cupy.asarray(np.full(n, 1e9, np.float32)) for n in range(1, 200) for _ in range(3)]
    run(runner, 0)
    plain.plain(ORDERS[0], RATES[0])
    assert same(captured.numbers(), plain.numbers())
    assert all(a.get()[0] == 1e9 for a in noise[::50])
    runner.close()


def test_a_graph_keeps_alive_what_it_reads():
    def make():
        training = Training()
        training.temporary = cupy.asarray(np.zeros(3, np.float32))

        def step(indices, numbers):
            return training.step(indices, numbers) + cupy.sum(training.temporary)

        return training.runner(step)

    runner = make()
    gc.collect()
    noise = [cupy.asarray(np.full(n, 1e9, np.float32)) for n in range(1, 100) for _ in range(3)]
    assert run(runner, 0).get().tolist() == Training().plain(ORDERS[0], RATES[0]).tolist()
    del noise
    runner.close()


def test_no_garbage_is_collected_in_a_capture():
    training, collecting = Training(), set()

    def step(indices, numbers):
        collecting.add((current_stream().is_capturing(), gc.isenabled()))
        return training.step(indices, numbers)

    training.runner(step).close()
    assert collecting == {(False, True), (True, False)}
    assert gc.isenabled()


def test_a_block_waits_for_the_callers_stream_and_that_for_the_block():
    training, plain = Training(), Training()
    runner = training.runner()
    current_stream().synchronize()
    with cupy.cuda.Stream(non_blocking=True):
        order, rates = cupy.asarray(np.zeros_like(ORDERS[0])), cupy.asarray(np.zeros_like(RATES[0]))
        order[...] = cupy.asarray(ORDERS[0])  # late
        rates[...] = cupy.asarray(RATES[0])
        training.params["W1"] *= 0.5
        losses = launch(runner, order, rates)
        order[...] = 0  # and too late to matter
        rates[...] = 0
        assert STAND_IN is None or waiting()
        doubled = (losses * 2.0).get()
        weights = training.params["W1"].get()
    plain.params["W1"] *= 0.5
    expected = plain.plain(ORDERS[0], RATES[0])
    assert (doubled / 2).tolist() == expected.tolist()
    assert weights.tobytes() == plain.params["W1"].get().tobytes()
    runner.close()


@pytest.mark.parametrize("name", ["indices", "scalars"])
def test_a_block_of_another_shape_is_refused(name):
    runner = Training().runner()
    block = {"indices": cupy.asarray(ORDERS[0]), "scalars": cupy.asarray(RATES[0])}
    block[name] = block[name][:2]
    with pytest.raises(ShapeError, match=rf"captured for {name} of shape \(3, \d\), got \(2, \d\)"):
        runner.run(**block, add_losses=list)
    runner.close()


def test_steps_without_scalars():
    training = Training()
    runner = training.runner(lambda indices, numbers: training.step(indices, (0.5,)), scalars=0)
    expected = Training().plain(ORDERS[0], np.full((STEPS, 1), 0.5, np.float32))
    assert (
        launch(runner, cupy.asarray(ORDERS[0]), cupy.asarray(np.zeros((STEPS, 0)))).get().tolist() == expected.tolist()
    )
    runner.close()


# --- closing ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def check_new():
    """That there are so many streams and graphs more than before, where that can be seen. Pools are used again."""
    gc.collect()
    before = living()

    def check(**expected):
        current_stream().synchronize()  # what waits there for another stream holds that
        gc.collect()
        after = living()
        assert {name: after[name] - before[name] for name in expected if name in after} in (expected, {})

    return check


@pytest.fixture
def handles(monkeypatch):
    """How many handles of cuBLAS the runners have made and not destroyed."""
    open_handles, library = set(), cublas.load_library()

    def create(handle):
        status = library.cublasCreate_v2(handle)
        open_handles.add(handle._obj.value)
        return status

    def destroy(handle):
        open_handles.remove(handle.value)
        return library.cublasDestroy_v2(handle)

    class Watched:
        cublasCreate_v2, cublasDestroy_v2 = staticmethod(create), staticmethod(destroy)

        def __getattr__(self, name):
            return getattr(library, name)

    watched = Watched()
    monkeypatch.setattr(cublas, "load_library", lambda: watched)
    return open_handles


@pytest.mark.parametrize("how", ["close", "forget", "forget in a circle"])
def test_closing_and_forgetting_free_everything(check_new, handles, how):
    training = Training()
    before = training.numbers()
    runner = training.runner()
    stream = weakref.ref(runner._resources.stream)
    check_new(streams=1, graphs=1)
    assert len(handles) == 1
    run(runner, 0)
    if how == "close":
        runner.close()
        runner.close()
        with pytest.raises(CaptureError, match="graph is closed"):
            run(runner, 0)
        check_new(graphs=0)
        assert not handles
    elif how == "forget in a circle":
        training.self = training
        runner.self = runner
    after = training.numbers()
    assert not same(before, after)  # the block was waited for
    del runner
    check_new(streams=0, graphs=0)
    assert stream() is None
    assert not handles
    training.plain(ORDERS[1], RATES[1])  # what the layers still hold of the pool is theirs
    assert np.isfinite(training.numbers()[0]).all()


# --- what cannot be captured -----------------------------------------------------------------------------------------


def synchronizes(training, y):
    current_stream().synchronize()


PLACE = r"' in <lambda>, test_cuda_graph\.py, line \d+"
OBSTACLES = {
    "float": (lambda training, y: float(y[0, 0]), rf"^CuPy cannot capture .*float\(y\[0, 0\]\).*{PLACE}: .*D2H"),
    "mask": (lambda training, y: y[y > 0], rf"y\[y > 0\].*{PLACE}: .*D2H"),
    "at": (lambda training, y: y @ y.T, rf"y @ y\.T.*{PLACE}: calling cuBLAS"),
    "asarray": (
        lambda training, y: get_array_module(y).asarray([1.0]),
        rf"^xp\.asarray of a value on the host \(list\).*{PLACE}",
    ),
    "random": (
        lambda training, y: get_array_module(y).random.random(3),
        rf"^xp\.random: captured steps would draw.*{PLACE}",
    ),
    "batched": (
        lambda training, y: get_array_module(y).matmul(y[None], y.T),
        rf"^xp\.matmul of float32 \(1, 4, 5\).*{PLACE}",
    ),
    "wait": (
        synchronizes,
        r"^CuPy cannot capture 'current_stream\(\)\.synchronize\(\)' in synchronizes, .*cudaErrorStreamCapture",
    ),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_what_stands_in_the_way_is_named_and_all_is_as_before(name, check_new, handles):
    obstacle, says = OBSTACLES[name]
    training, plain = Training(), Training()
    attributes = [dict(vars(owner)) for owner in training.owners]

    def step(indices, numbers):
        obstacle(training, get_array_module(indices).take(training.x, indices, axis=0))
        return training.step(indices, numbers)

    with pytest.raises(CaptureError, match=says) as caught:
        training.runner(step)
    assert not handles
    check_new(graphs=0)  # also while the error is looked at, whose frames hold the runner
    del caught
    assert [dict(vars(owner)) for owner in training.owners] == attributes
    assert not current_stream().is_capturing()
    check_new(streams=0, graphs=0)
    assert gc.isenabled()
    assert training.plain(ORDERS[0], RATES[0]).tolist() == plain.plain(ORDERS[0], RATES[0]).tolist()
    assert same(training.numbers(), plain.numbers())


def test_a_number_that_changes_from_step_to_step_is_named():
    training = Training()
    training.optimizer.iteration = 0
    before = training.numbers()

    def step(indices, numbers):
        training.optimizer.iteration += 1
        return training.step(indices, numbers)

    with pytest.raises(
        CaptureError, match=r"Momentum\.iteration changes from step to step on the host \(from 1 to 2\)"
    ):
        training.runner(step)
    assert training.optimizer.iteration == 0
    assert same(training.numbers(), before)


def test_a_mistake_in_the_step_is_no_matter_of_capture():
    training = Training()
    with pytest.raises(ZeroDivisionError):
        training.runner(lambda indices, numbers: 1 / 0)


def test_an_interrupt_ends_the_capture(check_new):
    training = Training()
    calls = []

    def step(indices, numbers):
        calls.append(1)
        if current_stream().is_capturing():
            raise KeyboardInterrupt
        return training.step(indices, numbers)

    with pytest.raises(KeyboardInterrupt):
        training.runner(step)
    assert len(calls) == 7  # two to warm up, twice two to rehearse, and one captured
    check_new(streams=0, graphs=0)


@needs_stand_in
def test_too_little_memory_is_named_and_nothing_that_the_graph_uses_is_freed():
    training, freed = Training(), []

    def step(indices, numbers):
        if current_stream().is_capturing():
            cupy.zeros((10**5,))  # a block that is free again, in the pool
            with memory_left(0):
                left, _ = cupy.cuda.runtime.memGetInfo()
                try:
                    cupy.zeros((10**6,))
                finally:
                    freed.append(cupy.cuda.runtime.memGetInfo()[0] - left)
        return training.step(indices, numbers)

    told = r"The GPU's memory is too small to capture 3 steps of 4 samples \(cudaErrorMemoryAllocation"
    with pytest.raises(CaptureError, match=told):
        training.runner(step)
    assert freed == [0]


class Queried(CapturedStep):
    """Queries its stream at the end of a block, which CUDA does not allow in a capture, and does not complain of."""

    def run_block(self, order, scalars, losses):
        super().run_block(order, scalars, losses)
        current_stream().done  # noqa: B018


def test_a_capture_that_is_found_invalid_at_its_end():
    training = Training()
    training.layers[0] = Relu()  # so that no statistic is handed on after the block
    training.owners[0] = training.layers[0]
    with pytest.raises(CaptureError, match=r"CuPy cannot capture the block of 3 steps of 4 samples. cudaErrorStream"):
        capture(Queried(training, training.step), batch_size=BATCH, steps=STEPS, scalars=np.full(1, 0.5))
