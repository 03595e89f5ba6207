"""The benchmarks: who does not learn the same is refused, the statistics are right, and the page hides nothing."""

import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import run

from xpnet import Trainer
from xpnet.testing.counting import COUNTING, count_operations

TOP = Path(__file__).parents[2]
BENCHMARKS = TOP / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("this copy of the tests has no benchmarks beside it", allow_module_level=True)
sys.path.append(str(BENCHMARKS))
everything, benchmark, gpu, grid, job, main_job, measure, record, soak, table, turns, xpnet_runs = (
    importlib.import_module(name)
    for name in (
        *("all", "benchmark", "gpu", "grid", "job", "main_job", "measure", "record", "soak"),
        *("table", "taking_turns", "xpnet_runs"),
    )
)
Entrant, BenchmarkError = turns.Entrant, turns.BenchmarkError

MACHINE = {"processor": "Made-Up(R) CPU", "cores": 2, "system": "Linux"}
TINY = job.Job(iterations=30).tiny()


def program(code, **options):
    """An entrant that runs some code, in which `show` prints a run."""
    start = "import json, os, sys\ndef show(**run): print('noise'); print(json.dumps(run))\n"
    return Entrant(command=(sys.executable, "-c", start + code), **{"name": "made up"} | options)


# --- the agreement --------------------------------------------------------------------------------------------------


def check(*runs, groups=None, tolerance=1e-4):
    groups = groups or ["all"] * len(runs)
    entrants = [Entrant(f"peer {i}", (), group=group, loss_tolerance=tolerance) for i, group in enumerate(groups)]
    turns.check_agreement(entrants, {entrant.name: run for entrant, run in zip(entrants, runs, strict=True)})


def test_those_who_learn_the_same_pass():
    check(run(), run(losses=[2.3, 2.2001, 2.1], test_accuracy=0.974))
    check(run(), run(losses=[2.31, 2.2, 2.1]), tolerance=1e-2)
    check(run(), run(losses=None, test_accuracy=0.979))  # other first weights, as far in the end
    check(run(), run(losses=None, test_accuracy=0.5, steps=20))  # too early to say
    check(run(), {"seconds": 1.0}, groups=["all", ""])  # learns nothing
    check(run(), run(test_accuracy=0.2), groups=["one", "another"])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"losses": [2.3, 2.2003, 2.1]},
            r"peer 1 does not learn what peer 0 learns: loss 1 is 2\.200300, and not 2\.2",
        ),
        ({"losses": [2.3, float("nan"), 2.1]}, "loss 1 is nan"),
        ({"losses": [2.3, 2.2]}, "2 first losses, and not 3"),
        ({"test_accuracy": 0.9755}, r"0\.9755 and 0\.9700 differ by more than 0\.005"),
        ({"test_accuracy": float("nan")}, "nan and"),
        ({"losses": None, "test_accuracy": 0.9501}, r"more than 0\.01"),
    ],
)
def test_a_peer_that_learns_something_else_is_refused(changed, says):
    with pytest.raises(BenchmarkError, match=says):
        check(run(), run(**changed))


# --- taking turns ---------------------------------------------------------------------------------------------------


def test_they_take_turns_and_each_round_is_checked(tmp_path):
    notes = tmp_path / "notes"
    code = f"""
with open({str(notes)!r}, "a") as file: file.write(NAME)
rounds = open({str(notes)!r}).read().count(NAME)
show(seconds=1.0 + rounds, losses=[2.0 + (NAME == WORSE and rounds == 2)], test_accuracy=0.9, steps=1)
"""

    def entrants(worse):
        return [program(f"NAME, WORSE = {name!r}, {worse!r}\n{code}", name=name, group="all") for name in "ab"]

    done = []
    runs = turns.take_turns(entrants(""), 2, lambda entrant: done.append(entrant.name))
    assert notes.read_text() == "".join(done) == "abab"
    assert [run["seconds"] for run in runs["b"]] == [2.0, 3.0]
    notes.unlink()
    with pytest.raises(BenchmarkError, match="b does not learn what a learns"):
        turns.take_turns(entrants("b"), 3)
    assert notes.read_text() == "abab"


