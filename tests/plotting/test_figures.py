"""Pictures: what is on the axes is what was given."""

import math

import numpy as np
import pytest
from drawn_texts import overlaps, written

from xpnet import History, load_digits
from xpnet.errors import ArgumentError, DtypeError, LabelError, ShapeError
from xpnet.plotting import (
    plot_confusions,
    plot_digits,
    plot_grid_of_runs,
    plot_histograms,
    plot_learning_curves,
    plot_paths,
    plot_runs,
    plot_scores,
    plot_search,
    plot_search_curves,
    save_figure,
    smooth_curve,
)

(IMAGES, LABELS), _ = load_digits(normalize=False)


def shown(axes):
    """The images on the axes."""
    return [image.get_array() for image in axes.get_images()]


@pytest.mark.parametrize("shape", [(-1, 64), (-1, 8, 8), (-1, 1, 8, 8)])
def test_digits_are_shown_in_order_with_their_captions(shape, tmp_path):
    figure = plot_digits(IMAGES[:7].reshape(shape), LABELS[:7], columns=3, title="Digits", path=tmp_path / "d.png")
    assert len(figure.axes) == 9
    for i in range(7):
        [picture] = shown(figure.axes[i])
        assert np.array_equal(picture, IMAGES[i].reshape(8, 8))
        assert figure.axes[i].get_title() == str(LABELS[i])
    assert not any(shown(axes) for axes in figure.axes[7:])
    assert figure.get_suptitle() == "Digits"
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_digits_of_every_backend_and_without_captions(be, tmp_path):
    figure = plot_digits(be.put(IMAGES[:2]), path=tmp_path / "d.svg")
    assert all(np.array_equal(shown(axes)[0].ravel(), IMAGES[i]) for i, axes in enumerate(figure.axes))
    assert [axes.get_title() for axes in figure.axes] == ["", ""]  # two of them
    assert b"<svg" in (tmp_path / "d.svg").read_bytes()


@pytest.mark.parametrize("shape", [(2, 32), (2, 3, 4, 4), (16,)])
def test_what_is_no_image_is_an_error(shape, tmp_path):
    with pytest.raises(ShapeError, match="Expected images of shape"):
        plot_digits(np.zeros(shape), path=tmp_path / "d.png")
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
    seen = confusions(plot_confusions(IMAGES[:6], labels, predicted, classes=3, path=tmp_path / "c.png"))
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
        figure = plot_confusions(rng.random((200, 16)), labels, predicted, **options, path=tmp_path / "c.png")
        seen = {kind: int(text) for kind, (_, text, _) in confusions(figure).items()}
        assert seen == {kind: count for kind, count in expected.items() if count}
        assert overlaps(figure) == []
        assert outside(figure) == []


