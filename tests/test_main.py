"""python -m xpnet: what it prints, with CuPy absent, broken, doubled, and answering (a stand-in for it, here)."""

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from xpnet import __main__ as command_line
from xpnet import set_backend
from xpnet.__main__ import main

FAKE_CUPY = '''
"""Stands in for CuPy in a test."""
from types import SimpleNamespace

__version__ = "14.0.1"

class CUDARuntimeError(RuntimeError):
    pass

def count():
    {count}

def properties(index):
    if index == 1:
        raise CUDARuntimeError("cudaErrorUnknown:\\n unknown error")
    return {{"name": b"Imaginary 100", "totalGlobalMem": 80 * 2**30, "major": 9, "minor": 0}}

runtime = SimpleNamespace(driverGetVersion=lambda: {driver}, getDeviceCount=count, getDeviceProperties=properties)
device = SimpleNamespace(id=0)
cuda = SimpleNamespace(runtime=runtime, get_local_runtime_version=lambda: 12090, Device=lambda: device)
'''


def info(*folders: Path, backend: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python -m xpnet info`` in a process of its own, which finds packages in `folders` first."""
    paths = [*map(str, folders), str(Path(xpnet.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if backend is not None:
        environment["XPNET_BACKEND"] = backend
    return subprocess.run(
        [sys.executable, "-m", "xpnet", "info"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def install(folder: Path, *wheels: str, module: str = "") -> Path:
    """Lay out a folder as pip does: the metadata of each wheel, and a module cupy."""
    for wheel in wheels:
        name, version = wheel.split()
        metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if module:
        (folder / "cupy").mkdir()
        (folder / "cupy" / "__init__.py").write_text(module)
    return folder


def rows(text: str) -> dict[str, str]:
    """The table's rows by their first column, up to the first empty line."""
    return dict(re.split(" {2,}", line, maxsplit=1) for line in text.partition("\n\n")[0].splitlines())


needs_no_cupy = pytest.mark.skipif(
    bool(command_line.installed_cupy_wheels()), reason="the CuPy installed here would be found beside the stand-in"
)


# --- without CuPy ---------------------------------------------------------------------------------------------------


def test_the_table_says_what_is_installed_and_what_was_chosen():
    result = info()
    assert (result.returncode, result.stderr) == (0, "")
    told = rows(result.stdout)
    assert told["xpnet"] == xpnet.__version__
    assert told["NumPy"] == np.__version__
    assert told["Python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert "BLAS" in told
    assert told["processor"].endswith(f"{os.cpu_count()} cores")
    assert told["backend"] == "numpy (the default)"
    assert "Warning" not in result.stdout


@needs_no_cupy
def test_without_cupy_it_says_how_to_have_it():
    told = rows(info().stdout)
    assert told["CuPy wheels"] == "none"
    assert told["CuPy"].startswith("not installed")
    assert "pip install '.[cuda12]'" in told["CuPy"]
    assert not {"CUDA", "GPUs", "GPU 0"} & set(told)


@pytest.mark.parametrize("name", ["nonsense", "json"])
def test_a_backend_that_is_none_ends_with_status_1_and_one_line(name):
    result = info(backend=name)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert repr(name) in result.stderr
    assert result.stderr.count("\n") == 1
    assert rows(result.stdout)["backend"] == f"{name} (the environment variable XPNET_BACKEND), which cannot run"


@needs_no_cupy
def test_cupy_named_but_not_installed_is_an_error_and_auto_is_numpy():
    named = info(backend="cupy")
    assert named.returncode == 1
    assert "CuPy is not installed" in named.stderr
    assert named.stderr.count("\n") == 1
    auto = info(backend="auto")
    assert auto.returncode == 0
    assert rows(auto.stdout)["backend"] == "auto (the environment variable XPNET_BACKEND), which came to numpy"


# --- with a stand-in for CuPy ---------------------------------------------------------------------------------------


@needs_no_cupy
def test_a_device_that_answers_is_listed_and_chosen(tmp_path):
    module = FAKE_CUPY.format(count="return 2", driver=12040)
    result = info(install(tmp_path, "cupy-cuda12x 14.0.1", module=module), backend="auto")
    assert (result.returncode, result.stderr) == (0, "")
    told = rows(result.stdout)
    assert told["CuPy wheels"] == "cupy-cuda12x 14.0.1"
    assert told["CuPy"] == "14.0.1"
    assert told["CUDA"] == "driver 12.4, runtime 12.9"
    assert told["GPU 0"] == "Imaginary 100, 80.0 GiB, compute capability 9.0"
    assert told["GPU 1"] == "unknown (cudaErrorUnknown: unknown error)"  # and has not hidden the other
    assert told["backend"] == "auto (the environment variable XPNET_BACKEND), which came to cupy"


@needs_no_cupy
@pytest.mark.parametrize(
    ("count", "why"),
    [
        (
            "raise CUDARuntimeError('cudaErrorNoDevice: no CUDA-capable device is detected')",
            "none answers: cudaErrorNo",
        ),
        ("return 0", "none: CuPy sees no CUDA device"),
    ],
)
def test_cupy_without_a_device_says_why(tmp_path, count, why):
    folder = install(tmp_path, "cupy-cuda13x 14.0.1", module=FAKE_CUPY.format(count=count, driver=0))
    result = info(folder)
    assert result.returncode == 0
    told = rows(result.stdout)
    assert told["CUDA"] == "driver none, runtime 12.9"
    assert told["GPUs"].startswith(why)
    assert told["backend"] == "numpy (the default)"
    named = info(folder, backend="cupy")
    assert named.returncode == 1
    assert "no CUDA device answers" in named.stderr
    assert "Traceback" not in named.stderr


@needs_no_cupy
@pytest.mark.parametrize("error", ["ImportError", "OSError"])
def test_a_cupy_that_cannot_be_imported_is_told_apart_from_none(tmp_path, error):
    result = info(install(tmp_path, "cupy-cuda12x 14.0.1", module=f"raise {error}('libcudart.so.12 is missing')"))
    assert result.returncode == 0
    assert rows(result.stdout)["CuPy"] == "cannot be imported: libcudart.so.12 is missing"


@needs_no_cupy
def test_two_wheels_are_warned_of_with_the_commands_that_mend_it(tmp_path):
    module = FAKE_CUPY.format(count="return 1", driver=13000)
    result = info(install(tmp_path, "cupy-cuda12x 14.0.1", "cupy-cuda13x 14.0.1", module=module))
    assert result.returncode == 0
    assert rows(result.stdout)["CuPy wheels"] == "cupy-cuda12x 14.0.1, cupy-cuda13x 14.0.1"
    warning = result.stdout.partition("\n\n")[2]
    assert warning.startswith("Warning: Two CuPy wheels are installed (cupy-cuda12x 14.0.1, cupy-cuda13x 14.0.1)")
    assert "`python -m pip uninstall cupy-cuda12x cupy-cuda13x`" in warning
    assert "`pip install '.[cuda12]'`" in warning


# --- the parts ------------------------------------------------------------------------------------------------------


def test_alone_it_prints_its_help(capsys):
    assert main([]) == 0
    assert "info" in capsys.readouterr().out


def test_the_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"xpnet {xpnet.__version__}\n"


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["fly"])
    assert stopped.value.code == 2
    assert "fly" in capsys.readouterr().err


def test_it_says_who_chose(capsys):
    set_backend("numpy")
    assert main(["info"]) == 0
    assert "numpy (set_backend(...))" in capsys.readouterr().out


def test_a_blas_that_threadpoolctl_does_not_know_is_named_from_numpys_build(monkeypatch):
    monkeypatch.setattr("threadpoolctl.threadpool_info", list)
    [(name, blas)] = command_line._blas_rows()
    assert name == "BLAS"
    assert np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"] in blas


def test_a_blas_that_says_less_is_described_by_what_it_says():
    library = {"internal_api": "mkl", "version": "2026.0", "num_threads": 1, "threading_layer": "intel"}
    assert command_line._describe_blas(library) == "mkl 2026.0, 1 thread, intel"
    bare = {"internal_api": "blis", "version": None, "num_threads": 2}
    assert command_line._describe_blas(bare) == "blis, 2 threads"


@pytest.mark.parametrize(("number", "version"), [(12040, "12.4"), (13000, "13.0"), (11080, "11.8"), (0, "none")])
def test_cuda_counts_its_versions_in_thousands(number, version):
    assert command_line._cuda_version(number) == version


def test_a_gpu_is_described_by_name_memory_and_capability():
    properties = {"name": b"Small", "totalGlobalMem": 3 * 2**29, "major": 7, "minor": 5}
    runtime = SimpleNamespace(getDeviceProperties={1: properties}.__getitem__)
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    assert command_line._describe_gpu(cupy, 1) == "Small, 1.5 GiB, compute capability 7.5"


def test_the_command_goes_by_its_name(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/xpnet"])
    assert command_line.command() == 0
    assert capsys.readouterr().out.startswith("usage: xpnet ")
    monkeypatch.setattr(sys, "argv", ["/xpnet/__main__.py"])
    assert command_line.command() == 0
    assert capsys.readouterr().out.startswith("usage: python -m xpnet ")


def test_the_command_is_installed_by_the_package():
    scripts = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["xpnet"].partition(":")
    assert getattr(importlib.import_module(module), function) is command_line.command
