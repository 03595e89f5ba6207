"""Test accuracies of the convolutional networks on MNIST, seed by seed, after the last epoch of a fixed recipe.

    python benchmarks/convolution_accuracy.py --networks simple deep --seeds 0 1 2

Each result is added to the file of results at once, replacing one of the same network and seed, so that an interrupted
run loses only its current training.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import RESULTS, Benchmark, Options
from convolution_peers import numpy_versions
from program import QUICK_RESULTS, positive, reported
from record import record_of, write_record
from taking_turns import BenchmarkError

import xpnet
from xpnet import (
    Adam,
    Augmentation,
    CosineDecay,
    DeepConvNet,
    Nesterov,
    Network,
    ResNet,
    SimpleConvNet,
    Trainer,
    load_mnist,
)
from xpnet._core.files import check_path, check_writable
from xpnet.data.idx import Dataset
from xpnet.optimizers import Optimizer

__all__ = ["RECIPES", "Recipe", "add_row", "train_one"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    network
        Given a seed and a backend.
    optimizer
        Given the number of all steps.
    epochs, batch
        How many times through the 60,000 images; samples a step.
    augmentation
        What an `Augmentation` is given besides the seed; empty for none.
    """

    network: Callable[..., Network]
    optimizer: Callable[[int], Optimizer]
    epochs: int
    batch: int = 100
    augmentation: Mapping[str, Any] = field(default_factory=dict)


RECIPES = {
    "simple": Recipe(SimpleConvNet, lambda steps: Adam(CosineDecay(0.001, steps)), epochs=10),
    "deep": Recipe(DeepConvNet, lambda steps: Adam(CosineDecay(0.001, steps, warm_up=steps // 20)), epochs=10),
    "resnet": Recipe(
        ResNet,
        lambda steps: Nesterov(CosineDecay(0.1, steps, warm_up=steps // 5), weight_decay=5e-4),
        epochs=10,
        augmentation={"shift": 2, "rotate": 10},
    ),
}

EVALUATED = 1000  # images of each set for the row of an epoch; the result is of all test images
QUICK_IMAGES = 200
BENCHMARK = Benchmark(
    "convolution_accuracy",
    "accuracy on MNIST's 10,000 test images after the last epoch",
    lambda _: [],
    lambda _: [],
)


def train_one(name: str, seed: int, data: Dataset, epochs: int | None = None) -> dict[str, Any]:
    """Train a network by its recipe; what came of it.

    Raises
    ------
    BenchmarkError
        Where training ended early, since its numbers were no longer finite.
    """
    recipe, (train, test) = RECIPES[name], data
    epochs = epochs or recipe.epochs
    steps = epochs * -(-len(train[0]) // recipe.batch)
    network = recipe.network(seed=seed, backend="numpy")
    augmentation = Augmentation(**recipe.augmentation, seed=seed) if recipe.augmentation else None
    trainer = Trainer(
        network, *train, *test, epochs=epochs, mini_batch_size=recipe.batch, optimizer=recipe.optimizer(steps),
        augmentation=augmentation, evaluate_sample_num_per_epoch=EVALUATED, seed=seed,
    )  # fmt: skip
    history = trainer.train()
    if len(history.loss) < steps:
        raise BenchmarkError(f"{name}, seed {seed}: training ended at step {len(history.loss)} of {steps}.")
    how = [history.description, f"batch {recipe.batch}", *([repr(augmentation)] if augmentation else [])]
    return {
        "network": name,
        "seed": seed,
        "test_accuracy": network.accuracy(*test),
        "recipe": ", ".join(how),
        "epochs": epochs,
        "steps": steps,
        "training_seconds": history.training_seconds,
        "threads": _threads(),
    }


def add_row(row: Mapping[str, Any], folder: Path, *, quick: bool = False) -> Path:
    """Write a row into this machine's file of results, in the place of one of the same network and seed; the file.

    Raises
    ------
    BenchmarkError
        Where the file has rows of whole runs and this is of a quick one, or the other way round.
    """
    record = record_of(BENCHMARK, Options(quick=quick), [], {})
    record["versions"] |= {"xpnet": xpnet.__version__} | numpy_versions()
    rows: dict[str, Any] = {}
    for path in folder.glob(f"{BENCHMARK.name}-*.json"):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["machine"] == record["machine"]:
            if kept["quick"] != quick:
                raise BenchmarkError(f"{path} is of {'whole' if quick else 'quick'} runs. Choose another --results .")
            rows = kept["runs"]
    origin = {name: record[name] for name in ("date", "commit", "command", "versions")}
    rows[f"{row['network']}, seed {row['seed']}"] = dict(row) | origin
    in_order = sorted(rows.items(), key=lambda item: (list(RECIPES).index(item[1]["network"]), item[1]["seed"]))
    return write_record(record | {"runs": dict(in_order)}, folder)


def _threads() -> int:
    """How many the linear algebra may use."""
    from threadpoolctl import threadpool_info

    return max((of["num_threads"] for of in threadpool_info() if of["user_api"] == "blas"), default=1)


def _noise() -> Dataset:
    """Images and labels that have nothing to do with one another, to see that everything runs."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (2 * QUICK_IMAGES, 1, 28, 28), dtype=np.uint8)
    t = rng.integers(0, 10, len(x))
    return (x[:QUICK_IMAGES], t[:QUICK_IMAGES]), (x[QUICK_IMAGES:], t[QUICK_IMAGES:])


# --- the command line -----------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--networks", nargs="+", choices=RECIPES, default=list(RECIPES), help="which (default: %(default)s)")
    add("--seeds", nargs="+", type=int, default=[0], help="one training each (default: %(default)s)")
    add("--epochs", type=positive, help="in the place of the recipe's own")
    add("--quick", action="store_true", help=f"{QUICK_IMAGES} images of noise, an epoch: to see that everything runs")
    add(
        "--results",
        type=lambda text: check_path("--results", text),
        help="folder for the results (default: beside this program; output/ where quick)",
    )
    given = parser.parse_args()
    return reported(lambda: _train_all(given))


def _train_all(given: argparse.Namespace) -> None:
    folder = given.results or (QUICK_RESULTS if given.quick else RESULTS)
    check_writable(folder / "results.json")
    data = _noise() if given.quick else load_mnist(normalize=False, flatten=False)
    for seed in given.seeds:
        for name in given.networks:
            print(f"\n{name}, seed {seed}")
            row = train_one(name, seed, data, given.epochs or (1 if given.quick else None))
            path = add_row(row, folder, quick=given.quick)
            accuracy, seconds = row["test_accuracy"], row["training_seconds"]
            print(f"{name}, seed {seed}: {accuracy:.4f} in the test, {seconds:,.0f} s of training. Written: {path}")


if __name__ == "__main__":
    sys.exit(main())
