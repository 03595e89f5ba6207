"""The course's network at equal weights: gradients by xpnet on NumPy against xpnet on libraries that compute otherwise.

Each figure compares two results of one dtype, NumPy's and another library's, relative to the norm of the gradient: it
holds the rounding of both.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from matrix import ABSENT, BACKENDS

from xpnet import TwoLayerNet, to_numpy

# Their own matrix products and sums; the strict namespace has NumPy's (test_equal_bits.py).
OTHERS = ("torch", "jax", "cupy")
BATCHES = (1, 100, 1000, 10_000)


@pytest.fixture(params=OTHERS)
def other(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each library, with float32 products in float32: on a GPU, JAX may else use TF32 (CuPy does only if asked to)."""
    if request.param in ABSENT:
        pytest.skip(f"{request.param} does not take part: {ABSENT[request.param]}")
    full_precision: Any = nullcontext()
    if request.param == "jax":
        import jax

        full_precision = jax.default_matmul_precision("highest")
    with full_precision:
        yield request.param


def allowed_eps(dtype: str, batch: int) -> int:
    """How far two libraries may be apart, in eps of the gradient's norm: sums over more samples lose more."""
    if dtype == "float64":
        return 64
    return 16 if batch <= 1000 else 32


def assert_gradients_agree(other: str, dtype: str, x: np.ndarray, t: np.ndarray, seed: int) -> None:
    on_numpy = TwoLayerNet(784, 50, 10, seed=seed, dtype=dtype, backend="numpy")
    elsewhere = on_numpy.copy().to(BACKENDS[other])
    expected = on_numpy.gradient(x, t)
    actual = elsewhere.gradient(elsewhere.asarray(x), elsewhere.asarray(t))
    assert list(actual) == list(expected) == ["W1", "b1", "W2", "b2"]
    for key, gradient in actual.items():
        assert type(gradient) is type(elsewhere.state.like)
        there, here = to_numpy(gradient), expected[key]
        assert there.dtype == here.dtype == dtype
        difference = np.linalg.norm(there.astype("float64") - here) / np.linalg.norm(here.astype("float64"))
        eps = difference / np.finfo(dtype).eps
        # Written so that a NaN fails.
        assert eps <= allowed_eps(dtype, len(x)), f"the gradient by {key} of {len(x)} samples is off by {eps:.1f} eps"


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_agree_on_noise(other, dtype, batch):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, t = rng.integers(0, 256, (batch, 784), dtype=np.uint8), rng.integers(0, 10, batch)
        assert_gradients_agree(other, dtype, x, t, seed)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_agree_on_mnist(other, dtype, batch, mnist):
    (x, t), _ = mnist
    for seed in range(3):
        chosen = np.random.default_rng(seed).permutation(len(x))[:batch]
        assert_gradients_agree(other, dtype, x[chosen], t[chosen], seed)
