"""Images of digits, what a network says of them, and where it errs."""

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
from xpnet.plotting.figures import finished, new_figure

__all__ = [
    "add_score_bars",
    "as_colours_or_grey",
    "is_form_of",
    "names_of_classes",
    "plot_confusions",
    "plot_digits",
    "plot_misclassified",
    "plot_scores",
]

_RIGHT, _WRONG = "tab:green", "tab:red"
_MAX_CONFUSED, _CONFUSED_OF_MANY = 30, 20  # classes of which all confusions are drawn; how many of them, of more
_MAX_LARGE_CELLS = 12  # classes whose confusions have cells of 0.85 inches
_MIN_INCHES = 4.0  # of a figure's width, so that there is a place for what it says
_MOST_NUMBERED = 20  # classes that have a number at each bar; those of more would lie one on the other
_MOST_BARS = 10  # classes that are shown beside an image that is misclassified


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
        As for `xpnet.plotting.plot_learning_curves`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    pictures = _as_pictures(images)
    if not len(pictures):
        raise ShapeError(f"There is nothing to draw: images of shape {tuple(images.shape)} are none.")
    columns = min(check_count("columns", columns), len(pictures))
    rows = -(-len(pictures) // columns)
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
        As for `xpnet.plotting.plot_learning_curves`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(path, figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    left.imshow(_as_pictures(to_numpy(image)[np.newaxis])[0], cmap="gray_r")
    left.set_axis_off()
    left.set_title("the image" if label is None else f"the image, a {label}")
    highest = add_score_bars(right, np.ravel(to_numpy(scores)), label)
    told = f"no highest {name}: not all are numbers" if highest is None else f"highest {name}: {highest}"
    right.set(title=told, xlabel="class", ylabel=name)
    figure.suptitle(title)
    return finished(figure, path)


def add_score_bars(axes: Any, values: np.ndarray, label: int | None = None) -> int | None:
    """Draw a bar a class, the highest in green, or in red where it is not at the label.

    Returns the class of the highest; None, where one is NaN, and none is higher than the others.
    """
    highest = None if np.isnan(values).any() else int(values.argmax())
    color = _RIGHT if label is None or highest == label else _WRONG
    heights = np.where(np.isfinite(values), values, 0)
    bars = axes.bar(range(len(values)), heights, color=[color if i == highest else "0.7" for i in range(len(values))])
    few = len(values) <= _MOST_NUMBERED
    numbers = [f"{value:.2f}" if few else "" for value in values]
    if highest is not None:
        numbers[highest] = _rounded(values[highest])
    axes.bar_label(bars, numbers, fontsize=8 if len(values) <= 12 or not few else 6, padding=2)
    if not few and highest is not None:
        bars[highest].set(edgecolor=color, linewidth=1)  # of 1,000 bars each is thinner than a pixel
    axes.axhline(0, color="black", linewidth=0.8)
    axes.margins(y=0.12)
    if few:
        axes.set_xticks(range(len(values)))
    return highest


def _rounded(value: float) -> str:
    """Two places; of what would be 0.00 in them two digits."""
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.005 else f"{value:.1g}"


def plot_confusions(
    images: Array,
    labels: Array,
    predicted: Array,
    *,
    classes: int | None = None,
    title: str = "",
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """One image of each kind: a row for what it is, a column for what was said; with how many there are of the kind.

    Those on the diagonal are right (green), all others are the kinds of error that occur (red) (course row 7). Of more
    than 30 classes the 20 with the most frequent errors are shown, and the figure says how many errors are not.

    Parameters
    ----------
    images
        N images, in a form that `plot_digits` takes, or in color, (N, 3, H, W).
    labels, predicted
        What each is and what was said of it, class indices (N,).
    classes
        The number of classes; None for as many as occur.
    title, path
        As for `xpnet.plotting.plot_learning_curves`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    LabelError
        Where `labels` or `predicted` has a class below 0 or not below `classes`.
    """
    pictures, is_, said = as_colours_or_grey(to_numpy(images)), to_numpy(labels), to_numpy(predicted)
    if classes is None:
        classes = int(max(is_.max(initial=0), said.max(initial=0))) + 1
    check_count("classes", classes)
    for indices in (is_, said):
        check_labels(indices, (len(pictures), classes))
    kinds, firsts, counts = np.unique(is_.astype(np.int64) * classes + said, return_index=True, return_counts=True)
    kinds_of_two = [(int(kind) // classes, int(kind) % classes) for kind in kinds]
    of_kind = dict(zip(kinds_of_two, zip(firsts.tolist(), counts.tolist(), strict=True), strict=True))
    shown = _most_confused(of_kind, classes)
    size = 0.85 if len(shown) <= _MAX_LARGE_CELLS else 0.55
    width = max(_MIN_INCHES, size * len(shown) + 1.0)
    figure = new_figure(path, figsize=(width, size * len(shown) + 1.6), layout="constrained")
    axes = figure.subplots()
    for (row, first), (column, second) in product(enumerate(shown), repeat=2):
        if (first, second) in of_kind:
            index, count = of_kind[first, second]
            _draw_kind(axes, row, column, pictures[index], count, small=size < 0.85)
    places = range(len(shown))
    axes.set(xlim=(-0.5, len(shown) - 0.5), ylim=(len(shown) - 0.5, -0.5), aspect="equal")
    axes.set_xticks(places, shown, rotation=90 if classes > 100 else 0)
    axes.set_yticks(places, shown)
    axes.set(xlabel="the network says", ylabel="it is")
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    told = "Below each image: how many there are of its kind."
    if len(shown) < classes:
        errors = {kind: count for kind, (_, count) in of_kind.items() if kind[0] != kind[1]}
        hidden = sum(count for kind, count in errors.items() if not set(kind) <= set(shown))
        told += f" Here are the {len(shown)} of {classes:,} classes with the most frequent errors;"
        told += f" {hidden:,} of {sum(errors.values()):,} errors have other classes."
    figure.supxlabel(textwrap.fill(told, int(14 * width)), fontsize=9)
    figure.suptitle(title)
    return finished(figure, path)


def _most_confused(of_kind: Mapping[tuple[int, int], tuple[int, int]], classes: int) -> list[int]:
    """The classes to show: all, where they are few, else those of the kinds of error that are most frequent."""
    if classes <= _MAX_CONFUSED:
        return list(range(classes))
    errors = sorted((kind for kind in of_kind if kind[0] != kind[1]), key=lambda kind: -of_kind[kind][1])
    by_frequency = dict.fromkeys([*(k for kind in errors for k in kind), *range(classes)])
    return sorted(list(by_frequency)[:_CONFUSED_OF_MANY])


def _draw_kind(axes: Any, row: int, column: int, picture: np.ndarray, count: int, *, small: bool) -> None:
    """An image in its frame, at a place of one by one, and the number below it."""
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
) -> Any:
    """The images that a network gets wrong, first those of which it is surest, each beside the classes' probabilities.

    The label's bar is green, that of the network's answer red; of many classes those of the highest bars are shown. How
    many errors there are of each kind is shown by `plot_confusions`.

    Parameters
    ----------
    network
        A network whose classes exclude each other; scores stand for probabilities where it gives none.
    x
        Images, (N, H*W), (N, H, W), (N, 1, H, W), or in colour (N, 3, H, W); uint8 or floats, of any backend. They go
        through the network in its ``input_shape``, where that is known.
    t
        What they are: class indices (N,), or rows (N, C), of which the highest entry is the class.
    limit
        How many to show at most.
    columns
        How many stand side by side.
    class_names
        What the classes are called; none for their numbers.
    title, path
        As for `xpnet.plotting.plot_learning_curves`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        Where the network is right about all of them, or has no classes that exclude each other.
    DataError
        Where the network's answers are not finite.
    """
    limit, columns = check_count("limit", limit), check_count("columns", columns)
    x = network.asarray(x)
    name, values = _values_by_class(network, x)
    labels = index_labels(check_labels(asarray(t, backend="numpy"), values.shape))
    predicted = values.argmax(axis=1)
    called = names_of_classes(class_names, values.shape[1])
    wrong = np.flatnonzero(predicted != labels)
    if not wrong.size:
        raise ArgumentError(
            f"There is nothing to draw: the network is right about all {len(labels):,} images. Give it others, such as "
            "those of the test set, with `plot_misclassified(network, x_test, t_test)`."
        )
    surest = wrong[np.argsort(-values[wrong].max(axis=1), kind="stable")][:limit]
    images = np.stack([to_numpy(x[int(i), ...]) for i in surest])
    shape = network.input_shape
    if shape is not None and len(shape) == 3 and is_form_of(images.shape[1:], shape):
        images = images.reshape(-1, *shape)
    pictures = as_colours_or_grey(images)
    low, high = min(values[surest].min(), 0), max(values[surest].max(), float(name == "probability"))
    columns = min(columns, len(surest))
    rows = -(-len(surest) // columns)
    figure = new_figure(path, figsize=(2.9 * columns, 1.75 * rows + 0.8), layout="constrained")
    for i, part in enumerate(figure.subfigures(rows, columns, squeeze=False).flat):
        if i < len(surest):
            at = surest[i]
            part.suptitle(f"{called[labels[at]]}, taken for {called[predicted[at]]}", fontsize=10)
            left, right = part.subplots(1, 2, width_ratios=(1.2, 1))
            left.imshow(pictures[i], cmap="gray_r")
            left.set_axis_off()
            _draw_classes(right, values[at], called, labels[at], predicted[at])
            right.set_xlim(low, high + 0.4 * (high - low))  # the same for all, with a place for the numbers
    first = f"here the {len(surest)} of which the network is surest" if len(surest) < wrong.size else "the surest first"
    told = f"Wrong: {wrong.size:,} of {len(labels):,} images, {first}. "
    told += f"Bars: {name}; what it is in green, what the network says in red."
    figure.supxlabel(textwrap.fill(told, 38 * columns), fontsize=9)
    figure.suptitle(title)
    return finished(figure, path)


def _values_by_class(network: Network, x: Array) -> tuple[str, np.ndarray]:
    """The probabilities that a network gives, (N, C), or else its scores; and what they are called."""
    last_layer, shape = network.last_layer, network.input_shape
    if not last_layer.classifies or isinstance(last_layer, SigmoidWithLoss):
        raise ArgumentError(
            f"{last_layer} has no classes that exclude each other, so that one could be taken for another. Give a "
            "network that ends in `SoftmaxWithLoss()`."
        )
    batch = x
    if shape is not None and is_form_of(x.shape[1:], shape):
        batch = get_array_module(x).reshape(x, (-1, *shape))
    has_probabilities = hasattr(last_layer, "probabilities")
    values = to_numpy(network.predict_proba(batch) if has_probabilities else network.predict(batch))
    if values.ndim != 2:
        raise ShapeError(
            f"Expected images (N, ...), of which each has one score a class, got x of shape {tuple(x.shape)}, which "
            f"gives scores of shape {values.shape}. Make one image a batch with `x[None]`."
        )
    if not (finite := np.isfinite(values).all(axis=1)).all():
        raise DataError(
            f"The network's answers are not finite for {np.sum(~finite):,} of {len(finite):,} images. Look where that "
            f"begins with `plot_activations(network, x[{finite.argmin()}])`."
        )
    return "probability" if has_probabilities else "score", values


def _draw_classes(axes: Any, values: np.ndarray, called: Sequence[str], label: int, predicted: int) -> None:
    """A horizontal bar a class, of the highest ones where there are many, the label's among them."""
    others = [int(k) for k in np.argsort(-values, kind="stable") if k != label]
    shown = sorted([int(label), *others[: _MOST_BARS - 1]])
    colors = {int(predicted): _WRONG, int(label): _RIGHT}
    bars = axes.barh(range(len(shown)), values[shown], color=[colors.get(k, "0.7") for k in shown])
    axes.bar_label(bars, [_rounded(values[k]) if k in colors else "" for k in shown], fontsize=7, padding=1)
    axes.set_yticks(range(len(shown)), [called[k] for k in shown], fontsize=7)
    for k, text in zip(shown, axes.get_yticklabels(), strict=True):
        text.set(color=colors.get(k, "black"), weight="bold" if k in colors else "normal")
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def is_form_of(given: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a sample of shape `given` can be seen as one of `shape`: one is flat, or a single channel is left out.

    Axes in another order have as many numbers, and are no such form.
    """
    same = tuple(given) == tuple(shape) or (1, *given) == tuple(shape)
    return same or (math.prod(given) == math.prod(shape) and 1 in (len(given), len(shape)))


def names_of_classes(class_names: Sequence[str], classes: int) -> Sequence[str]:
    """What each class is called: as is said, else by its number."""
    class_names = [str(name) for name in class_names]  # an array of them has no truth value
    if class_names and len(class_names) != classes:
        raise ArgumentError(
            f"class_names has {len(class_names)} names, but the network has {classes} classes. Give one a class."
        )
    return class_names or [str(k) for k in range(classes)]


def as_colours_or_grey(images: np.ndarray) -> np.ndarray:
    """Images of three channels as (N, H, W, 3), from 0 to 1, each stretched where it goes beyond; others (N, H, W)."""
    if images.ndim != 4 or images.shape[1] != 3:
        return _as_pictures(images)
    colours = np.moveaxis(as_inputs(images, np.dtype("float64")), 1, -1)
    low, high = (f(colours, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    low, high = np.minimum(low, 0), np.maximum(high, 1)
    return (colours - low) / (high - low)


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
        "Give them their shape with `images.reshape(len(images), H, W)`."
    )
