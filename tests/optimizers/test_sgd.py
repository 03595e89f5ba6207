"""SGD, Momentum and Nesterov: the papers' formulas on every backend, and steps by hand."""

import numpy as np
import pytest
from optimizer_cases import check_paper, check_two_steps

from xpnet.optimizers import SGD, Momentum, Nesterov
from xpnet.optimizers.schedules import StepDecay


def sgd(grads, lr):
    yield from (lr * g for g in grads)


def polyak(grads, lr, momentum):
    """As a sum over all gradients so far."""
    for t in range(len(grads)):
        yield lr * sum(momentum ** (t - i) * grads[i] for i in range(t + 1))


def sutskever(grads, lr, momentum):
    """Equations 3 and 4, whose point theta is behind ours, theta + momentum * velocity, where the gradient is taken."""
    theta, velocity, ahead = 0.0, 0.0, 0.0
    for g in grads:
        velocity = momentum * velocity - lr * g
        theta = theta + velocity
        before, ahead = ahead, theta + momentum * velocity
        yield before - ahead


PAPERS = [
    (SGD(0.3), sgd, {"lr": 0.3}),
    (Momentum(0.3, 0.8), polyak, {"lr": 0.3, "momentum": 0.8}),
    (Nesterov(0.3, 0.8), sutskever, {"lr": 0.3, "momentum": 0.8}),
]


@pytest.mark.parametrize(("optimizer", "paper", "constants"), PAPERS, ids=[paper.__name__ for _, paper, _ in PAPERS])
def test_ten_steps_are_the_papers(be, optimizer, paper, constants):
    check_paper(be, optimizer, paper, constants)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (SGD(0.1), (0.8, 0.9)),
        (Momentum(0.1, 0.9), (0.8, 0.72)),  # v is 2, then 0.8
        (Nesterov(0.1, 0.9), (0.62, 0.648)),  # 2 + 1.8, then -1 + 0.9 * 0.8
    ],
    ids=repr,
)
def test_two_steps_by_hand(optimizer, expected):
    check_two_steps(optimizer, expected)


@pytest.mark.parametrize(("kind", "expected"), [(Momentum, [-0.1, -0.119]), (Nesterov, [-0.19, -0.2171])])
def test_a_new_rate_takes_effect_at_once(kind, expected):
    """Also on the velocity, which is 1 and then 1.9: in the course's the old rate would remain."""
    optimizer, params, positions = kind(StepDecay(0.1, 1, 0.1)), {"W": np.array([0.0])}, []
    for _ in range(2):
        optimizer.update(params, {"W": np.array([1.0])})
        positions.append(float(params["W"][0]))
    np.testing.assert_allclose(positions, expected, rtol=1e-14)
