"""A benchmark: its entrants, and the verdicts on their times."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from job import Job
from taking_turns import HERE, PEERS, Entrant, Runs, ratio

__all__ = ["RESULTS", "RIVALS", "Benchmark", "Options", "Verdict", "compared", "faster", "measurement", "rivals"]

RESULTS = HERE / "results"
RIVALS = {"torch": "PyTorch eager", "jax": "JAX scan", "sklearn": "scikit-learn fit"}

ONE_THREAD = ", 1 thread"  # suffix of the names of entrants with one thread
# XLA, and so JAX, has other variables.
OF_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "1") | {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"
}


@dataclass(frozen=True)
class Options:
    """Options of the command line.

    Attributes
    ----------
    rounds
        Measurements of each; None for the benchmark's own number.
    peers
        Names of PEERS.
    quick
        Tiny jobs, to check that everything runs; the times are meaningless.
    seed
        Seed of the first weights and of the order.
    results
        Folder for the files of results.
    """

    rounds: int | None = None
    peers: tuple[str, ...] = tuple(PEERS)
    quick: bool = False
    seed: int = 0
    results: Path = RESULTS

    def job(self, **what: Any) -> Job:
        """A `Job` with this seed, tiny if `quick`."""
        job = Job(**what, seed=self.seed)
        return job.tiny() if self.quick else job


@dataclass(frozen=True)
class Verdict:
    """A figure and its target.

    Attributes
    ----------
    what
        Description of the figure.
    figure
        From the medians.
    by_round
        Figures of each round.
    at_most
        The target, or None.
    unit
        Unit of the figure; ``""`` for a ratio.
    rival
        Name of the library whose time is the denominator; less than 1 is then faster.
    """

    what: str
    figure: float
    by_round: list[float] = field(default_factory=list)
    at_most: float | None = None
    unit: str = ""
    rival: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        return None if self.at_most is None else self.figure <= self.at_most


@dataclass(frozen=True)
class Benchmark:
    """What is measured, and how often.

    Attributes
    ----------
    name, what
        Name of the program and of its file of results, and a description.
    entrants
        Returns the entrants.
    verdicts
        Returns the verdicts on their runs.
    rounds
        Measurements of each.
    """

    name: str
    what: str
    entrants: Callable[[Options], list[Entrant]]
    verdicts: Callable[[Runs], list[Verdict]]
    rounds: int = 5

    def rounds_of(self, options: Options) -> int:
        """The number of rounds: as requested, else its own, or 2 if quick."""
        return options.rounds or (2 if options.quick else self.rounds)


# --- entrants and verdicts ------------------------------------------------------------------------------------------


def measurement(measure: str, job: Job, **options: Any) -> tuple[str, ...]:
    """The command of a measurement by measure.py."""
    what = {"measure": measure, "job": asdict(job), "options": options}
    return sys.executable, str(HERE / "measure.py"), json.dumps(what)


def rivals(job: Job, peers: Sequence[str], group: str, prefix: str = "") -> list[Entrant]:
    """The peers on the CPU, with their default number of threads and with one, as xpnet.

    While another program runs, several threads wait for each other, which is many times slower than one.
    """
    return [
        Entrant(prefix + RIVALS[peer] + threads, measurement(peer, job), {"JAX_PLATFORMS": "cpu", **environment}, group)
        for peer in peers
        for threads, environment in (("", {}), (ONE_THREAD, OF_ONE_THREAD))
    ]


def faster(runs: Runs, rival: str) -> str:
    """The name of the rival, or of the rival with one thread if that was faster."""
    measured = [name for name in (rival, rival + ONE_THREAD) if runs.get(name)]
    return min(measured, key=lambda name: median(run["seconds"] for run in runs[name]), default=rival)


def compared(
    what: str, runs: Runs, ours: str, theirs: str, at_most: float | None = None, *, rival: str = ""
) -> list[Verdict]:
    """The ratio of two entrants' times in the rounds that both have finished, if any.

    The faster number of threads of a rival counts.
    """
    theirs = faster(runs, theirs) if rival else theirs
    rounds = min(len(runs.get(name, [])) for name in (ours, theirs))
    if not rounds:
        return []
    figure, by_round = ratio(*([run["seconds"] for run in runs[name][:rounds]] for name in (ours, theirs)))
    return [Verdict(what, figure, by_round, at_most, rival=rival)]
