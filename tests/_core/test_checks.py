"""Bad input gets one clear error: what came, what was expected, the line that mends it; and no parameter changes."""

import copy

import numpy as np
import pytest

from xpnet import (
    SGD,
    IdentityWithLoss,
    Network,
    SimpleNetwork,
    Trainer,
    TwoLayerNet,
    asarray,
    cross_entropy_error,
    gradient_descent,
    mean_squared_error,
    numerical_gradient,
    to_numpy,
)
from xpnet.errors import (
    ArgumentError,
    ArrayMixError,
    BackendError,
    DataError,
    DtypeError,
    LabelError,
    ShapeError,
    XpnetError,
)

X = np.linspace(0, 1, 48, dtype="float32").reshape(4, 12)
T = np.array([0, 1, 2, 0])


def spoiled(array, place, value):
    array = array.copy()
    array[place] = value
    return array


NOT_FINITE = {"NaN": spoiled(X, (2, 5), np.nan), "infinite": spoiled(X, (2, 5), np.inf)}

BAD = {
    "label out of range": (X, spoiled(T, 2, 3), LabelError, r"Expected labels from 0 to 2, got 3 at index 2 \(1 of 4 "),
    "negative label": (X, spoiled(T, 1, -1), LabelError, r"Expected labels from 0 to 2, got -1 at index 1 "),
    "labels as floats": (X, T.astype(float), DtypeError, r"indices as integers, got float64.*astype\('int64'\)"),
    "too few labels": (X, T[:3], ShapeError, r"labels of shape \(4,\) .* or \(4, 3\) .*, got \(3,\)"),
    "one-hot of another width": (X, np.eye(4)[T], ShapeError, r"labels of shape .* \(4, 3\) .*, got \(4, 4\)"),
    "wrong width": (
        X[:, :11],
        T,
        ShapeError,
        r"Affine1: Affine expects 12 numbers a sample .* got .* of shape \(11,\)",
    ),
    "wrong image shape": (X.reshape(4, 1, 12)[:, :, :11], T, ShapeError, r"Affine1: Affine expects 12 .*\(1, 11\)"),
    "empty batch": (X[:0], T[:0], ShapeError, r"The batch is empty: x(_test)? has shape \(0, 12\)"),
    "integers that are no pixels": (X.astype("int64"), T, DtypeError, r"uint8 pixels .* or floats, got int64"),
    "a NaN image": (NOT_FINITE["NaN"], T, DataError, r"not finite, in 1 of 4 samples; .* index \(2, 5\)"),
    "an infinite image": (NOT_FINITE["infinite"], T, DataError, r"not finite, in 1 of 4 samples; .* index \(2, 5\)"),
    "a list": (X.tolist(), T, ArrayMixError, "must be an array, got list"),
}


def network(**options):
    return TwoLayerNet(12, 6, 3, seed=0, **options)


