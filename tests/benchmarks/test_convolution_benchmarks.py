"""The benchmarks of convolutional networks: all learn the same, and no result that took an hour is lost."""

import importlib
import importlib.util
import inspect
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xpnet import SGD

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("this copy of the tests has no benchmarks beside it", allow_module_level=True)
sys.path.append(str(BENCHMARKS))
accuracy, benchmark, convolution, job, peers, record, table, turns = (
    importlib.import_module(name)
    for name in (
        *("convolution_accuracy", "benchmark", "convolution", "job", "convolution_peers", "record", "table"),
        "taking_turns",
    )
)
QUICK = benchmark.Options(quick=True)
OURS, PLAIN = convolution.OURS.values()


# --- against PyTorch and the book -----------------------------------------------------------------------------------


def test_what_all_begin_with_is_made_once(tmp_path):
    quick = replace(convolution.job_of(QUICK, 50), file=str(tmp_path / "numbers.npz"))
    with quick.numbers() as numbers:
        assert (numbers["x"].shape, numbers["x"].dtype) == ((400, 1, 8, 8), np.float32)
        assert [numbers[name].shape[0] for name in ("t", "x_test", "t_test")] == [400, 360, 360]
        assert [numbers[name].shape for name in peers.PARAMETERS][::2] == [(30, 1, 5, 5), (120, 100), (100, 10)]
        blocks = job.Job(batch=20, iterations=50).blocks(400)  # an epoch's steps in each
        np.testing.assert_array_equal(numbers["order"], np.concatenate(list(blocks)))
    made = Path(quick.file).stat().st_mtime_ns
    quick.numbers().close()
    assert Path(quick.file).stat().st_mtime_ns == made


@pytest.mark.parametrize("with_torch", [False, True])
def test_all_learn_the_same(with_torch):
    if with_torch and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    options = replace(QUICK, peers=("torch",) if with_torch else ())
    entrants = convolution.entrants(options, steps=peers.FIRST + 5)  # more than an epoch
    assert len(entrants) == 3 + with_torch
    runs = turns.take_turns(entrants, 1)
    for (run,) in runs.values():
        assert run["seconds"] > 0
        assert 10e6 < run["peak_bytes"] < 2e9
        assert len(run["losses"]) == peers.FIRST
        assert run["losses"][0] > run["losses"][-1]
        assert (run["steps"], run["batch"]) == (peers.FIRST + 5, 20)
    assert not Path(json.loads(entrants[0].command[2])["job"]["file"]).is_relative_to(BENCHMARKS.parent)


def test_every_entrant_asks_for_what_there_is():
    for entrant in convolution.entrants(benchmark.Options()):
        what = json.loads(entrant.command[2])
        assert peers.ConvolutionJob(**what["job"]).steps == 600
        inspect.signature(peers.PEERS[what["peer"]]).bind(None, **what["options"])
        assert entrant.environment["OPENBLAS_NUM_THREADS"] == "2"


RUNS = {
    OURS: [(0.9, 120e6), (1.0, 100e6), (0.5, 90e6)],
    PLAIN: [(1.1, 80e6), (1.2, 80e6), (1.3, 80e6)],
    convolution.TORCH: [(1.0, 400e6), (0.8, 400e6), (1.6, 400e6)],
    convolution.BOOK: [(9.0, 200e6), (8.0, 200e6), (7.0, 200e6)],
}


def made_up():
    return {
        name: [{"seconds": s, "peak_bytes": b, "steps": 100, "batch": 100, "losses": [1.0]} for s, b in taken]
        for name, taken in RUNS.items()
    }


def test_it_is_held_against_its_targets():
    verdicts = {verdict.what: verdict for verdict in convolution.verdicts(made_up())}
    assert {what: verdict.met for what, verdict in verdicts.items()} == {
        "as it comes, of PyTorch eager's time": True,
        "plain, of PyTorch eager's time": None,
        "as it comes, of the time of the book's im2col": True,
        "plain, of the time of the book's im2col": None,
        "as it comes, of the peak memory of the book's im2col": True,
        "plain, of the peak memory of the book's im2col": None,
        "peak memory of the whole process, as it comes": None,
    }
    of_book = verdicts["as it comes, of the time of the book's im2col"]
    assert [of_book.figure, *of_book.by_round] == pytest.approx([11.25, 10.0, 12.5, 50 / 7])
    assert verdicts["as it comes, of the peak memory of the book's im2col"].figure == 0.5
    slower = made_up()
    for run in slower[OURS]:
        run["seconds"] += 0.2
        run["peak_bytes"] += 60e6
    assert [verdict.met for verdict in convolution.verdicts(slower)][::2][:3] == [False, False, False]
    without = made_up()
    del without[convolution.TORCH]
    assert len(convolution.verdicts(without)) == 5


# --- accuracies -----------------------------------------------------------------------------------------------------


def row(network="simple", seed=0, test_accuracy=0.99, **changed):
    return {
        "network": network, "seed": seed, "test_accuracy": test_accuracy, "recipe": f"a recipe for {network}",
        "epochs": 10, "steps": 6000, "training_seconds": 61.4, "threads": 2,
    } | changed  # fmt: skip


def accuracies(path):
    return {name: of["test_accuracy"] for name, of in json.loads(path.read_text())["runs"].items()}


