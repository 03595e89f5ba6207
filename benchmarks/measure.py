"""Run one measurement in this process and print its `Run` as JSON; see `benchmark.measurement`."""

import json
import sys
from collections.abc import Callable
from typing import Any

from endurance import in_turn, soak, too_large
from jax_peer import jax_scan
from job import Job
from sklearn_peer import sklearn_fit
from taking_turns import Run
from torch_peer import torch_loop
from xpnet_runs import device, dropout_mask, equal_weights, launches, products, training, xpnet_loop

from xpnet import XpnetError

MEASURES: dict[str, Callable[..., Run]] = {
    "xpnet": xpnet_loop,
    "launches": launches,
    "training": training,
    "products": products,
    "equal_weights": equal_weights,
    "device": device,
    "soak": soak,
    "in_turn": in_turn,
    "too_large": too_large,
    "dropout_mask": dropout_mask,
    "torch": torch_loop,
    "jax": jax_scan,
    "sklearn": sklearn_fit,
}


def measured(measure: str, job: Job, **options: Any) -> Run:
    """The run, with its job."""
    return MEASURES[measure](job, **options) | {"job": job.name, "batch": job.batch, "steps": job.iterations}


def main(text: str) -> int:
    what = json.loads(text)
    job = Job(**what["job"] | {"sizes": tuple(what["job"]["sizes"])})
    try:
        print(json.dumps(measured(what["measure"], job, **what["options"])))
    except XpnetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
