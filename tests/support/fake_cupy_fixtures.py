"""Fixtures of the tests that run on the stand-in for CuPy."""

import pytest
from fake_cupy import FakeCublas, cupy

from xpnet.engine import cublas, cuda_graph


@pytest.fixture
def library(monkeypatch):
    fake = FakeCublas()
    monkeypatch.setattr(cublas, "_open_library", lambda: fake)
    cublas.load_library.cache_clear()
    yield fake
    cublas.load_library.cache_clear()


@pytest.fixture(autouse=True)
def _fake_is_machinery(monkeypatch):
    """Frames of the stand-in are passed over where something is named, as CuPy's are."""
    monkeypatch.setattr(cuda_graph, "_MACHINERY", (*cuda_graph._MACHINERY, cupy.__class__.__module__))
