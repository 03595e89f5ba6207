"""The data sets of a training: checked on the host, then moved to the network's device once."""

import itertools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any, NamedTuple, Self

import numpy as np

from xpnet._core.arrays import Array, as_inputs, check_plain, copied, dtype_name, get_array_module, is_array, to_numpy
from xpnet._core.checks import check_between, check_finite, check_flag, check_inputs, check_positive, check_range
from xpnet._core.memory import memory_for
from xpnet.backend import asarray
from xpnet.errors import ArgumentError, ShapeError, XpnetError
from xpnet.layers.base import values_per_statistic
from xpnet.networks.class_names import are_words, check_class_count, classes_in, has_exclusive_classes, without_words
from xpnet.networks.network import Network


class Samples(NamedTuple):
    """Inputs (N, ...), and their targets (N,) or (N, D)."""

    x: Array
    t: Array

    def first(self, n: int | None) -> Self:
        """The first `n` of them, or all."""
        n = self.x.shape[0] if n is None else min(n, self.x.shape[0])
        return self._replace(x=self.x[:n, ...], t=self.t[:n, ...])

    def to(self, network: Network) -> Self:
        """The same on the network's device: pixels stay bytes, floats take its dtype."""
        # Converted on the way: the network's device may not know the dtype that they come in.
        dtype = None if dtype_name(self.x) == "uint8" else network.dtype
        return self._replace(x=network.asarray(self.x, dtype=dtype), t=network.asarray(self.t))


def classes_for(network: Network, t_train: Any) -> tuple[str, ...] | None:
    """The names of the classes: the network's, or those of labels that are words; None for other targets."""
    if network.classes is not None or not has_exclusive_classes(network.last_layer) or not are_words(t_train):
        return network.classes
    with _named("t_train"):
        return classes_in(t_train)


def checked(network: Network, name: str, x: Array, t: Array, classes: tuple[str, ...] | None = None) -> Samples:
    """Check a data set before anything is moved or learned; `name` is for messages, `classes` for words as labels."""
    check_plain(x, f"x_{name}")
    check_plain(t, f"t_{name}")
    if name == "test" and 0 in x.shape[:1]:
        raise ShapeError(f"The batch is empty: x_test has shape {tuple(x.shape)}. Use `None, None` for no test set.")
    with _named(f"x_{name}"):
        check_inputs(x)
        scores_shape = (x.shape[0], *network.output_shape(tuple(x.shape[1:])))
    check_finite(f"x_{name}", x)
    check_range(f"x_{name}", x, network.dtype)
    with _named(f"t_{name}"):
        if classes is not None and are_words(t):
            check_class_count(classes, scores_shape[-1], network.last_layer)
        t = without_words(t, classes)
        targets = network.last_layer.check_targets(to_numpy(t), scores_shape)
    check_finite(f"t_{name}", targets)
    check_range(f"t_{name}", targets, network.dtype)
    with _named(f"t_{name}"):
        return Samples(x, network.last_layer.stored_targets(targets, network.dtype))


def checked_sets(
    network: Network,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    validation: Any,
    *,
    rng: np.random.Generator,
    classes: tuple[str, ...] | None,
) -> dict[str, Samples]:
    """The sets ``"train"``, ``"test"`` and ``"val"`` of a `Trainer`, checked, as far as there are any."""
    sets = {"train": checked(network, "train", *train, classes)}
    if test[0] is not None:
        sets["test"] = checked(network, "test", *test, classes)
    if isinstance(validation, tuple) and len(validation) == 2:
        sets["val"] = checked(network, "val", *validation, classes)
    elif validation is not None:
        if not isinstance(validation, Real) or not 0 < float(validation) < 1:
            got = validation if isinstance(validation, Real | str) else type(validation).__name__
            raise ArgumentError(
                "validation must be a share of the training set above 0 and below 1, or a pair; got "
                f"{got!r}. Use `validation=0.2` or `validation=(x_val, t_val)`."
            )
        are_classes = has_exclusive_classes(network.last_layer) and sets["train"].t.ndim == 1
        split = split_validation(*sets["train"], float(validation), seed=rng, stratify=are_classes)
        sets["train"], sets["val"] = (Samples(*part) for part in split)
    return sets


