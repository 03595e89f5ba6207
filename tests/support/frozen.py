"""Samples and images for networks of which layers are frozen, and trainers of these."""

from typing import Any

import numpy as np

from xpnet import Network, ResNet, Trainer, to_numpy

RNG = np.random.default_rng(0)


X, T = RNG.standard_normal((24, 12)), RNG.integers(0, 7, 24)


IMAGES, LABELS = RNG.standard_normal((9, 2, 6, 6)), RNG.integers(0, 3, 9)


def residual(**options: Any) -> ResNet:
    options = {"seed": 0, "dtype": "float64", "backend": "numpy"} | options
    return ResNet((2, 6, 6), (2, 3), 1, 3, **options)


def contents(network: Network) -> dict[str, np.ndarray]:
    return {key: np.array(to_numpy(value)) for key, value in network.state.weights().items()}


def trainer_of(network: Network, x: Any = X, t: Any = T, **options: Any) -> Trainer:
    options = {"mini_batch_size": 8, "verbose": False, "seed": 0, "iterations": 40} | options
    if isinstance(options.get("optimizer", ""), str):
        options.setdefault("optimizer_param", {"lr": 0.1})
    return Trainer(network, x, t, None, None, **options)
