"""Random search: each trial is what `train` got and returned, what fails, what callbacks see."""

import math
import warnings

import numpy as np
import pytest
from small_search import SPACE, history, near, search

from xpnet.errors import ArgumentError
from xpnet.search import Choice, random_search
from xpnet.training.history import History


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

    with pytest.raises(ArgumentError, match=r"must not choose parameters.*`validation=0\.2`"):
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
        result = random_search(failing(4), SPACE, 10, 0, verbose=False)
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


def test_a_bar_with_the_best_on_a_terminal(capsys, monkeypatch):
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    result = search(near, verbose=True)
    bar = capsys.readouterr().err.split("\r")[-1]
    assert "10/10" in bar
    assert f"best {result.best.score:.4f} with lr={result.best.params['lr']:.3g}, weight_decay=" in bar