def test_the_confusions_of_a_thousand_classes_are_the_most_frequent(tmp_path):
    labels, predicted = np.arange(1000).repeat(2), np.arange(1000).repeat(2)
    for error, (is_, said) in enumerate([(999, 17), (3, 500), (500, 3), *((i, i + 1) for i in range(100, 130, 2))]):
        times = max(1, 10 - error)
        labels, predicted = np.append(labels, [is_] * times), np.append(predicted, [said] * times)
    figure = plot_confusions(np.ones((len(labels), 16)), labels, predicted, path=tmp_path / "c.png")
    seen = confusions(figure)
    errors = {kind: text for kind, (_, text, _) in seen.items() if kind[0] != kind[1]}
    first = {(999, 17): "10", (3, 500): "9", (500, 3): "8"}
    more = {(i, i + 1): str(max(1, 7 - (i - 100) // 2)) for i in range(100, 116, 2)}
    assert errors == first | more
    assert seen.keys() - errors.keys() == {(k, k) for k in (3, 17, 500, 999, *range(100, 116))}
    told = " ".join(figure.get_supxlabel().split())
    hidden, total = 7, 10 + 9 + 8 + sum(max(1, 7 - i) for i in range(15))
    assert told.endswith(
        "Here are the 20 of 1,000 classes with the most frequent errors; "
        f"{hidden} of {total} errors have other classes."
    )
    assert outside(figure) == []


def test_confusions_in_color(tmp_path):
    images = np.random.default_rng(0).random((2, 3, 4, 6))
    seen = confusions(plot_confusions(images, np.array([0, 1]), np.array([0, 0]), path=tmp_path / "c.png"))
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
        plot_confusions(IMAGES[:2], np.array(labels), np.array(predicted), classes=10, path=tmp_path / "c.png")
    assert list(tmp_path.iterdir()) == []


def outside(figure):
    """The texts that the picture cuts off."""
    boxes, (width, height) = written(figure), figure.canvas.get_width_height()
    return [text for text, box in boxes if min(box.x0, box.y0) < -1 or box.x1 > width + 1 or box.y1 > height + 1]


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


def drawn(axes):
    """The curves on the axes: by name, the horizontal and the vertical places."""
    return {line.get_label(): tuple(np.array(a).tolist() for a in line.get_data()) for line in axes.lines}


def legend(axes_or_figure):
    legends = [axes_or_figure.get_legend()] if hasattr(axes_or_figure, "get_legend") else axes_or_figure.legends
    return [text.get_text() for one in legends for text in one.get_texts()]


def test_learning_curves_have_validation_as_a_third_curve(tmp_path):
    train, test, validation = [0.1, 0.5, 0.9], [0.1, 0.4, 0.7], [0.2, 0.3, 0.6]
    figure = plot_learning_curves([2.0, 1.0], [0, 1, 1.5], train, test, validation, path=tmp_path / "l.png")
    right = figure.axes[1]
    assert [line.get_ydata().tolist() for line in right.lines] == [train, test, validation]
    assert [line.get_linestyle() for line in right.lines] == ["-", "--", "-."]
    assert legend(right) == ["train: 0.9000 at last", "test: 0.7000 at last", "validation: 0.6000 at last"]
    without_test = plot_learning_curves([2.0], [0, 1, 1.5], [], [], validation, path=tmp_path / "l.png").axes[1]
    assert legend(without_test) == ["validation: 0.6000 at last"]
    assert len(plot_learning_curves([2.0], [0], [], [], path=tmp_path / "l.png").axes) == 1


def test_the_loss_on_the_validation_set_is_drawn_over_that_of_the_minibatches(tmp_path):
    [axes] = plot_learning_curves(
        [2.0, 1.0], [0, 1, 2], [], [], val_loss=[3.0, 2.5, 2.0], iterations=[0, 1, 2], path=tmp_path / "l.png"
    ).axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[2.0, 1.0], [3.0, 2.5, 2.0]]
    assert axes.lines[1].get_xdata().tolist() == [0, 1, 2]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "each minibatch",
        "validation: 2.0000 at last",
    ]


def test_smoothing_keeps_lines_and_lengths_and_halves_noise():
    """As the course does it: a Kaiser window of 11 points, mirrored at the ends."""
    line, noise = np.arange(50.0), np.random.default_rng(0).standard_normal(5000)
    np.testing.assert_allclose(smooth_curve(line)[5:-5], line[5:-5], rtol=1e-14)
    assert smooth_curve(noise).shape == (5000,)
    weights = np.kaiser(11, 2) / np.kaiser(11, 2).sum()
    assert smooth_curve(noise)[100] == pytest.approx(weights @ noise[95:106], rel=1e-12)
    assert smooth_curve(noise)[0] == pytest.approx(weights @ noise[[5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5]], rel=1e-12)
    assert smooth_curve(noise, 1).tolist() == noise.tolist()
    assert smooth_curve([3.0]).tolist() == pytest.approx([3.0])
    assert smooth_curve([]).tolist() == []
    with pytest.raises(ArgumentError, match=r"window must be odd.*got 10\. Use `window=11`"):
        smooth_curve(line, 10)


def test_runs_are_curves_over_one_axis(tmp_path):
    runs = {"SGD": [3.0, 2.0, 1.0], "Adam": [3.0, 1.0]}
    axes = plot_runs(runs, title="Two", path=tmp_path / "r.png").axes[0]
    assert drawn(axes) == {"SGD": ([1, 2, 3], [3, 2, 1]), "Adam": ([1, 2], [3, 1])}
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("iteration", "loss", "Two")
    assert legend(axes) == ["SGD", "Adam"]
    assert axes.get_ylim()[0] == 0
    assert len({line.get_color() for line in axes.lines} | {line.get_marker() for line in axes.lines}) == 4
    smooth = plot_runs({"SGD": list(range(20)) + [0.0] * 20}, smooth=5, path=tmp_path / "r.png").axes[0]
    assert drawn(smooth)["SGD"][1] == smooth_curve(list(range(20)) + [0.0] * 20, 5).tolist()


def test_runs_of_accuracies_go_from_0_to_1_by_epoch(tmp_path):
    runs = {"train": [0.1, 0.9], "test": [0.1, 0.7]}
    axes = plot_runs(runs, what="accuracy", dashed=["test"], path=tmp_path / "r.png").axes[0]
    assert drawn(axes) == {"train": ([0, 1], [0.1, 0.9]), "test": ([0, 1], [0.1, 0.7])}
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_ylim()) == ("epoch", "accuracy", (0, 1))
    options = {"xlabel": "step", "ylabel": "norm", "ylim": (0.5, 2), "x": [0, 1.5]}
    axes = plot_runs(runs, what="accuracy", path=tmp_path / "r.png", **options).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_ylim()) == ("step", "norm", (0.5, 2))
    assert drawn(axes)["test"] == ([0, 1.5], [0.1, 0.7])


