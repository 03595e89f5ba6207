"""Where numbers cease to be finite training ends, names the layer, and leaves the weights from before that step."""

import itertools
import re

import numpy as np
import pytest
from capturable import Adam as CarriedAdam
from capturable import CourseAdam, RunningMean
from cases import numbers
from small_training import LABELS, PIXELS, make

from xpnet import (
    SGD,
    Adam,
    Affine,
    IdentityWithLoss,
    Layer,
    MultiLayerNet,
    Network,
    Relu,
    SigmoidWithLoss,
    SimpleNetwork,
    Trainer,
    TwoLayerNet,
    get_array_module,
    to_numpy,
)
from xpnet.training.diagnosis import snapshot

OPTIMIZERS = ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam", "AdamW"]
ENDS = "^Training ends at iteration {}, where {} is not finite. The network has the weights from before that. "


class Bad(Layer):
    """Passes its input on; a number that is not finite comes in one step of the training, which it counts."""

    def __init__(self, forward=None, backward=None, value=np.nan):
        self.at, self.value, self.calls = {"forward": forward, "backward": backward}, value, 0

    def spoiled(self, a, key):
        if self.at[key] is not None and self.calls > self.at[key]:
            a = a * 1
            a[0, ...] = self.value
        return a

    def forward(self, x):
        if not self.train:
            return x
        self.calls += 1
        return self.spoiled(x, "forward")

    def backward(self, dout):
        return self.spoiled(dout, "backward")


def network_of(*layers, last_layer=None, outputs=7):
    W, V = (0.3 * numbers(seed, *shape) for seed, shape in ((1, (12, 6)), (2, (6, outputs))))
    return Network([Affine(W, np.zeros(6)), *layers, Affine(V, np.zeros(outputs))], last_layer)


def broken(trainer, iteration=r"\d+", what=".*"):
    """Train, and assert that one warning tells where it ended; returns the history."""
    with pytest.warns() as told:
        history = trainer.train()
    assert [w.category for w in told] == [UserWarning]
    assert re.match(ENDS.format(iteration, what), str(told[0].message)), told[0].message
    assert told[0].filename == __file__
    assert repr(trainer.optimizer) in str(told[0].message)
    assert np.isfinite(history.loss[:-1]).all()
    assert history.evaluated_at[-1] == len(history.loss)
    assert len(history.evaluated_at) == len(history.elapsed_seconds) == len(history.train_acc)
    return history


def assert_as_after(trainer, steps, plain):
    """Weights, statistics and the optimizer are those that a training of so many steps gives."""
    if steps:
        plain.iterations = steps
        plain.train()
    for key, value in plain.network.state.weights().items():
        np.testing.assert_array_equal(to_numpy(trainer.network.state.weights()[key]), to_numpy(value), err_msg=key)
    assert trainer.optimizer.iter == plain.optimizer.iter == steps
    for slot in getattr(plain.optimizer, "slots", ()):
        for key, value in getattr(plain.optimizer, slot).items():
            np.testing.assert_array_equal(to_numpy(getattr(trainer.optimizer, slot)[key]), to_numpy(value))


def speeding(at, rate=1e38):
    """A rate that is moderate up to a step, and then enormous."""
    return lambda step: rate if step >= at else 0.01


# --- a rate that is too high ----------------------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("how", ["recorded", "plain", "a step of one's own"])
@pytest.mark.parametrize("at", [0, 7])
def test_each_optimizer(name, how, at):
    def made(**options):
        return make(optimizer=name, optimizer_param={"lr": speeding(at)}, **options)

    trainer = made(iterations=50, capture=how == "recorded")
    if how == "a step of one's own":
        step = trainer.train_step
        trainer.train_step = lambda x, t: step(x, t)
    history = broken(trainer)
    # It shows in the numbers of the step itself, or in the loss of the next.
    steps = trainer.optimizer.iter
    assert steps in (at, at + 1)
    assert len(history.loss) == steps + 1
    assert_as_after(trainer, steps, made(epochs=50, capture=False))


