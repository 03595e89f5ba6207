"""The checks of the project, each in its own environment: ``nox -s tests``, ``nox --list``."""

import os
import platform
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests", "lint", "typing"]
nox.options.reuse_existing_virtualenvs = True

PYPROJECT = nox.project.load_toml("pyproject.toml")


def group(name: str) -> list[str]:
    """The requirements of a dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the core suite on NumPy and on the three devices of array-api-strict, as the README says."""
    session.install("-e", ".[plot]", *group("tests"))
    session.run("pytest", "-n", "auto", "--maxprocesses", "8", *session.posargs)


# Prints the kernels in use after a matrix product, which ends the program if the processor lacks their instructions.
KERNELS_IN_USE = """
import numpy, threadpoolctl
numpy.ones((99, 99), "f") @ numpy.ones((99, 99), "f")
print(*(blas["architecture"] for blas in threadpoolctl.threadpool_info() if blas["internal_api"] == "openblas"))
"""


@nox.session
def bits(session: nox.Session) -> None:
    """Run the tests of equal bits with two kernels of OpenBLAS: for any x86-64 processor, and for one with AVX2."""
    session.install("-e", ".[plot]", *group("tests"))
    for kernels in ("Nehalem", "Haswell"):
        env = {"OPENBLAS_CORETYPE": kernels, "XPNET_TEST_BACKENDS": "numpy,strict", "OPENBLAS_NUM_THREADS": "1"}
        illegal_instruction = -4
        used = session.run("python", "-c", KERNELS_IN_USE, env=env, silent=True, success_codes=[0, illegal_instruction])
        if str(used).strip() != kernels:
            session.warn(f"Not run with OpenBLAS's kernels {kernels}: NumPy here cannot use them.")
            continue
        session.run("pytest", "tests", "-m", "bits", "-n", "auto", "--maxprocesses", "8", *session.posargs, env=env)


@nox.session
def oracles(session: nox.Session) -> None:
    """Compare with live PyTorch, also the arrays stored for the core suite, and the digits with scikit-learn's."""
    session.install("-e", ".", *group("tests"), *group("oracles"))
    tests = ("tests/parity/live", "tests/data/test_digits.py", "tests/benchmarks/test_bench_peers.py")
    session.run("pytest", *tests, *session.posargs)


@nox.session
def backends(session: nox.Session) -> None:
    """Run the whole suite on torch (CPU) and JAX as well."""
    session.install("-e", ".[plot]", *group("tests"), *group("torch"), *group("jax"))
    names = "numpy,strict,strict-device1,strict-no_float64,torch,jax"
    session.run("pytest", *session.posargs, env={"XPNET_TEST_BACKENDS": names})


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Run the whole suite on CuPy, which must be available: ``nox -s gpu -- cuda12`` or ``-- cuda13``."""
    extra, *rest = session.posargs or ["cuda12"]
    session.install("-e", f".[plot,{extra}]", *group("tests"))
    session.run("pytest", *rest, env={"XPNET_TEST_BACKENDS": "numpy,cupy"})


@nox.session(default=False)
def cupy_names(session: nox.Session) -> None:
    """Check without a GPU that CuPy has each function that the layers call, with those arguments."""
    session.install("-e", ".[cuda12]", *group("tests"))
    names = ("tests/gpu/test_cupy_names.py", "tests/engine/test_cublas.py", "tests/engine/test_cuda_graph.py")
    session.run("pytest", *names, *session.posargs, env={"XPNET_NEEDS_CUPY": "1"})


@nox.session(default=False)
def nvrtc(session: nox.Session) -> None:
    """Compile every kernel with NVRTC for each architecture, without a GPU; ``-- cuda13`` for the other toolkit."""
    toolkit, *rest = session.posargs or ["cuda12"]
    # Only the compiler and the headers; the whole toolkit of the extra is ten times as large.
    wheels = {
        "cuda12": ("cupy-cuda12x==14.2.0", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime-cu12"),
        "cuda13": ("cupy-cuda13x==14.2.0", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime"),
    }
    session.install("-e", ".", *group("tests"), *wheels[toolkit])
    session.run(
        "pytest",
        "tests/gpu/test_nvrtc.py",
        "tests/engine/kernels",
        *rest,
        env={"XPNET_NEEDS_NVRTC": "1"},
    )


def install_cupy_on_cpu(session: nox.Session) -> None:
    """Install CuPy, and build the substitute for CUDA below it; skip the session where it cannot be built."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        session.skip("CuPy on a CPU needs Linux on x86-64.")
    if missing := [tool for tool in ("g++", "nm") if not shutil.which(tool)]:
        session.skip(f"CuPy on a CPU needs {' and '.join(missing)}: `apt-get install g++ binutils`.")
    # Only the headers of CUDA: the runtime's, and those they include, which come with the compiler's package.
    headers = ("nvidia-cuda-runtime-cu12==12.9.*", "nvidia-cuda-nvcc-cu12==12.9.*")
    session.install("-e", ".[plot]", *group("tests"), "cupy-cuda12x==14.2.0", *headers, "Cython>=3.2,<3.3")
    session.run("python", "tests/gpu/cupy_on_cpu/build.py")