@pytest.mark.parametrize(
    ("runs", "options", "error", "message"),
    [
        ({}, {}, ArgumentError, "no curve was given"),
        ({"a": [1.0]}, {"what": "speed"}, ArgumentError, "what must be 'loss' or 'accuracy', got 'speed'"),
        ({"a": [1.0]}, {"x": [1, 2]}, ShapeError, "x has 2 numbers, the longest curve 1"),
        ({"a": [1.0]}, {"dashed": ["b"]}, ArgumentError, r"dashed names \['b'\]"),
        ({"a": [[1.0]]}, {}, ShapeError, r"'a' must be a sequence of numbers, \(N,\), got shape \(1, 1\)"),
    ],
)
def test_what_are_no_runs_is_an_error(runs, options, error, message, tmp_path):
    for draw in (lambda: plot_runs(runs, **options), lambda: plot_grid_of_runs({"W": runs}, **options)):
        with pytest.raises(error, match=message):
            draw()


def test_a_grid_of_runs_has_one_legend_and_one_colour_a_name(tmp_path):
    panels = {f"W: {i}": {"with": [0.1, i / 5], "without": [0.1, i / 10]} for i in range(1, 4)}
    panels["W: 4"] = {"without": [0.1, 0.4]}
    panels["W: 5"] = {"without": [0.1, 0.5], "with": [0.1, 1.0]}
    figure = plot_grid_of_runs(
        panels, columns=3, dashed=["without"], title="With and without it, five times", path=tmp_path / "g.png"
    )
    assert [axes.get_title() for axes in figure.axes] == list(panels)
    for axes, runs in zip(figure.axes, panels.values(), strict=True):
        assert drawn(axes) == {name: ([0, 1], y) for name, y in runs.items()}
        styles = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in axes.lines}
        assert styles.items() <= {"with": ("C0", "-"), "without": ("C1", "--")}.items()
        assert axes.get_ylim() == (0, 1)
        assert axes.get_legend() is None
    assert legend(figure) == ["with", "without"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "epoch", "epoch", "epoch"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy", "", "", "accuracy", ""]
    third = figure.axes[2].xaxis.get_major_ticks()  # the place below it is empty
    assert all(tick.label1.get_visible() for tick in third)
    assert overlaps(figure) == []


def test_histograms_count_what_lies_in_the_range(be, tmp_path):
    values = np.array([[0.0, 0.05, 0.5], [1.0, 1.5, -2.0]])
    figure = plot_histograms({"1-layer": be.put(values), "2-layer": be.put(values[0])}, bins=4, path=tmp_path / "h.png")
    first, second = figure.axes
    assert [bar.get_height() for bar in first.patches] == [2, 0, 1, 1]
    assert [bar.get_height() for bar in second.patches] == [2, 0, 1, 0]
    assert [axes.get_title() for axes in figure.axes] == ["1-layer", "2-layer"]
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["17% below 0\n17% above 1", ""]
    assert first.get_ylim() == second.get_ylim()


def test_histograms_in_rows(tmp_path):
    rng = np.random.default_rng(0)
    layers = {f"{i}-layer": rng.uniform(-1, 1, (10, 10)) for i in range(1, 4)}
    rows = {"std 1": layers, "Xavier": {"1-layer": rng.uniform(-0.1, 0.1, 1000)}}
    options = {"range": (-1, 1), "ylim": (0, 500), "xlabel": "output", "title": "By initializer"}
    figure = plot_histograms(rows, path=tmp_path / "h.png", **options)
    assert [axes.get_title() for axes in figure.axes] == ["1-layer", "2-layer", "3-layer", "1-layer"]
    assert [len(axes.patches) for axes in figure.axes] == [30] * 4
    assert [sum(bar.get_height() for bar in axes.patches) for axes in figure.axes] == [100, 100, 100, 1000]
    assert [axes.get_ylabel() for axes in figure.axes] == ["std 1\ncount", "", "", "Xavier\ncount"]
    assert {axes.get_ylim() for axes in figure.axes} == {(0, 500)}
    numbered = [all(tick.label1.get_visible() for tick in axes.xaxis.get_major_ticks()) for axes in figure.axes]
    assert numbered == [False, True, True, True]
    assert overlaps(figure) == []


def test_few_values_outside_are_counted_and_nan_is_told(tmp_path):
    values = np.append(np.full(998, 0.5), [2.0, np.nan])
    [axes] = plot_histograms({"": values}, path=tmp_path / "h.png").axes
    assert axes.texts[0].get_text() == "1 above 1\n1 nan"


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({}, {}, "no array was given"),
        ({"row": {}}, {}, "no array was given"),
        ({"1": np.ones(2), "row": {"1": np.ones(2)}}, {}, "not both"),
        ({"1": np.ones(2)}, {"range": (1, 0)}, "low < high, got \\(1, 0\\)"),
        ({"1": np.ones(2)}, {"bins": 0}, "bins must be a whole number"),
    ],
)
def test_what_makes_no_histogram_is_an_error(arrays, options, message):
    with pytest.raises(ArgumentError, match=message):
        plot_histograms(arrays, **options)


