"""Measurements of xpnet doing a `Job`; each call is one measurement, in a process of its own.

Each returns a `Run`: ``seconds`` of the loop alone, the first ``losses``, ``test_accuracy``, ``versions``.
"""

import time
import warnings
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from convolution_peers import numpy_versions, peak_bytes
from job import FIRST, WARM_UP, Job
from taking_turns import Run

import xpnet
from xpnet import Dropout, Network, Trainer, asarray, get_array_module, get_backend, to_numpy
from xpnet._core.arrays import Array
from xpnet.backend import synchronize
from xpnet.training.losses import Losses
from xpnet.training.step import TrainingStep

__all__ = [
    "device",
    "dropout_mask",
    "equal_weights",
    "launches",
    "products",
    "trainer_of",
    "training",
    "weights_that_differ",
    "xpnet_loop",
]

Samples = tuple[Any, Any]  # inputs and labels


# --- xpnet ----------------------------------------------------------------------------------------------------------


def xpnet_loop(job: Job, capture: str | bool = "auto", backend: str = "numpy", fused: bool | None = None) -> Run:
    """Train with the Trainer on pixels as bytes; the seconds are those of its history, without evaluations."""
    train, test = job.data()
    how: dict[str, Any] = {"capture": capture, "backend": backend, "fused": fused}
    _trained(job, train, iterations=WARM_UP, **how)
    trainer = _trained(job, train, **how)
    return _run_of(trainer) | {"test_accuracy": trainer.network.accuracy(*_beside(trainer.network, test))}


def launches(job: Job, backend: str = "numpy", fused: bool | None = None) -> Run:
    """Only the captured steps of the same training, with a given order and without evaluations.

    The difference to the training is the work of the Trainer per epoch, and the capture.
    """
    train, test = job.data()
    trainer = _made(job, train, capture=True, backend=backend, fused=fused)
    network = trainer.network
    network.state.flatten()
    blocks = list(job.blocks(trainer.train_size))
    order = asarray(np.concatenate([block.ravel() for block in blocks]), like=network.state.like)
    steps, losses = trainer.runner.steps(len(blocks[0])), Losses()
    synchronize(network.state.like)
    begun = time.perf_counter()
    for _ in steps.run(order, 0, losses):
        pass
    synchronize(network.state.like)
    seconds = time.perf_counter() - begun
    steps.close()
    measured = {"seconds": seconds, "losses": losses.fetch()[:FIRST]}
    return _run_of(trainer) | measured | {"test_accuracy": network.accuracy(*_beside(network, test))}


def training(job: Job, evaluated: int | None = None) -> Run:
    """A complete training, with both sets evaluated once per epoch on `evaluated` samples (None for all).

    Also returns ``evaluation_seconds`` and the ``peak_bytes`` of the process.
    """
    train, test = job.data()
    trainer = _trained(job, train, test=test, evaluated=evaluated)
    measured = {"evaluation_seconds": trainer.history.evaluation_seconds, "peak_bytes": peak_bytes()}
    return _run_of(trainer) | measured | {"test_accuracy": trainer.network.accuracy(*test)}


def _trained(job: Job, train: Samples, **how: Any) -> Trainer:
    trainer = _made(job, train, **how)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a step that cannot be captured causes a warning
        trainer.train()
    return trainer


def _made(
    job: Job,
    train: Samples,
    *,
    capture: str | bool = "auto",
    backend: str = "numpy",
    fused: bool | None = None,
    iterations: int | None = None,
    test: Samples = (None, None),
    evaluated: int | None = 1,
) -> Trainer:
    options = {"iterations": iterations or job.iterations, "evaluate_sample_num_per_epoch": evaluated}
    trainer = trainer_of(job.network(backend), job, train, test, **options, capture=capture)
    if fused is not None:
        _fuse(trainer, fused)
    return trainer


