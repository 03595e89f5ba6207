"""The comparison of devices: what it counts, how it takes turns, what it does when time is up or results differ."""

import subprocess
import sys

import pytest
from small_bench import TINY, quick, run_against  # noqa: F401 - a fixture

from xpnet import XpnetError
from xpnet.bench import Options, measure, run
from xpnet.bench.work import XpnetWorker, operations

# --- what is counted ------------------------------------------------------------------------------------------------


def test_calls_are_counted_for_each_network_and_only_inference_where_nothing_is_learned():
    assert operations("TwoLayerNet")["training"] == 34  # as test_launch_budget.py pins it
    assert operations("ThreeLayerNet")["training"] > 34
    assert list(operations("SimpleNetwork")) == ["inference"]


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
