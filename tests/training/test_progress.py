"""What a training shows: rows under their columns, and a bar on a terminal alone."""

import io

import pytest

from xpnet.training.history import History
from xpnet.training.losses import Losses
from xpnet.training.progress import TrainingDisplay


class Terminal(io.StringIO):
    def isatty(self):
        return True


def history():
    return History(loss=[2.0, 1.0], train_acc=[0.25], test_acc=[0.5], val_acc=[0.75], elapsed_seconds=[1.5])


@pytest.mark.parametrize(
    ("validation", "classifies", "columns"),
    [
        (False, True, ["[TrainAcc]", "[TestAcc]"]),
        (True, True, ["[TrainAcc]", "[TestAcc]", "[ValAcc]"]),
        (True, False, ["[TrainAcc]", "[TestAcc]", "[ValLoss]"]),
    ],
)
def test_rows_stand_under_their_columns(capsys, validation, classifies, columns):
    display = TrainingDisplay(verbose=True, validation=validation, classifies=classifies)
    display.head()
    display.row(1.0, history(), {"train_acc": 0.25, "test_acc": 0.5, "val_acc": 0.75, "val_loss": 3.0})
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["loss", "time", "n", *columns]
    last = {"[ValAcc]": ["0.7500"], "[ValLoss]": ["3.0000"]}.get(columns[-1], [])
    assert row.split() == ["1.0000", "1.5000", "000002", "0.2500", "0.5000", *last]
    assert len(head) == len(row)


def test_what_was_not_evaluated_is_a_dash(capsys):
    TrainingDisplay(verbose=True, validation=False, classifies=True).row(1.0, history(), {"train_acc": 0.25})
    assert capsys.readouterr().out.split()[-2:] == ["0.2500", "-"]


def test_quiet_is_quiet(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    display = TrainingDisplay(verbose=False, validation=False, classifies=True)
    with display.bar(0, 10):
        display.head()
        display.row(1.0, history(), {})
        display.advance(10)
    assert capsys.readouterr().out == terminal.getvalue() == ""


@pytest.mark.parametrize("is_terminal", [False, True])
def test_the_bar_is_for_terminals_and_tells_the_newest_loss(monkeypatch, is_terminal):
    monkeypatch.setattr("sys.stderr", shown := (Terminal() if is_terminal else io.StringIO()))
    monkeypatch.setattr("xpnet.training.progress._REFRESH_SECONDS", -1.0)
    display, losses = TrainingDisplay(verbose=True, validation=False, classifies=True), Losses()
    losses.add(0.125)
    with display.bar(0, 10):
        display.refresh(losses, history())
        display.advance(10)
    assert ("loss=0.1250" in shown.getvalue()) == ("10/10" in shown.getvalue()) == is_terminal
