"""The optimizers in a Trainer: with step scalars from outside, recorded, fused, and what their updates cost."""

import copy

import numpy as np
import pytest
from optimizer_cases import EVERYTHING, draw, each_optimizer, put, same_bits
from small_training import make
from states import flattened

from xpnet import ThreeLayerNet, TwoLayerNet, asarray, get_array_module, to_numpy
from xpnet.engine.replay import NumpyReplayer
from xpnet.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, Optimizer, RMSprop
from xpnet.optimizers.schedules import CosineDecay, StepDecay
from xpnet.testing.counting import COUNTING, count_operations

# --- step scalars from outside ---------------------------------------------------------------------------------------


@pytest.mark.bits
@each_optimizer
@pytest.mark.parametrize("on_device", [False, True], ids=["floats", "0-d arrays"])
def test_step_scalars_from_outside_give_the_same_bits(be, kind, on_device):
    (start,), grads = draw(0), draw(1, 12)
    optimizers = [kind(CosineDecay(0.1, 12, warm_up=3), **EVERYTHING) for _ in range(2)]
    own, given = put(be, start), put(be, start)
    rows = optimizers[1].step_scalars(0, 12)
    assert rows.dtype == np.float64
    assert len({tuple(row) for row in rows}) > 10
    for row, g in zip(rows, grads, strict=True):
        optimizers[0].update(own, put(be, g))
        step_scalars = tuple(be.put(np.array(x)) for x in row) if on_device else row.tolist()
        before = {name: value for name, value in vars(optimizers[1]).items() if not isinstance(value, dict)}
        optimizers[1].update(given, put(be, g), step_scalars)
        assert {name: value for name, value in vars(optimizers[1]).items() if not isinstance(value, dict)} == before
    assert [optimizer.iter for optimizer in optimizers] == [12, 0]
    assert all(same_bits(own[key], given[key]) for key in start)


@each_optimizer
def test_any_part_of_the_steps_has_the_same_scalars(kind):
    optimizer = kind(CosineDecay(0.1, 500, warm_up=3), **EVERYTHING)
    whole = optimizer.step_scalars(0, 600)
    assert np.array_equal(optimizer.step_scalars(37, 100), whole[37:137])
    assert all(np.array_equal(optimizer.step_scalars(i, 1), whole[i : i + 1]) for i in range(600))


def test_adams_step_scalars_by_hand():
    rows = AdamW(0.1, 0.9, 0.99, 0.5, eps=1e-3).step_scalars(0, 2)
    np.testing.assert_allclose(
        rows,
        [[0.1 * 0.1 / 0.1, 1e-4, 0.95], [0.1 * np.sqrt(0.0199) / 0.19, 1e-3 * np.sqrt(0.0199), 0.95]],
        rtol=1e-13,
    )


@pytest.mark.bits
@each_optimizer
def test_after_a_block_it_goes_on_by_itself_where_the_block_ended(kind):
    (start,), grads = draw(0), draw(1, 12)
    blocks, alone = kind(StepDecay(0.1, 3)), kind(StepDecay(0.1, 3))
    a, b = copy.deepcopy(start), copy.deepcopy(start)
    for g in grads:
        alone.update(a, g)
    blocks.update(b, grads[0])
    for row, g in zip(blocks.step_scalars(blocks.iter, 7).tolist(), grads[1:8], strict=True):
        blocks.update(b, g, row)
    blocks.advance(7)
    for g in grads[8:]:
        blocks.update(b, g)
    assert blocks.iter == alone.iter == 12
    assert all(same_bits(a[key], b[key]) for key in start)


class Rising(SGD):
    """Its own step scalars."""

    def step_scalars(self, first, count):
        return super().step_scalars(first, count) * np.arange(first + 1, first + count + 1)[:, None]


def test_step_scalars_of_a_subclass_count_also_without_a_trainer():
    params = {"W": np.array([0.0])}
    optimizer = Rising(1.0)
    for _ in range(3):
        optimizer.update(params, {"W": np.array([1.0])})
    assert params["W"] == -6


# --- recorded -------------------------------------------------------------------------------------------------------


@pytest.mark.bits
@each_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "max_norm": 0.3}], ids=["plain", "everything"])
def test_recorded_equals_plain_over_200_steps(kind, dtype, options):
    trainers = []
    for capture in (True, False):
        rate = CosineDecay(0.02, 200, warm_up=20) if options else 0.02
        network = TwoLayerNet(12, 6, 7, 0.5, seed=0, dtype=dtype)
        trainers.append(make(network, optimizer=kind(rate, **options), iterations=200, capture=capture))
        trainers[-1].train()
    recorded, plain = trainers
    assert np.array(recorded.history.loss).tobytes() == np.array(plain.history.loss).tobytes()
    assert len(set(recorded.history.loss)) > 100
    assert same_bits(recorded.network.state.buffers.params, plain.network.state.buffers.params)
    for slot in recorded.optimizer.slots:
        kept = getattr(recorded.optimizer, slot)
        assert kept.keys() == {"all"}
        assert same_bits(kept["all"], getattr(plain.optimizer, slot)["all"])
        assert np.any(kept["all"])


