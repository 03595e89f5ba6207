"""Recorded and replayed steps give what the steps themselves give, to the bit, or are refused by name."""

import copy
import itertools
import random
import re

import numpy as np
import pytest
from capturable import Adam, CourseAdam, LazyMomentum, Looking, Masking, Momentum, Noise, RunningMean
from recorded import assert_same, network_of, recordings, trained  # noqa: F401 - a fixture
from small_training import make
from states import flattened

from xpnet import (
    SGD,
    Affine,
    IdentityWithLoss,
    Layer,
    MultiLayerNet,
    Network,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    ThreeLayerNet,
    Trainer,
    TwoLayerNet,
    get_array_module,
)
from xpnet.engine.replay import NumpyReplayer
from xpnet.engine.tape import RecordedArray, wrapped
from xpnet.errors import CaptureError
from xpnet.training.step import TrainingStep


class Decaying(SGD):
    """The rate changes from step to step."""

    def step_scalars(self, first, count):
        return self.lr * 0.98 ** np.arange(first, first + count)[:, None]


# --- to the bit -----------------------------------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize("make_optimizer", [SGD, Decaying, Momentum, Adam])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_optimizer_recorded_equals_plain_over_200_steps(make_optimizer, dtype, recordings):
    recorded, plain = (
        trained(TwoLayerNet(12, 6, 7, 0.1, seed=0, dtype=dtype), make_optimizer(), capture=capture)
        for capture in (True, False)
    )
    assert len(recordings) == 1
    assert_same(recorded, plain)
    assert len(set(recorded.history.loss)) > 100


@pytest.mark.bits
@pytest.mark.parametrize(
    "make_network",
    [
        lambda: ThreeLayerNet(12, 6, 5, 7, 0.5, seed=0),
        lambda: ThreeLayerNet(12, 6, 5, 7, 0.5, seed=0, activation="relu"),
        lambda: network_of(Relu()),
        lambda: network_of(Sigmoid(), dtype="float64"),
        lambda: network_of(RunningMean(6)),
        lambda: network_of(Relu(), RunningMean(6, "float64"), dtype="float64"),
    ],
)
@pytest.mark.parametrize("sampling", ["shuffle", "choice"])
def test_each_network_recorded_equals_plain(make_network, sampling):
    recorded, plain = (
        trained(make_network(), "SGD", capture=capture, sampling=sampling, optimizer_param={"lr": 0.3})
        for capture in (True, False)
    )
    assert_same(recorded, plain)


@pytest.mark.bits
def test_a_running_statistic_is_feedback_from_step_to_step():
    layers = [RunningMean(6), RunningMean(6)]
    for layer, capture in zip(layers, (True, False), strict=True):
        trained(network_of(layer), "SGD", capture=capture)
    assert np.abs(layers[0].mean).max() > 0.01
    assert layers[0].mean.tobytes() == layers[1].mean.tobytes()


@pytest.mark.bits
def test_a_regression_is_recorded_and_its_data_stay_as_they_are():
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((25, 12)), rng.standard_normal((25, 7))
    recorded, plain = (
        trained(network_of(Relu(), dtype="float64", last_layer=IdentityWithLoss()), "SGD", capture=capture, x=x, t=t)
        for capture in (True, False)
    )
    assert_same(recorded, plain)
    assert recorded.x_train.tobytes() == x.tobytes() == np.random.default_rng(0).standard_normal((25, 12)).tobytes()


def test_data_that_may_only_be_read_are_only_read():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((25, 12))
    x.setflags(write=False)
    network = network_of(RunningMean(6, "float64"), dtype="float64")
    assert len(trained(network, "SGD", capture=True, x=x).history.loss) == 200


class Chained(Layer):
    """Two statistics, each the other's old value: both must be looked at before one is changed."""

    recordable = True

    def __init__(self):
        self.a, self.b = np.zeros(6), np.ones(6)

    def forward(self, x):
        if self.train:
            self.a, self.b = self.b, 0.5 * self.a + get_array_module(x).mean(x, axis=0)
        return x + self.a

    def backward(self, dout):
        return dout


@pytest.mark.bits
def test_a_statistic_may_be_the_old_value_of_another():
    recorded, plain = (
        trained(network_of(Chained(), dtype="float64"), "SGD", capture=capture) for capture in (True, False)
    )
    assert_same(recorded, plain)


