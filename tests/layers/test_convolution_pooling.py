"""The first convolution and the max pooling after it as the largest of several convolutions, on every backend."""

from typing import Any

import numpy as np
import pytest
from matrix import Place
from states import fused_plan

from xpnet import (
    SGD,
    Affine,
    AveragePooling,
    Convolution,
    Layer,
    MaxPooling,
    Network,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    to_numpy,
)
from xpnet.layers.fused import ConvolutionPooling, ReluPooling
from xpnet.networks.plan import Plan
from xpnet.training.step import TrainingStep

SHAPE = (3, 2, 9, 8)
# stride and pad of the convolution with filters of 3 x 2, then the window and the stride of pooling
FORMS: dict[str, tuple[Any, ...]] = {
    "side by side": (1, 1, (2, 2)),
    "a row and a column left over": (1, 0, (2, 2)),
    "a high window": (1, (1, 0), (3, 2)),
    "a wide window": (1, (0, 1), (1, 3)),
    "apart": (1, 1, (2, 2, (3, 4))),
    "apart in one direction": (1, 2, (2, 1, (2, 3))),
    "a stride before it": ((2, 1), 1, (2, 2)),
    "all in one": (2, 0, (3, 3)),
    "each alone": (1, 1, (1, 1)),
}


def two(be: Place, form: str, draw: Any) -> tuple[Convolution, MaxPooling]:
    stride, pad, window = FORMS[form]
    return Convolution(be.put(draw((4, 2, 3, 2))), be.put(draw(4)), stride, pad), MaxPooling(*window)


def whole(rng: np.random.Generator) -> Any:
    """Draws small whole numbers, which add up to the same in any order, and of which many are equal."""
    return lambda shape: rng.integers(-2, 3, shape).astype(float)


@pytest.mark.bits
@pytest.mark.parametrize("form", FORMS)
def test_it_gives_what_the_two_give(be: Place, form: str) -> None:
    draw = whole(np.random.default_rng(0))
    convolution, pooling = two(be, form, draw)
    x = be.put(draw(SHAPE))
    y = to_numpy(pooling.forward(convolution.forward(x)))
    dout = be.put(draw(y.shape))
    convolution.backward(pooling.backward(dout))
    dW, db = to_numpy(convolution.dW), to_numpy(convolution.db)
    convolution.dW = convolution.db = None

    both = ConvolutionPooling(convolution, pooling)
    be.check(both.forward(x), y, eps=0)
    assert both.output_shape(SHAPE[1:]) == y.shape[1:]
    assert both.backward(dout) is None
    be.check(convolution.dW, dW, eps=0, name="dW")
    be.check(convolution.db, db, eps=0, name="db")


def layers(be: Any, form: str, relu: bool) -> list[Layer]:
    """A convolution, pooled, a ReLU between them if wanted, and an affine layer."""
    draw = np.random.default_rng(1).standard_normal
    convolution, pooling = two(be, form, draw)
    shape = pooling.output_shape(convolution.output_shape(SHAPE[1:]))
    affine = Affine(be.put(draw((int(np.prod(shape)), 5))), be.put(draw(5)))
    return [convolution, *([Relu()] if relu else []), pooling, affine]


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_a_network_has_the_same_gradients_with_it(be: Place, form: str, relu: bool) -> None:
    network = Network(layers(be, form, relu))
    way = fused_plan(network, kernels=False)
    kinds = [type(layer) for layer in way.forward]
    assert kinds == [ReluPooling if relu else ConvolutionPooling, Affine]
    assert way.backward == way.forward[::-1]
    x, t = be.put(np.random.default_rng(2).standard_normal(SHAPE)), be.put(np.array([0, 4, 2]))
    grads, loss = network.gradient(x, t), float(network.compute_gradients(x, t))
    allowed = 64 * float(np.finfo(be.dtype).eps)
    assert float(network.compute_gradients(x, t, way)) == pytest.approx(loss, rel=allowed)
    for key, grad in grads.items():
        expected = to_numpy(grad)
        largest = np.abs(expected).max()
        assert largest > 0
        assert np.abs(to_numpy(network.state.grads[key]) - expected).max() <= allowed * largest, key


class Here:
    """NumPy in float64, to look at forms alone."""

    @staticmethod
    def put(a: np.ndarray) -> np.ndarray:
        """As it is."""
        return np.asarray(a)


class OtherConvolution(Convolution):
    """One whose mathematics could be another."""


