"""Networks: the course's names, prediction in batches, gradients checked against numerical ones, building."""

import copy
import tracemalloc

import numpy as np
import pytest
from cases import LABELS, numbers, same_bits, two_layer
from states import flattened

from xpnet import (
    Affine,
    Layer,
    Network,
    Relu,
    Sigmoid,
    SimpleNetwork,
    SoftmaxWithLoss,
    Trainer,
    TwoLayerNet,
    asarray,
    check_gradient,
    to_numpy,
)
from xpnet.errors import ArgumentError, ArrayMixError, DtypeError, ShapeError

X = numbers(1, 5, 12)


# --- the course's names ---------------------------------------------------------------------------------------------


def test_the_courses_names():
    network = TwoLayerNet(784, 50, 10)
    assert list(network.params) == ["W1", "b1", "W2", "b2"]
    assert list(network.layers) == ["Affine1", "Relu1", "Affine2"]
    assert network.lastLayer is network.last_layer
    assert isinstance(network.last_layer, SoftmaxWithLoss)
    assert {key: value.shape for key, value in network.params.items()} == {
        "W1": (784, 50),
        "b1": (50,),
        "W2": (50, 10),
        "b2": (10,),
    }


PUBLIC = (
    "layers last_layer params state classes input_shape weight_decay_lambda dtype backend recordable "
    "predict predict_proba predict_labels loss accuracy gradient numerical_gradient output_shape "
    "to asarray copy save load set_params freeze unfreeze summary compute_gradients"
)


def test_the_public_names_are_few():
    assert {name for name in dir(TwoLayerNet(4, 3, 2)) if not name.startswith("_")} == set(PUBLIC.split())


def test_a_network_is_a_function_of_its_inputs(be):
    network = two_layer(be.put)
    x = network.asarray(X, dtype=be.dtype)
    assert type(x) is type(network.state.like)
    be.check(network(x), to_numpy(network.predict(x)), eps=0)
    assert str(network.asarray(LABELS, dtype="int32").dtype).endswith("int32")


def test_initial_weights_have_the_deviation_asked_for_and_biases_are_zero():
    network = TwoLayerNet(784, 50, 10, 0.02, seed=3)
    assert np.std(network.params["W1"]) == pytest.approx(0.02, rel=0.02)
    assert abs(np.mean(network.params["W1"])) < 0.001
    assert not network.params["b1"].any()
    assert not network.params["b2"].any()


def test_one_seed_gives_the_same_weights_everywhere_and_another_gives_others(be):
    here = TwoLayerNet(12, 6, 7, seed=4, dtype=be.dtype, backend=be.backend)
    host = TwoLayerNet(12, 6, 7, seed=4, dtype=be.dtype, backend="numpy")
    assert same_bits(here.params, host.params)
    assert not same_bits(host.params, TwoLayerNet(12, 6, 7, seed=5, dtype=be.dtype).params)
    assert not same_bits(TwoLayerNet(12, 6, 7).params, TwoLayerNet(12, 6, 7).params)


@pytest.mark.parametrize("flat", [False, True])
def test_the_courses_loop_learns_on_every_backend(be, flat):
    """With a dictionary beside the layers it would not, where arrays cannot be written in place."""
    network, x, t = two_layer(be.put), be.put(X), be.put(LABELS)
    if flat:
        network.state.flatten()
    before = float(network.loss(x, t))
    for _ in range(30):
        grads = network.gradient(x, t)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= 0.1 * grads[key]
    assert float(network.loss(x, t)) < before / 2


def test_gradients_belong_to_the_caller(be):
    network, x, t = flattened(two_layer(be.put)), be.put(X), be.put(LABELS)
    first = network.gradient(x, t)
    kept = {key: to_numpy(value).copy() for key, value in first.items()}
    network.gradient(be.put(2 * X), t)
    assert same_bits(first, kept)


# --- inference ------------------------------------------------------------------------------------------------------


def test_batches_change_nothing_but_the_memory(be):
    network, x, t = two_layer(be.put), be.put(X), be.put(LABELS)
    whole = to_numpy(network.predict(x))
    np.testing.assert_allclose(to_numpy(network.predict(x, batch_size=2)), whole, rtol=1e-5)
    expected = float(np.mean(whole.argmax(axis=1) == LABELS))
    assert network.accuracy(x, t, batch_size=2) == network.accuracy(x, t) == expected
    assert network.accuracy(x, be.put(np.eye(7)[LABELS])) == expected
    be.check(
        network.predict_proba(x).sum(axis=1) if be.name == "numpy" else be.xp.sum(network.predict_proba(x), axis=1),
        np.ones(5),
    )