@pytest.mark.bits
def test_the_rate_may_change_between_epochs_without_a_new_recording(recordings):
    def halve(trainer):
        trainer.optimizer.lr /= 2

    recorded, plain = (trained(None, SGD(0.5), capture=capture, callbacks=[halve]) for capture in (True, False))
    assert_same(recorded, plain)
    assert len(recordings) == 1


@pytest.mark.parametrize("capture", [True, False])
def test_the_optimizer_is_asked_for_each_step_once_and_in_order(capture):
    asked = []

    class Asked(SGD):
        def step_scalars(self, first, count):
            asked.append((first, count))
            return super().step_scalars(first, count)

    trainer = make(optimizer=Asked(0.1), iterations=7, capture=capture)
    trainer.train()
    trainer.train()
    # An epoch has three minibatches, and the second training goes on within one; a recording first looks at a row.
    assert [one for one in asked if one != (0, 1)] == [(0, 3), (3, 3), (6, 1), (7, 2), (9, 3), (12, 2)]


@pytest.mark.bits
def test_what_is_a_constant_of_the_recording_is_recorded_anew_when_it_changes(recordings):
    def calm(trainer):
        trainer.optimizer.momentum *= 0.9

    def another(trainer):
        trainer.optimizer = SGD(0.1)

    for callback in (calm, another):
        recorded, plain = (
            trained(None, Momentum(0.1), capture=capture, callbacks=[callback]) for capture in (True, False)
        )
        assert_same(recorded, plain)
    assert len(recordings) > 2


@pytest.mark.bits
def test_weight_decay_that_changes_between_epochs_is_recorded_anew(recordings):
    def more(trainer):
        evaluation = len(trainer.history.evaluated_at)
        trainer.network.weight_decay_lambda = 0.0 if evaluation < 5 else 0.01 * (evaluation // 5)

    recorded, plain = (
        trained(network_of(Relu(), dtype="float64"), "SGD", capture=capture, callbacks=[more])
        for capture in (True, False)
    )
    assert_same(recorded, plain)
    assert 2 < len(recordings) < 20  # and not each time


@pytest.mark.bits
def test_a_second_training_goes_on_where_the_first_ended():
    recorded, plain = (make(optimizer=Adam(), iterations=100, capture=capture) for capture in (True, False))
    for trainer in (recorded, plain):
        trainer.train()
        trainer.train()
    assert_same(recorded, plain)


def test_recording_changes_nothing(recordings):
    network = flattened(TwoLayerNet(12, 6, 7, 0.1, seed=0))
    trainer = make(network, optimizer=Adam(), capture=True)
    before = {key: value.copy() for key, value in network.params.items()}
    trainer.runner.steps(at_once=2)
    assert len(recordings) == 1
    for key, value in network.params.items():
        assert value.tobytes() == before[key].tobytes()
        assert type(value) is np.ndarray
    assert not any(
        moment.any() for moments in (trainer.optimizer.m, trainer.optimizer.v) for moment in moments.values()
    )
    assert all(network.params[key].base is network.state.buffers.params for key in network.params)


# --- what cannot be recorded ----------------------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize(
    ("layer", "name"),
    [(Noise, "random"), (Masking, "mask"), (Looking, r"float\(\)")],
    ids=["random numbers", "a boolean mask", "a look at a number"],
)
def test_a_layer_that_cannot_be_recorded_is_named_and_trains_all_the_same(layer, name):
    with pytest.raises(CaptureError, match=name):
        trained(network_of(layer()), "SGD", capture=True)
    with pytest.warns(UserWarning, match=rf"cannot be recorded. .*{name}.*capture=False") as told:
        fallen_back = trained(network_of(layer()), "SGD", capture="auto")
    assert len(told) == 1
    assert len(fallen_back.history.loss) == 200
    if layer is Noise:
        return  # which draws on
    assert_same(fallen_back, trained(network_of(layer()), "SGD", capture=False))


def test_any_error_within_a_recording_only_ends_the_recording():
    class Odd(Relu):
        recordable = True

        def forward(self, x):
            if not isinstance(x, np.ndarray):
                raise KeyError("odd")
            return super().forward(x)

    with pytest.warns(UserWarning, match="KeyError: 'odd'"):
        odd = trained(network_of(Odd()), "SGD", capture="auto")
    assert len(odd.history.loss) == 200


