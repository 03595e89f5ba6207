"""JAX doing a `Job` (one `lax.scan` per epoch), and as a worker of `bench_peers`."""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from job import FIRST, Job
from taking_turns import Run

from xpnet.bench.work import LEARNING_RATE, MINIBATCHES, Workload

__all__ = ["JaxWorker", "jax_scan"]

Function = Callable[..., Any]


def _functions(jax: Any, activation: str = "relu") -> tuple[Function, Function]:
    """The scores of ``(params, x)`` and the loss of ``(params, x, t)``; params are pairs (W, b)."""
    jnp, activate = jax.numpy, getattr(jax.nn, activation)

    def scores(params: Any, x: Any) -> Any:
        for W, b in params[:-1]:
            x = activate(x @ W + b)
        W, b = params[-1]
        return x @ W + b

    def loss(params: Any, x: Any, t: Any) -> Any:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores(params, x)), t[:, None], axis=1))

    return scores, loss


def jax_scan(job: Job, precision: str | None = None) -> Run:
    """An epoch is one call: a `lax.scan` over its minibatches, compiled by ``jit``, with donated parameters.

    The data are on the device as floats; the indices of an epoch are drawn on the host. The whole training runs once
    before the clock starts, so that everything is compiled.
    """
    jax: Any = import_module("jax")
    jnp = jax.numpy
    if precision:
        jax.config.update("jax_default_matmul_precision", precision)
    (x, t), (x_test, t_test) = ((jnp.asarray(x), jnp.asarray(t, jnp.int32)) for x, t in job.float_data())
    scores_of, loss_of = _functions(jax)

    def epoch(params: Any, x: Any, t: Any, block: Any) -> Any:
        def step(params: Any, indices: Any) -> Any:
            loss, grads = jax.value_and_grad(loss_of)(params, x[indices], t[indices])
            return jax.tree.map(lambda p, grad: p - job.lr * grad, params, grads), loss

        return jax.lax.scan(step, params, block)

    compiled = jax.jit(epoch, donate_argnums=0)

    def trained() -> tuple[Any, np.ndarray, float]:
        params = [tuple(jnp.array(a) for a in weights) for weights in job.first_weights()]
        jax.block_until_ready((params, x, t))
        losses = []
        begun = time.perf_counter()
        for block in job.blocks(len(x)):
            params, of_block = compiled(params, x, t, jnp.asarray(block, jnp.int32))
            losses.append(of_block)
        fetched = np.concatenate([np.asarray(of_block) for of_block in losses])
        jax.block_until_ready(params)
        return params, fetched, time.perf_counter() - begun

    trained()
    params, losses, seconds = trained()
    return {
        "seconds": seconds,
        "losses": losses[:FIRST].tolist(),
        "test_accuracy": float(jnp.mean(jnp.argmax(scores_of(params, x_test), axis=1) == t_test)),
        "versions": {"jax": jax.__version__},
        "device": str(jax.devices()[0]),
    }


class JaxWorker:
    """JAX as a `xpnet.bench.work.Worker`: each step, including the gathering, is compiled by ``jit``."""

    def __init__(self, work: Workload, device_kind: str) -> None:
        self.jax: Any = import_module("jax")
        jax, self.work = self.jax, work
        scores, loss = _functions(jax, work.case.activation)

        def gradients(params: Any, x: Any, t: Any, indices: Any) -> Any:
            return jax.grad(loss)(params, x[indices], t[indices])

        def step(params: Any, x: Any, t: Any, indices: Any) -> Any:
            grads = gradients(params, x, t, indices)
            return jax.tree.map(lambda p, grad: p - LEARNING_RATE * grad, params, grads)

        self._scores, self._gradients, self._step = (self._compiled(of) for of in (scores, gradients, step))
        device = jax.devices(device_kind.lower())[0]
        self.params = [tuple(jax.device_put(a, device) for a in layer) for layer in work.layers()]
        self.x, self.t = (jax.device_put(a, device) for a in (work.floats(), work.labels.astype(np.int32)))
        self.order = [jax.device_put(indices.astype(np.int32), device) for indices in work.order]
        self.images = self.x[: work.case.batch]
        self._result: Any = None

    def _compiled(self, function: Function) -> Function:
        def precise(*arguments: Any) -> Any:
            with self.jax.default_matmul_precision("highest"):  # else a GPU may round the factors to TF32
                return function(*arguments)

        compiled: Function = self.jax.jit(precise)
        return compiled

    def train(self, steps: int) -> None:
        for i in range(steps):
            self.params = self._step(self.params, self.x, self.t, self.order[i % MINIBATCHES])

    def predict(self, times: int) -> None:
        for _ in range(times):
            self._result = self._scores(self.params, self.images)

    def seconds(self, work: Callable[[int], Any], times: int, clock: Callable[[], float]) -> float:
        self.jax.block_until_ready((self.params, self._result))
        begun = clock()
        work(times)
        self.jax.block_until_ready((self.params, self._result))
        return clock() - begun

    def probabilities(self) -> np.ndarray:
        return np.asarray(self.jax.nn.softmax(self._scores(self.params, self.images)))

    def gradients(self) -> dict[str, np.ndarray]:
        return self._by_name(self._gradients(self.params, self.x, self.t, self.order[0]))

    def weights(self) -> dict[str, np.ndarray]:
        return self._by_name(self.params)

    def _by_name(self, params: Any) -> dict[str, np.ndarray]:
        arrays = (np.array(a) for layer in params for a in layer)
        return dict(zip(self.work.start, arrays, strict=True))
