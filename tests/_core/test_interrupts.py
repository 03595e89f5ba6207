"""A training that is interrupted has made each step whole or not at all, and goes on to the same bits."""

import _thread
import copy
import itertools
import signal
import threading
import time

import numpy as np
import pytest
from interruptions import (
    RATES,
    assert_consistent,
    differences,
    everything,
    lines,
    press,
    press_twice,
    raise_interrupt,
    state,
)
from small_training import make

from xpnet import SGD, Augmentation, Callback, Layer, MultiLayerNet, Network, Trainer, TwoLayerNet
from xpnet._core.interrupts import deferred_interrupts
from xpnet.errors import BusyError
from xpnet.training.epoch_runner import EpochRunner
from xpnet.training.history import History

# Python reports an exception that it drops in a finalizer.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def uninterrupted(*arguments, **options):
    trainer = everything(*arguments, **options)
    trainer.train()
    return state(trainer)


def assert_goes_on(trainer, expected):
    """The trainer is consistent, and makes what is left of its training as if nothing had happened."""
    assert_consistent(trainer)
    if len(trainer.history.loss) < 7 or trainer.history.evaluated_at[-1] < 7:
        trainer.train()
    assert not differences(state(trainer), expected)


def interrupted_at(at, act, *arguments, **options):
    """A training in which `act` happened before a line of the library."""
    trainer, acted = everything(*arguments, **options), []
    try:
        lines(trainer.train, lambda: acted.append(1) or act(), at)
    except KeyboardInterrupt:
        assert acted
        return trainer
    # Python drops what is raised in a finalizer; a Ctrl-C that was held back is never dropped.
    assert not acted or act is raise_interrupt
    return trainer


@pytest.fixture
def keeps_after_each_step(monkeypatch):
    """What happens after a tenth of a second happens after each step."""
    monkeypatch.setattr("xpnet._core.tuning.MIN_SECONDS_BETWEEN_COPIES", 0)
    monkeypatch.setattr("xpnet._core.tuning.MIN_COPY_RATIO", 0)
    monkeypatch.setattr("xpnet._core.tuning.MAX_BLOCK_STEPS", 1)


# --- at every place -------------------------------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize("act", [press, press_twice, raise_interrupt])
@pytest.mark.parametrize("capture", [True, False])
def test_an_interrupt_before_any_line(capture, act):
    expected = uninterrupted(capture=False)
    count = lines(everything(capture=capture).train)
    for at in np.linspace(0, count - 50, 16).astype(int):
        assert_goes_on(interrupted_at(at, act, capture=capture), expected)