@pytest.mark.bits
@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (CourseAdam, r"CourseAdam\.iter"),
        (LazyMomentum, "prepare"),
        (lambda: WithoutNumbers(), r"step_scalars\(first, count\)"),
    ],
)
def test_an_optimizer_that_cannot_be_recorded_is_named_and_trains_all_the_same(optimizer, name):
    with pytest.raises(CaptureError, match=name):
        trained(None, optimizer(), capture=True)
    with pytest.warns(UserWarning, match=name):
        fallen_back = trained(None, optimizer(), capture="auto")
    assert_same(fallen_back, trained(None, optimizer(), capture=False))


@pytest.mark.bits
def test_a_subclass_that_updates_as_the_course_does_trains_as_before():
    class Halved(SGD):
        def update(self, params, grads):
            for key in params:
                params[key] -= 0.5 * self.lr * grads[key]

    with pytest.warns(UserWarning, match=r"Halved\(lr=0.2\) has no"):
        halved = trained(None, Halved(0.2), capture="auto")
    assert_same(halved, trained(None, SGD(0.1), capture=False))


def test_what_a_subclass_makes_of_an_update_is_not_fused_away():
    class Climbing(SGD):
        def update(self, params, grads, step_scalars=None):
            super().update(params, {key: -grad for key, grad in grads.items()}, step_scalars)

    class Slower(SGD):
        def step_scalars(self, first, count):
            return 0.5 * super().step_scalars(first, count)

    def stepped(optimizer):
        network = flattened(TwoLayerNet(12, 6, 7, 0.5, seed=0))
        before = network.state.buffers.params.copy()
        trainer = make(network, optimizer=optimizer)
        step = TrainingStep(network, optimizer, trainer.x_train, trainer.t_train, fused=True)
        step.run(np.arange(10), step.step_scalars(0, 1)[0].tolist())
        return network.state.buffers.params - before

    down = stepped(SGD(0.1))
    np.testing.assert_array_equal(np.sign(stepped(Climbing(0.1))), -np.sign(down))
    np.testing.assert_allclose(stepped(Slower(0.1)), 0.5 * down, rtol=1e-3, atol=1e-7)


class WithoutNumbers:
    """An optimizer as the course writes one."""

    def update(self, params, grads):
        for key in params:
            params[key] -= 0.1 * grads[key]


def test_the_courses_adam_recorded_would_train_wrongly(monkeypatch):
    """That the check is what stands between a user and this: with it taken out, the losses differ."""
    monkeypatch.setattr("xpnet.engine.state.StateScan.scalars", lambda self: {})
    monkeypatch.setattr("xpnet.engine.capture.verify", lambda trial, plain: True)
    recorded, plain = (trained(None, CourseAdam(), capture=capture) for capture in (True, False))
    assert recorded.history.loss[:1] == plain.history.loss[:1]
    assert recorded.history.loss[-1] != plain.history.loss[-1]


def test_a_number_that_changes_unseen_is_noticed():
    """Nothing but the results gives away that this layer counts: its counter is in no attribute."""
    count = iter(range(1, 10_000))

    class Counting(Relu):
        recordable = True

        def forward(self, x):
            return super().forward(x) * float(next(count))

    with pytest.raises(CaptureError, match="other numbers"):
        trained(network_of(Counting()), "SGD", capture=True)


@pytest.mark.bits
# A recording is checked by two steps whose numbers and samples differ: the losses are compared, and the state after
# them. Each of these would be believed if one of the four were left out.


class ReadsTheRate(SGD):
    """Recorded, it has the rate that its first step was given for a constant."""

    def update(self, params, grads, step_scalars=None):
        (lr,) = step_scalars
        super().update(params, grads, (lr if isinstance(lr, float) else self.lr,))


class ReadsTheSamples(Relu):
    """Recorded, it has the samples of its first step for a constant."""

    recordable = True

    def forward(self, x):
        return super().forward(wrapped(x.array.copy()) if isinstance(x, RecordedArray) else x)


