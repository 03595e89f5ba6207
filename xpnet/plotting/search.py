"""Results of a hyper-parameter search: scores by parameter, and curves of the best trials."""

import os
import textwrap
from collections.abc import Collection, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from xpnet._core.checks import check_count
from xpnet.errors import ArgumentError, ShapeError
from xpnet.plotting.figures import Figure, finished, panel_grid

_CAPTION_WIDTH = 40  # letters


def plot_search(
    parameters: Mapping[str, Sequence[Any]],
    scores: Sequence[float],
    *,
    log: Collection[str] = (),
    ylabel: str = "score",
    columns: int = 3,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the scores of all trials by each parameter, one panel each, colored by rank; a star marks the best.

    Parameters
    ----------
    parameters
        Values of each parameter in all trials, by name. Values other than numbers are shown as words.
    scores
        Score of each trial, higher is better; trials with nan are not drawn.
    log
        Parameters with a logarithmic axis.
    ylabel
        Label of the scores.
    columns
        Maximum number of panels per row.
    """
    score = np.asarray(scores, dtype=float)
    for name, values in parameters.items():
        if len(values) != len(score):
            raise ShapeError(f"{name} has {len(values)} values, but there are {len(score)} scores. Give one per trial.")
    scored = np.flatnonzero(np.isfinite(score))
    if not parameters or not scored.size:
        raise ArgumentError("There is nothing to draw: no trial has a score.")
    # The worst first, so that the best are drawn on top; of equal scores the first trial is the best.
    order = scored[np.argsort(-score[scored], kind="stable")][::-1]
    ranks, best = np.arange(len(order), 0, -1), order[-1]
    rows = -(-len(parameters) // check_count("columns", columns))
    columns = -(-len(parameters) // rows)  # four panels: 2 + 2 rather than 3 + 1
    figure, panels = panel_grid(path, len(parameters), columns, (4.2, 3.4), ylabel=ylabel, sharey=True)
    for axes, (name, values) in zip(panels, parameters.items(), strict=True):
        numeric = all(isinstance(value, Real) and not isinstance(value, bool) for value in values)
        words = [] if numeric else list(dict.fromkeys(map(str, values)))
        at = np.array([float(value) if numeric else words.index(str(value)) for value in values])
        points = axes.scatter(at[order], score[order], c=ranks, cmap="viridis", s=22, vmin=1, vmax=max(2, len(order)))
        axes.plot(at[best], score[best], "*", color="tab:red", markersize=14, markeredgecolor="white", zorder=3)
        axes.set_xlabel(name)
        if name in log:
            _make_logarithmic(name, axes, at[order])
        if words:
            axes.set_xticks(range(len(words)), words)
            axes.margins(x=0.2)
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    bar = figure.colorbar(points, ax=panels, label="rank")
    bar.ax.invert_yaxis()
    figure.suptitle(title, fontsize=11)
    return finished(figure, path)


def plot_search_curves(
    curves: Sequence[tuple[Sequence[float], Sequence[float], Sequence[float]]],
    captions: Sequence[str] = (),
    *,
    columns: int = 5,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the accuracies of the best trials by epoch, one panel each; validation solid, training dashed.

    Parameters
    ----------
    curves
        For each trial, the best first: epochs, validation accuracies, training accuracies (may be empty).
    captions
        Texts below ``"Best-1"``, ``"Best-2"``, ..., such as the trials' parameters.
    columns
        Panels per row.
    """
    if not curves:
        raise ArgumentError("There is nothing to draw: no trial was given.")
    columns = check_count("columns", columns)
    below = [textwrap.fill(caption, _CAPTION_WIDTH) for caption in captions]
    lines = max((caption.count("\n") + 1 for caption in below), default=0)
    labels = {"xlabel": "epoch", "ylabel": "accuracy"}
    size = (2.4, 2.0 + 0.12 * lines)
    figure, panels = panel_grid(path, len(curves), columns, size, **labels, sharex=True, sharey=True)
    for i, (axes, (epochs, validation, train)) in enumerate(zip(panels, curves, strict=True)):
        axes.plot(epochs, validation, color="tab:blue", label="validation")
        if len(train):
            axes.plot(epochs, train, "--", color="tab:orange", label="training")
        axes.set_title(f"Best-{i + 1}", fontsize=10, pad=6 + 9 * lines)
        if i < len(below):
            axes.text(0.5, 1.03, below[i], transform=axes.transAxes, ha="center", va="bottom", fontsize=7)
        axes.set_ylim(0, 1)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    drawn = {line.get_label(): line for axes in panels for line in axes.lines}
    figure.legend(drawn.values(), drawn, loc="outside lower center", ncols=2)
    return finished(figure, path, title)


def _make_logarithmic(name: str, axes: Any, values: np.ndarray) -> None:
    """Make an axis logarithmic, with more numbers if it spans few powers of ten."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if values.min() <= 0:
        raise ArgumentError(
            f"A logarithmic axis has no place for {values.min():g}, a value of {name}. Leave {name!r} out of `log`."
        )
    axes.set_xscale("log")
    orders = np.log10(values.max() / values.min())
    if orders < 2:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if orders >= 1 else MaxNLocator(4))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
