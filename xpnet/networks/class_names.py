"""Class names: labels that are words, and their class indices."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnet.errors import ArgumentError, LabelError, ShapeError
from xpnet.layers import LossLayer, SigmoidWithLoss


def has_exclusive_classes(last_layer: LossLayer) -> bool:
    """Whether each output is a class, and a sample has one of them."""
    return last_layer.classifies and not isinstance(last_layer, SigmoidWithLoss)


def check_class_count(classes: Sequence[str], outputs: int, last_layer: LossLayer) -> None:
    """Check that there is an output for each class."""
    if not has_exclusive_classes(last_layer):
        raise ArgumentError(
            f"The outputs of {last_layer} are no classes that exclude each other, so they have no names. Use "
            "`SoftmaxWithLoss()` as last layer."
        )
    if len(classes) != outputs:
        raise ArgumentError(
            f"Expected {outputs} classes, one for each output of the network, got {len(classes)}: "
            f"{', '.join(map(repr, classes)):.200}. Name all of them in the order of the outputs, or "
            f"make a network with {len(classes)} outputs."
        )


def without_words(t: Any, classes: Sequence[str] | None) -> Any:
    """Class indices in place of words, where the classes have names; other targets as they are."""
    if classes is None:
        return t
    is_list = isinstance(t, list | tuple) and bool(t) and isinstance(t[0], str)
    words = np.asarray(t) if is_list or isinstance(t, str) else t
    return class_indices(words, classes) if are_words(words) else t


def are_words(t: Any) -> bool:
    """Whether labels are words: a NumPy array of strings, or of objects with a string among them."""
    if not isinstance(t, np.ndarray):
        return False
    return t.dtype.kind in "UT" or (t.dtype.kind == "O" and any(isinstance(word, str) for word in t.flat))


def check_classes(classes: Any) -> tuple[str, ...]:
    """Class names as a tuple of at least one word; an ArgumentError if two are equal."""
    words = () if isinstance(classes, str) or not hasattr(classes, "__iter__") else tuple(classes)
    if not words or not all(isinstance(word, str) for word in words):
        raise ArgumentError(f"classes must be a list of words, such as `['cat', 'dog']`, got {classes!r:.80}.")
    if len(set(words)) < len(words):
        twice = next(word for word in words if words.count(word) > 1)
        raise ArgumentError(f"classes must be different words, got {twice!r} twice.")
    return tuple(str(word) for word in words)


def classes_in(t: np.ndarray) -> tuple[str, ...]:
    """The different words in labels, sorted as in scikit-learn, or by number if all are numbers.

    So "0", "1" ... "10", read from a file as text, have the class indices 0, 1 ... 10.

    Examples
    --------
    >>> classes_in(np.array(["dog", "cat", "dog"])), classes_in(np.array(["10", "9", "0"]))
    (('cat', 'dog'), ('0', '9', '10'))
    """
    words = np.unique(_words(t)).tolist()
    return tuple(sorted(words, key=int) if all(word.isdecimal() for word in words) else words)


def class_indices(t: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The index of each word in `classes`, int64; a LabelError for an unknown word.

    Examples
    --------
    >>> class_indices(np.array(["dog", "cat", "dog"]), ("dog", "cat")).tolist()
    [0, 1, 0]
    """
    words, names = _words(t), np.array(classes)
    order = np.argsort(names)
    places = order[np.searchsorted(names, words, sorter=order).clip(max=len(names) - 1)]
    unknown = names[places] != words
    if unknown.any():
        first = int(np.argmax(unknown))
        more = f" and {len(classes) - 10} more" if len(classes) > 10 else ""
        raise LabelError(
            f"Expected labels among the network's classes, {', '.join(map(repr, classes[:10]))}{more}, "
            f"got {str(words.flat[first])!r} at index {first} ({np.count_nonzero(unknown)} of {words.size} labels are "
            "wrong)."
        )
    return places.astype(np.int64)


def _words(t: np.ndarray) -> np.ndarray:
    """Words as a NumPy array of strings, checked."""
    if t.ndim > 1:
        raise ShapeError(
            f"Expected a word for each sample, shape (N,), got {t.shape}. If these are numbers read as text use "
            "`t = t.astype('float64')`, and if they are a column `t = t.reshape(-1)`."
        )
    if t.dtype.kind == "O":
        others = [i for i, word in enumerate(t.flat) if not isinstance(word, str)]
        if others:
            raise LabelError(
                f"Expected words as labels, got {t.flat[others[0]]!r} at index {others[0]} ({len(others)} of {t.size} "
                "labels are no words). Keep the samples with a label, `[isinstance(word, str) for word in t]`, of the "
                "inputs and of the labels."
            )
    return t if t.dtype.kind == "U" else np.array(t.tolist(), dtype=str)
