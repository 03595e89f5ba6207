"""Each line of advice in the messages about targets, taken out of the message and executed."""

import re

import numpy as np
import pytest
from cases import numbers
from remedies import codes, said

from xpnet import (
    Affine,
    IdentityWithLoss,
    Network,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Trainer,
    cross_entropy_error,
    mean_squared_error,
    softmax,
)
from xpnet.networks.class_names import has_exclusive_classes

N, D, C = 4, 5, 3
X = numbers(1, N, D)
LABELS = np.array([0, 2, 1, 2])
ROWS = np.eye(C)[LABELS]
WORDS = np.array(["cat", "owl", "dog", "owl"])


def network_of(last_layer, outputs=C):
    return Network([Affine(numbers(2, D, outputs), numbers(3, outputs))], last_layer)


def advice(call):
    """The code in the message of the error that `call` raises."""
    return codes(said(call))


def followed(lines, x, t):
    """`x` and `t` after these lines, of which those that are expressions stand for what they are made of."""
    names = {"numpy": np, "x": x, "t": t}
    for line in lines:
        if re.match(r"[a-z_, ]+ = ", line):
            exec(line, names)
        elif line.startswith("x["):
            names["x"] = eval(line, names)
        else:
            names["t"] = eval(line, names)
    return names["x"], names["t"]


def spoiled(rows, value):
    rows = rows.copy()
    rows[1] = value
    return rows


CHANGES = {
    "labels from 1": (SoftmaxWithLoss, LABELS + 1, LABELS),
    "labels far off": (SoftmaxWithLoss, 10 * LABELS, LABELS),
    "words": (SoftmaxWithLoss, WORDS, np.array([0, 2, 1, 2])),
    "words as objects": (SoftmaxWithLoss, WORDS.astype(object), np.array([0, 2, 1, 2])),
    "numbers as words": (SoftmaxWithLoss, LABELS.astype(str), LABELS),
    "rows as words": (SoftmaxWithLoss, ROWS.astype(str), ROWS),
    "whole floats": (SoftmaxWithLoss, LABELS.astype(float), LABELS),
    "rows of weights": (SoftmaxWithLoss, 5 * ROWS, ROWS),
    "0 and 255": (SoftmaxWithLoss, (255 * ROWS).astype(np.uint8), ROWS),
    "a row of no class": (SoftmaxWithLoss, spoiled(ROWS, 0), ROWS[[0, 2, 3]]),
    "a row of NaN": (SoftmaxWithLoss, spoiled(ROWS, np.nan), ROWS[[0, 2, 3]]),
    "an amount of NaN": (IdentityWithLoss, spoiled(ROWS, np.nan), ROWS[[0, 2, 3]]),
    "whole amounts": (IdentityWithLoss, ROWS.astype(int), ROWS),
    "amounts as words": (IdentityWithLoss, ROWS.astype(str), ROWS),
    "answers as words": (SigmoidWithLoss, np.where(ROWS == 1, "yes", "no"), ROWS == 1),
    "answers as bytes": (SigmoidWithLoss, np.where(ROWS == 1, b"yes", b"no"), ROWS == 1),
    "answers as numbers in words": (SigmoidWithLoss, ROWS.astype(int).astype(str), ROWS),
}


@pytest.mark.parametrize(("last_layer", "t", "right"), CHANGES.values(), ids=CHANGES.keys())
def test_what_is_to_be_done_with_the_targets(last_layer, t, right):
    network = network_of(last_layer())
    calls = [lambda: network.loss(X, t)]
    if t.dtype.kind not in "UO" or not has_exclusive_classes(network.last_layer):  # a trainer makes classes of words
        calls.append(lambda: Trainer(network, X, t, None, None, verbose=False))
    for call in calls:
        lines = [line for line in advice(call) if not line.endswith("WithLoss()")]
        assert lines
        x, changed = followed(lines, X, t)
        np.testing.assert_array_equal(changed, right)
        assert np.isfinite(network.loss(x, changed))
        Trainer(network, x, changed, None, None, epochs=1, verbose=False).train()


OTHER_LOSSES = {
    "several classes": (SoftmaxWithLoss, C, np.minimum(ROWS + ROWS[:, ::-1], 1)),
    "amounts": (SoftmaxWithLoss, C, numbers(4, N, C)),
    "classes for answers": (SigmoidWithLoss, C, 5 * ROWS),
    "one output": (SoftmaxWithLoss, 1, LABELS % 2),
}


@pytest.mark.parametrize(("last_layer", "outputs", "t"), OTHER_LOSSES.values(), ids=OTHER_LOSSES.keys())
def test_which_last_layer_to_use(last_layer, outputs, t):
    network = network_of(last_layer(), outputs)
    (line,) = [line for line in advice(lambda: network.gradient(X, t)) if line.endswith("WithLoss()")]
    network.last_layer = eval(line)
    if isinstance(network.last_layer, SoftmaxWithLoss):
        t = t / 5  # for classes that exclude each other
    assert np.isfinite(network.loss(X, t))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: SigmoidWithLoss().forward(X[:, :1], t),
        lambda t: IdentityWithLoss().forward(X[:, :1], t),
        lambda t: mean_squared_error(X[:, :1], t),
    ],
)
def test_a_column_of_targets(call):
    t = np.array([0.0, 1.0, 1.0, 0.0])
    _, changed = followed(advice(lambda: call(t)), None, t)
    assert np.isfinite(call(changed))


def test_functions_advise_as_layers_do():
    y = softmax(numbers(4, N, C))
    for t, right in ((LABELS + 1, LABELS), (5 * ROWS, ROWS)):
        lines = [line for line in advice(lambda t=t: cross_entropy_error(y, t)) if not line.endswith("WithLoss()")]
        _, changed = followed(lines, None, t)
        assert cross_entropy_error(y, changed) == cross_entropy_error(y, right)


def test_labels_that_start_at_1_and_others_that_do_not_fit():
    network = network_of(SoftmaxWithLoss())
    assert advice(lambda: network.loss(X, LABELS + 1)) == ["t - 1"]
    for t in ([0, 3, 1, 2], [1, 4, 2, 3], [-1, 0, 1, 2]):  # three classes: none of these begins at 1 and ends at 3
        assert advice(lambda t=t: network.loss(X, np.array(t))) == ["classes, t = numpy.unique(t, return_inverse=True)"]
