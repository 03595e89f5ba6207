"""The counting backend takes what CuPy takes, refuses what it refuses, and counts each call once."""

import numpy as np
import pytest

from xpnet import TwoLayerNet, asarray, to_numpy
from xpnet.testing import COUNTING, CountedArray, count_operations

xp = COUNTING.xp


@pytest.fixture
def x():
    return asarray(np.arange(1.0, 7).reshape(2, 3), backend=COUNTING)


@pytest.mark.parametrize(
    "call",
    [np.exp, np.sum, np.asarray, lambda x: np.matmul(x, x.T), lambda x: np.add(x, 1), lambda x: np.maximum(0, x)],
)
def test_numpys_functions_are_refused(x, call):
    with pytest.raises(TypeError):
        call(x)


@pytest.mark.parametrize("call", [lambda x, a: x + a, lambda x, a: a + x, lambda x, a: xp.matmul(x, a)])
def test_numpys_arrays_are_refused(x, call):
    with pytest.raises(TypeError, match="A NumPy array met an array on the device"):
        call(x, np.ones((3, 3)))


def test_numbers_of_numpy_are_numbers(x):
    assert to_numpy(np.float64(2) * x).tolist() == to_numpy(x * np.float64(2)).tolist() == [[2, 4, 6], [8, 10, 12]]


def test_it_has_the_methods_of_the_array_api_alone(x):
    with pytest.raises(AttributeError, match="sum"):
        x.sum()
    with pytest.raises(TypeError, match="len"):
        len(x)


def test_each_call_is_counted_once(x):
    with count_operations() as counts:
        y = xp.zeros((2, 3))
        y += x
        y[0, ...] = 1
        xp.multiply(x, x, out=y)
        xp.reshape(x, (3, 2)), x.T, xp.ndim(x)
    assert dict(counts.launches) == {"zeros": 1, "add": 1, "setitem": 1, "multiply": 1}
    assert not counts.waits
    assert not counts.copies


def test_what_is_no_array_stays_what_it_is(x):
    with count_operations() as counts:
        assert xp.shape(x) == (2, 3)
        assert xp.broadcast_shapes((2, 1), (3,)) == (2, 3)
        first, second = xp.broadcast_arrays(x, xp.ones(3))
    assert isinstance(first, CountedArray)
    assert second.shape == (2, 3)
    assert counts.launches == {"ones": 1}


def test_an_array_of_the_device_is_copied_there(x):
    with count_operations() as counts:
        assert xp.asarray(x) is x
        y = xp.asarray(x, copy=True)
        z = xp.asarray([1.0])
    assert isinstance(z, CountedArray)
    assert not np.shares_memory(x.array, y.array)
    assert counts.launches == counts.copies == {"asarray": 1}


def test_what_needs_a_value_on_the_host_waits(x):
    with count_operations() as counts:
        assert xp.sum(x).item() == 21
        assert int(x[0, 1, ...]) == 2
        assert x.tolist() == [[1, 2, 3], [4, 5, 6]]
        assert to_numpy(x)[1, 1] == 5
    assert counts.waits == {"item": 1, "int": 1, "tolist": 1, "asnumpy": 1}


def test_the_innermost_block_counts(x):
    with count_operations() as outer:
        with count_operations() as inner:
            x + 1
        x - 1
    assert (dict(inner.launches), dict(outer.launches)) == ({"add": 1}, {"subtract": 1})


def test_a_view_is_free_and_a_host_value_is_not():
    x = asarray(np.ones((2, 3)), backend=COUNTING)
    with count_operations() as counts:
        x.T  # noqa: B018
        x[0, ...]
        COUNTING.xp.reshape(x, (-1,))
    assert not counts.launches
    with count_operations() as counts:
        float(x[0, 0])
        bool(x[0, 0] > 0)
        x[x > 0]
        x[[0, 1]]
    assert counts.waits == {"float": 1, "bool": 1, "boolean mask": 1}
    assert counts.copies == {"index from the host": 1}
    with pytest.raises(TypeError, match="met NumPy"):
        np.asarray(x)
    with pytest.raises(TypeError):
        np.exp(x)
    with pytest.raises(TypeError, match="NumPy array met"):
        x + np.ones(3)


def test_a_network_computes_with_it_what_it_computes_with_numpy():
    x, t = np.random.default_rng(0).random((5, 4), np.float32), np.array([0, 1, 2, 1, 0])
    counted, plain = (TwoLayerNet(4, 3, 3, 0.5, seed=0, backend=backend) for backend in (COUNTING, "numpy"))
    expected = plain.gradient(x, t)
    for key, gradient in counted.gradient(asarray(x, backend=COUNTING), asarray(t, backend=COUNTING)).items():
        assert to_numpy(gradient).tobytes() == expected[key].tobytes()
