"""xpnet on CuPy beside PyTorch and JAX, on a GPU. It has not yet been run on one.

    python benchmarks/gpu.py --budget 500

The main job, captured and plain, fused and not, beside PyTorch eager, compiled, and with the whole step captured by
hand, and beside JAX; a network of two hidden layers of 2048 beside its matrix products alone, in float32 and in TF32;
and whether captured steps lead to the same weights. Each measurement is a process with a limit of time of its own; the
file of results is written anew after each, so that whatever ends the program leaves what there is.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmark import Benchmark, Options, Verdict, compared, measurement
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

PEERS = ("torch", "jax")
DATASETS = ("mnist", "synthetic")
PRECISIONS: dict[str, dict[str, str]] = {"": {}, ", TF32": {"CUPY_TF32": "1"}}
ROUNDED = 1e-2  # what losses may be off by, where products round their inputs to TF32's ten bits
OURS = {
    f"xpnet {captured}, {fused}": {"capture": capture, "fused": fused == "fused"}
    for captured, capture in (("captured", True), ("plain", False))
    for fused in ("fused", "not fused")
}
BEST = "xpnet captured, fused"
TORCH = {"eager": "PyTorch eager", "compile": "PyTorch compiled", "graph": "PyTorch captured by hand"}
JAX = {"highest": "JAX scan", None: "JAX scan, its default precision"}
LARGE, PRODUCTS = "large: xpnet captured, fused", "large: its matrix products"
EQUAL = "captured and plain after 100 steps, "


def entrants(options: Options, dataset: str = "mnist") -> list[Entrant]:
    job = options.job(dataset=dataset)
    large = options.job(sizes=(784, 2048, 2048, 10), batch=4096, iterations=560, dataset=dataset)
    taking_part = [
        Entrant(name, measurement("xpnet", job, backend="cupy", **how), group="main") for name, how in OURS.items()
    ]
    if "torch" in options.peers:
        taking_part += [
            Entrant(name, measurement("torch", job, mode=mode, device="cuda"), group="main")
            for mode, name in TORCH.items()
        ]
    if "jax" in options.peers:
        taking_part += [
            Entrant(name, measurement("jax", job, precision=precision), {}, "main", 1e-4 if precision else ROUNDED)
            for precision, name in JAX.items()
        ]
    for suffix, environment in PRECISIONS.items():
        ours = measurement("xpnet", large, backend="cupy", **OURS[BEST])
        taking_part += [
            Entrant(LARGE + suffix, ours, environment, "large", ROUNDED if environment else 1e-4),
            Entrant(PRODUCTS + suffix, measurement("products", large, backend="cupy"), environment),
        ]
    short = options.job(iterations=100, dataset=dataset)
    return taking_part + [
        Entrant(EQUAL + kind, measurement("equal_weights", short, backend="cupy", fused=kind == "fused"))
        for kind in ("fused", "not fused")
    ]


def verdicts(runs: Runs) -> list[Verdict]:
    said = []
    for theirs in (*TORCH.values(), *JAX.values()):
        said += compared(f"captured and fused, of the time of {theirs}", runs, BEST, theirs, rival=theirs)
    said += compared("captured, of plain; both fused", runs, BEST, "xpnet plain, fused")
    said += compared("fused, of not fused; both captured", runs, BEST, "xpnet captured, not fused")
    for suffix in PRECISIONS:
        what = f"784-2048-2048-10, batch 4096{suffix}, of its matrix products alone"
        said += compared(what, runs, LARGE + suffix, PRODUCTS + suffix)
    for name, taken in runs.items():
        if name.startswith(EQUAL) and taken:
            differ = [float(run["differ"]) for run in taken]
            said.append(Verdict(f"{name}: weights that differ in any bit", max(differ), differ, 0.0))
    return said


# --- within a budget ------------------------------------------------------------------------------------------------

LEAST = 10.0  # seconds: with less left a measurement is not begun


@dataclass
class Session:
    """Measurements within a budget.

    Attributes
    ----------
    runs, errors
        By the entrants' names: what was measured, and why an entrant was left out from then on.
    unmeasured
        How many measurements the budget had no time for.
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
    """Rounds as in `take_turns`, but whoever fails, or takes longer than `limit` seconds, is left out and not the end.

    Nothing is begun that could not be done within `budget` seconds; `save` is called after each measurement.
    """
    deadline = clock() + budget
    session = Session({entrant.name: [] for entrant in entrants})
    for _ in range(rounds):
        for entrant in entrants:
            if entrant.name in session.errors:
                continue
            left = deadline - clock()
            if left < LEAST:
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


def run_on_gpu(given: argparse.Namespace) -> None:
    from tqdm import tqdm

    options, begun = options_of(given), time.monotonic()
    check_installed(options.peers)
    gpu = in_a_process(
        Entrant("the GPU", measurement("device", options.job(dataset="digits"), backend="cupy")), given.limit
    )
    benchmark = Benchmark(
        "gpu", "the main job and a large network on a GPU", partial(entrants, dataset=given.dataset), verdicts, rounds=3
    )
    taking_part, rounds = benchmark.entrants(options), benchmark.rounds_of(options)
    with tqdm(total=rounds * len(taking_part), unit="run") as bar:

        def save(session: Session) -> None:
            bar.update()
            write_record(record(session), options.results)

        def record(session: Session) -> dict[str, Any]:
            made = record_of(benchmark, options, taking_part, session.runs)
            made["machine"]["gpu"] = gpu["device"]
            return made | {"errors": session.errors, "unmeasured": session.unmeasured}

        left = given.budget - (time.monotonic() - begun)
        session = measure(taking_part, rounds, budget=left, limit=given.limit, save=save)
    path = write_record(record(session), options.results)
    print(table_of(record(session)))
    for name, error in session.errors.items():
        print(f"Left out: {name}: {error}")
    print(f"Written: {path}")


if __name__ == "__main__":
    parser = parser_of(__doc__, PEERS)
    parser.add_argument("--budget", type=positive, default=900, help="seconds for all of it (default: %(default)s)")
    parser.add_argument("--limit", type=positive, default=120, help="seconds for a measurement (default: %(default)s)")
    parser.add_argument("--dataset", choices=DATASETS, default="mnist", help="synthetic: where MNIST cannot be had")
    arguments = parser.parse_args()
    sys.exit(reported(lambda: run_on_gpu(arguments)))
