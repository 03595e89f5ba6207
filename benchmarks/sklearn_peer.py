"""scikit-learn's `MLPClassifier` doing a `Job`, and as a worker of `bench_peers`."""

import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from job import WARM_UP, Job
from taking_turns import Run

from xpnet.bench.work import LEARNING_RATE, MINIBATCHES, Workload

__all__ = ["SklearnWorker", "sklearn_fit"]

_LARGE_RATE = 1e3


def _classifier(hidden: tuple[int, ...], batch: int, rate: float, seed: int, **options: Any) -> Any:
    """A classifier trained by plain SGD; its loss is then xpnet's, the mean cross entropy of a softmax."""
    neural_network: Any = import_module("sklearn.neural_network")
    return neural_network.MLPClassifier(
        hidden, solver="sgd", alpha=0.0, batch_size=batch, learning_rate="constant", learning_rate_init=rate,
        momentum=0.0, nesterovs_momentum=False, random_state=seed, **options,
    )  # fmt: skip


def sklearn_fit(job: Job) -> Run:
    """`MLPClassifier.fit` for whole epochs; the time is scaled to the steps of the job.

    It draws its own order and its own first weights (Glorot), so there are no losses to compare.
    """
    sklearn: Any = import_module("sklearn")
    (x, t), (x_test, t_test) = job.float_data()
    n = min(len(x), job.iterations * job.batch)
    epochs = -(-job.iterations * job.batch // n)

    def fitted(n: int, epochs: int) -> tuple[Any, float]:
        model = _classifier(
            job.sizes[1:-1], job.batch, job.lr, job.seed,
            max_iter=epochs, tol=0.0, n_iter_no_change=epochs + 1, early_stopping=False,
        )  # fmt: skip
        begun = time.perf_counter()
        model.fit(x[:n], t[:n])
        return model, time.perf_counter() - begun

    with warnings.catch_warnings():
        # It is meant to stop after these epochs.
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        fitted(min(n, WARM_UP * job.batch), 1)
        model, seconds = fitted(n, epochs)
    return {
        "seconds": seconds * job.iterations / (epochs * n // job.batch),
        "losses": None,
        "test_accuracy": float(model.score(x_test, t_test)),
        "versions": {"scikit-learn": sklearn.__version__},
    }


class SklearnWorker:
    """scikit-learn as a `xpnet.bench.work.Worker`, on the processor; a step is a ``partial_fit`` of a minibatch."""

    def __init__(self, work: Workload, device_kind: str) -> None:
        assert device_kind == "CPU"
        self.work, self.x, self.t, self.order = work, work.floats(), work.labels, work.order
        self.images = self.x[: work.case.batch]
        self.model = self._with_first_weights(LEARNING_RATE)

    def _with_first_weights(self, rate: float) -> Any:
        case = self.work.case
        activation = {"relu": "relu", "sigmoid": "logistic"}[case.activation]
        model = _classifier(case.sizes[1:-1], case.batch, rate, self.work.seed, activation=activation)
        # The first call creates the arrays of weights.
        model.partial_fit(self.images, self.t[: case.batch], classes=np.arange(case.sizes[-1]))
        for name, array in self._by_name(model).items():
            array[...] = self.work.start[name]
        return model

    def train(self, steps: int) -> None:
        for i in range(steps):
            indices = self.order[i % MINIBATCHES]
            self.model.partial_fit(self.x[indices], self.t[indices])

    def predict(self, times: int) -> None:
        """Computes probabilities; scores are not public."""
        for _ in range(times):
            self.model.predict_proba(self.images)

    def seconds(self, work: Callable[[int], Any], times: int, clock: Callable[[], float]) -> float:
        begun = clock()
        work(times)
        return clock() - begun

    def probabilities(self) -> np.ndarray:
        return np.asarray(self.model.predict_proba(self.images))

    def gradients(self) -> dict[str, np.ndarray]:
        """From the step of a classifier with a large learning rate, since gradients are not public."""
        indices, model = self.order[0], self._with_first_weights(_LARGE_RATE)
        model.partial_fit(self.x[indices], self.t[indices])
        return {name: (self.work.start[name] - a) / _LARGE_RATE for name, a in self._by_name(model).items()}

    def weights(self) -> dict[str, np.ndarray]:
        return {name: a.copy() for name, a in self._by_name(self.model).items()}

    def _by_name(self, model: Any) -> dict[str, np.ndarray]:
        arrays = {"W": model.coefs_, "b": model.intercepts_}
        return {name: arrays[name[0]][int(name[1:]) - 1] for name in self.work.start}
