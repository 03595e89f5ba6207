"""A benchmark: who takes part, and what is said of their times."""

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

ONE_THREAD = ", 1 thread"  # what the name of an entrant ends with that has one
# XLA, and so JAX, has its own variables.
OF_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "1") | {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"
}


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Attributes
    ----------
    rounds
        Measurements of each; None for as many as the benchmark wants.
    peers
        Names of PEERS.
    quick
        Tiny jobs, to see that everything runs: the times say nothing.
    seed
        Of the first weights and of the order.
    results
        The folder for the files of results.
    """

    rounds: int | None = None
    peers: tuple[str, ...] = tuple(PEERS)
    quick: bool = False
    seed: int = 0
    results: Path = RESULTS

    def job(self, **what: Any) -> Job:
        """A `Job` with this seed, tiny where that is asked for."""
        job = Job(**what, seed=self.seed)
        return job.tiny() if self.quick else job


@dataclass(frozen=True)
class Verdict:
    """A figure and what it may be at most.

    Attributes
    ----------
    what
        What the figure is.
    figure
        Of the medians.
    by_round
        The same, round by round.
    at_most
        The target; None where there is none.
    unit
        Of the figure; ``""`` for a ratio.
    rival
        Who else's time the figure is a share of: then less than 1 is faster.
    """

    what: str
    figure: float
    by_round: list[float] = field(default_factory=list)
    at_most: float | None = None
    unit: str = ""
    rival: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return None if self.at_most is None else self.figure <= self.at_most


@dataclass(frozen=True)
class Benchmark:
    """What is measured, and how often.

    Attributes
    ----------
    name, what
        Of the program and its file of results; in words.
    entrants
        Who takes turns.
    verdicts
        What is said of their runs.
    rounds
        Measurements of each.
    """

    name: str
    what: str
    entrants: Callable[[Options], list[Entrant]]
    verdicts: Callable[[Runs], list[Verdict]]
    rounds: int = 5

    def rounds_of(self, options: Options) -> int:
        """As many as are asked for, else its own number, or 2 where it must be quick."""
        return options.rounds or (2 if options.quick else self.rounds)


# --- who takes part, and what is said of them -----------------------------------------------------------------------


def measurement(measure: str, job: Job, **options: Any) -> tuple[str, ...]:
    """The command of a measurement of measure.py's."""
    what = {"measure": measure, "job": asdict(job), "options": options}
    return sys.executable, str(HERE / "measure.py"), json.dumps(what)


def rivals(job: Job, peers: Sequence[str], group: str, prefix: str = "") -> list[Entrant]:
    """The peers on the processor, with the threads that they take by themselves and with one, as xpnet has.

    Beside another program several threads wait for one another, which is many times slower than one.
    """
    return [
        Entrant(prefix + RIVALS[peer] + threads, measurement(peer, job), {"JAX_PLATFORMS": "cpu", **environment}, group)
        for peer in peers
        for threads, environment in (("", {}), (ONE_THREAD, OF_ONE_THREAD))
    ]


def faster(runs: Runs, rival: str) -> str:
    """The rival's name, or its name with one thread where that was faster."""
    measured = [name for name in (rival, rival + ONE_THREAD) if runs.get(name)]
    return min(measured, key=lambda name: median(run["seconds"] for run in runs[name]), default=rival)


def compared(
    what: str, runs: Runs, ours: str, theirs: str, at_most: float | None = None, *, rival: str = ""
) -> list[Verdict]:
    """The ratio of two entrants' times in the rounds that both have finished; nothing where there are none.

    A rival has as many threads as it is faster with.
    """
    theirs = faster(runs, theirs) if rival else theirs
    rounds = min(len(runs.get(name, [])) for name in (ours, theirs))
    if not rounds:
        return []
    figure, by_round = ratio(*([run["seconds"] for run in runs[name][:rounds]] for name in (ours, theirs)))
    return [Verdict(what, figure, by_round, at_most, rival=rival)]
