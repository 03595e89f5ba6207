"""One network in several threads: each prediction is right, and a training is the same with and without them."""

import copy
import pickle
import sys
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from states import flattened

from xpnet import (
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    DeepConvNet,
    Dropout,
    Flatten,
    Gelu,
    GlobalAveragePooling,
    Layer,
    LayerNormalization,
    LeakyRelu,
    MaxPooling,
    MultiLayerNet,
    Network,
    Residual,
    ResNet,
    Sigmoid,
    SimpleConvNet,
    SoftmaxWithLoss,
    Tanh,
    Trainer,
    TwoLayerNet,
)
from xpnet.errors import BusyError

THREADS, TIMES = 8, 100
WIDTH = 6
X = np.random.default_rng(0).random((60, 1, 8, 8), dtype=np.float32)
T = np.random.default_rng(1).integers(0, 10, len(X))


@pytest.fixture(autouse=True)
def threads_take_turns_often():
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


Pair = namedtuple("Pair", "first second")


class Layers(list):
    """A list of a user's own class."""

    name = "mine"


class Both(Layer):
    """A layer of a user's own, made of layers in attributes, in lists, and in a named tuple."""

    def __init__(self, make):
        self.before = make(WIDTH)
        self.branches = Layers(
            [Pair(make(WIDTH), Gelu()), [make(WIDTH), LayerNormalization(ones(WIDTH), zeros(WIDTH))]]
        )

    def forward(self, x):
        self.kept = self.before.forward(x)
        pair, layers = self.branches
        assert self.branches.name == "mine"
        y = pair.second.forward(pair.first.forward(self.kept))
        z = self.kept
        for layer in layers:
            z = layer.forward(z)
        return y + z + self.kept

    def backward(self, dout):
        (first, gelu), layers = self.branches
        dkept = dout + first.backward(gelu.backward(dout))
        for layer in layers[::-1]:
            dout = layer.backward(dout)
        return self.before.backward(dkept + dout)


def ones(*shape):
    return np.ones(shape, np.float32)


def zeros(*shape):
    return np.zeros(shape, np.float32)


def affine(rng):
    def make(width, inputs=WIDTH):
        return Affine(rng.standard_normal((inputs, width), dtype=np.float32), zeros(width))

    return make


def mixed(seed=0):
    """All layers that stand in no network of the library's, and one of a user's own."""
    rng = np.random.default_rng(seed)
    make = affine(rng)
    inside = [BatchNormalization(ones(3), zeros(3)), LeakyRelu(0.1), Dropout(0.3, seed=1)]
    return Network(
        [
            Convolution(rng.standard_normal((3, 1, 3, 3), dtype=np.float32), zeros(3), pad=1),
            Residual(inside),
            AveragePooling(2, 2),
            Residual([Sigmoid(), Residual([Tanh()])], [Gelu()]),
            MaxPooling(3, 3, 1, 1),
            Flatten(),
            make(WIDTH, 48),
            Both(make),
            make(10),
        ],
        input_shape=(1, 8, 8),
    )


def deep(activation):
    options = {"use_batchnorm": True, "use_dropout": True, "dropout_ratio": 0.3, "seed": 0}
    return MultiLayerNet(64, [20, 20], 10, activation=activation, weight_decay_lambda=0.01, **options)


def global_average():
    rng = np.random.default_rng(0)
    W = rng.standard_normal((10, 1, 3, 3), dtype=np.float32)
    return Network([Convolution(W, zeros(10)), Gelu(), GlobalAveragePooling()], input_shape=(1, 8, 8))


FILTERS = {"filter_num": 4, "filter_size": 3, "pad": 0, "stride": 1}
NETWORKS = {
    "TwoLayerNet": lambda: TwoLayerNet(64, 30, 10, seed=0),
    "MultiLayerNet": lambda: deep("relu"),
    "MultiLayerNet, sigmoid": lambda: deep("sigmoid"),
    "SimpleConvNet": lambda: SimpleConvNet((1, 8, 8), FILTERS, 12, seed=0),
    "DeepConvNet": lambda: DeepConvNet((1, 8, 8), hidden_size=12, seed=0),
    "ResNet": lambda: ResNet((1, 8, 8), (3, 5), seed=0),
    "global average": global_average,
    "mixed": mixed,
}


def inputs(network, x=X):
    return x if len(network.input_shape) == 3 else x.reshape(len(x), -1)


