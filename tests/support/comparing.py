"""What the comparisons with live PyTorch share: what hypothesis draws, and how near is near enough."""

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

torch = pytest.importorskip("torch", reason="PyTorch is not installed; the session `oracles` has it")

search = settings(deadline=None, database=None, max_examples=200)

shapes = array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=7)
sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32 - 1)
magnitudes = st.integers(-6, 6).map(lambda exponent: 10.0**exponent)
moderate = st.floats(-1e6, 1e6)
any_number = st.floats(allow_nan=False, allow_infinity=False)
scores = st.floats(-30, 30) | st.sampled_from([-1e4, -1000.0, 0.0, 1000.0, 1e4]) | st.floats(-1e8, 1e8)


def assert_close(actual: Any, expected: Any, scale: float = 0.0) -> None:
    """Within 1e-10 of the largest number expected, or of `scale` where that is more."""
    expected = expected.detach().numpy()
    assert actual.shape == expected.shape
    assert actual.dtype == np.float64
    allowed = 1e-10 * max(np.max(np.abs(expected)), scale)
    # Numbers below 1e-300 have lost digits to underflow, each library's its own.
    np.testing.assert_allclose(actual, expected, rtol=0, atol=allowed + 1e-300)


def tensor(a: np.ndarray) -> Any:
    """The array for PyTorch, a copy, followed by autograd."""
    return torch.tensor(a, requires_grad=True)


def check_saturating_activation(layer: Any, function: Any, given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """Compare a layer with PyTorch's `function`, both ways.

    The derivative, such as 1 - y**2, loses its digits where y saturates, in PyTorch as here: it is right to 1e-16, not
    to 1e-16 of itself.
    """
    x, dout = given_arrays
    x_torch = tensor(x)
    y = function(x_torch)
    y.backward(torch.tensor(dout))
    assert_close(layer.forward(x), y)
    assert_close(layer.backward(dout), x_torch.grad, scale=np.max(np.abs(dout)))


@st.composite
def input_and_dout(draw: st.DrawFn, elements: st.SearchStrategy[float]) -> tuple[np.ndarray, np.ndarray]:
    """An input of any shape, and the gradient by an output of the same shape."""
    x = draw(arrays(np.float64, draw(shapes), elements=elements))
    return x, draw(arrays(np.float64, x.shape, elements=moderate))


@st.composite
def scores_and_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a batch, and a label for each row."""
    n, classes = draw(sizes), draw(st.integers(2, 7))
    x = draw(arrays(np.float64, (n, classes), elements=scores))
    return x, draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))


@st.composite
def scores_and_soft_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a batch, and for each row the probability of each class, 0 of some."""
    x, t = draw(scores_and_labels())
    shares = draw(arrays(np.float64, x.shape, elements=st.sampled_from([0.0, 1.0]) | st.floats(1e-6, 1)))
    shares[np.arange(len(t)), t] += 0.5
    return x, shares / shares.sum(axis=1, keepdims=True)