@pytest.mark.bits
@pytest.mark.parametrize("name", ["SGD", "Momentum", "Adam"])
def test_on_every_backend(be, name):
    network = TwoLayerNet(12, 6, 7, seed=0, dtype=be.dtype, backend=be.backend)
    rate = 1e38 if be.dtype == "float32" else 1e308

    def made(**options):
        return make(network.copy(), optimizer=name, optimizer_param={"lr": speeding(4, rate)}, **options)

    trainer = made(epochs=9)
    broken(trainer)
    steps = trainer.optimizer.iter
    assert 4 <= steps <= 6
    assert_as_after(trainer, steps, made(epochs=9))
    assert type(trainer.network.state.like) is type(network.state.like)


@pytest.mark.bits
@pytest.mark.parametrize("capture", [True, False])
def test_batch_normalization_has_its_statistics_from_before(capture):
    def made(**options):
        network = MultiLayerNet(12, [8, 8], 7, use_batchnorm=True, use_dropout=True, seed=0)
        return make(network, optimizer="Adam", optimizer_param={"lr": speeding(5)}, capture=capture, **options)

    trainer = made(iterations=60)
    broken(trainer)
    assert np.isfinite(to_numpy(trainer.network.state.statistics["running_var2"])).all()
    assert_as_after(trainer, trainer.optimizer.iter, made())


@pytest.mark.parametrize(
    ("make_optimizer", "capture"), [(CarriedAdam, True), (CarriedAdam, False), (CourseAdam, False)]
)
def test_an_optimizer_that_is_not_counted_has_its_moments_from_before(make_optimizer, capture):

    def too_fast(trainer):
        if len(trainer.history.evaluated_at) == 4:
            trainer.optimizer.lr = 1e38

    def made(**options):
        return make(optimizer=make_optimizer(0.01), capture=capture, **options)

    trainer, plain = made(iterations=50, callbacks=[too_fast]), made(iterations=9, callbacks=[too_fast])
    broken(trainer, 11, r"the output of Affine1, Affine\(12 -> 6\),")
    plain.train()
    plain.iterations = 1
    plain.train()
    for slot in ("m", "v"):
        np.testing.assert_array_equal(
            getattr(trainer.optimizer, slot)["all"], getattr(plain.optimizer, slot)["all"], err_msg=slot
        )
    assert getattr(trainer.optimizer, "iter", 10) == 10
    for key, value in plain.network.params.items():
        np.testing.assert_array_equal(value, trainer.network.params[key])


def test_no_backpropagation_no_difference():
    network = SimpleNetwork(12, 3, 7, 0.5, seed=0)
    broken(make(network, iterations=9, optimizer_param={"lr": speeding(4, 1e39)}, mini_batch_size=25), r"[5-7]")
    assert all(np.isfinite(value).all() for value in network.params.values())


def test_simple_network_goes_on_to_train():
    history = make(SimpleNetwork(12, 3, 7, 0.5, seed=0), epochs=3, validation=0.2).train()
    assert len(history.loss) == 6
    assert np.isfinite(history.loss).all()


@pytest.mark.parametrize("last_layer", [IdentityWithLoss, SigmoidWithLoss])
def test_other_losses(last_layer):
    network = network_of(Relu(), last_layer=last_layer(), outputs=2)
    x, t = numbers(3, 30, 12), (numbers(4, 30, 2) > 0).astype(float)
    trainer = Trainer(network, x, t, None, None, epochs=9, verbose=False, seed=0, mini_batch_size=5, validation=0.2,
                      optimizer_param={"lr": speeding(3, 1e200)})  # fmt: skip
    with pytest.warns(UserWarning, match="Training ends at iteration [4-7], where ") as told:
        trainer.train()
    assert len(told) == 1
    assert all(np.isfinite(value).all() for value in network.params.values())
    assert np.isfinite(trainer.history.val_loss[:-1]).all()


