"""Random search: what is drawn, what is kept, what fails, and what is shown of it."""

import csv
import math
import warnings

import numpy as np
import pytest

from xpnet import History
from xpnet.errors import ArgumentError
from xpnet.search import Choice, LogUniform, SearchResult, Trial, Uniform, random_search

SPACE = {"lr": LogUniform(1e-6, 1e-2), "weight_decay": LogUniform(1e-8, 1e-4)}


def search(train, space=SPACE, trials=10, seed=0, **options):
    return random_search(train, space, trials, seed, **({"verbose": False} | options))


def near(lr, weight_decay):
    """The best at lr = 0.001."""
    return 1 - abs(math.log10(lr) + 3) / 10


def history(*val_acc, **options):
    return History(
        iterations=[4 * i for i in range(len(val_acc))], iterations_per_epoch=4, val_acc=[*val_acc], **options
    )


def draws(distribution, n=4000):
    rng = np.random.default_rng(0)
    return [distribution.draw(rng) for _ in range(n)]


# What is drawn


def test_uniform_numbers_fill_their_range():
    values = np.array(draws(Uniform(-2, 6)))
    assert values.min() >= -2
    assert values.max() <= 6
    counts = np.histogram(values, bins=8, range=(-2, 6))[0]
    assert abs(counts - 500).max() < 5 * np.sqrt(500)  # five standard deviations


def test_log_uniform_numbers_are_the_courses():
    """As many of each order of magnitude."""
    values = draws(LogUniform(1e-6, 1e-2))
    assert all(type(value) is float and 1e-6 <= value <= 1e-2 for value in values)
    counts = np.histogram(np.log10(values), bins=4, range=(-6, -2))[0]
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)
    rng = np.random.default_rng(0)
    assert values[:3] == pytest.approx([10 ** rng.uniform(-6, -2) for _ in range(3)], rel=1e-12)


@pytest.mark.parametrize("kind", [Uniform, LogUniform])
def test_whole_numbers_are_ints_with_both_bounds(kind):
    values = draws(kind(3, 6, whole=True))
    assert {type(value) for value in values} == {int}
    assert set(values) == {3, 4, 5, 6}
    shares = np.array([values.count(n) for n in (3, 4, 5, 6)]) / len(values)
    wide = {Uniform: np.full(4, 0.25), LogUniform: np.diff(np.log([3, 4, 5, 6, 7])) / np.log(7 / 3)}[kind]
    assert abs(shares - wide).max() < 5 * np.sqrt(0.25 / len(values))


def test_a_bound_is_not_passed_by_rounding():
    class Highest:
        def uniform(self, low, high):
            return high

    class Lowest:
        def uniform(self, low, high):
            return low

    for bound in (0.3, 0.7, 3e-5, 12345.678, 1e-300):
        assert LogUniform(bound / 10, bound).draw(Highest()) <= bound
        assert LogUniform(bound, bound * 10).draw(Lowest()) >= bound
    for bound in (5, 10, 999, 1000):
        assert LogUniform(1, bound, whole=True).draw(Highest()) == bound
        assert LogUniform(bound, 5000, whole=True).draw(Lowest()) == bound


