"""The plot of the comparison: samples per second against batch, and where a GPU overtakes a CPU."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.bench.report import MODES, Report, Row, Timing
from xpnet.errors import ArgumentError
from xpnet.plotting import new_figure, save_figure

_MARKERS = "osD^vPX"
_HOW_TO_READ = "Higher is faster. Lines: medians; bars: slowest to fastest repeat; hollow: disturbed by other programs."


def crossover(batches: Sequence[float], a: Sequence[float], b: Sequence[float]) -> float | None:
    """The first batch at which two lines meet, interpolated linearly in a log-log plot; None if one is always ahead.

    `a` and `b` are samples per second at each of the ascending `batches`; all are above 0.

    Examples
    --------
    >>> crossover([10, 1000], a=[100.0, 100.0], b=[10.0, 1000.0])
    100.0
    >>> crossover([10, 1000], a=[100.0, 100.0], b=[10.0, 50.0]) is None
    True
    """
    ahead = [math.log10(of_a) - math.log10(of_b) for of_a, of_b in zip(a, b, strict=True)]
    for i, lead in enumerate(ahead):
        if lead == 0:
            return float(batches[i])
        if i + 1 < len(ahead) and lead * ahead[i + 1] < 0:
            start, end = math.log10(batches[i]), math.log10(batches[i + 1])
            return 10.0 ** (start + lead / (lead - ahead[i + 1]) * (end - start))
    return None


def crossovers(rows: Sequence[Row], mode: str) -> list[tuple[str, str, float, float]]:
    """Where the lines of a CPU and of a GPU meet: both names, the batch, the samples per second."""
    lines = _lines(rows, mode)
    met = []
    for (on_cpu, kind), slow in lines.items():
        for (on_gpu, other_kind), fast in lines.items():
            batches = sorted(set(slow) & set(fast))
            if (kind, other_kind) != ("CPU", "GPU") or not batches:
                continue
            speeds = ([line[n].samples_per_second for n in batches] for line in (slow, fast))
            at = crossover(batches, *speeds)
            if at is not None:
                points = sorted((math.log(n), math.log(timing.samples_per_second)) for n, timing in slow.items())
                met.append((on_cpu, on_gpu, at, math.exp(np.interp(math.log(at), *np.transpose(points)))))
    return met


def plot_report(report: Report, path: str | os.PathLike[str]) -> Any:
    """Draw and write the plot, in the format of the path's suffix; returns the matplotlib figure.

    Each network has a row of panels for training and one for inference, each width a column. Lines join the medians,
    bars span the slowest to the fastest repeat, hollow markers are disturbed. A star marks where the lines of a CPU and
    a GPU meet.
    """
    rows = [
        (network, mode)
        for network in dict.fromkeys(row.case.network for row in report.rows)
        for mode in MODES
        if any(row.case.network == network and mode in row.timings for row in report.rows)
    ]
    widths = list(dict.fromkeys(row.case.width for row in report.rows))
    shape = (max(1, len(rows)), max(1, len(widths)))
    figure = new_figure(path, figsize=(1.5 + 3.6 * shape[1], 1.5 + 2.7 * shape[0]), layout="constrained")
    panels = figure.subplots(*shape, squeeze=False)
    styles = {name: (f"C{i}", _MARKERS[i % len(_MARKERS)]) for i, name in enumerate(report.devices)}
    for i, (network, mode) in enumerate(rows):
        for j, width in enumerate(widths):
            of_panel = [row for row in report.rows if (row.case.network, row.case.width) == (network, width)]
            _draw_panel(panels[i, j], of_panel, mode, styles)
            panels[i, j].set_title(f"{network}, width {width}: {mode}", fontsize=10)
        panels[i, 0].set_ylabel("samples per second")
    for axes in panels[-1]:
        axes.set_xlabel("batch")
    handles = {handle.get_label(): handle for axes in panels.flat for handle in axes.get_legend_handles_labels()[0]}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    figure.suptitle("\n".join([*report.devices.values(), _HOW_TO_READ]), fontsize=8)
    save_figure(figure, path)
    return figure


def check_plot(path: str | os.PathLike[str]) -> None:
    """Raise if the plot could not be drawn; to be called before anything is measured."""
    suffix = Path(path).suffix[1:].lower() or "png"
    try:
        formats = new_figure(path).canvas.get_supported_filetypes()
    except ImportError as error:
        raise ArgumentError("A plot needs matplotlib. Install it with `pip install '.[plot]'`.") from error
    if suffix not in formats:
        raise ArgumentError(f"There is no image format .{suffix}; there are .{', .'.join(sorted(formats))}.")


def _draw_panel(axes: Any, rows: Sequence[Row], mode: str, styles: dict[str, tuple[str, str]]) -> None:
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    for (name, _), line in _lines(rows, mode).items():
        batches = sorted(line)
        color, marker = styles[name]
        axes.plot(batches, [line[n].samples_per_second for n in batches], marker=marker, color=color, label=name)
        for n in batches:
            timing = line[n]
            speeds = [1e6 * n / timing.max_us, 1e6 * n / timing.min_us]
            axes.plot([n, n], speeds, color=color, linewidth=3, alpha=0.35)
            if timing.disturbed:
                axes.plot(
                    [n], [timing.samples_per_second], marker=marker, color=color, markerfacecolor="white", linestyle=""
                )
    for on_cpu, on_gpu, at, speed in crossovers(rows, mode):
        axes.plot(at, speed, "*", color="black", markersize=11)
        axes.annotate(f"{on_gpu} meets {on_cpu}\nat batch {at:,.0f}", (at, speed), fontsize=7)
    axes.set(xscale="log", yscale="log")
    batches = sorted({row.case.batch for row in rows})
    axes.set_xticks(batches, [f"{n:,}" for n in batches])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def _lines(rows: Sequence[Row], mode: str) -> dict[tuple[str, str], dict[int, Timing]]:
    """The timings by batch, for each candidate and its device kind."""
    lines: dict[tuple[str, str], dict[int, Timing]] = {}
    for row in rows:
        timing = row.timings.get(mode)
        if timing is not None and timing.seconds and not row.error:
            lines.setdefault((row.backend, row.device_kind), {})[row.case.batch] = timing
    return lines
