"""Small comparisons in this process, and a report of one."""

import pytest

from xpnet.bench import Options, candidate, measure, run
from xpnet.bench.candidate import Candidate, CandidateRunner
from xpnet.bench.process import FailedError
from xpnet.bench.report import Peak, Report, Row, Timing
from xpnet.bench.work import Case, Cost

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


def timing(*milliseconds, batch=100, steps=10):
    return Timing(batch, Cost(4_000_000, 200_000), 34, steps, [ms / 1000 for ms in milliseconds])


@pytest.fixture
def report():
    """A CPU and a GPU, of which the GPU is slower at a batch of 10 and faster at 1000; and one that failed."""
    rows = []
    for batch, cpu, gpu in ((10, 1.0, 10.0), (1000, 100.0, 10.0)):
        case = Case("TwoLayerNet", 50, batch)
        for name, kind, ms in (("numpy", "CPU", cpu), ("cupy", "GPU", gpu)):
            timings = {"training": timing(ms, batch=batch), "inference": timing(ms / 2, batch=batch)}
            rows.append(Row(name, kind, case, timings, peak_memory=3_000_000))
    rows.append(Row("torch", "CPU", Case("TwoLayerNet", 50, 10), error="not timed, because of a reason"))
    devices = {"numpy": "numpy on a processor", "cupy": "cupy on a card", "torch": "torch on the CPU"}
    return Report(
        {"repeats": 1}, devices, {"python": "3"}, {"CPU": Peak(1e11, 1e10)}, rows, ["jax, SimpleNetwork"], seconds=1.5
    )
