"""The peers in the comparison of single steps: each computes xpnet's results, and is caught where it does not."""

import importlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xpnet.bench.candidate import DisagreementError, check_agreement, first_results
from xpnet.bench.work import NETWORKS, Case, Workload, XpnetWorker

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("this copy of the tests has no benchmarks beside it", allow_module_level=True)
sys.path.append(str(BENCHMARKS))
bench_peers = importlib.import_module("bench_peers")
INSTALLED = [name for name in bench_peers.WORKERS if importlib.util.find_spec(name)]


@pytest.fixture(params=bench_peers.WORKERS)
def peer(request):
    """Each installed peer's class of workers, for the CPU."""
    pytest.importorskip(request.param)
    return lambda work: bench_peers.WORKERS[request.param](work, "CPU")


def reference(work):
    return first_results(XpnetWorker(work, "numpy", "float64"), work)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_peer_comes_to_the_results_of_xpnet(peer, network):
    work = Workload.of(Case(network, width=12, batch=20), seed=0)
    results = first_results(peer(work), work)
    check_agreement(results, reference(work), work)
    assert set(results.gradients) == (set(work.start) if work.case.trains else set())


@pytest.mark.parametrize("network", ["TwoLayerNet", "ThreeLayerNet"])
def test_a_peer_takes_the_same_minibatches_in_the_same_order(peer, network):
    work = Workload.of(Case(network, width=12, batch=20), seed=0)
    theirs, ours = peer(work), XpnetWorker(work, "numpy")
    for worker in (theirs, ours):
        worker.train(35)  # more than there are different ones
    weights = theirs.weights()
    for name, expected in ours.weights().items():
        np.testing.assert_allclose(weights[name], expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
def test_a_peer_with_another_parameter_is_caught(peer, name):
    work = Workload.of(Case("TwoLayerNet", width=12, batch=20), seed=0)
    shift = np.linspace(0.0, 0.01, work.start[name].size, dtype=np.float32).reshape(work.start[name].shape)
    other = replace(work, start={**work.start, name: work.start[name] + shift})  # an even shift is nothing to a softmax
    with pytest.raises(DisagreementError):
        check_agreement(first_results(peer(other), other), reference(work), work)


def test_a_peer_with_another_first_minibatch_is_caught(peer):
    work = Workload.of(Case("TwoLayerNet", width=12, batch=20), seed=0)
    other = replace(work, order=work.order[::-1].copy())
    with pytest.raises(DisagreementError, match="gradient"):
        check_agreement(first_results(peer(other), other), reference(work), work)


def test_a_peer_with_another_learning_rate_is_caught(peer, monkeypatch):
    work = Workload.of(Case("TwoLayerNet", width=12, batch=20), seed=0)
    for module in ("torch_peer", "jax_peer", "sklearn_peer"):
        monkeypatch.setattr(importlib.import_module(module), "LEARNING_RATE", 0.11)
    with pytest.raises(DisagreementError, match="the change of .* by a step"):
        check_agreement(first_results(peer(work), work), reference(work), work)


@pytest.mark.skipif(not INSTALLED, reason="none of the peers is installed")
@pytest.mark.parametrize("threads", [1, 2])
def test_peers_are_timed_with_xpnet(threads, tmp_path):
    """The program itself, each peer in a process of its own."""
    program = [sys.executable, str(BENCHMARKS / "bench_peers.py"), "--peers", *INSTALLED]
    grid = ["--backends", "numpy", "--networks", "TwoLayerNet", "--widths", "5", "--batches", "4", "--repeats", "2"]
    command = [*program, *grid, f"--threads={threads}", f"--json={tmp_path / 'peers.json'}"]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    report = json.loads((tmp_path / "peers.json").read_text())
    assert list(report["devices"]) == ["numpy", *INSTALLED]
    assert [(row["backend"], row["mode"]) for row in report["rows"]] == [
        (name, mode) for name in report["devices"] for mode in ("training", "inference")
    ]
    for row in report["rows"]:
        assert row["error"] is None
        assert len(row["seconds"]) == 2
        assert (row["operations"] is None) == (row["backend"] != "numpy")
    assert set(INSTALLED) < set(report["versions"])


def test_a_peer_that_is_not_installed_is_named_with_the_line_that_installs_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_peers.py", "--peers", "jax"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert bench_peers.main() == 2
    assert "JAX is not installed. Install it with `python -m pip install jax`" in capsys.readouterr().err


def test_a_peer_that_there_is_not_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_peers.py", "--peers", "keras"])
    with pytest.raises(SystemExit):
        bench_peers.main()
    assert "invalid choice: 'keras'" in capsys.readouterr().err
