"""PyTorch itself, asked now, of the layers for deep networks: activations, normalization, dropout, and their losses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from comparing import (
    any_number,
    assert_close,
    check_saturating_activation,
    input_and_dout,
    magnitudes,
    scores,
    scores_and_labels,
    search,
    seeds,
    sizes,
    tensor,
    torch,
)
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from xpnet import (
    BatchNormalization,
    Dropout,
    Gelu,
    Layer,
    LayerNormalization,
    LeakyRelu,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Tanh,
    layers,
)
from xpnet.errors import ShapeError

F = torch.nn.functional

InputAndDout = tuple[np.ndarray, np.ndarray]

# --- activations ----------------------------------------------------------------------------------------------------


@search
@given(input_and_dout(any_number | st.floats(-20, 20)))
@example((np.array([-1e300, -20.0, -0.0, 0.0, 5e-324, 20.0, 1e300]), np.ones(7)))
def test_tanh(given_arrays: InputAndDout) -> None:
    check_saturating_activation(Tanh(), torch.tanh, given_arrays)


@search
@given(input_and_dout(any_number), st.floats(0, 1))
@example((np.array([[0.0, -0.0, 5e-324, -5e-324]]), np.ones((1, 4))), 0.01)
def test_leaky_relu(given_arrays: InputAndDout, slope: float) -> None:
    x, dout = given_arrays
    layer, x_torch = LeakyRelu(slope), tensor(x)
    y = F.leaky_relu(x_torch, slope)
    y.backward(torch.tensor(dout))
    assert_close(layer.forward(x), y)
    assert_close(layer.backward(dout), x_torch.grad)


@search
@given(input_and_dout(st.floats(-40, 40) | st.floats(-1e6, 1e6)))
@example((np.array([-1e6, -40.0, -5.0, 0.0, 5.0, 40.0, 1e6]), np.ones(7)))
def test_gelu(given_arrays: InputAndDout) -> None:
    x, dout = given_arrays
    layer, x_torch = Gelu(), tensor(x)
    y = F.gelu(x_torch, approximate="tanh")
    y.backward(torch.tensor(dout))
    # 1 + tanh(u) loses its digits where tanh(u) is nearly -1, and times x, in PyTorch as here.
    assert_close(layer.forward(x), y, scale=1e-3)
    assert_close(layer.backward(dout), x_torch.grad, scale=np.max(np.abs(dout)))


@search
@given(arrays(np.float64, array_shapes(), elements=st.floats(-1e3, 1e3)))
def test_gelu_is_next_to_the_exact_one(x: np.ndarray) -> None:
    np.testing.assert_allclose(Gelu().forward(x), F.gelu(torch.tensor(x)).numpy(), rtol=0, atol=5e-4)


# --- dropout --------------------------------------------------------------------------------------------------------


@search
@given(input_and_dout(st.floats(-1e6, 1e6)), st.floats(0, 0.99), st.booleans(), seeds)
def test_dropout(given_arrays: InputAndDout, ratio: float, inverted: bool, seed: int) -> None:
    x, dout = given_arrays
    layer = Dropout(ratio, inverted=inverted, seed=seed)
    layer.train = True
    layer.forward(x)
    given_out = layer.forward(x)
    # PyTorch would drop others, so it is told which; by how much the rest is scaled up it says itself.
    kept = layer.mask != 0
    scale = 1 / torch.tensor(1 - ratio, dtype=torch.float64) if inverted else 1.0
    x_torch = tensor(x)
    y = torch.where(torch.tensor(kept), x_torch * scale, 0.0)
    y.backward(torch.tensor(dout))
    assert_close(given_out, y)
    assert_close(layer.backward(dout), x_torch.grad)
    layer.train = False
    factor = 1.0 if inverted else 1 - ratio
    assert_close(layer.forward(x), torch.tensor(x) * factor)
    assert_close(layer.backward(dout), torch.tensor(dout) * factor)


# --- normalization --------------------------------------------------------------------------------------------------


def normalized(layer: Any, x: np.ndarray, dout: np.ndarray, formula: Callable[..., Any]) -> None:
    """Compare forward and backward with the formula's, a function of x, gamma and beta."""
    x_torch, gamma, beta = tensor(x), tensor(layer.gamma), tensor(layer.beta)
    y = formula(x_torch, gamma, beta)
    y.backward(torch.tensor(dout))
    given_y = layer.forward(x)
    # Where x is far from 0 and varies little, x less its mean has lost digits, in PyTorch as here: it is right to 1e-15
    # of x. And of two numbers alone the normalized ones are always -1 and 1: of the gradient nearly everything cancels,
    # and it is as exact as what cancels is.
    lost = max(1.0, 1e-5 * np.max(np.abs(x)) * np.max(layer.scale))
    largest_gamma, largest_dout = np.max(np.abs(layer.gamma)), np.max(np.abs(dout))
    assert_close(given_y, y, scale=lost * largest_gamma)
    assert_close(layer.backward(dout), x_torch.grad, scale=lost * largest_gamma * largest_dout * np.max(layer.scale))
    assert_close(layer.dgamma, gamma.grad, scale=lost * largest_dout)
    assert_close(layer.dbeta, beta.grad, scale=largest_dout)


