"""What is no plain array, or has a dtype that no network has: refused by name at every entry, or converted."""

import numpy as np
import pytest
from made_up_arrays import FOREIGN
from states import with_weights

import xpnet
from xpnet import (
    Affine,
    Augmentation,
    BatchNormalization,
    Convolution,
    Graph,
    LayerNormalization,
    Relu,
    Trainer,
    TwoLayerNet,
    asarray,
    get_array_module,
)
from xpnet.data.augmentation import add_noise, rotate, shift
from xpnet.errors import ArrayMixError, DtypeError, XpnetError

X = np.array([[1, 2, 3, 2], [1, 4, 2, 1], [5, 1, 1, 1]], "float32") / 8  # inputs, and the probabilities of classes
T = np.array([0, 1, 2])
W = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)
b = np.zeros(3, "float32")


def network(**options):
    return TwoLayerNet(4, 5, 3, seed=0, backend="numpy", **options)


def trainer(x=X, t=T, x_test=X, t_test=T, **options):
    return Trainer(network(), x, t, x_test, t_test, epochs=1, mini_batch_size=2, verbose=False, seed=0, **options)


def network_of_weights():
    return TwoLayerNet(3, 4, 2, seed=0, backend="numpy")


def weights(x):
    return {"W1": x, "b1": np.zeros(4), "W2": np.ones((4, 2)), "b2": np.zeros(2)}


LAYERS = {
    "Relu": xpnet.Relu(),
    "LeakyRelu": xpnet.LeakyRelu(),
    "Gelu": xpnet.Gelu(),
    "Sigmoid": xpnet.Sigmoid(),
    "Tanh": xpnet.Tanh(),
    "Flatten": xpnet.Flatten(),
    "Affine": Affine(W, b),
    "BatchNormalization": BatchNormalization(np.ones(4), np.zeros(4)),
    "LayerNormalization": LayerNormalization(np.ones(4), np.zeros(4)),
    "Residual": xpnet.Residual([Relu()]),
    "SquareLayer": xpnet.graph.SquareLayer(),
    "ExpLayer": xpnet.graph.ExpLayer(),
    "ReciprocalLayer": xpnet.graph.ReciprocalLayer(),
}
FUNCTIONS = "sigmoid sigmoid_grad relu relu_grad softmax step_function identity_function"
# Each is given an array (3, 4) of floats.
ENTRIES = {
    **{name: getattr(xpnet.functions, name) for name in FUNCTIONS.split()},
    **{name: getattr(xpnet, name) for name in ("to_numpy", "get_array_module", "asarray")},
    **{f"{name}.forward": layer.forward for name, layer in LAYERS.items()},
    "asarray like": lambda x: asarray(x, like=X),
    "asarray of a list": lambda x: asarray([x, x]),
    "asarray to another backend": lambda x: asarray(x, backend="array_api_strict"),
    "MulLayer.forward": lambda x: xpnet.MulLayer().forward(x, 2.0),
    "MulLayer.forward of the other": lambda x: xpnet.MulLayer().forward(2.0, x),
    "AddLayer.forward": lambda x: xpnet.AddLayer().forward(x, 2.0),
    "mean_squared_error": lambda x: xpnet.mean_squared_error(x, X),
    "mean_squared_error t": lambda x: xpnet.mean_squared_error(X, x),
    "cross_entropy_error": lambda x: xpnet.cross_entropy_error(x, T),
    "cross_entropy_error t": lambda x: xpnet.cross_entropy_error(X, x),
    "AND": lambda x: xpnet.AND(x, X),
    "XOR": lambda x: xpnet.XOR(X, x),
    "Graph.variable": lambda x: Graph().variable("x", x),
    "Graph.apply": lambda x: Graph().apply(xpnet.graph.ExpLayer(), x),
    "gradient_descent": lambda x: xpnet.gradient_descent(lambda v: (np.asarray(v) ** 2).sum(), x, step_num=1),
    "numerical_gradient": lambda x: xpnet.numerical_gradient(lambda v: (np.asarray(v) ** 2).sum(), x),
    "split_validation": lambda x: xpnet.split_validation(x, T),
    "split_validation t": lambda x: xpnet.split_validation(X, x),
    "predict": lambda x: network().predict(x),
    "predict_proba": lambda x: network().predict_proba(x),
    "loss": lambda x: network().loss(x, T),
    "loss in training": lambda x: network().loss(x, T, train=True),
    "accuracy": lambda x: network().accuracy(x, T),
    "gradient": lambda x: network().gradient(x, T),
    "network.numerical_gradient": lambda x: network().numerical_gradient(x, T),
    "check_gradient": lambda x: xpnet.check_gradient(network(), x, T),
    "targets of loss": lambda x: TwoLayerNet(4, 5, 4, backend="numpy").loss(X, x),
    "targets of gradient": lambda x: TwoLayerNet(4, 5, 4, backend="numpy").gradient(X, x),
    "targets of accuracy": lambda x: TwoLayerNet(4, 5, 4, backend="numpy").accuracy(X, x),
    "Trainer x_train": lambda x: trainer(x=x),
    "Trainer t_train": lambda x: trainer(t=x),
    "Trainer x_test": lambda x: trainer(x_test=x),
    "Trainer t_test": lambda x: trainer(t_test=x),
    "Trainer validation": lambda x: trainer(validation=(x, T)),
    "Affine W": lambda x: Affine(x, np.zeros(4)),
    "Affine b": lambda x: Affine(W, x),
    "Convolution W": lambda x: Convolution(x, np.zeros(1)),
    "BatchNormalization gamma": lambda x: BatchNormalization(x, np.zeros(3)),
    "LayerNormalization beta": lambda x: LayerNormalization(np.ones(3), x),
    "a layer's W": lambda x: setattr(network_of_weights().layers["Affine1"], "W", x),
    "params[...]": lambda x: network_of_weights().params.__setitem__("W1", x),
    "set_params": lambda x: network_of_weights().set_params(weights(x)).params["W1"],
    "set_weights": lambda x: with_weights(network_of_weights(), weights(x)).params["W1"],
}
IMAGES = np.linspace(0, 1, 48, dtype="float32").reshape(3, 1, 4, 4)
# Each is given images.
ENTRIES_OF_IMAGES = {
    "shift": lambda x: shift(x, 1, 1),
    "rotate": lambda x: rotate(x, 10),
    "add_noise": lambda x: add_noise(x, 0.1, np.array([1], "int32")),
    "Augmentation": lambda x: Augmentation(shift=1, seed=0)(x),
    "Convolution.forward": lambda x: Convolution(np.ones((2, 1, 3, 3), "float32"), np.zeros(2, "float32")).forward(x),
    "MaxPooling.forward": lambda x: xpnet.MaxPooling(2, 2).forward(x),
    "AveragePooling.forward": lambda x: xpnet.AveragePooling(2, 2).forward(x),
    "GlobalAveragePooling.forward": lambda x: xpnet.GlobalAveragePooling().forward(x),
}


