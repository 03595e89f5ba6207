"""Every optimizer, and parameters and gradients for them."""

import copy

import numpy as np
import pytest

from xpnet import to_numpy
from xpnet.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSprop

ALL = [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam, AdamW]

each_optimizer = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)

EVERYTHING = {"weight_decay": 0.1, "max_norm": 1.0}


def draw(seed, count=1):
    """Arrays as a network of a layer or two has them, `count` times."""
    rng = np.random.default_rng(seed)
    shapes = {"W1": (3, 4), "b1": (4,), "W2": (4, 1)}
    # Numbers that float32 holds, so that every dtype begins with the same.
    return [
        {key: rng.standard_normal(shape).astype("float32").astype("float64") for key, shape in shapes.items()}
        for _ in range(count)
    ]


def put(be, arrays):
    return {key: be.put(value.copy()) for key, value in arrays.items()}


def flat(arrays):
    return {"all": np.concatenate([value.reshape(-1) for value in arrays.values()])}


def same_bits(a, b):
    return to_numpy(a).tobytes() == to_numpy(b).tobytes()


def check_paper(be, optimizer, paper, constants):
    """That ten steps of an optimizer, all in one, are the paper's, which `paper` gives from the gradients."""
    optimizer = copy.deepcopy(optimizer)
    (start,), grads = draw(0), draw(1, 10)
    params = put(be, start)
    for step in range(10):
        optimizer.update(params, put(be, grads[step]))
    for key, W in start.items():
        expected = W - sum(paper([g[key] for g in grads], **constants))
        be.check(params[key], expected, eps=64, name=key)
    assert optimizer.iter == 10


def check_two_steps(optimizer, expected):
    """That gradients of 2 and then -1 lead from 1 to these two numbers."""
    optimizer, params = copy.deepcopy(optimizer), {"W": np.array([1.0])}
    for grad, after in zip((2.0, -1.0), expected, strict=True):
        optimizer.update(params, {"W": np.array([grad])})
        np.testing.assert_allclose(params["W"], after, rtol=2e-7)  # what eps is
