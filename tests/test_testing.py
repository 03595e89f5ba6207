"""The assertions that are offered to others: they fail where they should."""

import numpy as np
import pytest

from xpnet import asarray
from xpnet.testing import assert_array, error_in_eps

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
