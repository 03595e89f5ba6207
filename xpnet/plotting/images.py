"""Plots of images, of a network's scores for them, and of its errors."""

import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from xpnet._core.arrays import Array, as_inputs, get_array_module, to_numpy
from xpnet._core.checks import check_count, check_labels, index_labels
from xpnet.backend import asarray
from xpnet.errors import ArgumentError, DataError, ShapeError
from xpnet.layers import SigmoidWithLoss
from xpnet.networks.network import Network
from xpnet.plotting.figures import Figure, finished, new_figure

_RIGHT, _WRONG = "tab:green", "tab:red"
_MAX_CONFUSED, _CONFUSED_OF_MANY = 30, 20  # up to 30 classes are all drawn, of more 20
_MAX_LARGE_CELLS = 12  # classes with cells of 0.85 inches
_MIN_INCHES = 4.0  # width of a figure, for the text below
_MAX_NUMBERED = 20  # classes with a number at each bar; those of more would overlap
_MAX_BARS = 10  # classes shown next to a misclassified image


def plot_images(
    images: Array,
    captions: Sequence[Any] = (),
    *,
    columns: int = 10,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot a grid of grayscale images with captions (course row 6).

    Parameters
    ----------
    images
        Shape (N, H, W), (N, 1, H, W), or flattened squares (N, H*W); of any backend, bytes or floats.
    captions
        Text above each image, such as its label.
    columns
        Images per row.
    """
    pictures = _as_pictures(images)
    if not len(pictures):
        raise ShapeError(f"There is nothing to draw: images has shape {tuple(images.shape)}.")
    columns = min(check_count("columns", columns), len(pictures))
    rows = -(-len(pictures) // columns)
    figure = new_figure(path, figsize=(0.9 * columns, 1.1 * rows + 0.4), layout="constrained")
    for i, axes in enumerate(np.ravel(figure.subplots(rows, columns, squeeze=False))):
        axes.set_axis_off()
        if i < len(pictures):
            axes.imshow(pictures[i], cmap="gray_r")
            axes.set_title(str(captions[i]) if i < len(captions) else "", fontsize=11)
    return finished(figure, path, title)


def plot_scores(
    image: Array,
    scores: Array,
    *,
    label: int | None = None,
    name: str = "score",
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot an image and its scores as bars; the highest bar is green if it is the label's, else red (course row 19).

    Parameters
    ----------
    image
        One image of a shape that `plot_images` takes, without the first dimension.
    scores
        One value per class, (C,) or (1, C); of any backend.
    label
        Class of the image, if known.
    name
        Name of the scores: ``"score"``, ``"probability"``.
    """
    figure = new_figure(path, figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    left.imshow(_as_pictures(to_numpy(image)[np.newaxis])[0], cmap="gray_r")
    left.set_axis_off()
    left.set_title("the image" if label is None else f"the image, a {label}")
    highest = add_score_bars(right, np.ravel(to_numpy(scores)), label)
    result = f"no highest {name}: not all are numbers" if highest is None else f"highest {name}: {highest}"
    right.set(title=result, xlabel="class", ylabel=name)
    return finished(figure, path, title)


def add_score_bars(axes: Any, values: np.ndarray, label: int | None = None) -> int | None:
    """Draw one bar per class, the highest in green, or in red if it is not the label's.

    Returns the class of the highest bar; None if a value is NaN.
    """
    highest = None if np.isnan(values).any() else int(values.argmax())
    color = _RIGHT if label is None or highest == label else _WRONG
    heights = np.where(np.isfinite(values), values, 0)
    bars = axes.bar(range(len(values)), heights, color=[color if i == highest else "0.7" for i in range(len(values))])
    few = len(values) <= _MAX_NUMBERED
    numbers = [f"{value:.2f}" if few else "" for value in values]
    if highest is not None:
        numbers[highest] = _rounded(values[highest])
    axes.bar_label(bars, numbers, fontsize=8 if len(values) <= 12 or not few else 6, padding=2)
    if not few and highest is not None:
        bars[highest].set(edgecolor=color, linewidth=1)  # a bar may be thinner than a pixel
    axes.axhline(0, color="black", linewidth=0.8)
    axes.margins(y=0.12)
    if few:
        axes.set_xticks(range(len(values)))
    return highest


def _rounded(value: float) -> str:
    """Two decimals, or one significant digit if that would be 0.00."""
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.005 else f"{value:.1g}"


def plot_confusion_grid(
    images: Array,
    labels: Array,
    predicted: Array,
    *,
    classes: int | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot a confusion matrix with an example image and the count in each cell (course row 7).

    Rows are the true classes, columns the predictions; correct cells (the diagonal) are green, errors red. Of more than
    30 classes, the 20 with the most frequent errors are shown, and the figure states how many errors are not.

    Parameters
    ----------
    images
        N images of a shape that `plot_images` takes, or in color, (N, 3, H, W).
    labels, predicted
        True and predicted class indices, shape (N,).
    classes
        Number of classes; None for those that occur.

    Raises
    ------
    LabelError
        If a class is below 0 or not below `classes`.
    """
    pictures, true, predicted = as_color_or_gray(to_numpy(images)), to_numpy(labels), to_numpy(predicted)
    if classes is None:
        classes = int(max(true.max(initial=0), predicted.max(initial=0))) + 1
    check_count("classes", classes)
    for indices in (true, predicted):
        check_labels(indices, (len(pictures), classes))
    codes, firsts, counts = np.unique(
        true.astype(np.int64) * classes + predicted, return_index=True, return_counts=True
    )
    pairs = [divmod(int(code), classes) for code in codes]
    cells = dict(zip(pairs, zip(firsts.tolist(), counts.tolist(), strict=True), strict=True))
    shown = _most_confused(cells, classes)
    size = 0.85 if len(shown) <= _MAX_LARGE_CELLS else 0.55
    width = max(_MIN_INCHES, size * len(shown) + 1.0)
    figure = new_figure(path, figsize=(width, size * len(shown) + 1.6), layout="constrained")
    axes = figure.subplots()
    for (row, first), (column, second) in product(enumerate(shown), repeat=2):
        if (first, second) in cells:
            index, count = cells[first, second]
            _draw_cell(axes, row, column, pictures[index], count, small=size < 0.85)
    places = range(len(shown))
    axes.set(xlim=(-0.5, len(shown) - 0.5), ylim=(len(shown) - 0.5, -0.5), aspect="equal")
    axes.set_xticks(places, shown, rotation=90 if classes > 100 else 0)
    axes.set_yticks(places, shown)
    axes.set(xlabel="predicted", ylabel="true")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    note = "Below each image: the number of images in its cell."
    if len(shown) < classes:
        errors = {pair: count for pair, (_, count) in cells.items() if pair[0] != pair[1]}
        hidden = sum(count for pair, count in errors.items() if not set(pair) <= set(shown))
        note += f" Shown are the {len(shown)} of {classes:,} classes with the most frequent errors;"
        note += f" {hidden:,} of {sum(errors.values()):,} errors have other classes."
    figure.supxlabel(textwrap.fill(note, int(14 * width)), fontsize=9)
    return finished(figure, path, title)


def _most_confused(cells: Mapping[tuple[int, int], tuple[int, int]], classes: int) -> list[int]:
    """All classes if they are few, else those with the most frequent errors."""
    if classes <= _MAX_CONFUSED:
        return list(range(classes))
    errors = sorted((pair for pair in cells if pair[0] != pair[1]), key=lambda pair: -cells[pair][1])
    by_frequency = dict.fromkeys([*(k for pair in errors for k in pair), *range(classes)])
    return sorted(list(by_frequency)[:_CONFUSED_OF_MANY])


def _draw_cell(axes: Any, row: int, column: int, picture: np.ndarray, count: int, *, small: bool) -> None:
    from matplotlib.patches import Rectangle

    height, width = (0.36 * length / max(picture.shape[:2]) for length in picture.shape[:2])
    middle = row - 0.1
    extent = (column - width, column + width, middle + height, middle - height)
    axes.imshow(picture, cmap="gray_r", extent=extent)
    color = _RIGHT if row == column else _WRONG
    frame = Rectangle((extent[0], extent[3]), 2 * width, 2 * height, fill=False, edgecolor=color, linewidth=1.5)
    axes.add_patch(frame)
    axes.text(column, middle + height + 0.04, f"{count:,}", ha="center", va="top", fontsize=5 if small else 7)


def plot_misclassified(
    network: Network,
    x: Array,
    t: Array,
    *,
    limit: int = 12,
    columns: int = 4,
    class_names: Sequence[str] = (),
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Plot the images that a network classifies wrongly, ordered by its confidence, with the class probabilities.

    The bar of the label is green, that of the prediction red; of many classes the highest bars are shown. See
    `plot_confusion_grid` for the number of errors of each kind.

    Parameters
    ----------
    network
        A network with mutually exclusive classes. If it has no probabilities, its scores are plotted.
    x
        Images, (N, H*W), (N, H, W), (N, 1, H, W), or in color (N, 3, H, W); uint8 or floats, of any backend. They are
        reshaped to the network's ``input_shape`` if that is known.
    t
        Labels: class indices (N,), or rows (N, C) with the highest entry at the class.
    limit
        Maximum number of images.
    columns
        Images per row.
    class_names
        Names of the classes; by default their numbers.

    Raises
    ------
    ArgumentError
        If the network classifies all images correctly, or has no mutually exclusive classes.
    DataError
        If the network's output is not finite.
    """
    limit, columns = check_count("limit", limit), check_count("columns", columns)
    x = network.asarray(x)
    name, values = _values_by_class(network, x)
    labels = index_labels(check_labels(asarray(t, backend="numpy"), values.shape))
    predicted = values.argmax(axis=1)
    names = class_labels(class_names, values.shape[1])
    wrong = np.flatnonzero(predicted != labels)
    if not wrong.size:
        raise ArgumentError(
            f"There is nothing to draw: the network classifies all {len(labels):,} images correctly. Use other images, "
            "such as the test set: `plot_misclassified(network, x_test, t_test)`."
        )
    shown = wrong[np.argsort(-values[wrong].max(axis=1), kind="stable")][:limit]
    images = np.stack([to_numpy(x[int(i), ...]) for i in shown])
    shape = network.input_shape
    if shape is not None and len(shape) == 3 and can_reshape(images.shape[1:], shape):
        images = images.reshape(-1, *shape)
    pictures = as_color_or_gray(images)
    low, high = min(values[shown].min(), 0), max(values[shown].max(), float(name == "probability"))
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(path, figsize=(2.9 * columns, 1.75 * rows + 0.8), layout="constrained")
    for i, part in enumerate(figure.subfigures(rows, columns, squeeze=False).flat):
        if i < len(shown):
            at = shown[i]
            part.suptitle(f"{names[labels[at]]}, taken for {names[predicted[at]]}", fontsize=10)
            left, right = part.subplots(1, 2, width_ratios=(1.2, 1))
            left.imshow(pictures[i], cmap="gray_r")
            left.set_axis_off()
            _draw_classes(right, values[at], names, labels[at], predicted[at])
            right.set_xlim(low, high + 0.4 * (high - low))  # with space for the numbers
    first = f"the {len(shown)} most confident are shown" if len(shown) < wrong.size else "the most confident first"
    note = f"Wrong: {wrong.size:,} of {len(labels):,} images, {first}. "
    note += f"Bars: {name}; the true class in green, the predicted class in red."
    figure.supxlabel(textwrap.fill(note, 38 * columns), fontsize=9)
    return finished(figure, path, title)


def _values_by_class(network: Network, x: Array) -> tuple[str, np.ndarray]:
    """The probabilities of a network, (N, C), or else its scores; and their name."""
    last_layer, shape = network.last_layer, network.input_shape
    if not last_layer.classifies or isinstance(last_layer, SigmoidWithLoss):
        raise ArgumentError(
            f"{last_layer} has no mutually exclusive classes, so that one could be taken for another. Use a network "
            "that ends in `SoftmaxWithLoss()`."
        )
    batch = x
    if shape is not None and can_reshape(x.shape[1:], shape):
        batch = get_array_module(x).reshape(x, (-1, *shape))
    has_probabilities = hasattr(last_layer, "probabilities")
    values = to_numpy(network.predict_proba(batch) if has_probabilities else network.predict(batch))
    if values.ndim != 2:
        raise ShapeError(
            f"Expected images (N, ...) with one score per class, got x of shape {tuple(x.shape)}, which "
            f"gives scores of shape {values.shape}. Make one image a batch with `x[None]`."
        )
    if not (finite := np.isfinite(values).all(axis=1)).all():
        raise DataError(
            f"The network's output is not finite for {np.sum(~finite):,} of {len(finite):,} images. Find the first "
            f"such layer with `plot_activations(network, x[{finite.argmin()}])`."
        )
    return "probability" if has_probabilities else "score", values


def _draw_classes(axes: Any, values: np.ndarray, names: Sequence[str], label: int, predicted: int) -> None:
    """Draw a horizontal bar for the label and for each of the classes with the highest values."""
    others = [int(k) for k in np.argsort(-values, kind="stable") if k != label]
    shown = sorted([int(label), *others[: _MAX_BARS - 1]])
    colors = {int(predicted): _WRONG, int(label): _RIGHT}
    bars = axes.barh(range(len(shown)), values[shown], color=[colors.get(k, "0.7") for k in shown])
    axes.bar_label(bars, [_rounded(values[k]) if k in colors else "" for k in shown], fontsize=7, padding=1)
    axes.set_yticks(range(len(shown)), [names[k] for k in shown], fontsize=7)
    for k, text in zip(shown, axes.get_yticklabels(), strict=True):
        text.set(color=colors.get(k, "black"), weight="bold" if k in colors else "normal")
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def can_reshape(given: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether samples of shape `given` can be reshaped to `shape`: one is flat, or lacks a single channel.

    Axes in another order do not count.
    """
    same = tuple(given) == tuple(shape) or (1, *given) == tuple(shape)
    return same or (math.prod(given) == math.prod(shape) and 1 in (len(given), len(shape)))


def class_labels(class_names: Sequence[str], classes: int) -> Sequence[str]:
    """The names of the classes, by default their numbers."""
    class_names = [str(name) for name in class_names]  # an array has no truth value
    if class_names and len(class_names) != classes:
        raise ArgumentError(
            f"class_names has {len(class_names)} names, but the network has {classes} classes. Give one per class."
        )
    return class_names or [str(k) for k in range(classes)]


def as_color_or_gray(images: np.ndarray) -> np.ndarray:
    """Images of three channels as (N, H, W, 3), each scaled to 0..1 if it exceeds that; others as (N, H, W)."""
    if images.ndim != 4 or images.shape[1] != 3:
        return _as_pictures(images)
    colors = np.moveaxis(as_inputs(images, np.dtype("float64")), 1, -1)
    low = colors.min(axis=(1, 2, 3), keepdims=True, initial=0)
    high = colors.max(axis=(1, 2, 3), keepdims=True, initial=1)
    return (colors - low) / (high - low)


def _as_pictures(images: Array) -> np.ndarray:
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
        "Use `images.reshape(len(images), H, W)`."
    )
