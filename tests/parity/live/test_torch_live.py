"""PyTorch itself, asked now: layers on inputs that hypothesis thinks of, forward and backward, and twenty steps of SGD.

``nox -s oracles`` runs this; the core suite uses PyTorch's stored answers (`tests/oracles/`).
"""

import numpy as np
import pytest
from cases import CASES
from comparing import (
    any_number,
    assert_close,
    check_saturating_activation,
    input_and_dout,
    magnitudes,
    moderate,
    scores_and_labels,
    scores_and_soft_labels,
    search,
    seeds,
    sizes,
    tensor,
    torch,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import store

from xpnet import SGD, Affine, IdentityWithLoss, Relu, Sigmoid, SoftmaxWithLoss, TwoLayerNet
from xpnet.testing import error_in_eps

# --- stored ---------------------------------------------------------------------------------------------------------


def test_the_stored_results_are_what_pytorch_says() -> None:
    stored, _ = store.load()
    live = store.ask_torch()
    assert stored.keys() == live.keys() == CASES.keys()
    for case, results in live.items():
        assert stored[case].keys() == results.keys()
        for name, result in results.items():
            error = error_in_eps(result, stored[case][name])
            assert error <= 16, f"{name} of {case}: {error} eps. Write them anew:  python tests/oracles/store.py"


# --- layers ---------------------------------------------------------------------------------------------------------


@search
@given(input_and_dout(any_number))
@example((np.array([[0.0, -0.0, 5e-324, -5e-324]]), np.ones((1, 4))))
def test_relu(given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    x, dout = given_arrays
    layer, x_torch = Relu(), tensor(x)
    y = torch.relu(x_torch)
    y.backward(torch.tensor(dout))
    np.testing.assert_array_equal(layer.forward(x), y.detach().numpy())
    np.testing.assert_array_equal(layer.backward(dout), x_torch.grad.numpy())


@search
@given(input_and_dout(any_number | st.floats(-800, 800)))
@example((np.array([-1e4, -745.0, -40.0, 0.0, 40.0, 745.0, 1e4]), np.ones(7)))
def test_sigmoid(given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    check_saturating_activation(Sigmoid(), torch.sigmoid, given_arrays)


@search
@given(
    st.just(()) | st.tuples(sizes), st.lists(sizes, min_size=1, max_size=3), sizes, seeds, st.tuples(*[magnitudes] * 4)
)
def test_affine(batch: tuple[int, ...], sample: list[int], width: int, seed: int, scales: tuple[float, ...]) -> None:
    sample = sample if batch else sample[:1]  # a sample alone is a vector
    rng = np.random.default_rng(seed)
    given_shapes = [(*batch, *sample), (int(np.prod(sample)), width), (width,), (*batch, width)]
    x, W, b, dout = (scale * rng.standard_normal(shape) for scale, shape in zip(scales, given_shapes, strict=True))
    layer = Affine(W, b)
    x_torch, W_torch, b_torch = tensor(x), tensor(W), tensor(b)
    y = torch.nn.functional.linear(x_torch.flatten(1) if batch else x_torch, W_torch.T, b_torch)
    y.backward(torch.tensor(dout))
    assert_close(layer.forward(x), y)
    assert_close(layer.backward(dout), x_torch.grad)
    assert_close(layer.dW, W_torch.grad)
    assert_close(layer.db, b_torch.grad)


# --- losses ---------------------------------------------------------------------------------------------------------


@search
@given(scores_and_labels(), st.sampled_from([1.0, 3.0, -0.125]))
@example((np.array([[1000.0, 0.0, -1000.0]]), np.array([2])), 1.0)
def test_softmax_with_loss(given_arrays: tuple[np.ndarray, np.ndarray], dout: float) -> None:
    x, t = given_arrays
    n, classes = x.shape
    x_torch = tensor(x)
    loss = torch.nn.functional.cross_entropy(x_torch, torch.tensor(t))
    (dout * loss).backward()
    for labels in (t, np.eye(classes)[t]):
        layer = SoftmaxWithLoss()
        # Where the right class leads by far, the loss and its gradient are the small differences of numbers near 1 and
        # near 1/N, in PyTorch as here.
        assert_close(layer.forward(x, labels), loss, scale=1.0)
        assert_close(layer.backward(dout), x_torch.grad, scale=abs(dout) / n)
        assert_close(layer.y, torch.softmax(x_torch, dim=1))


@search
@given(scores_and_soft_labels(), st.sampled_from([0.0, 0.1]), st.sampled_from([1.0, 3.0, -0.125]))
def test_softmax_with_loss_of_soft_labels(
    given_arrays: tuple[np.ndarray, np.ndarray], smoothing: float, dout: float
) -> None:
    x, t = given_arrays
    x_torch = tensor(x)
    loss = torch.nn.functional.cross_entropy(x_torch, torch.tensor(t), label_smoothing=smoothing)
    (dout * loss).backward()
    layer = SoftmaxWithLoss(label_smoothing=smoothing)
    assert_close(layer.forward(x, t), loss, scale=1.0)
    assert_close(layer.backward(dout), x_torch.grad, scale=abs(dout) / len(x))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("t", [np.array([0, 2, 2]), np.array([0, 1, 2])], ids=["others masked", "the label masked"])
def test_softmax_with_loss_of_masked_classes(t: np.ndarray, smoothing: float) -> None:
    x = np.array([[1.0, -np.inf, 0.5], [2.0, -np.inf, -1.0], [-np.inf, -np.inf, 3.0]])
    x_torch = tensor(x)
    loss = torch.nn.functional.cross_entropy(x_torch, torch.tensor(t), label_smoothing=smoothing)
    loss.backward()
    for labels in (t, np.eye(3)[t]):
        layer = SoftmaxWithLoss(label_smoothing=smoothing)
        np.testing.assert_allclose(layer.forward(x, labels), loss.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(layer.backward(), x_torch.grad.numpy(), rtol=0, atol=1e-12)


def test_soft_labels_of_masked_classes_are_those_of_the_other_classes() -> None:
    x, t = np.array([[1.0, -np.inf, 0.5], [2.0, -np.inf, -1.0]]), np.array([[0.25, 0.0, 0.75], [0.5, 0.0, 0.5]])
    loss = torch.nn.functional.cross_entropy(torch.tensor(x[:, ::2]), torch.tensor(t[:, ::2]))
    assert float(SoftmaxWithLoss().forward(x, t)) == pytest.approx(float(loss), rel=1e-12)


def test_an_infinite_score_gives_nan_as_in_pytorch() -> None:
    x, t = np.array([[np.inf, 0.0]]), np.array([0])
    assert np.isnan(float(torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(t))))
    with np.errstate(invalid="ignore"):
        assert np.isnan(SoftmaxWithLoss().forward(x, t))


@pytest.mark.parametrize("behind", [30.0, 1000.0])
def test_the_loss_of_a_class_that_is_behind_is_how_far_it_is_behind(behind: float) -> None:
    x, t = np.array([[behind, 0.0]]), np.array([1])
    assert float(SoftmaxWithLoss().forward(x, t)) == pytest.approx(behind, rel=1e-14)
    assert float(torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(t))) == pytest.approx(
        behind, rel=1e-14
    )


@search
@given(st.tuples(sizes, sizes).flatmap(lambda shape: st.tuples(*[arrays(np.float64, shape, elements=moderate)] * 2)))
def test_identity_with_loss(given_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    x, t = given_arrays
    x_torch = tensor(x)
    # PyTorch averages over all elements, the course sums each row's and averages over rows.
    loss = 0.5 * torch.nn.functional.mse_loss(x_torch, torch.tensor(t)) * x.shape[1]
    loss.backward()
    layer = IdentityWithLoss()
    assert_close(layer.forward(x, t), loss)
    assert_close(layer.backward(), x_torch.grad)


# --- training -------------------------------------------------------------------------------------------------------


@settings(search, max_examples=50)
@given(sizes, sizes, sizes, st.integers(1, 9), seeds, st.sampled_from([0.01, 0.1, 1.0]), st.booleans())
def test_twenty_steps_of_sgd(n_in: int, hidden: int, n_out: int, batch: int, seed: int, lr: float, flat: bool) -> None:
    network = TwoLayerNet(n_in, hidden, n_out, 0.5, seed=seed, dtype="float64", backend="numpy")
    model = torch.nn.Sequential(torch.nn.Linear(n_in, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, n_out)).double()
    with torch.no_grad():
        for parameter, key in zip(model.parameters(), network.params, strict=True):
            parameter.copy_(torch.tensor(network.params[key].T))
    if flat:
        network.state.flatten()
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal((batch, n_in)), rng.integers(0, n_out, batch)
    optimizer, torch_optimizer = SGD(lr), torch.optim.SGD(model.parameters(), lr)
    for _ in range(20):
        network.compute_gradients(x, t)
        optimizer.update(*network.state.optimizer_view())
        torch_optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(t)).backward()
        torch_optimizer.step()
    for parameter, key in zip(model.parameters(), network.params, strict=True):
        # Weights begin at about 0.5; a bias whose gradients cancel stays at a rounding error, which each has its own.
        assert_close(network.params[key], parameter.T if parameter.ndim == 2 else parameter, scale=0.5)
