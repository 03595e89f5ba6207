"""Train a two-layer network on handwritten digits, and save its weights, its history and a plot.

    python examples/train_mnist.py                        on the CPU, with NumPy
    XPNET_BACKEND=cupy python examples/train_mnist.py     the same program on a GPU, with CuPy

The data set is MNIST, which is downloaded once. If it cannot be downloaded, the small digits of the package are used.
"""

import argparse
import json
import logging
import math
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xpnet
from xpnet import Trainer, TwoLayerNet, XpnetError, load_digits, load_mnist
from xpnet._core.files import check_path, check_writable, write_whole
from xpnet._core.terminal import run_program
from xpnet.errors import DatasetUnavailableError

# Defaults of the command line. The learning rates are for SGD; each other optimizer has its own default.
DEFAULTS: dict[str, dict[str, Any]] = {
    "mnist": {"iterations": 10_000, "epochs": None, "batch_size": 100, "lr": 0.1},
    "digits": {"iterations": None, "epochs": 30, "batch_size": 20, "lr": 0.5},
}
OPTIMIZERS = ("SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam", "AdamW")
FILES = ("learning_curves.png", "weights.safetensors", "history.csv", "history.json")


def run(options: argparse.Namespace) -> int:
    """Load the images, train the network and write the files; return the exit status."""
    check_writable(*(options.output_dir / name for name in FILES), *filter(None, [options.report]))
    backend = xpnet.get_backend(options.backend)
    dataset, ((x_train, t_train), (x_test, t_test)) = load(options.dataset, options.data_dir)
    given = {name: value for name, value in vars(options).items() if value is not None}
    if "epochs" in given:
        given.setdefault("iterations", None)  # the iterations of DEFAULTS would override the requested epochs
    chosen = DEFAULTS[dataset] | given

    optimizer_param = {"lr": chosen["lr"]} if options.optimizer == "SGD" or "lr" in given else {}

    # Images stay bytes; the trainer converts them to numbers from 0 to 1, one minibatch at a time.
    network = TwoLayerNet(x_train.shape[1], options.hidden_size, 10, seed=options.seed, backend=backend)
    trainer = Trainer(
        network, x_train, t_train, x_test, t_test,
        epochs=chosen["epochs"], iterations=chosen["iterations"], mini_batch_size=chosen["batch_size"],
        optimizer=options.optimizer, optimizer_param=optimizer_param, seed=options.seed,
    )  # fmt: skip
    print(f"{network!r} on {dataset}: {len(x_train):,} training images, {len(x_test):,} test images")
    interrupted = False
    try:
        trainer.train()
    except KeyboardInterrupt:
        interrupted = True
        print(f"Interrupted after {len(trainer.train_loss_list):,} of {trainer.iterations:,} iterations")

    print(closing_line(trainer))
    written = save(trainer, options.output_dir)
    if options.report:
        write_whole(options.report, json.dumps(report(trainer, dataset, options.seed), indent=1) + "\n")
        written.append(options.report)
    print(f"Written: {', '.join(map(str, written))}")
    if interrupted:
        return 130
    if not all(map(math.isfinite, trainer.history.loss[-1:])):
        print(
            "error: The training diverged. The saved weights are those from before. Use a lower learning rate, "
            "such as `--lr 0.01`.",
            file=sys.stderr,
        )
        return 1
    return 0


def load(name: str, data_dir: Path | None) -> tuple[str, Any]:
    """Return the name of a data set and its training and test sets: uint8 images, one per row, and labels."""
    if name != "digits":
        try:
            return "mnist", load_mnist(normalize=False, data_dir=data_dir)
        except DatasetUnavailableError:
            if name == "mnist":
                raise
            print("MNIST is not here and cannot be downloaded (--dataset mnist says why). Using the bundled digits.")
    return "digits", load_digits(normalize=False)


