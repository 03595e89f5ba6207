"""The comparison of devices: what it counts, how it takes turns, what it does when time is up or results differ."""

import itertools
import os
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from xpnet import Backend, XpnetError
from xpnet._core.arrays import register_array_type
from xpnet._core.cupy import CupyNamespace
from xpnet.bench import Options, candidate, measure, run
from xpnet.bench.candidate import Candidate, CandidateRunner
from xpnet.bench.device import measure_peak, peak_memory
from xpnet.bench.process import FailedError, Process, environment
from xpnet.bench.report import Peak
from xpnet.bench.work import Case, WaitingClock, Workload, XpnetWorker, operations
from xpnet.errors import ArgumentError

TINY = {"backends": ("numpy",), "networks": ("TwoLayerNet",), "widths": (4,), "batches": (3,), "repeats": 2}


class Here:
    """A candidate in this process, whose parts a test can replace."""

    def __init__(self, candidate, threads):
        self.runner = CandidateRunner(candidate)

    def call(self, method, *arguments):
        try:
            return getattr(self.runner, method)(*arguments)
        except MemoryError as error:  # as `xpnet.bench.process.serve` does with what it does not know
            raise FailedError(" ".join(str(error).split())) from error

    def close(self):
        pass


@pytest.fixture
def quick(monkeypatch):
    """One step a repeat, peaks that need no measurement, and all in this process."""
    monkeypatch.setattr(candidate, "_MIN_REPEAT_SECONDS", 0.0)
    monkeypatch.setattr(candidate, "measure_peak", lambda *_: Peak(1e9, 1e9))
    monkeypatch.setattr(measure.run, "__kwdefaults__", {**measure.run.__kwdefaults__, "start": Here})


def run_against(make):
    """Compare NumPy with a rival whose workers `make` makes of a workload."""
    rival = Candidate("rival", "CPU", "a rival", "rival", "1.0", make, is_backend=False)
    return run(Options(**TINY), rivals=lambda device_kind: [rival])


# --- what is counted ------------------------------------------------------------------------------------------------


def test_the_operations_of_a_step_are_those_of_its_formula_by_hand():
    case = Case("TwoLayerNet", width=50, batch=100)
    forward = 2 * 100 * 784 * 50 + 2 * 100 * 50 * 10
    assert case.inference_cost().flops == forward
    weights, inputs_of_the_second = forward, 2 * 100 * 50 * 10
    assert case.training_cost().flops == forward + weights + inputs_of_the_second


@pytest.mark.parametrize("network", ["TwoLayerNet", "ThreeLayerNet"])
def test_the_formula_counts_the_matrix_products_that_are_made(monkeypatch, network):
    case = Case(network, width=6, batch=5)
    worker, matmul, made = XpnetWorker(Workload.of(case, 0), "numpy"), np.matmul, []

    def counted(a, b, **options):
        made.append(2 * a.shape[0] * a.shape[1] * b.shape[1])
        return matmul(a, b, **options)

    monkeypatch.setattr(np, "matmul", counted)
    worker.predict(1)
    assert sum(made) == case.inference_cost().flops
    made.clear()
    worker.trainer.step()(worker.trainer.t_train[:5] % 2)
    assert sum(made) == case.training_cost().flops


def test_the_bytes_of_a_step_by_hand():
    case = Case("TwoLayerNet", width=1, batch=1)
    first, second, relu = 784 + 784 + 1 + 1, 1 + 10 + 10 + 10, 2
    assert case.inference_cost().bytes == 784 + 4 * (784 + first + second + relu)
    gradients = first + second + (10 + 10 + 1 + 3)
    update = 3 * (784 + 1 + 10 + 10)
    assert case.training_cost().bytes == case.inference_cost().bytes + 4 * (gradients + update)


def test_calls_are_counted_for_each_network_and_only_inference_where_nothing_is_learned():
    assert operations("TwoLayerNet")["training"] == 34  # as test_launch_budget.py pins it
    assert operations("ThreeLayerNet")["training"] > 34
    assert list(operations("SimpleNetwork")) == ["inference"]