# --- which step, and what -------------------------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize("at", [0, 1, 4, 5, 8])  # of three epochs of three steps: the first of all, and the last
@pytest.mark.parametrize(("key", "value"), [("forward", np.nan), ("forward", np.inf), ("backward", np.nan)])
def test_the_layer_and_the_step_are_named(at, key, value):
    bad = Bad(**{key: at}, value=value)
    trainer = make(network_of(bad, Relu()), optimizer="Adam", epochs=3, capture=False)
    what = {
        "forward": r"the output of Bad1, Bad\(\),",
        "backward": r"the gradient dW of Affine1, Affine\(12 -> 6\),",
    }[key]
    history = broken(trainer, at + 1, what)
    assert len(history.loss) == at + 1
    assert np.isfinite(history.loss[-1]) == (key == "backward")
    plain = make(network_of(Bad(), Relu()), optimizer="Adam", epochs=3, capture=False)
    assert bad.calls == at
    assert_as_after(trainer, at, plain)


def test_an_infinite_gradient_of_a_finite_loss_in_the_last_step_of_all():
    bad = Bad(backward=2, value=np.inf)
    trainer = make(network_of(bad, Relu()), iterations=3, capture=False)
    history = broken(trainer, 3, r"the gradient dW of Affine1, .*,")
    assert np.isfinite(history.loss).all()
    assert history.evaluated_at == [0, 3]


class Touchy(Relu):
    """Makes NaN of one input, an image that comes once an epoch."""

    def forward(self, x):
        xp = get_array_module(x)
        return super().forward(x) + xp.where(x > self.limit, xp.nan, 0.0)

    limit = np.inf
    recordable = True


@pytest.mark.parametrize("capture", [True, False])
def test_a_layer_that_makes_nan_of_a_certain_input(capture):
    """Recorded too; at an image that is not in the first minibatch."""
    plain = make(epochs=1)
    x = PIXELS / 255.0
    plain.runner.begin_epoch()
    x[plain.runner.order[15]] *= 1e6
    touchy = Touchy()
    touchy.limit = 1e4
    network = network_of(touchy)
    before = {key: value.copy() for key, value in network.params.items()}
    trainer = Trainer(network, x, LABELS, None, None, epochs=20, seed=0, verbose=False, mini_batch_size=10,
                      capture=capture, optimizer_param={"lr": 0.1})  # fmt: skip
    history = broken(trainer, 2, r"the output of Touchy1, Touchy\(\),")
    assert len(history.loss) == 2
    assert network.layers["Touchy1"] is touchy
    assert all((value != before[key]).any() for key, value in network.params.items())  # the first step was made
    assert trainer.optimizer.iter == 1


def test_the_loss_itself():
    class Infinite(IdentityWithLoss):
        def forward(self, x, t):
            return super().forward(x, t) * np.inf

    network = network_of(last_layer=Infinite())
    trainer = Trainer(network, PIXELS / 255.0, numbers(1, 25, 7), None, None, epochs=2, verbose=False)
    with pytest.warns(UserWarning, match=r"iteration 1, where the loss, of Infinite\(\), is not finite"):
        trainer.train()


def test_an_update():
    class Wild(SGD):
        def update_one(self, W, dW, lr):
            W -= lr * dW * (np.inf if self.iter >= 4 else 1.0)
            return (W,)

    trainer = make(network_of(Relu()), optimizer=Wild(0.1), epochs=3, capture=False)
    trainer.train_step = lambda x, t: Trainer.train_step(trainer, x, t)
    broken(trainer, 5, r"the update of W in Affine1, Affine\(12 -> 6\),")
    assert trainer.optimizer.iter == 4


@pytest.mark.parametrize("name", ["W", "b"])
def test_parameters_that_were_never_finite(name):
    network = TwoLayerNet(12, 6, 7, seed=0)
    network.params[f"{name}2"] *= np.float32(np.nan)
    history = broken(make(network, epochs=3), 1, rf"{name} of Affine2, Affine\(6 -> 7\),")
    assert len(history.loss) == 1


