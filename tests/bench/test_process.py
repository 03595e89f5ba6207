"""A candidate in a process of its own: its threads, its errors, its end."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from small_bench import TINY

from xpnet.bench import Options, run
from xpnet.bench.candidate import Candidate
from xpnet.bench.process import FailedError, Process, environment
from xpnet.bench.work import Case, XpnetWorker
from xpnet.errors import ArgumentError

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
