"""SimpleConvNet, DeepConvNet and ResNet: what they are made of, what they refuse, and that that they learn.

Their numbers are compared with PyTorch's in the matrix and in `live/test_torch_conv_nets.py`.
"""

import copy
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import same_bits
from conv_networks import NETWORKS, SMALL, SMALL_DEEP
from matrix import ABSENT, BACKENDS, Place

from xpnet import (
    SGD,
    Affine,
    Augmentation,
    Convolution,
    DeepConvNet,
    GlobalAveragePooling,
    Layer,
    Network,
    Relu,
    Residual,
    ResNet,
    SimpleConvNet,
    Trainer,
    load_digits,
    to_numpy,
)
from xpnet.errors import ArgumentError, ShapeError
from xpnet.layers.base import walk_layers
from xpnet.networks.entry import operations

STRICT = [name for name in BACKENDS if name.startswith("strict")]
RNG = np.random.default_rng(0)
PIXELS, LABELS = RNG.integers(0, 256, (24, 1, 8, 8), dtype=np.uint8), RNG.integers(0, 10, 24)


def shapes(network: Network) -> dict[str, tuple[int, ...]]:
    return {key: value.shape for key, value in network.params.items()}


# --- what they are made of ------------------------------------------------------------------------------------------


def test_the_simple_one_is_the_books() -> None:
    network = SimpleConvNet(backend="numpy")
    assert list(network.layers) == ["Conv1", "Relu1", "Pool1", "Affine1", "Relu2", "Affine2"]
    assert shapes(network) == {
        "W1": (30, 1, 5, 5), "b1": (30,), "W2": (4320, 100), "b2": (100,), "W3": (100, 10), "b3": (10,),
    }  # fmt: skip
    assert network.input_shape == (1, 28, 28)
    assert [repr(layer) for layer in network.layers.values()][:3] == [
        "Convolution(1 -> 30, 5x5)",
        "Relu()",
        "MaxPooling(2x2)",
    ]


def test_the_deep_one_is_the_books() -> None:
    network = DeepConvNet(backend="numpy")
    filters = [(16, 1), (16, 16), (32, 16), (32, 32), (64, 32), (64, 64)]
    expected = {f"W{i}": (*pair, 3, 3) for i, pair in enumerate(filters, 1)} | {"W7": (1024, 50), "W8": (50, 10)}
    expected |= {f"b{i}": (n,) for i, n in enumerate((16, 16, 32, 32, 64, 64, 50, 10), 1)}
    assert shapes(network) == expected
    assert list(network.params) == [f"{name}{i}" for i in range(1, 9) for name in "Wb"]
    assert [type(layer).__name__ for layer in network.layers.values()] == [
        *("Convolution", "Relu", "Convolution", "Relu", "MaxPooling") * 3,
        *("Affine", "Relu", "Dropout", "Affine", "Dropout"),
    ]
    pads = [layer.pad[0] for name, layer in network.layers.items() if name.startswith("Conv")]
    assert pads == [1, 1, 1, 2, 1, 1]
    dropouts = [layer for name, layer in network.layers.items() if name.startswith("Dropout")]
    assert [(layer.dropout_ratio, layer.inverted) for layer in dropouts] == [(0.5, False)] * 2
    assert not np.array_equal(dropouts[0].key, dropouts[1].key)


def test_the_residual_one_is_the_papers() -> None:
    network = ResNet((3, 32, 32), (16, 32, 64), 3, backend="numpy")
    convolutions = [layer for layer in walk_layers(network.layers.values()) if type(layer).__name__ == "Convolution"]
    ways_around = [layer for layer in convolutions if layer.W.shape[2:] == (1, 1)]
    # "6n + 2 layers": 19 convolutions and an affine one for n = 3; a way around at the two changes of shape alone.
    assert len(convolutions) - len(ways_around) == 19
    assert [(layer.W.shape[:2], layer.stride) for layer in ways_around] == [((32, 16), (2, 2)), ((64, 32), (2, 2))]
    assert [layer.stride for layer in convolutions].count((2, 2)) == 4
    assert len(network.state.statistics) == 2 * len(convolutions)
    assert network.output_shape((3, 32, 32)) == (10,)
    residuals = [layer for name, layer in network.layers.items() if name.startswith("Residual")]
    shape, seen = (16, 32, 32), []
    for layer in residuals:
        shape = layer.output_shape(shape)
        seen.append(shape)
    assert seen == [(16, 32, 32)] * 3 + [(32, 16, 16)] * 3 + [(64, 8, 8)] * 3


