"""The matrix: each test that asks for ``be`` runs on every backend, device and dtype that takes part."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from xpnet import Backend, asarray, get_backend, set_backend
from xpnet.errors import BackendError
from xpnet.testing import assert_array

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job, whose programs inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

collect_ignore = ["cupy_on_cpu"]  # a tool for the suite, with no tests of its own

BACKENDS = {
    "numpy": "numpy",
    "strict": "array_api_strict:CPU_DEVICE",
    "strict-device1": "array_api_strict:device1",
    "strict-no_float64": "array_api_strict:no_float64",
    "torch": "array_api_compat.torch:cpu",
    "jax": "jax.numpy",
    "cupy": "cupy",
}
"""The columns of the matrix. array-api-strict's second device refuses NumPy arrays, as a GPU does; its third has no
float64, which finds every promotion that was not meant."""


def _participants() -> tuple[list[str], dict[str, str]]:
    """The backends that take part, and why each other one does not.

    A backend named in XPNET_TEST_BACKENDS that cannot run is an error, so that a run on a GPU cannot go green by
    skipping.
    """
    named = [name.strip() for name in os.environ.get("XPNET_TEST_BACKENDS", "").split(",") if name.strip()]
    if unknown := set(named) - set(BACKENDS):
        raise pytest.UsageError(f"XPNET_TEST_BACKENDS names {sorted(unknown)}; there are {sorted(BACKENDS)}.")
    taking_part, absent = [], {}
    for name, spec in BACKENDS.items():
        if named and name not in named:
            absent[name] = f"XPNET_TEST_BACKENDS={','.join(named)} does not name it"
            continue
        if name == "jax":
            os.environ.setdefault("JAX_ENABLE_X64", "1")  # without it float64 would quietly be float32
        try:
            get_backend(spec)
        except BackendError as error:
            if named:
                raise pytest.UsageError(f"XPNET_TEST_BACKENDS names {name}, which cannot run: {error}") from error
            absent[name] = str(error.__cause__ or error)
        else:
            taking_part.append(name)
    return taking_part, absent


TAKING_PART, ABSENT = _participants()


@dataclass(frozen=True)
class Place:
    """A backend, one of its devices, and a dtype: one column of the matrix."""

    name: str
    dtype: str

    @property
    def backend(self) -> Backend:
        """What to give as ``backend=``."""
        return get_backend(BACKENDS[self.name])

    @property
    def xp(self) -> Any:
        """The array module."""
        return self.backend.xp

    @property
    def products_eps(self) -> float | None:
        """What `check` may allow between a network and itself with fused layers.

        Nothing on a processor, where both make the same products of operands that lie alike. On CuPy they may lie in
        another order in memory, in which cuBLAS sums otherwise.
        """
        return None if self.name == "cupy" else 0.0

    def put(self, a: Any) -> Any:
        """The array here: floats in this dtype, others as they are."""
        a = np.asarray(a)
        return asarray(a, dtype=self.dtype if a.dtype.kind == "f" else None, backend=self.backend)

    def check(self, actual: Any, expected: Any, *, eps: float | None = None, name: str = "the result") -> None:
        """Assert library, device, dtype, shape and values; 16 eps in float32, 64 in float64 unless said otherwise."""
        allowed = eps if eps is not None else {"float32": 16, "float64": 64}[self.dtype]
        assert_array(actual, np.asarray(expected), backend=self.backend, dtype=self.dtype, eps=allowed, name=name)


PLACES = [
    Place(name, dtype)
    for name in TAKING_PART
    for dtype in ("float32", "float64")
    if not (name == "strict-no_float64" and dtype == "float64")
]


@pytest.fixture(params=PLACES, ids=lambda place: f"{place.name}-{place.dtype}")
def be(request: pytest.FixtureRequest) -> Place:
    """Each place of the matrix."""
    return request.param


@pytest.fixture(params=[place for place in PLACES if place.dtype == "float64"], ids=lambda place: place.name)
def be64(request: pytest.FixtureRequest) -> Place:
    """Each place of the matrix that has float64."""
    return request.param


@pytest.fixture(autouse=True, scope="session")
def _one_blas_thread() -> Iterator[None]:
    """The same bits in every run, and no threads that wait for one another where tests run side by side."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture(autouse=True)
def _fresh_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test chooses the backend of the next."""
    monkeypatch.delenv("XPNET_BACKEND", raising=False)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    yield
    set_backend(None)


@pytest.fixture(scope="session")
def mnist() -> Any:
    """MNIST as bytes: ((x_train, t_train), (x_test, t_test))."""
    folder = os.environ.get("XPNET_DATA_DIR")
    if not folder or not any((Path(folder) / sub / "train-images-idx3-ubyte.gz").exists() for sub in ("", "mnist")):
        pytest.skip("needs MNIST: set XPNET_DATA_DIR to a folder that holds its four files")
    from xpnet import load_mnist

    return load_mnist(normalize=False)


def pytest_report_header() -> list[str]:
    """Say which backends take part."""
    return [f"backends: {', '.join(TAKING_PART)}"] + [f"  not {name}: {why}" for name, why in ABSENT.items()]
