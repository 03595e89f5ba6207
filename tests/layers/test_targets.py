"""Every loss with every form of target at every entry: right, or the error that is written down here.

What is right is computed by the definition of each loss, in float64, and its gradient by central differences.
"""

import numpy as np
import pytest
from cases import numbers
from matrix import PLACES

from xpnet import (
    SGD,
    Affine,
    IdentityWithLoss,
    Layer,
    Network,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Trainer,
    asarray,
    cross_entropy_error,
    mean_squared_error,
    softmax,
    to_numpy,
)
from xpnet.errors import ArrayMixError, DataError, DtypeError, LabelError, ShapeError
from xpnet.gradient import numerical_gradient
from xpnet.layers.fused import mean, softmax_cross_entropy
from xpnet.networks.class_names import has_exclusive_classes

N, D, C = 4, 5, 3
X, W, B = numbers(1, N, D), numbers(2, D, C), numbers(3, C)
SCORES = numbers(4, N, C)
LABELS = np.array([0, 2, 1, 2])
ROWS = np.eye(C)[LABELS]
SOFT = np.exp(numbers(5, N, C))
SOFT /= SOFT.sum(axis=1, keepdims=True)
TWO_ONES = np.maximum(ROWS, ROWS[:, ::-1])


def spoiled(rows, value):
    rows = rows.copy()
    rows[1, 0] = value
    return rows


FORMS = {
    "indices": LABELS,
    "uint8 indices": LABELS.astype(np.uint8),
    "big-endian indices": LABELS.astype(">i4"),
    "one-hot integers": ROWS.astype(np.int64),
    "one-hot truth values": ROWS.astype(bool),
    "one-hot floats": ROWS,
    "soft": SOFT,
    "big-endian soft": SOFT.astype(">f8"),
    "weighted": ROWS * np.array([1.0, 5.0, 1.0]),
    "half a row": ROWS * np.array([[1.0], [0.5], [1.0], [1.0]]),
    "two ones": TWO_ONES,
    "0 and 255": (255 * ROWS).astype(np.uint8),
    "a row of zeros": spoiled(ROWS * np.array([[1.0], [0.0], [1.0], [1.0]]), 0.0),
    "negative entry": np.array([[1.0, 0, 0], [-0.5, 1.5, 0], [0, 1, 0], [0, 0, 1]]),
    "NaN entry": spoiled(SOFT, np.nan),
    "infinite entry": spoiled(SOFT, np.inf),
    "label too high": np.array([0, 3, 1, 2]),
    "label too low": np.array([0, -1, 1, 2]),
    "indices as floats": LABELS.astype(np.float64),
    "too few": LABELS[:3],
    "one": LABELS[:1],
    "column of indices": LABELS[:, None],
    "too wide": np.eye(C + 1)[LABELS],
    "no axis": np.array(1),
    "words": np.array(["cat", "owl", "dog", "owl"]),
    "words as objects": np.array(["cat", "owl", "dog", "owl"], dtype=object),
    "rows of words": ROWS.astype(str),
}
RIGHT, ONE_EACH = "right", {"uint8 indices", "indices", "big-endian indices"}
SOFTMAX = dict.fromkeys(FORMS, LabelError) | {
    **dict.fromkeys(
        [*ONE_EACH, "one-hot integers", "one-hot truth values", "one-hot floats", "soft", "big-endian soft"], RIGHT
    ),
    **dict.fromkeys(["too few", "one", "column of indices", "too wide", "no axis"], ShapeError),
    **dict.fromkeys(["indices as floats", "words", "words as objects", "rows of words"], DtypeError),
}
SIGMOID = dict.fromkeys(FORMS, ShapeError) | {
    **dict.fromkeys(["one-hot integers", "one-hot truth values", "one-hot floats", "soft", "big-endian soft"], RIGHT),
    **dict.fromkeys(["half a row", "two ones", "a row of zeros"], RIGHT),
    **dict.fromkeys(["weighted", "0 and 255", "negative entry", "NaN entry", "infinite entry"], LabelError),
    "rows of words": DtypeError,
}
IDENTITY = dict.fromkeys(FORMS, ShapeError) | {
    **dict.fromkeys(["one-hot floats", "soft", "big-endian soft", "weighted", "half a row", "two ones"], RIGHT),
    **dict.fromkeys(["a row of zeros", "negative entry"], RIGHT),
    **dict.fromkeys(["one-hot integers", "one-hot truth values", "0 and 255", "rows of words"], DtypeError),
    **dict.fromkeys(["NaN entry", "infinite entry"], DataError),
}
SMOOTHING = 0.25