@pytest.mark.parametrize(("std", "expected"), [(0.01, None), (0.2, None), ("he", 2.0), ("xavier", 1.0)])
def test_initial_deviations_of_the_simple_one(std: Any, expected: float | None) -> None:
    network = SimpleConvNet((3, 28, 28), weight_init_std=std, seed=0, backend="numpy")
    for key, fan_in in {"W1": 3 * 5 * 5, "W2": 4320, "W3": 100}.items():
        assert_deviation(network.params[key], std if expected is None else math.sqrt(expected / fan_in))


@pytest.mark.parametrize("make", [DeepConvNet, ResNet])
def test_initial_deviations_are_hes(make: Any) -> None:
    network = make((3, 28, 28), seed=0, backend="numpy")
    for key, value in network.params.items():
        if key[0] == "W":
            fan_in = math.prod(value.shape[1:]) if value.ndim == 4 else value.shape[0]
            assert_deviation(value, math.sqrt(2 / fan_in))
        else:
            assert np.all(value == (1 if key.startswith("gamma") else 0)), key


def assert_deviation(W: np.ndarray, expected: float) -> None:
    error = 5 / math.sqrt(2 * W.size)  # five standard errors of a deviation that is measured on so many
    assert W.std() == pytest.approx(expected, rel=error)
    assert abs(W.mean()) < 5 * expected / math.sqrt(W.size)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_seed_gives_the_same_network_everywhere(be: Place, name: str) -> None:
    here = NETWORKS[name](seed=0, dtype=be.dtype, backend=be.backend)
    there = NETWORKS[name](seed=0, dtype=be.dtype, backend="numpy")
    assert list(here.params) == list(there.params)
    for key, expected in there.state.weights().items():
        be.check(here.state.weights()[key], expected, eps=0, name=key)
    other = NETWORKS[name](seed=1, dtype=be.dtype, backend=be.backend)
    for key, W in here.params.items():
        assert np.array_equal(to_numpy(W), to_numpy(other.params[key])) == (key[0] != "W")
    be.check(here.predict(be.put(PIXELS)), there.predict(PIXELS), eps=64)


