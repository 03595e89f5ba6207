"""Every optimizer, and parameters and gradients for them."""

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
