"""examples/train_mnist.py, as a user runs it: from the command line, without a network, without CuPy, interrupted."""

import csv
import importlib.util
import json
import logging
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import numpy as np
import pytest
from remedies import codes

import xpnet
from xpnet import Trainer, TwoLayerNet, load_digits
from xpnet._core.cupy import installed_cupy_wheels

PROGRAM = Path(__file__).parents[2] / "examples" / "train_mnist.py"
FILES = ["history.csv", "history.json", "learning_curves.png", "weights.safetensors"]
ASKING = "MNIST is not on this machine. Downloading it may take some seconds.\n"
NOWHERE = "http://127.0.0.1:9"  # no proxy listens there


def run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program in `folder`, with no MNIST at hand and no network."""
    alone = {name: value for name, value in os.environ.items() if name not in ("XPNET_DATA_DIR", "XPNET_BACKEND")}
    alone |= dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY"), NOWHERE) | {"NO_PROXY": "", "no_proxy": ""}
    alone |= {name: str(folder / "home") for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    alone |= {"MPLCONFIGDIR": matplotlib.get_cachedir(), "PYTHONPATH": str(Path(xpnet.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, str(PROGRAM), *options],
        cwd=folder,
        env=alone | environment,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The program as a module, to be run in this process with its output in `tmp_path`."""
    spec = importlib.util.spec_from_file_location("train_mnist", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("xpnet")
    level = log.level
    yield module
    log.setLevel(level)


def on_digits(program: ModuleType, *options: str) -> dict[str, Any]:
    """Train on the digits in this process; returns the report."""
    assert program.main(["--dataset", "digits", "--report", "report.json", *options]) == 0
    return json.loads(Path("report.json").read_text())


# --- from the command line ------------------------------------------------------------------------------------------


def test_without_mnist_it_says_so_and_learns_the_digits(tmp_path):
    result = run(tmp_path, "--report", "report.json")
    assert result.returncode == 0
    assert result.stderr == ASKING
    lines = result.stdout.splitlines()
    assert lines[0].startswith("MNIST is not here and cannot be downloaded")
    assert len(lines) < 50
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == FILES
    assert all(str(Path("output", name)) in lines[-1] for name in FILES)

    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report) == [
        *("backend", "device", "dataset", "iterations", "batch_size", "optimizer", "seconds"),
        "evaluation_seconds",
        *("train_accuracy", "test_accuracy", "versions", "seed"),
    ]
    assert (report["backend"], report["dataset"], report["seed"]) == ("numpy", "digits", 0)
    assert report["device"] == xpnet.get_backend("numpy").describe_device()
    assert (report["iterations"], report["batch_size"]) == (2160, 20)
    assert report["versions"] == {
        "python": platform.python_version(),
        "xpnet": xpnet.__version__,
        "numpy": np.__version__,
    }
    assert report["train_accuracy"] > report["test_accuracy"] >= 0.9
    assert report["seconds"] > 0
    assert report["evaluation_seconds"] > 0
    assert f"training accuracy {report['train_accuracy']:.4f}, test accuracy {report['test_accuracy']:.4f}" in lines[-2]


def test_mnist_named_and_not_to_be_had_is_an_error(tmp_path):
    result = run(tmp_path, "--dataset", "mnist")
    assert result.returncode == 2
    assert result.stderr.startswith(f"{ASKING}error: MNIST is not in ")
    assert "XPNET_DATA_DIR" in result.stderr  # how to bring it
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_data_folder_without_mnist_is_an_error_and_no_fallback(tmp_path):
    result = run(tmp_path, "--data-dir", ".")
    assert result.returncode == 2
    assert result.stderr.startswith("error: MNIST is four files")
    assert result.stdout == ""


@pytest.mark.parametrize("how", ["option", "environment"])
def test_an_unknown_backend_is_an_error_in_one_line(tmp_path, how):
    options, environment = (["--backend", "abacus"], {}) if how == "option" else ([], {"XPNET_BACKEND": "abacus"})
    result = run(tmp_path, *options, **environment)
    assert result.returncode == 2
    assert result.stderr.startswith("error: There is no backend 'abacus'")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.skipif(bool(installed_cupy_wheels()), reason="CuPy is installed")