# --- what they refuse -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [SimpleConvNet, DeepConvNet, ResNet])
@pytest.mark.parametrize(
    ("input_dim", "says"),
    [
        (28, r"input_dim must be the shape of an image, such as `\(1, 28, 28\)`, got 28"),
        ((28, 28), r"input_dim must be .* got \(28, 28\)"),
        ((1, 0, 28), "a length in input_dim must be a whole number of at least 1, got 0"),
        ((1, 28.0, 28), "a length in input_dim must be .* got 28.0"),
    ],
)
def test_no_image(make: Any, input_dim: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        make(input_dim)


@pytest.mark.parametrize(
    ("make", "options", "says"),
    [
        (SimpleConvNet, {"conv_param": {}}, "{'filter_num': 30, 'filter_size': 5, 'pad': 0, 'stride': 1}, got {}"),
        (SimpleConvNet, {"conv_param": 5}, "A convolution is described by .* got 5"),
        (SimpleConvNet, {"conv_param": SMALL | {"padding": 1}}, "A convolution is described by .* got .*'padding': 1"),
        (SimpleConvNet, {"conv_param": SMALL | {"filter_num": 0}}, "number of filters must be .* at least 1, got 0"),
        (SimpleConvNet, {"conv_param": SMALL | {"filter_size": 2.5}}, "filter's size must be .* got 2.5"),
        (SimpleConvNet, {"conv_param": SMALL | {"stride": 0}}, "stride must be .* at least 1, .* got 0"),
        (SimpleConvNet, {"conv_param": SMALL | {"pad": -1}}, "pad must be .* at least 0, .* got -1"),
        (SimpleConvNet, {"hidden_size": 0}, "size must be .* got 0"),
        (SimpleConvNet, {"weight_init_std": "kaiming"}, "Initial weights must be .* got 'kaiming'"),
        (DeepConvNet, {"conv_params": [SMALL] * 5}, "conv_params must .* six convolutions, got .*filter_num"),
        (DeepConvNet, {"conv_params": [{}] * 6}, "A convolution is described by .* got {}"),
        (DeepConvNet, {"conv_params": 6}, "conv_params must .* 6"),
        (DeepConvNet, {"dropout_ratio": 1.0}, "dropout_ratio must be .* got 1.0"),
        (ResNet, {"blocks": 0}, "blocks must be a whole number of at least 1, got 0"),
        (ResNet, {"blocks": 1.5}, "blocks must be .* got 1.5"),
        (ResNet, {"filter_nums": ()}, r"filter_nums must .* such as `\(16, 32, 64\)`, got \(\)"),
        (ResNet, {"filter_nums": 16}, r"filter_nums must .* 16"),
        (ResNet, {"filter_nums": (16, 0)}, "number of filters must be .* got 0"),
        (ResNet, {"output_size": 0}, "output size must be .* got 0"),
        (ResNet, {"dtype": "float16"}, "dtype must be 'float32' or 'float64', got 'float16'"),
    ],
)  # fmt: skip
def test_options_out_of_range(make: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        make(**options)


@pytest.mark.parametrize(
    ("make", "image", "says"),
    [
        (SimpleConvNet, (1, 4, 28), r"windows of 5 x 5, more than the 4 x 28 numbers"),
        (SimpleConvNet, (1, 5, 28), r"windows of 2 x 2, more than the 1 x 24 numbers"),
        (DeepConvNet, (1, 3, 3), r"windows of 2 x 2, more than the 1 x 1 numbers"),
    ],
)
def test_an_image_that_is_too_small(make: Any, image: tuple[int, ...], says: str) -> None:
    with pytest.raises(
        ShapeError, match=rf"{re.escape(str(image))}.*(Conv|Pool)\S*.* has {says}.*Use a larger pad or less"
    ):
        make(image, backend="numpy")


def test_any_size_of_image_is_large_enough_for_the_residual_one() -> None:
    network = ResNet((1, 1, 1), (2, 3), backend="numpy")
    assert network.predict(np.ones((2, 1, 1, 1), "f")).shape == (2, 10)


@pytest.mark.parametrize("name", NETWORKS)
def test_images_of_another_shape(name: str) -> None:
    network = NETWORKS[name](backend="numpy")
    for x in (np.ones((2, 2, 8, 8), "f"), np.ones((2, 64), "f")):
        with pytest.raises(
            ShapeError, match=r"Conv\w*1: Convolution expects images .* of 1 channel .* got .* of shape"
        ):
            network.predict(x)


# --- all the numbers of the layers inside layers --------------------------------------------------------------------


def trained_a_little(**options: Any) -> Network:
    network = ResNet((1, 8, 8), (3, 4), 1, 10, **{"seed": 0, "backend": "numpy"} | options)
    x, t = network.asarray(PIXELS), network.asarray(LABELS)
    for _ in range(2):
        for key, grad in network.gradient(x, t).items():
            network.params[key] -= 0.1 * grad
    return network


@pytest.mark.bits
@pytest.mark.parametrize(
    ("backend", "dtype", "flat"),
    [("numpy", "float32", False), ("numpy", "float64", True), ("strict-device1", "float32", False)],
)
@pytest.mark.parametrize("way", ["save", "copy", "deepcopy", "pickle", "weights", "to and back"])
def test_what_is_inside_goes_along(tmp_path: Path, way: str, backend: str, dtype: str, flat: bool) -> None:
    network = trained_a_little(dtype=dtype, backend=BACKENDS[backend])
    if flat:
        network.state.flatten()
    before = {key: np.array(to_numpy(value)) for key, value in network.state.weights().items()}
    x, t = network.asarray(PIXELS), network.asarray(LABELS)
    scores = np.array(to_numpy(network.predict(x)))
    fresh = ResNet((1, 8, 8), (3, 4), 1, 10, seed=1, dtype=dtype, backend=network.backend)
    if way == "save":
        network.save(tmp_path / "w.safetensors")
        other = fresh.load(tmp_path / "w.safetensors")
    elif way == "pickle":
        other = pickle.loads(pickle.dumps(network.copy().to("numpy"))).to(network.backend)
    elif way == "to and back":
        other = network.copy().to("numpy", dtype="float64").to(network.backend, dtype=dtype)
    else:
        makers = {"copy": network.copy, "deepcopy": lambda: copy.deepcopy(network)}
        other = makers[way]() if way in makers else fresh.state.set_weights(network.state.weights()) or fresh
    assert same_bits(other.state.weights(), before)
    assert np.array_equal(to_numpy(other.predict(x)), scores)
    # And it is one of its own: a step of it leaves the first as it was.
    for key, grad in other.gradient(x, t).items():
        other.params[key] -= 0.1 * grad
    assert same_bits(network.state.weights(), before)
    assert not np.array_equal(to_numpy(other.params["W3"]), before["W3"])
    assert not np.array_equal(to_numpy(other.state.statistics["running_var3"]), before["running_var3"])


def test_moving_moves_what_is_inside(be: Place) -> None:
    network = trained_a_little().to(be.backend, dtype=be.dtype)
    for layer in walk_layers(network.layers.values()):
        for name in (*layer.parameter_names, *layer.statistic_names):
            be.check(getattr(layer, name), to_numpy(getattr(layer, name)), name=f"{name} of {layer!r}")
    network.gradient(be.put(PIXELS), be.put(LABELS))


# --- they learn -----------------------------------------------------------------------------------------------------


BROADER = {**SMALL, "filter_num": 8}
BROADER_DEEP = [{**part, "filter_num": count} for part, count in zip(SMALL_DEEP, (8, 8, 16, 16, 16, 16), strict=True)]


@pytest.mark.parametrize(
    ("network", "epochs"),
    [
        (SimpleConvNet((1, 8, 8), BROADER, 30, 10, "he", seed=0, backend="numpy"), 4),
        (DeepConvNet((1, 8, 8), BROADER_DEEP, 30, 10, 0.2, seed=0, backend="numpy"), 6),
        (ResNet((1, 8, 8), (8, 16), 1, 10, seed=0, backend="numpy"), 4),
    ],
    ids=["SimpleConvNet", "DeepConvNet", "ResNet"],
)
def test_digits_are_learned(network: Network, epochs: int) -> None:
    data = [a for pair in load_digits(normalize=False, flatten=False) for a in pair]
    trainer = Trainer(network.copy(), *data, epochs, 20, "Adam", {"lr": 0.005}, verbose=False, seed=0)
    history = trainer.train()
    assert history.test_acc[0] < 0.3
    assert history.test_acc[-1] > 0.85


def trained(name: str, backend: str, *, capture: bool, iterations: int) -> dict[str, bytes]:
    """All that a training with augmentation and Adam leaves: weights, statistics, moments, keys, and its losses."""
    network, augmentation = (
        NETWORKS[name](seed=0, backend=BACKENDS[backend]),
        Augmentation(1, 10, 0.05, flip=True, seed=3),
    )
    trainer = Trainer(
        network, PIXELS, LABELS, None, None, iterations=iterations, mini_batch_size=10, optimizer="Adam",
        optimizer_param={"lr": 0.01}, verbose=False, seed=0, augmentation=augmentation, capture=capture,
    )  # fmt: skip
    trainer.train()
    left = {**network.state.weights(), "key": augmentation.key}
    left |= {f"key of {key}": layer.key for key, layer in network.layers.items() if key.startswith("Dropout")}
    for slot in trainer.optimizer.slots:
        flat = [np.ravel(to_numpy(value)) for value in getattr(trainer.optimizer, slot).values()]
        left[slot] = np.concatenate(flat)  # by name, or all at once where arrays can be written in place
    result = {key: np.array(to_numpy(value)).tobytes() for key, value in left.items()}
    return result | {"losses": np.array(trainer.train_loss_list).tobytes()}


@pytest.mark.bits
@pytest.mark.parametrize("name", NETWORKS)
def test_recorded_steps_are_those_that_are_called(name: str) -> None:
    """36 steps in epochs of three, the last of which has a short minibatch and is not replayed."""
    recorded, plain = (trained(name, "numpy", capture=capture, iterations=36) for capture in (True, False))
    assert recorded == plain
    other = trained(name, "numpy", capture=True, iterations=37)
    assert other["key"] != plain["key"]
    assert other["losses"] != plain["losses"]


@pytest.mark.bits
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("backend", STRICT)
def test_the_strict_devices_train_to_the_same_bits(name: str, backend: str) -> None:
    if backend in ABSENT:
        pytest.skip(f"{backend} does not take part: {ABSENT[backend]}")
    there, here = (trained(name, place, capture=False, iterations=8) for place in (backend, "numpy"))
    assert list(there) == list(here)
    assert [key for key in here if there[key] != here[key]] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_the_strict_devices_make_the_same_products(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The condition of equal bits: BLAS may round otherwise where operands change places or lie transposed."""
    if "strict" in ABSENT:
        pytest.skip(f"strict does not take part: {ABSENT['strict']}")
    matmul, made = np.matmul, []

    def strides(a: np.ndarray) -> list[int]:
        return [step for length, step in zip(a.shape, a.strides, strict=True) if length > 1]

    def watched(a: np.ndarray, b: np.ndarray, **options: Any) -> np.ndarray:
        made.append((a.shape, strides(a), b.shape, strides(b)))
        return matmul(a, b, **options)

    monkeypatch.setattr(np, "matmul", watched)
    trained(name, "numpy", capture=False, iterations=2)
    here = made.copy()
    made.clear()
    trained(name, "strict", capture=False, iterations=2)
    assert made == here
    assert len(here) > 30


# --- how much there is to compute -----------------------------------------------------------------------------------


# What is multiplied for an image of 8 x 8, by hand: filters' numbers times their places; a matrix's, and biases.
SIMPLE_COUNT = {"Conv1": 4 * 9 * 64, "Affine1": 4 * 16 * 12 + 12, "Affine2": 12 * 10 + 10}
RESIDUAL_COUNT = {
    "Convolution1": 4 * 9 * 64,
    "Residual1": 2 * 4 * 4 * 9 * 64,
    "Residual2": (6 * 4 * 9 + 6 * 6 * 9 + 6 * 4) * 16,
    "Affine1": 6 * 10 + 10,
}


@pytest.mark.parametrize(
    ("name", "count", "frozen"),
    [
        ("SimpleConvNet", SIMPLE_COUNT, ()),
        ("SimpleConvNet", SIMPLE_COUNT, ("Conv1",)),
        ("SimpleConvNet", SIMPLE_COUNT, ("Conv1", "Affine1")),
        ("ResNet", RESIDUAL_COUNT, ()),
        ("ResNet", RESIDUAL_COUNT, ("Convolution1", "BatchNormalization1", "Residual1")),
    ],
)
def test_the_work_of_a_step_is_that_of_its_windows(name: str, count: dict[str, int], frozen: tuple[str, ...]) -> None:
    """A product and a sum, of which each is made once more for the weights and once more for the inputs."""
    network = NETWORKS[name](backend="numpy")
    if frozen:
        network.freeze(*frozen)
    expected = sum((2 if layer in frozen else 6) * numbers for layer, numbers in count.items())
    trainer = Trainer(network, PIXELS, LABELS, None, None, mini_batch_size=10, verbose=False)
    assert trainer.runner.operations_per_step == pytest.approx(10 * expected, rel=0.01)
    of_layers = dict(zip(network.layers, operations(network.layers, (1, 8, 8)), strict=True))
    for layer, numbers in count.items():
        assert of_layers[layer] == pytest.approx((2 if layer in frozen else 6) * numbers, rel=0.01)


def test_the_work_of_the_books_networks() -> None:
    """0.9 and 8.8 million multiplications an image; in DeepConvNet nearly all of them are in the convolutions."""
    simple = 30 * 25 * 24 * 24 + 4320 * 100 + 1000
    places = (28 * 28, 28 * 28, 14 * 14, 16 * 16, 8 * 8, 8 * 8)
    filters = (16 * 1, 16 * 16, 32 * 16, 32 * 32, 64 * 32, 64 * 64)
    deep = sum(9 * f * p for f, p in zip(filters, places, strict=True)) + 1024 * 50 + 500
    for network, expected in ((SimpleConvNet(backend="numpy"), simple), (DeepConvNet(backend="numpy"), deep)):
        assert sum(operations(network.layers, (1, 28, 28))) == pytest.approx(6 * expected, rel=1e-3)


# --- where numbers cease to be finite -------------------------------------------------------------------------------


class Bad(Layer):
    """Passes everything on; what goes back is not finite from some step on."""

    def __init__(self, at: float = math.inf) -> None:
        self.at, self.calls = at, 0

    def forward(self, x: Any) -> Any:
        self.calls += self.train
        return x

    def backward(self, dout: Any) -> Any:
        return dout * (np.nan if self.calls > self.at else 1)


def with_residual(*inside: Layer, first: bool = True) -> Network:
    options: Any = {"rng": np.random.default_rng(0), "backend": "numpy"}
    before = [Convolution.create(1, 2, 3, "he", pad=1, **options), Relu()] if first else []
    channels = 2 if first else 1
    branch = [Convolution.create(channels, channels, 3, "he", pad=1, **options), *inside]
    return Network([*before, Residual(branch), GlobalAveragePooling(), Affine.create(channels, 10, "he", **options)])


def broken(network: Network, optimizer: Any = "SGD") -> str:
    data = PIXELS, LABELS, None, None
    trainer = Trainer(network, *data, 5, 8, optimizer, verbose=False, seed=0, capture=False)
    with pytest.warns(UserWarning, match="Training ends at iteration") as told:
        trainer.train()
    assert all(np.isfinite(value).all() for value in network.params.values()) or trainer.optimizer.iter == 0
    return str(told[0].message)


def test_a_gradient_inside_a_residual_layer_is_named() -> None:
    message = broken(with_residual(Bad(at=4)))
    assert "iteration 5, where the gradient dW of Residual1, Convolution(2 -> 2, 3x3, pad=1), is not" in message


def test_a_parameter_inside_a_residual_layer_is_named() -> None:
    network = with_residual()
    network.params["b2"][...] = np.nan
    assert "iteration 1, where b of Residual1, Convolution(2 -> 2, 3x3, pad=1), is not finite" in broken(network)


class Wild(SGD):
    """Whose fourth step is not finite."""

    def update_one(self, W: Any, dW: Any, lr: float) -> Any:
        W -= lr * dW * (np.inf if self.iter >= 3 else 1.0)
        return (W,)


def test_an_update_inside_a_residual_layer_is_named() -> None:
    message = broken(with_residual(first=False), Wild(0.01))
    assert "iteration 4, where the update of W in Residual1, Convolution(1 -> 1, 3x3, pad=1), is not" in message


def test_with_frozen_layers_before_it() -> None:
    """Of which the gradient is not asked, nor whether they are finite after an update."""
    network = with_residual(Bad(at=4)).freeze("Convolution1")
    assert "iteration 5, where the gradient dW of Residual1, Convolution(2 -> 2, " in broken(network)
    network = with_residual().freeze("Convolution1")
    assert "iteration 4, where the update of W in Residual1, Convolution(2 -> 2, " in broken(network, Wild(0.01))
