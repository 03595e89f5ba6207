"""Training steps of the book's SimpleConvNet by xpnet, PyTorch and the book's im2col, one measurement per process.

Images, first weights and the order of the minibatches come from a file that another process has written. So each
process holds only its own library and its data, because memory is compared, too.
"""

import gc
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from taking_turns import Run

__all__ = ["ConvolutionJob", "command", "numpy_versions", "peak_bytes"]

WARM_UP = 5  # untimed steps on another network
FIRST = 20  # losses to compare
AT_ONCE = 100  # test images
PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


@dataclass(frozen=True)
class ConvolutionJob:
    """A training of SimpleConvNet.

    Attributes
    ----------
    file
        File with images, first weights and order; written by the first process that needs it.
    dataset, images
        ``"mnist"``, or ``"digits"``, which come with the package, and the number of training images.
    batch, steps, lr
        Samples per step, steps, and the learning rate of SGD.
    threads
        For libraries that need it as an argument.
    seed
        Seed of the first weights and of the order.
    """

    file: str
    dataset: str = "mnist"
    images: int = 6000
    batch: int = 100
    steps: int = 600
    lr: float = 0.1
    threads: int = 2
    seed: int = 0

    def numbers(self) -> Any:
        """The arrays of the file by name, each read on access."""
        if not Path(self.file).exists():
            subprocess.run(command("file", self), check=True)
        return np.load(self.file)


def command(peer: str, job: ConvolutionJob, **options: Any) -> tuple[str, ...]:
    """The command of a measurement."""
    return sys.executable, __file__, json.dumps({"peer": peer, "job": asdict(job), "options": options})


def write_file(job: ConvolutionJob) -> Run:
    """Write the images as float32, the labels, the order of the Trainer, and He's first weights."""
    from job import Job

    from xpnet import SimpleConvNet, load_digits, load_mnist
    from xpnet._core.files import whole_file

    load = {"mnist": load_mnist, "digits": load_digits}[job.dataset]
    (x, t), (x_test, t_test) = load(flatten=False)
    x, t = x[: job.images], t[: job.images]
    order = Job(batch=job.batch, iterations=job.steps, seed=job.seed).blocks(len(x))
    network = SimpleConvNet(x.shape[1:], weight_init_std="he", seed=job.seed, backend="numpy")
    arrays: dict[str, Any] = {"x": x, "t": t, "x_test": x_test, "t_test": t_test, "order": np.concatenate(list(order))}
    with whole_file(job.file) as file:
        np.savez(file, **arrays | dict(network.params))
    return {}


# --- xpnet ----------------------------------------------------------------------------------------------------------