def cross_entropy(scores, t):
    return -np.sum(t * np.log(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))) / N


def binary_cross_entropy(scores, t):
    y = 1 / (1 + np.exp(-scores))
    return -np.sum(t * np.log(y) + (1 - t) * np.log(1 - y)) / N


LOSSES = {
    "SoftmaxWithLoss": (SoftmaxWithLoss, SOFTMAX, cross_entropy),
    "smoothed": (
        lambda: SoftmaxWithLoss(label_smoothing=SMOOTHING),
        SOFTMAX,
        lambda scores, t: cross_entropy(scores, (1 - SMOOTHING) * t + SMOOTHING / C),
    ),
    "SigmoidWithLoss": (SigmoidWithLoss, SIGMOID, binary_cross_entropy),
    "IdentityWithLoss": (IdentityWithLoss, IDENTITY, lambda scores, t: 0.5 * np.sum((scores - t) ** 2) / N),
}
CELLS = [
    pytest.param(loss, form, id=f"{loss}, {form}") for loss, (_, outcomes, _) in LOSSES.items() for form in outcomes
]
WORDS = {"words", "words as objects", "rows of words"}  # which no other library has
RIGHT_CELLS = [cell for cell in CELLS if LOSSES[cell.values[0]][1][cell.values[1]] == RIGHT]
WRONG_CELLS = [cell for cell in CELLS if cell not in RIGHT_CELLS]


def rows_of(form):
    return ROWS if form in ONE_EACH else FORMS[form].astype(np.float64)


def right_loss(loss, scores, form):
    """The loss by its definition, and its gradient by the scores."""
    definition, t = LOSSES[loss][2], rows_of(form)
    return definition(scores, t), numerical_gradient(lambda scores: definition(scores, t), scores.copy(), 1e-5)


def put(be, t):
    """The targets on a backend, where they are not converted to its dtype."""
    return t if be.name == "numpy" else asarray(t.astype(t.dtype.newbyteorder("=")), backend=be.backend)


def skip_without_float64(be, form):
    if be.name == "strict-no_float64" and FORMS[form].dtype.kind == "f":
        pytest.skip("the device has no float64")


def network_of(be, loss):
    return Network([Affine(be.put(W), be.put(B))], LOSSES[loss][0]())


def near(be, actual, expected, numeric=1e-7):
    """Within the error of a numerical gradient in float64, and of the dtype."""
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(
        to_numpy(actual), expected, rtol=0, atol={"float32": 1e-5, "float64": numeric}[be.dtype] * scale
    )


# --- what is right ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "form"), RIGHT_CELLS)
def test_a_layer_by_hand(be, loss, form):
    layer, (expected, gradient) = LOSSES[loss][0](), right_loss(loss, SCORES, form)
    skip_without_float64(be, form)
    near(be, layer.forward(be.put(SCORES), put(be, FORMS[form])), expected, 1e-12)
    near(be, layer.backward(), gradient)
    near(be, layer.backward(3.0), 3 * gradient)


