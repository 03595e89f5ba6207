"""Compare xpnet on CuPy with PyTorch and JAX on a GPU.

    python benchmarks/gpu.py --budget 500

Measures the main job, captured and plain, fused and not fused, with PyTorch eager, compiled and captured by hand, and
with JAX; the captured steps without the work of the host per epoch; a network of two hidden layers of 2048 units
compared with its matrix products, in float32 and in TF32; and whether captured steps give the same weights.
"""

import sys
from statistics import median

from benchmark import Options, Verdict, compared, measurement
from on_gpu import GpuBenchmark, main
from taking_turns import Entrant, Runs

PRECISIONS: dict[str, dict[str, str]] = {"": {}, ", TF32": {"CUPY_TF32": "1"}}
ROUNDED = 1e-2  # tolerance of losses if products round their inputs to the ten bits of TF32
OURS = {
    f"xpnet {captured}, {fused}": {"capture": capture, "fused": fused == "fused"}
    for captured, capture in (("captured", True), ("plain", False))
    for fused in ("fused", "not fused")
}
BEST = "xpnet captured, fused"
STEPS = "xpnet captured, fused: the launches alone"
TORCH = {"eager": "PyTorch eager", "compile": "PyTorch compiled", "graph": "PyTorch captured by hand"}
JAX = {"highest": "JAX scan", None: "JAX scan, its default precision"}
LARGE, PRODUCTS = "large: xpnet captured, fused", "large: its matrix products"
EQUAL = "captured and plain after 100 steps, "

MICROSECONDS = 30.0  # a step of the main job
OF_PRODUCTS = {"": 1 / 0.92, ", TF32": 1 / 0.70}  # the time of a large step


def entrants(options: Options, dataset: str = "mnist") -> list[Entrant]:
    job = options.job(dataset=dataset)
    large = options.job(sizes=(784, 2048, 2048, 10), batch=4096, iterations=560, dataset=dataset)
    taking_part = [
        Entrant(name, measurement("xpnet", job, backend="cupy", **how), group="main") for name, how in OURS.items()
    ]
    taking_part.append(Entrant(STEPS, measurement("launches", job, backend="cupy", fused=True), group="main"))
    if "torch" in options.peers:
        taking_part += [
            Entrant(name, measurement("torch", job, mode=mode, device="cuda"), group="main")
            for mode, name in TORCH.items()
        ]
    if "jax" in options.peers:
        taking_part += [
            Entrant(name, measurement("jax", job, precision=precision), {}, "main", 1e-4 if precision else ROUNDED)
            for precision, name in JAX.items()
        ]
    for suffix, environment in PRECISIONS.items():
        ours = measurement("xpnet", large, backend="cupy", **OURS[BEST])
        taking_part += [
            Entrant(LARGE + suffix, ours, environment, "large", ROUNDED if environment else 1e-4),
            Entrant(PRODUCTS + suffix, measurement("products", large, backend="cupy"), environment),
        ]
    short = options.job(iterations=100, dataset=dataset)
    return taking_part + [
        Entrant(EQUAL + kind, measurement("equal_weights", short, backend="cupy", fused=kind == "fused"))
        for kind in ("fused", "not fused")
    ]


def verdicts(runs: Runs) -> list[Verdict]:
    said = []
    for name, at_most in ((BEST, MICROSECONDS), (STEPS, None)):
        if taken := [1e6 * run["seconds"] / run["steps"] for run in runs.get(name, [])]:
            said.append(Verdict(f"a step of the main job, {name}", median(taken), taken, at_most, "us"))
    for theirs in (*TORCH.values(), *JAX.values()):
        said += compared(f"captured and fused, of the time of {theirs}", runs, BEST, theirs, 1.0, rival=theirs)
    said += compared("captured, of plain; both fused", runs, BEST, "xpnet plain, fused")
    said += compared("fused, of not fused; both captured", runs, BEST, "xpnet captured, not fused")
    for suffix in PRECISIONS:
        what = f"784-2048-2048-10, batch 4096{suffix}, of its matrix products alone"
        said += compared(what, runs, LARGE + suffix, PRODUCTS + suffix, OF_PRODUCTS[suffix])
    for name, taken in runs.items():
        if name.startswith(EQUAL) and taken:
            differ = [float(run["differ"]) for run in taken]
            said.append(Verdict(f"{name}: weights that differ in any bit", max(differ), differ, 0.0))
    return said


BENCHMARK = GpuBenchmark("gpu", "the main job and a large network on a GPU", entrants, verdicts, rounds=3)

if __name__ == "__main__":
    sys.exit(main(BENCHMARK, __doc__))