@pytest.mark.bits
@each_optimizer
def test_recorded_steps_are_those_of_update_alone(kind):
    """Every rate, correction and decay of the recording is the one of its step."""
    options = {"weight_decay": 0.1, "max_norm": 0.3}
    trainer = make(
        TwoLayerNet(12, 6, 7, 0.5, seed=0),
        optimizer=kind(CosineDecay(0.02, 60, 5), **options),
        iterations=60,
        capture=True,
    )
    orders = []
    begin_epoch = trainer.runner.begin_epoch
    trainer.runner.begin_epoch = lambda: begin_epoch() or orders.append(trainer.runner.order)
    trainer.train()
    network, optimizer = flattened(TwoLayerNet(12, 6, 7, 0.5, seed=0)), kind(CosineDecay(0.02, 60, 5), **options)
    step = trainer.runner.step()
    for order in orders:
        for x, t in step.minibatches(order, 10):
            network.compute_gradients(x, t)
            optimizer.update(*network.state.optimizer_view())
    assert same_bits(network.state.buffers.params, trainer.network.state.buffers.params)


@pytest.mark.bits
@each_optimizer
def test_a_recording_is_made_anew_only_for_what_is_a_constant_of_it(kind, monkeypatch):
    made, init = [], NumpyReplayer.__init__
    monkeypatch.setattr(NumpyReplayer, "__init__", lambda self, *given: made.append(self) or init(self, *given))

    def other_rate(trainer):
        trainer.optimizer.lr *= 0.5
        trainer.optimizer.advance(1)

    def other_decay(trainer):
        trainer.optimizer.weight_decay = 0.1 * trainer.history.evaluated_at[-1]

    def other_norm(trainer):
        trainer.optimizer.max_norm = 1.0 / (1 + trainer.history.evaluated_at[-1])

    for change, recordings in ((other_rate, 1), (other_decay, 4), (other_norm, 4)):
        made.clear()
        recorded, plain = (
            make(None, optimizer=kind(0.01), epochs=4, capture=capture, callbacks=[change]) for capture in (True, False)
        )
        assert recorded.train().loss == plain.train().loss
        assert len(made) == recordings, change.__name__


# --- what they cost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "operations", "fused"),
    [(SGD, 2, 1), (Momentum, 4, 4), (Nesterov, 6, 6), (AdaGrad, 7, 7), (RMSprop, 9, 9), (Adam, 12, 1), (AdamW, 13, 2)],
    ids=lambda x: getattr(x, "__name__", ""),
)
@pytest.mark.parametrize("depth", [2, 3])
def test_an_update_of_any_flat_network_makes_so_many_operations_and_never_waits(kind, operations, fused, depth):
    widths = {2: (TwoLayerNet, 6, 5, 4), 3: (ThreeLayerNet, 6, 5, 5, 4)}[depth]
    network = flattened(widths[0](*widths[1:], seed=0, backend=COUNTING))
    x, t = asarray(np.ones((2, 6), "float32"), backend=COUNTING), asarray(np.array([0, 3]), backend=COUNTING)
    network.compute_gradients(x, t)
    for clipping, more in ({}, 0), ({"max_norm": 0.1}, 10):
        optimizer = kind(0.1, **clipping)
        optimizer.prepare(network.state.optimizer_view()[0])
        on_device = tuple(network.asarray(np.float32(x)) for x in optimizer.step_scalars(0, 1)[0])
        for update, expected in ((optimizer.update, operations), (optimizer.fused_update, fused)):
            for step_scalars in (None, on_device):
                with count_operations() as counts:
                    update(*network.state.optimizer_view(), step_scalars)
                assert sum(counts.launches.values()) == expected + more, counts.launches
                assert not counts.waits
                assert not counts.copies


@each_optimizer
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_fused_is_the_same(be, kind, options):
    (start,), grads = draw(0), draw(1, 5)
    fused, plain = put(be, start), put(be, start)
    ours, theirs = kind(0.1, **options), kind(0.1, **options)
    for g in grads:
        ours.fused_update(fused, put(be, g))
        theirs.update(plain, put(be, g))
    for key in start:
        be.check(fused[key], to_numpy(plain[key]), name=key)


def test_a_formula_of_a_subclass_is_not_fused_away():
    class Climbing(SGD):
        def update_one(self, W, dW, lr):
            return super().update_one(W, -dW, lr)

    class Slowly(Adam):
        def update_one(self, W, dW, m, v, rate, eps):
            return super().update_one(W, dW, m, v, 0.5 * rate, eps)

    class Still(Slowly):
        """Says nothing new."""

    for kind, expected in ((Climbing, 1.1), (Slowly, 0.95), (Still, 0.95)):
        for name in ("update", "fused_update"):
            params = {"W": np.array([1.0])}
            getattr(kind(0.1), name)(params, {"W": np.array([1.0])})
            np.testing.assert_allclose(params["W"], expected, rtol=1e-6, err_msg=f"{kind} {name}")


@pytest.mark.bits
def test_an_optimizer_of_ones_own_is_a_formula():
    class Signs(Optimizer):
        def update_one(self, W, dW, lr):
            W -= lr * get_array_module(dW).sign(dW)
            return (W,)

    recorded, plain = (
        make(optimizer=Signs(CosineDecay(0.1, 50), **EVERYTHING), iterations=50, capture=capture)
        for capture in (True, False)
    )
    assert recorded.train().loss == plain.train().loss
    with pytest.raises(TypeError, match="abstract"):
        Optimizer()
