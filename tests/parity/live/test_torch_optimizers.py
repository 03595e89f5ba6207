"""PyTorch's optimizers, clipping and schedules beside ours: a hundred steps of one network on the same minibatches."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from xpnet import TwoLayerNet
from xpnet.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop
from xpnet.optimizers.schedules import CosineDecay, StepDecay

torch = pytest.importorskip("torch", reason="PyTorch is not installed; the session `oracles` has it")

STEPS = 100

OPTIMIZERS: dict[str, tuple[type, float, Callable[..., Any]]] = {
    "SGD": (SGD, 0.1, torch.optim.SGD),
    "Momentum": (Momentum, 0.05, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)),
    "Nesterov": (Nesterov, 0.05, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, nesterov=True)),
    "AdaGrad": (AdaGrad, 0.05, lambda p, lr: torch.optim.Adagrad(p, lr, eps=1e-7)),
    "RMSprop": (RMSprop, 0.01, lambda p, lr: torch.optim.RMSprop(p, lr, alpha=0.99, eps=1e-7)),
    "Adam": (Adam, 0.01, torch.optim.Adam),
    "AdamW": (AdamW, 0.01, lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=0.0)),
}
"""Ours, a rate, and PyTorch's, with the same defaults as ours where nothing is said."""


def step_lr(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.3)


def step_by_lambda(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 ** (step // 17))


def cosine(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS, eta_min=1e-3)


def warm_up_and_cosine(optimizer: Any, warm_up: int = 10) -> Any:
    schedules = torch.optim.lr_scheduler
    parts = [
        schedules.LinearLR(optimizer, start_factor=1 / (warm_up + 1), total_iters=warm_up),
        schedules.CosineAnnealingLR(optimizer, T_max=STEPS - warm_up),
    ]
    return schedules.SequentialLR(optimizer, parts, milestones=[warm_up])


SCHEDULES: dict[str, tuple[Callable[[float], Any], Callable[[Any], Any]]] = {
    "StepDecay": (lambda lr: StepDecay(lr, every=30, factor=0.3), step_lr),
    "StepDecay by LambdaLR": (lambda lr: StepDecay(lr, every=17, factor=0.5), step_by_lambda),
    "CosineDecay": (lambda lr: CosineDecay(lr, STEPS, final=1e-3), cosine),
    "Cosine with warm-up": (lambda lr: CosineDecay(lr, STEPS, warm_up=10), warm_up_and_cosine),
    "Cosine with one step of warm-up": (
        lambda lr: CosineDecay(lr, STEPS, warm_up=1),
        lambda optimizer: warm_up_and_cosine(optimizer, 1),
    ),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_each_schedule_gives_pytorchs_rates(schedule: str) -> None:
    ours, make_torch = SCHEDULES[schedule]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.5)
    scheduler, rates = make_torch(optimizer), []
    for _ in range(STEPS + 1):  # the last of a cosine is its final rate
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose([ours(0.5)(step) for step in range(STEPS + 1)], rates, rtol=1e-12, atol=1e-15)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Arrays as small as these are not worth waiting for a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Both:
    """One network, here and in PyTorch, on the same minibatches."""

    def __init__(self, *, flat: bool) -> None:
        self.network = TwoLayerNet(12, 8, 5, 0.5, seed=0, dtype="float64", backend="numpy")
        if flat:
            self.network.state.flatten()
        layers = torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5)
        self.model = torch.nn.Sequential(*layers).double()
        with torch.no_grad():
            for parameter, key in zip(self.model.parameters(), self.network.params, strict=True):
                parameter.copy_(torch.tensor(self.network.params[key].T))
        self._rng = np.random.default_rng(1)
        self._x, self._t = self._rng.standard_normal((50, 12)), self._rng.integers(0, 5, 50)

    def compute_gradients(self) -> None:
        """Of the next minibatch, in both."""
        indices = self._rng.integers(0, 50, 10)
        x, t = self._x[indices], self._t[indices]
        self.network.compute_gradients(x, t)
        self.model.zero_grad()
        torch.nn.functional.cross_entropy(self.model(torch.tensor(x)), torch.tensor(t)).backward()

    def assert_same(self) -> None:
        """Parameters within 1e-10 of the largest, or of 0.5, about what the weights begin at, where that is more."""
        for parameter, (key, ours) in zip(self.model.parameters(), self.network.params.items(), strict=True):
            expected = parameter.detach().numpy().T
            allowed = 1e-10 * max(np.max(np.abs(expected)), 0.5)
            np.testing.assert_allclose(ours, expected, rtol=0, atol=allowed, err_msg=key)


@pytest.mark.parametrize("schedule", [None, "StepDecay", "Cosine with warm-up"])
@pytest.mark.parametrize("max_norm", [None, 1.0])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_hundred_steps(name: str, flat: bool, weight_decay: float, max_norm: float | None, schedule: str) -> None:
    make_ours, lr, make_torch = OPTIMIZERS[name]
    our_schedule, torch_schedule = SCHEDULES[schedule] if schedule else (float, None)
    both = Both(flat=flat)
    ours = make_ours(our_schedule(lr), weight_decay=weight_decay, max_norm=max_norm)
    theirs = make_torch(both.model.parameters(), lr)
    if name == "AdamW":
        theirs.param_groups[0]["weight_decay"] = weight_decay
    scheduler = torch_schedule(theirs) if torch_schedule else None
    were_clipped = []
    for _ in range(STEPS):
        both.compute_gradients()
        ours.update(*both.network.state.optimizer_view())
        if max_norm is not None:
            were_clipped.append(float(torch.nn.utils.clip_grad_norm_(both.model.parameters(), max_norm)) > max_norm)
        if weight_decay and name != "AdamW":  # PyTorch's own is a term in the loss, elsewhere than in AdamW
            with torch.no_grad():
                for parameter in both.model.parameters():
                    parameter.mul_(1 - theirs.param_groups[0]["lr"] * weight_decay)
        theirs.step()
        if scheduler:
            scheduler.step()
    both.assert_same()
    assert max_norm is None or 10 < sum(were_clipped) < STEPS - 10


def test_adamw_decays_by_default_as_pytorchs_does() -> None:
    both = Both(flat=True)
    ours, theirs = AdamW(), torch.optim.AdamW(both.model.parameters())
    for _ in range(STEPS):
        both.compute_gradients()
        ours.update(*both.network.state.optimizer_view())
        theirs.step()
    both.assert_same()


def test_when_the_rate_changes_velocities_are_pytorchs() -> None:
    """The course's velocity has the old rate in it."""
    both = Both(flat=True)
    ours, theirs = Momentum(0.1), torch.optim.SGD(both.model.parameters(), 0.1, momentum=0.9)
    for step in range(20):
        if step == 10:
            ours.lr = theirs.param_groups[0]["lr"] = 0.01
        both.compute_gradients()
        ours.update(*both.network.state.optimizer_view())
        theirs.step()
    both.assert_same()