def test_peaks_are_the_best_of_three_after_one_that_is_not_counted():
    lasts = iter([1.0, 4.0, 2.0, 3.0, 1.0, 8.0, 8.0, 4.0])  # a product four times, a copy four times
    times = itertools.chain.from_iterable((0.0, last) for last in lasts)
    checks = []
    numpy = Backend("numpy", np)
    peak = measure_peak(numpy, lambda: next(times), lambda: checks.append(1), sizes=(16, 32), copied=1000)
    assert peak == Peak(2 * 16**3 / 2.0, 2 * 4 * 1000 / 4.0)  # no larger product after one that takes long
    assert len(checks) == 8


# --- taking turns ---------------------------------------------------------------------------------------------------


def test_every_place_of_the_grid_is_measured_on_every_backend(quick):
    options = Options(("numpy", "array_api_strict"), ("TwoLayerNet", "SimpleNetwork"), (3, 4), (2, 5), repeats=3)
    lines = []
    report = run(options, announce=lines.append)
    assert lines[:2] == list(report.devices.values())
    assert [line.partition(" ")[0] for line in lines[:2]] == ["numpy", "array_api_strict"]
    assert lines[2] == "TwoLayerNet, width 3, batch 2: done, 1 of 8"  # where no bar is shown
    assert len(lines) == 2 + 8
    assert len(report.rows) == len({(row.backend, row.case) for row in report.rows}) == 2 * 2 * 2 * 2
    assert report.not_run == []
    assert not report.interrupted
    for row in report.rows:
        assert row.error == ""
        assert row.device_kind == "CPU"
        modes = ["inference"] if row.case.network == "SimpleNetwork" else ["training", "inference"]
        assert list(row.timings) == modes
        assert all(len(timing.seconds) == 3 for timing in row.timings.values())
        assert row.peak_memory is None or row.peak_memory >= 0


def test_repeats_of_all_take_turns_after_an_untimed_pass_of_each(quick, monkeypatch):
    done = []

    class Watched(XpnetWorker):
        def __init__(self, work, backend="numpy", dtype="float32"):
            super().__init__(work, backend, dtype)
            self.who = "reference" if dtype == "float64" else type(self).__name__

        def train(self, steps):
            done.append((self.who, steps))
            return super().train(steps)

    class Rival(Watched):
        pass

    monkeypatch.setattr(measure, "XpnetWorker", Watched)
    run_against(Rival)
    # a step to compare, two to see how long it takes; then the repeats, in turns
    assert [who for who, _ in done] == ["Watched"] * 3 + ["Rival"] * 3 + ["Watched", "Rival"] * 2


@pytest.mark.bits
def test_as_many_steps_are_made_as_are_asked_for():
    work = Workload.of(Case("TwoLayerNet", width=4, batch=3), 0)
    worker, by_hand = XpnetWorker(work, "numpy"), XpnetWorker(work, "numpy")
    worker.train(70)  # more than twice as many as there are minibatches
    step = by_hand.trainer.step()
    for i in range(70):
        step(work.order[i % len(work.order)])
    assert {name: w.tobytes() for name, w in worker.weights().items()} == {
        name: w.tobytes() for name, w in by_hand.weights().items()
    }


def test_steps_are_doubled_until_a_repeat_takes_long_enough():
    class Steady(XpnetWorker):
        def seconds(self, work, times, read):
            return 0.004 * times

    of = CandidateRunner(Candidate("numpy", "CPU", "", "numpy", "", partial(Steady, backend="numpy")))
    timings, _ = of.prepare(Case("TwoLayerNet", 3, 2), 0)
    assert {mode: timing.steps for mode, timing in timings.items()} == {"training": 8, "inference": 8}  # 32 ms


