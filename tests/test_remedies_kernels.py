"""Each remedy that a message names, copied from the message and run: numerical gradients, backends, the comparison."""

import re

import numpy as np
import pytest

from xpnet import numerical_gradient
from xpnet.errors import XpnetError


def remedies(call):
    """The pieces of code in the message of the error that a call raises."""
    with pytest.raises(XpnetError) as caught:
        call()
    return re.findall(r"`([^`]+)`", str(caught.value))


def centered(x):
    x -= x.mean()
    return (x**2).sum()


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: x**2, np.array([3.0, 4.0]), [6, 8]),
        (lambda x: x @ x.T, np.array([[1.0, 2.0]] * 2), [[4, 8]] * 2),
        (lambda x: (x @ x.T).sum(axis=1), np.array([[1.0, 2.0]] * 2), [[4, 8]] * 2),
        (centered, np.array([1.0, 3.0]), [-2, 2]),
    ],
    ids=["a vector", "a matrix", "rows that meet", "changes its argument"],
)
def test_what_to_do_with_the_function(f, x, expected):
    code = remedies(lambda: numerical_gradient(f, x))[-1]
    np.testing.assert_allclose(eval(code, {"numerical_gradient": numerical_gradient, "f": f, "x": x}), expected)


@pytest.mark.parametrize("dtype", ["int64", "float16", "uint8"])
def test_what_to_do_with_the_numbers(dtype):
    x = np.array([3, 4], dtype)
    code = remedies(lambda: numerical_gradient(lambda x: (x**2).sum(), x))[-1]
    given = {"x": x}
    exec(code if "=" in code else f"x = {code}", given)
    np.testing.assert_allclose(numerical_gradient(lambda x: (x**2).sum(), given["x"]), [6, 8])


def test_what_to_do_with_numbers_that_may_only_be_read():
    x = np.array([3.0, 4.0])
    x.flags.writeable = False
    code = remedies(lambda: numerical_gradient(lambda x: (x**2).sum(), x))[-1]
    writable = eval(code, {"numpy": np, "x": x})
    np.testing.assert_allclose(numerical_gradient(lambda x: (x**2).sum(), writable), [6, 8])
