"""The matrix: each test that asks for ``be`` runs on every backend, device and dtype that takes part."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matrix import ABSENT, PLACES, TAKING_PART, Place
from threadpoolctl import threadpool_limits

from xpnet import set_backend

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job, whose programs inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

collect_ignore = ["gpu/cupy_on_cpu", "support"]  # tools for the suite, with no tests of their own


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
