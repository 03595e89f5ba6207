"""Ask PyTorch once and keep its answers in torch.npz, so that the test suite can be run without it.

``python tests/oracles/store.py`` writes the file anew; do so when `cases.py` has got a case more.
"""

import sys
from pathlib import Path

import numpy as np

PATH = Path(__file__).with_name("torch.npz")
VERSION_KEY = "torch"

Stored = dict[str, dict[str, np.ndarray]]


def load() -> tuple[Stored, str]:
    """The stored results, by case and by name, and the version of PyTorch that gave them."""
    results: Stored = {}
    with np.load(PATH) as arrays:
        version = str(arrays[VERSION_KEY])
        for key in arrays.files:
            if key != VERSION_KEY:
                case, _, name = key.rpartition(":")
                results.setdefault(case, {})[name] = arrays[key]
    return results, version


def ask_torch() -> Stored:
    """What the PyTorch that is installed says of each case."""
    from oracles.torch_cases import ORACLES

    return {
        case: {name: tensor.detach().numpy() for name, tensor in run().items()} for case, run in sorted(ORACLES.items())
    }


def main() -> None:
    """Write the file."""
    import torch

    torch.set_num_threads(1)  # the last bits of a sum depend on how it is split among threads
    answers = ask_torch()
    arrays = {f"{case}:{name}": array for case, results in answers.items() for name, array in results.items()}
    np.savez_compressed(PATH, **{VERSION_KEY: np.array(torch.__version__)}, **arrays)
    print(f"{len(answers)} cases, {len(arrays)} results, {PATH.stat().st_size:,} bytes in {PATH.name}")  # noqa: T201


if __name__ == "__main__":
    sys.path.insert(0, str(PATH.parents[1]))  # for cases.py
    main()
