"""The rivals of the comparison: PyTorch, JAX, scikit-learn, each given the same weights and the same minibatches.

Each is written as its users write it, and must come to xpnet's results before it is timed. None is a dependency: they
are imported when they are asked for. What is said of their GPUs has not yet been run on one.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from xpnet.bench.work import LEARNING_RATE, MINIBATCHES, Worker, Workload
from xpnet.errors import ArgumentError

__all__ = ["PEERS", "PeerMaker", "check_peer", "load_peer"]

_LARGE_RATE = 1e3


class Peer:
    """What the three share: the library, and a clock that waits for the device.

    Parameters
    ----------
    library
        The imported package.
    work
        What to do.
    place
        ``"CPU"`` or ``"GPU"``.
    """

    def __init__(self, library: Any, work: Workload, place: str) -> None:
        self.library, self.work, self.place = library, work, place

    def wait(self) -> None:
        """As `Worker` says; nothing to wait for where the library computes at once."""

    def seconds(self, work: Callable[[int], Any], times: int, clock: Callable[[], float]) -> float:
        """As `Worker` says."""
        self.wait()
        begun = clock()
        work(times)
        self.wait()
        return clock() - begun


class TorchPeer(Peer):
    """PyTorch eager: ``nn.Sequential``, autograd, ``optim.SGD``; the images are at hand as floats on its device.

    It gets as many threads as NumPy's BLAS has.
    """

    def __init__(self, library: Any, work: Workload, place: str) -> None:
        super().__init__(library, work, place)
        library.set_num_threads(_blas_threads())
        torch, nn, sizes = library, library.nn, work.case.sizes
        self.device = torch.device("cuda" if place == "GPU" else "cpu")
        layers: list[Any] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU() if work.case.activation == "relu" else nn.Sigmoid()]
        self.model = nn.Sequential(*layers[:-1]).to(self.device)  # no activation after the last
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), work.start.values(), strict=True):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(value.T)))
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE)
        self.x, self.t, self.order = (
            torch.from_numpy(a).to(self.device) for a in (work.floats(), work.labels, work.order)
        )
        self.images = self.x[: work.case.batch]

    def train(self, steps: int) -> None:
        """As `Worker` says."""
        for i in range(steps):
            self._backward(self.order[i % MINIBATCHES])
            self.optimizer.step()

    def _backward(self, indices: Any) -> None:
        self.optimizer.zero_grad()
        self.loss(self.model(self.x.index_select(0, indices)), self.t.index_select(0, indices)).backward()

    def predict(self, times: int) -> None:
        """As `Worker` says."""
        with self.library.inference_mode():
            for _ in range(times):
                self.model(self.images)

    def probabilities(self) -> np.ndarray:
        """As `Worker` says."""
        with self.library.inference_mode():
            return self.library.softmax(self.model(self.images), dim=1).cpu().numpy()

    def gradients(self) -> dict[str, np.ndarray]:
        """As `Worker` says."""
        self._backward(self.order[0])
        return self._by_name([parameter.grad for parameter in self.model.parameters()])

    def weights(self) -> dict[str, np.ndarray]:
        """As `Worker` says."""
        return self._by_name([parameter.detach() for parameter in self.model.parameters()])

    def _by_name(self, arrays: list[Any]) -> dict[str, np.ndarray]:
        """A linear layer's weights are (H, D) here."""
        return {name: a.cpu().numpy().T.copy() for name, a in zip(self.work.start, arrays, strict=True)}

    def wait(self) -> None:
        """As `Worker` says."""
        if self.place == "GPU":
            self.library.cuda.synchronize()


def _blas_threads() -> int:
    from threadpoolctl import threadpool_info

    return next((of["num_threads"] for of in threadpool_info() if of["user_api"] == "blas"), os.cpu_count() or 1)


class JaxPeer(Peer):
    """JAX: a whole step, the gathering too, compiled by ``jit``; the images are at hand as floats on its device."""

    def __init__(self, library: Any, work: Workload, place: str) -> None:
        super().__init__(library, work, place)
        jax, jnp, layers = library, library.numpy, len(work.case.sizes) - 1
        activate = jax.nn.relu if work.case.activation == "relu" else jax.nn.sigmoid

        def scores(params: dict[str, Any], x: Any) -> Any:
            with jax.default_matmul_precision("highest"):  # else a GPU may round the products' inputs to TF32
                for i in range(1, layers):
                    x = activate(x @ params[f"W{i}"] + params[f"b{i}"])
                return x @ params[f"W{layers}"] + params[f"b{layers}"]

        def loss(params: dict[str, Any], x: Any, t: Any) -> Any:
            chosen = jnp.take_along_axis(jax.nn.log_softmax(scores(params, x)), t[:, None], axis=1)
            return -jnp.mean(chosen)

        def gradients(params: dict[str, Any], x: Any, t: Any, indices: Any) -> Any:
            return jax.grad(loss)(params, x[indices], t[indices])

        def step(params: dict[str, Any], x: Any, t: Any, indices: Any) -> Any:
            grads = gradients(params, x, t, indices)
            return {name: params[name] - LEARNING_RATE * grads[name] for name in params}

        self._scores, self._gradients, self._step = jax.jit(scores), jax.jit(gradients), jax.jit(step)
        device = jax.devices("gpu" if place == "GPU" else "cpu")[0]
        self.params = {name: jax.device_put(value, device) for name, value in work.start.items()}
        self.x, self.t = (jax.device_put(a, device) for a in (work.floats(), work.labels.astype(np.int32)))
        self.order = [jax.device_put(indices.astype(np.int32), device) for indices in work.order]
        self.images = self.x[: work.case.batch]
        self._result: Any = None

    def train(self, steps: int) -> None:
        """As `Worker` says."""
        for i in range(steps):
            self.params = self._step(self.params, self.x, self.t, self.order[i % MINIBATCHES])

    def predict(self, times: int) -> None:
        """As `Worker` says."""
        for _ in range(times):
            self._result = self._scores(self.params, self.images)

    def probabilities(self) -> np.ndarray:
        """As `Worker` says."""
        return np.asarray(self.library.nn.softmax(self._scores(self.params, self.images)))

    def gradients(self) -> dict[str, np.ndarray]:
        """As `Worker` says."""
        grads = self._gradients(self.params, self.x, self.t, self.order[0])
        return {name: np.asarray(grads[name]) for name in self.work.start}

    def weights(self) -> dict[str, np.ndarray]:
        """As `Worker` says."""
        return {name: np.array(self.params[name]) for name in self.work.start}

    def wait(self) -> None:
        """As `Worker` says."""
        self.library.block_until_ready((self.params, self._result))


