"""Images of digits, what a network says of them, and where it errs."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnet.backend import Array, to_numpy
from xpnet.drawing.figures import finished, new_figure
from xpnet.errors import ShapeError

__all__ = ["plot_confusions", "plot_digits", "plot_scores"]

_RIGHT, _WRONG = "tab:green", "tab:red"


def plot_digits(
    images: Array,
    captions: Sequence[Any] = (),
    *,
    columns: int = 10,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """A grid of images in grey, each with its caption (course row 6).

    Parameters
    ----------
    images
        (N, H, W), (N, 1, H, W), or square ones flattened, (N, H*W); of any backend, bytes or floats.
    captions
        What to write above each, such as its label; none for none.
    columns
        How many stand side by side.
    title, path
        As for `xpnet.drawing.plot_learning_curves`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    pictures = _as_pictures(images)
    rows, columns = -(-len(pictures) // columns), min(columns, len(pictures))
    figure = new_figure(path, figsize=(0.9 * columns, 1.1 * rows + 0.4), layout="constrained")
    for i, axes in enumerate(np.ravel(figure.subplots(rows, columns, squeeze=False))):
        axes.set_axis_off()
        if i < len(pictures):
            axes.imshow(pictures[i], cmap="gray_r")
            axes.set_title(str(captions[i]) if i < len(captions) else "", fontsize=11)
    figure.suptitle(title)
    return finished(figure, path)


def plot_scores(
    image: Array,
    scores: Array,
    *,
    label: int | None = None,
    name: str = "score",
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """An image beside its scores as a bar chart; the highest bar is green where it is at the label, else red (row 19).

    Parameters
    ----------
    image
        One image, in a form that `plot_digits` takes without its first dimension.
    scores
        One number a class, (C,) or (1, C); of any backend.
    label
        What the image is, where that is known.
    name
        What the scores are called: ``"score"``, ``"probability"``.
    title, path
        As for `xpnet.drawing.plot_learning_curves`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    values = np.ravel(to_numpy(scores))
    highest = int(values.argmax())
    figure = new_figure(path, figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    left.imshow(_as_pictures(to_numpy(image)[np.newaxis])[0], cmap="gray_r")
    left.set_axis_off()
    left.set_title("the image" if label is None else f"the image, a {label}")
    color = _RIGHT if label is None or highest == label else _WRONG
    bars = right.bar(range(len(values)), values, color=[color if i == highest else "0.7" for i in range(len(values))])
    right.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=8, padding=2)
    right.axhline(0, color="black", linewidth=0.8)
    right.margins(y=0.12)
    right.set(title=f"highest {name}: {highest}", xlabel="class", ylabel=name, xticks=range(len(values)))
    figure.suptitle(title)
    return finished(figure, path)


def plot_confusions(
    images: Array,
    labels: Array,
    predicted: Array,
    *,
    classes: int = 10,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """One image of each kind: a row for what it is, a column for what was said; with how many there are of the kind.

    Those on the diagonal are right (green), all others are the kinds of error that occur (red) (course row 7).

    Parameters
    ----------
    images
        N images, in a form that `plot_digits` takes.
    labels, predicted
        What each is and what was said of it, class indices (N,).
    classes
        The number of classes.
    title, path
        As for `xpnet.drawing.plot_learning_curves`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    pictures, labels, predicted = _as_pictures(images), to_numpy(labels), to_numpy(predicted)
    figure = new_figure(path, figsize=(0.85 * classes, 0.95 * classes), layout="constrained")
    grid = figure.subplots(classes, classes, squeeze=False)
    for is_, said in np.ndindex(classes, classes):
        axes, found = grid[is_, said], np.flatnonzero((labels == is_) & (predicted == said))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        if found.size:
            axes.imshow(pictures[found[0]], cmap="gray_r")
            axes.spines[:].set(visible=True, color=_RIGHT if is_ == said else _WRONG, linewidth=1.5)
            axes.set_xlabel(f"{found.size:,}", fontsize=7, labelpad=1)
        if is_ == 0:
            axes.set_title(str(said))
        if said == 0:
            axes.set_ylabel(str(is_), rotation=0, labelpad=10, va="center", fontsize=12)
    figure.supxlabel("the network says (above each column); below each image, how many there are of its kind")
    figure.supylabel("it is")
    figure.suptitle(title)
    return finished(figure, path)


def _as_pictures(images: Array) -> np.ndarray:
    """Images as (N, H, W)."""
    pictures = to_numpy(images)
    if pictures.ndim == 4 and pictures.shape[1] == 1:
        return pictures[:, 0]
    side = math.isqrt(pictures.shape[-1])
    if pictures.ndim == 2 and side**2 == pictures.shape[1]:
        return pictures.reshape(len(pictures), side, side)
    if pictures.ndim == 3:
        return pictures
    raise ShapeError(
        f"Expected images of shape (N, H, W), (N, 1, H, W) or (N, H*W) with H = W, got {pictures.shape}. "
        "Give them their shape with  images.reshape(len(images), H, W) ."
    )