def closing_line(trainer: Trainer) -> str:
    """Return a line with the speed and the final accuracies, which the trainer does not print."""
    history = trainer.history
    epochs, more = divmod(len(history.loss), trainer.iterations_per_epoch)
    images = epochs * trainer.train_size + more * trainer.mini_batch_size
    line = f"{images / max(history.training_seconds, 1e-9):,.0f} images per second"
    if history.test_acc:
        line += f"; training accuracy {history.train_acc[-1]:.4f}, test accuracy {history.test_acc[-1]:.4f}"
    return line


def save(trainer: Trainer, folder: Path) -> list[Path]:
    """Write the files and return their paths; the plot is left out if matplotlib is missing."""
    picture, weights, table, record = written = [folder / name for name in FILES]
    trainer.network.save(weights)
    trainer.history.to_csv(table)
    trainer.history.to_json(record)
    try:
        trainer.history.plot(picture)
    except Exception as error:  # a problem with matplotlib must not lose the training
        print(f"No {picture.name}: {error}")
        written.remove(picture)
    return written


def report(trainer: Trainer, dataset: str, seed: int) -> dict[str, Any]:
    """Return the figures of the run, for other programs to read."""
    history, backend = trainer.history, trainer.network.backend
    versions = {"python": platform.python_version(), "xpnet": xpnet.__version__, "numpy": version("numpy")}
    versions[backend.name] = getattr(backend.xp, "__version__", "unknown")
    return {
        "backend": backend.name,
        "device": backend.describe_device(),
        "dataset": dataset,
        "iterations": len(history.loss),
        "batch_size": trainer.mini_batch_size,
        "optimizer": repr(trainer.optimizer),
        "seconds": history.training_seconds,
        "evaluation_seconds": history.evaluation_seconds,
        "train_accuracy": history.train_acc[-1] if history.train_acc else None,
        "test_accuracy": history.test_acc[-1] if history.test_acc else None,
        "versions": versions,
        "seed": seed,
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line; None means the value in `DEFAULTS`, or the default of the library."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(option: str, what: str, default: Any = None, shown: str = "%(default)s", **more: Any) -> None:
        parser.add_argument(option, default=default, help=f"{what} (default: {shown})", **more)

    add("--backend", "numpy, cupy, or auto for the GPU if one answers", shown="XPNET_BACKEND, else numpy")
    add("--dataset", "auto: mnist if available, else digits", "auto", choices=("auto", *DEFAULTS))
    add("--data-dir", "a folder with MNIST's four files", shown="XPNET_DATA_DIR, the cache, a download", type=path)
    add("--iterations", "number of training steps; overrides --epochs", shown="10,000 on mnist", type=int)
    add("--epochs", "number of passes through the images", shown="30 on digits", type=int)
    add("--batch-size", "images per minibatch", shown="100 on mnist, 20 on digits", type=int)
    add("--hidden-size", "units of the hidden layer", 50, type=int)
    names = {name.lower(): name for name in OPTIMIZERS}
    what = "optimizer"
    add("--optimizer", what, "SGD", choices=OPTIMIZERS, type=lambda name: names.get(name.lower(), name))
    add("--lr", "learning rate", shown="SGD: 0.1 on mnist, 0.5 on digits; others: their own", type=float)
    add("--seed", "for the initial weights and the order of the images", 0, type=int)
    add("--output-dir", "folder for the files", Path("output"), type=path)
    add("--report", "a JSON file for the figures of the run", shown="none", type=path)
    return parser.parse_args(arguments)


def path(text: str) -> Path:
    """Convert an argument to a path, with ``~`` replaced by the home folder."""
    return check_path("A path", text)


def main(arguments: list[str] | None = None) -> int:
    """Run the program. Known errors are printed, with exit status 2."""
    options = parse(arguments)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("xpnet").setLevel(logging.INFO)  # logs downloads, and the choice of `auto`
    try:
        return run(options)
    except BrokenPipeError:  # the output is not read: run_program exits quietly
        raise
    except (XpnetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the training started
        return 130


if __name__ == "__main__":
    sys.exit(run_program(main))
