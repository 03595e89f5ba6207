"""The output of a training: the course's rows, above a progress bar."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from xpnet._core.terminal import printable
from xpnet.training.history import History

if TYPE_CHECKING:
    from tqdm import tqdm

    from xpnet.training.losses import Losses

_REFRESH_SECONDS = 0.1  # how often the progress bar fetches the loss from the device
_COLUMNS = {"[TrainAcc]": "train_acc", "[TestAcc]": "test_acc", "[ValAcc]": "val_acc", "[ValLoss]": "val_loss"}


class TrainingDisplay:
    """The rows and the progress bar of a training; nothing of them unless it is `verbose`."""

    def __init__(self, *, verbose: bool, validation: bool, classifies: bool) -> None:
        self.verbose = verbose
        self._columns = ["[TrainAcc]", "[TestAcc]"]
        if validation:
            self._columns.append("[ValAcc]" if classifies else "[ValLoss]")
        self._bar: tqdm[Any] | None = None
        self._refreshed = 0.0

    @contextmanager
    def bar(self, done: int, iterations: int) -> Iterator[None]:
        """Inside a ``with`` block show a progress bar, if the output is a terminal."""
        from tqdm.auto import tqdm

        disable = None if self.verbose else True
        self._refreshed = time.perf_counter()
        with tqdm(initial=done, total=done + iterations, desc="training", unit="it", disable=disable) as self._bar:
            yield
        self._bar = None

    def advance(self, done: int) -> None:
        """Move the bar to the number of steps that are done."""
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def refresh(self, losses: "Losses", history: History) -> None:
        """Show the newest loss, once in a while."""
        if self._bar is None or self._bar.disable:
            return
        now = time.perf_counter()
        if now - self._refreshed > _REFRESH_SECONDS:
            self.advance(len(history.loss) + losses.count)
            self._bar.set_postfix(_postfix(losses.last(), history))
            self._refreshed = now

    def head(self) -> None:
        """Print the names of the columns."""
        self._print_row("loss", "time", "n", *self._columns)

    def row(self, loss: float, history: History, results: Mapping[str, float]) -> None:
        """Print the row of the newest evaluation, and show it next to the bar."""
        if self._bar is not None:
            self._bar.set_postfix(_postfix(loss, history))
        values = [results.get(_COLUMNS[column]) for column in self._columns]
        cells = ("-" if value is None else f"{value:.4f}" for value in values)
        self._print_row(f"{loss:.4f}", f"{history.elapsed_seconds[-1]:.4f}", f"{len(history.loss):06d}", *cells)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self.verbose:
            from tqdm.auto import tqdm

            tqdm.write(printable(line))

    def _print_row(self, *cells: str) -> None:
        widths = (8, 8, 6, 10, 10, 10)
        self.say(" ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=False)))


def _postfix(loss: float, history: History) -> dict[str, str]:
    accuracies = {"train": history.train_acc, "test": history.test_acc, "val": history.val_acc}
    return {"loss": f"{loss:.4f}"} | {name: f"{values[-1]:.4f}" for name, values in accuracies.items() if values}
