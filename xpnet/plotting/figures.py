"""Figures, grids of panels, and writing them to files."""

import io
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from xpnet._core.files import check_path, write_whole

if TYPE_CHECKING:
    import matplotlib.figure

Figure: TypeAlias = "matplotlib.figure.Figure"


def new_figure(path: str | os.PathLike[str] | None = None, **options: Any) -> Any:
    """Make a pyplot figure, to be shown, or with a `path` a figure that pyplot does not keep."""
    try:
        _import_matplotlib()
        from matplotlib import pyplot
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Plots need matplotlib. Install it with `pip install '.[plot]'`.") from error
    return pyplot.figure(**options) if path is None else Figure(**options)


def _import_matplotlib() -> None:
    """Import matplotlib even if `MPLBACKEND` names a backend that is not installed.

    A notebook sets it to its own module and passes it on to programs started by its cells, which may run in an
    environment without that module. matplotlib then cannot be imported, not even to draw to a file.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend and not (backend.startswith("module://") and find_spec(backend[9:].partition(".")[0]) is None):
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


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
    """Make a figure of `count` panels of `size` inches each, row by row; return the figure and the panels.

    The lowest panel of each column and the first of each row have labels. `options` go to ``Figure.subplots``.
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
            axes.tick_params(labelbottom=True)  # shared axes have numbers only in the last row of the grid
        if i % columns == 0:
            axes.set_ylabel(ylabel)
    return figure, panels[:count]


def save_figure(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a matplotlib figure atomically, in the format of the path's suffix; return the path."""
    target, picture = check_path("path", path), io.BytesIO()
    figure.savefig(picture, format=target.suffix[1:] or "png", dpi=150)
    return write_whole(target, picture.getvalue())


def finished(figure: Any, path: str | os.PathLike[str] | None, title: str | None = None) -> Any:
    """Set the title, write the figure if there is a path, and return it."""
    if title is not None:
        figure.suptitle(title)
    if path is not None:
        save_figure(figure, path)
    return figure