def moved_sets(sets: Mapping[str, Samples], network: Network) -> dict[str, Samples]:
    """The same on the network's device; warns if their scales differ."""
    warn_of_scales(sets)
    with memory_for("the data sets beside the network", "Give fewer samples, and pixels as uint8."):
        return {name: samples.to(network) for name, samples in sets.items()}


_PIXEL_LIKE = 100  # by which the larger of two maxima is at least above the smaller, of pixels and of pixels / 255


def warn_of_scales(sets: Mapping[str, Samples]) -> None:
    """Warn if uint8 inputs look like features, or if sets differ by a factor of 255; waits for the device."""
    inputs = {f"x_{name}": samples.x for name, samples in sets.items()}
    pixels = {name for name, x in inputs.items() if dtype_name(x) == "uint8"}
    if not pixels and len(inputs) == 1:
        return
    low = {name: float(get_array_module(x).min(x)) for name, x in inputs.items()}
    high = {name: float(get_array_module(x).max(x)) for name, x in inputs.items()}
    messages = [
        f"{name} is uint8 and holds only 0 and 1. They count as pixels, and are divided by 255. For features of 0 and "
        f"1 use `{name} = {name}.astype('float32')`."
        for name in inputs
        if name in pixels and high[name] == 1
    ]
    for a, b in itertools.combinations(inputs, 2):
        large, small = (a, b) if high[a] > high[b] else (b, a)
        uint8, floats = (a, b) if a in pixels else (b, a)
        if (a in pixels) != (b in pixels):
            if high[uint8] > 1 and (low[floats] < -0.5 or high[floats] > 1.5):
                messages.append(
                    f"{uint8} is uint8, and reaches from 0 to 1 after the division by 255, but {floats} is of floats "
                    f"from {low[floats]:.3g} to {high[floats]:.3g}. Give both in the same form. Of pixels as floats: "
                    f"`{floats} = {floats} / 255`."
                )
        elif (
            a not in pixels
            and min(low[a], low[b]) >= 0
            and 0 < high[small] <= 1
            and _PIXEL_LIKE * high[small] <= high[large] <= 255
        ):
            messages.append(
                f"{large} reaches {high[large]:.3g}, but {small} only {high[small]:.3g}: one may be of pixels, and the "
                f"other divided by 255. Give both in the same form, as with `{large} = {large} / 255`."
            )
    for message in messages:
        warnings.warn(message, stacklevel=4)


def check_minibatches(network: Network, train: Samples, size: int, sampling: str, drop_last: bool | None) -> bool:
    """Whether the short minibatch at the end of an epoch is left out, given `drop_last` of `Trainer`.

    An ArgumentError if a minibatch is too small for batch normalization, or if none is left.
    """
    samples = train.x.shape[0]
    rest = samples % size if sampling == "shuffle" else 0
    one_is_too_few = values_per_statistic(network.layers.values(), tuple(train.x.shape[1:])) == 1
    if drop_last is not None:
        check_flag("drop_last", drop_last)
    elif samples > size:
        drop_last = rest == 1 and one_is_too_few
    if drop_last and samples < size:
        raise ArgumentError(
            f"drop_last=True leaves no minibatch: the training set has {samples:,} samples, fewer than "
            f"mini_batch_size={size}. Use `mini_batch_size={samples}`."
        )
    smallest = min(size, samples) if sampling == "shuffle" else size
    if smallest == 1 and one_is_too_few:
        raise ArgumentError(
            f"Batch normalization learns nothing from a minibatch of one sample, got mini_batch_size={size} and "
            f"{samples:,} training samples. Use `mini_batch_size=32`, or `LayerNormalization` in its place."
        )
    if rest == 1 and one_is_too_few and not drop_last:
        raise ArgumentError(
            f"The last minibatch of each epoch has one sample ({samples:,} samples, mini_batch_size={size}). Batch "
            "normalization learns nothing from it. Use `drop_last=True`."
        )
    return bool(drop_last)