@pytest.mark.parametrize(("x", "t", "error", "says"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("flat", [False, True])
def test_a_network_refuses_it(x, t, error, says, flat):
    net = network()
    if flat:
        net.state.flatten()
    before = {key: value.copy() for key, value in net.params.items()}
    with pytest.raises(error, match=says) as caught:
        net.gradient(x, t)
    assert isinstance(caught.value, XpnetError)
    assert all(np.array_equal(net.params[key], before[key]) for key in before)


@pytest.mark.parametrize(("x", "t", "error", "says"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_trainer_refuses_it_before_anything_is_learned(x, t, error, says, part):
    net = network()
    before = {key: value.copy() for key, value in net.params.items()}
    data = (x, t, X, T) if part == "train" else (X, T, x, t)
    with pytest.raises(error, match=says):
        Trainer(net, *data, epochs=1, verbose=False)
    assert all(np.array_equal(net.params[key], before[key]) for key in before)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "loss", "accuracy", "gradient", "numerical_gradient"])
def test_arrays_of_another_library_are_refused_at_the_door(method):
    net = network(backend="array_api_strict")
    arguments = (X,) if "predict" in method else (X, T)
    with pytest.raises(
        ArrayMixError, match=r"x is a numpy.ndarray, but .* are array_api_strict.*x = network.asarray\(x\)"
    ):
        getattr(net, method)(*arguments)
    if "predict" not in method:
        with pytest.raises(ArrayMixError, match=r"t is a numpy.ndarray"):
            getattr(net, method)(net.asarray(X), T)


def test_arrays_of_another_device_are_refused_at_the_door():
    net = network(backend="array_api_strict:device1")
    with pytest.raises(ArrayMixError, match=r"x is on device .*CPU_DEVICE.*parameters on .*device1"):
        net.predict(asarray(X, backend="array_api_strict:CPU_DEVICE"))


def test_a_trainer_moves_data_and_says_what_is_no_array():
    net = network(backend="array_api_strict:device1")
    Trainer(net, X, T, asarray(X, backend="array_api_strict"), T, epochs=1, verbose=False).train()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mini_batch_size": 0}, "mini_batch_size must be a whole number of at least 1, got 0"),
        ({"mini_batch_size": 2.5}, "mini_batch_size must be .*, got 2.5"),
        ({"epochs": 0}, "epochs must be"),
        ({"iterations": -1}, "iterations must be"),
        ({"evaluate_sample_num_per_epoch": -5}, "evaluate_sample_num_per_epoch must be"),
        ({"evaluate_sample_num_per_epoch": 0}, "evaluate_sample_num_per_epoch must be .*, got 0"),
        ({"sampling": "random"}, "sampling must be 'shuffle' or 'choice', got 'random'"),
        ({"optimizer": "sdg"}, "no optimizer 'sdg'. Use one of 'SGD'"),
        ({"optimizer": object()}, "An optimizer has a method"),
        ({"optimizer_param": {"lr": 0}}, "lr must be a finite number above 0, got 0"),
        ({"optimizer_param": {"lr": float("nan")}}, "lr must be"),
        (
            {"optimizer_param": {"learning_rate": 0.1}},
            "SGD takes no argument `learning_rate`; it takes lr, weight_decay, max_norm",
        ),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": "one"}, "seed must be a whole number"),
    ],
)
def test_a_trainer_refuses_options_out_of_range(options, says):
    with pytest.raises(ArgumentError, match=says):
        Trainer(network(), X, T, X, T, verbose=False, **options)


@pytest.mark.parametrize("made", [TwoLayerNet, SimpleNetwork])
@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ((0, 6, 3), {}, ArgumentError, "input size must be"),
        ((12, 6.5, 3), {}, ArgumentError, "size must be"),
        ((12, 6, -1), {}, ArgumentError, "output size must be"),
        ((12, 6, 3), {"dtype": "int8"}, ArgumentError, "dtype must be 'float32' or 'float64', got 'int8'"),
        ((12, 6, 3), {"seed": -1}, ArgumentError, "seed must be"),
        ((12, 6, 3), {"backend": "nmpy"}, BackendError, "There is no backend 'nmpy'"),
    ],
)
def test_a_network_refuses_options_out_of_range(made, arguments, options, error, says):
    with pytest.raises(error, match=says):
        made(*arguments, **options)


def test_the_wrong_backend_name_in_the_environment(monkeypatch):
    monkeypatch.setenv("XPNET_BACKEND", "cuda")
    with pytest.raises(BackendError, match="There is no backend 'cuda'.*Choose 'numpy', 'cupy' or 'auto'"):
        network()


def test_a_batch_size_of_no_samples():
    with pytest.raises(ArgumentError, match="batch_size must be"):
        network().predict(X, batch_size=0)


