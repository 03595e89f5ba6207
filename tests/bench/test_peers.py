"""The rivals in the comparison of devices: each comes to xpnet's results, and is caught where it does not."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from xpnet import XpnetError
from xpnet.bench import Options, peers, run
from xpnet.bench.check import DisagreementError, check_agreement, first_results, reference_results
from xpnet.bench.peers import PEERS, check_peer, load_peer
from xpnet.bench.work import NETWORKS, Case, Workload, XpnetWorker


@pytest.fixture(params=PEERS)
def peer(request):
    """A function that makes each peer that is installed, of a workload."""
    pytest.importorskip(request.param)
    make, library = load_peer(request.param)
    return lambda work: make(library, work, "CPU")


@pytest.mark.parametrize("network", NETWORKS)
def test_a_peer_comes_to_the_results_of_xpnet(peer, network):
    work = Workload.of(Case(network, width=12, batch=20), seed=0)
    results = first_results(peer(work), work)
    check_agreement(results, reference_results(work), work)
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
        check_agreement(first_results(peer(other), other), reference_results(work), work)


def test_a_peer_with_another_first_minibatch_is_caught(peer):
    work = Workload.of(Case("TwoLayerNet", width=12, batch=20), seed=0)
    other = replace(work, order=work.order[::-1].copy())
    with pytest.raises(DisagreementError, match="gradient"):
        check_agreement(first_results(peer(other), other), reference_results(work), work)


def test_a_peer_with_another_learning_rate_is_caught(peer, monkeypatch):
    work = Workload.of(Case("TwoLayerNet", width=12, batch=20), seed=0)
    monkeypatch.setattr(peers, "LEARNING_RATE", 0.11)
    with pytest.raises(DisagreementError, match="the change of .* by a step"):
        check_agreement(first_results(peer(work), work), reference_results(work), work)


@pytest.mark.parametrize("threads", [1, 2])
def test_peers_are_timed_beside_xpnet(threads):
    installed = [name for name in PEERS if importlib.util.find_spec(name)]
    if not installed:
        pytest.skip("none of the peers is installed")
    options = Options(("numpy",), ("TwoLayerNet",), (5,), (4,), repeats=2, against=tuple(installed), threads=threads)
    report = run(options)
    assert [row.backend for row in report.rows] == ["numpy", *installed]
    for row in report.rows:
        assert row.error == ""
        assert {mode: len(timing.seconds) for mode, timing in row.timings.items()} == {"training": 2, "inference": 2}
        assert (row.timings["training"].operations is None) == (row.backend != "numpy")
    assert set(installed) < set(report.versions)


def test_a_peer_that_is_not_installed_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(peers, "PEERS", {"no_such_package": (None, "its-name", "Its Title")})
    with pytest.raises(XpnetError, match=r"needs Its Title, .*`python -m pip install its-name`"):
        check_peer("no_such_package")