def test_paths_lie_over_contour_lines_of_the_function(tmp_path):
    paths = {"SGD": [(-7, 2), (-6, -1), (-5, 0.5)], "Adam": [(-7, 2), (99, 99)], "Momentum": [(1, 1)]}
    figure = plot_paths(lambda x, y: x**2 / 20 + y**2, paths, levels=[1, 4], minimum=(0, 0), path=tmp_path / "p.png")
    assert [axes.get_title() for axes in figure.axes] == list(paths)
    for axes, points in zip(figure.axes, paths.values(), strict=True):
        way, start, minimum = (np.transpose(line.get_data()).tolist() for line in axes.lines)
        assert way == [list(p) for p in points]
        assert (start, minimum) == ([list(points[0])], [[0, 0]])
        assert (axes.get_xlim(), axes.get_ylim()) == ((-10, 10), (-10, 10))
        for level, line in zip((1, 4), axes.collections[0].get_paths(), strict=True):
            x, y = line.vertices.T
            np.testing.assert_allclose(x**2 / 20 + y**2, level, rtol=1e-2)  # straight between the points of a grid
    assert overlaps(figure) == []


def test_contour_lines_of_a_quadratic_are_equally_far_apart(tmp_path):
    [axes] = plot_paths(lambda x, y: x**2 + y**2 + 3, {"": [(0, 0)]}, levels=5, path=tmp_path / "p.png").axes
    heights = axes.collections[0].levels - 3
    np.testing.assert_allclose(heights, 200 * (np.arange(1, 6) / 5) ** 2, rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "paths", "error", "message"),
    [
        (np.hypot, {}, ArgumentError, "no path was given"),
        (np.hypot, {"SGD": [1, 2]}, ShapeError, r"'SGD' to be points .*got shape \(2,\)"),
        (lambda x, y: 1.0, {"SGD": [(1, 2)]}, ShapeError, "f must give a number a point"),
    ],
)
def test_what_is_no_path_is_an_error(f, paths, error, message):
    with pytest.raises(error, match=message):
        plot_paths(f, paths)


