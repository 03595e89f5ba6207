"""Numerical gradients against derivatives by hand, for every dtype, size of number and form of function."""

import numpy as np
import pytest

from xpnet import MultiLayerNet, asarray, gradient_descent, numerical_gradient, to_numpy
from xpnet.errors import ArgumentError, ArrayMixError, DtypeError, ShapeError


def squares(x):
    return (x**2).sum()


def squares_of_rows(x):
    """The book's function_2."""
    return np.sum(x**2) if x.ndim == 1 else np.sum(x**2, axis=1)


# --- the step -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0.0, 1e-3, 0.7, -3.0, 500.0, -2048.0, 3e4, 1e7, 1e15])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-3), ("float64", 1e-6)])
def test_a_step_is_never_lost(x, dtype, rtol):
    """x + 1e-4 is x itself from 2048 on in float32, and from 1e12 on in float64."""
    given = np.array([x], dtype)
    # (x**3)' = 3 x**2; the error of the difference itself is h**2.
    grad = numerical_gradient(lambda x: float(x[0]) ** 3, given)
    np.testing.assert_allclose(grad, 3 * given.astype("float64") ** 2, rtol=rtol, atol=1e-4)
    assert grad.dtype == given.dtype
    np.testing.assert_allclose(numerical_gradient(lambda x: (2 * x).sum(), given), [2], rtol=rtol)


def test_on_every_backend_and_in_both_dtypes(be):
    if be.name == "jax":
        pytest.skip("its arrays cannot be written in place")
    x = be.put(np.array([[3.0, -1.0, 0.5], [20.0, 3.0, -7.0]]))
    before = np.array(to_numpy(x))
    grad = numerical_gradient(lambda x: be.xp.sum(x**2), x)
    np.testing.assert_allclose(to_numpy(grad), 2 * before, rtol=0.02 if be.dtype == "float32" else 1e-8)
    be.check(grad, np.array(to_numpy(grad)))
    assert np.array_equal(to_numpy(x), before)


def test_a_step_of_ones_own_is_made():
    seen = []
    numerical_gradient(lambda x: seen.append(float(x[0])) or 0.0, [3.0], h=0.5)
    assert seen == [3.0, 3.5, 2.5]


@pytest.mark.parametrize(
    ("x", "dtype", "h", "says"),
    [
        ([1.0, 3000.0], "float32", 1e-4, r"h=0\.0001 is lost in rounding: x\[1\] = 3000 .* in float32"),
        ([[1e13]], "float64", 1e-4, r"x\[0, 0\] = 1e\+13 plus or minus h is the same number in float64"),
        (1.0, "float64", 1e-50, r"h=1e-50 is lost in rounding: x = 1 "),
        ([3e38], "float32", 1e38, r"x\[0\] = 3e\+38 is too large for a step in float32"),
        ([1.0], "float64", 0.0, "h must be a finite number above 0, got 0"),
        ([1.0], "float64", -1.0, "h must be a finite number above 0, got -1"),
        ([1.0], "float64", np.inf, "h must be a finite number above 0, got inf"),
        ([1.0], "float64", "small", "h must be a finite number above 0, got 'small'"),
    ],
)
def test_a_step_that_cannot_be_made_is_an_error_before_anything_is_computed(x, dtype, h, says):
    given = np.array(x, dtype)
    with pytest.raises(ArgumentError, match=says):
        numerical_gradient(lambda _: pytest.fail("called"), given, h)
    assert np.array_equal(given, np.array(x, dtype))


def test_a_network_takes_a_step_and_refuses_one_that_is_lost():
    network = MultiLayerNet(4, [5], 3, "sigmoid", seed=0, dtype="float64", backend="numpy")
    x, t = np.random.default_rng(0).standard_normal((6, 4)), np.arange(6) % 3
    for h in (None, 1e-3, 1e-5):
        for key, grad in network.numerical_gradient(x, t, h).items():
            np.testing.assert_allclose(grad, network.gradient(x, t)[key], rtol=1e-5, atol=1e-9, err_msg=key)
    before = network.state.weights()
    with pytest.raises(ArgumentError, match="h=1e-20 is lost in rounding: x"):
        network.numerical_gradient(x, t, 1e-20)
    assert all(np.array_equal(value, before[key]) for key, value in network.state.weights().items())


