"""Transfer learning: a new head on the frozen layers of a trained network."""

from typing import Any

import numpy as np
import pytest
from cases import same_bits
from frozen import IMAGES, LABELS, contents, residual, trainer_of
from matrix import Place
from states import flattened

from xpnet import (
    Affine,
    BatchNormalization,
    Dropout,
    GlobalAveragePooling,
    Layer,
    Network,
    Relu,
    SimpleConvNet,
    SoftmaxWithLoss,
    to_numpy,
    with_new_head,
)
from xpnet.errors import ArgumentError, ArrayMixError, DtypeError, ShapeError


def base(*, flat: bool = False, **options: Any) -> SimpleConvNet:
    options = {"dtype": "float64", "backend": "numpy"} | options
    conv_param = {"filter_num": 2, "filter_size": 3, "pad": 1, "stride": 1}
    network = SimpleConvNet((2, 6, 6), conv_param, 4, 3, "he", seed=0, **options)
    return flattened(network) if flat else network


def head(**options: Any) -> list[Layer]:
    where: Any = {"dtype": "float64", "backend": "numpy"} | options
    options = {"rng": np.random.default_rng(1), **where}
    return [
        Affine.create(18, 5, "he", **options),
        BatchNormalization.create(5, **where),
        Relu(),
        Dropout(0.2, seed=0),
        Affine.create(5, 3, "he", **options),
    ]


@pytest.mark.bits
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("capture", [True, False])
def test_a_new_head_learns_and_leaves_the_original_untouched(flat: bool, capture: bool) -> None:
    trained = base(flat=flat)
    before, grads = contents(trained), trained.gradient(IMAGES, LABELS)
    network = with_new_head(trained, head(), keep="Pool1")
    assert type(network) is Network
    assert list(network.layers)[:3] == ["Conv1", "Relu1", "Pool1"]
    assert list(network.layers)[3:] == ["Affine1", "BatchNormalization1", "Relu2", "Dropout1", "Affine2"]
    assert list(network.state.frozen) == ["W1", "b1"]
    assert list(network.params) == ["W2", "b2", "gamma1", "beta1", "W3", "b3"]
    assert network.input_shape == (2, 6, 6)
    for name in ("W", "b"):
        new, old = (getattr(each.layers["Conv1"], name) for each in (network, trained))
        assert np.array_equal(new, old)
        assert not np.shares_memory(new, old)
    trainer_of(network, IMAGES, LABELS, capture=capture, mini_batch_size=3).train()
    assert np.array_equal(network.state.frozen["W1"], before["W1"])
    network.unfreeze()
    trainer_of(network, IMAGES, LABELS, capture=capture, mini_batch_size=3).train()
    assert not np.array_equal(network.params["W1"], before["W1"])
    assert same_bits(trained.state.weights(), before)
    assert list(trained.state.frozen) == []
    assert same_bits(trained.gradient(IMAGES, LABELS), grads)


@pytest.mark.parametrize("flat", [False, True])
def test_its_gradients_are_the_callers_own(flat: bool) -> None:
    network = with_new_head(base(flat=flat), head(), keep="Pool1").unfreeze()
    first = network.gradient(IMAGES, LABELS)
    kept = {key: grad.copy() for key, grad in first.items()}
    network.gradient(IMAGES[::-1] + 1, LABELS)
    assert same_bits(first, kept)


def test_a_head_by_name_and_another_loss() -> None:
    options: Any = {"rng": 1, "dtype": "float64", "backend": "numpy"}
    loss = SoftmaxWithLoss(label_smoothing=0.1)
    layers = {"Gap": GlobalAveragePooling(), "Out": Affine.create(2, 4, "he", **options)}
    network = with_new_head(base(), layers, keep="Relu1", last_layer=loss)
    assert list(network.layers) == ["Conv1", "Relu1", "Gap", "Out"]
    assert network.last_layer is loss
    assert network.predict(IMAGES).shape == (9, 4)
    # The head is the network's own: the layers may be given to another one.
    assert np.array_equal(network.layers["Out"].W, layers["Out"].W)
    assert not np.shares_memory(network.layers["Out"].W, layers["Out"].W)


def test_all_of_a_resnet_but_its_last_layer(be: Place) -> None:
    trained = residual(dtype=be.dtype, backend=be.backend)
    trained.compute_gradients(be.put(IMAGES), be.put(LABELS))
    before = contents(trained)
    options: Any = {"rng": np.random.default_rng(1), "dtype": be.dtype, "backend": be.backend}
    network = with_new_head(trained, [Affine.create(3, 4, "he", **options)], keep="GlobalAveragePooling1")
    assert list(network.params) == ["W7", "b7"]
    features = be.put(IMAGES)
    trained.state.set_train(False)
    for name in list(trained.layers)[:-1]:
        features = trained.layers[name].forward(features)
    grads = network.gradient(be.put(IMAGES), be.put(LABELS))
    alone = Network([Affine.create(3, 4, **options)]).set_params(
        {"W1": network.params["W7"], "b1": network.params["b7"]}
    )
    be.check(grads["W7"], to_numpy(alone.gradient(features, be.put(LABELS))["W1"]))
    trainer_of(network, be.put(IMAGES), be.put(LABELS), iterations=2).train()
    assert same_bits(
        {key: network.state.weights()[key] for key in network.state.frozen},
        {k: before[k] for k in network.state.frozen},
    )
    assert same_bits(network.state.statistics, trained.state.statistics)


@pytest.mark.parametrize(
    ("network", "last_layer", "says"),
    [
        ("SimpleConvNet", None, "network must be a network such as .*, got 'SimpleConvNet'"),
        (None, "SoftmaxWithLoss", r"last_layer must be .*SoftmaxWithLoss\(\)`, got 'SoftmaxWithLoss'"),
    ],
)
def test_words_in_place_of_a_network_or_a_loss(network: Any, last_layer: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        with_new_head(network or base(), head(), keep="Pool1", last_layer=last_layer)


@pytest.mark.parametrize(
    ("layers", "keep", "error", "says"),
    [
        (head(), "Pool9", ArgumentError, "keep must be .* a layer, one of Conv1, Relu1, Pool1, .* got 'Pool9'"),
        (head(), 2, ArgumentError, "keep must be the name of a layer, one of Conv1, .* got 2"),
        ({"Relu1": Relu(), "Affine1": head()[0]}, "Pool1", ArgumentError, "has a layer 'Relu1', .*another name"),
        ([], "Pool1", ArgumentError, "nothing to learn"),
        ([Relu()], "Pool1", ArgumentError, "nothing to learn"),
        (head(dtype="float32"), "Pool1", DtypeError, "W2 is float32, but the first parameter is float64"),
        (head(backend="array_api_strict"), "Pool1", ArrayMixError, "W2 is a array_api_strict"),
        ([Affine(np.ones((17, 3)), np.zeros(3))], "Pool1", ShapeError, "Affine1: Affine expects 17 numbers a sample"),
        ([BatchNormalization(np.ones(3), np.zeros(3))], "Pool1", ShapeError, "BatchNormalization1: .* expects"),
        (head()[0], "Pool1", ArgumentError, "head must .*Affine"),
    ],
)  # fmt: skip
def test_heads_that_do_not_fit(layers: Any, keep: Any, error: Any, says: str) -> None:
    trained = base()
    before = contents(trained)
    with pytest.raises(error, match=says):
        with_new_head(trained, layers, keep=keep)
    assert same_bits(trained.state.weights(), before)
    assert list(trained.state.frozen) == []
