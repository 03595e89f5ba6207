"""Pictures: learning curves and digits. matplotlib lives here alone, and is loaded when something is drawn."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xpnet.files import write_whole

__all__ = ["plot_learning_curves", "save_figure"]


def _new_figure(path: str | os.PathLike[str] | None, **options: Any) -> Any:
    """A figure: pyplot's, to be shown, where there is no path; else one that leaves the user's pyplot alone."""
    try:
        if path is None:
            import matplotlib.pyplot as plt

            return plt.figure(**options)
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Drawing needs matplotlib. Install it with  pip install 'xpnet[examples]' .") from error
    return Figure(**options)


def save_figure(figure: Any, path: str | os.PathLike[str] | None) -> None:
    """Write the figure, whole or not at all, in the format of the path's suffix; nothing where `path` is None."""
    if path is not None:
        picture = io.BytesIO()
        figure.savefig(picture, format=Path(path).suffix[1:] or "png", dpi=150)
        write_whole(path, picture.getvalue())


def plot_learning_curves(
    loss: Sequence[float],
    epochs: Sequence[float],
    train_acc: Sequence[float],
    test_acc: Sequence[float],
    *,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """The loss by iteration, and both accuracies by epoch, test dashed (course row 18).

    Parameters
    ----------
    loss
        One number an iteration.
    epochs
        When the accuracies were taken, in epochs.
    train_acc, test_acc
        The accuracies, 0 to 1; either may be empty.
    path
        Where to write the picture; None for a figure of pyplot's, to be shown with ``plt.show()``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = _new_figure(path, figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(range(1, len(loss) + 1), loss, linewidth=0.6, color="tab:blue")
    left.set(title="Loss of each minibatch", xlabel="iteration", ylabel="loss")
    left.set_ylim(bottom=0)
    for accuracies, name, style, color in (
        (train_acc, "train", "-", "tab:blue"),
        (test_acc, "test", "--", "tab:orange"),
    ):
        if accuracies:
            right.plot(
                epochs, accuracies, style, marker=".", color=color, label=f"{name}: {accuracies[-1]:.4f} at last"
            )
    right.set(title="Accuracy", xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    if train_acc or test_acc:
        right.legend(loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    if title:
        figure.suptitle(title)
    save_figure(figure, path)
    return figure