class SklearnPeer(Peer):
    """scikit-learn's MLPClassifier, a step being a ``partial_fit`` of one minibatch; on the processor alone.

    Its loss is ours (the mean cross entropy of a softmax) once its penalty, momentum and adaptive rate are off. Its
    gradients are not public: they are taken from the step of a classifier with a large learning rate.
    """

    def __init__(self, library: Any, work: Workload, place: str) -> None:
        super().__init__(library, work, place)
        self.x, self.t, self.order = work.floats(), work.labels, work.order
        self.images = self.x[: work.case.batch]
        self.model = self._classifier(LEARNING_RATE)

    def _classifier(self, rate: float) -> Any:
        neural = importlib.import_module("sklearn.neural_network")
        case, classes = self.work.case, np.arange(self.work.case.sizes[-1])
        model = neural.MLPClassifier(
            case.sizes[1:-1], activation="relu" if case.activation == "relu" else "logistic", solver="sgd", alpha=0.0,
            batch_size=case.batch, learning_rate_init=rate, momentum=0.0, nesterovs_momentum=False,
            random_state=self.work.seed,
        )  # fmt: skip
        # The first call makes the arrays, which then get our weights.
        model.partial_fit(self.images, self.t[: case.batch], classes=classes)
        for name, arrays in (("W", model.coefs_), ("b", model.intercepts_)):
            for i, array in enumerate(arrays, start=1):
                array[...] = self.work.start[f"{name}{i}"]
        return model

    def train(self, steps: int) -> None:
        """As `Worker` says."""
        for i in range(steps):
            indices = self.order[i % MINIBATCHES]
            self.model.partial_fit(self.x[indices], self.t[indices])

    def predict(self, times: int) -> None:
        """As `Worker` says; it gives probabilities, not scores."""
        for _ in range(times):
            self.model.predict_proba(self.images)

    def probabilities(self) -> np.ndarray:
        """As `Worker` says."""
        return np.asarray(self.model.predict_proba(self.images))

    def gradients(self) -> dict[str, np.ndarray]:
        """As `Worker` says."""
        indices, model = self.order[0], self._classifier(_LARGE_RATE)
        model.partial_fit(self.x[indices], self.t[indices])
        return {name: (self.work.start[name] - a) / _LARGE_RATE for name, a in self._by_name(model).items()}

    def weights(self) -> dict[str, np.ndarray]:
        """As `Worker` says."""
        return {name: a.copy() for name, a in self._by_name(self.model).items()}

    def _by_name(self, model: Any) -> dict[str, np.ndarray]:
        arrays = {"W": model.coefs_, "b": model.intercepts_}
        return {name: arrays[name[0]][int(name[1:]) - 1] for name in self.work.start}


PeerMaker = Callable[[Any, Workload, str], Worker]

PEERS: Mapping[str, tuple[PeerMaker, str, str]] = {
    "torch": (TorchPeer, "torch", "PyTorch"),
    "jax": (JaxPeer, "jax", "JAX"),
    "sklearn": (SklearnPeer, "scikit-learn", "scikit-learn"),
}
"""By the name to import: who does the work, what to install, and what people call it."""


def check_peer(name: str) -> str:
    """The package that a peer is installed by.

    Raises
    ------
    ArgumentError
        When there is no such peer, or it is not installed.
    """
    if name not in PEERS:
        raise ArgumentError(f"There is no peer {name!r} to compare with; there are {', '.join(PEERS)}.")
    _, package, title = PEERS[name]
    if importlib.util.find_spec(name) is None:
        raise ArgumentError(
            f"`--against {name}` needs {title}, which is not installed. Install it: `python -m pip install {package}`."
        )
    return package


def load_peer(name: str) -> tuple[PeerMaker, Any]:
    """A peer and its library, which is imported."""
    return PEERS[name][0], importlib.import_module(name)
