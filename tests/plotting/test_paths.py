"""Paths of optimizers over contour lines of the function."""

import numpy as np
import pytest
from drawn_texts import overlaps

from xpnet.errors import ArgumentError, ShapeError
from xpnet.plotting import plot_paths


def test_paths_lie_over_contour_lines_of_the_function(tmp_path):
    paths = {"SGD": [(-7, 2), (-6, -1), (-5, 0.5)], "Adam": [(-7, 2), (99, 99)], "Momentum": [(1, 1)]}
    figure = plot_paths(lambda x, y: x**2 / 20 + y**2, paths, levels=[1, 4], minimum=(0, 0), path=tmp_path / "p.png")
    assert [axes.get_title() for axes in figure.axes] == list(paths)
    for axes, points in zip(figure.axes, paths.values(), strict=True):
        way, start, minimum = (np.transpose(line.get_data()).tolist() for line in axes.lines)
        assert way == [list(p) for p in points]
        assert (start, minimum) == ([list(points[0])], [[0, 0]])
        assert (axes.get_xlim(), axes.get_ylim()) == ((-10, 10), (-10, 10))
        for level, line in zip((1, 4), axes.collections[0].get_paths(), strict=True):
            x, y = line.vertices.T
            np.testing.assert_allclose(x**2 / 20 + y**2, level, rtol=1e-2)  # straight between the points of a grid
    assert overlaps(figure) == []


def test_contour_lines_of_a_quadratic_are_equally_far_apart(tmp_path):
    [axes] = plot_paths(lambda x, y: x**2 + y**2 + 3, {"": [(0, 0)]}, levels=5, path=tmp_path / "p.png").axes
    heights = axes.collections[0].levels - 3
    np.testing.assert_allclose(heights, 200 * (np.arange(1, 6) / 5) ** 2, rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "paths", "error", "message"),
    [
        (np.hypot, {}, ArgumentError, "no path was given"),
        (np.hypot, {"SGD": [1, 2]}, ShapeError, r"'SGD' to be points .*got shape \(2,\)"),
        (lambda x, y: 1.0, {"SGD": [(1, 2)]}, ShapeError, "f must return one number per point"),
    ],
)
def test_what_is_no_path_is_an_error(f, paths, error, message):
    with pytest.raises(error, match=message):
        plot_paths(f, paths)
