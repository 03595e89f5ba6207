"""Each remedy that a message names, copied from the message and run: numerical gradients, backends, the comparison."""

import numpy as np
import pytest
from remedies import codes, said

from xpnet import numerical_gradient


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
    code = codes(said(lambda: numerical_gradient(f, x)))[-1]
    np.testing.assert_allclose(eval(code, {"numerical_gradient": numerical_gradient, "f": f, "x": x}), expected)


@pytest.mark.parametrize("dtype", ["int64", "float16", "uint8"])
def test_what_to_do_with_the_numbers(dtype):
    x = np.array([3, 4], dtype)
    code = codes(said(lambda: numerical_gradient(lambda x: (x**2).sum(), x)))[-1]
    given = {"x": x}
    exec(code if "=" in code else f"x = {code}", given)
    np.testing.assert_allclose(numerical_gradient(lambda x: (x**2).sum(), given["x"]), [6, 8])


def test_what_to_do_with_numbers_that_may_only_be_read():
    x = np.array([3.0, 4.0])
    x.flags.writeable = False
    code = codes(said(lambda: numerical_gradient(lambda x: (x**2).sum(), x)))[-1]
    writable = eval(code, {"numpy": np, "x": x})
    np.testing.assert_allclose(numerical_gradient(lambda x: (x**2).sum(), writable), [6, 8])