def test_cupy_that_is_not_installed_is_an_error_in_one_line(tmp_path):
    result = run(tmp_path, XPNET_BACKEND="cupy")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "CuPy is not installed" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_another_array_module_runs_the_very_same_program(tmp_path):
    pytest.importorskip("array_api_strict")
    reports = {}
    for backend in ("numpy", "array_api_strict"):
        options = ("--dataset", "digits", "--epochs", "5", "--output-dir", backend, "--report", f"{backend}.json")
        assert run(tmp_path, *options, XPNET_BACKEND=backend).returncode == 0
        reports[backend] = json.loads((tmp_path / f"{backend}.json").read_text())
    ours, theirs = reports["numpy"], reports["array_api_strict"]
    assert theirs["backend"] == "array_api_strict"
    assert list(theirs["versions"]) == ["python", "xpnet", "numpy", "array_api_strict"]
    assert theirs["iterations"] == ours["iterations"]
    assert theirs["test_accuracy"] == pytest.approx(ours["test_accuracy"], abs=0.006)  # two images
    assert theirs["train_accuracy"] == pytest.approx(ours["train_accuracy"], abs=0.006)


def test_no_line_of_it_is_for_one_backend():
    source = PROGRAM.read_text()
    assert "import numpy" not in source
    assert "import cupy" not in source


def test_the_help_shows_every_default(program, capsys):
    with pytest.raises(SystemExit) as stopped:
        program.main(["--help"])
    assert stopped.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    for dataset, defaults in program.DEFAULTS.items():
        for value in filter(None, defaults.values()):
            assert f"{value:,} on {dataset}" in told
    options = vars(program.parse([]))
    for name in ("hidden_size", "seed", "output_dir", "dataset"):
        assert f"(default: {options[name]})" in told


# --- what it writes -------------------------------------------------------------------------------------------------


