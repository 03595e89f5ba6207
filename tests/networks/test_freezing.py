"""Freezing layers, and a new head on layers that are frozen: what stays as it is, and what is not computed."""

import copy
import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import same_bits
from frozen import IMAGES, LABELS, T, X, contents, residual, trainer_of
from matrix import BACKENDS, Place
from states import fused_plan, with_weights

from xpnet import Adam, Convolution, Layer, MultiLayerNet, Network, Trainer, asarray, check_gradient, to_numpy
from xpnet.errors import ArgumentError
from xpnet.layers.base import walk_layers

FIRST = ("Affine1", "BatchNormalization1", "Relu1", "Dropout1")


def deep(**options: Any) -> MultiLayerNet:
    """Affine, normalization, ReLU, dropout twice, and a last affine layer."""
    options = {"seed": 0, "dtype": "float64", "backend": "numpy", "weight_decay_lambda": 0.1} | options
    network = MultiLayerNet(12, [6, 5], 7, use_batchnorm=True, use_dropout=True, dropout_ratio=0.3, **options)
    x, t = asarray(X, like=network.state.like, dtype=network.dtype), network.asarray(T)
    network.compute_gradients(x, t)  # so that the running means have moved
    return network


# --- what is frozen -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flat", ["before", "after", "not"])
def test_the_parameters_move_to_frozen_under_the_same_names(flat: str) -> None:
    network = deep()
    names, before = list(network.params), contents(network)
    if flat == "before":
        network.state.flatten()
    assert network.freeze("Affine1", "BatchNormalization1") is network
    if flat == "after":
        network.state.flatten()
    kept, learned = ["W1", "b1", "gamma1", "beta1"], ["W2", "b2", "gamma2", "beta2", "W3", "b3"]
    assert list(network.state.frozen) == kept
    assert list(network.params) == list(network.state.grads) == list(network.gradient(X, T)) == learned
    assert (network.state.buffers is None) == (flat == "not")
    if network.state.buffers is not None:
        assert network.state.buffers.params.size == network.state.parameter_count == network.state.buffers.grads.size
        assert np.shares_memory(network.params["W3"], network.state.buffers.params)
        assert not np.shares_memory(network.state.frozen["W1"], network.state.buffers.params)
    assert network.unfreeze() is network
    assert list(network.params) == names
    assert len(network.state.frozen) == 0
    if network.state.buffers is not None:
        assert network.state.buffers.params.size == network.state.parameter_count
    assert same_bits({key: network.state.weights()[key] for key in names}, {key: before[key] for key in names})


def test_some_are_unfrozen_by_name() -> None:
    network = deep().freeze(*FIRST, "Affine2")
    assert list(network.state.frozen) == ["W1", "b1", "gamma1", "beta1", "W2", "b2"]
    network.unfreeze("Affine1")
    assert list(network.state.frozen) == ["gamma1", "beta1", "W2", "b2"]
    network.freeze("Affine2")  # once more
    assert list(network.state.frozen) == ["gamma1", "beta1", "W2", "b2"]


def test_it_says_how_many() -> None:
    network = deep().freeze("Affine1", "BatchNormalization1")
    assert network.state.parameter_count == 177 - 12 * 6 - 6 - 12
    assert repr(network) == "MultiLayerNet(12-6-5-7, 87 parameters, 90 frozen, float64 on numpy)"
    rows = {line.split()[0]: line for line in network.summary().splitlines() if line}
    assert rows["Affine1"].endswith("78 frozen")
    assert rows["BatchNormalization1"].endswith("12 frozen")
    assert rows["Affine2"].endswith(" 35")
    assert "frozen" not in repr(network.unfreeze())
    assert "frozen" not in network.summary()


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("Affine1", "Affine2", "Affine3", "BatchNormalization1", "BatchNormalization2"), "nothing to learn"),
        (("Affine1", "Affine9"), r"There is no layer 'Affine9'; there are Affine1, .*Affine3"),
        (("W1",), "There is no layer 'W1'"),
        ((), r"freeze takes the names of layers; there are Affine1, "),
    ],
)
def test_what_cannot_be_frozen_is_an_error_that_changes_nothing(flat: bool, names: Any, says: str) -> None:
    network, other = deep().freeze("Affine2"), deep().freeze("Affine2")
    if flat:
        network.state.flatten()
    before = contents(network)
    with pytest.raises(ArgumentError, match=says):
        network.freeze(*names)
    assert list(network.state.frozen) == ["W2", "b2"]
    assert [name for name, layer in network.layers.items() if layer.frozen] == ["Affine2"]
    assert same_bits(network.state.weights(), before)
    # And it trains as one that was never asked.
    histories = [trainer_of(each, optimizer="Adam", iterations=6).train() for each in (network, other)]
    assert histories[0].loss == histories[1].loss
    assert same_bits(network.state.weights(), other.state.weights())