def test_a_cause_that_does_not_come_again():
    trainer = make(epochs=3)
    step, calls = trainer.train_step, itertools.count()
    trainer.train_step = lambda x, t: step(x, t) * (np.float32(np.nan) if next(calls) == 4 else 1)
    history = broken(trainer, 5, "something, which did not happen again when the steps were repeated,")
    assert len(history.loss) == 5


@pytest.mark.bits
def test_what_layers_of_ones_own_keep_is_put_back():
    """Their running means are told to nobody, and one NaN in them would spoil each step that is made again."""

    class Inner(Layer):
        def __init__(self):
            self.layer = RunningMean(6, "float64")

        def forward(self, x):
            self.layer.train = self.train
            return self.layer.forward(x)

        def backward(self, dout):
            return self.layer.backward(dout)

    for made in (lambda: RunningMean(6, "float64"), Inner):
        for capture in (True, False) if made is not Inner else (False,):
            first, second = made(), made()
            trainer = make(network_of(first, Relu()), iterations=60, optimizer_param={"lr": speeding(4, 1e300)},
                           capture=capture)  # fmt: skip
            broken(trainer, r"[5-7]")
            steps = trainer.optimizer.iter
            assert_as_after(trainer, steps, make(network_of(second, Relu()), epochs=9, capture=False,
                                                 optimizer_param={"lr": speeding(4, 1e300)}))  # fmt: skip
            mean = vars(first).get("layer", first).mean
            assert np.isfinite(mean).all()


def test_what_an_optimizer_of_ones_own_keeps_is_put_back():
    """As the course writes Momentum: the velocities are made in the first step, under each name."""

    class CourseMomentum:
        lr, v = 0.1, None

        def update(self, params, grads):
            if self.v is None:
                self.v = {key: np.zeros_like(value) for key, value in params.items()}
            for key in params:
                self.v[key] = 0.9 * self.v[key] - self.lr * grads[key]
                params[key] += self.v[key]

    optimizer = CourseMomentum()
    optimizer.lr = 1e38
    broken(make(optimizer=optimizer, epochs=3, capture=False), r"[12]")
    assert optimizer.v is None or np.isfinite(optimizer.v["all"]).all()


# --- what is left ---------------------------------------------------------------------------------------------------


def test_training_may_go_on(tmp_path):
    bad = Bad(forward=4)
    trainer = make(network_of(bad, Relu()), optimizer="Adam", epochs=4, validation=0.2, capture=False)
    broken(trainer, 5)
    bad.at = {"forward": None, "backward": None}
    history = trainer.train()
    assert len(history.loss) == 5 + 8
    assert trainer.optimizer.iter == 4 + 8
    assert np.isfinite(history.loss[5:]).all()
    assert history.evaluated_at == [0, 2, 4, 5, 7, 9, 11, 13]
    history.plot(tmp_path / "h.png")
    history.to_csv(tmp_path / "h.csv")


def test_callbacks_see_the_last_evaluation():
    seen = []
    trainer = make(
        epochs=9, optimizer_param={"lr": speeding(4)}, callbacks=[lambda t: seen.append(len(t.history.loss))]
    )
    history = broken(trainer)
    assert seen == history.evaluated_at
    assert seen[:2] == [0, 3]
    assert seen[-1] == len(history.loss)


def test_an_interrupt_is_not_taken_for_a_break():
    trainer = make(epochs=3, optimizer_param={"lr": 1e38})
    step, calls = trainer.train_step, itertools.count()

    def interrupted(x, t):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return step(x, t)

    trainer.train_step = interrupted
    with pytest.raises(KeyboardInterrupt):  # warnings are errors here
        trainer.train()
    assert len(trainer.history.loss) == 2


def test_an_optimizer_that_leaves_bad_gradients_out_trains_on():
    class Careful(SGD):
        def update(self, params, grads):
            if all(np.isfinite(grad).all() for grad in grads.values()):
                super().update(params, grads)

    bad = Bad(backward=4)
    trainer = make(network_of(bad, Relu()), optimizer=Careful(0.1), epochs=4, capture=False)
    assert len(trainer.train().loss) == 12
    assert trainer.optimizer.iter == 4