@pytest.mark.parametrize(("loss", "form"), RIGHT_CELLS)
def test_a_network(be, loss, form):
    skip_without_float64(be, form)
    network, x, t = network_of(be, loss), be.put(X), put(be, FORMS[form])
    expected, dscores = right_loss(loss, X @ W + B, form)
    near(be, network.loss(x, t), expected, 1e-12)
    near(be, network.loss(x, t, train=True), expected, 1e-12)
    for grads in [network.gradient(x, t)] + ([network.numerical_gradient(x, t)] if be.dtype == "float64" else []):
        near(be, grads["W1"], X.T @ dscores)
        near(be, grads["b1"], dscores.sum(axis=0))
    if loss == "IdentityWithLoss":
        return
    scores, t = X @ W + B, rows_of(form)
    right = (scores > 0) == (t > 0.5) if loss == "SigmoidWithLoss" else scores.argmax(axis=1) == t.argmax(axis=1)
    assert network.accuracy(x, put(be, FORMS[form])) == pytest.approx(np.mean(right))


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize(("loss", "form"), RIGHT_CELLS)
def test_a_trainer(loss, form, capture):
    network = Network([Affine(W.copy(), B.copy())], LOSSES[loss][0]())
    trainer = Trainer(
        network,
        X,
        FORMS[form],
        X,
        FORMS[form],
        iterations=2,
        mini_batch_size=N,
        optimizer=SGD(lr=0.1),
        verbose=False,
        capture=capture,
    )
    weights, bias, losses = W.copy(), B.copy(), []
    for _ in range(2):
        value, dscores = right_loss(loss, X @ weights + bias, form)
        weights, bias = weights - 0.1 * X.T @ dscores, bias - 0.1 * dscores.sum(axis=0)
        losses.append(value)
    np.testing.assert_allclose(trainer.train().loss, losses, rtol=1e-7)
    np.testing.assert_allclose(network.params["W1"], weights, rtol=0, atol=1e-7)
    np.testing.assert_allclose(network.params["b1"], bias, rtol=0, atol=1e-7)
    if loss != "IdentityWithLoss":
        assert trainer.test_acc_list[-1] == network.accuracy(X, FORMS[form])


@pytest.mark.parametrize("form", [form for form, outcome in SOFTMAX.items() if outcome == RIGHT])
def test_cross_entropy_error(be, form):
    skip_without_float64(be, form)
    expected = -np.sum(rows_of(form) * np.log(softmax(SCORES) + 1e-7)) / N
    near(be, cross_entropy_error(be.put(softmax(SCORES)), put(be, FORMS[form])), expected, 1e-12)
    given = FORMS[form].tolist()
    near(be, cross_entropy_error(be.put(softmax(SCORES)), given), expected, 1e-12)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "form"), WRONG_CELLS)
def test_what_is_refused(loss, form):
    make, outcomes, _ = LOSSES[loss]
    network = Network([Affine(W.copy(), B.copy())], make())
    t, error = FORMS[form], outcomes[form]
    calls = [lambda: make().forward(SCORES, t), lambda: network.loss(X, t), lambda: network.gradient(X, t)]
    calls += [lambda: network.numerical_gradient(X, t)]
    if form not in WORDS or not has_exclusive_classes(network.last_layer):  # a trainer makes classes of words
        calls.append(lambda: Trainer(network, X, t, None, None, verbose=False))
    if loss != "IdentityWithLoss":
        calls.append(lambda: network.accuracy(X, t))
    if loss == "SoftmaxWithLoss":
        calls.append(lambda: cross_entropy_error(softmax(SCORES), t))
        calls.append(lambda: cross_entropy_error(softmax(SCORES), t.tolist()))
    for call in calls:
        with pytest.raises(error, match="Expected "):
            call()
    np.testing.assert_array_equal(network.params["W1"], W)


