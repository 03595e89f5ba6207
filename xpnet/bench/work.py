"""What the comparison of devices times: a network, its minibatches, the arithmetic they cost, and who does the work."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xpnet._core.arrays import Array, as_inputs, get_array_module, to_numpy
from xpnet._core.cupy import CupyNamespace
from xpnet._core.threads import blas_threads
from xpnet.backend import Backend, asarray, get_backend, synchronize
from xpnet.networks.dense import SimpleNetwork, ThreeLayerNet, TwoLayerNet
from xpnet.networks.network import Network
from xpnet.testing.counting import COUNTING, count_operations
from xpnet.training.step import Losses, TrainingStep
from xpnet.training.trainer import Trainer

__all__ = [
    "LEARNING_RATE",
    "MINIBATCHES",
    "NETWORKS",
    "Case",
    "Cost",
    "WaitingClock",
    "Worker",
    "Workload",
    "XpnetWorker",
    "event_seconds",
    "operations",
    "place_of",
]

PIXELS, CLASSES = 784, 10
IMAGES = 10_000
MINIBATCHES = 32  # different ones; then they come round again
LEARNING_RATE = 0.1
BYTES_OF_FLOAT32 = 4

NETWORKS: Mapping[str, Callable[..., Network]] = {
    "TwoLayerNet": TwoLayerNet,
    "ThreeLayerNet": ThreeLayerNet,
    "SimpleNetwork": SimpleNetwork,
}
_HIDDEN_LAYERS = {"TwoLayerNet": 1, "ThreeLayerNet": 2, "SimpleNetwork": 1}


@dataclass(frozen=True)
class Cost:
    """What a step costs, counted from the shapes: floating-point operations, and bytes read and written."""

    flops: int
    bytes: int


@dataclass(frozen=True)
class Case:
    """A place of the grid: a network of NETWORKS, the units in each of its hidden layers, and the samples a step.

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
        """Whether it has backpropagation; a numerical gradient takes seconds and says nothing of a device."""
        return self.network != "SimpleNetwork"

    @property
    def activation(self) -> str:
        """What follows its hidden layers, ``"relu"`` or ``"sigmoid"``."""
        return "relu" if self.network == "TwoLayerNet" else "sigmoid"

    def make(self, seed: int, backend: str | Backend) -> Network:
        """The network, float32, with the same first weights on every backend."""
        return NETWORKS[self.network](*self.sizes, seed=seed, backend=backend)

    def inference_cost(self) -> Cost:
        """Of a batch: 2*N*D*H operations a layer of D inputs and H outputs, in its matrix product.

        Nothing else is counted as arithmetic. In bytes: the pixels are read, and written as floats; each product reads
        its input and its weights and writes its output; each activation reads and writes once.
        """
        N = self.batch
        flops = sum(2 * N * D * H for D, H in self._layers())
        floats = N * PIXELS + sum(N * D + D * H + H + N * H for D, H in self._layers())
        floats += 2 * N * self.width * _HIDDEN_LAYERS[self.network]
        return Cost(flops, N * PIXELS + BYTES_OF_FLOAT32 * floats)

    def training_cost(self) -> Cost:
        """Of a step: forward 2*N*D*H a layer, backward twice that, without the first layer's input gradient.

        In bytes: what `inference_cost` counts; for the gradient of the weights the input and dout are read, and the
        gradient is written; for that of the input dout and the weights are read, and it is written, and the activation
        before reads it and its mask or output and writes once; the update reads parameters and gradients, and writes
        parameters. A processor whose caches hold some of this moves less through its memory, and may come to more
        than its bandwidth.

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
    """What every worker is given for a case, on the host, so that all do the same.

    Attributes
    ----------
    images, labels
        (IMAGES, 784) uint8 pixels and (IMAGES,) int64 class indices, drawn at random: a step takes as long to learn
        from them as from digits.
    order
        (MINIBATCHES, batch) int64: the images of each minibatch.
    start
        The first parameters, float32, by their names ``W1 b1 W2 b2 ...``; W is (D, H).
    """

    case: Case
    seed: int
    images: np.ndarray
    labels: np.ndarray
    order: np.ndarray
    start: dict[str, np.ndarray]

    @classmethod
    def of(cls, case: Case, seed: int) -> "Workload":
        """The workload of a case; the same for the same seed."""
        images, labels = _images(seed)
        order = np.random.default_rng(seed).integers(0, IMAGES, (MINIBATCHES, case.batch))
        start = {name: to_numpy(value) for name, value in case.make(seed, "numpy").params.items()}
        return cls(case, seed, images, labels, order, start)

    def floats(self) -> np.ndarray:
        """The images as float32 from 0 to 1, for a library that does not take bytes."""
        return as_inputs(self.images, np.dtype(np.float32))


@functools.lru_cache(maxsize=1)
def _images(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (IMAGES, PIXELS), dtype=np.uint8), rng.integers(0, CLASSES, IMAGES)


class Worker(Protocol):
    """One who trains and predicts: xpnet on a backend, or another library. All start from the workload's parameters."""

    def train(self, steps: int) -> Any:
        """Make so many steps of SGD, gathering of the minibatches included, from the first minibatch on."""

    def predict(self, times: int) -> Any:
        """Compute the scores of the first `batch` images, so many times."""

    def seconds(self, work: Callable[[int], Any], times: int, clock: Callable[[], float]) -> float:
        """How long ``work(times)`` takes, the device's part included."""

    def probabilities(self) -> np.ndarray:
        """Of the classes, (N, C), for the first `batch` images."""

    def gradients(self) -> dict[str, np.ndarray]:
        """Of the loss on the first minibatch, by the parameters' names and in their shapes."""

    def weights(self) -> dict[str, np.ndarray]:
        """The parameters as they are now, in the names and shapes of `Workload.start`."""


