"""The dtypes that networks have, float32 and float64, in every spelling; all others are refused, or converted."""

import warnings

import numpy as np
import pytest

from xpnet import (
    Affine,
    BatchNormalization,
    Convolution,
    DeepConvNet,
    Gelu,
    IdentityWithLoss,
    Layer,
    LayerNormalization,
    MultiLayerNet,
    Network,
    ResNet,
    SimpleConvNet,
    SimpleNetwork,
    ThreeLayerNet,
    Trainer,
    TwoLayerNet,
    asarray,
    numerical_gradient,
    sigmoid,
)
from xpnet.errors import ArgumentError, DtypeError
from xpnet.networks.params import Params

X = np.linspace(-1, 1, 24, dtype="float32").reshape(6, 4)
T = np.array([0, 1, 2, 0, 1, 2])
SPELLINGS = {
    "float32": ("float32", "f4", "<f4", ">f4", "single", np.float32, np.dtype("float32"), np.dtype(">f4")),
    "float64": ("float64", "f8", "<f8", "double", "float", float, np.float64, np.dtype("float64")),
}
REFUSED = (
    "int64",
    "uint8",
    "bool",
    "complex64",
    "float16",
    "longdouble",
    "f2",
    "no such",
    int,
    np.int32,
    None,
    3,
    object,
)
MAKERS = {
    "TwoLayerNet": lambda dtype: TwoLayerNet(4, 5, 3, dtype=dtype, seed=0, backend="numpy"),
    "ThreeLayerNet": lambda dtype: ThreeLayerNet(4, 5, 5, 3, dtype=dtype, seed=0, backend="numpy"),
    "MultiLayerNet": lambda dtype: MultiLayerNet(4, [5], 3, dtype=dtype, seed=0, backend="numpy"),
    "SimpleNetwork": lambda dtype: SimpleNetwork(4, 5, 3, dtype=dtype, seed=0, backend="numpy"),
    "SimpleConvNet": lambda dtype: SimpleConvNet((1, 8, 8), dtype=dtype, seed=0, backend="numpy"),
    "ResNet": lambda dtype: ResNet((1, 8, 8), dtype=dtype, seed=0, backend="numpy"),
    "DeepConvNet": lambda dtype: DeepConvNet((1, 16, 16), dtype=dtype, seed=0, backend="numpy"),
    "Affine.create": lambda dtype: Network([Affine.create(4, 3, rng=0, dtype=dtype, backend="numpy")]),
}


def network(dtype="float32"):
    return TwoLayerNet(4, 5, 3, seed=0, dtype=dtype, backend="numpy")


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_networks_are_made_of_float32_and_float64_alone(make):
    for name, spellings in SPELLINGS.items():
        for dtype in spellings:
            assert make(dtype).dtype == name
    for dtype in REFUSED:
        with pytest.raises(ArgumentError, match="dtype must be 'float32' or 'float64', got"):
            make(dtype)


def test_networks_move_to_float32_and_float64_alone():
    for name, spellings in SPELLINGS.items():
        for dtype in spellings:
            moved = network("float64" if name == "float32" else "float32").to(dtype=dtype)
            assert moved.dtype == name
            assert {value.dtype for value in moved.params.values()} == {np.dtype(name)}
    moved = network()
    before = moved.state.weights()
    for dtype in REFUSED:
        if dtype is None:  # which leaves the dtype
            continue
        with pytest.raises(ArgumentError, match="dtype must be 'float32' or 'float64', got"):
            moved.to(dtype=dtype)
        assert all(np.array_equal(moved.params[key], before[key]) for key in before)


def test_asarray_takes_every_spelling_of_a_dtype_of_numbers():
    for name, spellings in SPELLINGS.items():
        for dtype in spellings:
            converted = asarray([1, 2], dtype=dtype, backend="numpy")
            assert converted.dtype == np.dtype(name)
            assert converted.dtype.isnative
    assert asarray([1, 2], dtype=int, backend="numpy").dtype == np.dtype(int)
    assert asarray([1, 2], dtype=np.uint8, backend="array_api_strict").dtype.__class__.__module__ != "numpy"
    for dtype in ("no such", object, "U5", "datetime64[s]", [("a", "f4")], 3, "longdouble"):
        with pytest.raises(ArgumentError, match="name of a dtype of numbers such as `'float32'`, got"):
            asarray([1, 2], dtype=dtype)


def test_the_dtypes_of_other_libraries_are_taken():
    strict = pytest.importorskip("array_api_strict")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert network().to(dtype=strict.float64).dtype == "float64"
        torch = pytest.importorskip("torch")
        assert network().to(dtype=torch.float64).dtype == "float64"