def trainer_of(network: Network, job: Job, train: Samples, test: Samples = (None, None), **options: Any) -> Trainer:
    """The Trainer of a job, with other `options` of the Trainer."""
    of_job = {
        "mini_batch_size": job.batch, "optimizer": job.optimizer, "optimizer_param": {"lr": job.lr},
        "iterations": job.iterations, "seed": job.seed, "verbose": False,
    }  # fmt: skip
    return Trainer(network, *train, *test, **of_job | options)


def _fuse(trainer: Trainer, fused: bool) -> None:
    """Fuse the steps or not, to see what fusion saves, captured or plain."""
    parts = (trainer.network, trainer.optimizer, trainer.x_train, trainer.t_train)
    vars(trainer.runner)["step"] = partial(TrainingStep, *parts, fused=fused)


def _beside(network: Network, data: Samples) -> tuple[Array, Array]:
    return network.asarray(data[0]), network.asarray(data[1])


def _run_of(trainer: Trainer) -> Run:
    return {
        "seconds": trainer.history.training_seconds,
        "losses": trainer.history.loss[:FIRST],
        "versions": _versions(),
        "device": trainer.network.backend.describe_device(),
    }


def _versions() -> dict[str, str]:
    return {"xpnet": xpnet.__version__} | numpy_versions()


def equal_weights(job: Job, backend: str, fused: bool | None = None) -> Run:
    """Train twice, captured and plain; returns how many weights ``differ`` in any bit."""
    train, _ = job.data()

    captured, plain = (
        _trained(job, train, capture=capture, backend=backend, fused=fused).network for capture in (True, False)
    )
    return {"differ": weights_that_differ(captured, plain), "versions": _versions()}


def weights_that_differ(a: Network, b: Network) -> int:
    """The number of float32 weights of two networks that differ in any bit."""
    bits = (
        np.concatenate([to_numpy(w).ravel() for w in network.params.values()]).view(np.uint32) for network in (a, b)
    )
    return int(np.sum(np.not_equal(*bits)))


def device(_: Job, backend: str) -> Run:
    """The device of a backend; an error if it is not available."""
    return {"device": get_backend(backend).describe_device()}


def dropout_mask(job: Job) -> Run:
    """Repeatedly make the mask of a dropout of this batch and width, and apply it."""
    layer = Dropout(job.dropout, seed=job.seed)
    layer.train = True
    x = np.ones((job.batch, job.sizes[0]), dtype=np.float32)
    layer.forward(x)
    begun = time.perf_counter()
    for _ in range(job.iterations):
        layer.forward(x)
    return {"seconds": time.perf_counter() - begun, "versions": _versions()}


# --- matrix products only -------------------------------------------------------------------------------------------


def products(job: Job, backend: str = "numpy") -> Run:
    """Only the matrix products of the steps, each written into existing memory.

    For a layer of D inputs and H outputs: x @ W, x.T @ dout, and except for the first layer dout @ W.T.
    """
    network = job.network(backend)
    anchor, xp = network.state.like, get_array_module(network.state.like)
    rng = np.random.default_rng(job.seed)

    def drawn(*shape: int) -> Array:
        return asarray(rng.standard_normal(shape), dtype="float32", like=anchor)

    calls: list[tuple[Array, Array, Array]] = []
    for i, (D, H) in enumerate(pairwise(job.sizes)):
        x, W, dout = drawn(job.batch, D), drawn(D, H), drawn(job.batch, H)
        calls += [(x, W, drawn(job.batch, H)), (x.T, dout, drawn(D, H))]
        calls += [(dout, W.T, drawn(job.batch, D))] if i else []

    def loop(steps: int) -> float:
        synchronize(anchor)
        begun = time.perf_counter()
        for _ in range(steps):
            for a, b, out in calls:
                xp.matmul(a, b, out=out)
        synchronize(anchor)
        return time.perf_counter() - begun

    loop(WARM_UP)
    return {"seconds": loop(job.iterations), "versions": _versions()}