@pytest.mark.parametrize(
    ("between", "pooling", "taken"),
    [
        ([], MaxPooling(2, 2), True),
        ([], MaxPooling(3, 3), True),
        ([Relu()], MaxPooling(3, 3, (3, 5)), True),
        ([Sigmoid()], MaxPooling(2, 2), False),
        ([Relu(), Relu()], MaxPooling(2, 2), False),
        ([], AveragePooling(2, 2), False),
        ([], MaxPooling(2, 2, 1), False),  # windows that overlap, in one direction and in the other
        ([], MaxPooling(2, 2, (2, 1)), False),
        ([], MaxPooling(2, 2, (1, 2)), False),
        ([], MaxPooling(2, 2, 2, (1, 0)), False),
        ([], MaxPooling(2, 2, 2, (0, 1)), False),
        ([], MaxPooling(2, 5), False),
    ],
)
def test_it_takes_the_place_of_exactly_these_two(between: list[Layer], pooling: Layer, taken: bool) -> None:
    for kind in (Convolution, OtherConvolution):
        convolution = kind(np.ones((1, 1, 2, 2)), np.zeros(1))
        for kernels in (False, True):
            fused = pooled_at_once([convolution, *between, pooling], kernels=kernels)
            assert bool(fused) == (taken and kind is Convolution)
            assert all(layer.convolution is convolution and layer.pooling is pooling for layer in fused)


def pooled_at_once(layers: list[Layer], *, kernels: bool = False) -> list[ConvolutionPooling]:
    forward = Plan.fused(layers, SoftmaxWithLoss(), kernels=kernels).forward
    pooled = [layer.pooling if type(layer) is ReluPooling else layer for layer in forward]
    return [layer for layer in pooled if type(layer) is ConvolutionPooling]


@pytest.mark.parametrize(("shape", "taken"), [((3, 3, 2, 2), True), ((3, 5, 3, 1), True), ((3, 16, 1, 1), False)])
def test_it_is_for_small_windows(shape: tuple[int, ...], taken: bool) -> None:
    """Of the convolution: five numbers a filter at most."""
    assert bool(pooled_at_once([Convolution(np.ones(shape), np.zeros(3)), MaxPooling(2, 2)])) == taken


def test_it_is_for_convolutions_whose_input_needs_no_gradient() -> None:
    convolutions = [Convolution(np.ones((2, 2, 1, 1)), np.zeros(2)) for _ in range(3)]
    in_order = [layer for convolution in convolutions for layer in (convolution, Relu(), MaxPooling(2, 2))]
    assert [layer.convolution for layer in pooled_at_once(in_order)] == convolutions[:1]
    convolutions[0].frozen = True
    assert [layer.convolution for layer in pooled_at_once(in_order)] == convolutions[:2]


def test_nothing_of_a_step_or_of_an_evaluation_is_kept_beside_the_other() -> None:
    network = Network(layers(Here, "side by side", relu=True))
    pooling, way = network.layers["MaxPooling1"], fused_plan(network, kernels=False)
    x, t = np.random.default_rng(2).standard_normal(SHAPE), np.array([0, 4, 2])
    network.predict(x)
    assert not {"x", "y"} & set(vars(pooling))
    network.compute_gradients(x, t, way)
    network.predict(x)
    assert not {"x", "y"} & set(vars(pooling))
    kept = [*way.forward[0].pooling.parts, way.forward[0].pooling.y]
    assert [array for array in kept if array is not None] == []


def test_the_layers_are_those_of_the_network_and_learn_in_it() -> None:
    network = Network(layers(Here, "side by side", relu=True))
    both = fused_plan(network, kernels=False).forward[0]
    assert isinstance(both, ReluPooling)
    assert both.relu is network.layers["Relu1"]
    assert both.pooling.convolution is network.layers["Convolution1"]
    assert repr(both) == "ReluPooling(ConvolutionPooling(Convolution(2 -> 4, 3x2, pad=1), MaxPooling(2x2)))"
    assert both.parameter_count == 4 * 2 * 3 * 2 + 4
    before = np.array(network.params["W1"])
    x, t = np.random.default_rng(2).standard_normal(SHAPE), np.array([0, 4, 2])
    TrainingStep(network, SGD(0.1), x, t).run(np.arange(3))
    np.testing.assert_array_equal(network.params["W1"], before - 0.1 * network.state.grads["W1"])
    assert np.abs(network.state.grads["W1"]).max() > 0
