"""The programs for a GPU, without one: the budget, what is judged and how, and that all parts can be begun."""

import argparse
import importlib
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import run

from xpnet.testing.counting import COUNTING, count_operations

TOP = Path(__file__).parents[2]
BENCHMARKS = TOP / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("this copy of the tests has no benchmarks beside it", allow_module_level=True)
sys.path.append(str(BENCHMARKS))
benchmark, endurance, gpu, gpu_session, job, on_gpu, record, soak, table, turns, xpnet_runs = (
    importlib.import_module(name)
    for name in (
        *("benchmark", "endurance", "gpu", "gpu_session", "job", "on_gpu", "record", "soak", "table"),
        "taking_turns",
        "xpnet_runs",
    )
)
Entrant, BenchmarkError, Part = turns.Entrant, turns.BenchmarkError, gpu_session.Part

TINY = job.Job(iterations=30).tiny()
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads and limits a process's memory as Linux does")


# --- within a budget ------------------------------------------------------------------------------------------------


def test_who_fails_is_left_out_and_the_budget_is_kept():
    entrants = [Entrant(name, (), group="all") for name in ("first", "fails", "differs")]
    now, limits, saved = [0.0], [], []

    def measured(entrant, limit):
        limits.append(limit)
        now[0] += 20.0
        if entrant.name == "fails":
            raise BenchmarkError("out of memory")
        return run(losses=[9.0, 9.0, 9.0]) if entrant.name == "differs" else run()

    def save(session):
        saved.append(len(session.runs["first"]))

    session = on_gpu.measure(entrants, 4, budget=105.0, limit=60.0, run=measured, clock=lambda: now[0], save=save)
    assert limits == [60.0, 60.0, 60.0, 45.0, 25.0]
    assert len(session.runs["first"]) == 3
    assert session.errors["fails"] == "out of memory"
    assert "differs does not learn what first learns" in session.errors["differs"]
    assert (session.runs["differs"], session.unmeasured) == ([], 1)
    assert saved == [1, 1, 1, 2, 3]


@pytest.fixture
def on_numpy(monkeypatch, tmp_path):
    """Each measurement that asks for CuPy is given NumPy; gives the record that a benchmark writes."""
    asked = benchmark.measurement
    for module in (gpu, soak, on_gpu):
        monkeypatch.setattr(module, "measurement", lambda *what, **how: asked(*what, **how | {"backend": "numpy"}))

    def written(made):
        options = {"rounds": 1, "peers": [], "quick": True, "seed": 0, "results": tmp_path}
        on_gpu.run_on_gpu(made, argparse.Namespace(**options, budget=300, limit=60, dataset="synthetic"))
        (path,) = tmp_path.iterdir()
        assert path.name.startswith(f"{made.name}-")
        of = json.loads(path.read_text())
        entrants = {entrant.name for entrant in made.entrants(benchmark.Options(peers=()), "synthetic")}
        assert (of["errors"], of["unmeasured"], set(of["runs"])) == ({}, 0, entrants)
        return of

    return written


def test_the_speeds_are_measured_on_numpy_too(on_numpy, capsys):
    """All but the GPU itself: each measurement that needs no other library, the file and the page of it."""
    made = on_numpy(gpu.BENCHMARK)
    assert [of["figure"] for of in made["verdicts"] if of["what"].startswith(gpu.EQUAL)] == [0.0, 0.0]
    assert made["runs"]["large: its matrix products, TF32"]["environment"] == {"CUPY_TF32": "1"}
    page = table.page([made | {"errors": {"PyTorch eager": "out of memory"}, "unmeasured": 2}])
    assert "- not measured: PyTorch eager: out of memory\n- 2 measurements: no time was left" in page
    assert made["machine"]["gpu"] in page
    assert "Not yet run" not in page
    assert "captured, of plain; both fused" in capsys.readouterr().out


@on_linux
def test_the_soak_runs_on_numpy_too(on_numpy):
    made = on_numpy(soak.BENCHMARK)
    figures = {of["what"].partition(": ")[0]: of["figure"] for of in made["verdicts"] if of["unit"] == ""}
    assert figures[soak.TURNS] == 0
    (told,) = made["runs"][soak.TOO_LARGE]["told"]
    assert told.startswith("Out of memory for a minibatch with mini_batch_size=")
    assert made["runs"][soak.SOAK]["evaluations"] == [1]
    assert "soak" in table.page([made])


# --- what is said of the runs ---------------------------------------------------------------------------------------


def test_a_step_is_held_against_its_targets():
    runs = {
        gpu.BEST: [run(0.31), run(0.29), run(0.28)],
        "PyTorch captured by hand": [run(0.2), run(0.4), run(0.4)],
        gpu.LARGE: [run(1.09)],
        gpu.PRODUCTS: [run(1.00)],
        gpu.LARGE + ", TF32": [run(1.40)],
        gpu.PRODUCTS + ", TF32": [run(1.00)],
    }
    said = {verdict.what: verdict for verdict in gpu.verdicts(runs)}
    step = said[f"a step of the main job, {gpu.BEST}"]
    assert (step.figure, step.unit, step.met) == (pytest.approx(29.0), "us", True)
    assert said["captured and fused, of the time of PyTorch captured by hand"].figure == pytest.approx(0.725)
    assert gpu.verdicts({gpu.BEST: [run(0.301)]})[0].met is False
    large = [v.met for what, v in said.items() if what.startswith("784-2048")]
    assert large == [False, True]  # 92 % and 70 % of the products' time