@pytest.mark.parametrize(("loss", "form"), [cell for cell in WRONG_CELLS if cell.values[1] not in WORDS])
@pytest.mark.parametrize(
    "be", [place for place in PLACES if place.name != "numpy"], ids=lambda place: f"{place.name}-{place.dtype}"
)
def test_what_is_refused_or_nan_on_a_device(be, loss, form):
    """Shapes and dtypes are errors there as well; values, which nothing waits for, make the loss and gradient NaN."""
    skip_without_float64(be, form)
    layer, error, network = LOSSES[loss][0](), LOSSES[loss][1][form], network_of(be, loss)
    scores, x, t = be.put(SCORES), be.put(X), put(be, FORMS[form])
    if error in (ShapeError, DtypeError):
        for call in (lambda: layer.forward(scores, t), lambda: network.loss(x, t), lambda: network.gradient(x, t)):
            with pytest.raises(error, match="Expected "):
                call()
        return
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(to_numpy(layer.forward(scores, t)))
        assert not np.isfinite(to_numpy(layer.backward())).all()
        assert not np.isfinite(float(network.loss(x, t)))
        assert not np.isfinite(to_numpy(network.gradient(x, t)["b1"])).all()
    if loss != "IdentityWithLoss":
        assert np.isnan(network.accuracy(x, t))
    if loss == "SoftmaxWithLoss":
        assert np.isnan(float(cross_entropy_error(softmax(scores), t)))
    with pytest.raises(error, match="Expected "):
        Trainer(network, x, t, None, None, verbose=False)


def test_lists_are_taken_by_layers_and_functions_and_not_by_networks():
    network = Network([Affine(W.copy(), B.copy())])
    layer = SoftmaxWithLoss()
    assert layer.forward(SCORES.tolist(), LABELS.tolist()) == layer.forward(SCORES, LABELS)
    assert IdentityWithLoss().forward([[1, 3]], [[1, 1.5]]) == 1.125
    for call in (network.loss, network.gradient, network.accuracy, lambda x, t: Trainer(network, x, t, None, None)):
        with pytest.raises(ArrayMixError, match="must be an array, got .*list"):
            call(X, LABELS.tolist())


@pytest.mark.parametrize("make", [IdentityWithLoss, SigmoidWithLoss])
def test_a_column_of_outputs(make):
    """By hand targets must be a column as well; a network, which knows what its outputs are, makes one of them."""
    column, t = SCORES[:, :1], np.array([0.0, 1.0, 1.0, 0.0])
    with pytest.raises(ShapeError, match=r"shape \(4, 1\), got \(4,\)\. .*`t = t.reshape\(-1, 1\)`"):
        make().forward(column, t)
    network = Network([Affine(W[:, :1].copy(), B[:1].copy())], make())
    right = make().forward(network.predict(X), t.reshape(-1, 1))
    assert network.loss(X, t) == network.loss(X, t.reshape(-1, 1)) == right
    with pytest.raises(ShapeError, match=r"got \(4, 1\) and \(4,\)\. .*`t = t.reshape\(-1, 1\)`"):
        mean_squared_error(column, t)


@pytest.mark.parametrize("t", [np.zeros(N, int), np.zeros((N, 1)), np.ones((N, 1), int)])
def test_the_softmax_of_one_output_is_refused(t):
    network = Network([Affine(W[:, :1].copy(), B[:1].copy())])
    calls = [network.loss, network.gradient, network.accuracy, lambda x, t: Trainer(network, x, t, None, None)]
    for call in [*calls, lambda x, t: SoftmaxWithLoss().forward(network.predict(x), t)]:
        with pytest.raises(ShapeError, match=r"at least two classes.*`SigmoidWithLoss\(\)`"):
            call(X, t)


@pytest.mark.parametrize(
    ("loss", "t"), [("SoftmaxWithLoss", LABELS[0]), ("SoftmaxWithLoss", SOFT[0])] + [(loss, SOFT[0]) for loss in LOSSES]
)
def test_one_sample_as_a_vector_by_hand(be, loss, t):
    one, batch = LOSSES[loss][0](), LOSSES[loss][0]()
    be.check(one.forward(be.put(SCORES[0]), be.put(t)), to_numpy(batch.forward(be.put(SCORES[:1]), be.put(t[None]))))
    be.check(one.backward(), to_numpy(batch.backward())[0])


