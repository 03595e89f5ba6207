"""What is recorded on NumPy's arrays gives, replayed on other numbers, what NumPy gives for them."""

import numpy as np
import pytest

from xpnet import get_array_module, sigmoid, softmax
from xpnet.errors import CaptureError
from xpnet.recorder import RecordedArray, wrapped
from xpnet.tape import recording

rng = np.random.default_rng(0)


def numbers():
    """A matrix, another, a row, and indices; other ones each time."""
    return [
        rng.standard_normal((4, 3)).astype(np.float32),
        rng.standard_normal((3, 5)).astype(np.float32),
        rng.standard_normal(3).astype(np.float32),
        rng.integers(0, 4, 6),
    ]


def in_place(xp, a, b, c, i):
    out = a * 1
    out += c
    out *= 2
    out -= 0.5
    out /= 3
    out[1, ...] = c
    out[2:, 0] = 7
    return out


def grown_from_zero(xp, a, b, c, i):
    total = xp.zeros_like(a)
    for k in range(3):
        total[:, k] = a[:, k] * k
    total += xp.ones((4, 3), dtype=a.dtype)
    return total


def grown_from_a_constant(xp, a, b, c, i):
    total, untouched = xp.zeros(3, dtype=a.dtype), xp.ones(3, dtype=a.dtype)
    total += c
    total[0] = 5
    return total + untouched


