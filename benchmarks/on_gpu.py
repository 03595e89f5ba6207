"""Shared parts of the programs for a GPU, which measure within a budget of seconds.

Each measurement is a process with a time limit. One that fails or takes longer is left out, and the others continue.
The file of results is written after each measurement, so that an interruption loses nothing.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmark import Benchmark, Options, Verdict, measurement
from program import options_of, parser_of, positive, reported
from record import record_of, table_of, write_record
from taking_turns import (
    BenchmarkError,
    Entrant,
    Run,
    Runs,
    check_agreement,
    check_installed,
    in_a_process,
)  # fmt: skip

__all__ = ["PEERS", "GpuBenchmark", "Session", "main", "measure", "run_on_gpu"]

PEERS = ("torch", "jax")
DATASETS = ("mnist", "synthetic")
MIN_SECONDS = 10.0  # of remaining time to start a measurement


@dataclass(frozen=True)
class GpuBenchmark:
    """A `Benchmark` whose `entrants` also take the data set: MNIST, or images that need no download."""

    name: str
    what: str
    entrants: Callable[[Options, str], list[Entrant]]
    verdicts: Callable[[Runs], list[Verdict]]
    rounds: int

    def on(self, dataset: str) -> Benchmark:
        """The benchmark on a data set."""
        entrants = partial(self.entrants, dataset=dataset)
        return Benchmark(self.name, self.what, entrants, self.verdicts, self.rounds)


@dataclass
class Session:
    """Measurements within a budget.

    Attributes
    ----------
    runs, errors
        By name of the entrant: its measurements, or why it was left out.
    unmeasured
        Number of measurements that the budget had no time for.
    """

    runs: Runs = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    unmeasured: int = 0


def measure(
    entrants: Sequence[Entrant],
    rounds: int,
    *,
    budget: float,
    limit: float,
    save: Callable[[Session], None],
    run: Callable[[Entrant, float], Run] = in_a_process,
    clock: Callable[[], float] = time.monotonic,
) -> Session:
    """Rounds as in `take_turns`, but entrants that fail or take longer than `limit` seconds are left out.

    No measurement starts after `budget` seconds; `save` is called after each.
    """
    deadline = clock() + budget
    session = Session({entrant.name: [] for entrant in entrants})
    for _ in range(rounds):
        for entrant in entrants:
            if entrant.name in session.errors:
                continue
            left = deadline - clock()
            if left < MIN_SECONDS:
                session.unmeasured += 1
                continue
            try:
                taken = run(entrant, min(limit, left))
                latest = {name: runs[-1] for name, runs in session.runs.items() if runs}
                check_agreement(entrants, latest | {entrant.name: taken})
                session.runs[entrant.name].append(taken)
            except BenchmarkError as error:
                session.errors[entrant.name] = str(error)
            save(session)
    return session


def run_on_gpu(made: GpuBenchmark, given: argparse.Namespace) -> None:
    """Measure, print the table, and write the file of results."""
    from tqdm import tqdm

    options, begun = options_of(given), time.monotonic()
    check_installed(options.peers)
    gpu = in_a_process(
        Entrant("the GPU", measurement("device", options.job(dataset="digits"), backend="cupy")), given.limit
    )
    benchmark = made.on(given.dataset)
    taking_part, rounds = benchmark.entrants(options), benchmark.rounds_of(options)
    with tqdm(total=rounds * len(taking_part), unit="run") as bar:

        def save(session: Session) -> None:
            bar.update()
            write_record(record(session), options.results)

        def record(session: Session) -> dict[str, Any]:
            of = record_of(benchmark, options, taking_part, session.runs)
            of["machine"]["gpu"] = gpu["device"]
            return of | {"errors": session.errors, "unmeasured": session.unmeasured}

        left = given.budget - (time.monotonic() - begun)
        session = measure(taking_part, rounds, budget=left, limit=given.limit, save=save)
    path = write_record(record(session), options.results)
    print(table_of(record(session)))
    for name, error in session.errors.items():
        print(f"Left out: {name}: {error}")
    print(f"Written: {path}")


def main(made: GpuBenchmark, description: str | None, *, limit: int = 120, peers: Sequence[str] = PEERS) -> int:
    """Run the program and return its exit status."""
    parser = parser_of(description, peers)
    parser.add_argument("--budget", type=positive, default=900, help="seconds for all of it (default: %(default)s)")
    parser.add_argument(
        "--limit", type=positive, default=limit, help="seconds for a measurement (default: %(default)s)"
    )
    parser.add_argument("--dataset", choices=DATASETS, default="mnist", help="synthetic: where MNIST cannot be had")
    given = parser.parse_args()
    return reported(lambda: run_on_gpu(made, given))
