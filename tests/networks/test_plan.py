"""Fused layers train as the layers that they stand for do, to the bit, on the same parameters, in fewer launches."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from cases import PIXELS, numbers, same_bits
from states import flattened, fused_plan

from xpnet import (
    SGD,
    Affine,
    Convolution,
    IdentityWithLoss,
    MaxPooling,
    Network,
    Relu,
    Sigmoid,
    SimpleConvNet,
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
    asarray,
    to_numpy,
)
from xpnet._core.arrays import as_inputs, get_array_module
from xpnet.errors import CaptureError
from xpnet.functions import one_hot
from xpnet.layers import Layer
from xpnet.layers.fused import AffineRelu, AffineSoftmaxWithLoss, ConvolutionPooling, ReluPooling
from xpnet.networks.plan import Plan
from xpnet.testing.counting import COUNTING, count_operations
from xpnet.training.step import gather

WIDTHS = [12, 6, 9, 7]
LABELS = np.array([2, 0, 6, 3, 3])


class OtherAffine(Affine):
    """One whose mathematics could be another."""


class OtherRelu(Relu):
    """Likewise."""


class OtherLoss(SoftmaxWithLoss):
    """Likewise."""


def affine(place: Any, i: int, kind: type[Affine] = Affine, widths: Sequence[int] = WIDTHS) -> Affine:
    """The i-th affine layer."""
    W, b = numbers(i, widths[i], widths[i + 1]), numbers(10 + i, widths[i + 1])
    return kind(place.put(W.copy()), place.put(b.copy()))


NETWORKS = {
    "affine": lambda be: [affine(be, 0, widths=[12, 7])],
    "relu, affine": lambda be: [Relu(), affine(be, 0, widths=[12, 7])],
    "affine, relu": lambda be: [affine(be, 0, widths=[12, 7]), Relu()],
    "two layers": lambda be: [affine(be, 0), Relu(), affine(be, 1, widths=[12, 6, 7])],
    "three layers": lambda be: [affine(be, 0), Relu(), affine(be, 1), Relu(), affine(be, 2)],
    "sigmoid": lambda be: [affine(be, 0), Sigmoid(), affine(be, 1, widths=[12, 6, 7])],
    "two affines": lambda be: [affine(be, 0), affine(be, 1), Relu(), affine(be, 2)],
    "two relus": lambda be: [affine(be, 0), Relu(), Relu(), affine(be, 1, widths=[12, 6, 7])],
    "sigmoid last": lambda be: [affine(be, 0, widths=[12, 7]), Sigmoid()],
}

FORMS = {
    "affine": "AffineSoftmaxWithLoss",
    "relu, affine": "Relu AffineSoftmaxWithLoss",
    "affine, relu": "AffineRelu SoftmaxWithLoss",
    "two layers": "AffineRelu AffineSoftmaxWithLoss",
    "three layers": "AffineRelu AffineRelu AffineSoftmaxWithLoss",
    "sigmoid": "Affine Sigmoid AffineSoftmaxWithLoss",
    "two affines": "Affine AffineRelu AffineSoftmaxWithLoss",
    "two relus": "AffineRelu Relu AffineSoftmaxWithLoss",
    "sigmoid last": "Affine Sigmoid SoftmaxWithLoss",
}

BACKWARD = {
    "affine": "",
    "relu, affine": "",
    "two layers": "AffineRelu",
    "three layers": "AffineRelu AffineRelu",
    "sigmoid": "Sigmoid Affine",
    "two relus": "Relu AffineRelu",
    "sigmoid last": "Sigmoid Affine",
}


def kinds(*layers: Any) -> str:
    return " ".join(type(layer).__name__ for layer in layers)


def plain_plan(network: Network) -> Plan:
    return Plan.of(list(network.layers.values()), network.last_layer)


class Here:
    """NumPy in float64, to look at forms alone."""

    put = staticmethod(np.asarray)


# --- which layers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_neighbors_are_fused(name):
    network = Network(NETWORKS[name](Here))
    fused = fused_plan(network)
    assert kinds(*fused.forward, fused.last_layer) == FORMS[name]
    if name in BACKWARD:
        assert kinds(*fused.backward) == BACKWARD[name]
    for layer in (*fused.forward, fused.last_layer):
        if isinstance(layer, AffineRelu | AffineSoftmaxWithLoss):
            assert layer.affine in network.layers.values()


def test_no_subclass_is_fused():
    for layers, last_layer in (
        ([affine(Here, 0, OtherAffine), Relu()], IdentityWithLoss()),
        ([affine(Here, 0), OtherRelu()], SoftmaxWithLoss()),
        ([affine(Here, 0, OtherAffine)], SoftmaxWithLoss()),
        ([affine(Here, 0)], OtherLoss()),
        ([affine(Here, 0)], IdentityWithLoss()),
    ):
        assert Plan.fused(layers, last_layer) == Plan.of(layers, last_layer)


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_no_layer_whose_method_was_replaced_is_fused(method):
    """A student's spy, or another way to compute it, is not passed over."""
    convolution = Convolution(np.ones((2, 1, 2, 2)), np.zeros(2))
    pairs = [
        ([affine(Here, 0), Relu()], IdentityWithLoss()),
        ([affine(Here, 0)], SoftmaxWithLoss()),
        ([Relu(), MaxPooling(2, 2)], IdentityWithLoss()),
        ([convolution, MaxPooling(2, 2)], IdentityWithLoss()),
    ]
    for layers, last_layer in pairs:
        for layer in [*layers, last_layer] if isinstance(last_layer, SoftmaxWithLoss) else layers:
            assert Plan.fused(layers, last_layer) != Plan.of(layers, last_layer)
            setattr(layer, method, lambda x: x)
            assert Plan.fused(layers, last_layer) == Plan.of(layers, last_layer)
            delattr(layer, method)


