"""Plots of a search: scores by parameter, and the curves of the best trials."""

import numpy as np
import pytest
from drawn_texts import drawn, legend, overlaps

from xpnet import load_digits
from xpnet.errors import ArgumentError, ShapeError
from xpnet.plotting import plot_search, plot_search_curves

(IMAGES, LABELS), _ = load_digits(normalize=False)


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


def test_a_logarithmic_axis_has_no_place_for_zero(tmp_path):
    scores = [0.1, 0.2]
    with pytest.raises(ArgumentError, match="no place for 0, a value of lr. Leave 'lr' out of `log`"):
        plot_search({"lr": [0.0, 0.1]}, scores, log=["lr"], path=tmp_path / "s.png")
    plot_search({"lr": [0.0, 0.1]}, scores, log=[], path=tmp_path / "s.png")
