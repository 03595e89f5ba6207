"""What is recorded on NumPy's arrays gives, replayed on other numbers, what NumPy gives for them."""

import numpy as np
import pytest

from xpnet import get_array_module, sigmoid, softmax
from xpnet.engine import tape
from xpnet.engine.tape import RecordedArray, buffer_of, python_calls, recording, wrapped
from xpnet.errors import CaptureError
from xpnet.layers.fused import bias_relu

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


def a_view_outlives_its_array(xp, a, b, c, i):
    view = (a * 2).T[1:]  # of a temporary, which is gone at once
    row = xp.reshape(a + 1, (2, 6))[1, ...]
    for _ in range(9):
        a = a * 2 - 1
    return view @ a + xp.sum(row) + xp.sum(a)


def kept_in_a_container(xp, a, b, c, i):
    kept = [(a * k, {"half": a / (2 + k)}) for k in range(4)]
    total = a * 0
    for whole, parts in kept:
        total = total + whole * parts["half"]
    return total


def a_constant_is_written_to_later(xp, a, b, c, i):
    total = xp.zeros((4, 3), dtype=a.dtype)
    for k in range(3):
        total += (a + k) * (a - k)
        shifted = total * 1
        shifted[0, ...] = c
        total = total + shifted
    return total


def of_one_size(xp, a, b, c, i):
    flat, row = xp.reshape(a, (12,)), xp.reshape(a * 3, (2, 6))
    return xp.reshape(flat * 2, (3, 4)) @ (a + 1) - xp.sum(xp.reshape(row * 5, (12,)) + flat * 7)


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
    "where of temporaries": lambda xp, a, b, c, i: (
        xp.where(a > 0, a * 2, 5.0) + xp.where(a * 1 > 0, 3.0, a * 3) - xp.where(a < 0, a + 1, a - 1)
    ),
    "reshaped": lambda xp, a, b, c, i: xp.reshape(a, (-1,)) + xp.reshape(a.T, (-1,)),
    "reshaped by columns": lambda xp, a, b, c, i: xp.reshape(a * 2, (2, 6), order="F"),
    "times a number of the host": lambda xp, a, b, c, i: a * xp.ndim(a),
    "concatenated": lambda xp, a, b, c, i: xp.concat([a, a * 2], axis=0),
    "stacked": lambda xp, a, b, c, i: xp.stack([c, c + 1]),
    "clipped": lambda xp, a, b, c, i: xp.clip(a, -0.5, 0.5) + xp.square(c) + xp.sqrt(abs(a)),
    "an element": lambda xp, a, b, c, i: a * c[1] + a[0, 0],
    "methods": lambda xp, a, b, c, i: a.sum(axis=1).astype(np.float64) + a.max() + a.mean(),
    "in place": in_place,
    "a view outlives its array": a_view_outlives_its_array,
    "kept in a container": kept_in_a_container,
    "a constant is written to later": a_constant_is_written_to_later,
    "arrays of one size": of_one_size,
    "grown from zero": grown_from_zero,
    "grown from a constant": grown_from_a_constant,
    "a constant of no elements": lambda xp, a, b, c, i: xp.concat([a, xp.zeros((0, 3), dtype=a.dtype)]),
    "a constant": lambda xp, a, b, c, i: a + xp.arange(3) * xp.ones(3),
    "softmax": lambda xp, a, b, c, i: softmax(a),
    "sigmoid": lambda xp, a, b, c, i: sigmoid(a),
    "out=": lambda xp, a, b, c, i: xp.multiply(a, c, out=xp.empty_like(a)),
}


@pytest.mark.bits
@pytest.mark.parametrize("name", FORMULAS)
def test_replayed_it_gives_what_numpy_gives(name):
    check_replayed(FORMULAS[name])


def check_replayed(formula):
    inputs, others = numbers(), numbers()
    with recording() as tape:
        recorded = [wrapped(array) for array in inputs]
        result = formula(get_array_module(recorded[0]), *recorded)
    assert isinstance(result, RecordedArray)
    assert result.array.tobytes() == np.asarray(formula(np, *inputs)).tobytes()
    for expected_from in ([array.copy() for array in inputs], others, numbers()):
        for place, array in zip(inputs, expected_from, strict=True):
            place[...] = array
        for call in python_calls(tape.operations):
            call()
        expected = formula(np, *expected_from)
        assert result.dtype == expected.dtype
        assert result.array.tobytes() == np.asarray(expected).tobytes()


def random_program(seed):
    """A formula of forty operations drawn at random, on arrays that die, live on, are looked into and written to."""

    def formula(xp, a, b, c, i):
        draw = np.random.default_rng(seed)
        living = [a * 1, a + 1, xp.reshape(a, (3, 4)).T, xp.ones((4, 3), dtype=a.dtype)]

        def some():
            return living[draw.integers(len(living))]

        unary = [
            lambda x: -x, lambda x: xp.exp(-abs(x)), lambda x: xp.reshape(x * 1, (3, 4)).T, lambda x: x[::-1, ...],
            lambda x: x / (1 + xp.max(abs(x), axis=0)), lambda x: xp.astype(x > 0, a.dtype) * 2,
            lambda x: xp.where(x > c, x * 2, c), lambda x: xp.zeros_like(x) + c, lambda x: xp.clip(x, -1, 1),
            lambda x: xp.concat([x[2:, ...], x[:2, ...]]), lambda x: xp.take(x, i[:4], axis=0),
        ]  # fmt: skip
        for _ in range(40):
            kind = draw.integers(4)
            if kind == 0 and len(living) > 3:
                del living[draw.integers(len(living))]
            elif kind == 1:
                target = some() * 1
                target += some()
                target[1:3, ...] = some()[:2, ...]
                living.append(target)
            elif kind == 2:
                living.append(unary[draw.integers(len(unary))](some()))
            else:
                living[draw.integers(len(living))] = some() * 0.5 - some() * some() * 0.1
        total = living[0] * 1
        for one in living[1:]:
            total = total + one
        return total

    return formula