class CountsWhereCalled(Relu):
    """Recorded, it does not count; its losses are the same."""

    recordable = True

    def __init__(self):
        super().__init__()
        self.count = np.zeros(1)

    def forward(self, x):
        if isinstance(x, np.ndarray) and self.train:
            self.count += 1
        return super().forward(x)


class LossOfTheFirstStep(SoftmaxWithLoss):
    """Recorded, it tells the loss of its first step; what is learned is right."""

    recordable = True

    def compute_loss(self, x, t):
        loss = super().compute_loss(x, t)
        return wrapped(loss.array.copy()) if isinstance(loss, RecordedArray) else loss


@pytest.mark.parametrize("part", [ReadsTheRate, ReadsTheSamples, CountsWhereCalled, LossOfTheFirstStep])
def test_a_recording_that_does_something_else_is_refused(part):
    affine = Affine(0.1 * np.random.default_rng(0).standard_normal((12, 7)), np.zeros(7))
    layers = [part(), affine] if part in (ReadsTheSamples, CountsWhereCalled) else [affine]
    network = Network(layers, part() if part is LossOfTheFirstStep else None)
    optimizer = part(0.1) if part is ReadsTheRate else SGD(0.1)
    with pytest.raises(CaptureError, match="give other numbers than the steps themselves"):
        trained(network, optimizer, capture=True)
    assert len(make(network, optimizer=optimizer, iterations=50, capture=False).train().loss) == 50


# --- random numbers of a layer's own --------------------------------------------------------------------------------


class Depth(Relu):
    """Is left out now and then, as in stochastic depth, and so rarely that a check of a few steps would not see it."""

    draw = staticmethod(lambda: np.random.random())  # noqa: NPY002

    def forward(self, x):
        y = super().forward(x)
        return y if self.train and self.draw() < 0.9 else x * 1


class OwnDepth(Depth):
    """From a generator of its own."""

    def __init__(self):
        super().__init__()
        self.generator = np.random.default_rng(0)

    def draw(self):
        return self.generator.random()


class PythonsDepth(Depth):
    draw = staticmethod(random.random)


@pytest.mark.parametrize("kind", [Depth, OwnDepth, PythonsDepth])
def test_a_layer_with_random_numbers_of_its_own_is_called(kind):
    def trained_from_a_seed(capture):
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        return trained(network_of(kind()), "SGD", capture=capture)

    assert_same(trained_from_a_seed("auto"), trained_from_a_seed(False))
    with pytest.raises(CaptureError, match=rf"The class {kind.__name__} may .* `recordable = True`"):
        trained_from_a_seed(True)


@pytest.mark.parametrize(
    ("kind", "source"), [(Depth, r"numpy\.random"), (OwnDepth, r"Declared\.generator"), (PythonsDepth, "random")]
)
def test_who_says_recordable_and_draws_is_found_out(kind, source):
    class Declared(kind):
        recordable = True

    with pytest.raises(CaptureError, match=rf"The step draws random numbers from {source}, "):
        trained(network_of(Declared()), "SGD", capture=True)


def test_the_remedy_for_a_class_that_may_be_recorded(recordings):
    class Plain(Relu):
        def forward(self, x):
            return super().forward(x)

    class Own(Network):
        def compute_gradients(self, x, t):
            return super().compute_gradients(x, t)

    def network(kind=Network, layer=Plain):
        layers = copy.deepcopy(list(network_of().layers.values()))
        return kind([layers[0], layer(), layers[1]])

    for made, name in ((network(), "Plain"), (network(Own, Relu), "Own")):
        with pytest.raises(CaptureError, match=f"The class {name} may ") as told:
            trained(made, "SGD", capture=True)
    (remedy,) = re.findall("`([^`]*)`", str(told.value))[:1]
    assert not recordings
    for kind in (Plain, Own):
        exec(f"kind.{remedy}", {"kind": kind})
    recorded = [trained(network(*kinds), "SGD", capture=True) for kinds in ((), (Own, Relu))]
    assert len(recordings) == 2
    assert_same(*recorded)


def test_a_step_of_ones_own_is_called(recordings):
    class Own(Trainer):
        def train_step(self, x, t):
            self.called = getattr(self, "called", 0) + 1
            return super().train_step(x, t)

    plain = make(iterations=50)
    own = Own(TwoLayerNet(12, 6, 7, seed=0), plain.x_train, plain.t_train, plain.x_test, plain.t_test, iterations=50,
              mini_batch_size=10, verbose=False, seed=0, optimizer_param={"lr": 0.1})  # fmt: skip
    own.train()
    assert own.called == 50
    plain.train()
    assert_same(own, plain)
    assert len(recordings) == 1