def test_without_kernels_only_images_are_computed_otherwise() -> None:
    layers = [affine(Here, 0), Relu(), affine(Here, 1)]
    last_layer = SoftmaxWithLoss()
    assert Plan.fused(layers, last_layer) != Plan.of(layers, last_layer)
    assert Plan.fused(layers, last_layer, kernels=False) == Plan.of(layers, last_layer)


@pytest.mark.parametrize("method", ["forward", "backward"])
@pytest.mark.parametrize("kind", [Affine, Convolution, MaxPooling, Relu, SoftmaxWithLoss])
def test_no_layer_of_a_type_whose_method_was_replaced_is_fused(kind, method, monkeypatch):
    layers = [Convolution(np.ones((2, 1, 2, 2)), np.zeros(2)), Relu(), MaxPooling(2, 2), affine(Here, 0), Relu()]
    kinds_fused = {type(layer) for layer in Plan.fused(layers, SoftmaxWithLoss()).forward}
    assert kinds_fused == {ReluPooling, AffineRelu}
    original = getattr(kind, method)
    monkeypatch.setattr(kind, method, lambda *given: original(*given))
    way = Plan.fused([*layers, affine(Here, 1)], SoftmaxWithLoss())
    inner = [*way.forward, way.last_layer, *(getattr(layer, "pooling", None) for layer in way.forward)]
    stand_for = {
        Affine: (AffineRelu, AffineSoftmaxWithLoss),
        Convolution: (ConvolutionPooling,),
        MaxPooling: (ConvolutionPooling, ReluPooling),
        Relu: (AffineRelu, ReluPooling),
        SoftmaxWithLoss: (AffineSoftmaxWithLoss,),
    }
    assert not [layer for layer in inner if isinstance(layer, stand_for[kind])]


def test_the_backward_pass_ends_at_the_first_layer_that_learns():
    layers = [Relu(), Sigmoid(), affine(Here, 0), Relu(), affine(Here, 1)]
    assert Plan.of(layers, SoftmaxWithLoss()).backward == (layers[4], layers[3], layers[2])
    assert Plan.fused(layers, SoftmaxWithLoss()).forward[:2] == (layers[0], layers[1])
    assert kinds(*Plan.fused(layers, SoftmaxWithLoss()).backward) == "AffineRelu"
    assert Plan.of(layers[:2], SoftmaxWithLoss()).backward == ()


# --- the same training ------------------------------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize("batch", ["floats", "tensors", "pixels", "one sample", "one-hot"])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_fused_and_plain_train_to_the_same_bits(be, name, flat, batch):
    """On NumPy and on the strict namespace, which computes with it; elsewhere to the tolerance of the dtype."""
    x = {
        "tensors": numbers(1, 5, 2, 6),
        "pixels": PIXELS,
        "one sample": numbers(1, 1, 12),
    }.get(batch, numbers(1, 5, 12))
    if name == "relu, affine":
        x = x.reshape(len(x), -1)
    networks = [Network(NETWORKS[name](be)) for _ in range(2)]
    for network in networks:
        if flat:
            network.state.flatten()
    passes = [plain_plan(networks[0]), fused_plan(networks[1])]
    x = as_inputs(be.put(x), networks[0].state.like.dtype)
    t = be.put(LABELS[: x.shape[0]])
    if batch == "one-hot":
        t = one_hot(t, 7, networks[0].state.like.dtype)
    exact = be.name == "numpy" or be.name.startswith("strict")
    for _ in range(4):
        losses = [each.run(x, t) for each in passes]
        be.check(losses[1], to_numpy(losses[0]))
        for network in networks:
            network.state.collect_gradients()
            for key in network.params:
                network.params[key] -= 0.25 * network.state.grads[key]
    for key, expected in networks[0].params.items():
        be.check(networks[1].params[key], to_numpy(expected), eps=0 if exact else None, name=key)