def test_batches_of_pixels_and_of_another_precision_are_each_converted(be):
    """They are written into the same memory one after the other, the last one being short."""
    network = two_layer(be.put)
    pixels = np.random.default_rng(3).integers(0, 256, (5, 12), dtype=np.uint8)
    other = {"float32": "float64", "float64": "float32"}[be.dtype]
    inputs = [be.put(pixels)]
    if be.name != "strict-no_float64":
        inputs.append(asarray(X, dtype=other, backend=be.backend))
    for x in inputs:
        one_by_one = [to_numpy(network.predict(x[i : i + 1, ...])) for i in range(5)]
        for batch_size in (2, 5, 9):
            scores = to_numpy(network.predict(x, batch_size=batch_size))
            np.testing.assert_allclose(scores, np.concatenate(one_by_one), rtol=1e-5, atol=1e-7)


def test_sixty_thousand_images_do_not_multiply_the_memory():
    network = TwoLayerNet(784, 50, 10, seed=0)
    x, t = np.zeros((60_000, 784), np.uint8), np.zeros(60_000, np.int64)
    tracemalloc.start()
    network.accuracy(x, t)
    network.predict(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    scores = 60_000 * 10 * 4
    assert peak < 2 * scores + 20e6  # the images as floats would be 188 MB


def test_one_sample_is_a_batch_of_one(be):
    network = two_layer(be.put)
    scores = to_numpy(network.predict(be.put(X)))
    one = network.predict(be.put(X[2]))
    be.check(one, scores[2])
    label = int(LABELS[2])
    assert float(network.loss(be.put(X[2]), label)) == pytest.approx(
        float(network.loss(be.put(X[2:3]), be.put(LABELS[2:3]))), rel=1e-6
    )
    assert network.accuracy(be.put(X[2]), label) in (0.0, 1.0)


def test_floats_of_another_precision_are_converted_to_the_networks():
    network = TwoLayerNet(12, 6, 7, seed=0)
    assert network.predict(X).dtype == np.float32
    assert network.gradient(X, np.eye(7)[LABELS])["W1"].dtype == np.float32
    assert network.to(dtype="float64").predict(X.astype(np.float16)).dtype == np.float64


def test_training_and_inference_differ_in_the_flag_alone():
    seen = []

    class Watch(Relu):
        def forward(self, x):
            seen.append(self.train)
            return super().forward(x)

    network = Network([Affine(numbers(5, 12, 7), numbers(8, 7)), Watch()])
    network.gradient(X, LABELS)
    network.predict(X)
    network.gradient(X, LABELS)
    network.loss(X, LABELS)
    network.accuracy(X, LABELS)
    assert seen == [True, False, True, False, False]


def test_the_first_layer_does_not_compute_what_nobody_needs():
    network = two_layer(np.asarray)
    x = X.copy()
    network.compute_gradients(x, LABELS)
    assert network.layers["Affine1"].backward(np.ones((5, 6))) is None
    assert network.layers["Affine2"].backward(np.ones((5, 7))).shape == (5, 6)


# --- numerical gradients --------------------------------------------------------------------------------------------


def test_numerical_gradient_of_a_network_agrees_with_backpropagation_on_every_backend(be64):
    network = TwoLayerNet(4, 3, 2, 0.5, seed=1, dtype="float64", backend=be64.backend)
    x, t = be64.put(numbers(2, 3, 4)), be64.put(np.array([0, 1, 1]))
    before = {key: to_numpy(value).copy() for key, value in network.params.items()}
    numerical, backward = network.numerical_gradient(x, t), network.gradient(x, t)
    for key in backward:
        np.testing.assert_allclose(to_numpy(numerical[key]), to_numpy(backward[key]), atol=1e-8)
    assert same_bits(network.params, before)


def test_gradient_check_on_three_images(mnist):
    """Course row 16, whose bounds these are; a float32 network is checked in float64."""
    (x, t), _ = mnist
    bounds = {"W1": 1e-12, "b1": 4e-12, "W2": 4e-12, "b2": 5e-10}
    network = TwoLayerNet(784, 50, 10, seed=0)
    errors = check_gradient(network, x[:3], t[:3])
    assert {key: errors[key] <= bound for key, bound in bounds.items()} == dict.fromkeys(bounds, True), errors
    assert network.dtype == "float32"


def test_gradient_check_finds_a_wrong_gradient():
    class WrongSigmoid(Sigmoid):
        def backward(self, dout):
            return dout * self.y

    network = Network(
        [Affine(numbers(5, 12, 6), numbers(6, 6)), WrongSigmoid(), Affine(numbers(7, 6, 7), numbers(8, 7))]
    )
    errors = check_gradient(network, X, LABELS)
    assert errors["W2"] < 1e-9
    assert errors["W1"] > 1e-3


def test_simple_network_learns_by_numerical_gradient(be64):
    network = SimpleNetwork(4, 3, 2, 0.5, seed=1, dtype="float64", backend=be64.backend)
    assert list(network.layers) == ["Affine1", "Sigmoid1", "Affine2"]
    x, t = be64.put(numbers(2, 3, 4)), be64.put(np.array([0, 1, 1]))
    before = float(network.loss(x, t))
    by_layers = Network(copy.deepcopy(dict(network.layers))).gradient(x, t)
    grads = network.gradient(x, t)
    for key in grads:
        np.testing.assert_allclose(to_numpy(grads[key]), to_numpy(by_layers[key]), atol=1e-8)
        network.params[key] -= 0.5 * grads[key]
    assert float(network.loss(x, t)) < before


# --- building and telling -------------------------------------------------------------------------------------------


def test_a_network_of_ones_own():
    network = Network(
        [Affine(numbers(5, 12, 6), numbers(6, 6)), Relu(), Affine(numbers(7, 6, 7), numbers(8, 7)), Relu()]
    )
    assert list(network.layers) == ["Affine1", "Relu1", "Affine2", "Relu2"]
    with pytest.raises(TypeError):
        network.layers["Relu2"] = Relu()


def test_layers_that_do_not_fit_are_refused_when_the_network_is_built():
    with pytest.raises(ShapeError, match=r"Affine2: Affine expects 5 numbers a sample \(W is \(5, 7\)\), got .*\(6,\)"):
        Network([Affine(numbers(5, 12, 6), numbers(6, 6)), Relu(), Affine(numbers(7, 5, 7), numbers(8, 7))])
    relu = Relu()
    with pytest.raises(ArgumentError, match="twice"):
        Network([Affine(numbers(5, 12, 6), numbers(6, 6)), relu, relu])
    with pytest.raises(ArgumentError, match="at least one layer with parameters"):
        Network([Relu()])
    first = Affine(numbers(5, 12, 6), numbers(6, 6))
    second = Affine(
        asarray(numbers(7, 6, 7), backend="array_api_strict"), asarray(numbers(8, 7), backend="array_api_strict")
    )
    with pytest.raises(ArrayMixError, match="W2 is a array_api_strict.*the network's parameters are numpy.ndarray"):
        Network([first, Relu(), second])
    with pytest.raises(DtypeError, match="W2 is float32, but the first parameter is float64"):
        Network([first, Relu(), Affine(*(numbers(7, *s).astype("float32") for s in ((6, 7), (7,))))])


def test_repr_and_summary_tell(be):
    network = two_layer(be.put)
    assert repr(network).startswith("Network(12-6-7, 127 parameters, ")
    assert be.dtype in repr(network)
    text = network.summary()
    for part in ("Affine1", "Affine(12 -> 6)", "(N, 7)", "78", "49", "SoftmaxWithLoss()"):
        assert part in text


def test_an_unfinished_layer_says_what_it_lacks():
    class Unfinished(Layer):
        pass

    with pytest.raises(NotImplementedError, match="Unfinished does not implement"):
        Unfinished().forward(X)


@pytest.mark.parametrize("change", ["dtype of x", "dtype of the network", "backend", "input_shape", "no shape"])
def test_what_is_known_of_inputs_is_looked_at_again_where_it_changes(change):
    network = TwoLayerNet(4, 3, 2, seed=0, backend="numpy")
    x = np.ones((1, 2, 2), dtype="float32")
    assert network.predict(x).shape == (1, 2)
    assert network.predict(x).shape == (1, 2)
    if change == "dtype of x":
        with pytest.raises(DtypeError):
            network.predict(x.astype("int64"))
    elif change == "dtype of the network":
        assert network.to(dtype="float64").predict(x).dtype == np.float64
    elif change == "backend":
        network.to("array_api_strict")
        with pytest.raises(ArrayMixError):
            network.predict(x)
    elif change == "input_shape":
        network.input_shape = (1, 2, 2)
        assert network.predict(x).shape == (2,)
    else:
        with pytest.raises(ShapeError):
            network.predict(x[:0])


def test_a_trainer_computes_the_numerical_gradient_of_a_simple_network(monkeypatch):
    network, calls = SimpleNetwork(12, 3, 7, seed=0, backend="numpy"), []
    real = Network.numerical_gradient
    monkeypatch.setattr(Network, "numerical_gradient", lambda self, x, t: calls.append(1) or real(self, x, t))
    Trainer(network, X, LABELS, mini_batch_size=5, iterations=2, verbose=False).train()
    assert len(calls) == 2
