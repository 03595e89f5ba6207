"""What a training run records and shows: lists, rows, bar, files, picture; and what an interrupt leaves of them."""

import csv
import json

import pytest
from small_training import make

from xpnet.training.history import History


def test_callbacks_see_each_evaluation_and_can_stop():
    seen = []

    def watch(trainer):
        seen.append((len(trainer.train_loss_list), trainer.test_acc_list[-1]))
        if len(seen) == 3:
            trainer.stop()

    history = make(epochs=9, callbacks=[watch]).train()
    assert [n for n, _ in seen] == history.evaluated_at == [0, 3, 6]


@pytest.mark.bits
def test_an_interrupt_loses_nothing_that_was_learned():
    trainer = make(epochs=3)
    step, calls = trainer.train_step, []

    def interrupted(x, t):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return step(x, t)

    trainer.train_step = interrupted
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert len(trainer.train_loss_list) == 5
    assert trainer.train_loss_list == make(epochs=3).train().loss[:5]


def test_the_courses_rows_are_printed(capsys):
    trainer = make(epochs=2, verbose=True)
    trainer.train()
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["loss", "time", "n", "[TrainAcc]", "[TestAcc]"]
    rows = [line.split() for line in lines[1:4]]
    assert [row[2] for row in rows] == ["000000", "000003", "000006"]
    assert [row[3] for row in rows] == [f"{a:.4f}" for a in trainer.train_acc_list]
    assert rows[-1][0] == f"{trainer.train_loss_list[-1]:.4f}"
    assert lines[4].startswith("6 iterations in ")
    assert "with numpy" in lines[4]
    assert err == ""  # no progress bar where there is no terminal


def test_quiet_is_quiet(capsys):
    make(epochs=1).train()
    assert capsys.readouterr() == ("", "")


def test_a_bar_with_loss_and_accuracy_on_a_terminal(capsys, monkeypatch):
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("xpnet.training.progress._REFRESH_SECONDS", 0.0)
    make(epochs=2, verbose=True).train()
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "6/6" in shown
    assert "loss=" in shown
    assert "test=" in shown


def test_a_second_training_goes_on_with_the_bar(monkeypatch):
    import tqdm.auto

    asked = []
    real = tqdm.auto.tqdm
    monkeypatch.setattr(tqdm.auto, "tqdm", lambda **how: asked.append(how) or real(**how))
    trainer = make(epochs=2)
    trainer.train()
    trainer.train()
    assert [(how["initial"], how["total"]) for how in asked] == [(0, 6), (6, 12)]


def test_json_has_null_where_a_number_is_not_finite(tmp_path):
    history = History(loss=[1.0, float("nan"), float("inf")], val_loss=[float("nan")])
    history.to_json(tmp_path / "h.json")
    written = json.loads((tmp_path / "h.json").read_text(), parse_constant=pytest.fail)
    assert (written["loss"], written["val_loss"]) == ([1.0, None, None], [None])


def test_history_writes_csv_json_and_a_picture(tmp_path):
    history = make(epochs=2).train()
    history.to_csv(tmp_path / "h.csv")
    rows = list(csv.DictReader((tmp_path / "h.csv").read_text().splitlines()))
    assert [int(row["iteration"]) for row in rows] == list(range(7))
    assert [float(row["loss"]) for row in rows[1:]] == history.loss
    assert [i for i, row in enumerate(rows) if row["test_acc"]] == history.evaluated_at
    assert float(rows[6]["test_acc"]) == history.test_acc[-1]
    history.to_json(tmp_path / "h.json")
    assert json.loads((tmp_path / "h.json").read_text()) == vars(history)
    history.plot(tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["h.csv", "h.json", "h.png"]


def test_the_picture_shows_the_lists(tmp_path):
    history = make(epochs=2).train()
    figure = history.plot(tmp_path / "h.svg")
    left, right = figure.axes
    assert left.lines[0].get_ydata().tolist() == history.loss
    train, test = right.lines
    assert train.get_ydata().tolist() == history.train_acc
    assert test.get_linestyle() == "--"
    assert test.get_xdata().tolist() == [0, 1, 2]
    assert right.get_ylim() == (0, 1)
    assert right.get_legend()._loc_real == 4  # lower right
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []  # a picture for a file leaves the user's figures alone
    assert history.plot() is plt.gcf()
    plt.close("all")


def test_times_are_told_apart(monkeypatch):
    """By a clock of its own, which begins anywhere: each step takes ten seconds on it, and each accuracy one."""
    trainer, now = make(epochs=3), [5000.0]
    monkeypatch.setattr("xpnet.training.epoch_runner.time.perf_counter", lambda: now[0])

    def taking(seconds, function):
        def slow(*arguments):
            now[0] += seconds
            return function(*arguments)

        return slow

    trainer.train_step = taking(10, trainer.train_step)
    trainer.network.accuracy = taking(1, trainer.network.accuracy)
    history = trainer.train()
    evaluations = len(history.evaluated_at)
    assert (len(history.loss), evaluations) == (9, 4)
    assert (history.training_seconds, history.evaluation_seconds) == (90, 2 * evaluations)
    assert history.elapsed_seconds == [2, 34, 66, 98]


@pytest.mark.parametrize("interrupted", ["train", "test"])
def test_an_interrupt_of_an_evaluation_leaves_lists_of_one_length(monkeypatch, interrupted):
    trainer = make(epochs=3)
    accuracy, calls = trainer.network.accuracy, []

    def interrupt(x, t):
        calls.append(1)
        if len(calls) == {"train": 3, "test": 4}[interrupted]:
            raise KeyboardInterrupt
        return accuracy(x, t)

    monkeypatch.setattr(trainer.network, "accuracy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    history = trainer.history
    assert history.evaluated_at == [0]
    assert len(history.elapsed_seconds) == len(history.train_acc) == len(history.test_acc) == 1
    assert len(history.loss) == 3


def test_the_picture_says_where_accuracies_are_not_of_all_samples(tmp_path):
    trainer = make(epochs=1, evaluate_sample_num_per_epoch=5)
    history = trainer.train()
    assert history.evaluated_samples == 5
    assert history.plot(tmp_path / "h.png").axes[1].get_title() == "Accuracy on up to 5 samples of each set"
    for limit in (None, 1000):
        history = make(epochs=1, evaluate_sample_num_per_epoch=limit).train()
        assert history.evaluated_samples is None
        assert history.plot(tmp_path / "h.png").axes[1].get_title() == "Accuracy"


@pytest.mark.parametrize(("asked", "told"), [(None, None), (25, None), (24, 24), (3, 3)])
def test_the_closing_line_says_so_as_well(capsys, asked, told):
    history = make(epochs=1, verbose=True, evaluate_sample_num_per_epoch=asked).train()
    assert history.evaluated_samples == told
    line = capsys.readouterr().out.splitlines()[-1]
    assert ("samples" in line) == (told is not None)
    assert told is None or f"to evaluate up to {told} samples of each set, with" in line