def test_a_search_shows_scores_by_each_parameter_and_the_best_as_a_star(tmp_path):
    parameters = {"lr": [1e-3, 1e-1, 1e-2, 1e-4], "width": [10, 20, 30, 40], "optimizer": ["SGD", "Adam", "SGD", "SGD"]}
    scores = [0.5, 0.9, float("nan"), 0.7]
    figure = plot_search(parameters, scores, log=["lr"], title="Search", path=tmp_path / "s.png")
    *panels, bar = figure.axes
    places = {"lr": [1e-3, 1e-4, 1e-1], "width": [10, 40, 20], "optimizer": [0, 0, 1]}
    for axes, (name, x) in zip(panels, places.items(), strict=True):
        points = axes.collections[0]
        assert np.array(points.get_offsets()).T.tolist() == [x, [0.5, 0.7, 0.9]]  # the worst first
        assert points.get_array().tolist() == [3, 2, 1]
        [star] = axes.lines
        assert (star.get_marker(), *np.ravel(star.get_data())) == ("*", x[-1], 0.9)
        assert axes.get_xlabel() == name
        assert axes.get_xscale() == ("log" if name == "lr" else "linear")
    assert [axes.get_ylabel() for axes in panels] == ["score", "", ""]
    assert [label.get_text() for label in panels[2].get_xticklabels()] == ["SGD", "Adam"]
    assert bar.get_ylabel() == "rank"
    assert overlaps(figure) == []


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([5, 10, 63], ["5", "10", "20", "50"]),
        ([33, 48], ["35", "40", "45"]),
        ([0.5, 50, 500], ["$\\mathdefault{10^{0}}$", "$\\mathdefault{10^{1}}$", "$\\mathdefault{10^{2}}$"]),
    ],
)
def test_logarithmic_axes_have_numbers_that_do_not_crowd(values, labels, tmp_path):
    figure = plot_search({"width": values}, range(len(values)), log=["width"], path=tmp_path / "s.png")
    assert overlaps(figure) == []
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert [label.get_text() for at, label in ticks if low <= at <= high] == labels


def test_of_equals_the_first_trial_is_the_best(tmp_path):
    axes = plot_search({"lr": [1, 2, 3, 4]}, [0.1, 0.5, 0.5, 0.5], path=tmp_path / "s.png").axes[0]
    assert axes.lines[0].get_xdata().tolist() == [2]


def test_four_parameters_are_two_and_two(tmp_path):
    figure = plot_search({name: [1, 2] for name in "abcd"}, [0, 1], path=tmp_path / "s.png")
    assert [axes.get_ylabel() for axes in figure.axes[:4]] == ["score", "", "score", ""]


def test_a_search_without_scores_is_an_error():
    with pytest.raises(ArgumentError, match="no trial has a score"):
        plot_search({"lr": [0.1]}, [float("nan")])
    with pytest.raises(ShapeError, match="lr has 1 values, but there are 2 scores"):
        plot_search({"lr": [0.1]}, [1, 2])
    with pytest.raises(ArgumentError, match="no trial was given"):
        plot_search_curves([])


def test_curves_of_a_search_are_numbered_and_captioned(tmp_path):
    epochs, captions = [0, 1, 1.5], [f"lr=0.00{i}, weight_decay=1.23e-0{i}, hidden_size=100" for i in range(1, 7)]
    curves = [(epochs, [0.1, 0.2, i / 10], [0.1, 0.3, 0.9] if i != 5 else []) for i in range(6, 0, -1)]
    figure = plot_search_curves(curves, captions, path=tmp_path / "s.png")
    assert [axes.get_title() for axes in figure.axes] == [f"Best-{i}" for i in range(1, 7)]
    for axes, (_, validation, train), caption in zip(figure.axes, curves, captions, strict=True):
        expected = {"validation": (epochs, validation)} | ({"training": (epochs, train)} if train else {})
        assert drawn(axes) == expected
        assert [line.get_linestyle() for line in axes.lines] == ["-", "--"][: len(expected)]
        assert axes.texts[0].get_text().replace("\n", " ") == caption
        assert axes.get_ylim() == (0, 1)
    assert legend(figure) == ["validation", "training"]
    assert overlaps(figure) == []


def test_a_figure_is_written_whole_into_a_new_folder(tmp_path):
    from matplotlib.figure import Figure

    path = save_figure(Figure(), tmp_path / "new" / "figure.pdf")
    assert path == tmp_path / "new" / "figure.pdf"
    assert path.read_bytes().startswith(b"%PDF")


def test_without_a_path_it_is_pyplots_to_be_shown():
    import matplotlib.pyplot as plt

    figure = plot_digits(IMAGES[:1])
    assert plt.gcf() is figure
    plt.close(figure)


# --- what is not finite, or not there -------------------------------------------------------------------------------


