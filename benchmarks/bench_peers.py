"""Time single steps and predictions of xpnet's backends, PyTorch, JAX and scikit-learn over a grid.

    python benchmarks/bench_peers.py --peers torch jax --plot bench.png

It is `python -m xpnet bench` with peers: all get the same weights and minibatches, and must agree with xpnet in float64
before they are timed. Each has a process of its own, with as many threads as the others.
"""

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from functools import partial

from jax_peer import JaxWorker
from sklearn_peer import SklearnWorker
from taking_turns import HERE, PEERS, BenchmarkError, check_installed
from torch_peer import TorchWorker

from xpnet.__main__ import add_bench_options, run_bench
from xpnet.bench.candidate import Candidate

__all__ = ["WORKERS", "candidates", "main"]

WORKERS = {"torch": TorchWorker, "jax": JaxWorker, "sklearn": SklearnWorker}


def candidates(device_kind: str, peers: tuple[str, ...]) -> Iterator[Candidate]:
    """The peers that run on a kind of device."""
    for name in peers:
        if (name, device_kind) == ("sklearn", "GPU"):
            continue
        version = importlib.metadata.version(PEERS[name].package)
        title = name if device_kind == "CPU" else f"{name} ({device_kind})"
        device = f"{name} {version} on the {device_kind}"
        make = partial(WORKERS[name], device_kind=device_kind)
        yield Candidate(title, device_kind, device, name, version, make, is_backend=False)


def main() -> int:
    """Run the program and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_bench_options(parser)
    parser.add_argument(
        "--peers", nargs="*", choices=list(PEERS), default=list(PEERS), help="(default: %(default)s)"
    )  # fmt: skip
    given = parser.parse_args()
    try:
        check_installed(given.peers)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # The processes of the peers import this folder's modules.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    return run_bench(given, partial(candidates, peers=tuple(given.peers)))


if __name__ == "__main__":
    sys.exit(main())
