"""The course's network at equal weights: gradients by xpnet on NumPy against xpnet on libraries that compute otherwise.

Each figure compares two results of one dtype, NumPy's and another library's, so it holds the rounding of both. Much of
what float32 shows at 10,000 samples is NumPy's: it adds up the rows of a bias gradient one after the other.
"""

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest
from conftest import ABSENT, BACKENDS

from xpnet import TwoLayerNet, asarray
from xpnet.testing import assert_array

# Their own matrix products and sums; the strict namespace has NumPy's (test_equal_bits.py).
OTHERS = ("torch", "jax", "cupy")
BATCHES = (1, 100, 1000, 10_000)

NEAR_THE_KINK = 1e-5
"""Hundreds of times what float32 loses in the input of a hidden unit, which is about 0.1 here."""


def images(n: int, network: TwoLayerNet) -> np.ndarray:
    """`n` images of noise, a fifth of it ink as in MNIST, none of which puts a hidden unit near the kink of its ReLU.

    There, two libraries that round differently may fall on different sides of zero. Both are right, and the gradients
    of a sample that did so differ by far more than rounding: with 10,000 samples of 50 hidden units that happens.
    """
    rng = np.random.default_rng(0)
    shape = (n + n // 10 + 10, 784)
    candidates = rng.integers(0, 256, shape).astype(np.uint8) * (rng.random(shape) < 0.2).astype(np.uint8)
    hidden = candidates / 255 @ network.params["W1"] + network.params["b1"]
    return candidates[np.abs(hidden).min(axis=1) > NEAR_THE_KINK][:n]


def labels(n: int) -> np.ndarray:
    """`n` labels, the low ones more often than the high ones.

    With all equally often, the gradients of a network that has learned nothing are what is left where large sums
    cancel, and an error relative to them tells of the draw and not of the libraries.
    """
    return np.random.default_rng(0).integers(0, 10, (2, n)).min(axis=0)


@pytest.fixture(params=OTHERS)
def other(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each library, with float32 products in float32: on a GPU, JAX may else use TF32 (CuPy does only if asked to)."""
    if request.param in ABSENT:
        pytest.skip(f"{request.param} does not take part: {ABSENT[request.param]}")
    full_precision = nullcontext()
    if request.param == "jax":
        import jax

        full_precision = jax.default_matmul_precision("highest")
    with full_precision:
        yield request.param


def allowed_eps(dtype: str, batch: int) -> int:
    """How far two libraries may be apart: sums over more samples lose more."""
    if dtype == "float64":
        return 64
    return 16 if batch <= 1000 else 32


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_agree(other: str, dtype: str, batch: int) -> None:
    on_numpy = TwoLayerNet(784, 50, 10, seed=0, dtype=dtype, backend="numpy")
    elsewhere = on_numpy.copy().to(BACKENDS[other])
    x, t = images(batch, on_numpy), labels(batch)
    assert x.shape == (batch, 784)
    expected = on_numpy.gradient(x, t)
    actual = elsewhere.gradient(asarray(x, like=elsewhere.anchor), asarray(t, like=elsewhere.anchor))
    assert list(actual) == list(expected) == ["W1", "b1", "W2", "b2"]
    for key, gradient in actual.items():
        assert expected[key].dtype == dtype
        assert np.all(np.isfinite(expected[key]))
        assert_array(
            gradient,
            expected[key].astype(np.float64),
            backend=BACKENDS[other],
            dtype=dtype,
            eps=allowed_eps(dtype, batch),
            name=f"the gradient by {key} of {batch} samples",
        )
