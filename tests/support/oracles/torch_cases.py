"""The matrix once more, in PyTorch: every case of `cases.py` under the same name, with the same numbers, in float64.

Written from the course's formulas and PyTorch's own functions, and not from xpnet's. Every gradient is autograd's.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cases import LABEL_FORMS, PIXELS, PROBABILITIES, SHAPES, THREE_LAYERS, YES_OR_NO

from oracles import torch_conv_cases, torch_deep_cases  # noqa: F401 - which enter more of them
from oracles.torch_table import (
    ACTIVATIONS,
    FUNCTIONS,
    ORACLES,
    Results,
    Tensor,
    elementwise,
    given,
    gradients,
    labels,
    learned,
    oracle,
)

with suppress(ImportError):  # pytest looks for doctests in this file also where there is no PyTorch
    import torch
    from torch.nn import functional as F

__all__ = ["ORACLES"]

NODES: dict[str, Callable[[Tensor], Tensor]] = {
    "SquareLayer": lambda x: torch.square(x),
    "ExpLayer": lambda x: torch.exp(x),
    "ReciprocalLayer": lambda x: torch.reciprocal(x),
}
NODES_OF_TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "MulLayer": lambda x, y: torch.mul(x, y),
    "AddLayer": lambda x, y: torch.add(x, y),
}


for _name, _f in FUNCTIONS.items():
    for _kind, _shape in SHAPES.items():
        oracle(f"{_name}/{_kind}")(lambda f=_f, shape=_shape: {"y": f(learned(1, *shape))})
for _name, _f in ACTIVATIONS.items():
    for _kind, _shape in SHAPES.items():
        oracle(f"{_name}/{_kind}")(lambda f=_f, shape=_shape: elementwise(f, shape, 2, "x"))
for _name, _f in NODES.items():
    oracle(f"{_name}/batch")(lambda f=_f: elementwise(f, (5, 7), 3, "x"))
for _name, _f in NODES_OF_TWO.items():
    oracle(f"{_name}/batch")(lambda f=_f: elementwise(f, (5, 7), 3, "x", "y"))


def _affine(shape: tuple[int, ...]) -> Results:
    x = learned(1, *shape)
    rows = x if len(shape) == 1 else x.flatten(start_dim=1)
    W, b = learned(2, rows.shape[-1], 3), learned(3, 3)
    y = F.linear(rows, W.T, b)
    return {"y": y, **gradients(y, {"dx": x, "dW": W, "db": b}, given(4, *y.shape))}


for _kind, _shape in SHAPES.items():
    oracle(f"Affine/{_kind}")(lambda shape=_shape: _affine(shape))


# --- losses ---------------------------------------------------------------------------------------------------------


def _softmax_with_loss(form: str, label_smoothing: float = 0.0) -> Results:
    x = learned(1, 5, 7)
    loss = F.cross_entropy(x, labels(form), label_smoothing=label_smoothing)
    return {"loss": loss, **gradients(loss, {"dx": x}), "y": F.softmax(x, dim=-1)}


def _cross_entropy_error(form: str) -> Results:
    """The course's, of probabilities: with 1e-7 inside the logarithm, which no loss of PyTorch's has."""
    log_y = torch.log(torch.from_numpy(PROBABILITIES) + 1e-7)
    if form == "index":
        return {"loss": F.nll_loss(log_y, labels(form))}
    return {"loss": -(labels(form) * log_y).sum() / log_y.shape[0]}


for _form in LABEL_FORMS:
    oracle(f"SoftmaxWithLoss/{_form}")(lambda form=_form: _softmax_with_loss(form))
    oracle(f"SoftmaxWithLoss/label smoothing, {_form}")(lambda form=_form: _softmax_with_loss(form, 0.125))
    oracle(f"cross_entropy_error/{_form}")(lambda form=_form: _cross_entropy_error(form))


@oracle("cross_entropy_error/vector")
def _cross_entropy_error_of_one() -> Results:
    return {"loss": F.nll_loss(torch.log(torch.from_numpy(PROBABILITIES[0]) + 1e-7), torch.tensor(2))}


@oracle("SigmoidWithLoss/batch")
def _sigmoid_with_loss() -> Results:
    x = (10 * given(1, 5, 7)).requires_grad_()
    loss = F.binary_cross_entropy_with_logits(x, torch.from_numpy(YES_OR_NO)) * x.shape[1]  # which averages over them
    return {"loss": loss, **gradients(loss, {"dx": x}), "y": torch.sigmoid(x)}


def half_the_squares(y: Tensor, t: Tensor) -> Tensor:
    """The course's mean squared error: half the sum of squares, averaged over rows (PyTorch's: over all elements)."""
    return 0.5 * F.mse_loss(y, t, reduction="sum") / (y.shape[0] if y.ndim > 1 else 1)


for _kind in ("vector", "batch"):
    oracle(f"mean_squared_error/{_kind}")(
        lambda shape=SHAPES[_kind]: {"loss": half_the_squares(given(1, *shape), given(2, *shape))}
    )


@oracle("IdentityWithLoss/batch")
def _identity_with_loss() -> Results:
    y = learned(1, 5, 7)
    loss = half_the_squares(y, given(2, 5, 7))
    return {"loss": loss, **gradients(loss, {"dx": y}), "y": y}


# --- networks -------------------------------------------------------------------------------------------------------


def two_layer_parameters() -> Results:
    """Those of 12 inputs, 6 hidden units and 7 outputs."""
    return {"W1": learned(5, 12, 6), "b1": learned(6, 6), "W2": learned(7, 6, 7), "b2": learned(8, 7)}


def two_layer_scores(parameters: Results, x: Tensor, activation: str = "Relu") -> Tensor:
    """The network's scores for a batch or a vector."""
    hidden = ACTIVATIONS[activation](F.linear(x, parameters["W1"].T, parameters["b1"]))
    return F.linear(hidden, parameters["W2"].T, parameters["b2"])