LAYERS = {
    "Affine": lambda dtype: Affine(np.ones((4, 3)).astype(dtype), np.zeros(3).astype(dtype)),
    "Convolution": lambda dtype: Convolution(np.ones((2, 1, 3, 3)).astype(dtype), np.zeros(2).astype(dtype)),
    "BatchNormalization": lambda dtype: BatchNormalization(np.ones(3).astype(dtype), np.zeros(3).astype(dtype)),
    "LayerNormalization": lambda dtype: LayerNormalization(np.ones(3).astype(dtype), np.zeros(3).astype(dtype)),
}


class Scale(Layer):
    parameter_names = ("s",)

    def __init__(self, dtype):
        self.s = np.ones(3).astype(dtype)


@pytest.mark.parametrize("layer", [*LAYERS.values(), Scale], ids=[*LAYERS, "a layer of one's own"])
def test_layers_have_parameters_of_float32_and_float64_alone(layer):
    for dtype in ("float32", "float64", ">f4", ">f8"):
        made = layer(dtype)
        parameter = getattr(made, made.parameter_names[0])
        assert parameter.dtype == np.dtype(dtype).newbyteorder("=")
        assert parameter.dtype.isnative
    for dtype in ("float16", "int64", "uint8", "bool", "complex128", "longdouble"):
        with pytest.raises(
            DtypeError, match=rf"must be float32 or float64, got {np.dtype(dtype).name}. Use `\w+.astype"
        ):
            layer(dtype)


def test_big_endian_numbers_are_the_same_numbers_everywhere(tmp_path):
    expected = network()
    scores = expected.predict(X)
    for x in (X.astype(">f4"), X.astype(">f8"), X.byteswap().view(">f4")):
        assert not x.dtype.isnative
        np.testing.assert_allclose(network().predict(x), scores, rtol=1e-6)
        np.testing.assert_allclose(sigmoid(x), sigmoid(X), rtol=1e-6)
        np.testing.assert_allclose(Gelu().forward(x), Gelu().forward(X), rtol=1e-6)
    for t in (T.astype(">i4"), T.astype(">u2"), T.astype(">i8")):
        assert float(expected.loss(X, t)) == float(expected.loss(X, T))
        assert expected.accuracy(X, t) == expected.accuracy(X, T)
        np.testing.assert_array_equal(expected.gradient(X, t)["W1"], expected.gradient(X, T)["W1"])
    losses = [
        Trainer(network(), x, t, x, t, epochs=2, mini_batch_size=2, verbose=False, seed=0).train().loss
        for x, t in ((X, T), (X.astype(">f4"), T.astype(">i4")))
    ]
    assert losses[0] == losses[1]
    values = {key: value.astype(">f8") for key, value in expected.params.items()}
    assert np.array_equal(network().set_params(values).predict(X), scores)
    swapped = network()
    swapped.params["W1"] = expected.params["W1"].astype(">f4")
    swapped.layers["Affine2"].W = expected.params["W2"].astype(">f4")
    assert all(value.dtype.isnative for value in swapped.params.values())
    regression = Network([Affine(np.ones((4, 1), ">f4"), np.zeros(1, ">f4"))], IdentityWithLoss())
    assert regression.dtype == "float32"
    assert float(regression.loss(X, X[:, :1].astype(">f4"))) == float(regression.loss(X, X[:, :1]))
    np.testing.assert_allclose(numerical_gradient(lambda v: float((v**2).sum()), np.array([1.0, 2.0], ">f8")), [2, 4])
    assert str(asarray(X.astype(">f4")).dtype) == "float32"


def test_half_precision_is_converted():
    expected = network()
    np.testing.assert_allclose(expected.predict(X.astype("float16")), expected.predict(X), atol=1e-3)
    half = {key: value.astype("float16") for key, value in expected.params.items()}
    assert {value.dtype for value in network().set_params(half).params.values()} == {np.dtype("float32")}
    many = np.zeros((70_000, 4), "float16")
    many[:, 0] = np.arange(70_000) % 2
    single = Network([Affine(np.eye(4, 2, dtype="float32"), np.array([0, 0.5], "float32"))])
    assert single.accuracy(many, 1 - np.arange(70_000) % 2) == 1.0


def test_complex_numbers_are_never_cut_to_real_ones():
    for call in (
        lambda: asarray(X + 1j, dtype="float32"),
        lambda: asarray([1j], dtype="float64"),
        lambda: network().set_params({key: value + 1j for key, value in network().params.items()}),
        lambda: network().predict(X + 1j),
        lambda: Trainer(network(), X + 1j, T, None, None, verbose=False),
    ):
        with pytest.raises(DtypeError, match="complex"):
            call()


def test_params_have_no_other_dtype_than_they_had():
    mine = network()
    params: Params = mine.params
    with pytest.raises(DtypeError, match="W1 is float32, got float64"):
        params["W1"] = np.ones((4, 5))
