"""Small convolutional layers and networks, and images and samples for them."""

from typing import Any

import numpy as np

from xpnet import Affine, AveragePooling, BatchNormalization, Convolution, Dropout, MaxPooling, Network, Relu, Residual


def filters(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def images(*shape: int) -> np.ndarray:
    """Each number another, far enough from the next for a numerical gradient of a maximum."""
    size = int(np.prod(shape))
    return (np.random.default_rng(1).permutation(size).reshape(shape) - size / 2 + 0.25) / 8


def convolution(channels: int, count: int, size: int = 3, **form: Any) -> Convolution:
    return Convolution(filters(count, channels, size, size), filters(count), **form)


def deep(seed: int = 0, dtype: str = "float32", **where: Any) -> Network:
    where["dtype"] = dtype
    options: Any = {"init": "he", "rng": np.random.default_rng(seed), **where}
    normal = [BatchNormalization.create(size, **where) for size in (4, 6)]
    residual = Residual(
        [
            Convolution.create(4, 6, 3, stride=2, pad=1, **options),
            normal[1],
            Relu(),
            Dropout(0.25, seed=0),
        ],
        [Convolution.create(4, 6, 1, stride=2, **options)],
    )
    layers = [
        Convolution.create(1, 4, 3, pad=1, **options),
        normal[0],
        Relu(),
        MaxPooling(2, 2),
        residual,
    ]
    return Network([*layers, AveragePooling(2, 2, 1), Affine.create(24, 5, **options)], input_shape=(1, 12, 10))


def samples(n: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.random((n, 1, 12, 10)).astype(np.float32), rng.integers(0, 5, n)
