"""The assertions that are offered to others: they fail where they should."""

import numpy as np
import pytest
from cases import numbers

from xpnet import Affine, Relu, Sigmoid, asarray
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