@nox.session(default=False)
def cupy_on_cpu(session: nox.Session) -> None:
    """Run the whole suite on CuPy's own code without a GPU: kernels compiled by g++, CUDA's libraries substituted."""
    install_cupy_on_cpu(session)
    session.run("pytest", *session.posargs, env={"XPNET_TEST_BACKENDS": "numpy,cupy"})


@nox.session
def cuda(session: nox.Session) -> None:
    """Run the tests of CUDA graphs, cuBLAS, kernels and training on CuPy's own code without a GPU."""
    install_cupy_on_cpu(session)
    engine = ("tests/engine/test_cuda_graph.py", "tests/engine/test_cublas.py", "tests/engine/kernels")
    session.run(
        *("pytest", "tests/gpu", *engine, "-n", "auto", "--maxprocesses", "8", *session.posargs),
        env={"XPNET_TEST_BACKENDS": "numpy,cupy", "XPNET_NEEDS_CUPY": "1"},
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and import contracts."""
    session.install("-e", ".", *group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types."""
    session.install("-e", ".[plot]", *group("typing"))
    session.run("mypy")


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheel, install it, and run the core suite against it without the source tree."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist")
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    (wheel,) = Path("dist").glob("*.whl")
    session.install(f"{wheel}[plot]", *group("tests"))
    elsewhere = Path(session.create_tmp())
    for name in ("tests", "examples"):
        shutil.copytree(name, elsewhere / name, dirs_exist_ok=True)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(name, elsewhere)
    session.chdir(elsewhere)
    session.run("python", "-c", "import xpnet; assert 'site-packages' in xpnet.__file__, xpnet.__file__")
    session.run("pytest", "tests", *session.posargs)


@nox.session
def minimums(session: nox.Session) -> None:
    """Run the core suite with the oldest versions that pyproject.toml allows."""
    session.install("uv")
    python = str(Path(session.virtualenv.location) / "bin" / "python")
    session.run(
        *("uv", "pip", "install", "--python", python, "--resolution", "lowest-direct", "-e", ".[plot]"),
        *group("tests"),
    )
    # Old releases use features that newer versions of their requirements deprecate.
    session.run("pytest", "-W", "default::DeprecationWarning", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Run the examples as a user would, on the bundled digits, and on MNIST if XPNET_DATA_DIR is set."""
    session.install(".[plot]")
    output = Path(session.create_tmp())
    session.run("python", "examples/train_mnist.py", "--dataset", "digits", "--output-dir", str(output / "digits"))
    if os.environ.get("XPNET_DATA_DIR"):
        session.run("python", "examples/train_mnist.py", "--dataset", "mnist", "--output-dir", str(output / "mnist"))
    session.run("python", "-m", "xpnet", "info")
    session.run("python", "-m", "xpnet", "bench", "--budget", "20")


@nox.session
def course(session: nox.Session) -> None:
    """Run every program of the course on NumPy and array-api-strict, and compare its figures with the course notes."""
    session.install("-e", ".[plot]", *group("tests"))
    session.run(
        *("pytest", "tests/course/test_course_programs.py", "tests/course/test_course_convolution.py"),
        *("-m", "slow or not slow", "-n", "auto", *session.posargs),
        env={"XPNET_TEST_BACKENDS": "numpy,strict"},
    )


@nox.session
def notebooks(session: nox.Session) -> None:
    """Execute the notebooks and the exercises of the course, and check that they are up to date."""
    session.install("-e", ".[plot]", *group("tests"), *group("notebooks"))
    session.run("pytest", "tests/course/notebooks", "-n", "auto", *session.posargs)


@nox.session(default=False)
def parity(session: nox.Session) -> None:
    """Write docs/parity.md: the largest error of each layer on each backend."""
    session.install("-e", ".", *group("tests"), *group("torch"), *group("jax"))
    session.run("python", "tests/support/parity_table.py")


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Measure every figure of docs/benchmarks.md, also with PyTorch, JAX and scikit-learn, and write that page."""
    session.install(".", *group("oracles"), *group("jax"))
    session.run("python", "benchmarks/all.py", *session.posargs)
    session.run("python", "benchmarks/table.py")