scales = st.tuples(*[magnitudes] * 4)
offsets = st.sampled_from([0.0, 1.0, -30.0])  # of the mean, in deviations
epsilons = st.sampled_from([1e-5, 1e-3, 1e-7])


def drawn(seed: int, shape: tuple[int, ...], magnitudes: tuple[float, ...], offset: float) -> list[np.ndarray]:
    """X, dout, gamma and beta, of those magnitudes."""
    rng = np.random.default_rng(seed)
    shapes = shape, shape, shape[-1:], shape[-1:]
    x, *rest = (scale * rng.standard_normal(shape) for scale, shape in zip(magnitudes, shapes, strict=True))
    return [x + offset * magnitudes[0], *rest]


@search
@given(array_shapes(min_dims=0, max_dims=3, max_side=7), st.integers(2, 7), seeds, scales, offsets, epsilons)
@example((1,), 2, 0, (1.0, 1.0, 1.0, 1.0), 0.0, 1e-5)
def test_layer_normalization(
    rows: tuple[int, ...], width: int, seed: int, scales: tuple[float, ...], offset: float, eps: float
) -> None:
    shape = (*rows, width)
    x, dout, gamma, beta = drawn(seed, shape, scales, offset)
    layer = LayerNormalization(gamma, beta, eps=eps)
    normalized(layer, x, dout, lambda x, gamma, beta: F.layer_norm(x, shape[-1:], gamma, beta, eps))


# PyTorch is told 1 minus them, which is exact of these: a tiny one would lose its digits there.
momenta = st.integers(0, 64).map(lambda n: n / 64) | st.just(0.9)


@search
@given(
    st.lists(st.integers(2, 9), min_size=1, max_size=4), sizes, seeds, scales, offsets, epsilons, momenta
)  # fmt: skip
def test_batch_normalization_of_some_batches_and_then_at_inference(
    batches: list[int], width: int, seed: int, scales: tuple[float, ...], offset: float, eps: float, momentum: float
) -> None:
    _, _, gamma, beta = drawn(seed, (1, width), scales, offset)
    layer = BatchNormalization(gamma, beta, momentum, eps=eps)
    module = torch.nn.BatchNorm1d(width, eps=eps, momentum=1 - momentum).double()
    layer.train = True
    for i, n in enumerate(batches):
        x, dout, _, _ = drawn(seed + i + 1, (n, width), scales, offset)
        with torch.no_grad():
            module.weight.copy_(torch.tensor(gamma))
            module.bias.copy_(torch.tensor(beta))
        module.zero_grad()

        def trained(x: Any, gamma: Any, beta: Any) -> Any:
            return torch.func.functional_call(module, {"weight": gamma, "bias": beta}, (x,))

        normalized(layer, x, dout, trained)
        largest = max(scales[0] * 31, 1.0)  # a mean of numbers that cancel is as exact as they are
        assert_close(layer.running_mean, module.running_mean, scale=largest)
        assert_close(layer.running_var, module.running_var)
    layer.train = False
    module.eval()
    x, dout, _, _ = drawn(seed + 99, (batches[0] - 1, width), scales, offset)
    before = layer.running_mean.copy(), layer.running_var.copy()
    # The running means differ in the last bits, and what is divided by their root with them.
    normalized(layer, x, dout, lambda x, gamma, beta: F.batch_norm(x, *map(torch.tensor, before), gamma, beta, eps=eps))
    assert np.array_equal(layer.running_mean, before[0])
    assert np.array_equal(layer.running_var, before[1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (1, 3, 1, 1)])
