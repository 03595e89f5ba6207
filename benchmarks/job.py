"""A training job, the same for all libraries: network, data, order of the minibatches."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from xpnet import MultiLayerNet, Network, load_digits, load_mnist
from xpnet._core.arrays import as_inputs
from xpnet._core.random import random_streams
from xpnet.data.idx import Dataset

__all__ = ["FIRST", "WARM_UP", "Job"]

WARM_UP = 20  # untimed steps on another network
FIRST = 20  # losses to compare

PIXELS, CLASSES = 784, 10
SYNTHETIC_IMAGES, XOR_POINTS = 60_000, 32_000
DATASETS = ("mnist", "digits", "synthetic", "xor")


@dataclass(frozen=True)
class Job:
    """A training that every library can do.

    Attributes
    ----------
    sizes
        Inputs, hidden units, classes; a ReLU follows each hidden layer.
    batch
        Samples per step.
    iterations
        Steps.
    dataset
        ``"mnist"``; ``"digits"``, which come with the package; ``"synthetic"``, images of ten patterns under noise,
        for a machine without MNIST; or ``"xor"``, points in a square, labeled by their quadrant.
    lr, weight_std
        Learning rate, and standard deviation of the first weights.
    optimizer
        ``"SGD"`` or ``"Adam"``.
    batch_norm, dropout
        Whether a batch normalization precedes each ReLU, and the ratio of the dropout after it; 0 for none.
    seed
        Seed of the weights, the order, the dropout and synthetic data.
    """

    sizes: tuple[int, ...] = (PIXELS, 50, CLASSES)
    batch: int = 100
    iterations: int = 10_000
    dataset: str = "mnist"
    lr: float = 0.1
    weight_std: float = 0.01
    optimizer: str = "SGD"
    batch_norm: bool = False
    dropout: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise ValueError(f"There is no data set {self.dataset!r}; there are {', '.join(DATASETS)}.")

    @property
    def name(self) -> str:
        """Widths and batch: ``"784-50-10, batch 100"``."""
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}"

    def tiny(self) -> Self:
        """A tiny version, to check that a program runs."""
        dataset = "xor" if self.dataset == "xor" else "digits"
        first, *hidden, last = self.sizes
        sizes = (64 if dataset == "digits" else first, *(min(n, 8) for n in hidden), last)
        batch, iterations = min(self.batch, 20), min(self.iterations, 30)
        return replace(self, dataset=dataset, sizes=sizes, batch=batch, iterations=iterations)

    def data(self) -> Dataset:
        """((x_train, t_train), (x_test, t_test)): pixels as bytes, or float32 points; int64 labels.

        The training set is cut to whole minibatches, for libraries that need minibatches of one size.
        """
        (x, t), test = self._whole_data()
        n = len(x) - len(x) % self.batch
        return (x[:n], t[:n]), test

    def _whole_data(self) -> Dataset:
        if self.dataset == "mnist":
            return load_mnist(normalize=False)
        if self.dataset == "digits":
            return load_digits(normalize=False)
        rng = np.random.default_rng(self.seed)
        if self.dataset == "xor":
            n = XOR_POINTS
            x = rng.uniform(-1, 1, (2 * n, self.sizes[0])).astype(np.float32)
            t = np.asarray(np.prod(x, axis=1) > 0, dtype=np.int64)
            return (x[:n], t[:n]), (x[n:], t[n:])
        n = SYNTHETIC_IMAGES
        t = rng.integers(0, self.sizes[-1], n + n // 6)
        pattern = rng.integers(0, 256, (self.sizes[-1], self.sizes[0]), dtype=np.uint8)
        noise = rng.integers(0, 256, (len(t), self.sizes[0]), dtype=np.uint8)
        images = pattern[t] // 4 + noise // 4 * 3
        return (images[:n], t[:n]), (images[n:], t[n:])

    def float_data(self) -> Dataset:
        """`data` with inputs as float32 from 0 to 1, for libraries that do not take bytes."""
        return tuple((as_inputs(x, np.dtype(np.float32)), t) for x, t in self.data())  # type: ignore[return-value]

    def network(self, backend: str = "numpy") -> Network:
        """The untrained network in float32, with the same first weights on every backend."""
        first, *hidden, last = self.sizes
        return MultiLayerNet(
            first, hidden, last, weight_init_std=self.weight_std, use_batchnorm=self.batch_norm,
            use_dropout=self.dropout > 0, dropout_ratio=self.dropout, seed=self.seed, backend=backend,
        )  # fmt: skip

    def first_weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(W, b) of each affine layer, W being (inputs, outputs)."""
        params = self.network().params
        return [(params[f"W{i}"], params[f"b{i}"]) for i in range(1, len(self.sizes))]

    def blocks(self, samples: int) -> Iterator[np.ndarray]:
        """The order of the Trainer: for each epoch the indices (steps, batch) of its minibatches, drawn lazily."""
        rng, left = random_streams(self.seed).order, self.iterations
        while left > 0:
            block = rng.permutation(samples).reshape(-1, self.batch)[:left]
            left -= len(block)
            yield block