def test_scores_of_more_dimensions_are_refused():
    with pytest.raises(ShapeError, match=r"Expected scores of shape \(N, C\).*got \(4, 3, 2\)"):
        SoftmaxWithLoss().forward(np.zeros((4, 3, 2)), np.zeros((4, 3), int))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_how_near_to_1_the_sum_of_a_row_must_be(dtype):
    """The square root of eps, as scikit-learn has it: what a softmax of that dtype sums to passes, 1.1 does not."""
    eps = np.finfo(dtype).eps
    for off, fits in ((0.5 * np.sqrt(eps), True), (-0.5 * np.sqrt(eps), True), (4 * np.sqrt(eps), False)):
        rows = np.array([[0.25, 0.75], [0.5, 0.5 + off]], dtype)
        if fits:
            SoftmaxWithLoss().forward(np.zeros((2, 2)), rows)
        else:
            with pytest.raises(LabelError, match="in row 1"):
                SoftmaxWithLoss().forward(np.zeros((2, 2)), rows)


# --- how many are right -----------------------------------------------------------------------------------------------


def test_nan_is_never_right(be):
    nan = be.put(np.full((N, C), np.nan))
    some = spoiled(SCORES, np.nan)
    labels = some.argmax(axis=1)  # of the row with a NaN the NaN's place
    assert float(SoftmaxWithLoss().count_correct(nan, be.put(np.zeros(N, int)))) == 0
    assert float(SoftmaxWithLoss().count_correct(be.put(some), be.put(labels))) == N - 1
    assert float(SoftmaxWithLoss().count_correct(be.put(some), be.put(np.eye(C)[labels]))) == N - 1
    assert float(SigmoidWithLoss().count_correct(nan, be.put(np.zeros((N, C))))) == 0
    answers = be.put((SCORES > 0).astype(float))
    assert float(SigmoidWithLoss().count_correct(be.put(some), answers)) == pytest.approx(N - 1 / C)


def test_a_score_of_0_is_a_no(be):
    """The probability is 1/2 there, and not above it."""
    scores = be.put(np.zeros((2, 2)))
    assert float(SigmoidWithLoss().count_correct(scores, be.put(np.array([[0.0, 0.0], [1.0, 0.0]])))) == 1.5
    assert float(SigmoidWithLoss().count_correct(be.put(np.full((2, 2), 1e-30)), be.put(np.ones((2, 2))))) == 2


def test_answers_of_images_are_counted_over_all_their_places():
    assert float(SigmoidWithLoss().count_correct(np.ones((2, 3, 5)), np.ones((2, 3, 5)))) == 2


def test_soft_labels_are_kept_soft_and_one_hot_rows_become_indices():
    network = Network([Affine(W.astype("float32"), B.astype("float32"))])
    trainer = Trainer(network, X, SOFT, X, ROWS, validation=(X, SOFT), verbose=False, epochs=1)
    assert trainer.t_train.dtype == np.float32
    np.testing.assert_allclose(trainer.t_train, SOFT, rtol=1e-6)
    assert trainer.t_test.tolist() == LABELS.tolist()
    history = trainer.train()
    t = SOFT.argmax(axis=1)
    assert history.train_acc[-1] == history.val_acc[-1] == np.mean(network.predict(X).argmax(axis=1) == t)
    assert history.val_loss[-1] == pytest.approx(float(network.loss(X, SOFT)))
    for nearly in (spoiled(ROWS, 1e-9), ROWS * (1 - 1e-9)):
        with_nearly = Trainer(network, X, nearly, None, None, verbose=False, epochs=1)
        assert with_nearly.t_train.shape == (N, C)  # a row with anything but one 1 and zeros is not one-hot


