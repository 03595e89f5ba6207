"""The network of many layers: its layers, its gradients, weight decay, and what it refuses."""

import copy

import numpy as np
import pytest
from cases import LABELS, numbers, same_bits
from small_training import make
from states import flattened, fused_plan

from xpnet import (
    Affine,
    Gelu,
    IdentityWithLoss,
    LeakyRelu,
    MultiLayerNet,
    Network,
    Relu,
    Sigmoid,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Tanh,
    TwoLayerNet,
    check_gradient,
    to_numpy,
)
from xpnet.errors import ArgumentError, LabelError, ShapeError

X = numbers(1, 5, 12)
ACTIVATIONS = {"relu": Relu, "sigmoid": Sigmoid, "tanh": Tanh, "leaky_relu": LeakyRelu, "gelu": Gelu}


def everything(activation="relu", seed=0, **options):
    chosen = {"use_dropout": True, "dropout_ratio": 0.25, "use_batchnorm": True, "weight_decay_lambda": 0.1}
    chosen |= {"dtype": "float64", "backend": "numpy"} | options
    return MultiLayerNet(12, [6, 5], 7, activation, seed=seed, **chosen)


def state(network):
    """All numbers that a step may change, but for gradients."""
    found = {key: np.array(to_numpy(value)) for key, value in network.state.weights().items()}
    return found | {name: np.array(to_numpy(layer.key)) for name, layer in network.layers.items() if "Drop" in name}


# --- layers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_layers_are_affine_normalization_activation_dropout_in_this_order(name):
    kind = ACTIVATIONS[name].__name__
    assert list(everything(name).layers) == [
        *("Affine1", "BatchNormalization1", f"{kind}1", "Dropout1"),
        *("Affine2", "BatchNormalization2", f"{kind}2", "Dropout2"),
        "Affine3",
    ]
    plain = MultiLayerNet(12, [6, 5], 7, name)
    assert list(plain.layers) == ["Affine1", f"{kind}1", "Affine2", f"{kind}2", "Affine3"]
    for network in (everything(name), plain):
        assert all(isinstance(layer, ACTIVATIONS[name]) for key, layer in network.layers.items() if kind in key)
    assert isinstance(plain.last_layer, SoftmaxWithLoss)


def test_parameters_have_the_courses_names_and_the_sizes_asked_for():
    network = everything()
    assert {key: value.shape for key, value in network.params.items()} == {
        "W1": (12, 6), "b1": (6,), "gamma1": (6,), "beta1": (6,),
        "W2": (6, 5), "b2": (5,), "gamma2": (5,), "beta2": (5,),
        "W3": (5, 7), "b3": (7,),
    }  # fmt: skip
    assert list(network.state.statistics) == ["running_mean1", "running_var1", "running_mean2", "running_var2"]
    assert network.state.parameter_count == sum(value.size for value in network.params.values())
    assert repr(network) == "MultiLayerNet(12-6-5-7, 177 parameters, float64 on numpy)"
    for part in ("BatchNormalization(6)", "Dropout(0.25)", "Relu()"):
        assert part in network.summary()
    assert {layer.dropout_ratio for layer in network.layers.values() if hasattr(layer, "dropout_ratio")} == {0.25}


@pytest.mark.parametrize("hidden", [[], [9], [3] * 6, (4, 3), np.array([4, 3])])
def test_any_number_of_hidden_layers(hidden):
    network = MultiLayerNet(12, hidden, 7, seed=0, use_batchnorm=True, dtype="float64", backend="numpy")
    assert [value.shape for key, value in network.params.items() if key[0] == "W"] == list(
        zip([12, *hidden], [*hidden, 7], strict=True)
    )
    assert network.predict(X).shape == (5, 7)
    assert set(network.gradient(X, LABELS)) == set(network.params)


@pytest.mark.bits
def test_the_two_layer_net_is_one_of_them(be):
    network = MultiLayerNet(12, [6], 7, weight_init_std=0.3, seed=0, dtype=be.dtype, backend=be.backend)
    two = TwoLayerNet(12, 6, 7, 0.3, seed=0, dtype=be.dtype, backend=be.backend)
    assert same_bits(network.params, two.params)
    assert same_bits(network.gradient(be.put(X), be.put(LABELS)), two.gradient(be.put(X), be.put(LABELS)))


# --- gradients ------------------------------------------------------------------------------------------------------