def test_a_regression_has_no_accuracy_and_wants_floats():
    net = network()
    regression = Network(copy.deepcopy(dict(net.layers)), IdentityWithLoss())
    with pytest.raises(ArgumentError, match=r"no accuracy. Use `network.loss"):
        regression.accuracy(X, np.eye(3)[T])
    with pytest.raises(ArgumentError, match="gives no probabilities"):
        regression.predict_proba(X)
    with pytest.raises(DtypeError, match="targets of a regression as floats, got int64"):
        regression.loss(X, np.ones((4, 3), dtype="int64"))
    with pytest.raises(ShapeError, match=r"outputs' shape \(4, 3\), got \(4,\)"):
        regression.loss(X, np.ones(4))
    with pytest.raises(DataError, match=r"t_train: Expected finite targets, got nan at index \(0, 0\)"):
        Trainer(regression, X, np.full((4, 3), np.nan), None, None, verbose=False)


def test_a_test_set_without_labels():
    with pytest.raises(ArrayMixError, match="t_test must be an array, got NoneType"):
        Trainer(network(), X, T, X, None, verbose=False)


def test_functions_refuse_labels_that_are_no_class():
    with pytest.raises(LabelError, match="got 3 at index 0"):
        cross_entropy_error(np.full((1, 3), 0.3), np.array([3]))
    with pytest.raises(LabelError, match="got 7 at index 0"):
        cross_entropy_error([0.5, 0.5], 7)
    with pytest.raises(ShapeError, match=r"of one shape, got \(3,\) and \(4,\)"):
        mean_squared_error(np.ones(3), np.ones(4))


def test_numerical_gradient_is_never_a_silent_zero():
    with pytest.raises(DtypeError, match=r"cannot hold.*x.astype\('float64'\)"):
        numerical_gradient(lambda x: (x**2).sum(), np.array([3, 4]))
    frozen = np.ones(2)
    frozen.flags.writeable = False
    with pytest.raises(DtypeError, match=r"does not allow.*network.numerical_gradient\(x, t\)"):
        numerical_gradient(lambda x: (x**2).sum(), frozen)


def test_numerical_gradient_restores_its_input_also_after_an_error():
    x = np.array([[3.0, 4.0]])

    def fails_later(x):
        if x[0, 1] != 4.0:
            raise RuntimeError
        return float((x**2).sum())

    with pytest.raises(RuntimeError):
        numerical_gradient(fails_later, x)
    assert x.tolist() == [[3.0, 4.0]]


def test_numerical_gradient_on_every_backend(be64):
    x = be64.put(np.array([[3.0, -1.0], [0.5, 2.0]]))
    if be64.name == "jax":
        with pytest.raises(DtypeError, match=r"network.numerical_gradient\(x, t\)"):
            numerical_gradient(lambda x: be64.xp.sum(x**2), x)
        return
    before = to_numpy(x).copy()
    grad = numerical_gradient(lambda x: be64.xp.sum(x**2), x)
    np.testing.assert_allclose(to_numpy(grad), 2 * before, rtol=1e-9)
    assert np.array_equal(to_numpy(x), before)


def test_numerical_gradient_of_a_strided_view():
    base = np.arange(12.0).reshape(3, 4)
    grad = numerical_gradient(lambda x: (x**2).sum(), base[:, ::2])
    np.testing.assert_allclose(grad, 2 * np.arange(12.0).reshape(3, 4)[:, ::2], rtol=1e-8)


def test_gradient_descent_gives_the_point_and_leaves_its_start_alone():
    start = np.array([-3.0, 4.0])
    end = gradient_descent(lambda x: (x**2).sum(), start, lr=0.1, step_num=100)
    np.testing.assert_allclose(end, 0.8**100 * start, rtol=1e-6)
    assert start.tolist() == [-3.0, 4.0]


def test_an_optimizer_refuses_a_rate_that_is_none():
    for rate in (0, -0.1, float("inf"), "fast", None):
        with pytest.raises(ArgumentError, match="lr must be a finite number above 0"):
            SGD(lr=rate)
