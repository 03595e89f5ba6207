"""Build the stand-in for CUDA and install it into the environment of the Python that runs this.

The environment has to have CuPy and what `PACKAGES` names. Everything goes into one folder beside CuPy,
``site-packages/_cupy_on_cpu``, and ``_cupy_on_cpu.pth`` has Python load it; CuPy's own files stay as they are.
"""

import argparse
import hashlib
import importlib.metadata
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
SITE = Path(sysconfig.get_path("platlib"))
TARGET = SITE / "_cupy_on_cpu"  # with an underscore, as what belongs to an environment and no program imports
HOOK = SITE / "_cupy_on_cpu.pth"
BUILT = TARGET / "built_from"

CUPY = "14.2.0"
PACKAGES = ("cupy-cuda12x", "nvidia-cuda-runtime-cu12", "nvidia-cuda-nvcc-cu12", "Cython", "numpy", "pooch")

# pip cannot download CuPy's source without a CUDA toolkit: it would prepare the package's metadata.
SDIST = (
    "https://files.pythonhosted.org/packages/dc/10/"
    "059a92d40b161ea24607c9e41a75098812ca7021f2b565524f87beba15c9/cupy-14.2.0.tar.gz"
)
SDIST_SHA256 = "cfed725e612178cfbdbf62f4a3a598b60edecbbca718c0d4580c21a16ae4a62c"

INCLUDES = (
    SITE / "nvidia" / "cuda_runtime" / "include",
    SITE / "nvidia" / "cuda_nvcc" / "include",
    SOURCE / "headers",
)
FLAGS = ("-std=c++17", "-O2", "-fPIC", *(f"-I{folder}" for folder in INCLUDES))

NOT_SUPPORTED = {"cuda": 801, "cublas": 15}  # cudaErrorNotSupported, CUBLAS_STATUS_NOT_SUPPORTED


def main() -> None:
    """Build, unless what is installed was built from the same."""
    parser = argparse.ArgumentParser(description="Build and install what lets CuPy run with no GPU.")
    parser.add_argument("--sdist", type=Path, metavar="FILE", help=f"cupy-{CUPY}.tar.gz, if it is not to be downloaded")
    arguments = parser.parse_args()
    check_machine()
    state = state_of_sources()
    if BUILT.exists() and BUILT.read_text() == state:
        print(f"{TARGET} is up to date.")
        return
    begin = time.perf_counter()
    # First, so that a build that fails leaves CuPy as it was.
    HOOK.unlink(missing_ok=True)
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        runtime = compile_cupy_runtime(source_of_cupy(arguments.sdist, work), work)
        link_cuda(runtime, work)
        link_cublas(work)
    install_python()
    HOOK.write_text("import _cupy_on_cpu\n")
    BUILT.write_text(state)
    print(f"Installed in {TARGET}, after {time.perf_counter() - begin:.0f} s.")


def check_machine() -> None:
    """Exit with what is missing."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        sys.exit(f"CuPy on a CPU needs Linux on x86-64; this is {sys.platform} on {platform.machine()}.")
    if missing := [tool for tool in ("g++", "nm") if not shutil.which(tool)]:
        sys.exit(f"Not found: {' and '.join(missing)}. On Debian and Ubuntu: apt-get install g++ binutils")
    try:
        versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    except importlib.metadata.PackageNotFoundError as error:
        sys.exit(f"{sys.prefix} has no package {error.name}: pip install {error.name}")
    if versions["cupy-cuda12x"] != CUPY:
        sys.exit(f"It is made for CuPy {CUPY}, not {versions['cupy-cuda12x']}: pip install cupy-cuda12x=={CUPY}")


def state_of_sources() -> str:
    """What a build depends on: these files, the packages, and Python."""
    files = sorted(file for file in SOURCE.rglob("*") if file.suffix in {".py", ".h", ".cpp"})
    content = b"".join(file.read_bytes() for file in files)
    versions = [f"{package} {importlib.metadata.version(package)}" for package in PACKAGES]
    return "\n".join([sys.version, *versions, hashlib.sha256(content).hexdigest()])


def source_of_cupy(sdist: Path | None, work: Path) -> Path:
    """CuPy's source, unpacked."""
    if sdist is None:
        import pooch

        sdist = Path(pooch.retrieve(SDIST, f"sha256:{SDIST_SHA256}", path=work))
    if (digest := hashlib.sha256(sdist.read_bytes()).hexdigest()) != SDIST_SHA256:
        sys.exit(f"{sdist} has the SHA-256 {digest}, not {SDIST_SHA256}: it is not CuPy {CUPY} as published.")
    with tarfile.open(sdist) as archive:
        archive.extractall(work, filter="data")
    return work / f"cupy-{CUPY}"


