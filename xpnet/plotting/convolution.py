"""Plots of the filters and activations of convolutional networks."""

import math
import os
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnet._core.arrays import Array, as_inputs, get_array_module, to_numpy
from xpnet._core.checks import check_count, check_labels
from xpnet.errors import ArgumentError, ShapeError
from xpnet.networks.network import Network
from xpnet.plotting.figures import Figure, finished, new_figure
from xpnet.plotting.images import add_score_bars, as_color_or_gray, can_reshape, class_labels

_MAX_NAMED = 20  # classes with names below their bars
_MIN_COLUMNS = 6  # columns of maps, for strips and bars


# --- filters --------------------------------------------------------------------------------------------------------


def plot_filters(
    before: Array,
    after: Array | None = None,
    *,
    channel: int | None = None,
    limit: int = 64,
    columns: int | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the filters of a convolution as small images; with `after`, before and after training.

    Each side has its own scale, symmetric about 0 (mid-gray); dark is high, like ink. Three channels are red, green and
    blue, bright is high; of filters with more channels one is shown. The figure states what is shown.

    Parameters
    ----------
    before, after
        Filters, (FN, C, FH, FW), of any backend. Training changes parameters in place, so keep a copy:
        ``before = network.state.weights()["W1"]``.
    channel
        Channel to show; None for colors if there are three, else for the first.
    limit
        Maximum number of filters.
    columns
        Filters per row; None for a square.
    """
    limit = check_count("limit", limit)
    sides = {"before training" if after is not None else "": _filters("before", before)}
    if after is not None:
        sides["after training"] = _filters("after", after)
        _check_pair(before, after, *sides.values())
    count, channels = next(iter(sides.values())).shape[:2]
    if channel is not None and channel not in range(channels):
        raise ArgumentError(f"channel must be from 0 to {channels - 1}, as the filters have {channels}, got {channel}.")
    shown = min(count, limit)
    columns = math.ceil(math.sqrt(shown)) if columns is None else min(check_count("columns", columns), shown)
    rows = -(-shown // columns)
    side = max(0.62, min(1.2, 2.8 / columns))
    figsize = (max(2.8, side * columns) * len(sides) + 0.2, side * rows + 1.3)
    figure = new_figure(path, figsize=figsize, layout="constrained")
    for part, (name, filters) in zip(figure.subfigures(1, len(sides), squeeze=False)[0], sides.items(), strict=True):
        _draw_filters(part, filters[:shown], channel, (rows, columns))
        part.suptitle(name)
    notes = [f"the first {shown} of {count} filters"] if shown < count else []
    unknown = sum(np.count_nonzero(~np.isfinite(filters[:shown])) for filters in sides.values())
    notes += [f"{unknown:,} weights are not finite"] if unknown else []
    if channels == 3 and channel is None:
        notes.append("channels as red, green, blue: gray is 0")
    elif channels > 1:
        notes.append(f"channel {channel or 0} of {channels} (from 0)")
    figure.supxlabel(textwrap.fill(", ".join(notes), int(14 * figsize[0])), fontsize=9)
    return finished(figure, path, title)


def _filters(name: str, given: Array) -> np.ndarray:
    filters = to_numpy(given)
    if filters.ndim != 4 or 0 in filters.shape:
        raise ShapeError(
            f"{name} must be filters of shape (FN, C, FH, FW), got {filters.shape}. Those of a network's first "
            "convolution are `network.params['W1']`."
        )
    return filters


def _check_pair(before: Array, after: Array, filters: np.ndarray, trained: np.ndarray) -> None:
    if filters.shape != trained.shape:
        raise ShapeError(
            f"before and after must be filters of one convolution, got shapes {filters.shape} and {trained.shape}. "
            "Take both under one name, such as 'W1'."
        )
    if before is after or np.shares_memory(filters, trained):
        raise ArgumentError(
            "before and after are the same array, which training changes in place. Keep a copy before the training "
            "with `before = network.state.weights()['W1']`."
        )


def _draw_filters(part: Any, filters: np.ndarray, channel: int | None, grid: tuple[int, int]) -> None:
    """Draw one side of the figure: the filters on one scale, and its color bar."""
    bound, in_color = _largest(filters), filters.shape[1] == 3 and channel is None
    panels = part.subplots(*grid, squeeze=False)
    for axes in panels.flat[len(filters) :]:
        axes.set_axis_off()
    for axes, weights in zip(panels.flat, filters, strict=False):
        picture = np.moveaxis(0.5 + weights / (2 * bound), 0, -1) if in_color else weights[channel or 0]
        shown = axes.imshow(picture, cmap="gray" if in_color else "gray_r", vmin=-bound, vmax=bound)
        axes.set(xticks=[], yticks=[])
    bar = part.colorbar(shown, ax=panels, location="bottom", shrink=0.9, aspect=30)
    bar.set_ticks([-bound, 0, bound], labels=[f"{-bound:.2g}", "0", f"{bound:.2g}"])
    bar.ax.tick_params(labelsize=8)
    bar.set_label("weight", fontsize=8)


def _largest(values: np.ndarray) -> float:
    """The largest finite magnitude, or 1 if all are 0."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0


# --- activations ----------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """The output of a layer: its name, the shape of one sample, and the sample as pictures, (n, H, W) or (1, H, W, 3).

    A vector is a picture one pixel high, a strip.
    """

    name: str
    shape: tuple[int, ...]
    pictures: np.ndarray

    @property
    def is_strip(self) -> bool:
        return self.pictures.shape[:2] == (1, 1)


def plot_activations(
    network: Network,
    x: Array,
    *,
    label: int | None = None,
    class_names: Sequence[str] = (),
    channels: int = 8,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the output of each layer for one image: maps of an image, a strip of a vector.

    Each row has one scale: white at 0 to black if nothing is negative, else blue below 0, red above. The last row has
    the class probabilities (or scores, as in `plot_scores`); a regression has none. The layers run in inference mode,
    and the network is not changed.

    Parameters
    ----------
    network
        Any network. Of layers inside a layer, as in `Residual`, the result is shown.
    x
        One image, or a batch of one, flattened or not; uint8 or floats, of any backend. Three channels are colors.
    label
        Class of the image, if known; a highest bar of another class is then red.
    class_names
        Names of the classes; by default their numbers.
    channels
        Maximum number of maps per layer.
    """
    rows, outputs = _activations(network, x, check_count("channels", channels))
    columns = max(_MIN_COLUMNS, *(len(row.pictures) for row in rows))
    heights = [0.35 if row.is_strip else 1.0 for row in rows] + [1.6] * len(outputs)
    figure = new_figure(path, figsize=(columns + 2.6, 1.12 * sum(heights) + 0.6), layout="constrained")
    widths = [1.7, *[1] * columns, 0.12]
    grid = figure.add_gridspec(len(heights), len(widths), width_ratios=widths, height_ratios=heights)
    for i, row in enumerate(rows):
        below = " × ".join(map(str, row.shape))
        if len(row.pictures) < math.prod(row.shape[:-2]) and row.pictures.ndim == 3:
            below += f", first {len(row.pictures)}"
        unknown = np.count_nonzero(~np.isfinite(row.pictures))
        below += f"\n{unknown:,} not finite" if unknown else ""
        _write_name(figure.add_subplot(grid[i, 0]), row.name, below)
        places = [grid[i, 1:-1]] if row.is_strip else [grid[i, j + 1] for j in range(len(row.pictures))]
        _draw_row([figure.add_subplot(place) for place in places], figure.add_subplot(grid[i, -1]), row)
    for name, values in outputs.items():
        names = class_labels(class_names, len(values))
        if label is not None:
            check_labels(np.array([label]), (1, len(values)))
        _write_name(figure.add_subplot(grid[-1, 0]), name, f"of {len(values)} classes")
        axes = figure.add_subplot(grid[-1, 1:-1])
        highest = add_score_bars(axes, values, label)
        axes.margins(y=0.2)
        result = f"no highest {name}: not all are numbers" if highest is None else f"highest {name}: {names[highest]}"
        known = "" if label is None else f"; it is {names[label]}"
        axes.set(xlabel=f"{result}{known}", xlim=(-0.5, len(values) - 0.5))
        if len(class_names) and len(names) <= _MAX_NAMED:
            long = sum(map(len, names)) > 10 * columns
            axes.set_xticks(range(len(names)), names, rotation=90 if long else 0)
    return finished(figure, path, title)


def _activations(network: Network, x: Array, channels: int) -> tuple[list[_Row], dict[str, np.ndarray]]:
    """The input and the output of each layer; and the probabilities or scores of the classes, if any."""
    x = _as_batch_of_one(network, network.asarray(x))
    scores = network.predict(x)  # raises if x does not fit
    y = as_inputs(x, network.state.like.dtype)
    rows = [_input_row(to_numpy(y)[0], channels)]
    with network.state.lock:
        views = network.state.views()
    for name, layer in zip(network.layers, views, strict=True):
        y = layer.forward(y)
        rows.append(_row(name, np.array(to_numpy(y)[0]), channels))  # a copy, because a layer may reuse its memory
    if scores.ndim != 2 or not network.last_layer.classifies:
        return rows, {}
    if hasattr(network.last_layer, "probabilities"):
        return rows, {"probability": to_numpy(network.last_layer.probabilities(scores))[0]}
    return rows, {"score": to_numpy(scores)[0]}


def _as_batch_of_one(network: Network, x: Array) -> Array:
    shape = network.input_shape
    for given in (x.shape, x.shape[1:] if x.shape[:1] == (1,) else None):
        if shape is not None and given is not None and can_reshape(given, shape):
            return get_array_module(x).reshape(x, (1, *shape))
    if x.ndim == 1 or x.ndim == (3 if shape is None else len(shape)):
        return x[None, ...]
    if x.ndim == 0 or x.shape[0] != 1:
        raise ShapeError(f"Expected one image, got x of shape {tuple(x.shape)}. Use one of them, such as `x[0]`.")
    return x


def _input_row(x: np.ndarray, channels: int) -> _Row:
    """The input as an image if possible; a vector if it is square."""
    if (x.ndim == 1 and math.isqrt(x.size) ** 2 == x.size) or (x.ndim == 3 and len(x) == 3):
        return _Row("input", x.shape, as_color_or_gray(x[np.newaxis]))
    return _row("input", x, channels)


def _row(name: str, values: np.ndarray, channels: int) -> _Row:
    pictures = values.reshape(-1, *values.shape[-2:])[:channels] if values.ndim > 1 else values[np.newaxis, np.newaxis]
    return _Row(name, values.shape, pictures)


def _write_name(axes: Any, name: str, below: str) -> None:
    axes.set_axis_off()
    axes.text(1, 0.5, name, ha="right", va="bottom", fontsize=10)
    axes.text(1, 0.45, below, ha="right", va="top", fontsize=8, color="0.35")


def _draw_row(panels: list[Any], bar: Any, row: _Row) -> None:
    bound, signed = _largest(row.pictures), bool((row.pictures < 0).any())
    options = {"cmap": "RdBu_r" if signed else "gray_r", "vmin": -bound if signed else 0, "vmax": bound}
    for axes, picture in zip(panels, row.pictures, strict=True):
        shown = axes.imshow(picture, aspect="auto" if row.is_strip else "equal", **options)
        axes.set(xticks=[], yticks=[])
    if row.pictures.ndim == 4:
        bar.set_axis_off()
        return
    ticks = [-bound, bound] if signed else [0, bound]
    bar.figure.colorbar(shown, cax=bar).set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
    bar.tick_params(labelsize=7)
