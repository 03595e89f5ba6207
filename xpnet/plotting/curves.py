"""Learning curves: of one training, of several over one axis, and of pairs in a grid."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnet._core.checks import check_count
from xpnet.errors import ArgumentError, ShapeError
from xpnet.plotting.figures import finished, new_figure, panel_grid

__all__ = ["plot_grid_of_runs", "plot_learning_curves", "plot_runs", "smooth_curve"]

_MARKERS = "osD^vXP*"
_MARKERS_A_LINE = 15
_MAX_NAMED_RUNS = 20  # in a legend, which would else be higher than the figure
_MAX_TOLD_RUNS = 4  # in a small panel, whose points are not finite
_MAX_DOTTED = 50  # points of a loss that have a dot each: one point alone has no line


class _Quantity(NamedTuple):
    """What goes without saying of a quantity: its horizontal axis, where that begins, its height, its empty corner."""

    xlabel: str
    first: int
    ylim: tuple[float | None, float | None]
    corner: str


_QUANTITIES = {
    "loss": _Quantity("iteration", 1, (0, None), "upper right"),
    "accuracy": _Quantity("epoch", 0, (0, 1), "lower right"),
}


def plot_learning_curves(
    loss: Sequence[float],
    epochs: Sequence[float],
    train_acc: Sequence[float],
    test_acc: Sequence[float],
    val_acc: Sequence[float] = (),
    *,
    val_loss: Sequence[float] = (),
    iterations: Sequence[int] = (),
    evaluated_samples: int | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """The loss by iteration, and the accuracies by epoch, test dashed, validation dash-dotted (course row 18).

    Parameters
    ----------
    loss
        One number an iteration.
    epochs
        When the accuracies were taken, in epochs.
    train_acc, test_acc, val_acc
        The accuracies, 0 to 1; each may be empty. Where all are, there is no place for them.
    val_loss, iterations
        The loss on the validation set, and after how many iterations it was taken.
    evaluated_samples
        How many samples of each set the accuracies are of, at most; None for all. The figure says so.
    path
        Where to write the picture; None for a figure of pyplot's, to be shown with ``plt.show()``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    accuracies = {"train_acc": train_acc, "test_acc": test_acc, "val_acc": val_acc}
    _check_lengths("epochs", epochs, accuracies)
    _check_lengths("iterations", iterations, {"val_loss": val_loss})
    figure = new_figure(path, figsize=(10, 4), layout="constrained")
    classes = any(len(values) for values in accuracies.values())
    left, *others = np.atleast_1d(figure.subplots(1, 2 if classes else 1))
    marker = "." if len(loss) <= _MAX_DOTTED or _not_finite(loss) else None
    label = f"each minibatch{_not_finite(loss)}"
    left.plot(range(1, len(loss) + 1), loss, linewidth=0.6, marker=marker, color="tab:blue", label=label)
    left.set(title="Loss" if len(loss) else "Loss: none recorded", xlabel="iteration", ylabel="loss")
    left.set_ylim(bottom=0)
    if len(val_loss):
        label = f"validation: {val_loss[-1]:.4f} at last{_not_finite(val_loss)}"
        left.plot(iterations, val_loss, "-.", marker=".", color="tab:green", label=label)
    if len(val_loss) or _not_finite(loss):
        left.legend(loc="upper right")
    for right in others:
        _plot_accuracies(right, epochs, train_acc, test_acc, val_acc)
        if evaluated_samples is not None:
            right.set_title(f"Accuracy on up to {evaluated_samples:,} samples of each set")
    for axes in (left, *others):
        axes.grid(alpha=0.3)
    if title:
        figure.suptitle(title)
    return finished(figure, path)


