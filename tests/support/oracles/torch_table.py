"""PyTorch's side of the table, what it is given, and its functions by their names here."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cases import LABELS, SLOPE, numbers

with suppress(ImportError):  # pytest looks for doctests in this file also where there is no PyTorch
    import torch
    from torch.nn import functional as F

Tensor = Any
Results = dict[str, Tensor]

ORACLES: dict[str, Callable[[], Results]] = {}


def oracle(name: str) -> Callable[[Callable[[], Results]], Callable[[], Results]]:
    """Enter a function as what PyTorch says of the case of that name."""

    def enter(run: Callable[[], Results]) -> Callable[[], Results]:
        assert name not in ORACLES
        ORACLES[name] = run
        return run

    return enter


def given(seed: int, *shape: int) -> Tensor:
    """The numbers that the case is given."""
    return torch.from_numpy(numbers(seed, *shape))


def learned(seed: int, *shape: int) -> Tensor:
    """The same, for autograd to follow."""
    return given(seed, *shape).requires_grad_()


def gradients(y: Tensor, by: Results, dout: Tensor | None = None) -> Results:
    """Autograd's gradients of `y` (weighted by `dout`, where it is no scalar) by each of the tensors."""
    return dict(zip(by, torch.autograd.grad(y, list(by.values()), dout), strict=True))


# Each is one function of PyTorch's, called when the case is run, so that this file can be read without PyTorch.
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "step_function": lambda x: torch.heaviside(x, torch.zeros_like(x)),
    "sigmoid": lambda x: torch.sigmoid(x),
    "sigmoid_grad": lambda x: gradients(torch.sigmoid(x), {"dx": x}, torch.ones_like(x))["dx"],
    "relu": lambda x: F.relu(x),
    "relu_grad": lambda x: gradients(F.relu(x), {"dx": x}, torch.ones_like(x))["dx"],
    "identity_function": lambda x: torch.nn.Identity()(x),
    "softmax": lambda x: F.softmax(x, dim=-1),
}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": FUNCTIONS["relu"],
    "Sigmoid": FUNCTIONS["sigmoid"],
    "Tanh": lambda x: torch.tanh(x),
    "LeakyRelu": lambda x: F.leaky_relu(x, SLOPE),
    "Gelu": lambda x: F.gelu(x, approximate="tanh"),
}


def elementwise(function: Callable[..., Tensor], shape: tuple[int, ...], dout_seed: int, *input_names: str) -> Results:
    """Forward and backward of a function of one or two inputs of one shape."""
    inputs = {f"d{name}": learned(seed, *shape) for seed, name in enumerate(input_names, start=1)}
    y = function(*inputs.values())
    return {"y": y, **gradients(y, inputs, given(dout_seed, *shape))}


def labels(form: str, width: int = 7) -> Tensor:
    """The labels as PyTorch's losses take them: indices, or one row of probabilities a sample."""
    indices = torch.from_numpy(LABELS)
    return indices if form == "index" else F.one_hot(indices, width).double()
