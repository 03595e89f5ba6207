"""The work that the comparison times: cases, their arithmetic, their data, and the workers that do it."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xpnet._core.arrays import Array, as_inputs, get_array_module, to_numpy
from xpnet._core.cupy import CupyNamespace
from xpnet._core.threads import blas_threads
from xpnet.backend import Backend, get_backend, synchronize
from xpnet.networks.dense import SimpleNetwork, ThreeLayerNet, TwoLayerNet
from xpnet.networks.network import Network
from xpnet.testing.counting import COUNTING, count_operations
from xpnet.training.losses import Losses
from xpnet.training.step import TrainingStep
from xpnet.training.trainer import Trainer

PIXELS, CLASSES = 784, 10
IMAGES = 10_000
MINIBATCHES = 32  # distinct; used in a cycle
LEARNING_RATE = 0.1
BYTES_OF_FLOAT32 = 4

NETWORKS: Mapping[str, Callable[..., Network]] = {
    kind.__name__: kind for kind in (TwoLayerNet, ThreeLayerNet, SimpleNetwork)
}
_HIDDEN_LAYERS = {"TwoLayerNet": 1, "ThreeLayerNet": 2, "SimpleNetwork": 1}


@dataclass(frozen=True)
class Cost:
    """Cost of a step, computed from the shapes: floating-point operations, and bytes read and written."""

    flops: int
    bytes: int


@dataclass(frozen=True)
class Case:
    """A cell of the grid: a name of NETWORKS, the units in each hidden layer, and the samples per step.

    Examples
    --------
    >>> Case("TwoLayerNet", width=50, batch=100).sizes
    (784, 50, 10)
    """

    network: str
    width: int
    batch: int

    def __str__(self) -> str:
        return f"{self.network}, width {self.width}, batch {self.batch}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, hidden units, classes."""
        return (PIXELS, *[self.width] * _HIDDEN_LAYERS[self.network], CLASSES)

    @property
    def trains(self) -> bool:
        """Whether it has backpropagation. A numerical gradient takes seconds and says nothing about a device."""
        return self.network != "SimpleNetwork"

    @property
    def activation(self) -> str:
        """Activation of its hidden layers, ``"relu"`` or ``"sigmoid"``."""
        return "relu" if self.network == "TwoLayerNet" else "sigmoid"

    def make(self, seed: int, backend: str | Backend) -> Network:
        """Make the network in float32, with the same first weights on every backend."""
        return NETWORKS[self.network](*self.sizes, seed=seed, backend=backend)

    def inference_cost(self) -> Cost:
        """Cost of a batch: 2*N*D*H operations for the matrix product of a layer of D inputs and H outputs.

        Only matrix products count as arithmetic. Bytes: the pixels are read, and written as floats; each product reads
        its input and weights and writes its output; each activation reads and writes once.
        """
        N = self.batch
        flops = sum(2 * N * D * H for D, H in self._layers())
        floats = N * PIXELS + sum(N * D + D * H + H + N * H for D, H in self._layers())
        floats += 2 * N * self.width * _HIDDEN_LAYERS[self.network]
        return Cost(flops, N * PIXELS + BYTES_OF_FLOAT32 * floats)

    def training_cost(self) -> Cost:
        """Cost of a step: forward 2*N*D*H per layer, backward twice that, without the first layer's input gradient.

        Bytes, beyond `inference_cost`: the gradient of the weights reads the input and dout and writes once; the
        gradient of the input reads dout and the weights and writes once, and the activation before it reads two arrays
        and writes one; the update reads parameters and gradients and writes parameters. Caches may hold part of this,
        so that the result can exceed the memory bandwidth.

        Examples
        --------
        >>> Case("TwoLayerNet", width=50, batch=100).training_cost().flops
        15980000
        """
        N, layers, forward = self.batch, self._layers(), self.inference_cost()
        backward = sum(4 * N * D * H for D, H in layers) - 2 * N * PIXELS * self.width
        weight_gradients = sum(N * D + N * H + D * H + H for D, H in layers)
        input_gradients = sum(N * H + D * H + N * D + 3 * N * D for D, H in layers[1:])
        update = 3 * sum(D * H + H for D, H in layers)
        floats = weight_gradients + input_gradients + update
        return Cost(forward.flops + backward, forward.bytes + BYTES_OF_FLOAT32 * floats)

    def _layers(self) -> list[tuple[int, int]]:
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))