def test_unknown_names_are_not_unfrozen() -> None:
    network = deep().freeze("Affine1")
    with pytest.raises(ArgumentError, match="There is no layer 'Affine7'; there are "):
        network.unfreeze("Affine1", "Affine7")
    assert list(network.state.frozen) == ["W1", "b1"]


# --- it stays as it is ----------------------------------------------------------------------------------------------


KEPT = {
    FIRST: ["W1", "b1", "gamma1", "beta1", "running_mean1", "running_var1"],
    ("Affine2", "BatchNormalization2", "Dropout2"): ["W2", "b2", "gamma2", "beta2", "running_mean2", "running_var2"],
    ("BatchNormalization1",): ["gamma1", "beta1", "running_mean1", "running_var1"],
    ("Affine3",): ["W3", "b3"],
}


@pytest.mark.parametrize("how", ["recorded", "plain", "not flat"])
@pytest.mark.parametrize(
    ("optimizer", "options"),
    [("SGD", {}), ("Momentum", {}), ("Adam", {"weight_decay": 0.5}), ("AdamW", {"weight_decay": 0.5, "max_norm": 1.0})],
)
@pytest.mark.parametrize("names", KEPT, ids=" ".join)
def test_training_leaves_it_as_it_is(monkeypatch: Any, how: str, optimizer: str, options: Any, names: Any) -> None:
    network = deep().freeze(*names)
    if how == "not flat":
        monkeypatch.setattr(type(network.state), "flatten", lambda self: None)
    before = contents(network)
    parameters = {"lr": 0.05} | options
    trainer = trainer_of(network, optimizer=optimizer, optimizer_param=parameters, capture=how == "recorded")
    assert np.isfinite(trainer.train().loss).all()
    after = contents(network)
    assert [key for key in before if np.array_equal(before[key], after[key])] == KEPT[names]


@pytest.mark.bits
@pytest.mark.parametrize("names", [FIRST, ("Affine2", "Dropout2")])
def test_recorded_steps_are_those_that_are_called(names: Any) -> None:
    left = []
    for capture in (True, False):
        network = deep().freeze(*names)
        history = trainer_of(network, capture=capture, optimizer="Adam").train()
        left.append((history.loss, {key: value.tobytes() for key, value in contents(network).items()}))
    assert left[0] == left[1]


@pytest.mark.bits
def test_weight_decay_is_of_what_is_learned() -> None:
    """A constant in the loss would be no fault, but the gradient of it would."""
    whole, network = deep(), deep().freeze("Affine1", "Affine3")
    W2 = network.params["W2"]
    plain = deep(weight_decay_lambda=0.0).freeze("Affine1", "Affine3")
    expected = float(plain.loss(X, T)) + 0.05 * float(np.sum(W2**2))
    assert float(network.loss(X, T)) == pytest.approx(expected, rel=1e-12)
    assert float(whole.loss(X, T)) > expected
    grads, without = network.gradient(X, T), plain.gradient(X, T)
    np.testing.assert_allclose(grads["W2"], without["W2"] + 0.1 * W2, rtol=1e-12)
    assert np.array_equal(grads["gamma2"], without["gamma2"])