@pytest.mark.bits
@pytest.mark.parametrize("seed", range(40))
def test_any_program_replayed_gives_what_numpy_gives(seed):
    check_replayed(random_program(seed))


def test_memory_is_used_again_when_no_array_looks_into_it(monkeypatch):
    made = []
    monkeypatch.setattr("xpnet.engine.tape._aligned", lambda size, real=tape._aligned: made.append(size) or real(size))
    with recording():
        a = wrapped(numbers()[0])
        for _ in range(50):
            a = a * 2 + 1
        assert len(made) <= 3
        made.clear()
        kept = [a * k for k in range(10)]
        views = [(a + k)[1:] for k in range(10)]
        assert len(made) >= 20 - 3
        lie = [x.array for x in (*kept, *views)]
        assert not any(np.shares_memory(x, y) for n, x in enumerate(lie) for y in lie[:n])
        made.clear()
        del kept, views, lie
        for _ in range(50):
            a = a * 2 + 1
        assert not made


def test_what_nobody_recorded_is_never_given_away():
    """The arrays that were wrapped, and constants."""
    a, _, c, _ = numbers()
    before = a.tobytes(), c.tobytes()
    with recording() as tape:
        constant = get_array_module(wrapped(a)).arange(12, dtype=a.dtype)
        values = constant.array.copy()
        x = wrapped(a) * 1
        for _ in range(20):
            x = x * wrapped(c) + 1
        del x
    for call in python_calls(tape.operations):
        call()
    assert (a.tobytes(), c.tobytes()) == before
    assert constant.array.tobytes() == values.tobytes()


def test_results_begin_where_a_line_of_the_cache_does():
    with recording():
        a = wrapped(numbers()[0])
        for result in (a * 2, a[0, ...] + 1, a > 0, get_array_module(a).sum(a)):
            assert result.array.ctypes.data % 64 == 0


def test_a_view_costs_no_call_and_a_constant_is_made_once():
    with recording() as tape:
        a, _, c, _ = map(wrapped, numbers())
        xp = get_array_module(a)
        a.T, a[1:], a[0, 0], xp.reshape(a, (2, 6)), c[None, :]
        xp.arange(3)
    assert tape.operations == []


def test_a_recording_ends_with_its_block():
    with recording() as outer:
        a = wrapped(numbers()[0])
        with recording() as inner:
            wrapped(numbers()[0]) * 2
        a * 2
        with pytest.raises(KeyError), recording():
            raise KeyError
        a + 1
    assert (len(outer.operations), len(inner.operations)) == (2, 1)
    with pytest.raises(LookupError):
        a * 2


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
        (lambda xp, a: a[a > 0], "A boolean mask"),
        (lambda xp, a: a.__setitem__(a > 0, 0.0), "A boolean mask"),
        (lambda xp, a: xp.nonzero(a), "xp.nonzero"),
        (lambda xp, a: xp.unique_values(a), "xp.unique_values"),
        (lambda xp, a: xp.random.random(3), "xp.random"),
        (lambda xp, a: xp.asarray([1.0, 2.0]), "xp.asarray"),
        (lambda xp, a: a * np.ones(3), "An array that the step makes by itself"),
        (lambda xp, a: xp.add(a, np.ones(3)), "An array that the step makes by itself"),
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


@pytest.mark.bits
def test_functions_taken_from_numpy_itself_are_recorded_too():
    a, *_ = numbers()
    with recording() as tape:
        x = wrapped(a)
        result = np.add.reduce(np.exp(x) * np.float32(2), axis=0) + np.sum(x) + np.where(x > 0, x, 0)[0, ...]
        np.multiply(result, 2, out=result)
    other, *_ = numbers()
    a[...] = other
    for call in python_calls(tape.operations):
        call()
    expected = 2 * ((np.exp(other) * np.float32(2)).sum(axis=0) + np.sum(other) + np.where(other > 0, other, 0)[0])
    assert result.array.tobytes() == expected.tobytes()


def test_results_lie_as_numpys_do():
    """In another order their sums could have other last bits."""
    a = np.arange(24.0).reshape(2, 3, 4)
    with recording():
        for axes in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
            view = np.permute_dims(a, axes)
            assert (np.permute_dims(wrapped(a), axes) * 2).array.strides == (view * 2).strides


def test_the_tape_holds_operations_as_data():
    a, out = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    with recording() as tape:
        x, y = wrapped(a), wrapped(out)
        xp = get_array_module(x)
        total = xp.sum(x * 2, axis=0)
        y[1, ...] = total
        y += xp.zeros_like(x)
        xp.astype(x.T, xp.float64)
        bias_relu(y, total)
    double, summed, row, zeros, added, converted, *relu = tape.operations
    assert double[:2] == (np.multiply, (a, 2))
    assert summed == (np.add.reduce, (double.output,), total.array, {"axis": 0})
    assert (row.function, row.inputs, row.options) == (np.copyto, (total.array,), {})
    assert buffer_of(row.output) is out
    assert row.output.ctypes.data == out[1].ctypes.data
    assert (zeros.function, zeros.inputs) == (np.copyto, (np.float32(0),))
    assert added == (np.add, (out, zeros.output), out, {})
    assert (converted.function, converted.output.dtype, converted.output.shape) == (np.copyto, np.float64, (3, 2))
    assert [operation.function for operation in relu] == [np.add, np.maximum]
    assert all(operation.output is out for operation in relu)
