"""Learning curves and runs: what is on the axes is what was given."""

import math

import numpy as np
import pytest
from drawn_texts import drawn, legend, outside, overlaps

from xpnet.errors import ArgumentError, ShapeError
from xpnet.plotting import plot_learning_curves, plot_run_grid, plot_runs, smooth_curve
from xpnet.training.history import History


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
    axes = plot_runs(runs, quantity="accuracy", dashed=["test"], path=tmp_path / "r.png").axes[0]
    assert drawn(axes) == {"train": ([0, 1], [0.1, 0.9]), "test": ([0, 1], [0.1, 0.7])}
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_ylim()) == ("epoch", "accuracy", (0, 1))
    options = {"xlabel": "step", "ylabel": "norm", "ylim": (0.5, 2), "x": [0, 1.5]}
    axes = plot_runs(runs, quantity="accuracy", path=tmp_path / "r.png", **options).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_ylim()) == ("step", "norm", (0.5, 2))
    assert drawn(axes)["test"] == ([0, 1.5], [0.1, 0.7])


@pytest.mark.parametrize(
    ("runs", "options", "error", "message"),
    [
        ({}, {}, ArgumentError, "no curve was given"),
        ({"a": [1.0]}, {"quantity": "speed"}, ArgumentError, "quantity must be 'loss' or 'accuracy', got 'speed'"),
        ({"a": [1.0]}, {"x": [1, 2]}, ShapeError, "x has 2 numbers, the longest curve 1"),
        ({"a": [1.0]}, {"dashed": ["b"]}, ArgumentError, r"dashed names \['b'\]"),
        ({"a": [[1.0]]}, {}, ShapeError, r"'a' must be a sequence of numbers, \(N,\), got shape \(1, 1\)"),
    ],
)
def test_what_are_no_runs_is_an_error(runs, options, error, message, tmp_path):
    for draw in (lambda: plot_runs(runs, **options), lambda: plot_run_grid({"W": runs}, **options)):
        with pytest.raises(error, match=message):
            draw()


def test_a_grid_of_runs_has_one_legend_and_one_color_a_name(tmp_path):
    panels = {f"W: {i}": {"with": [0.1, i / 5], "without": [0.1, i / 10]} for i in range(1, 4)}
    panels["W: 4"] = {"without": [0.1, 0.4]}
    panels["W: 5"] = {"without": [0.1, 0.5], "with": [0.1, 1.0]}
    figure = plot_run_grid(
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
    figure = plot_run_grid({"p": runs, "q": {"b": [1.0]}}, path=tmp_path / "r.png")
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["a (1 of 3 not finite)", ""]
    assert legend(figure) == ["a", "b"]


@pytest.mark.parametrize("count", [20, 26, 1000])
def test_a_legend_of_many_runs_fits_into_the_picture(count, tmp_path):
    runs = {f"run {i}": [0.1, 0.2] for i in range(count)}
    for figure in (plot_runs(runs, path=tmp_path / "r.png"), plot_run_grid({"p": runs}, path=tmp_path / "r.png")):
        [made] = figure.legends or [figure.axes[0].get_legend()]
        assert len(made.get_texts()) == 20
        assert made.get_title().get_text() == ("" if count == 20 else f"the first 20 of {count:,}")
        assert outside(figure) == []
        assert len(figure.axes[0].lines) == count