def xpnet_steps(job: ConvolutionJob, capture: bool | str = "auto") -> Run:
    """Train with the Trainer; the seconds are those of its history, with capture and without evaluations."""
    import xpnet
    from xpnet import SimpleConvNet, Trainer

    numbers = job.numbers()
    x, t, parameters = numbers["x"], numbers["t"], {name: numbers[name] for name in PARAMETERS}

    def trained(steps: int) -> Trainer:
        network = SimpleConvNet(x.shape[1:], backend="numpy")
        network.set_params(parameters)
        trainer = Trainer(
            network, x, t, None, None, mini_batch_size=job.batch, optimizer_param={"lr": job.lr}, iterations=steps,
            seed=job.seed, evaluate_sample_num_per_epoch=1, verbose=False, capture=capture,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a step that cannot be captured causes a warning
            trainer.train()
        return trainer

    trained(WARM_UP)
    gc.collect()
    trainer = trained(job.steps)
    peak, network = peak_bytes(), trainer.network
    return {
        "seconds": trainer.history.training_seconds,
        "losses": trainer.history.loss[:FIRST],
        "peak_bytes": peak,
        "test_accuracy": _accuracy(network.predict, numbers),
        "versions": {"xpnet": xpnet.__version__} | numpy_versions(),
    }


# --- PyTorch --------------------------------------------------------------------------------------------------------


def torch_steps(job: ConvolutionJob) -> Run:
    """PyTorch eager; the images are tensors in memory, the losses are fetched once per epoch."""
    import torch

    nn: Any = torch.nn
    torch.set_num_threads(job.threads)
    numbers = job.numbers()
    x, t, order = (torch.from_numpy(numbers[name]) for name in ("x", "t", "order"))
    W1, b1, W2, b2, W3, b3 = (torch.from_numpy(numbers[name]) for name in PARAMETERS)
    loss_of, an_epoch = nn.CrossEntropyLoss(), len(x) // job.batch

    def with_weights(layer: Any, weight: Any, bias: Any) -> Any:
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        return layer

    def trained(steps: int) -> tuple[Any, list[float], float]:
        model = nn.Sequential(
            with_weights(nn.Conv2d(W1.shape[1], W1.shape[0], W1.shape[2:]), W1, b1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            with_weights(nn.Linear(*W2.shape), W2.T, b2),
            nn.ReLU(),
            with_weights(nn.Linear(*W3.shape), W3.T, b3),
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=job.lr)
        history: list[float] = []
        begun = time.perf_counter()
        for block in order[:steps].split(an_epoch):
            losses = []
            for indices in block:
                optimizer.zero_grad()
                loss = loss_of(model(x.index_select(0, indices)), t.index_select(0, indices))
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            history += torch.stack(losses).tolist()
        return model, history, time.perf_counter() - begun

    trained(WARM_UP)
    gc.collect()
    model, losses, seconds = trained(job.steps)
    peak = peak_bytes()

    def scores(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(model(torch.from_numpy(x)))

    return {
        "seconds": seconds,
        "losses": losses[:FIRST],
        "peak_bytes": peak,
        "test_accuracy": _accuracy(scores, numbers),
        "versions": {"torch": torch.__version__},
    }


# --- the book -------------------------------------------------------------------------------------------------------


def book_steps(job: ConvolutionJob) -> Run:
    """The book's im2col; see book_im2col.py."""
    from book_im2col import BookConvNet

    numbers = job.numbers()
    x, t, order = (numbers[name] for name in ("x", "t", "order"))
    parameters = [numbers[name] for name in PARAMETERS]

    def trained(steps: int) -> tuple[BookConvNet, list[float], float]:
        network = BookConvNet(parameters)
        begun = time.perf_counter()
        losses = [network.step(x[indices], t[indices], job.lr) for indices in order[:steps]]
        return network, losses, time.perf_counter() - begun

    trained(WARM_UP)
    gc.collect()
    network, losses, seconds = trained(job.steps)
    peak = peak_bytes()
    return {
        "seconds": seconds,
        "losses": losses[:FIRST],
        "peak_bytes": peak,
        "test_accuracy": _accuracy(network.scores, numbers),
        "versions": numpy_versions(),
    }


# --- shared ---------------------------------------------------------------------------------------------------------


def _accuracy(scores: Callable[[np.ndarray], np.ndarray], numbers: Any) -> float:
    x, t = numbers["x_test"], numbers["t_test"]
    right = 0
    for first in range(0, len(x), AT_ONCE):
        batch = slice(first, first + AT_ONCE)
        right += int(np.sum(np.argmax(scores(x[batch]), axis=1) == t[batch]))
    return right / len(x)


def peak_bytes() -> int:
    """The peak memory of this process; on Linux without that of its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = (line.split() for line in status.read_text(encoding="ascii").splitlines())
        return next(1024 * int(words[1]) for words in lines if words[0] == "VmHWM:")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def numpy_versions() -> dict[str, str]:
    from threadpoolctl import threadpool_info

    blas = [of for of in threadpool_info() if of["user_api"] == "blas"]
    names = ", ".join(f"{of['internal_api']} {of['version']} ({of.get('architecture')})" for of in blas)
    return {"numpy": np.__version__, "numpy's BLAS": names or "unknown"}


PEERS: dict[str, Callable[..., Run]] = {
    "file": write_file,
    "xpnet": xpnet_steps,
    "torch": torch_steps,
    "book": book_steps,
}


def main(text: str) -> int:
    what = json.loads(text)
    job = ConvolutionJob(**what["job"])
    run = PEERS[what["peer"]](job, **what["options"])
    print(json.dumps(run | {"batch": job.batch, "steps": job.steps}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