def test_batch_normalization_of_a_single_value_is_refused(shape: tuple[int, ...]) -> None:
    x, width = np.random.default_rng(0).standard_normal(shape), shape[1]
    layer = BatchNormalization(np.ones(width), np.zeros(width))
    layer.train = True
    with pytest.raises(ValueError, match="more than 1 value"):
        F.batch_norm(torch.tensor(x), None, None, training=True)
    with pytest.raises(ShapeError, match="at least two values"):
        layer.forward(x)
    assert np.array_equal(layer.running_mean, np.zeros(width))
    assert np.array_equal(layer.running_var, np.ones(width))


# --- losses ---------------------------------------------------------------------------------------------------------


@search
@given(scores_and_labels(), st.floats(0, 0.99), st.sampled_from([1.0, 3.0, -0.125]))
@example((np.array([[1000.0, 0.0, -1000.0]]), np.array([2])), 0.1, 1.0)
def test_label_smoothing(given_arrays: tuple[np.ndarray, np.ndarray], smoothing: float, dout: float) -> None:
    x, t = given_arrays
    n, classes = x.shape
    for labels in (t, np.eye(classes)[t]):
        x_torch = tensor(x)
        loss = F.cross_entropy(x_torch, torch.tensor(labels), label_smoothing=smoothing)
        (dout * loss).backward()
        layer = SoftmaxWithLoss(label_smoothing=smoothing)
        # Where the right class leads by far, the loss and its gradient are small differences; see test_torch_live.py.
        assert_close(layer.forward(x, labels), loss, scale=1.0)
        assert_close(layer.backward(dout), x_torch.grad, scale=abs(dout) / n)


@st.composite
def scores_and_truths(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a batch, and for each how true it is."""
    shape = draw(st.tuples(sizes, sizes))
    truths = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
    return draw(arrays(np.float64, shape, elements=scores)), draw(arrays(np.float64, shape, elements=truths))


@search
@given(scores_and_truths(), st.sampled_from([1.0, 3.0, -0.125]))
@example((np.array([[1e4, -1e4, 1e4, -1e4, 40.0, -745.0]]), np.array([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])), 1.0)
@example((np.array([[-40.0, 40.0]]), np.array([[0.0, 1.0]])), 1.0)
def test_sigmoid_with_loss(given_arrays: tuple[np.ndarray, np.ndarray], dout: float) -> None:
    x, t = given_arrays
    n, width = x.shape
    x_torch = tensor(x)
    # PyTorch averages over all elements; here each row's are summed and rows are averaged.
    loss = F.binary_cross_entropy_with_logits(x_torch, torch.tensor(t)) * width
    (dout * loss).backward()
    layer = SigmoidWithLoss()
    # The loss of an answer that is half true is the small difference of x and x t, in PyTorch as here.
    assert_close(layer.forward(x, t), loss, scale=1e-3 if np.all((t == 0) | (t == 1)) else np.max(np.abs(x)))
    # y - 1 loses its digits where y is nearly 1, in PyTorch as here.
    assert_close(layer.backward(dout), x_torch.grad, scale=abs(dout) / n)
    assert_close(layer.y, torch.sigmoid(x_torch))


@pytest.mark.parametrize(("score", "truth"), [(30.0, 1.0), (-30.0, 0.0), (700.0, 1.0)])
def test_the_loss_of_an_answer_that_is_surely_right_keeps_its_digits(score: float, truth: float) -> None:
    """Of PyTorch's there are two left of a score of -30: it takes the logarithm of a sigmoid next to 1."""
    loss = SigmoidWithLoss().forward(np.array([[score]]), np.array([[truth]]))
    np.testing.assert_allclose(loss, np.exp(-abs(score)), rtol=1e-12)


def test_every_layer_of_the_library_is_compared() -> None:
    """A layer more wants a test more, here, in test_torch_live.py or in test_torch_convolution.py."""
    classes = {name: kind for name in layers.__all__ if isinstance(kind := getattr(layers, name), type)}
    found = {name for name, kind in classes.items() if issubclass(kind, Layer)} - {"Layer"}
    assert found == {
        *("Relu", "ReLU", "Sigmoid", "Affine", "Tanh", "LeakyRelu", "Gelu"),
        *("Dropout", "BatchNormalization", "LayerNormalization"),
        *("Convolution", "MaxPooling", "Pooling", "AveragePooling", "GlobalAveragePooling", "Flatten", "Residual"),
    }