def in_threads(*works):
    """Call each in a thread of its own; an error in one is raised here."""
    errors = []

    def called(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=called, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_each_prediction_is_that_of_its_own_samples(name):
    network = NETWORKS[name]()
    x, rng = inputs(network), np.random.default_rng(0)
    network.gradient(x, T)  # statistics that are not the first ones, and flags as training leaves them
    starts, sizes = rng.integers(0, 30, 40), rng.integers(1, 30, 40)
    pieces = [slice(int(i), int(i + n)) for i, n in zip(starts, sizes, strict=True)]
    right = [network.predict(x[piece]) for piece in pieces]
    losses = [float(network.loss(x[piece], T[piece])) for piece in pieces]

    def ask(seed):
        for k in np.random.default_rng(seed).integers(0, len(pieces), TIMES).tolist():
            if k % 5:
                np.testing.assert_allclose(network.predict(x[pieces[k]]), right[k], rtol=1e-4, atol=1e-5)
            else:
                assert float(network.loss(x[pieces[k]], T[pieces[k]])) == pytest.approx(losses[k], rel=1e-4)

    in_threads(*(lambda seed=seed: ask(seed) for seed in range(THREADS)))


def trainer_of(network, capture=False, **options):
    return Trainer(
        network, inputs(network), T, inputs(network)[:5], T[:5], epochs=6, mini_batch_size=7, optimizer="Adam",
        verbose=False, seed=0, capture=capture, **options,
    )  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("capture", [False, "auto"])
def test_a_training_is_the_same_beside_predictions(name, capture, tmp_path):
    alone, beside = (trainer_of(NETWORKS[name](), capture) for _ in range(2))
    alone.train()
    network, ended = beside.network, threading.Event()
    x = inputs(network)

    def train():
        try:
            beside.train()
        finally:
            ended.set()

    def ask():
        while not ended.is_set():
            assert network.predict(x[:9]).shape == (9, 10)
            assert np.isfinite(float(network.loss(x[:3], T[:3], train=True)))
            assert 0 <= network.accuracy(x[:20], T[:20]) <= 1

    def copies():
        while not ended.is_set():
            assert network.copy().predict(x[:2]).shape == (2, 10)
            network.save(tmp_path / "weights.safetensors")

    in_threads(train, ask, ask, copies)
    assert beside.history.loss == alone.history.loss
    assert beside.history.test_acc == alone.history.test_acc
    for key, value in alone.network.state.weights().items():
        assert value.tobytes() == network.state.weights()[key].tobytes(), key


def test_a_numerical_gradient_beside_a_training_leaves_it_as_it_is():
    alone, beside = (trainer_of(deep("relu")) for _ in range(2))
    alone.train()
    network, found = beside.network, []
    small = inputs(network)[:2]
    in_threads(beside.train, lambda: found.append(network.numerical_gradient(small, T[:2])))
    assert beside.history.loss == alone.history.loss
    assert {key: value.shape for key, value in found[0].items()} == {k: v.shape for k, v in network.params.items()}


# --- one training at a time -----------------------------------------------------------------------------------------


class Waits:
    """A callback that stops a training at its first evaluation until it is told to go on."""

    def __init__(self):
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, trainer):
        self.reached.set()
        assert self.go_on.wait(600)


def test_a_second_training_and_a_gradient_in_another_thread_are_refused():
    network, waits = deep("relu"), Waits()
    x = inputs(network)
    expected = trainer_of(deep("relu")).train().loss
    first, second = trainer_of(network, callbacks=[waits]), trainer_of(network)

    def others():
        assert waits.reached.wait(600)
        try:
            with pytest.raises(BusyError, match=r"The network is being trained already.* `network\.copy\(\)`"):
                second.train()
            with pytest.raises(BusyError, match=r"`network\.copy\(\)`"):
                network.gradient(x, T)
            assert set(network.copy().gradient(x, T)) == set(network.params)  # as the message advises
        finally:
            waits.go_on.set()

    in_threads(first.train, others)
    assert first.history.loss == expected
    assert not second.history.loss
    second.train()  # now it may


def test_a_last_layer_of_two_networks_is_used_by_one_thread_at_a_time():
    last_layer = SoftmaxWithLoss()
    first, second = (Network([affine(np.random.default_rng(i))(WIDTH)], last_layer) for i in range(2))
    x = np.random.default_rng(0).standard_normal((len(T), WIDTH), dtype=np.float32)
    t = T % WIDTH
    grads = second.gradient(x, t)

    def in_another_thread():
        with pytest.raises(BusyError, match="is the last layer of two networks.*Give each network a last layer of its"):
            second.gradient(x, t)
        with pytest.raises(BusyError, match="is the last layer of two networks"), second.state.training():
            pass
        second.predict(x)
        second.loss(x, t)

    with first.state.training(), ThreadPoolExecutor(1) as pool:
        pool.submit(in_another_thread).result()
        assert second.gradient(x, t).keys() == grads.keys()  # in this thread they follow one another
        pool.submit(in_another_thread).result()
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(second.gradient, x, t).result()
    assert all(np.array_equal(again[key], grad) for key, grad in grads.items())


