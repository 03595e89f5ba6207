"""The command line: ``python -m xpnet info`` says what is installed, what answers, and which backend would be chosen.

What it says of CuPy's devices has not yet been run on a GPU.
"""

import argparse
import platform
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import xpnet
from xpnet.backend import chosen_backend, get_backend
from xpnet.cupy_namespace import cupy_namespace, installed_cupy_wheels
from xpnet.errors import BackendError

__all__ = ["main"]

Rows = list[tuple[str, str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, ``sys.argv``'s by default, and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m xpnet", description=xpnet.__doc__)
    parser.add_argument("--version", action="version", version=f"xpnet {xpnet.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    about_info = "what is installed, which devices answer, and the backend that would be chosen"
    commands.add_parser("info", help=about_info, description=f"Print {about_info}.").set_defaults(run=_info)
    options = parser.parse_args(arguments)
    if "run" not in options:
        parser.print_help()
        return 0
    return int(options.run(options))


# --- info -----------------------------------------------------------------------------------------------------------


def _info(_: argparse.Namespace) -> int:
    from tabulate import tabulate

    wheels = installed_cupy_wheels()
    rows = [*_software_rows(), *_cupy_rows(wheels)]
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
        print(f"\n{_two_wheels_warning(wheels)}")
    if problem is not None:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


def _software_rows() -> Rows:
    """What there is without CuPy."""
    return [
        ("xpnet", xpnet.__version__),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()}), {platform.platform()}"),
        ("NumPy", np.__version__),
        *_blas_rows(),
        ("processor", get_backend("numpy").describe_device()),
    ]


def _blas_rows() -> Rows:
    """The library behind NumPy's matrix products; what NumPy was built with, where threadpoolctl does not know it."""
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
    # Which of these two there are differs from library to library.
    more = [library[key] for key in ("threading_layer", "architecture") if library.get(key)]
    return ", ".join((name, threads, *more))


def _cupy_rows(wheels: list[str]) -> Rows:
    """CuPy, and every device that answers; else why none does."""
    rows = [("CuPy wheels", ", ".join(wheels) or "none")]
    try:
        cupy = cupy_namespace()
    except Exception as error:  # a broken installation raises anything, not ImportErrors alone
        if wheels:
            rows.append(("CuPy", f"cannot be imported: {_in_one_line(error)}"))
        else:
            rows.append(("CuPy", "not installed; a CUDA GPU needs  pip install 'xpnet[cuda12]'  or  'xpnet[cuda13]'"))
        return rows
    rows.append(("CuPy", cupy.__version__))
    driver = _answer(lambda: _cuda_version(cupy.cuda.runtime.driverGetVersion()))
    runtime = _answer(lambda: _cuda_version(cupy.cuda.get_local_runtime_version()))
    rows.append(("CUDA", f"driver {driver}, runtime {runtime}"))
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's errors have no common base that can be named without CuPy
        return [*rows, ("GPUs", f"none answers: {_in_one_line(error)}")]
    rows += [(f"GPU {i}", _answer(partial(_describe_gpu, cupy, i))) for i in range(count)]
    return rows if count else [*rows, ("GPUs", "none: CuPy sees no CUDA device")]


def _describe_gpu(cupy: Any, index: int) -> str:
    properties = cupy.cuda.runtime.getDeviceProperties(index)
    memory = properties["totalGlobalMem"] / 2**30
    capability = f"{properties['major']}.{properties['minor']}"
    return f"{properties['name'].decode()}, {memory:.1f} GiB, compute capability {capability}"


def _cuda_version(number: int) -> str:
    """``"12.4"`` from 12040, as CUDA counts its versions; a driver that is not there has version 0."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else "none"


def _answer(question: Callable[[], str]) -> str:
    """The answer, or the error in its place: one device that does not answer must not hide the others."""
    try:
        return question()
    except Exception as error:  # see above
        return f"unknown ({_in_one_line(error)})"


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _two_wheels_warning(wheels: list[str]) -> str:
    names = " ".join(wheel.partition(" ")[0] for wheel in wheels)
    return (
        f"Warning: {len(wheels)} CuPy wheels are installed, which break each other. Remove them all and install one:\n"
        f"  python -m pip uninstall {names}\n"
        "  python -m pip install 'xpnet[cuda12]'    # or cuda13, as your driver is"
    )


if __name__ == "__main__":
    sys.exit(main())
