"""What a device can do at most: the peak of its arithmetic, its clock, its memory."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from xpnet._core.arrays import register_array_type
from xpnet._core.cupy import CupyNamespace
from xpnet.backend import Backend
from xpnet.bench.device import measure_peak, peak_memory
from xpnet.bench.report import Peak
from xpnet.bench.work import WaitingClock


def test_peaks_are_the_best_of_three_after_one_that_is_not_counted():
    lasts = iter([1.0, 4.0, 2.0, 3.0, 1.0, 8.0, 8.0, 4.0])  # a product four times, a copy four times
    times = itertools.chain.from_iterable((0.0, last) for last in lasts)
    numpy = Backend("numpy", np)
    peak = measure_peak(numpy, lambda: next(times), sizes=(16, 32), copied=1000)
    assert peak == Peak(2 * 16**3 / 2.0, 2 * 4 * 1000 / 4.0)  # no larger product after one that takes long
    assert next(lasts, None) is None


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