CASES = [(name, call, X) for name, call in ENTRIES.items()]
CASES += [(name, call, IMAGES) for name, call in ENTRIES_OF_IMAGES.items()]


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize(("name", "call", "plain"), CASES, ids=[name for name, *_ in CASES])
def test_an_entry_refuses_what_is_no_plain_array(name, call, plain, kind):
    make, _ = FOREIGN[kind]
    if kind == "matrix" and plain.ndim != 2:
        pytest.skip("a matrix has two dimensions")
    try:
        result = call(make(plain))
    except XpnetError as error:
        says, raised = str(error), type(error)
    else:  # a table that NumPy reads rightly is a list like another, where lists are taken
        assert kind == "table"
        expected = call(plain.tolist())
        if isinstance(result, np.ndarray):
            np.testing.assert_allclose(result, expected, rtol=0.01)  # in float32 and float64
        return
    assert issubclass(raised, ArrayMixError | DtypeError)
    assert type(make(plain)).__name__ in says


@pytest.mark.bits
@pytest.mark.parametrize(("name", "call", "plain"), CASES, ids=[name for name, *_ in CASES])
def test_a_memory_map_is_an_array_like_another(name, call, plain, tmp_path):
    mapped = np.memmap(tmp_path / "x", dtype="float32", mode="w+", shape=plain.shape)
    mapped[...] = plain
    results = []
    for x in (plain.copy(), mapped):
        try:
            results.append(call(x))
        except XpnetError as error:  # such as: this is not the shape of labels
            results.append(str(error))
    assert isinstance(results[1], type(results[0]))
    if isinstance(results[0], np.ndarray | str):
        np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(mapped, plain)
    if name in ("asarray", "asarray like", "to_numpy"):
        assert np.shares_memory(results[1], mapped)


def test_numpys_numbers_and_arrays_without_dimensions_are_no_foreign_arrays():
    assert float(xpnet.sigmoid(np.float32(0))) == float(xpnet.sigmoid(np.array(0.0))) == 0.5
    assert get_array_module(np.float16(1)) is get_array_module(np.array(1)) is np
    assert float(asarray(np.float64(2), dtype="float32")) == 2.0
    assert xpnet.MulLayer().forward(np.float64(2), np.array([1.0, 2.0])).tolist() == [2.0, 4.0]
