"""One class of arrays with two users: what is done with a recorded and with a counted array gives what NumPy gives."""

import operator

import numpy as np
import pytest

from xpnet.engine.tape import recording, wrapped
from xpnet.engine.traced_array import TracedArray
from xpnet.testing import COUNTING, CountedArray, count_operations

OPERATORS = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "eq", "ne", "lt", "le", "gt", "ge"]
ON_INTEGERS = ["and_", "or_", "xor", "lshift", "rshift"]


@pytest.fixture(params=["recorded", "counted"])
def trace(request):
    """A function that makes a traced array."""
    if request.param == "counted":
        yield CountedArray
        return
    with recording():
        yield wrapped


def check(actual, expected):
    assert isinstance(actual, TracedArray)
    assert actual.dtype == np.asarray(expected).dtype
    assert actual.array.tobytes() == np.asarray(expected).tobytes()


@pytest.mark.parametrize("name", OPERATORS + ON_INTEGERS)
def test_operators_give_the_bits_of_numpy(trace, name):
    operation, dtype = getattr(operator, name), np.int64 if name in ON_INTEGERS else np.float32
    a, b = np.arange(1, 7, dtype=dtype).reshape(2, 3), np.arange(1, 4, dtype=dtype)
    check(operation(trace(a), trace(b)), operation(a, b))
    check(operation(trace(a), 2), operation(a, 2))
    check(operation(2, trace(a)), operation(2, a))
    in_place = getattr(operator, f"i{name.rstrip('_')}", None)
    if in_place is not None and name != "truediv":
        x = trace(a.copy())
        assert in_place(x, trace(b)) is x
        check(x, operation(a, b))


@pytest.mark.bits
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("exponent", [2, 2.0, 3, 0.5, -1.0])
def test_powers_have_the_bits_of_numpy(trace, dtype, exponent):
    x = (100 * np.random.default_rng(0).random(1001) + 1).astype(dtype)
    check(trace(x) ** exponent, x**exponent)


def test_attributes_views_and_elements(trace):
    a = np.arange(6.0).reshape(2, 3)
    x = trace(a)
    assert (x.dtype, x.shape, x.ndim, x.size) == (a.dtype, (2, 3), 2, 6)
    for view, expected in ((x.T, a.T), (x[1:, ...], a[1:]), (x[1, ...], a[1]), (x[1, 1, ...], a[1, 1])):
        check(view, expected)
        assert np.shares_memory(view.array, a)
    x[1, ...] = 7
    assert a[1].tolist() == [7, 7, 7]
    check(abs(-x), a)
    assert repr(x).startswith(f"{type(x).__name__}(array([[")


def test_the_namespace_has_numpys_functions_and_types(trace):
    x = trace(np.arange(6.0).reshape(2, 3))
    xp = x.__array_namespace__()
    assert xp.float32 is np.float32
    assert xp.isdtype(x.dtype, "real floating")
    check(xp.sum(x, axis=0), np.array([3.0, 5, 7]))
    check(xp.sliding_window_view(x, 2, 1), np.lib.stride_tricks.sliding_window_view(x.array, 2, 1))
    with pytest.raises(AttributeError):
        xp.no_such_function  # noqa: B018


def test_the_counting_backend_is_public():
    x = COUNTING.xp.ones(3)
    with count_operations() as counts:
        x += x * 2
    assert dict(counts.launches) == {"multiply": 1, "add": 1}
