"""A figure, its grid of panels, and how it is written."""

import io
import os
from pathlib import Path
from typing import Any

from xpnet.files import check_path, write_whole

__all__ = ["finished", "new_figure", "panel_grid", "save_figure"]


def new_figure(path: str | os.PathLike[str] | None, **options: Any) -> Any:
    """A figure: pyplot's, to be shown, where there is no path; else one that leaves the user's pyplot alone."""
    try:
        if path is None:
            import matplotlib.pyplot as plt

            return plt.figure(**options)
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Drawing needs matplotlib. Install it with  pip install 'xpnet[examples]' .") from error
    return Figure(**options)


def panel_grid(
    path: str | os.PathLike[str] | None,
    count: int,
    columns: int,
    size: tuple[float, float],
    *,
    xlabel: str = "",
    ylabel: str = "",
    **options: Any,
) -> tuple[Any, list[Any]]:
    """A figure and `count` panels of it, row by row, each of `size` inches; places that are left over stay empty.

    The axes are named below the lowest panel of each column and left of the first of each row. `options` go to
    matplotlib's ``Figure.subplots``.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new_figure(path, figsize=(size[0] * columns, size[1] * rows + 0.5), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for empty in panels[count:]:
        empty.remove()
    for i, axes in enumerate(panels[:count]):
        if i + columns >= count:
            axes.set_xlabel(xlabel)
            axes.tick_params(labelbottom=True)  # where axes are shared, only the lowest row of the grid has numbers
        if i % columns == 0:
            axes.set_ylabel(ylabel)
    return figure, panels[:count]


def save_figure(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a matplotlib figure, whole or not at all, in the format of the path's suffix; returns the path."""
    target, picture = check_path("path", path), io.BytesIO()
    figure.savefig(picture, format=target.suffix[1:] or "png", dpi=150)
    return write_whole(target, picture.getvalue())


def finished(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    """The figure, written where there is a path."""
    if path is not None:
        save_figure(figure, path)
    return figure