# --- a training that stays finite -----------------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_is_told_and_nothing_changes(name, monkeypatch):
    def made(capture):
        network = MultiLayerNet(12, [8], 7, use_batchnorm=True, use_dropout=True, seed=0)
        return make(network, optimizer=name, optimizer_param={"lr": 0.05}, epochs=20, capture=capture)

    watched = made(True)
    watched.train()
    monkeypatch.setattr("xpnet.training.epoch_runner.snapshot", lambda _: lambda: None)
    monkeypatch.setattr("xpnet.training.epoch_runner.probe", lambda network: np.float32(0))
    unwatched = made(False)
    unwatched.train()
    assert np.array(watched.history.loss).tobytes() == np.array(unwatched.history.loss).tobytes()
    for key, value in unwatched.network.state.weights().items():
        assert value.tobytes() == watched.network.state.weights()[key].tobytes(), key


@pytest.mark.parametrize("capture", [True, False])
def test_all_is_kept_once_an_epoch_and_looked_at_once(monkeypatch, capture):
    from xpnet.training import diagnosis

    calls = []
    for name in ("snapshot", "probe"):
        real = getattr(diagnosis, name)
        monkeypatch.setattr(f"xpnet.training.epoch_runner.{name}", lambda a, n=name, f=real: calls.append(n) or f(a))
    monkeypatch.setattr("xpnet.training.epoch_runner.find_nonfinite", lambda *_: pytest.fail("nothing broke"))
    monkeypatch.setattr("xpnet._core.tuning.MIN_SECONDS_BETWEEN_COPIES", 3600)  # also on a busy machine
    make(epochs=15, capture=capture).train()
    assert calls == ["snapshot", "probe"] * 15


def test_a_snapshot_can_be_put_back_more_than_once(be):
    network = MultiLayerNet(
        12, [8], 7, use_batchnorm=True, use_dropout=True, seed=0, dtype=be.dtype, backend=be.backend
    )
    trainer = make(network, optimizer=Adam(0.1), epochs=2)
    network.state.flatten()
    step = trainer.runner.step()
    restore = snapshot(step)

    def run():
        for i in range(3):
            step.run_minibatch(*step.gather(be.put(np.arange(i, i + 9))))
        moments = trainer.optimizer.m
        return [
            to_numpy(a).copy()
            for a in (*network.state.weights().values(), *moments.values(), network.layers["Dropout1"].key)
        ]

    first = run()
    restore()
    for expected, actual in zip(first, run(), strict=True):
        np.testing.assert_array_equal(actual, expected)
    restore()
    assert trainer.optimizer.iter == 0
    for expected, actual in zip(first, run(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_weight_decay_that_is_too_much_is_named_with_its_layer():
    network = MultiLayerNet(12, [], 7, weight_decay_lambda=0.01, seed=0)
    network.params["W1"] *= 1e20  # whose squares no float32 holds
    where = r"iteration 1, where the weight decay of Affine1, Affine\(12 -> 7\), is not finite"
    with pytest.warns(UserWarning, match=where):
        make(network, epochs=1).train()


@pytest.mark.bits
@pytest.mark.parametrize("at", [3, 4, 5])  # the first, the second and the last step of the second epoch
def test_after_a_break_training_goes_on_with_the_minibatch_that_broke(at):
    """Order, counters, slots and parameters are those from before that step; its loss alone stays in the record."""

    def made(**options):
        return make(network_of(Bad(**options), Relu()), optimizer="Adam", iterations=12, capture=False)

    trainer = made(backward=at)
    history = broken(trainer, at + 1)
    assert len(history.loss) == at + 1
    trainer.network.layers["Bad1"].at["backward"] = None
    trainer.iterations = 12 - at
    trainer.train()
    assert history.loss[:at] + history.loss[at + 1 :] == made().train().loss
    assert_as_after(trainer, 12, made())
