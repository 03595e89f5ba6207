"""Pictures of images and scores: what is on the axes is what was given."""

import math

import numpy as np
import pytest
from drawn_texts import outside, overlaps
from matplotlib.colors import to_rgba
from pictured import Hinge, pictures, smallest_network

from xpnet import Affine, Flatten, IdentityWithLoss, Network, SigmoidWithLoss, SoftmaxWithLoss, load_digits
from xpnet.errors import ArgumentError, DataError, DtypeError, LabelError, ShapeError
from xpnet.plotting import plot_activations, plot_confusion_grid, plot_images, plot_misclassified, plot_scores

(IMAGES, LABELS), _ = load_digits(normalize=False)


def shown(axes):
    """The images on the axes."""
    return [image.get_array() for image in axes.get_images()]


@pytest.mark.parametrize("shape", [(-1, 64), (-1, 8, 8), (-1, 1, 8, 8)])
def test_digits_are_shown_in_order_with_their_captions(shape, tmp_path):
    figure = plot_images(IMAGES[:7].reshape(shape), LABELS[:7], columns=3, title="Digits", path=tmp_path / "d.png")
    assert len(figure.axes) == 9
    for i in range(7):
        [picture] = shown(figure.axes[i])
        assert np.array_equal(picture, IMAGES[i].reshape(8, 8))
        assert figure.axes[i].get_title() == str(LABELS[i])
    assert not any(shown(axes) for axes in figure.axes[7:])
    assert figure.get_suptitle() == "Digits"
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_digits_of_every_backend_and_without_captions(be, tmp_path):
    figure = plot_images(be.put(IMAGES[:2]), path=tmp_path / "d.svg")
    assert all(np.array_equal(shown(axes)[0].ravel(), IMAGES[i]) for i, axes in enumerate(figure.axes))
    assert [axes.get_title() for axes in figure.axes] == ["", ""]  # two of them
    assert b"<svg" in (tmp_path / "d.svg").read_bytes()


@pytest.mark.parametrize("shape", [(2, 32), (2, 3, 4, 4), (16,)])
def test_what_is_no_image_is_an_error(shape, tmp_path):
    with pytest.raises(ShapeError, match="Expected images of shape"):
        plot_images(np.zeros(shape), path=tmp_path / "d.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("label", "color"), [(3, "tab:green"), (None, "tab:green"), (5, "tab:red")])
def test_scores_are_bars_and_the_highest_tells_right_from_wrong(be, label, color, tmp_path):
    from matplotlib.colors import to_rgba

    scores = np.array([[0.5, -1.0, 0.0, 2.0, 1.0, 0.25]])
    figure = plot_scores(IMAGES[0], be.put(scores), label=label, name="logit", path=tmp_path / "s.png")
    picture, chart = figure.axes
    assert np.array_equal(shown(picture)[0].ravel(), IMAGES[0])
    assert [bar.get_height() for bar in chart.patches] == scores[0].tolist()
    assert [i for i, bar in enumerate(chart.patches) if bar.get_facecolor() == to_rgba(color)] == [3]
    assert (chart.get_ylabel(), chart.get_title()) == ("logit", "highest logit: 3")
    assert ("a 5" in picture.get_title()) == (label == 5)


def confusions(figure):
    """The images of the only axes by their cells, with what is written below each, and whether its frame is green."""
    [axes] = figure.axes
    seen = {}
    for image, frame, text in zip(axes.images, axes.patches, axes.texts, strict=True):
        left, right, bottom, top = image.get_extent()
        assert frame.get_bbox().bounds == pytest.approx((left, top, right - left, bottom - top))
        row, column = round((bottom + top) / 2), round((left + right) / 2)
        said, is_ = (axis.get_ticklabels()[i].get_text() for axis, i in ((axes.xaxis, column), (axes.yaxis, row)))
        assert text.get_position()[0] == column
        assert bottom < text.get_position()[1] < row + 0.5
        right = frame.get_edgecolor()[1] > frame.get_edgecolor()[0]  # green, else red
        seen[int(is_), int(said)] = image.get_array(), text.get_text(), right
    return seen


def test_confusions_show_an_image_of_each_kind_and_how_many_there_are(tmp_path):
    labels = np.array([0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 2, 2, 1, 0, 2])
    seen = confusions(plot_confusion_grid(IMAGES[:6], labels, predicted, classes=3, path=tmp_path / "c.png"))
    kinds = {(0, 0): (0, 1), (0, 2): (1, 2), (1, 1): (3, 1), (1, 0): (4, 1), (2, 2): (5, 1)}
    assert seen.keys() == kinds.keys()
    for (is_, said), (first, count) in kinds.items():
        image, text, right = seen[is_, said]
        assert np.array_equal(image.ravel(), IMAGES[first])
        assert text == str(count)
        assert right == (is_ == said)


@pytest.mark.parametrize("classes", [1, 2, 26, 30])
def test_the_confusions_of_any_number_of_classes(classes, tmp_path):
    """None are passed over, whether their number is told or not; what is written fits into the picture."""
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, classes, (2, 200))
    labels[-1] = classes - 1
    expected = {(i, j): np.sum((labels == i) & (predicted == j)) for i in range(classes) for j in range(classes)}
    for options in ({}, {"classes": classes}):
        figure = plot_confusion_grid(rng.random((200, 16)), labels, predicted, **options, path=tmp_path / "c.png")
        seen = {kind: int(text) for kind, (_, text, _) in confusions(figure).items()}
        assert seen == {kind: count for kind, count in expected.items() if count}
        assert overlaps(figure) == []
        assert outside(figure) == []


