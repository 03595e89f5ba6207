"""The assertions that are offered to others: they fail where they should."""

import numpy as np
import pytest
from cases import numbers

from xpnet import (
    Affine,
    BatchNormalization,
    Dropout,
    Gelu,
    LayerNormalization,
    LeakyRelu,
    Relu,
    Sigmoid,
    Tanh,
    asarray,
)
from xpnet.testing import assert_array, check_layer, error_in_eps

ONE = np.array([1.0, 5.0])


@pytest.mark.parametrize(
    ("actual", "says"),
    [
        (ONE.astype("float32"), "is float32 and not float64"),
        (ONE[:1], r"has shape \(1,\) and not \(2,\)"),
        (asarray(ONE, backend="array_api_strict"), "belongs to array_api_strict and not to numpy"),
        (ONE * (1 + 1e-14), r"is off by \d+(\.\d)? eps, more than 16"),
        (np.array([np.nan, 5.0]), "is off by nan eps"),
        (np.array([1.0, np.inf]), "is off by inf eps"),
    ],
)
def test_assert_array_says_what_is_wrong(actual, says):
    with pytest.raises(AssertionError, match=says):
        assert_array(actual, ONE, backend="numpy", dtype="float64", eps=16)


def test_assert_array_on_another_device():
    there = asarray(ONE, backend="array_api_strict:device1")
    assert_array(there, ONE, backend="array_api_strict:device1", dtype="float64", eps=0)
    with pytest.raises(AssertionError, match="is on .*device1.* and not on .*CPU_DEVICE"):
        assert_array(there, ONE, backend="array_api_strict:CPU_DEVICE", dtype="float64", eps=0)


def test_infinities_must_be_the_same_ones():
    expected = np.array([np.inf, 1.0])
    assert error_in_eps(np.array([np.inf, 1.0]), expected) == 0
    assert error_in_eps(np.array([-np.inf, 1.0]), expected) == np.inf
    assert error_in_eps(np.array([np.inf, 2.0]), expected) == 1 / np.finfo(float).eps
    assert error_in_eps(np.array([np.nan]), np.array([np.nan])) == 0
    assert error_in_eps(np.zeros(0), np.zeros(0)) == 0


def test_check_layer_accepts_the_good_and_finds_each_fault():
    x = numbers(1, 3, 4)
    check_layer(Affine(numbers(2, 4, 5), numbers(3, 5)), x)
    check_layer(Relu(), x)

    class InPlace(Relu):
        def backward(self, dout):
            dout *= self.y > 0
            return dout

    class Leak(Sigmoid):
        def backward(self, dout):
            return dout * self.y * (1 - self.y) * np.float64(1.0)

    class Waits(Relu):
        def forward(self, x):
            self.largest = float(x[0, 0])
            return super().forward(x)

    class Wrong(Sigmoid):
        def backward(self, dout):
            return dout * self.y

    for layer, finding in (
        (InPlace(), "wrote into dout"),
        (Leak(), "float32 numbers is float64"),
        (Waits(), "waits"),
        (Wrong(), "is off by"),
    ):
        with pytest.raises(AssertionError, match=finding):
            check_layer(layer, x)


LAYERS = {
    "Tanh": Tanh,
    "LeakyRelu": lambda: LeakyRelu(0.1),
    "Gelu": Gelu,
    "Dropout": lambda: Dropout(0.5, seed=0),
    "Dropout, not inverted": lambda: Dropout(0.5, inverted=False, seed=0),
    "BatchNormalization": lambda: BatchNormalization(numbers(2, 4), numbers(3, 4)),
    "LayerNormalization": lambda: LayerNormalization(numbers(2, 4), numbers(3, 4)),
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_check_layer_accepts_each_layer_of_the_library_and_leaves_it_as_it_was(name, train):
    layer = LAYERS[name]()
    layer.train = train
    kept = [*layer.parameter_names, *layer.statistic_names, *layer.counter_names]
    before = {key: getattr(layer, key).copy() for key in kept}
    check_layer(layer, numbers(1, 3, 4))
    assert vars(layer).keys() == vars(LAYERS[name]()).keys() | {"train"}
    for key, value in before.items():
        assert np.array_equal(getattr(layer, key), value), key


def test_check_layer_finds_faults_of_training_alone():
    class Forgets(BatchNormalization):
        """The mean and the variance of the batch depend on x, too."""

        def backward(self, dout):
            super().backward(dout)
            return dout * (self.gamma * self.scale)

    class Fresh(Dropout):
        def backward(self, dout):
            self.forward(dout)
            return dout * self.mask

    for layer in (Forgets(numbers(2, 4), numbers(3, 4)), Fresh(0.5, seed=0)):
        check_layer(layer, numbers(1, 3, 4)) if isinstance(layer, Forgets) else None
        layer.train = True
        with pytest.raises(AssertionError, match="the gradient by x is off by"):
            check_layer(layer, numbers(1, 3, 4))