def check_augmentation(augmentation: Any, train: Samples, network: Network) -> Any:
    """The augmentation, which must map a minibatch to one; the call also moves its key to the network's device."""
    if augmentation is None:
        return None
    if not callable(augmentation) or isinstance(augmentation, type):
        raise ArgumentError(
            "augmentation must be a function of a minibatch's inputs, such as `Augmentation(shift=2)`, got "
            f"{augmentation!r}."
        )
    x = copied(as_inputs(train.first(2).x, network.state.like.dtype))  # which it may write to
    with _named("augmentation"):
        y = augmentation(x)
    same_kind = is_array(y) and get_array_module(y) is get_array_module(x)
    if not same_kind or tuple(y.shape) != tuple(x.shape) or y.dtype != x.dtype:
        got = f"{dtype_name(y)} {tuple(y.shape)}" if is_array(y) else type(y).__name__
        raise ShapeError(
            f"augmentation must give inputs of the shape and dtype that it is given, {dtype_name(x)} {tuple(x.shape)}, "
            f"got {got}."
        )
    return augmentation


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Name an array in the errors inside a ``with`` block."""
    try:
        yield
    except XpnetError as error:
        raise type(error)(f"{name}: {error}") from None


def split_validation(
    x: Array, t: Array, share: float = 0.2, *, seed: "int | np.random.Generator | None" = None, stratify: bool = False
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Hold out a random part of the samples as a validation set, for the choice of hyperparameters.

    Returns copies, ``(x_train, t_train), (x_val, t_val)``.

    Parameters
    ----------
    x, t
        Inputs (N, ...) and targets (N, ...), of any backend.
    share
        How much of them becomes the validation set, above 0 and below 1; at least one sample, and not all.
    seed
        A whole number, for the same samples each time and on every backend; or a generator, which draws on.
    stratify
        Whether to take the same share of each class, as near as whole samples allow. `t` are then labels (N,), numbers
        or words. A class of one sample stays in the training set.

    Examples
    --------
    >>> x, t = np.arange(10.0)[:, None], np.arange(10)
    >>> (x_train, t_train), (x_val, t_val) = split_validation(x, t, 0.2, seed=0)
    >>> x_train.shape, sorted([*t_train.tolist(), *t_val.tolist()]) == t.tolist()
    ((8, 1), True)
    >>> _, (_, t_val) = split_validation(x, np.array(list("aaaaaaabbb")), 0.4, seed=0, stratify=True)
    >>> sorted(t_val.tolist())
    ['a', 'a', 'a', 'b']
    """
    check_plain(x, "x")
    check_plain(t, "t")
    share = check_between("share", check_positive("share", share), 0, 1, below=True)
    n, targets = (a.shape[0] if a.ndim else 0 for a in (x, t))
    if n < 2 or targets != n:
        raise ArgumentError(f"Expected at least two samples and a target for each, got {n} and {targets} targets.")
    try:
        order = np.random.default_rng(seed).permutation(n)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"seed must be a whole number of at least 0, or None, got {seed!r}.") from error
    count = min(max(1, round(share * n)), n - 1)
    if check_flag("stratify", stratify):
        if t.ndim > 1:
            raise ShapeError(f"stratify=True needs labels of shape (N,), got {tuple(t.shape)}.")
        order = _stratified(order, to_numpy(t), count)

    def take(indices: np.ndarray) -> tuple[Array, Array]:
        x_part, t_part = (get_array_module(a).take(a, asarray(indices, like=a), axis=0) for a in (x, t))
        return x_part, t_part

    return take(order[count:]), take(order[:count])


def _stratified(order: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The order with the share of each class among the first `count`, by the largest remainders.

    Each class keeps a sample among the others if possible.
    """
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    shares = count * sizes / labels.size
    most = sizes - 1 if count <= (sizes - 1).sum() else sizes
    taken = np.minimum(np.floor(shares).astype(int), most)
    while (missing := count - taken.sum()) > 0:
        open_to_more = np.flatnonzero(taken < most)
        by_remainder = open_to_more[np.argsort((taken - shares)[open_to_more], kind="stable")]
        taken[by_remainder[:missing]] += 1
    # How many samples of its class stand before each in the order: the first of each class are taken.
    by_class = order[np.argsort(classes[order], kind="stable")]
    rank = np.empty(labels.size, dtype=int)
    rank[by_class] = np.arange(labels.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = rank[order] < taken[classes[order]]
    return np.concatenate([order[chosen], order[~chosen]])