def _two_layer_gradient(form: str) -> Results:
    parameters = two_layer_parameters()
    loss = F.cross_entropy(two_layer_scores(parameters, given(1, 5, 12)), labels(form))
    return {**gradients(loss, parameters), "loss": loss}


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda of: torch.optim.SGD(of, lr=0.25),
    "Momentum": lambda of: torch.optim.SGD(of, lr=0.05, momentum=0.9),
    "Nesterov": lambda of: torch.optim.SGD(of, lr=0.05, momentum=0.9, nesterov=True),
    "AdaGrad": lambda of: torch.optim.Adagrad(of, lr=0.05, eps=1e-7),
    "RMSprop": lambda of: torch.optim.RMSprop(of, lr=0.01, alpha=0.99, eps=1e-7),
    "Adam": lambda of: torch.optim.Adam(of, lr=0.02),
    "AdamW": lambda of: torch.optim.AdamW(of, lr=0.02, weight_decay=0.25),
}


def _three_steps(name: str, max_norm: float | None) -> Results:
    parameters = two_layer_parameters()
    optimizer = OPTIMIZERS[name](parameters.values())
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(two_layer_scores(parameters, given(1, 5, 12)), labels("index")).backward()
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters.values(), max_norm)
        optimizer.step()
    return parameters


for _suffix in ("", ", flat"):  # one buffer or many, the numbers are the same
    for _form in LABEL_FORMS:
        oracle(f"TwoLayerNet/{_form}{_suffix}")(lambda form=_form: _two_layer_gradient(form))
    for _name in OPTIMIZERS:
        oracle(f"{_name}/three steps{_suffix}")(lambda name=_name: _three_steps(name, None))
for _name in OPTIMIZERS:
    oracle(f"{_name}/three steps, flat, clipped")(lambda name=_name: _three_steps(name, 0.5))


@oracle("TwoLayerNet/pixels")
def _pixels() -> Results:
    parameters = two_layer_parameters()
    x = torch.from_numpy(PIXELS).double().flatten(start_dim=1) / 255
    scores = two_layer_scores(parameters, x)
    return {**gradients(F.cross_entropy(scores, labels("index")), parameters), "scores": scores}


@oracle("TwoLayerNet/vector")
def _vector() -> Results:
    scores = two_layer_scores(two_layer_parameters(), given(1, 12))
    return {"scores": scores, "probabilities": F.softmax(scores, dim=-1)}


@oracle("SimpleNetwork/batch")
def _simple_network() -> Results:
    scores = two_layer_scores(two_layer_parameters(), given(1, 5, 12), "Sigmoid")
    loss = F.cross_entropy(scores, labels("index"))
    return {"scores": scores, "probabilities": F.softmax(scores, dim=-1), "loss": loss}


@oracle("regression/batch")
def _regression() -> Results:
    parameters = two_layer_parameters()
    y = two_layer_scores(parameters, given(1, 5, 12), "Sigmoid")
    return gradients(half_the_squares(y, given(4, 5, 7)), parameters)


@oracle("ThreeLayerNet/batch")
def _three_layers() -> Results:
    parameters = {key: learned(i, *shape) for i, (key, shape) in enumerate(THREE_LAYERS.items(), 5)}
    W1, b1, W2, b2, W3, b3 = parameters.values()
    hidden = torch.sigmoid(F.linear(torch.sigmoid(F.linear(given(1, 5, 12), W1.T, b1)), W2.T, b2))
    scores = F.linear(hidden, W3.T, b3)
    loss = F.cross_entropy(scores, labels("index"))
    return {**gradients(loss, parameters), "probabilities": F.softmax(scores, dim=-1)}
