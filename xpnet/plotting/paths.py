"""Paths of optimizers on a function of two variables."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xpnet._core.checks import check_count
from xpnet.errors import ArgumentError, ShapeError
from xpnet.plotting.figures import Figure, finished, panel_grid

_POINTS = 301


def plot_paths(
    f: Callable[[Any, Any], Any],
    paths: Mapping[str, Sequence[Sequence[float]]],
    *,
    xlim: tuple[float, float] = (-10, 10),
    ylim: tuple[float, float] = (-10, 10),
    levels: int | Sequence[float] = 10,
    minimum: tuple[float, float] | None = None,
    columns: int = 2,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the path of each optimizer over the contour lines of a function of two variables, one panel each.

    Parameters
    ----------
    f
        Function of two arrays of the same shape, such as ``lambda x, y: x**2 / 20 + y**2``.
    paths
        By title of the panel, ``"SGD"``: its points, shape (N, 2). A circle marks the first.
    xlim, ylim
        Visible part of the plane.
    levels
        Heights of the contour lines, or their number, denser near the lowest point.
    minimum
        Point to mark with a cross.
    columns
        Panels per row.
    """
    points = {name: np.asarray(way, dtype=float) for name, way in paths.items()}
    if not points:
        raise ArgumentError(
            "There is nothing to draw: no path was given. Give some, as in `{'SGD': [(-7, 2), (-5, 1)]}`."
        )
    for name, way in points.items():
        if way.ndim != 2 or way.shape[1] != 2 or not len(way):
            raise ShapeError(f"Expected the path {name!r} to be points (x, y), shape (N, 2), got shape {way.shape}.")
    x, y = np.meshgrid(np.linspace(*xlim, _POINTS), np.linspace(*ylim, _POINTS))
    height = np.asarray(f(x, y), dtype=float)
    if height.shape != x.shape:
        raise ShapeError(
            f"f must return one number per point: for arrays of shape {x.shape} it returned shape {height.shape}."
        )
    if isinstance(levels, int):
        # Squares of equal steps, so that the lines of a quadratic function are equally far apart.
        lowest, steps = height.min(), np.linspace(0, 1, check_count("levels", levels) + 1)[1:]
        levels = (lowest + (height.max() - lowest) * steps**2).tolist()
    columns = check_count("columns", columns)
    figure, panels = panel_grid(
        path, len(points), columns, (4.2, 3.6), xlabel="x", ylabel="y", sharex=True, sharey=True
    )
    for axes, (name, way) in zip(panels, points.items(), strict=True):
        axes.contour(x, y, height, levels=levels, colors="0.7", linewidths=0.7)
        axes.plot(*way.T, "-", marker=".", color="tab:red", linewidth=1, markersize=5)
        axes.plot(*way[0], "o", color="tab:red", markersize=7, markerfacecolor="white")
        if minimum is not None:
            axes.plot(*minimum, "+", color="black", markersize=9)
        axes.set(title=name, xlim=xlim, ylim=ylim)
        axes.locator_params(nbins=5)
    return finished(figure, path, title)
