"""The command line, ``xpnet`` or ``python -m xpnet``.

``xpnet info`` shows what is installed, which devices answer, and the chosen backend; ``xpnet bench`` compares the speed
of the backends.
"""

import argparse
import platform
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import xpnet
from xpnet._core.checks import check_positive
from xpnet._core.cupy import INSTALL_CUPY, cupy_namespace, installed_cupy_wheels, two_wheels_warning
from xpnet._core.files import check_path
from xpnet._core.terminal import run_program
from xpnet.backend import chosen_backend, get_backend
from xpnet.errors import ArgumentError, BackendError, XpnetError

Rows = list[tuple[str, str]]


def command() -> int:
    """The command ``xpnet``; returns its exit status."""
    return run_program(main)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, by default from ``sys.argv``, and return its exit status."""
    name = "xpnet" if Path(sys.argv[0]).stem == "xpnet" else "python -m xpnet"
    parser = argparse.ArgumentParser(prog=name, description=xpnet.__doc__)
    parser.add_argument("--version", action="version", version=f"xpnet {xpnet.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    about_info = "what is installed, which devices answer, and the backend that would be chosen"
    commands.add_parser("info", help=about_info, description=f"Print {about_info}.").set_defaults(run=_info)
    _add_bench(commands)
    options = parser.parse_args(arguments)
    if "run" not in options:
        parser.print_help()
        return 0
    return int(options.run(options))


# --- info -----------------------------------------------------------------------------------------------------------


def _info(_: argparse.Namespace) -> int:
    from tabulate import tabulate

    wheels = installed_cupy_wheels()
    python = f"{platform.python_version()} ({platform.python_implementation()}), {platform.platform()}"
    rows = [("xpnet", xpnet.__version__), ("Python", python), ("NumPy", np.__version__), *_blas_rows()]
    rows += [("processor", get_backend("numpy").describe_device()), *_cupy_rows(wheels)]
    rows.append(("GPU support", "not yet run on a GPU"))
    choice, who = chosen_backend()
    asked = getattr(choice, "name", choice)
    try:
        chosen = get_backend().name
        problem, outcome = None, "" if chosen == asked else f", which came to {chosen}"
    except BackendError as error:
        problem, outcome = error, ", which cannot run"
    rows.append(("backend", f"{asked} ({who}){outcome}"))
    print(tabulate(rows, tablefmt="plain", disable_numparse=True))
    if len(wheels) > 1:
        print(f"\nWarning: {two_wheels_warning(wheels)}")
    if problem is not None:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


def _blas_rows() -> Rows:
    """The library of NumPy's matrix products; what NumPy was built with if threadpoolctl does not know it."""
    from threadpoolctl import threadpool_info

    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    if not libraries:
        built: Any = np.show_config(mode="dicts")
        blas = built["Build Dependencies"]["blas"]
        return [("BLAS", f"{blas['name']} {blas['version']}")]
    return [("BLAS", _describe_blas(library)) for library in libraries]


def _describe_blas(library: dict[str, Any]) -> str:
    name = f"{library['internal_api']} {library['version'] or ''}".strip()
    threads = f"{library['num_threads']} thread{'s' * (library['num_threads'] != 1)}"
    # Each library has one of these, both, or neither.
    more = [library[key] for key in ("threading_layer", "architecture") if library.get(key)]
    return ", ".join((name, threads, *more))


def _cupy_rows(wheels: list[str]) -> Rows:
    """CuPy and every device that answers, or why none does."""
    rows = [("CuPy wheels", ", ".join(wheels) or "none")]
    try:
        cupy = cupy_namespace()
    except Exception as error:  # a broken installation raises any error
        missing = f"not installed; a CUDA GPU needs {INSTALL_CUPY} in a checkout of xpnet"
        return [*rows, ("CuPy", f"cannot be imported: {_in_one_line(error)}" if wheels else missing)]
    rows.append(("CuPy", cupy.__version__))
    driver = _answer(lambda: _cuda_version(cupy.cuda.runtime.driverGetVersion()))
    runtime = _answer(lambda: _cuda_version(cupy.cuda.get_local_runtime_version()))
    rows.append(("CUDA", f"driver {driver}, runtime {runtime}"))
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's errors have no common base class
        return [*rows, ("GPUs", f"none answers: {_in_one_line(error)}")]
    rows += [(f"GPU {i}", _answer(partial(_describe_gpu, cupy, i))) for i in range(count)]
    return rows if count else [*rows, ("GPUs", "none: CuPy sees no CUDA device")]