def compile_cupy_runtime(cupy: Path, work: Path) -> Path:
    """CuPy's module ``runtime`` as an object file: the wheel's own has the CUDA runtime linked into it."""
    print("Translating CuPy's runtime.pyx by Cython")
    # What CuPy's install/cupy_builder sets.
    directives = {"embedsignature": True, "binding": False, "freethreading_compatible": True}
    environment = {
        "CUPY_CUDA_VERSION": 12090,
        "CUPY_HIP_VERSION": 0,
        "CUPY_USE_CUDA_PYTHON": False,
        "CUPY_CUFFT_STATIC": False,
    }
    settings = [word for name, value in directives.items() for word in ("-X", f"{name}={value}")]
    settings += [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
    module = cupy / "cupy_backends" / "cuda" / "api" / "runtime.pyx"
    run(sys.executable, "-m", "cython", "--cplus", "-3", *settings, str(module))
    python = f"-I{sysconfig.get_path('include')}"
    return compile_object(module.with_suffix(".cpp"), work, python, "-O1", "-w")


def compile_object(source: Path, work: Path, *flags: str) -> Path:
    """The object file of a source."""
    print(f"Compiling {source.name}")
    target = work / f"{source.parent.name}_{source.stem}.o"
    run("g++", *FLAGS, *flags, "-c", str(source), "-o", str(target))
    return target


def link_cuda(runtime: Path, work: Path) -> None:
    """``libcuda.so.1``, which has the driver and the runtime in it, and CuPy's runtime module upon it."""
    names = ("device", "memory", "streams", "events", "graphs", "kernels")
    objects = [compile_object(SOURCE / "runtime" / f"{name}.cpp", work) for name in names]
    needed = symbols("--undefined-only", runtime, "cuda")
    stubs = compile_stubs("cuda", needed - defined(objects, "cuda"), work)
    link("libcuda.so.1", *objects, stubs, "-ldl")
    link("runtime.so", runtime, f"-L{TARGET}", "-l:libcuda.so.1")


def link_cublas(work: Path) -> None:
    """``libcublas.so.12`` with every function that CuPy's module asks for, and the library that it would need."""
    product = compile_object(SOURCE / "runtime" / "cublas.cpp", work)
    (module,) = (SITE / "cupy_backends" / "cuda" / "libs").glob("cublas.*.so")
    needed = symbols("--undefined-only", module, "cublas", "-D")
    stubs = compile_stubs("cublas", needed - defined([product], "cublas"), work)
    versions = work / "versions"
    versions.write_text("libcublas.so.12 { global: *; };")
    libraries = SITE / "numpy.libs"
    openblas = next(libraries.glob("libscipy_openblas64_*.so"), None)
    if openblas is None:
        sys.exit(f"{libraries} has no OpenBLAS: NumPy is not the one of PyPI, which brings it. pip install numpy")
    link(
        "libcublas.so.12",
        *(product, stubs, f"-L{TARGET}", "-l:libcuda.so.1", f"-L{libraries}", f"-l:{openblas.name}"),
        *("-Wl,-rpath,$ORIGIN/../numpy.libs", f"-Wl,-rpath-link,{libraries}", f"-Wl,--version-script={versions}"),
    )
    link("libcublasLt.so.12")


def compile_stubs(library: str, names: Iterable[str], work: Path) -> Path:
    """Functions that refuse and say their name, for all that the stand-in does not have."""
    names = sorted(names)
    print(f"{len(names)} functions of {library} are not there and will say so")
    source = work / f"{library}_stubs.cpp"
    lines = ["#include <stdio.h>"]
    for name in names:
        said = f'fputs("cupy_on_cpu: {name} is not there\\n", stderr);'
        lines.append(f'extern "C" int {name}() {{ {said} return {NOT_SUPPORTED[library]}; }}')
    source.write_text("\n".join(lines) + "\n")
    return compile_object(source, work)


def symbols(which: str, file: Path, prefix: str, *options: str) -> set[str]:
    """The names in a binary that begin with a prefix, without the version that they are bound to."""
    listing = run("nm", which, "--format=posix", *options, str(file))
    names = {line.split()[0].partition("@")[0] for line in listing.splitlines() if line.strip()}
    return {name for name in names if name.startswith(prefix)}


def defined(objects: Iterable[Path], prefix: str) -> set[str]:
    """The names that some of the objects define."""
    return set().union(*(symbols("--defined-only", file, prefix) for file in objects))


def link(name: str, *parts: str | Path) -> None:
    """A shared library in the folder of the stand-in, which finds the others there."""
    print(f"Linking {name}")
    run("g++", "-shared", f"-Wl,-soname,{name}", "-Wl,-rpath,$ORIGIN", *map(str, parts), "-o", str(TARGET / name))


def install_python() -> None:
    """The hook, the compiler, and the headers of the kernels, compiled ahead."""
    shutil.copy(SOURCE / "hook.py", TARGET / "__init__.py")
    shutil.copy(SOURCE / "compiler.py", TARGET)
    shutil.copytree(SOURCE / "kernels", TARGET / "kernels")
    print("Compiling the headers of the kernels")
    run(sys.executable, "-c", "from _cupy_on_cpu.compiler import precompile; precompile()")


def run(*command: str) -> str:
    """What a command writes; where it fails, exit with its errors."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nfailed:\n{done.stderr[:4000]}")
    return done.stdout


if __name__ == "__main__":
    main()