@pytest.mark.parametrize("act", [press, press_twice, raise_interrupt])
@pytest.mark.parametrize("capture", [True, False])
def test_where_the_state_is_kept_within_an_epoch(keeps_after_each_step, capture, act):
    expected = uninterrupted(capture=False, sampling="choice")
    count = lines(everything(capture=capture, sampling="choice").train)
    for at in np.linspace(count // 2, count - 50, 12).astype(int):
        assert_goes_on(interrupted_at(at, act, capture=capture, sampling="choice"), expected)


@pytest.mark.bits
@pytest.mark.parametrize("optimizer", RATES)
@pytest.mark.parametrize("capture", [True, False])
def test_every_optimizer(optimizer, capture):
    expected = uninterrupted(optimizer, capture=False)
    count = lines(everything(optimizer, capture=capture).train)
    for at in np.linspace(count // 2, count - 50, 3).astype(int):
        assert_goes_on(interrupted_at(at, press, optimizer, capture=capture), expected)
        assert_goes_on(interrupted_at(at, raise_interrupt, optimizer, capture=capture), expected)


@pytest.mark.bits
@pytest.mark.parametrize("step", range(7))
@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("sampling", ["shuffle", "choice"])
def test_after_every_step(monkeypatch, keeps_after_each_step, step, capture, sampling):
    """Ctrl-C while a step is made ends the training after this step, and no sample of the epoch is left out."""
    expected = uninterrupted(capture=False, sampling=sampling)
    trainer, record = everything(capture=capture, sampling=sampling), EpochRunner._record
    presses = itertools.count()

    def recorded(self, *made):
        record(self, *made)
        if len(trainer.history.loss) == step + 1 and not next(presses):
            press()

    monkeypatch.setattr(EpochRunner, "_record", recorded)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert len(trainer.history.loss) in (step + 1, step + 2)
    assert_goes_on(trainer, expected)


def test_again_and_again():
    expected = uninterrupted(capture=False)
    trainer = everything(capture=True)
    for at in (3000, 20_000, 33_000, 5_000, 33_000, 10**9):
        if at == 10**9 or (trainer.history.evaluated_at and trainer.history.evaluated_at[-1] == 7):
            break
        try:
            lines(trainer.train, press, at)
        except KeyboardInterrupt:
            assert_consistent(trainer)
    assert_goes_on(trainer, expected)


# --- errors inside a step -------------------------------------------------------------------------------------------


class Once:
    """Fails in one of its calls: the next time it works."""

    def __init__(self, error, at):
        self.error, self.at, self.calls = error, at, itertools.count()

    def __call__(self, *_):
        if next(self.calls) == self.at:
            raise self.error

    def around(self, function):
        def called(*arguments, **options):
            result = function(*arguments, **options)
            self()
            return result

        return called


class Failing(Augmentation):
    """The augmentation of `everything`; fails when it has drawn its numbers."""

    def __init__(self, once):
        super().__init__(1, 10, 0.1, flip=True, seed=1)
        self.once = once

    def __call__(self, x):
        x = super().__call__(x)
        self.once()
        return x


ERRORS = [KeyboardInterrupt(), MemoryError("none is left"), ValueError("a fault"), SystemExit(3)]


@pytest.mark.bits
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["a layer", "the last update", "an augmentation", "a schedule", "a callback"])
@pytest.mark.parametrize("at", [2, 3, 5])
def test_an_error_leaves_a_whole_number_of_steps(place, at, error):
    expected, trainer = uninterrupted(capture=False), everything(capture=False)
    once = Once(error, at)
    if place == "a layer":
        layer = next(iter(trainer.network.layers.values()))
        layer.backward = once.around(layer.backward)  # behind batch normalization and dropout
    elif place == "the last update":
        trainer.optimizer.update = once.around(trainer.optimizer.update)
    elif place == "an augmentation":
        trainer = everything(capture=False, augmentation=Failing(once))
        once.calls = itertools.count()  # but for the sample that it was tried on
    elif place == "a schedule":
        trainer.optimizer.lr = once.around(trainer.optimizer.lr)
    else:
        once.at = at - 2
        trainer.callbacks = [once]
    with pytest.raises(type(error)):
        trainer.train()
    assert_consistent(trainer)
    if place not in ("a schedule", "a callback"):
        assert len(trainer.history.loss) == at
    trainer.train()
    assert not differences(state(trainer), expected)


@pytest.mark.bits
def test_an_error_that_comes_again_leaves_an_earlier_step():
    """The steps before it cannot be made again, so they are undone as well."""
    trainer = everything(capture=False)
    layer = next(iter(trainer.network.layers.values()))
    calls, backward = itertools.count(), layer.backward

    def broken(dout):
        if next(calls) >= 4:
            raise ValueError("a fault that stays")
        return backward(dout)

    layer.backward = broken
    with pytest.raises(ValueError, match="a fault that stays"):
        trainer.train()
    assert_consistent(trainer)
    assert len(trainer.history.loss) == 4  # two epochs of two steps, and none of the third
    layer.backward = backward
    trainer.train()
    assert not differences(state(trainer), uninterrupted(capture=False))


class Drawing:
    """An augmentation that draws from a generator of NumPy's, as many do."""

    def __init__(self, once=lambda: None):
        self.rng, self.once = np.random.default_rng(0), once

    def __call__(self, x):
        x = x + self.rng.normal(0, 0.1, x.shape).astype("float32")
        self.once()
        return x


def test_a_generator_that_an_augmentation_keeps_is_put_back():
    whole = uninterrupted(capture=False, augmentation=Drawing())
    trainer = everything(capture=False, augmentation=Drawing(Once(ValueError("a fault"), 4)))
    with pytest.raises(ValueError, match="a fault"):
        trainer.train()
    trainer.train()
    assert not differences(state(trainer), whole)


@pytest.mark.parametrize("fails", range(3))
def test_callbacks_after_the_one_that_fails_are_called_when_it_goes_on(fails):
    called = []
    once = [Once(ValueError("a fault"), 1 if i == fails else -1) for i in range(3)]
    callbacks = [lambda trainer, i=i: (called.append((i, len(trainer.history.loss))), once[i]()) for i in range(3)]
    trainer = make(epochs=2, callbacks=callbacks)
    with pytest.raises(ValueError, match="a fault"):
        trainer.train()
    trainer.train()
    assert called == [(i, loss) for loss in (0, 3, 6) for i in range(3)]
    assert trainer.history.evaluated_at == [0, 3, 6]


# --- Ctrl-C ---------------------------------------------------------------------------------------------------------


class Pressing(Layer):
    """Presses Ctrl-C in one of its steps, once or twice."""

    def __init__(self, at, presses=1):
        self.at, self.presses, self.calls = at, presses, itertools.count()

    def forward(self, x):
        if self.train and next(self.calls) == self.at:
            for _ in range(self.presses):
                press()
        return x

    def backward(self, dout):
        return dout


@pytest.mark.parametrize(("presses", "made"), [(1, 5), (2, 4)])
def test_a_step_is_completed_at_the_first_and_undone_at_the_second(presses, made):
    layers = copy.deepcopy(list(TwoLayerNet(12, 6, 7, seed=0).layers.values()))
    network = Network([*layers, Pressing(4, presses)])
    trainer = make(network, epochs=3, capture=False)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert len(trainer.history.loss) == trainer.optimizer.iter == made
    assert len(trainer.train().loss) == 9
    plain = make(epochs=3, capture=False)
    assert trainer.history.loss == plain.train().loss


@pytest.mark.parametrize("place", ["begin", "call", "finish"])
def test_in_a_callback_it_waits_until_all_have_been_called(place):
    called = []

    class Pressing(Callback):
        def on_train_begin(self, trainer):
            called.append("begin")
            if place == "begin":
                press()

        def on_evaluation(self, trainer):
            called.append("call")
            if place == "call" and len(called) == 2:
                press()

        def on_train_end(self, trainer):
            called.append("finish")
            if place == "finish":
                press()

    trainer = make(epochs=1, callbacks=[Pressing(), lambda _: called.append("other")])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    expected = {
        "begin": ["begin", "finish"],
        "call": ["begin", "call", "other", "finish"],
        "finish": ["begin", "call", "other", "call", "other", "finish"],
    }
    assert called == expected[place]


def test_in_a_finalizer_it_is_not_lost():
    class Finalized:
        def __del__(self):
            press()
            press()

    def callback(trainer):
        if len(trainer.history.evaluated_at) == 2:
            Finalized()

    trainer = make(epochs=3, callbacks=[callback])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert len(trainer.history.loss) == 3


def test_an_evaluation_ends_at_once_and_is_made_again(monkeypatch):
    accuracy, calls, after = Network.accuracy, itertools.count(), []

    def pressed(self, *data):
        if next(calls) == 3:
            press()
            after.append("not reached")
        return accuracy(self, *data)

    monkeypatch.setattr(Network, "accuracy", pressed)
    trainer = make(epochs=2)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert not after
    assert trainer.history.evaluated_at == [0]
    assert len(trainer.history.loss) == 3
    assert trainer.train().evaluated_at == [0, 3, 6]


@pytest.mark.parametrize("capture", [True, False])
def test_a_long_epoch_ends_within_a_moment(capture):
    x = np.zeros((40_000, 12), dtype="uint8")
    network = MultiLayerNet(12, [50, 50], 7, seed=0)
    trainer = Trainer(network, x, np.zeros(40_000, dtype="int64"), None, None, epochs=50, mini_batch_size=2,
                      verbose=False, capture=capture, evaluate_sample_num_per_epoch=10)  # fmt: skip

    def interrupt_after_the_first_steps():
        while not trainer.optimizer.iter:
            time.sleep(0.001)
        _thread.interrupt_main()

    threading.Thread(target=interrupt_after_the_first_steps, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert 0 < len(trainer.history.loss) == trainer.optimizer.iter
    assert trainer.optimizer.iter % 20_000  # and not at the end of an epoch


def test_the_handler_is_there_again_whatever_happens():
    before = signal.getsignal(signal.SIGINT)
    seen = []
    make(epochs=1, callbacks=[lambda _: seen.append(signal.getsignal(signal.SIGINT))]).train()
    assert before not in seen
    assert signal.getsignal(signal.SIGINT) is before
    for failing in (Once(ValueError(), 0), Once(KeyboardInterrupt(), 0), lambda _: press()):
        with pytest.raises((ValueError, KeyboardInterrupt)):
            make(epochs=1, callbacks=[failing]).train()
        assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_the_users_own_is_left_alone(monkeypatch):
    pressed = []

    def own(*_):
        pressed.append(1)

    before = signal.signal(signal.SIGINT, own)
    try:
        trainer = make(epochs=2, callbacks=[lambda _: press()])
        assert trainer.train().evaluated_at == [0, 3, 6]
        assert len(pressed) == 3
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_training_in_another_thread_leaves_it_to_the_main_thread():
    before, seen = signal.getsignal(signal.SIGINT), []
    trainer = make(epochs=1, callbacks=[lambda _: seen.append(signal.getsignal(signal.SIGINT))])
    thread = threading.Thread(target=trainer.train)
    thread.start()
    thread.join()
    assert seen == [before, before]
    assert len(trainer.history.loss) == 3


def test_a_training_in_a_callback_of_another_ends_too():
    inner = make(TwoLayerNet(12, 6, 7, seed=1), epochs=500)

    def train_inner(_):
        inner.callbacks = [lambda trainer: press() if len(trainer.history.loss) == 6 else None]
        inner.train()

    outer = make(epochs=2, callbacks=[train_inner])
    with pytest.raises(KeyboardInterrupt):
        outer.train()
    assert len(inner.history.loss) == 6
    assert outer.history.evaluated_at == [0]


def test_an_error_at_the_same_time_is_the_cause_of_the_interrupt():
    with pytest.raises(KeyboardInterrupt) as raised, deferred_interrupts():
        press()
        raise ValueError("a fault")
    assert str(raised.value.__cause__) == "a fault"


# --- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.bits
def test_a_second_training_goes_on_within_an_epoch():
    twice, once = make(iterations=4), make(iterations=8)
    twice.train()
    twice.train()
    assert twice.history.loss == once.train().loss
    assert twice.history.evaluated_at == [0, 3, 4, 6, 8]


def test_other_iterations_begin_a_new_count():
    trainer = make(epochs=3, callbacks=[Once(KeyboardInterrupt(), 1)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    trainer.iterations = 4
    assert len(trainer.train().loss) == 3 + 4


def test_a_record_is_added_whole_or_not_at_all():
    history = History()
    history.record(0, 0.0, {"train_acc": 0.5, "test_acc": 0.25})
    for results in ({"train_acc": 0.5, "no such": 1}, {"train_acc": 0.5, "epochs": 1, "seconds": 1}):
        with pytest.raises((AttributeError, TypeError)):
            history.record(3, 1.0, results)
    assert (history.evaluated_at, history.elapsed_seconds, history.train_acc, history.test_acc) == (
        [0],
        [0.0],
        [0.5],
        [0.25],
    )


def test_a_network_is_trained_by_one_at_a_time():
    network = TwoLayerNet(12, 6, 7, seed=0)
    second = make(network, optimizer=SGD(0.1), epochs=1)
    errors = []

    def train_too(trainer):
        for other in (second, trainer):
            with pytest.raises(BusyError, match=r"is being trained already.*network\.copy\(\)") as raised:
                other.train()
            errors.append(raised.value)
        make(network.copy(), optimizer=SGD(0.1), epochs=1).train()

    first = make(network, epochs=1, callbacks=[train_too])
    plain = make(epochs=1).train()
    assert first.train().loss == plain.loss
    assert len(errors) == 4
    assert second.history.loss == []
    assert len(second.train().loss) == 3


def test_an_augmentation_of_ones_own_is_not_made_again_more_often_than_needed():
    """Only after an error are steps made again: a Ctrl-C costs nothing."""
    calls = []

    def counted(x):
        calls.append(1)
        if len(calls) == 5:
            press()
        return x

    trainer = make(epochs=3, augmentation=counted, capture=False)
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert len(calls) == len(trainer.history.loss) == 5
