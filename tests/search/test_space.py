"""The distributions of a search: what they draw, and which bounds are refused."""

import math

import numpy as np
import pytest
from small_search import near, search

from xpnet.errors import ArgumentError
from xpnet.search import Choice, LogUniform, Uniform


def draws(distribution, n=4000):
    rng = np.random.default_rng(0)
    return [distribution.draw(rng) for _ in range(n)]


def test_uniform_numbers_fill_their_range():
    values = np.array(draws(Uniform(-2, 6)))
    assert values.min() >= -2
    assert values.max() <= 6
    counts = np.histogram(values, bins=8, range=(-2, 6))[0]
    assert abs(counts - 500).max() < 5 * np.sqrt(500)  # five standard deviations


def test_log_uniform_numbers_are_the_courses():
    """As many of each order of magnitude."""
    values = draws(LogUniform(1e-6, 1e-2))
    assert all(type(value) is float and 1e-6 <= value <= 1e-2 for value in values)
    counts = np.histogram(np.log10(values), bins=4, range=(-6, -2))[0]
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)
    rng = np.random.default_rng(0)
    assert values[:3] == pytest.approx([10 ** rng.uniform(-6, -2) for _ in range(3)], rel=1e-12)


@pytest.mark.parametrize("kind", [Uniform, LogUniform])
def test_whole_numbers_are_ints_with_both_bounds(kind):
    values = draws(kind(3, 6, whole=True))
    assert {type(value) for value in values} == {int}
    assert set(values) == {3, 4, 5, 6}
    shares = np.array([values.count(n) for n in (3, 4, 5, 6)]) / len(values)
    wide = {Uniform: np.full(4, 0.25), LogUniform: np.diff(np.log([3, 4, 5, 6, 7])) / np.log(7 / 3)}[kind]
    assert abs(shares - wide).max() < 5 * np.sqrt(0.25 / len(values))


def test_a_bound_is_not_passed_by_rounding():
    class Highest:
        def uniform(self, low, high):
            return high

    class Lowest:
        def uniform(self, low, high):
            return low

    for bound in (0.3, 0.7, 3e-5, 12345.678, 1e-300):
        assert LogUniform(bound / 10, bound).draw(Highest()) <= bound
        assert LogUniform(bound, bound * 10).draw(Lowest()) >= bound
    for bound in (5, 10, 999, 1000):
        assert LogUniform(1, bound, whole=True).draw(Highest()) == bound
        assert LogUniform(bound, 5000, whole=True).draw(Lowest()) == bound


def test_a_choice_gives_each_of_its_values_itself():
    values = [[1, 2], "Adam", None]
    drawn = draws(Choice(values), 100)
    assert {id(value) for value in drawn} == {id(value) for value in values}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(1, 1), r"Uniform\(low=1, high=1, whole=False\) must have two finite numbers .*low < high"),
        (lambda: Uniform(0, math.inf), "finite numbers"),
        (lambda: Uniform(math.nan, 1), "finite numbers"),
        (lambda: LogUniform("a", 1), "finite numbers"),
        (lambda: LogUniform(1e-2, 1e-6), "low < high"),
        (lambda: LogUniform(0, 1), "low must be above 0"),
        (lambda: LogUniform(-6, -2), "Give the bounds and not the exponents"),
        (lambda: Uniform(0.5, 3, whole=True), "bounds must be whole numbers too"),
        (lambda: Choice([]), r"at least one value, got \[\]"),
        (lambda: Choice("SGD"), r"got 'SGD'. Use `xpnet.search.Choice\(\['SGD'\]\)`"),
        (lambda: Choice(3), "got 3"),
        (lambda: search(near, {}), "The space has no parameter"),
        (lambda: search(near, {"lr": 0.1}), r"lr must be a Uniform.* got 0.1.*'lr': xpnet.search.Choice"),
        (lambda: search(near, trials=0), "trials must be a whole number of at least 1"),
        (lambda: search(near, seed=-1), "seed must be a whole number of at least 0, or None, got -1"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