# --- manners --------------------------------------------------------------------------------------------------------


@pytest.mark.bits
def test_an_interrupt_within_a_block_loses_nothing_that_was_learned(recordings, monkeypatch):
    trainer = make(iterations=200, capture=True)
    run = NumpyReplayer.run

    def interrupted(self, indices, scalars, add_losses):
        if trainer.history.loss:
            calls = [lambda: pressed() if next(steps) == 1 else None, *self._calls]
            monkeypatch.setattr(self, "_calls", calls)
        run(self, indices, scalars, add_losses)

    def pressed():
        raise KeyboardInterrupt

    steps = itertools.count()
    monkeypatch.setattr(NumpyReplayer, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    plain = trained(None, "SGD", capture=False)
    assert len(trainer.history.loss) == 4  # the first epoch has two whole minibatches and a short one
    assert trainer.history.loss == plain.history.loss[:4]


@pytest.mark.bits
@pytest.mark.parametrize(
    ("layer", "attribute", "value"),
    [("Dropout1", "dropout_ratio", 0.2), ("BatchNormalization1", "momentum", 0.5), (None, "label_smoothing", 0.2)],
)
def test_a_number_of_a_layer_that_a_callback_changes_is_recorded_anew(layer, attribute, value):
    def changed(trainer):
        if len(trainer.history.loss) >= 20:
            network = trainer.network
            setattr(network.last_layer if layer is None else network.layers[layer], attribute, value)

    def trained_with(capture):
        network = MultiLayerNet(12, [6], 7, use_dropout=True, use_batchnorm=True, seed=0)
        trainer = make(network, epochs=20, capture=capture, callbacks=[changed])
        trainer.train()
        return trainer

    assert_same(trained_with(True), trained_with(False))


ELSEWHERE = {
    "weights put back": lambda trainer: trainer.network.state.set_weights(trainer.network.state.weights()),
    "statistics assigned": lambda trainer: trainer.network.state.statistics.update(
        {key: np.full(value.shape, 0.5, value.dtype) for key, value in trainer.network.state.statistics.items()}
    ),
    "an attribute assigned": lambda trainer: setattr(
        trainer.network.layers["BatchNormalization1"], "running_mean", np.full(6, 0.5, "float32")
    ),
    "the loss of training": lambda trainer: trainer.network.loss(trainer.x_train, trainer.t_train, train=True),
    "an optimizer at rest": lambda trainer: [slot.clear() for slot in (trainer.optimizer.m, trainer.optimizer.v)],
}


@pytest.mark.bits
@pytest.mark.parametrize("name", ELSEWHERE)
def test_an_array_that_a_callback_replaces_is_the_one_that_steps_go_on_with(name):
    def once(trainer):
        if len(trainer.history.evaluated_at) == 3:
            ELSEWHERE[name](trainer)

    def trained_with(capture):
        network = MultiLayerNet(12, [6], 7, use_dropout=True, use_batchnorm=True, seed=0)
        trainer = make(network, optimizer="Adam", epochs=10, capture=capture, callbacks=[once])
        trainer.train()
        return trainer

    recorded, plain = trained_with(True), trained_with(False)
    assert_same(recorded, plain)
    for key, value in plain.network.state.statistics.items():
        assert value.tobytes() == recorded.network.state.statistics[key].tobytes(), key


@pytest.mark.bits
def test_an_update_that_makes_its_parameters_anew_trains():
    class Anew(SGD):
        def update_one(self, W, dW, lr):
            return (W - lr * dW,)

    class Own:
        def update(self, params, grads):
            for key in params:
                params[key] = params[key] - 0.1 * grads[key]

    expected = make(optimizer=SGD(0.1), iterations=40, capture=False)
    expected.train()
    for optimizer, capture in ((Anew(0.1), True), (Anew(0.1), False), (Own(), False)):
        trainer = make(optimizer=optimizer, iterations=40, capture=capture)
        trainer.train()
        assert_same(trainer, expected)