@dataclass(frozen=True)
class Workload:
    """The input of every worker for a case, on the host; images are random, which takes as long as digits."""

    case: Case
    seed: int
    images: np.ndarray  # uint8, (IMAGES, 784)
    labels: np.ndarray  # int64, (IMAGES,)
    order: np.ndarray  # int64, (MINIBATCHES, batch)
    start: dict[str, np.ndarray]  # the first parameters, float32: W1 b1 W2 b2 ..., W is (D, H)

    @classmethod
    def of(cls, case: Case, seed: int) -> "Workload":
        """Make the workload of a case; the same for the same seed."""
        images, labels = _images(seed)
        order = np.random.default_rng(seed).integers(0, IMAGES, (MINIBATCHES, case.batch))
        start = {name: to_numpy(value) for name, value in case.make(seed, "numpy").params.items()}
        return cls(case, seed, images, labels, order, start)

    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The first (W, b) of each affine layer."""
        return [(self.start[f"W{i}"], self.start[f"b{i}"]) for i in range(1, len(self.case.sizes))]

    def floats(self) -> np.ndarray:
        """The images as float32 from 0 to 1, for libraries that do not take bytes."""
        return as_inputs(self.images, np.dtype(np.float32))


@functools.lru_cache(maxsize=1)
def _images(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (IMAGES, PIXELS), dtype=np.uint8), rng.integers(0, CLASSES, IMAGES)


class Worker(Protocol):
    """Trains and predicts: xpnet on a backend, or another library. All start from the workload's parameters."""

    def train(self, steps: int) -> Any:
        """Make `steps` steps of SGD, each including the gathering of its minibatch, from the first minibatch on."""

    def predict(self, times: int) -> Any:
        """Compute the scores of the first `batch` images, `times` times."""

    def seconds(self, work: Callable[[int], Any], times: int, clock: Callable[[], float]) -> float:
        """Time ``work(times)``, including the work of the device."""

    def probabilities(self) -> np.ndarray:
        """Class probabilities, shape (N, C), of the first `batch` images."""

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of the loss on the first minibatch, by parameter name."""

    def weights(self) -> dict[str, np.ndarray]:
        """The current parameters, with the names and shapes of `Workload.start`."""


class XpnetWorker:
    """xpnet on a backend: the Trainer's minibatches and steps, and the network's ``predict``. See `Worker`."""

    def __init__(self, work: Workload, backend: str | Backend, dtype: str = "float32") -> None:
        case, self.backend = work.case, get_backend(backend)
        self.network = case.make(work.seed, self.backend).to(dtype=dtype)
        self.trainer = Trainer(
            self.network, work.images, work.labels, None, None,
            mini_batch_size=case.batch, optimizer_param={"lr": LEARNING_RATE}, iterations=MINIBATCHES, verbose=False,
        )  # fmt: skip
        self.network.state.flatten()
        self._order = self.network.asarray(work.order.reshape(-1))
        self._steps = self.trainer.runner.steps(at_once=MINIBATCHES)  # captured if possible, as in training
        self._images = self.trainer.x_train[: case.batch, ...]

    def train(self, steps: int) -> Array:
        size = self.trainer.mini_batch_size
        with blas_threads(self.trainer.runner.largest_product):
            for done in range(0, steps, MINIBATCHES):
                for _ in self._steps.run(self._order[: min(MINIBATCHES, steps - done) * size], done, Losses()):
                    pass
        return self.network.state.like

    def predict(self, times: int) -> Array:
        for _ in range(times):
            scores = self.network.predict(self._images, batch_size=self.trainer.mini_batch_size)
        return scores

    def seconds(self, work: Callable[[int], Array], times: int, clock: Callable[[], float]) -> float:
        return WaitingClock(self.network.state.like, clock).seconds(lambda: work(times))

    def probabilities(self) -> np.ndarray:
        return to_numpy(self.network.predict_proba(self._images, batch_size=self.trainer.mini_batch_size))

    def gradients(self) -> dict[str, np.ndarray]:
        x, t = next(self.trainer.runner.step().minibatches(self._order, self.trainer.mini_batch_size))
        return {name: to_numpy(grad) for name, grad in self.network.gradient(x, t).items()}

    def weights(self) -> dict[str, np.ndarray]:
        return {name: np.array(to_numpy(value)) for name, value in self.network.params.items()}


class WaitingClock:
    """Times the work of the device of `like`, not the launching of it: by CUDA events on CuPy, else by the clock."""

    def __init__(self, like: Array, clock: Callable[[], float]) -> None:
        self.like, self.clock = like, clock

    def seconds(self, work: Callable[[], Array]) -> float:
        """Time `work` until the array that it returns is computed."""
        xp = get_array_module(self.like)
        synchronize(like=self.like)
        if isinstance(xp, CupyNamespace):
            begun, ended = xp.cuda.Event(), xp.cuda.Event()
            begun.record()
            work()
            ended.record()
            ended.synchronize()
            return float(xp.cuda.get_elapsed_time(begun, ended)) / 1000
        started = self.clock()
        result = work()
        synchronize(like=self.like)
        if hasattr(result, "block_until_ready"):  # JAX computes asynchronously
            result.block_until_ready()
        return self.clock() - started


@functools.cache
def operations(network: str, *, fused: bool = False) -> dict[str, int]:
    """Count the calls of a step and of an inference that make or write an array (on a GPU, at least a launch each).

    Counted on the counting backend, including gathering and the conversion of pixels; `fused` as on CuPy.

    Examples
    --------
    >>> operations("TwoLayerNet")
    {'inference': 7, 'training': 34}
    >>> operations("TwoLayerNet", fused=True)
    {'inference': 7, 'training': 13}
    """
    case = Case(network, width=2, batch=2)
    worker = XpnetWorker(Workload.of(case, seed=0), COUNTING)
    with count_operations() as inference:
        worker.predict(1)
    counted = {"inference": inference.launches.total()}
    if case.trains:
        trainer = worker.trainer
        step = TrainingStep(trainer.network, trainer.optimizer, trainer.x_train, trainer.t_train, fused=fused)
        with count_operations() as training:
            step.run(trainer.t_train[: case.batch])  # the labels serve as indices
        counted["training"] = training.launches.total()
    return counted


def device_kind(array: Array) -> str:
    """``"GPU"`` or ``"CPU"``, from the name of an array's device."""
    return "GPU" if any(word in str(getattr(array, "device", "")).lower() for word in ("cuda", "gpu")) else "CPU"
