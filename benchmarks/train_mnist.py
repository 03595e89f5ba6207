"""Time the course's training on MNIST, 10,000 iterations of 784-50-10, with xpnet and with PyTorch eager.

    python benchmarks/train_mnist.py

Each measurement is a process of its own, and the two take turns. benchmarks/README.md says what is measured.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import xpnet
from xpnet import Trainer, TwoLayerNet, XpnetError, load_mnist
from xpnet.files import write_whole
from xpnet.initializers import random_streams

HERE = Path(__file__).resolve().parent
TARGET = 0.60  # of PyTorch's time, at most
HIDDEN, BATCH, LR = 50, 100, 0.1
WARM_UP = 20  # steps on a network of their own, before the clock runs
FIRST = 20  # losses to compare


# --- what is measured -----------------------------------------------------------------------------------------------


def measure_xpnet(iterations: int, seed: int) -> dict[str, Any]:
    """Train with the Trainer, on the pixels as bytes; the seconds are those of its history."""
    (x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)

    def trained(iterations: int) -> Trainer:
        network = TwoLayerNet(784, HIDDEN, 10, seed=seed, backend="numpy")
        trainer = Trainer(
            network, x_train, t_train, None, None,
            mini_batch_size=BATCH, optimizer="SGD", optimizer_param={"lr": LR}, iterations=iterations, seed=seed,
            evaluate_sample_num_per_epoch=BATCH, verbose=False,
        )  # fmt: skip
        trainer.train()
        return trainer

    trained(WARM_UP)
    trainer = trained(iterations)
    return {
        "seconds": trainer.history.seconds,
        "losses": trainer.history.loss,
        "test_accuracy": trainer.network.accuracy(x_test, t_test),
        "versions": {"xpnet": xpnet.__version__, "numpy": np.__version__, "numpy's BLAS": blas_of_numpy()},
    }


def measure_torch(iterations: int, seed: int) -> dict[str, Any]:
    """Train the same network on the same minibatches, as one writes it in PyTorch, the data being at hand as floats."""
    import torch

    (x, t), (x_test, t_test) = ((torch.from_numpy(x), torch.from_numpy(t)) for x, t in load_mnist())
    start = TwoLayerNet(784, HIDDEN, 10, seed=seed, backend="numpy").params
    loss_of = torch.nn.CrossEntropyLoss()

    def trained(iterations: int) -> tuple[torch.nn.Module, list[float], float]:
        model = torch.nn.Sequential(torch.nn.Linear(784, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10))
        with torch.no_grad():
            for parameter, name in zip(model.parameters(), ("W1", "b1", "W2", "b2"), strict=True):
                parameter.copy_(torch.from_numpy(start[name].T))
        optimizer = torch.optim.SGD(model.parameters(), lr=LR)
        rng = random_streams(seed).order  # the Trainer's order
        history: list[float] = []
        begun = time.perf_counter()
        while len(history) < iterations:
            losses = []
            order = torch.from_numpy(rng.permutation(len(x)))
            for indices in torch.split(order, BATCH)[: iterations - len(history)]:
                optimizer.zero_grad()
                loss = loss_of(model(x.index_select(0, indices)), t.index_select(0, indices))
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            history += torch.stack(losses).tolist()
        return model, history, time.perf_counter() - begun

    trained(WARM_UP)
    model, losses, seconds = trained(iterations)
    with torch.no_grad():
        right = (model(x_test).argmax(dim=1) == t_test).sum().item()
    return {
        "seconds": seconds,
        "losses": losses,
        "test_accuracy": right / len(t_test),
        "versions": {"torch": torch.__version__},
    }


PEERS: dict[str, Callable[[int, int], dict[str, Any]]] = {"xpnet": measure_xpnet, "torch": measure_torch}


# --- taking turns ---------------------------------------------------------------------------------------------------


def main() -> int:
    options = parse()
    try:
        if options.peer:
            result = PEERS[options.peer](options.iterations, options.seed)
            print(json.dumps(result | {"losses": result["losses"][:FIRST]}))
            return 0
        return compare(options)
    except (XpnetError, BenchmarkError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


class BenchmarkError(Exception):
    """Why there is nothing to report."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rounds", type=positive, default=5, help="measurements of each (default: %(default)s)")
    add("--threads", type=positive, default=2, help="threads that each may use (default: %(default)s)")
    add("--iterations", type=positive, default=10_000, help="steps to time (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the first weights and of the order (default: %(default)s)")
    add("--results", type=Path, default=HERE / "results", help="folder for the figures (default: beside this program)")
    add("--peer", choices=PEERS, help=argparse.SUPPRESS)  # what the program calls itself with
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def compare(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    if importlib.util.find_spec("torch") is None:
        raise BenchmarkError("PyTorch is not installed; benchmarks/README.md says how to install it.")
    load_mnist(normalize=False)  # downloads it now, if it is not here yet
    runs: dict[str, list[dict[str, Any]]] = {peer: [] for peer in PEERS}
    with tqdm(total=options.rounds * len(PEERS), unit="run") as bar:
        for _ in range(options.rounds):
            for peer, taken in runs.items():
                bar.set_description(f"{peer:>5}")
                taken.append(in_a_process(peer, options))
                bar.update()
    check_agreement(runs["xpnet"], runs["torch"])
    figures = {peer: statistics_of(taken, options.iterations) for peer, taken in runs.items()}
    seconds = {peer: [run["seconds"] for run in taken] for peer, taken in runs.items()}
    ratios = {
        "of_medians": figures["xpnet"]["median_seconds"] / figures["torch"]["median_seconds"],
        "by_round": [ours / theirs for ours, theirs in zip(seconds["xpnet"], seconds["torch"], strict=True)],
    }
    show(options, figures, ratios)
    path = options.results / f"train_mnist-{slug(processor())}-{options.threads}threads.json"
    content = {
        "what": f"784-{HIDDEN}-10, batch {BATCH}, SGD lr {LR:g}, MNIST, {options.iterations} iterations",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/train_mnist.py --rounds {options.rounds} --threads {options.threads} "
        f"--iterations {options.iterations} --seed {options.seed}",
        "commit": commit(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": operating_system()},
        "versions": {"python": platform.python_version()} | runs["xpnet"][0]["versions"] | runs["torch"][0]["versions"],
        "threads": options.threads,
        "warm_up_steps": WARM_UP,
        "figures": figures,
        "xpnet_over_torch": ratios,
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")
    print(f"Written: {path}")
    return 0


def in_a_process(peer: str, options: argparse.Namespace) -> dict[str, Any]:
    """One measurement."""
    numbers = ("--iterations", str(options.iterations), "--seed", str(options.seed))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(options.threads))
    command = [sys.executable, __file__, "--peer", peer, *numbers]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"the measurement of {peer} failed:\n{done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def check_agreement(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Raise unless both have learned the same: times of two different trainings say nothing."""
    for a, b in zip(ours, theirs, strict=True):
        if not all(abs(x - y) <= 1e-4 * abs(y) for x, y in zip(a["losses"], b["losses"], strict=True)):
            raise BenchmarkError(f"the first losses differ by more than 1e-4: {a['losses']} and {b['losses']}")
        if not abs(a["test_accuracy"] - b["test_accuracy"]) <= 0.005:
            accuracies = f"{a['test_accuracy']:.4f} and {b['test_accuracy']:.4f}"
            raise BenchmarkError(f"the test accuracies differ by more than 0.005: {accuracies}")


def statistics_of(runs: list[dict[str, Any]], iterations: int) -> dict[str, Any]:
    seconds = [run["seconds"] for run in runs]
    median = statistics.median(seconds)
    return {
        "seconds": seconds,
        "min_seconds": min(seconds),
        "median_seconds": median,
        "max_seconds": max(seconds),
        "us_per_step": median / iterations * 1e6,
        "images_per_second": iterations * BATCH / median,
        "test_accuracy": [run["test_accuracy"] for run in runs],
    }


def show(options: argparse.Namespace, figures: dict[str, dict[str, Any]], ratios: dict[str, Any]) -> None:
    from tabulate import tabulate

    columns = ("min_seconds", "median_seconds", "max_seconds", "us_per_step", "images_per_second")
    rows = [(peer, *(of[name] for name in columns), of["test_accuracy"][-1]) for peer, of in figures.items()]
    headers = ("", "min s", "median s", "max s", "us a step", "images a second", "test accuracy")
    print(f"\n{options.iterations:,} iterations, {options.threads} thread(s), {processor()}, {os.cpu_count()} cores\n")
    print(tabulate(rows, headers, floatfmt=("", ".2f", ".2f", ".2f", ".1f", ",.0f", ".4f")))
    by_round = " ".join(f"{ratio:.2f}" for ratio in ratios["by_round"])
    print(f"\nxpnet takes {ratios['of_medians']:.2f} of PyTorch's time by the medians (the aim: at most {TARGET:.2f});")
    print(f"round by round {by_round}\n")


# --- where it was measured ------------------------------------------------------------------------------------------


def processor() -> str:
    return xpnet.get_backend("numpy").describe_device().rpartition(", ")[0]  # its last part counts the cores


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", name.lower())).strip("-")


def operating_system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        name = f"{platform.system()} {platform.release()}"
    return f"{name}, {platform.machine()}"


def blas_of_numpy() -> str:
    from threadpoolctl import threadpool_info

    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return (
        ", ".join(f"{of['internal_api']} {of['version']} ({of.get('architecture')})" for of in libraries) or "unknown"
    )


def commit() -> dict[str, Any] | None:
    """Which version was measured, and whether it had been changed since; None outside a repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(HERE.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "xpnet", "benchmarks/train_mnist.py")
        return {"id": git("rev-parse", "--short", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    sys.exit(main())
