"""PyTorch itself, asked now, of whole networks: every activation, batch normalization, dropout and weight decay."""

from typing import Any

import numpy as np
import pytest
from comparing import assert_close, search, seeds, torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet import (
    IdentityWithLoss,
    LossLayer,
    MultiLayerNet,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    TwoLayerNet,
)

F = torch.nn.functional

ACTIVATIONS = {
    "relu": torch.nn.ReLU(),
    "sigmoid": torch.nn.Sigmoid(),
    "tanh": torch.nn.Tanh(),
    "leaky_relu": torch.nn.LeakyReLU(),
    "gelu": torch.nn.GELU(approximate="tanh"),
}


class MaskOf(torch.nn.Module):
    """Multiplies by the mask that a layer of ours has made, for PyTorch would make another."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        """X times the mask in training, x at inference."""
        return x * torch.tensor(self.layer.mask) if self.training else x


def model_of(network: MultiLayerNet, activation: str) -> Any:
    """The same network as PyTorch's modules, with the same parameters."""
    modules, parameters = [], {}
    for name, layer in network.layers.items():
        kind = type(layer).__name__
        if kind == "Affine":
            modules.append(torch.nn.Linear(*layer.W.shape))
            parameters[f"{len(modules) - 1}.weight"], parameters[f"{len(modules) - 1}.bias"] = layer.W.T, layer.b
        elif kind == "BatchNormalization":
            modules.append(torch.nn.BatchNorm1d(layer.gamma.shape[0], eps=layer.eps, momentum=1 - layer.momentum))
            parameters[f"{len(modules) - 1}.weight"] = layer.gamma
            parameters[f"{len(modules) - 1}.bias"] = layer.beta
        elif kind == "Dropout":
            modules.append(MaskOf(layer))
        else:
            assert name.rstrip("0123456789").lower() == activation.replace("_", "")
            modules.append(ACTIVATIONS[activation])
    model = torch.nn.Sequential(*modules).double()
    state = {key: torch.tensor(np.array(value)) for key, value in parameters.items()}
    model.load_state_dict(state, strict=False)
    return model


def torch_loss(model: Any, last_layer: LossLayer, x: np.ndarray, t: np.ndarray, decay: float) -> Any:
    """The loss, and what the weights, which are the matrices, add to it."""
    scores, targets = model(torch.tensor(x)), torch.tensor(t)
    if isinstance(last_layer, SoftmaxWithLoss):
        loss = F.cross_entropy(scores, targets, label_smoothing=last_layer.label_smoothing)
    elif isinstance(last_layer, SigmoidWithLoss):
        loss = F.binary_cross_entropy_with_logits(scores, targets) * scores.shape[1]
    else:
        loss = 0.5 * F.mse_loss(scores, targets) * scores.shape[1]
    return loss + 0.5 * decay * sum((p**2).sum() for p in model.parameters() if p.ndim == 2)


def targets(rng: np.random.Generator, last_layer: LossLayer, batch: int, width: int) -> np.ndarray:
    """What that last layer takes."""
    if isinstance(last_layer, SoftmaxWithLoss):
        return rng.integers(0, width, batch)
    if isinstance(last_layer, SigmoidWithLoss):
        return rng.integers(0, 2, (batch, width)).astype(float)
    return rng.standard_normal((batch, width))


last_layers = st.sampled_from(
    [SoftmaxWithLoss(), SoftmaxWithLoss(label_smoothing=0.1), SigmoidWithLoss(), IdentityWithLoss()]
)


def assert_gradients(network: MultiLayerNet, grads: Any, model: Any) -> None:
    # The bias before a batch normalization has no gradient but rounding: each is measured against the largest of all.
    largest = max(float(np.max(np.abs(grad))) for grad in grads.values())
    parameters = dict(zip(network.params, model.parameters(), strict=True))
    for key, parameter in parameters.items():
        assert_close(grads[key], parameter.grad.T if parameter.ndim == 2 else parameter.grad, scale=largest)


@settings(search, max_examples=100)
@given(
    st.lists(st.integers(1, 8), max_size=3), st.integers(1, 6), st.integers(2, 5), st.integers(3, 9),
    st.sampled_from(sorted(ACTIVATIONS)), st.booleans(), st.floats(0, 0.7), st.sampled_from([0.0, 1e-3, 0.5]),
    last_layers, st.booleans(), seeds,
)  # fmt: skip
def test_gradients_and_loss_of_a_training_step_and_the_network_after_it(
    hidden: list[int], n_in: int, n_out: int, batch: int, activation: str, norm: bool, ratio: float, decay: float,
    last_layer: LossLayer, flat: bool, seed: int,
) -> None:  # fmt: skip
    network = MultiLayerNet(
        n_in, hidden, n_out, activation, weight_decay_lambda=decay, use_dropout=ratio > 0, dropout_ratio=ratio,
        use_batchnorm=norm, last_layer=last_layer, seed=seed, dtype="float64", backend="numpy",
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    for value in network.params.values():
        if value.ndim == 1:  # biases, gammas and betas begin at 0 and 1, where much would go unseen
            value[...] += 0.5 * rng.standard_normal(value.shape)
    if flat:
        network.state.flatten()
    model = model_of(network, activation)
    x, t = rng.standard_normal((batch, n_in)), targets(rng, last_layer, batch, n_out)
    expected_in_training = float(network.loss(x, t, train=True))
    grads = network.gradient(x, t)
    loss = torch_loss(model, last_layer, x, t, decay)
    loss.backward()
    assert_close(np.asarray(expected_in_training), loss, scale=1.0)
    assert_gradients(network, grads, model)
    # At inference: running means, and nothing dropped.
    model.eval()
    assert_close(network.predict(x), model(torch.tensor(x)), scale=1.0)
    assert_close(np.asarray(network.loss(x, t)), torch_loss(model, last_layer, x, t, decay), scale=1.0)


@pytest.mark.parametrize("flat", [False, True])
def test_weight_decay_of_a_network_without_anything_else(flat: bool) -> None:
    """PyTorch's own: of an optimizer's weight_decay, on the weights alone."""
    network = MultiLayerNet(5, [4], 3, weight_decay_lambda=0.3, seed=0, dtype="float64", backend="numpy")
    plain = TwoLayerNet(5, 4, 3, dtype="float64", backend="numpy").set_params(network.params)
    if flat:
        network.state.flatten()
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((6, 5)), rng.integers(0, 3, 6)
    weights = {key: torch.nn.Parameter(torch.tensor(value.copy())) for key, value in network.params.items()}
    for key, grad in plain.gradient(x, t).items():
        weights[key].grad = torch.tensor(grad)
    groups = [
        {"params": [p for p in weights.values() if p.ndim == 2], "weight_decay": 0.3},
        {"params": [p for p in weights.values() if p.ndim == 1], "weight_decay": 0.0},
    ]
    torch.optim.SGD(groups, lr=0.1).step()
    for key, grad in network.gradient(x, t).items():
        assert_close(network.params[key] - 0.1 * grad, weights[key])
