"""Learning curves of one training, of several in one panel, and of groups in a grid of panels."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from xpnet._core.checks import check_count
from xpnet.errors import ArgumentError, ShapeError
from xpnet.plotting.figures import Figure, finished, new_figure, panel_grid

Runs: TypeAlias = Mapping[str, Sequence[float]]  # curves by name

_MARKERS = "osD^vXP*"
_MARKERS_PER_LINE = 15
_MAX_NAMED_RUNS = 20  # in a legend; more would make it higher than the figure
_MAX_NOTED_RUNS = 4  # with non-finite points, in a small panel
_MAX_DOTTED = 50  # points of a loss that get a dot each, since a single point has no line


class _Quantity(NamedTuple):
    """Defaults for a quantity: horizontal axis and its first value, vertical limits, corner of the legend."""

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
) -> Figure:
    """Plot the loss by iteration and the accuracies by epoch; test dashed, validation dash-dotted (course row 18).

    Parameters
    ----------
    loss
        One value per iteration.
    epochs
        Epochs at which the accuracies were computed.
    train_acc, test_acc, val_acc
        Accuracies, 0 to 1; each may be empty. If all are, they have no panel.
    val_loss, iterations
        Loss on the validation set, and the iterations after which it was computed.
    evaluated_samples
        Maximum number of samples of each set used for the accuracies, shown in the figure; None for all.
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
        for name, values, style, color in (
            ("train", train_acc, "-", "tab:blue"),
            ("test", test_acc, "--", "tab:orange"),
            ("validation", val_acc, "-.", "tab:green"),
        ):
            if len(values):
                label = f"{name}: {values[-1]:.4f} at last{_not_finite(values)}"
                right.plot(epochs, values, style, marker=".", color=color, label=label)
        right.set(title="Accuracy", xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
        right.legend(loc="lower right")
        if evaluated_samples is not None:
            right.set_title(f"Accuracy on up to {evaluated_samples:,} samples of each set")
    for axes in (left, *others):
        axes.grid(alpha=0.3)
    return finished(figure, path, title or None)


def _check_lengths(name: str, places: Sequence[float], curves: Mapping[str, Sequence[float]]) -> None:
    for curve, values in curves.items():
        if len(values) not in (0, len(places)):
            raise ShapeError(f"Expected a number in {curve} for each of the {len(places)} {name}, got {len(values)}.")


def _not_finite(values: Sequence[float]) -> str:
    """A note on the points of a curve that cannot be drawn; empty if there are none."""
    count = np.count_nonzero(~np.isfinite(np.asarray(values, dtype=float)))
    return f" ({count:,} of {len(values):,} not finite)" if count else ""


def smooth_curve(y: Sequence[float], window: int = 11) -> np.ndarray:
    """Smooth a curve by a moving average under a Kaiser window (beta = 2), mirrored at both ends; (N,) again.

    Parameters
    ----------
    y
        The curve, shape (N,).
    window
        Odd width of the window; 1 leaves the curve as it is. Non-finite values spread over a window.

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
    runs: Runs,
    *,
    x: Sequence[float] | None = None,
    quantity: str = "loss",
    smooth: int = 1,
    dashed: Collection[str] = (),
    xlabel: str | None = None,
    ylabel: str | None = None,
    ylim: tuple[float | None, float | None] | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot several curves over one axis, such as the losses of several optimizers.

    Parameters
    ----------
    runs
        Curves by name in the legend, such as ``history.loss`` or ``history.test_acc``.
    x
        Horizontal positions, one for each point of the longest curve; None for iterations from 1 (``"loss"``) or epochs
        from 0 (``"accuracy"``).
    quantity
        ``"loss"`` or ``"accuracy"``; sets the default labels and limits.
    smooth
        Window of `smooth_curve` in points; 1 for none.
    dashed
        Names of the curves to draw dashed, such as ``["test"]``.
    xlabel, ylabel, ylim
        Override the defaults of `quantity`; None in `ylim` for automatic limits.
    """
    _check_runs({"": runs}, quantity, x, dashed)
    figure = new_figure(path, figsize=(8, 4.8), layout="constrained")
    axes = figure.subplots()
    _draw_runs(axes, runs, quantity, x, smooth, dashed, markers=True)
    defaults = _QUANTITIES[quantity]
    axes.set(xlabel=xlabel or defaults.xlabel, ylabel=ylabel or quantity, title=title)
    axes.set_ylim(*(ylim or defaults.ylim))
    named = axes.get_legend_handles_labels()
    heading = f"the first {_MAX_NAMED_RUNS} of {len(runs):,}" if len(runs) > _MAX_NAMED_RUNS else None
    many = {"ncols": 2, "fontsize": 7} if len(runs) > _MAX_NAMED_RUNS // 2 else {}
    axes.legend(*(part[:_MAX_NAMED_RUNS] for part in named), loc=defaults.corner, title=heading, **many)
    return finished(figure, path)


def plot_run_grid(
    panels: Mapping[str, Runs],
    *,
    columns: int = 4,
    x: Sequence[float] | None = None,
    quantity: str = "accuracy",
    smooth: int = 1,
    dashed: Collection[str] = (),
    xlabel: str | None = None,
    ylabel: str | None = None,
    ylim: tuple[float | None, float | None] | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot a grid of small panels with the same curves in each, such as with and without batch normalization.

    Parameters
    ----------
    panels
        By title of the panel, such as ``"W: 0.0541"``: its curves, see `plot_runs`. A name has the same color in all
        panels and one entry in the legend.
    columns
        Panels per row.
    x, quantity, smooth, dashed, xlabel, ylabel, ylim, title, path
        See `plot_runs`; they apply to all panels.
    """
    _check_runs(panels, quantity, x, dashed)
    columns, defaults = check_count("columns", columns), _QUANTITIES[quantity]
    labels = {"xlabel": xlabel or defaults.xlabel, "ylabel": ylabel or quantity}
    figure, grid = panel_grid(path, len(panels), columns, (2.4, 2.0), **labels, sharex=True, sharey=True)
    names = list(dict.fromkeys(name for runs in panels.values() for name in runs))
    lines: dict[str, Any] = {}
    for axes, (caption, runs) in zip(grid, panels.items(), strict=True):
        _draw_runs(axes, runs, quantity, x, smooth, dashed, names=names)
        lines |= dict(zip(runs, axes.lines, strict=True))
        axes.set_title(caption, fontsize=9)
        notes = [f"{name}{_not_finite(y)}" for name, y in runs.items() if _not_finite(y)]
        axes.text(0.03, 0.97, "\n".join(notes[:_MAX_NOTED_RUNS]), transform=axes.transAxes, va="top", fontsize=6)
        axes.tick_params(labelsize=8)
    grid[0].set_ylim(*(ylim or defaults.ylim))
    named = names[:_MAX_NAMED_RUNS]
    legend: dict[str, Any] = {"ncols": min(len(named), columns)}
    if len(named) > 2 * columns:  # small letters, and a figure that is higher by the lines of the legend
        legend = {"ncols": min(columns, len(panels)), "fontsize": 7}
        figure.set_figheight(figure.get_figheight() + 0.16 * -(-len(named) // legend["ncols"]))
    heading = f"the first {_MAX_NAMED_RUNS} of {len(names):,}" if len(names) > len(named) else None
    figure.legend([lines[name] for name in named], named, loc="outside lower center", title=heading, **legend)
    return finished(figure, path, title)


def _check_runs(panels: Mapping[str, Runs], quantity: str, x: Sequence[float] | None, dashed: Collection[str]) -> None:
    if quantity not in _QUANTITIES:
        names = " or ".join(map(repr, _QUANTITIES))
        raise ArgumentError(
            f"quantity must be {names}, got {quantity!r}. Name another quantity with `ylabel={quantity!r}`."
        )
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
    runs: Runs,
    quantity: str,
    x: Sequence[float] | None,
    smooth: int,
    dashed: Collection[str],
    *,
    names: Sequence[str] = (),
    markers: bool = False,
) -> None:
    """Draw the curves of one panel; their positions in `names` determine their colors."""
    first = _QUANTITIES[quantity].first
    order = {name: i for i, name in enumerate(names or runs)}
    for name, y in runs.items():
        i = order[name]
        at = range(first, first + len(y)) if x is None else x[: len(y)]
        style: dict[str, Any] = {"color": f"C{i}", "linestyle": "--" if name in dashed else "-", "linewidth": 1.2}
        if markers:
            style |= {"marker": _MARKERS[i % len(_MARKERS)], "markersize": 4}
            style["markevery"] = max(1, len(y) // _MARKERS_PER_LINE)
        axes.plot(at, smooth_curve(y, smooth), label=f"{name}{_not_finite(y)}", **style)
    axes.grid(alpha=0.3)
