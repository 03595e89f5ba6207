"""The result of a search: its trials, as a table, plots, or CSV."""

import csv
import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet._core.checks import check_count
from xpnet._core.files import write_whole
from xpnet.errors import ArgumentError
from xpnet.search.space import Distribution, LogUniform
from xpnet.training.history import History


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes
    ----------
    params
        The drawn hyper-parameters.
    score
        Higher is better; nan if the trial failed.
    history
        The `History` that `train` returned, if it did.
    seconds
        Duration of `train`.
    error
        Why the trial failed, or ``""``.
    """

    params: dict[str, Any]
    score: float
    history: History | None
    seconds: float
    error: str = ""

    def __str__(self) -> str:
        return ", ".join(f"{name}={_shown(value)}" for name, value in self.params.items())


@dataclass(repr=False)
class SearchResult:
    """The trials of a search.

    Attributes
    ----------
    trials
        All trials in their order, including failed ones.
    space
        The distributions of the parameters.
    seed
        The argument ``seed`` for the same draws.
    """

    trials: list[Trial]
    space: Mapping[str, Distribution]
    seed: int

    @property
    def ranked(self) -> list[Trial]:
        """The trials, the best first, those without a score last."""
        return sorted(self.trials, key=lambda trial: (math.isnan(trial.score), -trial.score))

    @property
    def best(self) -> Trial:
        """The trial with the highest score; raises an ArgumentError if none has one."""
        if not self.trials or math.isnan(self.ranked[0].score):
            raise ArgumentError(f"None of the {len(self.trials)} trials has a score. The table() states why.")
        return self.ranked[0]

    def table(self, n: int | None = 10) -> str:
        """The `n` best trials (None for all) as a table of rank, score, parameters, seconds."""
        from tabulate import tabulate

        shown = self.ranked if n is None else self.ranked[: check_count("n", n)]
        rows = [
            [
                str(rank),
                "failed" if math.isnan(trial.score) else f"{trial.score:.4f}",
                *(_shown(trial.params[name]) for name in self.space),
                f"{trial.seconds:.1f}",
                trial.error,
            ]
            for rank, trial in enumerate(shown, 1)
        ]
        headers = ["rank", "score", *self.space, "seconds", "error"]
        if not any(trial.error for trial in shown):
            headers, rows = headers[:-1], [row[:-1] for row in rows]
        align = ["left" if name == "error" else "right" for name in headers]
        return tabulate(rows, headers, colalign=align if rows else None, disable_numparse=True)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Plot the scores by each parameter; see `xpnet.plotting.plot_search`."""
        from xpnet.plotting import plot_search

        return plot_search(
            {name: [trial.params[name] for trial in self.trials] for name in self.space},
            [trial.score for trial in self.trials],
            log=[name for name, distribution in self.space.items() if isinstance(distribution, LogUniform)],
            title=str(self).replace("; ", "\n"),
            path=path,
        )

    def plot_curves(self, n: int = 20, path: str | os.PathLike[str] | None = None) -> Any:
        """Plot the accuracies of the `n` best trials; see `xpnet.plotting.plot_search_curves`."""
        from xpnet.plotting import plot_search_curves

        best = [trial for trial in self.ranked if trial.history and trial.history.val_acc][: check_count("n", n)]
        if not best:
            raise ArgumentError("No trial has a history to draw. Let `train` end with `return trainer.train()`.")
        histories = [trial.history for trial in best if trial.history]
        curves = [(h.epochs, h.val_acc, h.train_acc) for h in histories]
        return plot_search_curves(curves, list(map(str, best)), path=path)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a row per trial: trial, score, each parameter, seconds, error."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("trial", "score", *self.space, "seconds", "error"))
        for i, trial in enumerate(self.trials):
            table.writerow((i, trial.score, *(trial.params[name] for name in self.space), trial.seconds, trial.error))
        write_whole(path, text.getvalue())

    def __str__(self) -> str:
        seconds, failed = sum(trial.seconds for trial in self.trials), sum(bool(trial.error) for trial in self.trials)
        count = f"{len(self.trials):,} trial{'s' if len(self.trials) != 1 else ''}"
        line = f"{count} in {seconds:.1f} s" + (f", {failed:,} of them failed" if failed else "")
        if failed == len(self.trials):
            return line
        return f"{line}; best score {self.best.score:.4f} with {self.best}"

    def __repr__(self) -> str:
        return f"SearchResult({self})"


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float | np.floating) else f"{value!s:.40}"