class XpnetWorker:
    """xpnet on a backend: the Trainer's own minibatches and steps, and the network's ``predict``."""

    def __init__(self, work: Workload, backend: str | Backend, dtype: str = "float32") -> None:
        case, self.backend = work.case, get_backend(backend)
        self.network = case.make(work.seed, self.backend).to(dtype=dtype)
        self.trainer = Trainer(
            self.network, work.images, work.labels, None, None,
            mini_batch_size=case.batch, optimizer_param={"lr": LEARNING_RATE}, iterations=MINIBATCHES, verbose=False,
        )  # fmt: skip
        self.network.flatten()
        self._order = asarray(work.order.reshape(-1), like=self.network.anchor)
        self._steps = self.trainer.steps(at_once=MINIBATCHES)  # recorded where that can be, as in training
        self._images = self.trainer.x_train[: case.batch, ...]

    def train(self, steps: int) -> Array:
        """As `Worker` says."""
        size = self.trainer.mini_batch_size
        with blas_threads(self.trainer.largest_product):
            for done in range(0, steps, MINIBATCHES):
                for _ in self._steps.make(self._order[: min(MINIBATCHES, steps - done) * size], done, Losses()):
                    pass
        return self.network.anchor

    def predict(self, times: int) -> Array:
        """As `Worker` says."""
        for _ in range(times):
            scores = self.network.predict(self._images, batch_size=self.trainer.mini_batch_size)
        return scores

    def seconds(self, work: Callable[[int], Array], times: int, clock: Callable[[], float]) -> float:
        """As `Worker` says."""
        return WaitingClock(self.network.anchor, clock).seconds(lambda: work(times))

    def probabilities(self) -> np.ndarray:
        """As `Worker` says."""
        return to_numpy(self.network.predict_proba(self._images, batch_size=self.trainer.mini_batch_size))

    def gradients(self) -> dict[str, np.ndarray]:
        """As `Worker` says."""
        x, t = next(self.trainer.step().minibatches(self._order, self.trainer.mini_batch_size))
        return {name: to_numpy(grad) for name, grad in self.network.gradient(x, t).items()}

    def weights(self) -> dict[str, np.ndarray]:
        """As `Worker` says."""
        return {name: np.array(to_numpy(value)) for name, value in self.network.params.items()}


class WaitingClock:
    """Times what a device does, and not how fast it was given its work.

    Parameters
    ----------
    like
        An array on the device.
    clock
        Seconds.
    """

    def __init__(self, like: Array, clock: Callable[[], float]) -> None:
        self.like, self.clock = like, clock

    def seconds(self, work: Callable[[], Array]) -> float:
        """How long `work` takes until the array that it returns is there: by CuPy's events, else by the clock."""
        xp = get_array_module(self.like)
        synchronize(like=self.like)
        if isinstance(xp, CupyNamespace):
            return event_seconds(xp.cuda, work)
        begun = self.clock()
        result = work()
        synchronize(like=self.like)
        if hasattr(result, "block_until_ready"):  # JAX computes while Python goes on, and this is how to wait for it
            result.block_until_ready()
        return self.clock() - begun


def event_seconds(cuda: Any, work: Callable[[], Any]) -> float:
    """How long the device takes over what `work` gives it, by CUDA events; not yet run on a GPU."""
    begun, ended = cuda.Event(), cuda.Event()
    begun.record()
    work()
    ended.record()
    ended.synchronize()
    return float(cuda.get_elapsed_time(begun, ended)) / 1000


@functools.cache
def operations(network: str, *, fused: bool = False) -> dict[str, int]:
    """Calls that make or write an array (on a GPU each at least one launch), of one step alone and of one inference.

    Counted by running them on the backend that counts, gathering and conversion of the pixels included; `fused` as the
    steps are on CuPy.

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
            step(trainer.t_train[: case.batch])  # its labels will do as indices
        counted["training"] = training.launches.total()
    return counted


def place_of(array: Array) -> str:
    """``"GPU"`` or ``"CPU"``: where an array lives, by what its library calls the device."""
    return "GPU" if any(word in str(getattr(array, "device", "")).lower() for word in ("cuda", "gpu")) else "CPU"