def test_a_choice_gives_each_of_its_values_itself():
    values = [[1, 2], "Adam", None]
    drawn = draws(Choice(values), 100)
    assert {id(value) for value in drawn} == {id(value) for value in values}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(1, 1), r"Uniform\(low=1, high=1, whole=False\) must have two finite numbers .*low < high"),
        (lambda: Uniform(0, math.inf), "finite numbers"),
        (lambda: Uniform(math.nan, 1), "finite numbers"),
        (lambda: LogUniform("a", 1), "finite numbers"),
        (lambda: LogUniform(1e-2, 1e-6), "low < high"),
        (lambda: LogUniform(0, 1), "low must be above 0"),
        (lambda: LogUniform(-6, -2), "Give the bounds and not the exponents"),
        (lambda: Uniform(0.5, 3, whole=True), "bounds must be whole numbers too"),
        (lambda: Choice([]), r"at least one value, got \[\]"),
        (lambda: Choice("SGD"), r"got 'SGD'. Use `Choice\(\['SGD'\]\)`"),
        (lambda: Choice(3), "got 3"),
        (lambda: search(near, {}), "The space has no parameter"),
        (lambda: search(near, {"lr": 0.1}), r"lr must be a Uniform.* got 0.1.*'lr': Choice"),
        (lambda: search(near, trials=0), "trials must be a whole number of at least 1"),
        (lambda: search(near, seed=-1), "seed must be a whole number of at least 0, or None, got -1"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


# The trials


def test_each_trial_is_what_train_got_and_gave():
    got = []

    def train(**params):
        got.append(params)
        return len(got)

    result = search(train)
    assert [trial.params for trial in result.trials] == got
    assert [trial.score for trial in result.trials] == list(range(1, 11))
    assert all((trial.history, trial.error) == (None, "") and trial.seconds >= 0 for trial in result.trials)
    assert result.best is result.trials[9]
    assert len({(p["lr"], p["weight_decay"]) for p in got}) == 10


def test_draws_depend_on_the_seed_alone():
    def disturb(lr, weight_decay):
        np.random.seed(0)  # noqa: NPY002 - a train may do so
        np.random.default_rng(0).random(5)
        if lr < 1e-5:
            raise FloatingPointError
        return 0.0

    short, long = search(near, trials=5), search(near, trials=50)
    params = [trial.params for trial in long.trials]
    assert [trial.params for trial in short.trials] == params[:5]
    with pytest.warns(UserWarning, match="FloatingPointError"):
        assert [trial.params for trial in search(disturb, trials=50).trials] == params
    assert search(near, seed=1).trials[0].params != params[0]


def test_the_result_knows_a_seed_that_was_not_given():
    first = search(near, seed=None)
    assert search(near, seed=None).trials[0].params != first.trials[0].params
    assert [trial.params for trial in search(near, seed=first.seed).trials] == [trial.params for trial in first.trials]


def test_what_train_changes_is_not_the_record():
    """An optimizer or a list that is chosen twice begins anew."""
    seen = []

    def train(widths):
        seen.append(list(widths))
        widths.append(99)
        return 0.0

    result = search(train, {"widths": Choice([[10, 20]])}, trials=3)
    assert seen == [[10, 20]] * 3
    assert [trial.params for trial in result.trials] == [{"widths": [10, 20]}] * 3


def test_a_distribution_of_ones_own():
    class Normal:
        def draw(self, rng):
            return rng.normal(5, 0.1)

    assert 4 < search(lambda bias: bias, {"bias": Normal()}).best.params["bias"] < 6


def test_a_history_counts_by_its_last_validation_accuracy():
    """Not by the best on the way, by training, or by the test set."""
    histories = [
        history(0.1, 0.9, 0.3, test_acc=[0.1, 0.9, 0.99], train_acc=[1.0, 1.0, 1.0]),
        history(0.1, 0.2, 0.4, test_acc=[0.1, 0.2, 0.2], train_acc=[0.5, 0.5, 0.5]),
    ]
    left = list(histories)
    result = search(lambda **_: left.pop(0), trials=2)
    assert [trial.score for trial in result.trials] == [0.3, 0.4]
    assert result.best.history is histories[1]


def test_a_history_without_validation_is_an_error_at_once():
    calls = []

    def train(**params):
        calls.append(params)
        return History(test_acc=[0.9], train_acc=[0.9])

    with pytest.raises(ArgumentError, match=r"no parameter may be chosen.*`validation=0\.2`"):
        search(train)
    assert len(calls) == 1


@pytest.mark.parametrize("outcome", [None, "0.5", [0.5, 0.6], np.ones(2), {"acc": 1}])
def test_what_is_no_score_is_an_error_at_once(outcome):
    with pytest.raises(ArgumentError, match=r"train must return a History or a number.*return trainer\.train\(\)"):
        search(lambda **_: outcome)


@pytest.mark.parametrize("outcome", [1, np.float32(0.5), np.array(0.25), True])
def test_numbers_of_every_kind_are_scores(outcome):
    best = search(lambda **_: outcome).best
    assert best.score == float(outcome)
    assert type(best.score) is float


def test_callbacks_see_the_result_after_each_trial():
    seen = []
    result = search(near, trials=3, callbacks=[lambda so_far: seen.append((so_far, len(so_far.trials)))])
    assert [count for _, count in seen] == [1, 2, 3]
    assert all(so_far is result for so_far, _ in seen)


# What fails


def failing(*numbers):
    """A train whose trials of these numbers, from 1, fail."""
    calls = []

    def train(**params):
        calls.append(params)
        if len(calls) in numbers:
            raise FloatingPointError(f"overflow in {len(calls)}")
        return len(calls) / 100

    return train


def test_a_trial_that_fails_is_kept_and_told():
    with pytest.warns(
        UserWarning, match=r"Trial 4 failed, with {'lr': .*}: FloatingPointError: overflow in 4"
    ) as caught:
        result = search(failing(4))
    assert caught[0].filename == __file__
    failed = result.trials[3]
    assert math.isnan(failed.score)
    assert (failed.error, failed.history) == ("FloatingPointError: overflow in 4", None)
    assert repr(failed.params) in str(caught[0].message)
    assert [trial.score for trial in result.trials if not trial.error] == [i / 100 for i in range(1, 11) if i != 4]
    assert result.ranked[-1] is failed


@pytest.mark.parametrize(("numbers", "trials", "raised_in"), [((1, 2, 3, 4), 10, 3), ((1, 2), 2, 2), ((1,), 1, 1)])
def test_where_all_fails_from_the_beginning_it_is_raised(numbers, trials, raised_in):
    warnings.simplefilter("ignore")
    with pytest.raises(FloatingPointError, match=f"overflow in {raised_in}") as error:
        search(failing(*numbers), trials=trials)
    assert f"trial {raised_in} of a search, with {{'lr'" in error.value.__notes__[0]


def test_after_one_success_any_number_may_fail():
    with pytest.warns(UserWarning, match="failed"):
        result = search(failing(1, 2, 4, 5, 6, 7, 8, 9, 10))
    assert result.best is result.trials[2]
    assert sum(bool(trial.error) for trial in result.trials) == 9


def test_a_wrong_return_after_a_success_fails_its_trial_only():
    scores = [0.5, None, 0.7]
    with pytest.warns(UserWarning, match="Trial 2 failed.*must return a History or a number"):
        result = search(lambda **_: scores.pop(0), trials=3)
    assert [trial.score for trial in result.ranked[:2]] == [0.7, 0.5]


def test_a_score_of_nan_is_a_failure_that_ranks_last():
    scores = [math.nan, 0.1, -math.inf, 0.2]
    with pytest.warns(UserWarning, match="Trial 1 failed.*the score is nan"):
        result = search(lambda **_: scores.pop(0), trials=4)
    assert [trial.score for trial in result.ranked[:3]] == [0.2, 0.1, -math.inf]
    assert result.ranked[3].error == "the score is nan"


def test_without_any_score_there_is_no_best(tmp_path):
    with pytest.warns(UserWarning, match="the score is nan"):
        result = search(lambda **_: math.nan, trials=4)
    for ask in (lambda: result.best, lambda: result.plot(tmp_path / "s.png"), result.plot_curves):
        with pytest.raises(ArgumentError, match="has a score|has a history"):
            ask()
    assert str(result).endswith("s, 4 of them failed")
    assert result.table().count("failed") == 4


def test_an_interrupt_gives_back_the_trials_that_were_done():
    scores = [0.1, 0.2, 0.3]

    def train(**params):
        if not scores:
            raise KeyboardInterrupt
        return scores.pop(0)

    with pytest.warns(UserWarning, match="Interrupted: 3 of 10 trials were done") as caught:
        result = search(train)
    assert caught[0].filename != random_search.__code__.co_filename
    assert [trial.score for trial in result.trials] == [0.1, 0.2, 0.3]


def test_an_interrupt_of_the_first_trial_is_an_interrupt():
    def train(**params):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(train)


# What is shown


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


def test_a_bar_with_the_best_on_a_terminal(capsys, monkeypatch):
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    result = search(near, verbose=True)
    bar = capsys.readouterr().err.split("\r")[-1]
    assert "10/10" in bar
    assert f"best {result.best.score:.4f} with lr={result.best.params['lr']:.3g}, weight_decay=" in bar


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