def test_everything_that_it_writes_can_be_read(program, tmp_path):
    report = on_digits(program, "--epochs", "2", "--hidden-size", "16", "--output-dir", "made/anew")
    folder = tmp_path / "made" / "anew"
    assert sorted(path.name for path in folder.iterdir()) == FILES

    _, (x_test, t_test) = load_digits(normalize=False)
    network = TwoLayerNet(64, 16, 10, backend="numpy").load(folder / "weights.safetensors")
    assert network.accuracy(x_test, t_test) == report["test_accuracy"]

    history = json.loads((folder / "history.json").read_text())
    assert history["evaluated_at"] == [0, 72, 144]
    assert len(history["loss"]) == report["iterations"] == 144
    assert history["test_acc"][-1] == report["test_accuracy"]
    assert history["train_acc"][-1] == report["train_accuracy"]
    assert history["training_seconds"] == report["seconds"]
    assert history["evaluation_seconds"] == report["evaluation_seconds"]

    with (folder / "history.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in table[1:]] == history["loss"]
    assert (folder / "learning_curves.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_iterations_win_over_epochs_and_both_over_the_defaults(program):
    assert on_digits(program, "--epochs", "2")["iterations"] == 144
    assert on_digits(program, "--iterations", "5")["iterations"] == 5
    report = on_digits(program, "--iterations", "5", "--epochs", "2", "--batch-size", "7", "--seed", "3")
    assert (report["iterations"], report["batch_size"], report["seed"]) == (5, 7, 3)


def test_the_same_seed_learns_the_same(program):
    def losses(seed: str) -> list[float]:
        on_digits(program, "--iterations", "10", "--seed", seed)
        return json.loads(Path("output/history.json").read_text())["loss"]

    assert losses("1") == losses("1") != losses("2")


def test_mnist_is_learned(mnist, program):
    options = ["--dataset", "mnist", "--iterations", "600", "--report", "report.json"]
    assert program.main(options) == 0
    report = json.loads(Path("report.json").read_text())
    assert (report["dataset"], report["iterations"], report["batch_size"]) == ("mnist", 600, 100)
    assert report["test_accuracy"] >= 0.87


@pytest.mark.parametrize("form", ["iterations", "epochs"])
def test_the_defaults_on_mnist(form, program, monkeypatch, capsys):
    """On images that are no digits, of which there are few, so that the 10,000 iterations are not awaited."""
    x, t = np.zeros((150, 784), np.uint8), np.zeros(150, np.int64)
    monkeypatch.setattr(program, "load_mnist", lambda **_: ((x, t), (x, t)))
    made = []
    monkeypatch.setattr(Trainer, "train", lambda trainer: made.append(trainer))
    assert program.main([] if form == "iterations" else ["--epochs", "3"]) == 0
    [trainer] = made
    assert trainer.iterations == (10_000 if form == "iterations" else 6)
    assert (trainer.mini_batch_size, trainer.optimizer.lr) == (100, 0.1)
    assert repr(trainer.network).startswith("TwoLayerNet(784-50-10,")
    assert " on mnist: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "optimizer"),
    [
        ([], "SGD(lr=0.5)"),
        (["--optimizer", "Adam"], "Adam(lr=0.001)"),
        (["--optimizer", "Adam", "--lr", "0.5"], "Adam(lr=0.5)"),
    ],
)
def test_another_optimizer_has_its_own_rate(options, optimizer, program, monkeypatch):
    made = []
    monkeypatch.setattr(Trainer, "train", lambda trainer: made.append(trainer))
    assert program.main(["--dataset", "digits", *options]) == 0
    assert repr(made[0].optimizer) == optimizer


# --- when something is in the way -----------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 100])
def test_interrupted_it_keeps_what_there_is(after, program, monkeypatch, tmp_path, capsys):
    step, made = Trainer.train_step, []

    def step_or_stop(trainer: Trainer, x: Any, t: Any) -> Any:
        made.append(t)
        if len(made) == after:
            signal.raise_signal(signal.SIGINT)  # takes effect after this step
        return step(trainer, x, t)

    monkeypatch.setattr(Trainer, "train_step", step_or_stop)
    assert program.main(["--dataset", "digits", "--report", "report.json"]) == 130
    assert f"Interrupted after {after} of 2,160 iterations" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == FILES
    assert len(json.loads(Path("output/history.json").read_text())["loss"]) == after
    assert json.loads(Path("report.json").read_text())["iterations"] == after


def test_interrupted_before_there_is_anything_it_keeps_nothing(program, monkeypatch, tmp_path):
    def interrupt(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "load_digits", interrupt)
    assert program.main(["--dataset", "digits"]) == 130
    assert list((tmp_path / "output").iterdir()) == []


def test_without_matplotlib_it_trains_all_the_same(program, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    on_digits(program, "--iterations", "5")
    told = capsys.readouterr().out
    [line] = [line for line in told.splitlines() if "matplotlib" in line]
    assert "`pip install '.[plot]'`" in line
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == [n for n in FILES if not n.endswith("png")]
    assert "learning_curves.png" not in told.splitlines()[-1]


def test_a_picture_that_fails_does_not_cost_the_training(program, monkeypatch, capsys):
    def broken(*_: Any) -> None:
        raise RuntimeError("The fonts are broken.")

    monkeypatch.setattr(xpnet.training.history.History, "plot", broken)
    on_digits(program, "--iterations", "5")
    assert "No learning_curves.png: The fonts are broken." in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:The output of:RuntimeWarning")  # of the evaluation
def test_a_training_that_diverges_is_no_success(program, tmp_path, capsys):
    with pytest.warns(UserWarning, match="Training ends at iteration"):
        assert program.main(["--dataset", "digits", "--iterations", "9", "--lr", "1e9"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("error: The training diverged. The saved weights are those from before. Use a lower ")
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == FILES
    (lower,) = codes(told.err)
    assert program.main(["--dataset", "digits", "--iterations", "9", *lower.split()]) == 0


@pytest.mark.parametrize("option", ["--output-dir", "--report"])
def test_a_place_that_cannot_be_written_is_found_before_training(option, program, monkeypatch, tmp_path, capsys):
    monkeypatch.delattr(Trainer, "train")
    (tmp_path / "file").touch()
    bad = "file" if option == "--output-dir" else "file/report.json"
    assert program.main(["--dataset", "digits", option, bad]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_report_that_is_a_folder_is_found_before_training(program, monkeypatch, tmp_path, capsys):
    monkeypatch.delattr(Trainer, "train")
    assert program.main(["--dataset", "digits", "--report", str(tmp_path)]) == 2
    assert "it is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--lr", "0"), ("--lr", "nan"), ("--batch-size", "0"), ("--iterations", "0"), ("--seed", "-1")],
)
def test_a_number_out_of_its_range_is_an_error_in_one_line(option, value, program, capsys):
    assert program.main(["--dataset", "digits", option, value]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
