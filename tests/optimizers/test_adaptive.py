"""AdaGrad, RMSprop, Adam and AdamW: the papers' formulas on every backend, and steps by hand."""

import numpy as np
import pytest
from optimizer_cases import check_paper, check_two_steps

from xpnet.optimizers import AdaGrad, Adam, AdamW, RMSprop


def duchi(grads, lr, eps):
    for t in range(len(grads)):
        yield lr * grads[t] / (np.sqrt(sum(g**2 for g in grads[: t + 1])) + eps)


def tieleman_hinton(grads, lr, decay_rate, eps):
    mean_square = 0.0
    for g in grads:
        mean_square = decay_rate * mean_square + (1 - decay_rate) * g**2
        yield lr / (np.sqrt(mean_square) + eps) * g


def kingma_ba(grads, lr, beta1, beta2, eps):
    """Algorithm 1, line by line."""
    m, v, t = 0.0, 0.0, 0
    for g in grads:
        t = t + 1
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        yield lr * m_hat / (np.sqrt(v_hat) + eps)


PAPERS = [
    (AdaGrad(0.3, eps=0.01), duchi, {"lr": 0.3, "eps": 0.01}),
    (RMSprop(0.3, 0.9, eps=0.01), tieleman_hinton, {"lr": 0.3, "decay_rate": 0.9, "eps": 0.01}),
    (Adam(0.3, 0.8, 0.9, eps=0.01), kingma_ba, {"lr": 0.3, "beta1": 0.8, "beta2": 0.9, "eps": 0.01}),
]


@pytest.mark.parametrize(("optimizer", "paper", "constants"), PAPERS, ids=[paper.__name__ for _, paper, _ in PAPERS])
def test_ten_steps_are_the_papers(be, optimizer, paper, constants):
    check_paper(be, optimizer, paper, constants)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (AdaGrad(0.1), (0.9, 0.9 + 0.1 / np.sqrt(5))),
        (RMSprop(0.1, 0.75), (0.8, 0.8 + 0.1)),  # h is 1, and then 0.75 + 0.25
        (Adam(0.1), (0.9, 0.9 - 0.1 * (0.08 / 0.19) / np.sqrt(0.004996 / 0.001999))),
        (AdamW(0.1, weight_decay=0.5), (0.85, 0.8075 - 0.1 * (0.08 / 0.19) / np.sqrt(0.004996 / 0.001999))),
    ],
    ids=repr,
)
def test_two_steps_by_hand(optimizer, expected):
    check_two_steps(optimizer, expected)