@pytest.mark.bits
def test_a_pass_gives_what_the_network_computes(be):
    network = TwoLayerNet(12, 6, 7, seed=0, dtype=be.dtype, backend=be.backend)
    other = network.copy()
    x, t = be.put(numbers(1, 5, 12)), be.put(LABELS)
    expected = network.compute_gradients(x, t)
    be.check(plain_plan(other).run(x, t), to_numpy(expected), eps=0)
    assert same_bits(other.state.grads, network.state.grads)


@pytest.mark.bits
@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize("last", [True, False])
def test_the_gradient_by_the_input_comes_where_it_is_needed(needed, last):
    x, t, dout = numbers(1, 5, 3, 4), LABELS, numbers(2, 5, 6)
    layer, plain = affine(Here, 0), affine(Here, 0)
    layer.needs_input_gradient = needed
    if last:
        t = t % 6
        fused, loss = AffineSoftmaxWithLoss(layer, SoftmaxWithLoss()), SoftmaxWithLoss()
        fused.forward(x, t)
        loss.forward(plain.forward(x), t)
        dx, expected = fused.backward(), plain.backward(loss.backward())
    else:
        fused, relu = AffineRelu(layer, Relu()), Relu()
        np.testing.assert_array_equal(fused.forward(x), relu.forward(plain.forward(x)))
        dx, expected = fused.backward(dout), plain.backward(relu.backward(dout))
    if needed:
        assert dx.shape == x.shape
        np.testing.assert_array_equal(dx, expected)
    else:
        assert dx is None
    np.testing.assert_array_equal(layer.dW, plain.dW)
    np.testing.assert_array_equal(layer.db, plain.db)


def test_a_gradient_of_the_loss_other_than_1():
    layer, plain, loss = affine(Here, 0), affine(Here, 0), SoftmaxWithLoss()
    x, t = numbers(1, 5, 12), LABELS % 6
    fused = AffineSoftmaxWithLoss(layer, SoftmaxWithLoss())
    fused.forward(x, t)
    loss.forward(plain.forward(x), t)
    np.testing.assert_allclose(fused.backward(2.0), plain.backward(loss.backward(2.0)), rtol=1e-14)


def test_nothing_is_written_into_arguments():
    layer = affine(Here, 0)
    fused, x, dout = AffineRelu(layer, Relu()), numbers(1, 5, 12), numbers(2, 5, 6)
    before = copy.deepcopy((x, dout, layer.W, layer.b))
    fused.forward(x)
    fused.backward(dout)
    for array, expected in zip((x, dout, layer.W, layer.b), before, strict=True):
        np.testing.assert_array_equal(array, expected)


# --- the parameters stay the network's --------------------------------------------------------------------------------


def test_parameters_stay_live():
    network = TwoLayerNet(12, 6, 7, seed=0, dtype="float64", backend="numpy")
    fused, x = fused_plan(network), numbers(1, 5, 12)
    first = fused.run(x, LABELS)
    network.set_params({key: 3 + value for key, value in network.params.items()})
    second = fused.run(x, LABELS)
    assert first != second
    assert second == pytest.approx(float(network.loss(x, LABELS)))
    network.to(dtype="float32")
    assert fused.run(x.astype(np.float32), LABELS).dtype == np.float32
    assert network.state.grads["W1"].dtype == np.float32


def test_gradients_are_written_into_the_flat_buffer():
    network = flattened(TwoLayerNet(12, 6, 7, seed=0, backend="numpy"))
    places = dict(network.state.grads)
    fused_plan(network).run(numbers(1, 5, 12).astype(np.float32), LABELS)
    for key, place in places.items():
        assert network.state.grads[key] is place
        assert np.any(place)


def test_a_copy_is_independent():
    network = TwoLayerNet(12, 6, 7, seed=0, dtype="float64", backend="numpy")
    network.way = fused_plan(network)
    other = network.copy()
    assert other.way.forward[0].affine is other.layers["Affine1"]
    other.params["b1"] += 1.0
    assert network.way.run(numbers(1, 5, 12), LABELS) != other.way.run(numbers(1, 5, 12), LABELS)


def test_the_layers_that_are_stood_for_keep_nothing_new():
    layers: list[Layer] = [affine(Here, 0), Relu(), affine(Here, 1, widths=[12, 6, 7])]
    last_layer = SoftmaxWithLoss()
    before = dict(vars(last_layer))
    Plan.fused(layers, last_layer).run(numbers(1, 5, 12), LABELS)
    assert vars(layers[1]) == {}
    assert vars(last_layer) == before
    assert set(vars(layers[0])) == set(vars(layers[2])) == {"W", "b", "dW", "db"}