# --- what the function gives ----------------------------------------------------------------------------------------


def test_a_number_a_row_as_the_books_gradient_of_many_points():
    points = np.array([[3.0, 4.0], [0.0, 2.0], [3.0, 0.0]])
    grad = numerical_gradient(squares_of_rows, points)
    np.testing.assert_allclose(grad, 2 * points, atol=1e-9)
    np.testing.assert_allclose(grad, [numerical_gradient(squares_of_rows, point) for point in points], atol=1e-9)
    assert points.tolist() == [[3, 4], [0, 2], [3, 0]]


def test_a_number_for_each_image():
    x = np.random.default_rng(0).standard_normal((3, 2, 2))
    grad = numerical_gradient(lambda x: np.sin(x).sum(axis=(1, 2)), x)
    np.testing.assert_allclose(grad, np.cos(x), atol=1e-8)
    assert numerical_gradient(lambda x: x.sum(axis=(1, 2)), np.zeros((0, 2, 2))).shape == (0, 2, 2)


def test_descent_of_many_points_is_that_of_each():
    points = np.array([[-3.0, 4.0], [1.0, 2.0]])
    ends = gradient_descent(squares_of_rows, points, lr=0.1, step_num=20)
    np.testing.assert_allclose(ends, 0.8**20 * points, rtol=1e-6)
    assert points.tolist() == [[-3, 4], [1, 2]]


def test_the_number_of_a_row_must_not_depend_on_others():
    with pytest.raises(ArgumentError, match="that of row 1 changes with row 0"):
        numerical_gradient(lambda W: (W @ np.ones((2, 2))).sum() * np.ones(3), np.ones((3, 2)))


@pytest.mark.parametrize("value", [3, np.float32(3), np.array(3.0), np.array([3.0]), np.array([[3.0]]), np.int64(3)])
def test_one_number_in_any_form(value):
    assert numerical_gradient(lambda x: value, [1.0, 2.0]).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("value", "x", "error", "says"),
    [
        (None, [1.0], DtypeError, r"returned None \(NoneType\). Does it lack a `return`\?"),
        ("a", [1.0], DtypeError, "a function that returns a real number, and this one returned 'a'"),
        (True, [1.0], DtypeError, "this one returned True"),
        (1j, [1.0], DtypeError, "this one returned 1j"),
        (
            np.ones(2),
            [1.0, 2.0],
            ShapeError,
            r"one number, and this one returned numpy.ndarray of shape \(2,\)",
        ),
        (np.ones((2, 2)), [[1.0, 2.0]] * 2, ShapeError, r"one for each of the 2 rows of x, .* of shape \(2, 2\)"),
        (np.ones(3), [[1.0, 2.0]] * 2, ShapeError, r"of shape \(3,\)"),
        (np.ones(0), [1.0, 2.0], ShapeError, r"of shape \(0,\)"),
    ],
)
def test_what_is_no_number_is_refused(value, x, error, says):
    given = np.array(x)
    with pytest.raises(error, match=says):
        numerical_gradient(lambda _: value, given)
    assert np.array_equal(given, x)


def test_a_function_that_changes_its_argument_is_refused():
    x = np.array([1.0, 2.0])

    def centered(x):
        x -= x.mean()
        return squares(x)

    with pytest.raises(ArgumentError, match=r"changes `x`. Let it work on a copy"):
        numerical_gradient(centered, x)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize("call", range(5))
