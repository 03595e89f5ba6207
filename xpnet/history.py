"""What a training run leaves behind: losses, accuracies, times; drawn, or written as CSV or JSON."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from xpnet.drawing import plot_learning_curves
from xpnet.files import write_whole

__all__ = ["History"]


@dataclass
class History:
    """The record of a training run.

    Attributes
    ----------
    loss
        The loss of each minibatch, one an iteration.
    iterations
        After how many iterations the network was evaluated: 0 at first, then once an epoch, and at the end.
    time
        Seconds since training began, evaluations included, at each evaluation.
    train_acc, test_acc
        The accuracies at each evaluation, 0 to 1; empty for a regression, or where there is no test set.
    iterations_per_epoch
        How many minibatches make an epoch.
    seconds
        Time spent in training alone.
    evaluation_seconds
        Time spent in taking accuracies.
    description
        Network and device, in a line.
    """

    loss: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    time: list[float] = field(default_factory=list)
    train_acc: list[float] = field(default_factory=list)
    test_acc: list[float] = field(default_factory=list)
    iterations_per_epoch: int = 1
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    description: str = ""

    def record(self, iterations: int, time: float, accuracies: Mapping[str, float]) -> None:
        """Add an evaluation: after how many iterations, when, and the accuracies on ``"train"`` and ``"test"``."""
        self.iterations.append(iterations)
        self.time.append(time)
        for name, values in (("train", self.train_acc), ("test", self.test_acc)):
            if name in accuracies:
                values.append(accuracies[name])

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the learning curves, to a file where `path` is given; returns the matplotlib figure."""
        epochs = [n / self.iterations_per_epoch for n in self.iterations]
        return plot_learning_curves(self.loss, epochs, self.train_acc, self.test_acc, title=self.description, path=path)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row an iteration: iteration, loss, and where the network was evaluated time and accuracies."""
        import csv
        import io

        evaluated: dict[int, tuple[Any, ...]] = {}
        for i, n in enumerate(self.iterations):
            accuracies = (values[i] if i < len(values) else "" for values in (self.train_acc, self.test_acc))
            evaluated[n] = (self.time[i], *accuracies)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("iteration", "loss", "time", "train_acc", "test_acc"))
        for n in range(len(self.loss) + 1):
            if n or n in evaluated:
                table.writerow((n, self.loss[n - 1] if n else "", *evaluated.get(n, ("", "", ""))))
        write_whole(path, text.getvalue())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write all of it as one JSON object, with the names of the attributes."""
        import json

        write_whole(path, json.dumps(asdict(self), indent=1) + "\n")