def test_no_variable_of_threads_is_passed_on_but_its_own(monkeypatch):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "XPNET_BACKEND", "JAX_ENABLE_X64"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("OF_THE_USER", "kept")
    seen = turns.in_a_process(program("show(**os.environ)", environment={"OPENBLAS_NUM_THREADS": "1"}))
    assert {name for name, value in seen.items() if value == "7"} == set()
    assert (seen["OPENBLAS_NUM_THREADS"], seen["OF_THE_USER"]) == ("1", "kept")
    assert seen["PYTHONPATH"].split(os.pathsep)[0] == str(TOP)


def test_what_a_measurement_writes_to_its_errors_is_told():
    with pytest.raises(BenchmarkError, match="made up failed:\n.*no such thing"):
        turns.in_a_process(program("sys.exit('no such thing')"))


def alive(pid):
    """Whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(pid):
    """Whether a process that was killed is gone; the system may take its time."""
    return any(not alive(pid) or time.sleep(0.02) for _ in range(5000))


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in Linux's /proc")


@linux
def test_a_measurement_past_its_limit_ends_with_all_that_it_began(tmp_path):
    pid = tmp_path / "pid"
    pid.touch()
    code = f"""
import subprocess, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
open({str(pid)!r}, "w").write(str(child.pid))
time.sleep(3600)
"""
    limit = 0.4
    while not pid.read_text():  # a busy machine may take longer to start the child than the first limits are
        with pytest.raises(BenchmarkError, match=f"took longer than {limit:.3g} s"):
            turns.in_a_process(program(code), limit)
        limit *= 4
    assert ended(int(pid.read_text()))


@linux
def test_a_disturbance_lasts_as_long_as_the_measurement(tmp_path):
    path = str(tmp_path / "pid")
    spin = f"import os; open({path!r}, 'w').write(str(os.getpid()))\nwhile True: pass"
    wait = f"import time\nwhile not (os.path.exists({path!r}) and (pid := open({path!r}).read())): time.sleep(0.01)\n"
    wait += "os.kill(int(pid), 0); show(seconds=1.0)"
    assert turns.in_a_process(program(wait, beside=(sys.executable, "-c", spin)))["seconds"] == 1.0
    assert ended(int((tmp_path / "pid").read_text()))
    # One that ends at once: the measurement waits until the system calls it gone, or a zombie.
    spin = f"import os; open({path!r}, 'w').write(str(os.getpid()))"
    Path(path).unlink()
    wait = f"""