@pytest.mark.bits
@pytest.mark.parametrize("name", ["two layers", "sigmoid last"])
def test_the_loss_is_written_where_it_is_wanted(be, name):
    network = Network(NETWORKS[name](be))
    if get_array_module(network.state.like).__name__.startswith("jax"):
        pytest.skip("its arrays cannot be written in place")
    x, t, losses = be.put(numbers(1, 5, 12)), be.put(LABELS), be.put(np.zeros(3))
    expected = to_numpy(fused_plan(network).run(x, t))
    loss = fused_plan(network).run(x, t, losses[1, ...])
    be.check(loss, expected, eps=0)
    be.check(losses, np.array([0.0, expected, 0.0]), eps=0)


# --- what a step costs ------------------------------------------------------------------------------------------------


def test_a_fused_training_step_makes_13_launches_and_never_waits():
    network = flattened(TwoLayerNet(784, 50, 10, seed=0, backend=COUNTING))
    fused = fused_plan(network)
    rng = np.random.default_rng(0)
    x = asarray(rng.integers(0, 256, (300, 784), dtype=np.uint8), backend=COUNTING)
    t, indices = asarray(rng.integers(0, 10, 300), backend=COUNTING), asarray(np.arange(100), backend=COUNTING)
    losses = asarray(np.zeros(3, np.float32), backend=COUNTING)
    lr = asarray(np.array(0.1, np.float32), backend=COUNTING)
    (params,), (grads,) = (view.values() for view in network.state.optimizer_view())
    before = to_numpy(params)
    with count_operations() as counts:
        inputs, labels = gather(x, t, indices, network.state.like.dtype)
        fused.run(inputs, labels, losses[1, ...])
        network.state.collect_gradients()
        SGD().fused_update_one(params, grads, lr)
    assert not counts.waits
    assert not counts.copies
    assert counts.launches == {
        "gather": 1,
        "matmul": 5,  # two products forward, dW2, dh and dW1 backward
        "bias_relu": 1,
        "softmax_cross_entropy": 1,
        "mean": 1,
        "sum": 2,  # db2, db1
        "relu_gradient": 1,
        "sgd_update": 1,
    }
    assert to_numpy(losses)[1] == pytest.approx(np.log(10), rel=0.1)
    assert not np.array_equal(to_numpy(params), before)


# --- a method replaced while training -------------------------------------------------------------------------------


class Replacing:
    """A callback that after the eighth step replaces a method of a layer by one that counts its calls in training."""

    def __init__(self, layer, method):
        self.layer, self.method, self.original, self.calls = layer, method, getattr(layer, method), 0

    def __call__(self, trainer):
        if len(trainer.train_loss_list) == 8:
            setattr(self.layer, self.method, self.count)

    def count(self, given):
        self.calls += self.layer.train
        return self.original(given)


@pytest.mark.parametrize("capture", ["auto", False])
@pytest.mark.parametrize("name", ["Conv1", "Relu1", "Pool1", "Affine2"])
@pytest.mark.parametrize("method", ["forward", "backward"])
def test_a_method_that_a_callback_replaces_is_called_in_every_step_from_then_on(name, method, capture):
    x, t, left = np.random.default_rng(0).random((40, 1, 6, 6)), np.arange(40) % 10, []
    for replacing in (False, True):
        network = SimpleConvNet((1, 6, 6), {"filter_num": 3, "filter_size": 3, "pad": 1, "stride": 1}, 5, seed=0)
        callback = Replacing(network.layers[name], method)
        trainer = Trainer(
            network, x, t, None, None, epochs=50, mini_batch_size=10, verbose=False, seed=0, capture=capture,
            callbacks=[callback] if replacing else [], evaluate_sample_num_per_epoch=1,
        )  # fmt: skip
        trainer.train()
        left.append(dict(network.params))
    assert callback.calls == 200 - 8
    for key, value in left[0].items():
        np.testing.assert_allclose(left[1][key], value, rtol=1e-4, atol=1e-6)


def test_who_must_have_a_recording_is_told_that_a_method_was_replaced():
    network = TwoLayerNet(12, 5, 10, seed=0)
    network.layers["Relu1"].backward = network.layers["Relu1"].backward
    trainer = Trainer(network, numbers(1, 40, 12), np.arange(40) % 10, None, None, 5, 10, verbose=False, capture=True)
    with pytest.raises(CaptureError, match=r"A method of Relu\(\) that was replaced may"):
        trainer.train()
