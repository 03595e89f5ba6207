"""Histograms of arrays, such as the activations of each layer."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from xpnet._core.arrays import Array, to_numpy
from xpnet._core.checks import check_count
from xpnet.errors import ArgumentError
from xpnet.plotting.figures import Figure, finished, new_figure


def plot_histograms(
    arrays_by_name: Mapping[str, Array] | Mapping[str, Mapping[str, Array]],
    *,
    bins: int = 30,
    range: tuple[float, float] = (0, 1),
    xlabel: str = "activation",
    ylabel: str = "count",
    ylim: tuple[float | None, float | None] | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot a row of histograms, one per array, or several rows, such as one per initializer.

    The panels of a row share their vertical axis. Each panel states how many values lie outside the range.

    Parameters
    ----------
    arrays_by_name
        Arrays of any shape and backend by title of the panel, ``"1-layer"``; or such mappings by name of the row,
        ``"Xavier"``, possibly of different lengths.
    bins, range
        Number of bars and the range of values; see `numpy.histogram`.
    xlabel, ylabel
        Labels of the axes.
    ylim
        Vertical limits; None for automatic limits of each row.
    """
    bins = check_count("bins", bins)
    low, high = range
    if not low < high:
        raise ArgumentError(f"range must be (low, high) with low < high, got {range!r}.")
    rows = _as_rows(arrays_by_name)
    lengths = [len(arrays) for arrays in rows.values()]
    columns = max(lengths)
    figure = new_figure(path, figsize=(2.4 * columns + 0.6, 2.3 * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey="row")
    for i, (panels, (row, arrays)) in enumerate(zip(grid, rows.items(), strict=True)):
        for axes, (name, array) in zip(panels, arrays.items(), strict=False):
            _draw_histogram(axes, np.ravel(to_numpy(array)), bins, (low, high))
            axes.set_title(name, fontsize=10)
        for empty in panels[lengths[i] :]:
            empty.remove()
        for lowest in panels[max(lengths[i + 1 :], default=0) : lengths[i]]:
            lowest.tick_params(labelbottom=True)  # shared axes have numbers only in the last row
        if ylim is not None:
            panels[0].set_ylim(*ylim)
        panels[0].set_ylabel(f"{row}\n{ylabel}" if row else ylabel)
    figure.supxlabel(xlabel, fontsize=10)
    return finished(figure, path, title)


def _as_rows(given: Mapping[str, Any]) -> dict[str, dict[str, Array]]:
    nested = [isinstance(value, Mapping) for value in given.values()]
    if any(nested) and not all(nested):
        raise ArgumentError("Expected arrays by name, or rows of arrays by name, got both in one mapping.")
    rows = {row: dict(arrays) for row, arrays in given.items()} if any(nested) else {"": dict(given)}
    if not all(rows.values()) or not rows:
        raise ArgumentError("There is nothing to draw: no array was given. Give some, as in `{'1-layer': array}`.")
    return rows


def _draw_histogram(axes: Any, values: np.ndarray, bins: int, bounds: tuple[float, float]) -> None:
    axes.hist(values, bins=bins, range=bounds, color="tab:blue")
    low, high = bounds
    outside = {f"below {low:g}": values < low, f"above {high:g}": values > high, "nan": np.isnan(values)}
    counts = {where: int(np.count_nonzero(there)) for where, there in outside.items()}
    notes = [f"{_share(n, values.size)} {where}" for where, n in counts.items() if n]
    notes += [] if values.size else ["no values"]
    axes.text(0.97, 0.95, "\n".join(notes), transform=axes.transAxes, ha="right", va="top", fontsize=8)
    axes.tick_params(labelsize=8)


def _share(n: int, of: int) -> str:
    """Percentage, or the number if below 1 %."""
    return f"{n / of:.0%}" if 100 * n >= of else f"{n:,}"