import time
while not (os.path.exists({path!r}) and (pid := open({path!r}).read())): time.sleep(0.01)
stat = f"/proc/{{pid}}/stat"
while os.path.exists(stat) and open(stat).read().rpartition(")")[2].split()[0] != "Z": time.sleep(0.01)
show()
"""
    with pytest.raises(BenchmarkError, match="the disturbance of made up ended early"):
        turns.in_a_process(program(wait, beside=(sys.executable, "-c", spin)))


def test_a_missing_peer_is_an_error_that_says_how_to_install_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    says = (
        r"PyTorch is not installed\. .*pip install torch==\S+ --index-url \S+`, or leave it out with `--peers json`\."
    )
    with pytest.raises(BenchmarkError, match=says):
        turns.check_installed(["json", "torch"])
    turns.check_installed(["json"])


# --- statistics -----------------------------------------------------------------------------------------------------

OURS, THEIRS = [1.0, 5.0, 2.0], [4.0, 2.0, 5.0]


def test_ratios_are_of_medians_and_by_round():
    assert turns.ratio(OURS, THEIRS) == (0.5, [0.25, 2.5, 0.4])
    assert turns.figures(OURS) == {"seconds": OURS, "min_seconds": 1.0, "median_seconds": 2.0, "max_seconds": 5.0}
    runs = {"we": [run(s) for s in OURS], "they": [run(s) for s in THEIRS]}
    (verdict,) = benchmark.compared("ours", runs, "we", "they", 0.5, rival="they")
    assert (verdict.figure, verdict.by_round, verdict.met) == (0.5, [0.25, 2.5, 0.4], True)
    (verdict,) = benchmark.compared("ours", runs, "we", "they", 0.49)
    assert verdict.met is False
    (verdict,) = benchmark.compared("ours", runs, "we", "they")
    assert verdict.met is None
    assert benchmark.compared("ours", runs, "we", "nobody") == []


def test_a_rival_has_as_many_threads_as_it_is_faster_with():
    runs = {"we": [run(2.0)] * 3, "they": [run(s) for s in (9.0, 1.0, 8.0)], "they, 1 thread": [run(4.0)] * 3}
    assert benchmark.faster(runs, "they") == "they, 1 thread"
    (verdict,) = benchmark.compared("ours", runs, "we", "they", rival="they")
    assert (verdict.figure, verdict.by_round) == (0.5, [0.5] * 3)
    runs["they, 1 thread"] = [run(9.0)] * 3
    assert benchmark.faster(runs, "they") == "they"
    (verdict,) = benchmark.compared("of itself", runs, "we", "they")  # no rival: who is named is meant
    assert verdict.figure == 0.25
    cell = grid.cell_name(500, 100)
    runs = {f"{cell}: xpnet": [run(1.0)], f"{cell}: JAX scan": [run(9.0)], f"{cell}: JAX scan, 1 thread": [run(2.0)]}
    (verdict,) = grid.verdicts(runs)
    assert (verdict.figure, verdict.rival) == (0.5, "JAX scan, 1 thread")


def test_a_disturbed_time_is_marked():
    made = {"benchmark": "main_job", "runs": {}}
    for name, seconds in (("quiet", (1.0, 1.1, 3.0)), ("disturbed", (1.0, 1.3, 1.3))):
        made["runs"][name] = record.summary_of(Entrant(name, ()), [run(s) for s in seconds])
    quiet, disturbed = table._times(made).splitlines()[2:]
    assert "| 1 to 3 " in quiet
    assert "| 1 to 1.3 ! " in disturbed
    assert "!" not in quiet


def test_steps_and_samples_a_second_are_by_the_median():
    summary = record.summary_of(Entrant("we", (), {"A": "1"}), [run(s) for s in OURS])
    assert (summary["us_per_step"], summary["samples_per_second"]) == (200.0, 500_000.0)
    assert (summary["test_accuracy"], summary["environment"]) == ([0.97] * 3, {"A": "1"})


def test_the_main_job_is_held_against_its_targets():
    times = {"xpnet plain": 2.0, "xpnet recorded": 1.6, "PyTorch eager": 4.0, "JAX scan": 1.9, "scikit-learn fit": 4.0}
    runs = {name: [run(seconds)] for name, seconds in times.items()}
    runs |= {"xpnet recorded, 1 thread": [run(3.0)], main_job.PRODUCTS: [run(1.9)]}
    met = {verdict.what: verdict.met for verdict in main_job.verdicts(runs)}
    assert met == {
        "plain, of PyTorch eager's time": True,
        "plain, of JAX scan's time": False,
        "plain, of scikit-learn fit's time": True,
        "recorded, of PyTorch eager's time": True,
        "recorded, of JAX scan's time": True,
        "recorded, of scikit-learn fit's time": True,
        "recorded, of plain": None,
        "recorded on 1 thread, of its five matrix products alone": False,
    }


# --- the page -------------------------------------------------------------------------------------------------------


def records(tmp_path, quick=False):
    """Files of made-up results: a grid in which JAX is ahead in two cells, by too much in one."""
    ours = dict.fromkeys(grid.CELLS, 1.0)
    jax = dict.fromkeys(grid.CELLS, 1.25) | {(500, 100): 1 / 1.2, (2000, 1000): 1 / 1.3}
    runs = {}
    for (hidden, batch), seconds in ours.items():
        cell = grid.cell_name(hidden, batch)
        runs |= {f"{cell}: xpnet": [run(seconds)], f"{cell}: PyTorch eager": [run(2.0)]}
        runs[f"{cell}: JAX scan"] = [run(jax[hidden, batch])]
    memory = [benchmark.Verdict("peak memory", 151.2, [151.0, 151.2, 152.0], 150.0, "MB")]
    for name, taken, verdicts in (("grid", runs, grid.verdicts(runs)), ("memory", {}, memory)):
        made = {
            "benchmark": name, "what": "made up", "quick": quick, "date": "2026-11-21", "command": "python it.py",
            "commit": {"id": "abc1234", "dirty": True}, "machine": MACHINE, "versions": {"numpy": "2.4.6"},
            "runs": {who: record.summary_of(Entrant(who, ()), of) for who, of in taken.items()},
            "verdicts": [vars(verdict) for verdict in verdicts],
        }  # fmt: skip
        record.write_record(made, tmp_path)
    return tmp_path


def part(page, heading):
    return re.search(rf"^### {heading}\n\n(.*?)\n\n", page, re.DOTALL | re.MULTILINE).group(1).splitlines()


def test_the_page_names_losing_cells_and_unmet_targets(tmp_path):
    folder = records(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{name}-made-up-cpu-2cores.json" for name in ("grid", "memory")
    ]
    page = table.page(table.load(folder))
    assert part(page, "Where a target is not met") == [
        "- memory: peak memory: 151.2 MB instead of 150.0 MB",
        "- grid: hidden 2000, batch 1000, of the fastest rival's time (JAX scan): 1.30 instead of 1.15",
    ]
    assert part(page, "Where xpnet is slower") == [
        f"- grid: hidden {cell}, of the fastest rival's time (JAX scan): {ahead} % more samples per second"
        for cell, ahead in (
            ("500, batch 100", "1.20; JAX scan does 20"),
            ("2000, batch 1000", "1.30; JAX scan does 30"),
        )
    ]
    faster = part(page, "Where xpnet is faster")
    assert len(faster) == 4
    assert all("0.80; xpnet does 25 % more samples per second" in line for line in faster)
    rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if "|" in line]
    assert ["", "memory", "peak memory", "151.2 MB", "at most 150.0 MB", "**no**", "151.00 to 152.00", ""] in rows
    assert ["", "hidden 2000, batch 1000", "1,000,000", "500,000", "**1,300,000**", ""] in rows
    assert ["", "hidden 2000, batch 100", "**1,000,000**", "500,000", "800,000", ""] in rows
    assert ["", "grid", "2026-11-21", "abc1234 (changed since)", "`python it.py`", "numpy 2.4.6", ""] in rows
    assert "Made-Up(R) CPU, 2 cores, Linux" in page
    assert "Not yet run on a GPU" in page


def test_the_page_is_not_made_of_nothing_nor_of_quick_runs(tmp_path):
    with pytest.raises(BenchmarkError, match=r"no results .*python benchmarks/all\.py"):
        table.load(tmp_path)
    with pytest.raises(BenchmarkError, match="grid .*quick run"):
        table.load(records(tmp_path, quick=True))


def test_the_page_in_the_documents_is_that_of_the_results():
    names = {path.name.partition("-")[0] for path in (BENCHMARKS / "results").glob("*.json")}
    assert table.PAGE.exists() == bool(names & set(table.ORDER)), "run  python benchmarks/table.py"
    if table.PAGE.exists():
        expected = table.page(table.load(BENCHMARKS / "results"))
        assert table.PAGE.read_text(encoding="utf-8") == expected, "run  python benchmarks/table.py"


# --- what is learned ------------------------------------------------------------------------------------------------


def test_the_order_of_a_job_is_that_of_the_trainer():
    long = job.Job(sizes=(64, 5, 10), batch=300, iterations=9, dataset="digits", weight_std=0.1)
    (x, t), _ = long.data()
    assert len(x) % 300 == 0
    assert len(x) // 300 < 9  # more than an epoch
    network, losses = long.network(), []
    for block in long.blocks(len(x)):
        for indices in block:
            losses.append(float(network.loss(x[indices], t[indices])))
            for name, grad in network.gradient(x[indices], t[indices]).items():
                network.params[name] -= long.lr * grad
    taken = xpnet_runs.xpnet_loop(long, capture=False)
    np.testing.assert_allclose(taken["losses"], losses, rtol=100 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("dataset", ["synthetic", "xor"])
def test_what_is_synthetic_can_be_learned(dataset):
    small = {"synthetic": {"batch": 100, "iterations": 300}, "xor": {"sizes": (2, 16, 2), "weight_std": 1.0}}[dataset]
    taken = xpnet_runs.xpnet_loop(job.Job(dataset=dataset, **{"batch": 32, "iterations": 2000} | small))
    assert taken["test_accuracy"] > {"synthetic": 0.5, "xor": 0.95}[dataset]


def test_a_network_of_any_depth():
    deep = job.Job(sizes=(64, 8, 7, 10), batch=20, iterations=3, dataset="digits")
    assert [W.shape for W, _ in deep.first_weights()] == [(64, 8), (8, 7), (7, 10)]
    assert len(xpnet_runs.xpnet_loop(deep)["losses"]) == 3
    assert xpnet_runs.products(deep)["seconds"] > 0


def test_weights_that_differ_are_counted(monkeypatch):
    assert xpnet_runs.equal_weights(TINY, "numpy")["differ"] == 0
    assert xpnet_runs.equal_weights(TINY, "numpy", fused=True)["differ"] == 0
    trained = xpnet_runs._trained

    def off_by_a_bit(*args, **kwargs):
        trainer = trained(*args, **kwargs)
        if kwargs["capture"]:
            trainer.network.params["b2"][3] = np.nextafter(trainer.network.params["b2"][3], np.float32(1))
        return trainer

    monkeypatch.setattr(xpnet_runs, "_trained", off_by_a_bit)
    assert xpnet_runs.equal_weights(TINY, "numpy")["differ"] == 1


def test_steps_are_fused_or_not_as_is_asked(monkeypatch):
    (x, t), _ = TINY.data()

    def launches(fused):
        trainer = Trainer(TINY.network(COUNTING), x, t, None, None, capture=False, iterations=5, verbose=False)
        xpnet_runs._fuse(trainer, fused)
        with count_operations() as counts:
            trainer.train()
        return counts.launches.total()

    assert launches(True) < launches(False) - 50
    asked = []
    monkeypatch.setattr(xpnet_runs, "_fuse", lambda trainer, fused: asked.append(fused))
    for fused in (True, False, None):
        xpnet_runs.xpnet_loop(TINY, fused=fused)
    assert asked == [True, True, False, False]  # the warm-up and the training; None is as the trainer likes it


@pytest.mark.parametrize("peer", ["torch", "jax", "sklearn"])
def test_a_peer_learns_what_xpnet_learns(peer):
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{turns.PEERS[peer][0]} is not installed")
    entrants = benchmark.rivals(TINY, [peer], "all")
    assert [rival.name.removeprefix(benchmark.RIVALS[peer]) for rival in entrants] == ["", ", 1 thread"]
    ours, theirs = measure.measured("xpnet", TINY), {rival.name: turns.in_a_process(rival) for rival in entrants}
    turns.check_agreement([Entrant("xpnet", (), group="all"), *entrants], {"xpnet": ours, **theirs})
    assert all(taken["seconds"] > 0 for taken in theirs.values())
    assert (len(ours["losses"]), ours["steps"], ours["batch"]) == (job.FIRST, TINY.iterations, TINY.batch)


# --- the programs ---------------------------------------------------------------------------------------------------


def test_all_of_them_run(tmp_path):
    command = (sys.executable, BENCHMARKS / "all.py", "--quick", "--rounds", "1", "--results", tmp_path, "--peers")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = {path.name.partition("-")[0]: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    others = {"gpu", "soak", "convolution_accuracy"}  # programs that are run by themselves
    assert set(written) == {program.BENCHMARK.name for program in everything.PROGRAMS} == set(table.ORDER) - others
    for name, of in written.items():
        assert of["quick"] is True
        assert of["command"].startswith("python benchmarks/all.py --quick")
        assert set(of["machine"]) == set(MACHINE)
        assert {"python"} < set(of["versions"]) or name == "import_time"
        assert of["commit"] is None or re.fullmatch(r"[0-9a-f]{7,}", of["commit"]["id"])
        assert all(run["seconds"] for run in of["runs"].values())
        assert of["verdicts"] or name == "grid"
        assert name in done.stdout
    assert 20e6 < written["memory"]["runs"]["xpnet"]["peak_bytes"][0] < 1e9
    assert written["main_job"]["runs"]["xpnet plain, 1 thread"]["environment"] == {"OPENBLAS_NUM_THREADS": "1"}


def test_an_error_is_a_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["table.py", "--results", str(tmp_path)])
    assert table.main() == 1
    assert capsys.readouterr().err.startswith("error: There are no results in")


def test_every_entrant_asks_for_what_there_is():
    options = benchmark.Options()
    taking_part = [entrant for program in everything.PROGRAMS for entrant in program.BENCHMARK.entrants(options)]
    taking_part += [entrant for program in (gpu, soak) for entrant in program.entrants(options, "synthetic")]
    for entrant in taking_part:
        if "measure.py" in entrant.command[1]:
            what = json.loads(entrant.command[2])
            doing = job.Job(**what["job"] | {"sizes": tuple(what["job"]["sizes"])})
            inspect.signature(measure.MEASURES[what["measure"]]).bind(doing, **what["options"])
