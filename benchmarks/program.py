"""The program of a benchmark: its command line, its rounds, and its file of results."""

import argparse
import sys
from collections.abc import Callable, Sequence

from benchmark import RESULTS, Benchmark, Options
from record import record_of, table_of, write_record
from taking_turns import HERE, PEERS, BenchmarkError, Entrant, check_installed, take_turns

from xpnet import XpnetError
from xpnet._core.files import check_path, check_writable

__all__ = ["main", "options_of", "parser_of", "positive", "reported", "run_all"]

QUICK_RESULTS = HERE.parent / "output" / "benchmarks"


# --- measuring ------------------------------------------------------------------------------------------------------


def run_all(benchmarks: Sequence[Benchmark], options: Options) -> None:
    """Run benchmarks one after the other; each prints its table and writes its file at its end."""
    from tqdm import tqdm

    check_installed(options.peers)
    check_writable(options.results / "results.json")
    entrants = {benchmark.name: benchmark.entrants(options) for benchmark in benchmarks}
    total = sum(benchmark.rounds_of(options) * len(entrants[benchmark.name]) for benchmark in benchmarks)
    with tqdm(total=total, unit="run") as bar:

        def done(entrant: Entrant) -> None:
            bar.update()
            bar.set_postfix_str(entrant.name)

        for benchmark in benchmarks:
            bar.set_description(benchmark.name)
            rounds = benchmark.rounds_of(options)
            runs = take_turns(entrants[benchmark.name], rounds, done)
            record = record_of(benchmark, options, entrants[benchmark.name], runs)
            path = write_record(record, options.results)
            tqdm.write(f"\n{table_of(record)}\nWritten: {path}\n", file=sys.stdout)


# --- the command line -----------------------------------------------------------------------------------------------


def main(benchmarks: Sequence[Benchmark], description: str | None) -> int:
    """Run the program of one or more benchmarks and return its exit status."""
    given = parser_of(description).parse_args()
    return reported(lambda: run_all(benchmarks, options_of(given)))


def reported(work: Callable[[], None]) -> int:
    """Do the work of a program and return its exit status; known errors are printed."""
    try:
        work()
    except (XpnetError, BenchmarkError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parser_of(description: str | None, peers: Sequence[str] = tuple(PEERS)) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rounds", type=positive, help="measurements of each (default: the number of each benchmark)")
    add(
        "--peers",
        nargs="*",
        choices=peers,
        default=list(peers),
        help="libraries to compare with (default: %(default)s)",
    )
    add("--quick", action="store_true", help="tiny jobs, to check that everything runs; the times are meaningless")
    add("--seed", type=int, default=0, help="seed of the first weights and of the order (default: %(default)s)")
    add(
        "--results",
        type=lambda text: check_path("--results", text),
        help="folder for the results (default: benchmarks/results; output/ if quick)",
    )
    return parser


def options_of(given: argparse.Namespace) -> Options:
    results = given.results or (QUICK_RESULTS if given.quick else RESULTS)
    return Options(given.rounds, tuple(given.peers), given.quick, given.seed, results)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