def _plot_accuracies(
    axes: Any, epochs: Sequence[float], train_acc: Sequence[float], test_acc: Sequence[float], val_acc: Sequence[float]
) -> None:
    for accuracies, name, style, color in (
        (train_acc, "train", "-", "tab:blue"),
        (test_acc, "test", "--", "tab:orange"),
        (val_acc, "validation", "-.", "tab:green"),
    ):
        if len(accuracies):
            label = f"{name}: {accuracies[-1]:.4f} at last{_not_finite(accuracies)}"
            axes.plot(epochs, accuracies, style, marker=".", color=color, label=label)
    axes.set(title="Accuracy", xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    axes.legend(loc="lower right")


def _check_lengths(name: str, places: Sequence[float], curves: Mapping[str, Sequence[float]]) -> None:
    for curve, values in curves.items():
        if len(values) not in (0, len(places)):
            raise ShapeError(f"Expected a number in {curve} for each of the {len(places)} {name}, got {len(values)}.")


def _not_finite(values: Sequence[float]) -> str:
    """What the name of a curve says of its points that cannot be drawn; nothing where there are none."""
    count = np.count_nonzero(~np.isfinite(np.asarray(values, dtype=float)))
    return f" ({count:,} of {len(values):,} not finite)" if count else ""


def smooth_curve(y: Sequence[float], window: int = 11) -> np.ndarray:
    """A curve as a moving average under a Kaiser window (beta = 2), mirrored at both ends; of the length of `y`.

    Parameters
    ----------
    y
        The curve, (N,).
    window
        The width, an odd number; 1 leaves the curve as it is. What is not finite spreads over a window.

    Examples
    --------
    >>> smooth_curve([1, 1, 4, 1, 1], window=3).round(2).tolist()
    [1.0, 1.7, 2.6, 1.7, 1.0]
    """
    if check_count("window", window) % 2 == 0:
        raise ArgumentError(f"window must be odd, so that it has a middle, got {window}. Use `window={window + 1}`.")
    curve = np.asarray(y, dtype=float)
    if curve.ndim != 1:
        raise ShapeError(f"A curve is a sequence of numbers, (N,), got shape {curve.shape}.")
    if window == 1 or curve.size == 0:
        return curve
    weights = np.kaiser(window, 2)
    return np.convolve(np.pad(curve, window // 2, mode="reflect"), weights / weights.sum(), mode="valid")


def plot_runs(
    runs: Mapping[str, Sequence[float]],
    *,
    x: Sequence[float] | None = None,
    what: str = "loss",
    smooth: int = 1,
    dashed: Collection[str] = (),
    xlabel: str | None = None,
    ylabel: str | None = None,
    ylim: tuple[float | None, float | None] | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Several curves over one axis, such as the losses of several optimizers, or what overfitting does.

    Parameters
    ----------
    runs
        Name in the legend: the curve, such as ``history.loss`` or ``history.test_acc``.
    x
        Where the numbers were taken, one for each of the longest curve; a shorter curve ends earlier. None for
        iterations from 1 (``"loss"``), or epochs from 0 (``"accuracy"``).
    what
        ``"loss"`` or ``"accuracy"``: what the axes are called and where they end, unless said otherwise.
    smooth
        The window of `smooth_curve`, in points; 1 for none.
    dashed
        The names of those to draw dashed, such as ``["test"]``.
    xlabel, ylabel, ylim
        In place of what goes with `what`; None in `ylim` for what fits.
    title, path
        As for `plot_learning_curves`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    _check_runs({"": runs}, what, x, dashed)
    figure = new_figure(path, figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    _draw_runs(axes, runs, what, x, smooth, dashed, markers=True)
    axes.set(xlabel=xlabel or _QUANTITIES[what].xlabel, ylabel=ylabel or what, title=title)
    axes.set_ylim(*(ylim or _QUANTITIES[what].ylim))
    named = axes.get_legend_handles_labels()
    heading = f"the first {_MAX_NAMED_RUNS} of {len(runs):,}" if len(runs) > _MAX_NAMED_RUNS else None
    many = {"ncols": 2, "fontsize": 7} if len(runs) > _MAX_NAMED_RUNS // 2 else {}
    axes.legend(*(part[:_MAX_NAMED_RUNS] for part in named), loc=_QUANTITIES[what].corner, title=heading, **many)
    return finished(figure, path)


def plot_grid_of_runs(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    columns: int = 4,
    x: Sequence[float] | None = None,
    what: str = "accuracy",
    smooth: int = 1,
    dashed: Collection[str] = (),
    xlabel: str | None = None,
    ylabel: str | None = None,
    ylim: tuple[float | None, float | None] | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """A grid of small panels with the same curves in each, such as with and without batch normalization.

    Parameters
    ----------
    panels
        Title of the panel, ``"W: 0.0541"``: its curves, as `plot_runs` takes them. A name has one colour in all
        panels, and stands once in the legend.
    columns
        How many panels stand side by side.
    x, what, smooth, dashed, xlabel, ylabel, ylim, title, path
        As for `plot_runs`, for all panels alike.

    Returns
    -------
    matplotlib.figure.Figure
    """
    _check_runs(panels, what, x, dashed)
    columns = check_count("columns", columns)
    figure, grid = panel_grid(
        path,
        len(panels),
        columns,
        (2.4, 2.0),
        xlabel=xlabel or _QUANTITIES[what].xlabel,
        ylabel=ylabel or what,
        sharex=True,
        sharey=True,
    )
    names = list(dict.fromkeys(name for runs in panels.values() for name in runs))
    for axes, (caption, runs) in zip(grid, panels.items(), strict=True):
        _draw_runs(axes, runs, what, x, smooth, dashed, names=names)
        axes.set_title(caption, fontsize=9)
        told = [f"{name}{_not_finite(y)}" for name, y in runs.items() if _not_finite(y)]
        axes.text(0.03, 0.97, "\n".join(told[:_MAX_TOLD_RUNS]), transform=axes.transAxes, va="top", fontsize=6)
        axes.tick_params(labelsize=8)
    grid[0].set_ylim(*(ylim or _QUANTITIES[what].ylim))
    lines = {
        name: line
        for axes, runs in zip(grid, panels.values(), strict=True)
        for name, line in zip(runs, axes.lines, strict=True)
    }
    named = names[:_MAX_NAMED_RUNS]
    beside = min(len(named), columns)
    if len(named) > 2 * columns:  # small, and each line of it adds to the height
        beside = min(columns, len(panels))
        figure.set_figheight(figure.get_figheight() + 0.16 * -(-len(named) // beside))
    heading = f"the first {_MAX_NAMED_RUNS} of {len(names):,}" if len(names) > len(named) else None
    figure.legend(
        [lines[name] for name in named],
        named,
        loc="outside lower center",
        ncols=beside,
        title=heading,
        fontsize=7 if len(named) > 2 * columns else None,
    )
    figure.suptitle(title)
    return finished(figure, path)


def _check_runs(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    what: str,
    x: Sequence[float] | None,
    dashed: Collection[str],
) -> None:
    """What is wrong with curves is said before a figure is made."""
    if what not in _QUANTITIES:
        names = " or ".join(map(repr, _QUANTITIES))
        raise ArgumentError(f"what must be {names}, got {what!r}. Name another quantity with `ylabel={what!r}`.")
    curves = [(name, y) for runs in panels.values() for name, y in runs.items()]
    if not curves:
        raise ArgumentError("There is nothing to draw: no curve was given. Give some, as in `{'SGD': history.loss}`.")
    for name, y in curves:
        if np.ndim(y) != 1:
            raise ShapeError(f"The curve {name!r} must be a sequence of numbers, (N,), got shape {np.shape(y)}.")
    longest = max(len(y) for _, y in curves)
    if x is not None and len(x) != longest:
        raise ShapeError(f"x has {len(x)} numbers, the longest curve {longest}. Give one for each of its points.")
    if unknown := set(dashed) - {name for name, _ in curves}:
        raise ArgumentError(f"dashed names {sorted(unknown)}, which are none of the curves.")


def _draw_runs(
    axes: Any,
    runs: Mapping[str, Sequence[float]],
    what: str,
    x: Sequence[float] | None,
    smooth: int,
    dashed: Collection[str],
    *,
    names: Sequence[str] = (),
    markers: bool = False,
) -> None:
    """The curves of one panel; `names` says which colour each has."""
    first = _QUANTITIES[what].first
    order = {name: i for i, name in enumerate(names or runs)}
    for name, y in runs.items():
        i = order[name]
        at = range(first, first + len(y)) if x is None else x[: len(y)]
        style: dict[str, Any] = {"color": f"C{i}", "linestyle": "--" if name in dashed else "-", "linewidth": 1.2}
        if markers:
            style |= {"marker": _MARKERS[i % len(_MARKERS)], "markersize": 4}
            style["markevery"] = max(1, len(y) // _MARKERS_A_LINE)
        axes.plot(at, smooth_curve(y, smooth), label=f"{name}{_not_finite(y)}", **style)
    axes.grid(alpha=0.3)