@pytest.mark.bits
def test_normalization_and_dropout_work_as_at_inference(be: Place) -> None:
    network = deep(dtype=be.dtype, backend=be.backend).freeze(*FIRST)
    x, t = be.put(X), be.put(T)
    key = to_numpy(network.layers["Dropout1"].key).tolist()
    network.compute_gradients(x, t)
    y = x
    for name in ("Affine1", "BatchNormalization1", "Relu1"):
        layer = network.layers[name]
        assert not layer.train
        y = copy.deepcopy(layer).forward(y)
    be.check(network.layers["Affine2"].x, to_numpy(y), eps=0)
    assert to_numpy(network.layers["Dropout1"].key).tolist() == key
    assert network.layers["Dropout2"].train
    network.unfreeze().compute_gradients(x, t)
    assert network.layers["BatchNormalization1"].train
    assert to_numpy(network.layers["Dropout1"].key).tolist() != key


def test_a_residual_layer_with_all_that_is_inside() -> None:
    network = residual().freeze("Residual1", "Residual2")
    inside = [key for key in residual().params if key[-1] in "23456"]
    assert list(network.state.frozen) == inside
    before = contents(network)
    trainer_of(network, IMAGES, LABELS, optimizer="AdamW", optimizer_param={"lr": 0.05}, mini_batch_size=3).train()
    after = contents(network)
    for key in before:
        assert np.array_equal(before[key], after[key]) == (key[-1] in "23456"), key
    for name in ("Residual1", "Residual2"):
        assert all(layer.frozen and not layer.train for layer in walk_layers([network.layers[name]]))
    numbers = sum(before[key].size for key in inside)
    assert repr(network) == f"ResNet(2x6x6-2-2-2-3-3-3-3, 54 parameters, {numbers} frozen, float64 on numpy)"
    network.unfreeze("Residual2")
    assert list(network.state.frozen) == [key for key in inside if key[-1] in "23"]


# --- what is not computed -------------------------------------------------------------------------------------------


def calls_of_backward(monkeypatch: pytest.MonkeyPatch, network: Network) -> dict[str, int]:
    """Counts, by the layers' names, from now on."""
    counts: dict[str, int] = {}
    names = {id(layer): name for name, layer in network.layers.items()}
    for kind in {type(layer) for layer in walk_layers(network.layers.values())}:

        def counted(self: Layer, dout: Any, backward: Any = kind.backward) -> Any:
            name = names.get(id(self), "inside")
            counts[name] = counts.get(name, 0) + 1
            return backward(self, dout)

        monkeypatch.setattr(kind, "backward", counted)
    return counts


