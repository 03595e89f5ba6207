"""ReLU after max pooling in place of before it: the same numbers, forward and backward, on every backend."""

from typing import Any

import numpy as np
import pytest
from matrix import Place
from states import fused_plan

from xpnet import (
    Affine,
    AveragePooling,
    Convolution,
    Layer,
    MaxPooling,
    Network,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Trainer,
    to_numpy,
)
from xpnet.layers.fused import ReluPooling
from xpnet.networks.plan import Plan

FORMS: dict[str, tuple[Any, ...]] = {
    "side by side": (2, 2),
    "an odd window": (3, 2),
    "overlapping": (3, 3, 1),
    "overlapping, pad": (3, 2, (2, 1), 1),
    "apart": (2, 2, (3, 4)),
    "apart, pad": (2, 2, 3, 1),
    "all at once": (7, 6),
    "each alone": (1, 1),
}
SHAPE = (3, 2, 7, 6)
RNG = np.random.default_rng(0)
ZEROS = np.where(RNG.random(SHAPE) < 0.5, 0.0, -0.0)
KINDS = {
    "all different": RNG.standard_normal(SHAPE),
    "ties": RNG.integers(-2, 3, SHAPE).astype(np.float64),
    "ties and zeros of both signs": np.where(RNG.random(SHAPE) < 0.4, ZEROS, RNG.integers(-1, 2, SHAPE)),
    "none above zero": np.where(RNG.random(SHAPE) < 0.5, ZEROS, -RNG.random(SHAPE)),
    "zeros alone": ZEROS,
    "infinite ones": np.where(RNG.random(SHAPE) < 0.2, np.inf, RNG.integers(-1, 2, SHAPE)),
}


@pytest.mark.bits
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_it_gives_what_the_two_give(be: Place, form: str, kind: str) -> None:
    x = be.put(KINDS[kind])
    relu, pooling = Relu(), MaxPooling(*FORMS[form])
    both = ReluPooling(Relu(), MaxPooling(*FORMS[form]))
    expected = pooling.forward(relu.forward(x))
    y = both.forward(x)
    be.check(y, to_numpy(expected), eps=0)
    assert both.output_shape(SHAPE[1:]) == pooling.output_shape(SHAPE[1:]) == tuple(y.shape[1:])
    dout = be.put(np.random.default_rng(1).standard_normal(y.shape))
    be.check(both.backward(dout), to_numpy(relu.backward(pooling.backward(dout))), eps=0)


def layers(be: Any, form: str, *, pooling: type[Layer] = MaxPooling, activation: Any = Relu) -> list[Layer]:
    options: Any = {"rng": np.random.default_rng(0), "dtype": be.dtype, "backend": be.backend}
    first, second = (
        Convolution.create(2, 3, 3, "he", pad=1, **options),
        Convolution.create(3, 3, 3, "he", pad=1, **options),
    )
    window = pooling(*FORMS[form])
    numbers = int(np.prod(window.output_shape((3, 7, 6))))
    return [first, Relu(), second, activation(), window, Affine.create(numbers, 7, "he", **options)]


@pytest.mark.bits
@pytest.mark.parametrize("form", FORMS)
def test_a_network_has_the_same_gradients_with_it(be: Place, form: str) -> None:
    """To the bit, where products are: what goes back to the convolutions before it is the same."""
    network = Network(layers(be, form))
    x, t = be.put(KINDS["all different"]), be.put(np.array([0, 6, 2]))
    grads, loss = network.gradient(x, t), to_numpy(network.compute_gradients(x, t))
    way = fused_plan(network, kernels=False)
    assert [type(layer).__name__ for layer in way.forward] == [
        *("Convolution", "Relu", "Convolution", "ReluPooling", "Affine")
    ]
    be.check(network.compute_gradients(x, t, way), loss, eps=be.products_eps)
    for key, grad in grads.items():
        be.check(network.state.grads[key], to_numpy(grad), eps=be.products_eps, name=key)
    assert all(np.abs(to_numpy(grad)).max() > 0 for grad in grads.values())


class AsItIs(Network):
    """Whose own way is gone, since it could be another."""

    recordable = True

    def compute_gradients(self, x: Any, t: Any) -> Any:
        return super().compute_gradients(x, t)


@pytest.mark.bits
@pytest.mark.parametrize("capture", [True, False])
@pytest.mark.parametrize("form", ["side by side", "overlapping, pad"])
def test_training_with_it_gives_the_same_bits(form: str, capture: bool) -> None:
    x, t, left = np.random.default_rng(2).random((20, *SHAPE[1:])), np.arange(20) % 7, []
    for kind in (Network, AsItIs):
        network = kind(layers(Here, form))
        trainer = Trainer(network, x, t, None, None, 20, 5, "Adam", verbose=False, seed=0, capture=capture)
        trainer.train()
        way = trainer.runner.step().plan or Plan((), SoftmaxWithLoss(), ())
        assert any(type(layer) is ReluPooling for layer in way.forward) == (kind is Network)
        left.append((trainer.train_loss_list, {key: value.tobytes() for key, value in network.params.items()}))
    assert left[0] == left[1]


class Here:
    """NumPy in float64, to look at forms alone."""

    dtype, backend = "float64", "numpy"


class OtherRelu(Relu):
    """One whose mathematics could be another."""


class OtherPooling(MaxPooling):
    """Likewise."""


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        ({}, True),
        ({"pooling": OtherPooling}, False),
        ({"pooling": AveragePooling}, False),
        ({"activation": OtherRelu}, False),
        ({"activation": Sigmoid}, False),
    ],
)
def test_it_takes_the_place_of_exactly_these_two(options: Any, taken: bool) -> None:
    in_order = layers(Here, "side by side", **options)
    for kernels in (False, True):
        way = Plan.fused(in_order, SoftmaxWithLoss(), kernels=kernels)
        assert [type(layer) is ReluPooling for layer in way.forward].count(True) == taken
        assert way.backward == way.forward[::-1]


def test_it_uses_the_networks_own_layers() -> None:
    network = Network(layers(Here, "side by side"))
    both = fused_plan(network, kernels=False).forward[3]
    assert (both.relu, both.pooling) == (network.layers["Relu2"], network.layers["MaxPooling1"])
    assert repr(both) == "ReluPooling(MaxPooling(2x2))"
    assert both.parameter_count == 0