def test_the_confusions_of_a_thousand_classes_are_the_most_frequent(tmp_path):
    labels, predicted = np.arange(1000).repeat(2), np.arange(1000).repeat(2)
    for error, (is_, said) in enumerate([(999, 17), (3, 500), (500, 3), *((i, i + 1) for i in range(100, 130, 2))]):
        times = max(1, 10 - error)
        labels, predicted = np.append(labels, [is_] * times), np.append(predicted, [said] * times)
    figure = plot_confusion_grid(np.ones((len(labels), 16)), labels, predicted, path=tmp_path / "c.png")
    seen = confusions(figure)
    errors = {kind: text for kind, (_, text, _) in seen.items() if kind[0] != kind[1]}
    first = {(999, 17): "10", (3, 500): "9", (500, 3): "8"}
    more = {(i, i + 1): str(max(1, 7 - (i - 100) // 2)) for i in range(100, 116, 2)}
    assert errors == first | more
    assert seen.keys() - errors.keys() == {(k, k) for k in (3, 17, 500, 999, *range(100, 116))}
    told = " ".join(figure.get_supxlabel().split())
    hidden, total = 7, 10 + 9 + 8 + sum(max(1, 7 - i) for i in range(15))
    assert told.endswith(
        "Shown are the 20 of 1,000 classes with the most frequent errors; "
        f"{hidden} of {total} errors have other classes."
    )
    assert outside(figure) == []


def test_confusions_in_color(tmp_path):
    images = np.random.default_rng(0).random((2, 3, 4, 6))
    seen = confusions(plot_confusion_grid(images, np.array([0, 1]), np.array([0, 0]), path=tmp_path / "c.png"))
    assert np.array_equal(seen[1, 0][0], images[1].transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("labels", "predicted", "error"),
    [
        ([0, 10], [0, 1], LabelError),
        ([0, 1], [0, 10], LabelError),
        ([0, -1], [0, 1], LabelError),
        ([0], [0, 1], ShapeError),
        ([0.0, 1.0], [0, 1], DtypeError),
    ],
)
def test_labels_that_confusions_cannot_have(labels, predicted, error, tmp_path):
    with pytest.raises(error):
        plot_confusion_grid(IMAGES[:2], np.array(labels), np.array(predicted), classes=10, path=tmp_path / "c.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("classes", [1, 2, 20, 26, 1000])
def test_the_scores_of_any_number_of_classes(classes, tmp_path):
    from matplotlib.colors import to_rgba

    scores = np.linspace(0, 1, classes) ** 2 * 0.004
    figure = plot_scores(IMAGES[0], scores, label=classes - 1, path=tmp_path / "s.png")
    chart = figure.axes[1]
    assert [bar.get_facecolor() == to_rgba("tab:green") for bar in chart.patches] == [False] * (classes - 1) + [True]
    assert chart.texts[-1].get_text() == {1: "0.00"}.get(classes, "0.004")
    assert overlaps(figure) == outside(figure) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_score_is_the_highest_where_one_is_nan(bad, tmp_path):
    scores = np.array([0.5, bad, 0.7])
    figure = plot_scores(IMAGES[0], scores, label=1, path=tmp_path / "s.png")
    expected = "highest score: 1" if bad == math.inf else "no highest score: not all are numbers"
    assert figure.axes[1].get_title() == expected


(IMAGES, LABELS), _ = load_digits(normalize=False)

GREEN, RED = to_rgba("tab:green"), to_rgba("tab:red")


# A network whose scores are its input times 10: image i is taken for its largest pixel, the surer the larger it is.
X = np.array([[1, 0, 0, 0], [0, 0.4, 0, 0], [0, 0, 0.9, 0], [0.1, 0, 0, 0.6], [0.8, 0, 0, 0.1], [0, 0.3, 0, 0]])

T = np.array([0, 2, 1, 3, 3, 0])

WRONG = [2, 4, 1, 5]  # the surest first


def mirror(be=None, *, last_layer=None, input_shape=(1, 2, 2), classes=4):
    put = np.asarray if be is None else be.put
    W = put(10 * np.eye(classes))
    return Network([Flatten(), Affine(W, put(np.zeros(classes)))], last_layer, input_shape=input_shape)


def cells(figure):
    """For each misclassified image: its title, its axes and that of the bars."""
    axes = [a for a in figure.axes if a.get_images() or a.patches]
    parts = [part for part in figure.subfigs if part.get_suptitle()]
    return list(zip([part.get_suptitle() for part in parts], axes[::2], axes[1::2], strict=True))


def test_misclassified_images_come_the_surest_first(be, tmp_path):
    figure = plot_misclassified(mirror(be), be.put(X), be.put(T), path=tmp_path / "m.png")
    titles = ["1, taken for 2", "3, taken for 0", "2, taken for 1", "0, taken for 1"]
    assert [title for title, _, _ in cells(figure)] == titles
    for i, (_, image, bars) in zip(WRONG, cells(figure), strict=True):
        np.testing.assert_allclose(pictures([image])[0].get_array(), X[i].reshape(2, 2), rtol=1e-6)
        exp = np.exp(10 * X[i])
        np.testing.assert_allclose([bar.get_width() for bar in bars.patches], exp / exp.sum(), rtol=1e-4)
        colors = [bar.get_facecolor() for bar in bars.patches]
        assert colors.index(GREEN) == T[i]
        assert colors.index(RED) == X[i].argmax()
        named = bars.get_yticklabels()
        assert [text.get_text() for text in named] == ["0", "1", "2", "3"]
        assert [to_rgba(text.get_color()) for text in named].index(GREEN) == T[i]
        assert bars.get_xlim() == pytest.approx((0, 1.4))  # of all alike: the lengths can be compared
    assert figure.get_supxlabel().startswith("Wrong: 4 of 6 images, the most confident first. Bars: probability")


def test_a_few_of_them_are_the_surest_and_that_is_said(tmp_path):
    t = np.eye(4)[T]
    figure = plot_misclassified(
        mirror(),
        X,
        t,
        limit=2,
        columns=1,
        class_names=["ant", "bee", "cat", "dog"],
        title="Animals",
        path=tmp_path / "m.png",
    )
    assert [title for title, _, _ in cells(figure)] == ["bee, taken for cat", "dog, taken for ant"]
    assert [text.get_text() for text in cells(figure)[0][2].get_yticklabels()] == ["ant", "bee", "cat", "dog"]
    told = figure.get_supxlabel().replace("\n", " ")
    assert told.startswith("Wrong: 4 of 6 images, the 2 most confident are shown.")
    assert figure.get_suptitle() == "Animals"
    assert overlaps(figure) == []
    below = figure.findobj(lambda artist: getattr(artist, "get_text", str)() == figure.get_supxlabel())[0]
    assert below.get_window_extent().width < figure.bbox.width


@pytest.mark.parametrize("shape", [(-1, 64), (-1, 8, 8), (-1, 1, 8, 8)])
@pytest.mark.parametrize("input_shape", [(64,), (1, 8, 8)])
def test_they_are_those_of_a_trained_network_and_pixels_may_be_bytes(shape, input_shape, tmp_path):
    network = smallest_network() if len(input_shape) == 3 else Network([Affine.create(64, 10, "he", rng=0)])
    for _ in range(20):
        for key, grad in network.gradient(IMAGES[:300].reshape(-1, *input_shape), LABELS[:300]).items():
            network.params[key] -= 0.5 * grad
    probabilities = network.predict_proba(IMAGES.reshape(-1, *input_shape))
    wrong = [i for i in range(len(IMAGES)) if probabilities[i].argmax() != LABELS[i]]
    wrong.sort(key=lambda i: -probabilities[i].max())
    assert len(wrong) > 10
    figure = plot_misclassified(network, IMAGES.reshape(shape), LABELS, limit=10, path=tmp_path / "m.png")
    shown = [pictures([image])[0].get_array().ravel().tolist() for _, image, _ in cells(figure)]
    assert shown == IMAGES[wrong[:10]].tolist()
    assert figure.get_supxlabel().startswith(f"Wrong: {len(wrong)} of {len(IMAGES):,} images, the 10 most")


def test_arrays_of_another_backend_than_the_network_are_taken(be, tmp_path):
    figure = plot_misclassified(mirror(), be.put(X), be.put(T), path=tmp_path / "m.png")
    assert len(cells(figure)) == 4
    assert pictures(plot_activations(mirror(), be.put(X[0]), path=tmp_path / "a.png"))[0].get_array().shape == (2, 2)


def test_misclassified_images_in_color(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 2, 2), dtype=np.uint8)
    network = mirror(input_shape=(3, 2, 2), classes=12)
    t = (x.reshape(2, 12).argmax(axis=1) + 1) % 12
    for given in (x, x.reshape(2, 12)):
        figure = plot_misclassified(network, given, t, path=tmp_path / "m.png")
        shown = [pictures([image])[0].get_array() for _, image, _ in cells(figure)]
        order = np.argsort(-network.predict_proba(x).max(axis=1), kind="stable")
        np.testing.assert_allclose(shown, np.moveaxis(x[order], 1, -1) / 255, rtol=1e-12)


def test_of_many_classes_the_highest_and_the_label_have_bars(tmp_path):
    scores = np.arange(16.0)[np.newaxis] / 10
    figure = plot_misclassified(mirror(input_shape=(16,), classes=16), scores, np.array([2]), path=tmp_path / "m.png")
    [(_, _, bars)] = cells(figure)
    assert [text.get_text() for text in bars.get_yticklabels()] == ["2", *(str(k) for k in range(7, 16))]
    assert overlaps(figure) == []


def test_scores_stand_for_probabilities_there_too(tmp_path):
    figure = plot_misclassified(mirror(last_layer=Hinge()), X - 0.5, T, path=tmp_path / "m.png")
    (_, _, bars), *_ = cells(figure)
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([-5, -5, 4, -5])
    assert "Bars: score" in figure.get_supxlabel()
    assert bars.get_xlim()[0] == -5


NAN = np.where(np.arange(6)[:, None] == 3, np.nan, X)


@pytest.mark.parametrize(
    ("last_layer", "x", "t", "error", "message"),
    [
        (
            SoftmaxWithLoss(),
            X,
            X.argmax(axis=1),
            ArgumentError,
            "There is nothing to draw: .*classifies all 6 images correctly",
        ),
        (SigmoidWithLoss(), X, T, ArgumentError, r"SigmoidWithLoss\(\) has no mutually exclusive classes"),
        (IdentityWithLoss(), X, T, ArgumentError, r"IdentityWithLoss\(\) has no mutually exclusive classes"),
        (SoftmaxWithLoss(), NAN, T, DataError, r"not finite, in 1 of 6 samples; the first is at index \(3"),
        (SoftmaxWithLoss(), X[:5], T, ShapeError, r"Expected labels of shape \(5,\)"),
        (SoftmaxWithLoss(), X[0], T[:1], ShapeError, r"Expected images \(N, ...\).*x\[None\]"),
        (SoftmaxWithLoss(), X, T + 1, LabelError, "Expected labels from 0 to 3, got 4"),
    ],
)
def test_where_nothing_can_be_wrong_is_an_error(last_layer, x, t, error, message, tmp_path):
    with pytest.raises(error, match=message):
        plot_misclassified(mirror(last_layer=last_layer), x, t, path=tmp_path / "m.png")
    assert list(tmp_path.iterdir()) == []


def test_classes_may_be_named_by_an_array(tmp_path):
    names = np.array(["none", "one", "two", "three"])
    figure = plot_misclassified(mirror(), X, T, class_names=names, path=tmp_path / "m.png")
    assert "one, taken for two" in [part.get_suptitle() for part in figure.subfigs]