@pytest.mark.parametrize("by", ["gradient", "training", "fused"])
def test_nothing_goes_back_through_the_first_layers(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    network = deep().freeze(*FIRST)
    network.layers["Affine1"].dW = network.layers["BatchNormalization1"].dgamma = None
    counts = calls_of_backward(monkeypatch, network)
    if by == "gradient":
        network.gradient(X, T)
    elif by == "training":
        trainer_of(network, iterations=1, capture=False, evaluate_sample_num_per_epoch=2).train()
    else:
        network.compute_gradients(X, T, fused_plan(network))
    assert counts == dict.fromkeys(("Affine2", "BatchNormalization2", "Relu2", "Dropout2", "Affine3"), 1)
    assert network.layers["Affine1"].dW is None
    assert network.layers["BatchNormalization1"].dgamma is None
    # The first that learns gives nothing back, either: that would be a matrix product.
    network.layers["Affine2"].forward(np.ones((2, 6)))
    assert network.layers["Affine2"].backward(np.ones((2, 5))) is None
    assert np.all(network.layers["Affine2"].dW == 2)
    assert not network.layers["Affine2"].needs_input_gradient
    counts.clear()
    network.unfreeze().gradient(X, T)
    assert sum(counts.values()) == 9
    assert network.layers["Affine2"].needs_input_gradient
    assert not network.layers["Affine1"].needs_input_gradient


def test_nothing_goes_back_through_frozen_residual_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    network = residual().freeze("Convolution1", "BatchNormalization1", "Residual1")
    counts = calls_of_backward(monkeypatch, network)
    network.gradient(IMAGES, LABELS)
    # The first batch goes through a residual layer in place of the second, with the same layers inside.
    assert counts == {"Affine1": 1, "GlobalAveragePooling1": 1, "Relu3": 1, "inside": 1 + 7}
    counts.clear()
    network.gradient(IMAGES, LABELS)
    # Of the second: two convolutions, two normalizations and a ReLU, and a convolution and a normalization beside.
    assert counts == {"Affine1": 1, "GlobalAveragePooling1": 1, "Relu3": 1, "Residual2": 1, "inside": 7}
    first = network.layers["Residual2"].branch[0]
    assert not first.needs_input_gradient
    assert all(layer.dW is None for layer in network.layers["Residual1"].branch if isinstance(layer, Convolution))
    network.unfreeze("Residual1").gradient(IMAGES, LABELS)
    assert first.needs_input_gradient
    assert set(network.state.frozen) == {"W1", "b1", "gamma1", "beta1"}


def test_a_frozen_layer_in_the_middle_passes_the_gradient_on() -> None:
    network, whole = deep(), deep()
    for each in (network, whole):
        for layer in each.layers.values():
            layer.dropout_ratio = 0.0  # so that freezing changes nothing else
    network.freeze("Affine2")
    grads, expected = network.gradient(X, T), whole.gradient(X, T)
    assert set(expected) - set(grads) == {"W2", "b2"}
    for key, grad in grads.items():
        np.testing.assert_allclose(grad, expected[key], rtol=1e-12, atol=1e-15, err_msg=key)


@pytest.mark.parametrize("names", [FIRST, ("Affine2", "BatchNormalization2"), ("Affine3",)])
@pytest.mark.parametrize("flat", [False, True])
def test_the_gradients_of_what_is_learned_are_the_numerical_ones(names: Any, flat: bool) -> None:
    network = deep().freeze(*names)
    if flat:
        network.state.flatten()
    errors = check_gradient(network, X, T)
    assert set(errors) == set(network.params)
    assert max(errors.values()) < 1e-7, errors


@pytest.mark.parametrize(
    "names", [("Residual1",), ("Convolution1", "BatchNormalization1", "Residual1"), ("Residual2",)]
)
def test_the_gradients_around_residual_layers_are_the_numerical_ones(names: Any) -> None:
    network = residual()
    network.gradient(IMAGES, LABELS)
    # By small differences: by larger ones a ReLU would now and then bend in between.
    numerical = network.freeze(*names).numerical_gradient(IMAGES, LABELS, 1e-5)
    grads = network.gradient(IMAGES, LABELS)
    assert set(numerical) == set(grads) == set(network.params)
    for key, grad in grads.items():
        np.testing.assert_allclose(numerical[key], grad, rtol=0, atol=1e-8, err_msg=key)


def test_gradients_on_every_backend(be: Place) -> None:
    network, expected = (deep(dtype=be.dtype, backend=where).freeze(*FIRST) for where in (be.backend, "numpy"))
    grads = expected.gradient(be_numpy(be, X), T)
    found = network.gradient(be.put(X), be.put(T))
    assert list(found) == list(grads)
    largest = max(float(np.abs(grad).max()) for grad in grads.values())
    for key, grad in grads.items():
        error = np.abs(to_numpy(found[key]) - grad).max() / largest
        assert error < 64 * np.finfo(be.dtype).eps, key
        be.check(network.params[key], to_numpy(expected.params[key]), name=key)


def be_numpy(be: Place, x: np.ndarray) -> np.ndarray:
    return x.astype(be.dtype)


# --- between trainings, in files, in copies -------------------------------------------------------------------------


@pytest.mark.bits
@pytest.mark.parametrize("capture", [True, False])
def test_freezing_between_two_trainings(capture: bool) -> None:
    network = deep()
    trainer = trainer_of(network, capture=capture, optimizer_param={"lr": 0.05})
    trainer.train()
    middle = contents(network)
    network.freeze(*FIRST)
    trainer.train()
    after = contents(network)
    for key in middle:
        assert np.array_equal(middle[key], after[key]) == (key[-1] == "1"), key
    network.unfreeze()
    trainer.train()
    assert not any(np.array_equal(after[key], value) for key, value in contents(network).items())
    assert len(trainer.history.loss) == 120


@pytest.mark.parametrize("capture", [True, False])
def test_freezing_by_a_callback(capture: bool) -> None:
    seen: list[Any] = []

    def freeze(trainer: Trainer) -> None:
        if len(trainer.history.evaluated_at) == 3:
            trainer.network.freeze(*FIRST)
        seen.append(contents(trainer.network))

    trainer_of(deep(), capture=capture, callbacks=[freeze]).train()
    moved = [not np.array_equal(a["W1"], b["W1"]) for a, b in itertools.pairwise(seen)]
    assert moved == [True, True] + [False] * (len(seen) - 3)
    assert not np.array_equal(seen[-2]["W3"], seen[-1]["W3"])


@pytest.mark.parametrize("backend", ["numpy", "strict"])
def test_an_optimizer_that_keeps_something_of_each_parameter_is_to_be_another(backend: str) -> None:
    network = deep(backend=BACKENDS[backend])
    trainer = trainer_of(network, optimizer="Adam", iterations=4)
    trainer.train()
    before = contents(network)
    network.freeze(*FIRST)
    with pytest.raises(ArgumentError, match=r"layers were frozen. Make another one.*= Adam\("):
        trainer.train()
    assert same_bits(network.state.weights(), before)
    trainer.optimizer = Adam(0.1)
    trainer.train()
    assert len(trainer.history.loss) == 8


def test_nor_does_another_layer_of_the_same_size_inherit_it() -> None:
    network = MultiLayerNet(6, [6], 6, seed=0, dtype="float64", backend="numpy").freeze("Affine1")
    trainer = trainer_of(network, X[:, :6], T % 6, optimizer="Momentum")
    trainer.train()
    network.unfreeze("Affine1").freeze("Affine2")
    with pytest.raises(ArgumentError, match="Make another one"):
        trainer.train()


@pytest.mark.bits
@pytest.mark.parametrize("flat", [False, True])
def test_files_hold_all_and_fit_the_network_that_is_not_frozen(tmp_path: Path, flat: bool) -> None:
    frozen, whole = deep().freeze(*FIRST), deep(seed=1)
    if flat:
        frozen.state.flatten()
    assert list(frozen.state.weights()) == list(whole.state.weights())
    frozen.save(tmp_path / "frozen.safetensors")
    whole.load(tmp_path / "frozen.safetensors")
    assert same_bits(whole.state.weights(), frozen.state.weights())
    other = deep(seed=2)
    other.save(tmp_path / "whole.safetensors")
    frozen.load(tmp_path / "whole.safetensors")
    assert same_bits(frozen.state.weights(), other.state.weights())
    assert np.array_equal(frozen.predict(X), other.predict(X))
    frozen.state.set_weights(whole.state.weights())
    assert same_bits(frozen.state.weights(), whole.state.weights())
    assert list(frozen.state.frozen) == ["W1", "b1", "gamma1", "beta1"]
    other.set_params(whole.params)
    with pytest.raises(ArgumentError, match="Expected the parameters W2, "):
        frozen.set_params(whole.params)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle", "to", "dtype"])
def test_copies_are_frozen_too(way: str, flat: bool) -> None:
    network = deep().freeze(*FIRST)
    if flat:
        network.state.flatten()
    before = contents(network)
    other = {
        "copy": network.copy,
        "deepcopy": lambda: copy.deepcopy(network),
        "pickle": lambda: pickle.loads(pickle.dumps(network)),
        "to": lambda: network.copy().to(BACKENDS["strict-device1"]).to("numpy"),
        "dtype": lambda: with_weights(network.copy().to(dtype="float32").to(dtype="float64"), network.state.weights()),
    }[way]()
    assert same_bits(other.state.weights(), before)
    assert list(other.state.frozen) == list(network.state.frozen)
    assert list(other.params) == list(network.params)
    assert repr(other) == repr(network)
    trainer_of(other).train()
    assert same_bits(network.state.weights(), before)
    changed = [key for key, value in contents(other).items() if not np.array_equal(value, before[key])]
    assert changed == [key for key in before if key[-1] != "1"]
    other.unfreeze()
    assert list(network.state.frozen) == ["W1", "b1", "gamma1", "beta1"]