def test_soft_labels_are_held_out_with_their_samples():
    x, t = numbers(1, 20, D), np.exp(numbers(2, 20, C))
    t /= t.sum(axis=1, keepdims=True)
    trainer = Trainer(Network([Affine(W.copy(), B.copy())]), x, t, None, None, validation=0.25, verbose=False, seed=0)
    held_out = trainer.validation
    places = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in held_out.x]
    assert len(places) == 5
    np.testing.assert_array_equal(held_out.t, t[places])


# --- masked classes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [np.array([0, 1]), np.array([[1.0, 0, 0], [0.5, 0.5, 0]])], ids=["indices", "soft"])
def test_a_class_that_is_masked_by_minus_infinity(be, t):
    """It has no share in the loss of the others: that of these alone."""
    scores = np.array([[1.0, 2.0, -np.inf], [0.5, -1.0, -np.inf]])
    masked, others = SoftmaxWithLoss(), SoftmaxWithLoss()
    expected = others.forward(scores[:, :2], t if t.ndim == 1 else t[:, :2])
    be.check(masked.forward(be.put(scores), be.put(t)), expected)
    be.check(masked.backward(), np.column_stack([others.backward(), np.zeros(2)]))
    dscores, losses = softmax_cross_entropy(be.put(scores), None, be.put(t))
    be.check(mean(losses), expected)
    be.check(dscores, np.column_stack([others.backward(), np.zeros(2)]))


def test_a_label_whose_class_is_masked_has_an_infinite_loss(be):
    assert np.isinf(float(SoftmaxWithLoss().forward(be.put(np.array([[1.0, -np.inf]])), be.put(np.array([1])))))


class Mask(Layer):
    """Scores of which one class is not to be chosen."""

    recordable = True

    def __init__(self, mask):
        self.mask = mask

    def forward(self, x):
        return x + self.mask

    def backward(self, dout):
        return dout


@pytest.mark.parametrize("capture", [False, True])
def test_a_network_with_a_masked_class_trains(capture):
    network = Network([Affine(W.copy(), B.copy()), Mask(np.array([0.0, 0.0, -np.inf]))])
    trainer = Trainer(
        network, X, LABELS % 2, None, None, iterations=3, mini_batch_size=N, verbose=False, capture=capture
    )
    others = Network([Affine(W[:, :2].copy(), B[:2].copy())])
    right = Trainer(others, X, LABELS % 2, None, None, iterations=3, mini_batch_size=N, verbose=False)
    np.testing.assert_allclose(trainer.train().loss, right.train().loss, rtol=1e-12)


# --- last layers of one's own -----------------------------------------------------------------------------------------


class Doubled(SoftmaxWithLoss):
    """A forward of its own around the library's, whose checks it keeps."""

    recordable = True

    def forward(self, x, t):
        return 2 * super().forward(x, t)

    def backward(self, dout=1.0):
        return super().backward(2 * dout)


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("t", [LABELS, SOFT], ids=["indices", "soft"])
def test_a_forward_of_its_own_is_called(t, capture):
    network, plain = (Network([Affine(W.copy(), B.copy())], layer()) for layer in (Doubled, SoftmaxWithLoss))
    assert network.loss(X, t) == 2 * plain.loss(X, t)
    np.testing.assert_allclose(network.gradient(X, t)["W1"], 2 * plain.gradient(X, t)["W1"], rtol=1e-14)
    losses = [
        Trainer(
            net, X, t, None, None, iterations=3, mini_batch_size=N, optimizer=SGD(lr=lr), verbose=False, capture=capture
        )
        .train()
        .loss
        for net, lr in ((network, 0.1), (plain, 0.2))
    ]
    np.testing.assert_allclose(losses[0], 2 * np.array(losses[1]), rtol=1e-12)