def test_an_interrupt_at_any_call_leaves_the_numbers_as_they_were(call):
    x, calls = np.array([3.0, np.nextafter(4.0, 5.0)]), []

    def interrupted(x):
        calls.append(x)
        if len(calls) == call + 1:
            raise KeyboardInterrupt
        return squares(x)

    with pytest.raises(KeyboardInterrupt):
        numerical_gradient(interrupted, x)
    assert x.tolist() == [3.0, np.nextafter(4.0, 5.0)]


# --- numbers of every kind --------------------------------------------------------------------------------------------


def test_numbers_in_the_other_order_of_bytes():
    for dtype in (">f8", "<f8", ">f4"):
        x = np.array([3.0, 4.0], dtype)
        grad = numerical_gradient(squares, x)
        np.testing.assert_allclose(grad, [6, 8], rtol=1e-3)
        assert grad.dtype == x.dtype.newbyteorder("=")
        assert x.dtype == np.dtype(dtype)
        assert x.tolist() == [3, 4]
        np.testing.assert_allclose(gradient_descent(squares, x, 0.1, 2), 0.64 * x, rtol=1e-3)


@pytest.mark.parametrize("x", [3, 3.0, np.float64(3), np.float32(3), np.int64(3), np.array(3.0), True + 2])
def test_a_single_number(x):
    assert numerical_gradient(lambda x: x**2, x) == pytest.approx(6, rel=1e-4)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.ones(2, "float16"), r"expects float32 or float64.*x.astype\('float64'\)"),
        (np.ones(2, complex), "expects floats, got complex128. Pass `x.real` and `x.imag`"),
        ([1j], "expects floats, got complex128"),
        (np.array(["1"]), "adds h to each element, which an array of str32 cannot hold"),
        (np.array([None]), "an array of object cannot hold"),
        (["1"], r"Expected numbers, got list that NumPy reads as <U1: \['1'\]"),
        (None, "Expected numbers, got NoneType that NumPy reads as object: None"),
    ],
)
def test_what_is_no_float_is_refused(x, says):
    with pytest.raises(DtypeError, match=says):
        numerical_gradient(squares, x)


@pytest.mark.parametrize("x", [np.array([[3.0, 4.0]]).view(np.matrix), np.ma.masked_array([3.0, 4.0], mask=[0, 1])])
def test_an_array_that_means_something_else_is_refused_and_left_as_it_was(x):
    before = repr(x)
    with pytest.raises(ArrayMixError, match="x must be a plain array, got numpy.*Use `x.filled|Use `numpy.asarray"):
        numerical_gradient(squares, x)
    assert repr(x) == before


def test_where_something_is_not_finite_the_gradient_is_not():
    """Quietly, and whatever the user has NumPy do about it; the function's own warnings are the function's."""
    with np.errstate(all="raise"):
        grad = numerical_gradient(lambda x: x[1] * 2.0, np.array([np.inf, 1.0, np.nan]))
        np.testing.assert_allclose(grad, [np.nan, 2, np.nan])
        for value in (np.inf, -np.inf, np.nan):
            assert np.isnan(numerical_gradient(lambda x, value=value: value, [1.0])).all()


def test_options_of_the_descent():
    assert gradient_descent(squares, [1.0], lr=-0.5, step_num=1) == pytest.approx(2)  # up
    assert gradient_descent(squares, [1.0], step_num=0).tolist() == [1]
    for options, says in (
        ({"step_num": -1}, "step_num must be a whole number of at least 0, got -1"),
        ({"step_num": 1.5}, "step_num must be .* got 1.5"),
        ({"lr": None}, "lr must be a number, got None"),
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
    ):
        with pytest.raises(ArgumentError, match=says):
            gradient_descent(squares, [1.0], **options)


def test_too_high_a_rate_goes_on_diverging():
    """(1 - 2 * 10)**100: with a step that is lost from 1e12 on, the book's descent stands still at -2.6e13."""
    end = gradient_descent(squares, asarray([-3.0, 4.0], backend="numpy"), lr=10.0, step_num=100)
    np.testing.assert_allclose(end, np.array([-3.0, 4.0]) * 19.0**100, rtol=1e-3)
