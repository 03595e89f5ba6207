"""What a training shows meanwhile: the course's rows, above a progress bar."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xpnet._core.terminal import printable
from xpnet.training.history import History

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["TrainingDisplay"]

_COLUMNS = {"[TrainAcc]": "train_acc", "[TestAcc]": "test_acc", "[ValAcc]": "val_acc", "[ValLoss]": "val_loss"}


class TrainingDisplay:
    """The rows and the bar of one training.

    Parameters
    ----------
    verbose
        Whether anything is shown at all.
    validation
        Whether there is a validation set, which has a column then.
    classifies
        Whether there are accuracies; where not, that column has the loss.
    """

    def __init__(self, *, verbose: bool, validation: bool, classifies: bool) -> None:
        self.verbose = verbose
        self._columns = ["[TrainAcc]", "[TestAcc]"]
        if validation:
            self._columns.append("[ValAcc]" if classifies else "[ValLoss]")

    def bar(self, done: int, iterations: int) -> "tqdm[Any]":
        """A progress bar of so many after those that are done; none where the output is no terminal."""
        from tqdm.auto import tqdm

        disable = None if self.verbose else True
        return tqdm(initial=done, total=done + iterations, desc="training", unit="it", disable=disable)

    def head(self) -> None:
        """Print the names of the columns."""
        self._print_row("loss", "time", "n", *self._columns)

    def row(self, loss: float, history: History, results: Mapping[str, float]) -> None:
        """Print the row of the newest evaluation."""
        values = [results.get(_COLUMNS[column]) for column in self._columns]
        cells = ("-" if value is None else f"{value:.4f}" for value in values)
        self._print_row(f"{loss:.4f}", f"{history.time[-1]:.4f}", f"{len(history.loss):06d}", *cells)

    def postfix(self, loss: float, history: History) -> dict[str, str]:
        """What stands behind the bar."""
        accuracies = {"train": history.train_acc, "test": history.test_acc, "val": history.val_acc}
        return {"loss": f"{loss:.4f}"} | {name: f"{values[-1]:.4f}" for name, values in accuracies.items() if values}

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self.verbose:
            from tqdm.auto import tqdm

            tqdm.write(printable(line))

    def _print_row(self, *cells: str) -> None:
        widths = (8, 8, 6, 10, 10, 10)
        self.say(" ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=False)))