FORMULAS = {
    "arithmetic": lambda xp, a, b, c, i: (a + 1) * c - 2 / (a * a + 3) + (-a) % 2 + abs(c) // 1,
    "reflected": lambda xp, a, b, c, i: 1 - a + 2 * c,
    "powers": lambda xp, a, b, c, i: a**2 + xp.exp(c) ** 3 + abs(a) ** 0.5 + 2.0**c,
    "comparison": lambda xp, a, b, c, i: (a > 0) & (a <= c) | (a == c) ^ (a != 0),
    "bits": lambda xp, a, b, c, i: ((i << 3) >> 1) ^ 5,
    "matmul": lambda xp, a, b, c, i: xp.matmul(a, b),
    "operator @": lambda xp, a, b, c, i: a @ b,
    "transposed": lambda xp, a, b, c, i: xp.matmul(b.T, a.T) + xp.sum(a.T, axis=0)[:1],
    "sums": lambda xp, a, b, c, i: xp.sum(a, axis=0) + xp.sum(a) + xp.sum(b, axis=-1, keepdims=True)[0, 0],
    "extremes": lambda xp, a, b, c, i: xp.max(a, axis=1, keepdims=True) - xp.min(a, axis=1, keepdims=True) + xp.max(c),
    "mean and deviation": lambda xp, a, b, c, i: (a - xp.mean(a, axis=0)) / xp.std(a, axis=0),
    "argmax": lambda xp, a, b, c, i: xp.argmax(a, axis=1),
    "astype": lambda xp, a, b, c, i: xp.astype(a > 0, xp.float64) + xp.astype(i[:4], xp.float64)[:, None],
    "take": lambda xp, a, b, c, i: xp.take(a, i, axis=0),
    "fancy index": lambda xp, a, b, c, i: a[i, i % 3],
    "one hot": lambda xp, a, b, c, i: i[..., None] == xp.arange(4),
    "where": lambda xp, a, b, c, i: xp.where(a > 0, a, 0.0) + xp.where(a >= c, 1.0, c),
    "reshaped": lambda xp, a, b, c, i: xp.reshape(a, (-1,)) + xp.reshape(a.T, (-1,)),
    "concatenated": lambda xp, a, b, c, i: xp.concat([a, a * 2], axis=0),
    "stacked": lambda xp, a, b, c, i: xp.stack([c, c + 1]),
    "clipped": lambda xp, a, b, c, i: xp.clip(a, -0.5, 0.5) + xp.square(c) + xp.sqrt(abs(a)),
    "an element": lambda xp, a, b, c, i: a * c[1] + a[0, 0],
    "methods": lambda xp, a, b, c, i: a.sum(axis=1).astype(np.float64) + a.max() + a.mean(),
    "in place": in_place,
    "grown from zero": grown_from_zero,
    "grown from a constant": grown_from_a_constant,
    "a constant": lambda xp, a, b, c, i: a + xp.arange(3) * xp.ones(3),
    "softmax": lambda xp, a, b, c, i: softmax(a),
    "sigmoid": lambda xp, a, b, c, i: sigmoid(a),
    "out=": lambda xp, a, b, c, i: xp.multiply(a, c, out=xp.empty_like(a)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_replayed_it_gives_what_numpy_gives(name):
    inputs, others = numbers(), numbers()
    with recording() as tape:
        recorded = [wrapped(array) for array in inputs]
        result = FORMULAS[name](get_array_module(recorded[0]), *recorded)
    assert isinstance(result, RecordedArray)
    for expected_from in ([array.copy() for array in inputs], others, numbers()):
        for place, array in zip(inputs, expected_from, strict=True):
            place[...] = array
        for call in tape.calls:
            call()
        expected = FORMULAS[name](np, *expected_from)
        assert result.dtype == expected.dtype
        assert result.array.tobytes() == np.asarray(expected).tobytes()


def test_a_view_costs_no_call_and_a_constant_is_made_once():
    with recording() as tape:
        a, _, c, _ = map(wrapped, numbers())
        xp = get_array_module(a)
        a.T, a[1:], a[0, 0], xp.reshape(a, (2, 6)), c[None, :]
        xp.arange(3)
    assert tape.calls == []


def test_the_same_array_is_the_same_recorded_array():
    a, *_ = numbers()
    with recording():
        assert wrapped(a) is wrapped(a)
        assert wrapped(a) is not wrapped(a[:])


@pytest.mark.parametrize(
    ("offence", "name"),
    [
        (lambda xp, a: float(xp.sum(a)), r"float\(\)"),
        (lambda xp, a: bool(a[0, 0] > 0), r"bool\(\)"),
        (lambda xp, a: int(a[0, 0]), r"int\(\)"),
        (lambda xp, a: list(a), r"iter\(\)"),
        (lambda xp, a: [1, 2, 3, 4][xp.argmax(a)], r"index\(\)"),
        (lambda xp, a: a[a > 0], "a boolean mask"),
        (lambda xp, a: a.__setitem__(a > 0, 0.0), "a boolean mask"),
        (lambda xp, a: xp.nonzero(a), "xp.nonzero"),
        (lambda xp, a: xp.unique_values(a), "xp.unique_values"),
        (lambda xp, a: xp.random.random(3), "xp.random"),
        (lambda xp, a: xp.asarray([1.0, 2.0]), "xp.asarray"),
        (lambda xp, a: a * np.ones(3), "an array that the step makes by itself"),
        (lambda xp, a: xp.add(a, np.ones(3)), "an array that the step makes by itself"),
        (lambda xp, a: a.tolist(), r"tolist\(\)"),
        (lambda xp, a: a.item(), r"item\(\)"),
        (lambda xp, a: np.asarray(a), r"asarray\(\)"),
    ],
)
def test_what_cannot_be_replayed_is_refused_by_name(offence, name):
    with recording():
        a = wrapped(numbers()[0])
        with pytest.raises(CaptureError, match=name):
            offence(get_array_module(a), a)


def test_functions_taken_from_numpy_itself_are_recorded_too():
    a, *_ = numbers()
    with recording() as tape:
        x = wrapped(a)
        result = np.add.reduce(np.exp(x) * np.float32(2), axis=0) + np.sum(x) + np.where(x > 0, x, 0)[0, ...]
        np.multiply(result, 2, out=result)
    other, *_ = numbers()
    a[...] = other
    for call in tape.calls:
        call()
    expected = 2 * ((np.exp(other) * np.float32(2)).sum(axis=0) + np.sum(other) + np.where(other > 0, other, 0)[0])
    assert result.array.tobytes() == expected.tobytes()