def test_a_callback_may_ask_for_gradients_but_not_train_the_same_network():
    network, seen = deep("relu").freeze("BatchNormalization1", "BatchNormalization2", "Dropout1", "Dropout2"), []

    def look(_):
        seen.append(network.gradient(inputs(network), T))
        with pytest.raises(BusyError, match="by the trainer whose callback this is"):
            trainer_of(network).train()

    trainer_of(network, callbacks=[look]).train()
    assert len(seen) == 7
    in_threads(lambda: network.gradient(inputs(network), T))  # another thread may as well, afterwards


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("name", ["TwoLayerNet", "mixed"])
def test_gradients_in_several_threads_are_right(name, flat):
    network = NETWORKS[name]()
    if flat:
        network.state.flatten()
    if name == "mixed":  # dropout draws other numbers in each call, in whatever order they come
        network.freeze("Residual1")
    x = inputs(network)
    pieces = [slice(i, i + 5 + i) for i in range(8)]
    right = [network.gradient(x[piece], T[piece]) for piece in pieces]

    def ask(k):
        for _ in range(20):
            for key, value in network.gradient(x[pieces[k]], T[pieces[k]]).items():
                np.testing.assert_allclose(value, right[k][key], rtol=1e-4, atol=1e-5)

    in_threads(*(lambda k=k: ask(k) for k in range(8)))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network)), Network.copy])
def test_copies_have_locks_of_their_own(again):
    network = flattened(deep("relu"))
    x, copies = inputs(network), []
    with network.state.training(), network.state.lock:
        copies.append(again(network))
        in_threads(lambda: copies[0].gradient(x, T), lambda: copies[0].predict(x))
    in_threads(trainer_of(copies[0]).train)
    assert np.array_equal(copies[0].copy().predict(x), copies[0].predict(x))


# --- views ----------------------------------------------------------------------------------------------------------


def test_a_prediction_leaves_the_layers_as_they_were():
    network = mixed()
    x = inputs(network)
    network.gradient(x, T)
    layers = network.state.every_layer
    before = [dict(vars(layer)) for layer in layers]
    statistics = network.state.weights()
    network.predict(x[:3])
    network.predict_proba(x[:3])
    network.loss(x[:3], T[:3])
    network.loss(x[:3], T[:3], train=True)
    network.accuracy(x[:3], T[:3])
    for layer, kept in zip(layers, before, strict=True):
        assert vars(layer).keys() == kept.keys()
        assert all(vars(layer)[key] is value for key, value in kept.items()), layer
    assert all(np.array_equal(value, statistics[key]) for key, value in network.state.weights().items())


def test_a_loss_as_in_training_has_the_flags_of_training():
    network = mixed()
    x = inputs(network)
    in_training = float(network.loss(x, T, train=True))
    assert in_training != float(network.loss(x, T))
    assert in_training == float(network.loss(x, T, train=True))  # the same numbers dropped, the same statistics
    assert in_training == pytest.approx(float(network.compute_gradients(x, T)), rel=1e-6)
    network.freeze("Residual1")
    assert float(network.loss(x, T, train=True)) == pytest.approx(float(network.loss(x, T)), rel=1e-6)


@pytest.mark.parametrize("bound", [True, False])
def test_a_forward_that_was_set_on_a_layer_sees_the_flag(bound):
    """It may be bound to the layer, or hold it in a closure, and so cannot be given a copy."""
    network, expected = (deep("relu") for _ in range(2))
    x = inputs(network)
    for each in (network, expected):
        each.gradient(x, T)
    for layer in network.layers.values():
        own = layer.forward
        layer.forward = own if bound else lambda x, own=own: own(x)
    assert np.array_equal(network.predict(x), expected.predict(x))
    assert all(layer.train for layer in network.layers.values())
    before = network.state.weights()
    for _ in range(2):
        assert float(network.loss(x, T, train=True)) == float(expected.loss(x, T, train=True))
    assert all(np.array_equal(value, before[key]) for key, value in network.state.weights().items())


def test_what_a_user_changes_on_a_layer_is_heeded_by_the_next_prediction():
    network = Network([affine(np.random.default_rng(0))(WIDTH), Residual([LeakyRelu(0.1)])])
    x = np.random.default_rng(0).standard_normal((3, WIDTH), dtype=np.float32)
    network.predict(x)
    network.layers["Residual1"].branch[0].slope = 0.5
    network.layers["Affine1"].b = np.full(WIDTH, 2.0, np.float32)
    y = x @ network.params["W1"] + 2
    np.testing.assert_allclose(network.predict(x), y + np.where(y > 0, y, 0.5 * y), rtol=1e-5)