def _describe_gpu(cupy: Any, index: int) -> str:
    properties = cupy.cuda.runtime.getDeviceProperties(index)
    memory = properties["totalGlobalMem"] / 2**30
    capability = f"{properties['major']}.{properties['minor']}"
    return f"{properties['name'].decode()}, {memory:.1f} GiB, compute capability {capability}"


def _cuda_version(number: int) -> str:
    """``"12.4"`` from 12040; ``"none"`` from 0, the version of a missing driver."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else "none"


def _answer(question: Callable[[], str]) -> str:
    """The answer or the error, so that a device that does not answer does not hide the others."""
    try:
        return question()
    except Exception as error:  # as above
        return f"unknown ({_in_one_line(error)})"


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# --- bench ----------------------------------------------------------------------------------------------------------


def _add_bench(commands: Any) -> None:
    about = "the speed of each backend, in training and in inference"
    more = (
        "Each has a process of its own, and as many threads as the others. They take turns, after a full pass that is "
        "not timed. Lists are written with commas, as in `--widths 50,1000`."
    )
    parser = commands.add_parser("bench", help=about, description=f"Measure {about}. {more}")
    parser.set_defaults(run=run_bench)
    add_bench_options(parser)


def add_bench_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``bench`` to a parser."""

    def add(option: str, what: str, shown: str = "%(default)s", **more: Any) -> None:
        parser.add_argument(option, help=f"{what} (default: {shown})", **more)

    add("--backends", "numpy, cupy, or any module of the array API standard", "numpy, and cupy if a GPU answers")
    add("--networks", "the networks to time; SimpleNetwork only in inference", "all there are")
    add("--widths", "units in each hidden layer", default="50,200,1000")
    add("--batches", "samples per step", default="10,100,1000")
    add("--repeats", "timings of each", default="5", metavar="N")
    add("--budget", "start nothing more after this time", "no limit", metavar="SECONDS")
    add("--threads", "processor threads of each candidate", default="1", metavar="N")
    add("--json", "a file for all measurements", "none", type=_path, metavar="FILE")
    add("--csv", "a file for the table", "none", type=_path, metavar="FILE")
    add("--plot", "an image, such as bench.png or bench.svg; needs matplotlib", "none", type=_path, metavar="FILE")
    add("--seed", "seed of the images, their order and the first weights", default="0", metavar="N")


def run_bench(given: argparse.Namespace, rivals: Any = lambda _: ()) -> int:
    """Measure, print and write, and return the exit status: 2 after printing a known error.

    `rivals` is the argument of `xpnet.bench.run`.
    """
    try:
        return _measure(given, rivals)
    except BrokenPipeError:  # see run_program
        raise
    except (XpnetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before anything was measured
        return 130


def _measure(given: argparse.Namespace, rivals: Any) -> int:
    # Imported here, because `info` and `--version` need none of it.
    from xpnet._core.files import check_writable
    from xpnet.bench import Options, run
    from xpnet.bench.plot import check_plot, plot_report

    options = Options(
        backends=_names(given.backends),
        networks=_names(given.networks) or Options.networks,
        widths=_numbers("--widths", given.widths),
        batches=_numbers("--batches", given.batches),
        repeats=_number("--repeats", given.repeats),
        budget=None if given.budget is None else check_positive("--budget", given.budget),
        seed=_number("--seed", given.seed),
        threads=_number("--threads", given.threads),
    )
    check_writable(*filter(None, (given.json, given.csv, given.plot)))
    if given.plot:
        check_plot(given.plot)
    report = run(options, rivals=rivals, announce=print)
    print(f"\n{report.table()}\n\n{report.closing_lines()}")
    writers: tuple[tuple[Path | None, Callable[[Path], Any]], ...] = (
        (given.json, report.to_json),
        (given.csv, report.to_csv),
        (given.plot, partial(plot_report, report)),
    )
    for path, write in writers:
        if path is not None:
            write(path)
            print(f"Written: {path}")
    return 130 if report.interrupted else 0


def _path(text: str) -> Path:
    try:
        return check_path("FILE", text)
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _numbers(option: str, text: str) -> tuple[int, ...]:
    return tuple(_number(option, name) for name in _names(text))


def _number(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ArgumentError(f"{option} takes whole numbers, got {text!r}.") from None


if __name__ == "__main__":
    sys.exit(command())