class Ticking:
    """A clock that goes on by a second whenever it is read."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.mark.parametrize("budget", [1, 3, 5, 8, 11, 14])
def test_a_budget_ends_it_within_a_repeat_and_what_was_not_run_is_said(quick, budget):
    options = Options(("numpy",), ("TwoLayerNet",), (3, 4), (2,), repeats=3, budget=budget)
    report = run(options, clock=Ticking())
    assert report.seconds <= budget + 2  # the reading that finds it spent, and the last
    widths = {row.case.width for row in report.rows}
    missing = {width for width in (3, 4) if f"TwoLayerNet, width {width}, batch 2: numpy" in report.not_run}
    assert widths | missing == {3, 4}
    assert not widths & missing
    assert report.not_run
    for row in report.rows:
        for mode, timing in row.timings.items():
            left_out = f"width {row.case.width}, batch 2: numpy, {mode}, {len(timing.seconds)} of 3 repeats"
            assert any(left_out in line for line in report.not_run) == (len(timing.seconds) < 3)


def test_a_budget_that_suffices_leaves_nothing_out(quick):
    report = run(Options(**TINY, budget=1000.0), clock=Ticking())
    assert report.not_run == []
    assert [len(timing.seconds) for timing in report.rows[0].timings.values()] == [2, 2]


def test_an_interrupt_keeps_what_was_measured(quick, monkeypatch):
    class Interrupted(XpnetWorker):
        def seconds(self, work, times, clock):
            if self.trainer.mini_batch_size == 7:
                raise KeyboardInterrupt
            return super().seconds(work, times, clock)

    monkeypatch.setattr(measure, "XpnetWorker", Interrupted)
    report = run(Options(("numpy",), ("TwoLayerNet",), (4,), (3, 7), repeats=1))
    assert report.interrupted
    assert [row.case.batch for row in report.rows] == [3]
    assert report.not_run == ["TwoLayerNet, width 4, batch 7: numpy"]


# --- results are compared before anything is timed --------------------------------------------------------------------


def scaled(method, name=None, factor=1.01):
    """A worker whose method gives one array (of that name) a hundredth too large."""

    class Wrong(XpnetWorker):
        pass

    def wrong(self):
        right = getattr(XpnetWorker, method)(self)
        return {**right, name: right[name] * np.float32(factor)} if name else right * np.float32(factor)

    setattr(Wrong, method, wrong)
    return lambda work: Wrong(work, "numpy")


WRONG = {
    "the probabilities is off": scaled("probabilities"),
    "the gradient of W1 is off": scaled("gradients", "W1"),
    "the gradient of b2 is off": scaled("gradients", "b2"),
    "the gradient of W2 is off by nan": scaled("gradients", "W2", np.nan),
    "the change of W2 by a step is off": scaled("weights", "W2"),
}


@pytest.mark.parametrize("message", WRONG)
def test_who_comes_to_other_results_is_an_error_and_not_a_time(quick, message):
    report = run_against(WRONG[message])
    right, wrong = report.rows
    assert right.error == ""
    assert right.timings["training"].seconds
    assert message in wrong.error
    assert "not timed" in wrong.error
    assert wrong.timings == {}
    assert report.not_run == []


def test_a_rival_of_another_learning_rate_is_caught(quick):
    def make(work):
        worker = XpnetWorker(work, "numpy")
        worker.trainer.optimizer.lr *= 2
        return worker

    assert "the change of W1 by a step is off" in run_against(make).rows[1].error


def test_who_cannot_run_does_not_stop_the_others(quick):
    def make(work):
        raise MemoryError("no\nroom")

    right, wrong = run_against(make).rows
    assert wrong.error == "cannot run: no room"
    assert len(right.timings["training"].seconds) == 2


# --- processes of their own -------------------------------------------------------------------------------------------

NUMPY = Candidate("numpy", "CPU", "numpy", "numpy", np.__version__, partial(XpnetWorker, backend="numpy"))


@pytest.fixture
def process():
    """NumPy in a process of its own."""
    made = Process(NUMPY, 1)
    yield made
    made.close()


def test_each_has_a_process_of_its_own_in_which_all_is_measured():
    report = run(Options(**TINY))
    (row,) = report.rows
    assert row.error == ""
    for timing in row.timings.values():
        assert len(timing.seconds) == len(timing.busy_seconds) == 2
        assert timing.processor_share > 0
    assert report.peaks["CPU"].flops_per_second > 0


@pytest.mark.parametrize("threads", [1, 2])
def test_all_are_given_the_same_number_of_threads(monkeypatch, threads):
    """Also where this process was begun with other ones."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "3")
    monkeypatch.setenv("XLA_FLAGS", "--of_the_user")
    given = environment(threads)
    assert {given[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")} == {
        str(threads)
    }
    assert given["XLA_FLAGS"].split()[0] == "--of_the_user"
    assert ("--xla_cpu_multi_thread_eigen=false" in given["XLA_FLAGS"]) == (threads == 1)
    code = (
        "import numpy, threadpoolctl, importlib.util as of\n"
        "print({info['num_threads'] for info in threadpoolctl.threadpool_info()})\n"
        "if of.find_spec('torch'):\n  import torch\n  assert torch.get_num_threads() == int(" + repr(str(threads)) + ")"
    )
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in (f"{{{threads}}}", "set()", "{1}")  # one on a machine with one core, none known


def test_an_error_of_ours_comes_as_it_is_and_another_librarys_as_a_line(process):
    with pytest.raises(ArgumentError, match="must be a whole number of at least 1, got 0"):
        process.call("prepare", Case("TwoLayerNet", 0, 2), 0)
    with pytest.raises(FailedError, match="^'no such network'$"):
        process.call("prepare", Case("no such network", 3, 2), 0)
    timings, _ = process.call("prepare", Case("TwoLayerNet", 3, 2), 0)  # and it goes on
    assert list(timings) == ["training", "inference"]


@pytest.mark.skipif(sys.platform == "win32", reason="ends a process by a signal")
def test_a_process_that_ends_is_told_and_begun_anew(process):
    assert process.call("peak").flops_per_second > 0
    first = process._process
    first.kill()
    first.wait()
    with pytest.raises(FailedError, match=r"its process ended \(signal 9\)"):
        process.call("peak")
    assert process.call("peak").flops_per_second > 0
    second = process._process
    process.close()
    assert second.poll() is not None
    process.close()  # nothing to end


def test_what_a_library_prints_is_no_answer(monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import os; os.write(2, b''); print(end='')\nimport atexit\n")
    (tmp_path / "chatty_array_module.py").write_text(
        "import os\nos.write(1, b'hello')\nprint('hello')\n"
        "from array_api_strict import *\nfrom array_api_strict import __array_api_version__, __array_namespace_info__"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    make = partial(XpnetWorker, backend="chatty_array_module")
    chatty = Process(Candidate("chatty", "CPU", "", "chatty_array_module", "", make), 1)
    try:
        timings, _ = chatty.call("prepare", Case("SimpleNetwork", 3, 2), 0)
        assert list(timings) == ["inference"]
    finally:
        chatty.close()


# --- what is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backends": ("nosuch",)}, "no backend 'nosuch'"),
        ({"backends": ("math",)}, "no backend 'math': the module of that name does not follow the Python array API"),
        ({"networks": ("Perceptron",)}, "no network 'Perceptron' to time; there are TwoLayerNet"),
        ({"widths": (5, 0)}, "width must be a whole number of at least 1, got 0"),
        ({"batches": ()}, "--batches is empty"),
        ({"repeats": 0}, "repeats must be"),
        ({"budget": -1.0}, "budget must be"),
        ({"seed": -1}, "seed must be"),
        ({"threads": 0}, "threads must be a whole number of at least 1, got 0"),
    ],
)
def test_what_cannot_be_had_is_said(options, message):
    with pytest.raises(XpnetError, match=message):
        run(Options(**{**TINY, **options}))


def test_importing_xpnet_and_info_load_nothing_of_this():
    program = (
        "import sys, xpnet, xpnet.__main__; xpnet.TwoLayerNet, xpnet.Trainer; xpnet.__main__.main([]);"
        "assert not [m for m in sys.modules if m.startswith(('xpnet.bench', 'matplotlib', 'torch', 'jax'))]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=600)


# --- a stand-in for CuPy --------------------------------------------------------------------------------------------


def test_on_cupy_its_events_are_the_clock_and_its_pool_is_the_memory():
    calls = []

    class Event:
        def record(self):
            calls.append("record")

        def synchronize(self):
            calls.append("synchronize event")

    stream = SimpleNamespace(synchronize=lambda: calls.append("synchronize stream"))
    cuda = SimpleNamespace(Event=Event, get_elapsed_time=lambda *_: 250.0, get_current_stream=lambda: stream)
    pool = SimpleNamespace(total_bytes=lambda: 4096)
    xp = CupyNamespace(SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: pool, __version__="14"))
    array = type("ImaginaryArray", (), {})()
    register_array_type(type(array), xp)
    assert WaitingClock(array, lambda: pytest.fail("read")).seconds(lambda: calls.append("work")) == 0.25
    assert calls == ["synchronize stream", "record", "work", "record", "synchronize event"]
    assert peak_memory(Backend("cupy", xp), "GPU") == 4096
    assert peak_memory(None, "GPU") is None
