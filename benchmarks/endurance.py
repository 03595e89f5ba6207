"""Measurements of a long training, of two trainings in one process, and of one that exceeds the memory."""

import gc
import os
import warnings
from pathlib import Path
from typing import Any

from job import Job
from taking_turns import Run
from xpnet_runs import trainer_of, weights_that_differ

from xpnet import Trainer, get_backend
from xpnet.errors import OutOfMemoryError

__all__ = ["in_turn", "soak", "too_large"]

SETTLED = 1_000  # steps, after which memory must not grow
TURNS = 3
ROOM = 2**29  # bytes that a process on the CPU may still allocate
GOES_ON = 2_000  # steps
EVALUATED: dict[str, Any] = {"evaluate_sample_num_per_epoch": 1_000}


def soak(job: Job, backend: str) -> Run:
    """Make captured steps; returns the used memory after the first 1,000, and by how much it ``grew`` later."""
    train, test = job.data()
    used: list[int] = []

    def note(trainer: Trainer) -> None:
        if len(trainer.history.loss) >= min(SETTLED, job.iterations):
            used.append(_used_bytes(backend))

    trainer = trainer_of(job.network(backend), job, train, test, callbacks=[note], capture=True, **EVALUATED)
    history = trainer.train()
    return {
        "seconds": history.training_seconds,
        "used_bytes": used[0],
        "grew_bytes": max(used) - used[0],
        "evaluations": len(used),
        "test_accuracy": history.test_acc[-1],
        "device": trainer.network.backend.describe_device(),
    }


def in_turn(job: Job, backend: str) -> Run:
    """Run two trainings alone, in turn, and one during the other; returns how many weights ``differ``."""
    train, _ = job.data()

    def pair() -> tuple[Trainer, Trainer]:
        options: dict[str, Any] = {"sizes": (job.sizes[0], 30, job.sizes[-1]), "batch": max(1, job.batch // 2)}
        other = Job(dataset=job.dataset, iterations=job.iterations, optimizer="Adam", lr=0.001, dropout=0.3, **options)
        return tuple(trainer_of(of.network(backend), of, train, capture=True, **EVALUATED) for of in (job, other))  # type: ignore[return-value]

    alone, turns, nested = pair(), pair(), pair()
    for trainer in alone:
        for _ in range(TURNS):
            trainer.train()
    for _ in range(TURNS):
        for trainer in turns:
            trainer.train()
    outer, inner = nested
    outer.callbacks = [lambda _: inner.train() if len(inner.history.loss) < TURNS * job.iterations else None]
    for _ in range(TURNS):
        outer.train()
    differ = [
        weights_that_differ(trainer.network, expected.network)
        for pair_ in (turns, nested)
        for trainer, expected in zip(pair_, alone, strict=True)
    ]
    return {"differ": sum(differ), "device": alone[0].network.backend.describe_device()}


def too_large(job: Job, backend: str) -> Run:
    """Ask for a minibatch of 1.5 times the memory, and then continue training; returns the error as ``told``.

    ``unnamed`` counts what the error did not name, of the minibatch size and a number of bytes.
    """
    train, test = job.data()
    network = job.network(backend)
    size = int(1.5 * _memory_bytes(backend) / (4 * job.sizes[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such steps cannot be captured either
        try:
            trainer_of(network, job, train, mini_batch_size=size, sampling="choice", **EVALUATED).train()
            told = "nothing"
        except OutOfMemoryError as error:
            told = str(error)
    gc.collect()
    fewer = min(GOES_ON, job.iterations)
    history = trainer_of(network, job, train, test, iterations=fewer, capture=True, **EVALUATED).train()
    named = (f"mini_batch_size={size}", "bytes" if get_backend(backend).name == "cupy" else "iB")
    return {
        "told": told,
        "unnamed": sum(name not in told for name in named),
        "missed": 1 - history.test_acc[-1],
        "device": network.backend.describe_device(),
    }


def _used_bytes(backend: str) -> int:
    """Used memory of the device, or of this process on a CPU (on Linux)."""
    if get_backend(backend).name == "cupy":
        free, total = get_backend(backend).xp.cuda.Device().mem_info
        return int(total - free)
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _memory_bytes(backend: str) -> int:
    """Memory of the device; on a CPU (on Linux), a limit that this sets for the process."""
    if get_backend(backend).name == "cupy":
        return int(get_backend(backend).xp.cuda.Device().mem_info[1])
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (_used_bytes(backend) + ROOM, resource.RLIM_INFINITY))
    return ROOM