LAST_LAYERS = {
    "softmax": (SoftmaxWithLoss, LABELS),
    "label smoothing": (lambda: SoftmaxWithLoss(label_smoothing=0.1), LABELS),
    "sigmoid": (SigmoidWithLoss, np.eye(7)[LABELS] + np.eye(7)[(LABELS + 1) % 7]),
    "identity": (IdentityWithLoss, numbers(9, 5, 7)),
}


@pytest.mark.parametrize("last", LAST_LAYERS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradient_check_with_everything_there_is(name, last):
    """Of the same step: both ways drop the same, and have the batch's statistics."""
    last_layer, t = LAST_LAYERS[last]
    network = everything(name, last_layer=last_layer())
    before = state(network)
    errors = check_gradient(network, X, t)
    assert set(errors) == set(network.params)
    assert max(errors.values()) < 1e-7, errors
    assert same_bits(state(network), before)
    grads = network.gradient(X, t)  # and these are no zeros
    assert all(np.abs(grads[key]).max() > 1e-3 for key in errors if key not in ("b1", "b2"))


def test_numerical_gradients_on_every_backend(be64):
    network, x, t = everything(backend=be64.backend), be64.put(X[:3, :]), be64.put(LABELS[:3])
    before = state(network)
    numerical = network.numerical_gradient(x, t)
    assert same_bits(state(network), before)
    for key, grad in network.gradient(x, t).items():
        np.testing.assert_allclose(to_numpy(numerical[key]), to_numpy(grad), atol=1e-6, err_msg=key)


@pytest.mark.bits
def test_numerical_gradients_do_not_depend_on_how_the_parameters_lie():
    """In a buffer, what is written to one parameter must be gone when the next one's turn comes."""
    plain, flat = everything(), flattened(everything())
    assert same_bits(plain.numerical_gradient(X, LABELS), flat.numerical_gradient(X, LABELS))


@pytest.mark.parametrize("flat", [False, True])
def test_the_loss_of_training_is_that_of_the_next_step_and_leaves_no_trace(be, flat):
    network, x, t = everything(dtype=be.dtype, backend=be.backend), be.put(X), be.put(LABELS)
    if flat:
        network.state.flatten()
    before = state(network)
    losses = [float(network.loss(x, t, train=True)) for _ in range(2)]
    assert losses[0] == losses[1]
    assert same_bits(state(network), before)
    assert float(network.compute_gradients(x, t)) == losses[0]
    assert not same_bits(state(network), before)
    assert float(network.loss(x, t, train=True)) != losses[0]  # of the next step, which drops others
    assert float(network.loss(x, t)) == float(network.loss(x, t))


def test_the_loss_of_training_leaves_no_trace_also_when_it_fails():
    class Fails(Relu):
        def forward(self, x):
            raise RuntimeError

    network = Network(copy.deepcopy([*everything().layers.values(), Fails()]))
    before = state(network)
    with pytest.raises(RuntimeError):
        network.loss(X, LABELS, train=True)
    assert same_bits(state(network), before)


def test_one_sample_in_training():
    """Of one sample batch normalization would make 0, whatever the sample is, and learn nothing."""
    network = everything()
    before = {key: value.copy() for key, value in network.state.statistics.items()}
    for ask in (network.gradient, lambda x, t: network.loss(x, t, train=True)):
        with pytest.raises(ShapeError, match="at least two values of each column or channel in training, got one"):
            ask(X[2], int(LABELS[2]))
    assert all(np.array_equal(network.state.statistics[key], value) for key, value in before.items())
    assert np.isfinite(network.loss(X[2], int(LABELS[2])))


# --- weight decay ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [False, True])
def test_weight_decay_adds_to_the_loss_and_to_the_gradients_of_weights_alone(be, flat):
    plain, decayed = (
        MultiLayerNet(12, [6], 7, weight_decay_lambda=decay, seed=0, dtype=be.dtype, backend=be.backend)
        for decay in (0.0, 0.25)
    )
    if flat:
        decayed.state.flatten()
    x, t = be.put(X), be.put(LABELS)
    host = {key: to_numpy(value).astype(np.float64) for key, value in plain.params.items()}
    penalty = 0.125 * sum(np.sum(host[key] ** 2) for key in ("W1", "W2"))
    for train in (False, True):
        expected = float(plain.loss(x, t, train=train)) + penalty
        assert float(decayed.loss(x, t, train=train)) == pytest.approx(expected, rel=1e-6)
    assert float(decayed.compute_gradients(x, t)) == pytest.approx(float(plain.loss(x, t)) + penalty, rel=1e-6)
    for key, grad in plain.gradient(x, t).items():
        expected = to_numpy(grad).astype(np.float64) + (0.25 * host[key] if key[0] == "W" else 0)
        be.check(decayed.gradient(x, t)[key], expected, name=key)


def test_weight_decay_of_any_network_and_with_fused_layers():
    layers = [Affine(numbers(5, 12, 6), numbers(6, 6)), Relu(), Affine(numbers(7, 6, 7), numbers(8, 7))]
    network = flattened(Network(layers, weight_decay_lambda=0.5))
    grads = network.gradient(X, LABELS)
    loss = float(network.compute_gradients(X, LABELS))
    fused = float(network.compute_gradients(X, LABELS, fused_plan(network)))
    assert fused == pytest.approx(loss, rel=1e-14)
    for key, grad in network.state.grads.items():
        np.testing.assert_allclose(grad, grads[key], rtol=1e-12)
    assert network.copy().weight_decay_lambda == 0.5
    assert max(check_gradient(network, X, LABELS).values()) < 1e-8


def test_weights_that_nothing_else_pulls_at_decay_to_nothing():
    network = MultiLayerNet(12, [6], 7, weight_decay_lambda=0.5, seed=0, dtype="float64", backend="numpy")
    before = np.abs(network.params["W1"]).max()
    make(network, np.zeros((25, 12)), iterations=100, optimizer_param={"lr": 0.2}).train()
    assert np.abs(network.params["W1"]).max() < 1e-3 * before


def test_a_smoothed_loss_is_never_fused_away():
    network = everything(last_layer=SoftmaxWithLoss(label_smoothing=0.2), use_dropout=False)
    plain = float(network.loss(X, LABELS, train=True))
    assert float(network.compute_gradients(X, LABELS, fused_plan(network))) == pytest.approx(plain, rel=1e-13)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"activation": "relU"},
            "activation must be one of 'relu', .* 'leaky_relu', 'gelu', got 'relU'",
        ),
        ({"activation": Relu}, "activation must be one of .* got <class"),
        ({"activation": ["relu"]}, r"activation must be one of .* got \['relu'\]"),
        ({"weight_init_std": "kaiming"}, "Initial weights must be .* got 'kaiming'"),
        ({"weight_decay_lambda": -1}, "weight_decay_lambda must be a finite number of at least 0, got -1"),
        ({"weight_decay_lambda": float("inf")}, "weight_decay_lambda must be .* got inf"),
        ({"weight_decay_lambda": "much"}, "weight_decay_lambda must be .* got 'much'"),
        ({"use_dropout": True, "dropout_ratio": 1.0}, "dropout_ratio must be .* got 1.0"),
        ({"use_dropout": True, "dropout_ratio": -0.5}, "dropout_ratio must be .* got -0.5"),
        ({"hidden_size_list": [6, 0]}, "size must be a whole number of at least 1, got 0"),
        ({"hidden_size_list": [6, 2.5]}, "size must be .* got 2.5"),
        ({"hidden_size_list": 6}, r"hidden_size_list must be .*such as `\[100, 100\]`, got 6"),
        ({"hidden_size_list": "66"}, r"size must be .* got '6'"),
        ({"input_size": 0}, "input size must be .* got 0"),
        ({"output_size": -1}, "output size must be .* got -1"),
        ({"dtype": "float16"}, "dtype must be 'float32' or 'float64', got 'float16'"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_options_out_of_range(options, says):
    with pytest.raises(ArgumentError, match=says):
        MultiLayerNet(**{"input_size": 12, "hidden_size_list": [6], "output_size": 7} | options)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("x", "t", "error"),
    [
        (X[:, :11], LABELS, ShapeError),
        (X, LABELS[:3], ShapeError),
        (X, LABELS + 3, LabelError),
        (np.full((5, 12), np.nan), LABELS, ValueError),
    ],
)
def test_bad_input_changes_neither_statistics_nor_what_is_dropped_next(x, t, error, flat):
    network = everything()
    if flat:
        network.state.flatten()
    before = state(network)
    with pytest.raises(error):
        network.gradient(x, t)
    assert same_bits(state(network), before)


def test_data_beside_another_library_are_refused():
    network = everything(backend="array_api_strict")
    with pytest.raises(TypeError, match="x is a numpy.ndarray"):
        network.loss(X, LABELS, train=True)
    network.loss(network.asarray(X), network.asarray(LABELS), train=True)
