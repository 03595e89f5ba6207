"""The result of a search: the table, the summary, the CSV file, and the plots of its trials."""

import csv
import math

import numpy as np
import pytest
from small_search import history, near, search

from xpnet.errors import ArgumentError
from xpnet.search import Choice, LogUniform, SearchResult, Trial, Uniform


def result_of(*trials, space=None):
    space = space or {"lr": LogUniform(1e-6, 1), "width": Uniform(1, 999, whole=True), "name": Choice(["SGD", "Adam"])}
    made = [
        Trial(dict(zip(space, params, strict=True)), score, None, seconds, error)
        for params, score, seconds, error in trials
    ]
    return SearchResult(made, space, 0)


GOOD = ((0.0123456, 50, "SGD"), 0.81236, 1.26, "")

BEST = ((3.0e-5, 100, "Adam"), 0.9, 10.0, "")

FAILED = ((0.5, 7, "SGD"), math.nan, 0.04, "FloatingPointError: overflow")


def test_the_table_has_the_best_first():
    assert result_of(GOOD, BEST).table().splitlines() == [
        "  rank    score      lr    width    name    seconds",
        "------  -------  ------  -------  ------  ---------",
        "     1   0.9000   3e-05      100    Adam       10.0",
        "     2   0.8124  0.0123       50     SGD        1.3",
    ]
    lines = result_of(GOOD, FAILED, BEST).table(None).splitlines()
    assert lines[0].split() == ["rank", "score", "lr", "width", "name", "seconds", "error"]
    assert lines[-1].split() == ["3", "failed", "0.5", "7", "SGD", "0.0", "FloatingPointError:", "overflow"]
    many = result_of(*[((10.0**-i, i, "SGD"), i / 100, 0.0, "") for i in range(1, 31)])
    assert [line.split()[1] for line in many.table().splitlines()[2:]] == [f"{i / 100:.4f}" for i in range(30, 20, -1)]
    assert len(many.table(2).splitlines()) == 4
    assert len(many.table(None).splitlines()) == 32
    with pytest.raises(ArgumentError, match="n must be"):
        many.table(0)


def test_the_last_line_says_how_many_how_long_and_what_is_best(capsys):
    best = "best score 0.9000 with lr=3e-05, width=100, name=Adam"
    assert str(result_of(GOOD, BEST)) == f"2 trials in 11.3 s; {best}"
    assert str(result_of(GOOD, BEST, FAILED)) == f"3 trials in 11.3 s, 1 of them failed; {best}"
    assert repr(result_of(BEST)) == f"SearchResult(1 trial in 10.0 s; {best})"
    result = search(near, verbose=True)
    assert capsys.readouterr() == (f"{result}\n", "")  # no progress bar where there is no terminal
    search(near)
    assert capsys.readouterr() == ("", "")


def test_csv_has_every_digit_of_every_trial_in_order(tmp_path):
    result_of(GOOD, FAILED, BEST).to_csv(tmp_path / "new" / "s.csv")
    rows = list(csv.DictReader((tmp_path / "new" / "s.csv").read_text().splitlines()))
    assert [row["trial"] for row in rows] == ["0", "1", "2"]
    assert rows[0] == {
        "trial": "0",
        "score": "0.81236",
        "lr": "0.0123456",
        "width": "50",
        "name": "SGD",
        "seconds": "1.26",
        "error": "",
    }
    assert rows[1]["error"] == "FloatingPointError: overflow"
    assert math.isnan(float(rows[1]["score"]))


def test_the_picture_shows_the_trials(tmp_path):
    figure = result_of(GOOD, FAILED, BEST).plot(tmp_path / "s.png")
    lr, width, name, _ = figure.axes
    assert np.array(lr.collections[0].get_offsets()).tolist() == [[0.0123456, 0.81236], [3e-5, 0.9]]
    assert [axes.get_xscale() for axes in (lr, width, name)] == ["log", "linear", "linear"]
    assert figure.get_suptitle().startswith("3 trials in 11.3 s, 1 of them failed\nbest score 0.9000 with lr=3e-05")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_the_curves_are_those_of_the_best(tmp_path):
    accuracies = [0.3, 0.5, 0.4]
    left = [history(0.1, a, train_acc=[0.1, a + 0.1], test_acc=[0.9, 0.9]) for a in accuracies]
    result = search(lambda **_: left.pop(0), trials=3)
    figure = result.plot_curves(2, tmp_path / "c.png")
    assert [axes.get_title() for axes in figure.axes] == ["Best-1", "Best-2"]
    for axes, accuracy, trial in zip(figure.axes, (0.5, 0.4), result.ranked, strict=False):
        validation, train = axes.lines
        assert np.array(validation.get_data()).tolist() == [[0, 1], [0.1, accuracy]]
        assert np.array(train.get_data()).tolist() == [[0, 1], [0.1, accuracy + 0.1]]
        assert axes.texts[0].get_text().replace("\n", " ") == str(trial)
    assert (tmp_path / "c.png").exists()


def test_scores_alone_have_no_curves():
    with pytest.raises(ArgumentError, match=r"No trial has a history.*return trainer\.train\(\)"):
        search(near).plot_curves()
