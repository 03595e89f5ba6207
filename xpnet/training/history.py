"""The record of a training: losses, accuracies and times, plotted or written as CSV or JSON."""

import csv
import io
import itertools
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from xpnet._core.files import write_whole


@dataclass
class History:
    """The record of a training run.

    Attributes
    ----------
    loss
        The loss of each minibatch, one an iteration.
    evaluated_at
        After how many iterations the network was evaluated: 0 at first, then once an epoch, and at the end.
    elapsed_seconds
        Time since training began, evaluations included, at each evaluation.
    train_acc, test_acc, val_acc
        The accuracies at each evaluation, 0 to 1; empty for a regression, or where there is no such set.
    val_loss
        The loss on the validation set at each evaluation, weight decay and label smoothing included as in training;
        empty where there is none.
    evaluated_samples
        How many samples of each set the accuracies are of, at most; None for all.
    iterations_per_epoch
        How many minibatches make an epoch.
    training_seconds, evaluation_seconds
        Time spent in training alone, and in evaluations.
    description
        Network and device, in a line.
    """

    loss: list[float] = field(default_factory=list)
    evaluated_at: list[int] = field(default_factory=list)
    elapsed_seconds: list[float] = field(default_factory=list)
    train_acc: list[float] = field(default_factory=list)
    test_acc: list[float] = field(default_factory=list)
    val_acc: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    evaluated_samples: int | None = None
    iterations_per_epoch: int = 1
    training_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    description: str = ""

    def record(self, evaluated_at: int, elapsed_seconds: float, results: Mapping[str, float]) -> None:
        """Add an evaluation and its results, such as ``"test_acc"``; all of it or nothing."""
        added = [(getattr(self, name), value) for name, value in results.items()]
        added += [(self.elapsed_seconds, elapsed_seconds), (self.evaluated_at, evaluated_at)]
        lengths = [len(values) for values, _ in added]
        try:
            for values, value in added:
                values.append(value)
        except BaseException:
            for (values, _), length in zip(added, lengths, strict=True):
                del values[length:]
            raise

    @property
    def epochs(self) -> list[float]:
        """After how many epochs the network was evaluated; the last one may not be whole."""
        return [n / self.iterations_per_epoch for n in self.evaluated_at]

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the learning curves, to a file where `path` is given; returns the matplotlib figure."""
        from xpnet.plotting import plot_learning_curves

        accuracies, samples = (self.train_acc, self.test_acc, self.val_acc), self.evaluated_samples
        others: dict[str, Any] = {"val_loss": self.val_loss, "iterations": self.evaluated_at, "title": self.description}
        return plot_learning_curves(self.loss, self.epochs, *accuracies, **others, evaluated_samples=samples, path=path)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row per iteration: its number, its loss, and at evaluations the elapsed seconds and the accuracies.

        There are columns for a validation set where there was one.
        """
        names = ["train_acc", "test_acc", *(("val_acc", "val_loss") if self.val_loss else ())]
        cells = itertools.zip_longest(self.elapsed_seconds, *(getattr(self, name) for name in names), fillvalue="")
        evaluated = dict(zip(self.evaluated_at, cells, strict=False))
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("iteration", "loss", "elapsed_seconds", *names))
        for n in range(len(self.loss) + 1):
            if n or n in evaluated:
                table.writerow((n, self.loss[n - 1] if n else "", *evaluated.get(n, ("",) * (1 + len(names)))))
        write_whole(path, text.getvalue())

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write all of it as one JSON object, with the names of the attributes; null where a number is not finite."""
        write_whole(path, json.dumps(_finite(asdict(self)), indent=1, allow_nan=False) + "\n")


def _finite(values: Any) -> Any:
    """The same with None in the place of NaN and infinity, which JSON cannot express."""
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
