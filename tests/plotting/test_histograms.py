"""Histograms: each bar is the number of values in its range, and what lies outside is reported."""

import numpy as np
import pytest
from drawn_texts import overlaps

from xpnet.errors import ArgumentError
from xpnet.plotting import plot_histograms


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
        ({"1": np.ones(2), "row": {"1": np.ones(2)}}, {}, "got both in one mapping"),
        ({"1": np.ones(2)}, {"range": (1, 0)}, "low < high, got \\(1, 0\\)"),
        ({"1": np.ones(2)}, {"bins": 0}, "bins must be a whole number"),
    ],
)
def test_what_makes_no_histogram_is_an_error(arrays, options, message):
    with pytest.raises(ArgumentError, match=message):
        plot_histograms(arrays, **options)