def test_a_later_run_adds_rows_or_replaces_single_ones(tmp_path):
    for network, seed in (("resnet", 0), ("simple", 10), ("simple", 2)):
        path = accuracy.add_row(row(network, seed), tmp_path)
    accuracy.add_row(row("simple", 10, 0.5), tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    # By network, in the order of the recipes, and by seed.
    assert list(accuracies(path).items()) == [
        ("simple, seed 2", 0.99),
        ("simple, seed 10", 0.5),
        ("resnet, seed 0", 0.99),
    ]
    made = json.loads(path.read_text())
    assert {"date", "commit", "command", "versions"} < set(made["runs"]["simple, seed 2"])
    assert set(made["versions"]) == {"python", "xpnet", "numpy", "numpy's BLAS"}


def test_rows_of_another_machine_are_left_alone(tmp_path):
    path = accuracy.add_row(row(seed=7), tmp_path)
    theirs = json.loads(path.read_text())
    theirs["machine"]["processor"] = "Made-Up(R) CPU"
    path.unlink()
    other = record.write_record(theirs, tmp_path)
    before = other.read_text()
    assert accuracy.add_row(row(seed=1), tmp_path) == path
    assert other.read_text() == before
    assert list(accuracies(path)) == ["simple, seed 1"]


def test_quick_rows_are_kept_apart(tmp_path):
    path = accuracy.add_row(row(), tmp_path)
    with pytest.raises(turns.BenchmarkError, match=r"is of whole runs\. Choose another --results"):
        accuracy.add_row(row(seed=1), tmp_path, quick=True)
    assert len(accuracies(path)) == 1


def program(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["convolution_accuracy.py", *map(str, arguments)])
    return accuracy.main()


def test_each_recipe_runs(monkeypatch, tmp_path, capsys):
    assert program(monkeypatch, "--quick", "--results", tmp_path) == 0
    (path,) = tmp_path.iterdir()
    made, said = json.loads(path.read_text()), capsys.readouterr().out
    assert made["quick"] is True
    assert list(made["runs"]) == [f"{name}, seed 0" for name in accuracy.RECIPES]
    for name, of in made["runs"].items():
        recipe = accuracy.RECIPES[of["network"]]
        assert (of["epochs"], of["steps"]) == (1, accuracy.QUICK_IMAGES // recipe.batch)
        assert 0 <= of["test_accuracy"] <= 1
        assert recipe.network.__name__ in of["recipe"]
        assert ("Augmentation(shift=2, rotate=10" in of["recipe"]) == (of["network"] == "resnet")
        assert f"{name}: {of['test_accuracy']:.4f} in the test" in said


def test_an_interruption_loses_only_the_training_that_it_is_in(monkeypatch, tmp_path):
    def trained(name, seed, data, epochs):
        if seed == 2:
            raise KeyboardInterrupt
        return row(name, seed)

    monkeypatch.setattr(accuracy, "train_one", trained)
    arguments = ("--quick", "--networks", "deep", "--seeds", "1", "2", "3", "--results", tmp_path)
    assert program(monkeypatch, *arguments) == 130
    (path,) = tmp_path.iterdir()
    assert list(accuracies(path)) == ["deep, seed 1"]


def test_a_training_that_breaks_is_no_result(monkeypatch):
    broken = replace(accuracy.RECIPES["simple"], optimizer=lambda steps: SGD(lr=1e30))
    monkeypatch.setitem(accuracy.RECIPES, "simple", broken)
    with (
        pytest.warns(UserWarning, match="Training ends at iteration"),
        pytest.raises(turns.BenchmarkError, match=r"simple, seed 3: training ended at step \d of 6"),
    ):
        accuracy.train_one("simple", 3, accuracy._noise(), epochs=3)


# --- the page -------------------------------------------------------------------------------------------------------


def rows_of(page):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]


def test_both_are_on_the_page(tmp_path):
    for seed, found in ((0, 0.99), (1, 0.992)):
        path = accuracy.add_row(row("simple", seed, found), tmp_path)
    accuracy.add_row(row("deep", 0, 0.995, training_seconds=1234.5), tmp_path)
    made = json.loads(path.read_text()) | {"benchmark": "convolution", "what": "made up"}
    made["runs"] = {
        name: record.summary_of(turns.Entrant(name, ()), taken) for name, taken in made_up().items()
    }  # fmt: skip
    record.write_record(made | {"verdicts": [vars(of) for of in convolution.verdicts(made_up())]}, tmp_path)
    page = table.page(table.load(tmp_path))
    rows = rows_of(page)
    ours = [OURS, "9.00", "5.00 to 10.00", "0.900 (0.312 to 1.250)", "0.113 (0.071 to 0.125)", "100.0"]
    assert [*ours, "0.500 (0.450 to 0.600)"] in rows
    assert [convolution.BOOK, "80.00", "70.00 to 90.00", "8.000 (4.375 to 10.000)", "-", "200.0", "-"] in rows
    of_book = "as it comes, of the time of the book's im2col"
    assert ["convolution", of_book, "11.2 %", "at most 12.5 %", "yes", "7.14 to 12.50"] in rows
    (deep,) = (cells for cells in rows if cells[:2] == ["deep", "0"])
    assert deep[2:6] == ["0.9950", "10", "1,234", "2"]
    assert "- simple: 0.9910 on average of 2 seeds, 0.9900 to 0.9920, with a recipe for simple\n" in page
    assert "- deep: 0.9950 on average of 1 seed, 0.9950 to 0.9950, with a recipe for deep\n" in page
