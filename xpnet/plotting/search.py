"""What a search among hyper-parameters found: the scores by each parameter, and the curves of the best."""

import os
import textwrap
from collections.abc import Collection, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from xpnet._core.checks import check_count
from xpnet.errors import ArgumentError, ShapeError
from xpnet.plotting.figures import finished, panel_grid

__all__ = ["plot_search", "plot_search_curves"]

_CAPTION_WIDTH = 40  # letters of a caption over one panel


def plot_search(
    parameters: Mapping[str, Sequence[Any]],
    scores: Sequence[float],
    *,
    log: Collection[str] = (),
    ylabel: str = "score",
    columns: int = 3,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """The score of each trial by each parameter, a panel each; coloured by rank, the best a star.

    Parameters
    ----------
    parameters
        Name of the parameter: its value in each trial. What is no number stands as a word on the axis.
    scores
        The score of each trial, higher is better; trials without one (nan) are not drawn.
    log
        The parameters that have a logarithmic axis.
    ylabel
        What the scores are.
    columns
        How many panels stand side by side at most.
    title, path
        As for `xpnet.plotting.plot_learning_curves`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    score = np.asarray(scores, dtype=float)
    for name, values in parameters.items():
        if len(values) != len(score):
            raise ShapeError(f"{name} has {len(values)} values, but there are {len(score)} scores. Give one a trial.")
    scored = np.flatnonzero(np.isfinite(score))
    if not parameters or not scored.size:
        raise ArgumentError("There is nothing to draw: no trial has a score.")
    # The worst first, so that the best lie on top; of equals the first trial is the best.
    order = scored[np.argsort(-score[scored], kind="stable")][::-1]
    ranks, best = np.arange(len(order), 0, -1), order[-1]
    rows = -(-len(parameters) // check_count("columns", columns))
    columns = -(-len(parameters) // rows)  # four panels are two and two, and not three and one
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
) -> Any:
    """A panel for each of the best trials: accuracy by epoch, validation whole and training dashed.

    Parameters
    ----------
    curves
        For each trial, the best first: the epochs, the accuracies in validation, and those in training (these may be
        empty).
    captions
        What to write below ``"Best-1"``, ``"Best-2"``, ...: the trial's parameters, say; none for none.
    columns
        How many panels stand side by side.
    title, path
        As for `xpnet.plotting.plot_learning_curves`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if not curves:
        raise ArgumentError("There is nothing to draw: no trial was given.")
    columns = check_count("columns", columns)
    below = [textwrap.fill(caption, _CAPTION_WIDTH) for caption in captions]
    lines = max((caption.count("\n") + 1 for caption in below), default=0)
    figure, panels = panel_grid(
        path,
        len(curves),
        columns,
        (2.4, 2.0 + 0.12 * lines),
        xlabel="epoch",
        ylabel="accuracy",
        sharex=True,
        sharey=True,
    )
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
    figure.suptitle(title)
    return finished(figure, path)


def _make_logarithmic(name: str, axes: Any, values: np.ndarray) -> None:
    """A logarithmic axis; where it has few powers of ten, numbers between them are written out."""
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
