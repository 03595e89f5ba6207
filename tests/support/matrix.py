"""The columns of the matrix: which backends take part in a run, and the places (backend, device, dtype) they give."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from xpnet import asarray, get_backend
from xpnet.backend import Backend
from xpnet.errors import BackendError
from xpnet.testing import assert_array

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