def test_a_history_with_points_that_are_not_finite_says_how_many(tmp_path):
    nan = math.nan
    figure = plot_learning_curves(
        [2.0, nan, math.inf], [0, 1], [0.5, nan], [0.5, 0.6], val_loss=[nan, nan], iterations=[0, 3],
        path=tmp_path / "l.png",
    )  # fmt: skip
    left, right = figure.axes
    assert legend(left) == ["each minibatch (2 of 3 not finite)", "validation: nan at last (2 of 2 not finite)"]
    assert legend(right) == ["train: nan at last (1 of 2 not finite)", "test: 0.6000 at last"]
    assert left.lines[0].get_marker() == "."  # or a point between two that are not finite would not be seen


def test_a_history_without_a_loss_says_so(tmp_path):
    assert History().plot(tmp_path / "l.png").axes[0].get_title() == "Loss: none recorded"
    assert History(loss=[1.0]).plot(tmp_path / "l.png").axes[0].lines[0].get_marker() == "."


def test_learning_curves_are_taken_as_arrays(tmp_path):
    lists = [2.0, 1.0], [0, 1], [0.5, 0.6], [0.5, 0.7], [0.1, 0.2]
    options = {"val_loss": [1.0, 2.0], "iterations": [0, 2]}
    first, second = (
        plot_learning_curves(*map(kind, lists), **{k: kind(v) for k, v in options.items()}, path=tmp_path / "l.png")
        for kind in (list, np.array)
    )
    assert [drawn(axes) for axes in first.axes] == [drawn(axes) for axes in second.axes]


def test_learning_curves_say_of_how_many_samples_they_are(tmp_path):
    figure = plot_learning_curves([2.0], [0], [0.5], [0.5], evaluated_samples=1000, path=tmp_path / "l.png")
    assert figure.axes[1].get_title() == "Accuracy on up to 1,000 samples of each set"


def test_accuracies_of_other_lengths_are_an_error(tmp_path):
    with pytest.raises(ShapeError, match="Expected a number in train_acc for each of the 2 epochs, got 1"):
        plot_learning_curves([2.0], [0, 1], [0.5], [0.5, 0.6], path=tmp_path / "l.png")
    with pytest.raises(ShapeError, match="Expected a number in val_loss for each of the 0 iterations, got 1"):
        plot_learning_curves([2.0], [0], [0.5], [0.5], val_loss=[1.0], path=tmp_path / "l.png")


def test_runs_with_points_that_are_not_finite_say_how_many(tmp_path):
    runs = {"a": [1.0, math.nan, 3.0], "b": [1.0, 2.0, 3.0]}
    [axes] = plot_runs(runs, path=tmp_path / "r.png").axes
    assert legend(axes) == ["a (1 of 3 not finite)", "b"]
    figure = plot_grid_of_runs({"p": runs, "q": {"b": [1.0]}}, path=tmp_path / "r.png")
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["a (1 of 3 not finite)", ""]
    assert legend(figure) == ["a", "b"]


@pytest.mark.parametrize("count", [20, 26, 1000])
def test_a_legend_of_many_runs_fits_into_the_picture(count, tmp_path):
    runs = {f"run {i}": [0.1, 0.2] for i in range(count)}
    for figure in (plot_runs(runs, path=tmp_path / "r.png"), plot_grid_of_runs({"p": runs}, path=tmp_path / "r.png")):
        [made] = figure.legends or [figure.axes[0].get_legend()]
        assert len(made.get_texts()) == 20
        assert made.get_title().get_text() == ("" if count == 20 else f"the first 20 of {count:,}")
        assert outside(figure) == []
        assert len(figure.axes[0].lines) == count


def test_what_is_empty_is_an_error_or_said(tmp_path):
    path = tmp_path / "p.png"
    with pytest.raises(ShapeError, match="There is nothing to draw: images of shape"):
        plot_digits(np.empty((0, 16)), path=path)
    with pytest.raises(ShapeError, match=r"points \(x, y\), shape \(N, 2\), got shape \(0, 2\)"):
        plot_paths(lambda x, y: x + y, {"a": np.empty((0, 2))}, path=path)
    [axes] = plot_histograms({"a": np.empty(0)}, path=path).axes
    assert axes.texts[0].get_text() == "no values"


def test_a_logarithmic_axis_has_no_place_for_zero(tmp_path):
    scores = [0.1, 0.2]
    with pytest.raises(ArgumentError, match="no place for 0, a value of lr. Leave 'lr' out of `log`"):
        plot_search({"lr": [0.0, 0.1]}, scores, log=["lr"], path=tmp_path / "s.png")
    plot_search({"lr": [0.0, 0.1]}, scores, log=[], path=tmp_path / "s.png")