def test_amid_a_round_what_both_have_finished_is_compared():
    runs = {gpu.BEST: [run(1.0), run(3.0)], "xpnet plain, fused": [run(2.0)], "JAX scan": []}
    (verdict,) = (verdict for verdict in gpu.verdicts(runs) if verdict.unit == "")
    assert (verdict.figure, verdict.by_round) == (0.5, [0.5])


@pytest.mark.parametrize("differ", [0, 1])
def test_weights_must_be_equal_to_the_bit(differ):
    name = gpu.EQUAL + "fused"
    (verdict,) = gpu.verdicts({name: [{"differ": 0}, {"differ": differ}]})
    assert (verdict.figure, verdict.met) == (differ, not differ)


@pytest.mark.parametrize(
    ("name", "changed"),
    [(soak.SOAK, "grew_bytes"), (soak.TURNS, "differ"), (soak.TOO_LARGE, "unnamed"), (soak.TOO_LARGE, "missed")],
)
def test_what_a_soak_must_not_show(name, changed):
    well = {"grew_bytes": 0, "differ": 0, "unnamed": 0, "missed": 0.08}
    assert all(verdict.met for verdict in soak.verdicts({name: [well]}))
    assert not all(verdict.met for verdict in soak.verdicts({name: [well, well | {changed: 1}]}))
    assert soak.verdicts({name: []}) == []


# --- what is measured -----------------------------------------------------------------------------------------------


def test_the_launches_alone_learn_what_the_training_learns():
    whole, alone = xpnet_runs.xpnet_loop(TINY, capture=True), xpnet_runs.launches(TINY)
    assert whole["losses"] == alone["losses"]
    assert whole["test_accuracy"] == alone["test_accuracy"]
    assert alone["seconds"] > 0


@on_linux
def test_memory_that_comes_into_use_is_seen(monkeypatch):
    used = iter([100, 100, 105, 103])
    monkeypatch.setattr(endurance, "_used_bytes", lambda _: next(used))
    monkeypatch.setattr(endurance, "SETTLED", 71)  # of the digits 71 minibatches of 20 make an epoch
    seen = endurance.soak(job.Job(sizes=(64, 8, 10), batch=20, dataset="digits", iterations=4 * 71), "numpy")
    assert (seen["used_bytes"], seen["grew_bytes"], seen["evaluations"]) == (100, 5, 4)


def test_a_training_that_another_disturbs_is_seen(monkeypatch):
    assert endurance.in_turn(TINY, "numpy")["differ"] == 0
    makes, made = endurance.trainer_of, []

    def with_a_disturbed_one(*args, **options):
        made.append(makes(*args, **options))
        if len(made) == 3:  # the first of those that take turns
            made[2].network.params["b1"][...] = 0.5
        return made[-1]

    monkeypatch.setattr(endurance, "trainer_of", with_a_disturbed_one)
    assert endurance.in_turn(TINY, "numpy")["differ"] > 0


# --- the parts of a session -----------------------------------------------------------------------------------------


def ended(part, tmp_path):
    return gpu_session.run(part, tmp_path), (tmp_path / f"{part.name}.txt").read_text()


def test_what_a_part_prints_is_kept_and_how_it_ended(tmp_path, capsys):
    part = Part("two", [["-c", "print('one')"], ["-c", "import sys; print('two', file=sys.stderr); sys.exit(3)"]], 60)
    said, log = ended(part, tmp_path)
    assert said["ended"] == ["well", "with status 3"]
    assert not said["well"]
    assert log.index("one\n") < log.index("two\n")
    assert "two" in capsys.readouterr().out


def limits_count_from_the_beginning(monkeypatch, log):
    """A busy machine may start a program slowly: its limits of time count from when it has said that it has begun."""

    class Timer(threading.Timer):
        def run(self):
            while "begun" not in log.read_text() and not self.finished.wait(0.01):
                pass
            super().run()

    monkeypatch.setattr(gpu_session.threading, "Timer", Timer)


def test_a_part_past_its_limit_is_interrupted_and_says_what_it_has(tmp_path, monkeypatch):
    limits_count_from_the_beginning(monkeypatch, tmp_path / "slow.txt")
    monkeypatch.setattr(gpu_session, "PATIENCE", 600.0)
    code = "import time\ntry: print('begun'); time.sleep(3600)\nexcept KeyboardInterrupt: print('so far')"
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a program in the background
    try:
        said, log = ended(Part("slow", [["-c", code], ["-c", "print('next')"]], 1), tmp_path)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert said["ended"] == ["interrupted after 1 s", "not begun: no time was left"]
    assert "so far\n" in log
    assert "next\n" not in log


def test_one_that_does_not_heed_the_interrupt_is_killed(tmp_path, monkeypatch):
    limits_count_from_the_beginning(monkeypatch, tmp_path / "deaf.txt")
    monkeypatch.setattr(gpu_session, "PATIENCE", 1.0)
    code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('begun')\ntime.sleep(3600)"
    said, log = ended(Part("deaf", [["-c", code]], 1), tmp_path)
    assert said["ended"] == ["interrupted after 1 s"]
    assert "begun" in log


def test_trainings_are_judged(tmp_path):
    def judged(cupy, numpy):
        for name, accuracies in (("cupy", cupy), ("numpy", numpy)):
            for seed, accuracy in enumerate(accuracies):
                report = {"backend": name, "device": name, "test_accuracy": accuracy}
                (tmp_path / f"training-{name}-{seed}.json").write_text(json.dumps(report))
        return gpu_session.trainings_judged(tmp_path)

    assert judged([0.970, 0.971, 0.972], [0.970, 0.971, 0.973])["means_apart"] == pytest.approx(0.001 / 3)
    with pytest.raises(BenchmarkError, match=r"below 0\.965"):
        judged([0.970, 0.971, 0.964], [0.970, 0.971, 0.973])
    with pytest.raises(BenchmarkError, match=r"0\.0040 apart"):
        judged([0.966, 0.966, 0.966], [0.970, 0.970, 0.970])
    (tmp_path / "training-cupy-1.json").unlink()
    with pytest.raises(BenchmarkError, match="not 3 reports of each"):
        gpu_session.trainings_judged(tmp_path)
    part = Part("training", [["-c", ""]], 60, judge=lambda: gpu_session.trainings_judged(tmp_path))
    said, _ = ended(part, tmp_path)
    assert not said["well"]
    assert "not 3 reports" in said["found"]


def test_what_a_benchmark_has_not_measured_or_met_is_told(tmp_path):
    def found(**changed):
        verdict = {"what": "a step", "figure": 31.0, "at_most": 30.0}
        made = {"errors": {}, "unmeasured": 0, "verdicts": [verdict, verdict | {"what": "memory", "at_most": 40.0}]}
        (tmp_path / "gpu-made-up-2cores.json").write_text(json.dumps(made | changed))
        return gpu_session.judged(tmp_path, "gpu")

    assert found() == {"not met": {"a step": 31.0}}
    with pytest.raises(BenchmarkError, match="it took longer"):
        found(errors={"JAX scan": "it took longer"})
    with pytest.raises(BenchmarkError, match="2 for lack of time"):
        found(unmeasured=2)


def test_each_part_asks_for_what_its_programs_take(tmp_path):
    asked = {}
    for part in gpu_session.parts(tmp_path, 2, ["probe.py"]):
        for command in part.commands if part.name not in ("first", "tests") else ():
            program = command[: 3 if command[0] == "-m" else 1]
            asked.setdefault(tuple(program), set()).update(w.partition("=")[0] for w in command if w.startswith("--"))
    assert len(asked) == 5
    for program, options in asked.items():
        told = subprocess.run([sys.executable, *program, "--help"], cwd=TOP, capture_output=True, text=True, check=True)
        assert options <= set(told.stdout.replace(",", " ").replace("[", " ").split()), program
    assert sum(part.limit for part in gpu_session.parts(tmp_path, 2)) < 2700
    assert all(part.limit < 570 for part in gpu_session.parts(tmp_path, 2))  # each in a call of ten minutes


def test_the_program_runs_the_parts_that_are_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text("print('measured 5 us')")
    command = ["gpu_session.py", "first", "--first", str(tmp_path / "mine.py"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    assert gpu_session.main() == 0
    assert "measured 5 us" in (tmp_path / "out" / "first.txt").read_text()
    assert json.loads((tmp_path / "out" / "session.json").read_text())["first"]["ended"] == ["well"]
    assert "first: well" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["gpu_session.py", "everything"])
    with pytest.raises(SystemExit):
        gpu_session.main()


def test_a_copy_without_gits_records_says_its_commit(monkeypatch):
    monkeypatch.setattr(record, "commit", lambda *_: None)
    options, made = benchmark.Options(), gpu.BENCHMARK.on("synthetic")
    monkeypatch.delenv(record.COMMIT, raising=False)
    assert record.record_of(made, options, [], {})["commit"] is None
    monkeypatch.setenv(record.COMMIT, "abc1234")
    assert record.record_of(made, options, [], {})["commit"] == {"id": "abc1234", "dirty": None}


def test_fused_steps_of_the_launches_alone_are_fused():
    """What is timed beside the training is the same training: the choice reaches the steps."""
    trainer = xpnet_runs._made(TINY, TINY.data()[0], fused=True, backend=COUNTING)
    plain = xpnet_runs._made(TINY, TINY.data()[0], fused=False, backend=COUNTING)
    counted = []
    for made in (trainer, plain):
        step = made.runner.step()
        with count_operations() as counts:
            step.run(made.network.backend.xp.arange(20))
        counted.append(counts.launches.total())
    assert counted[0] < counted[1]
    assert np.isfinite(counted).all()
