"""One who is compared: a backend of xpnet's, or a peer; made ready for a case, and timed a repeat at a time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xpnet._core.cupy import CupyNamespace
from xpnet.backend import get_backend
from xpnet.bench.check import check_agreement, first_results, reference_results
from xpnet.bench.device import forget_peak_memory, measure_peak, peak_memory
from xpnet.bench.peers import load_peer
from xpnet.bench.report import MODES, Peak, Timing
from xpnet.bench.work import Case, Worker, Workload, XpnetWorker, operations

__all__ = ["Contestant", "Entrant"]

_REPEAT_SECONDS = 0.03  # at least; steps are doubled until a repeat takes that long
_MAX_STEPS = 10_000


@dataclass(frozen=True)
class Entrant:
    """Who takes part.

    Attributes
    ----------
    name
        As the tables call it.
    place
        ``"CPU"`` or ``"GPU"``.
    device
        What it runs on, in a line.
    library
        The name of a backend, or of one of PEERS.
    is_peer
        Which of the two.
    """

    name: str
    place: str
    device: str
    library: str
    is_peer: bool = False


class Contestant:
    """An entrant at work, in a process that is its own while times are taken."""

    def __init__(self, entrant: Entrant) -> None:
        self.entrant = entrant
        self.backend = None if entrant.is_peer else get_backend(entrant.library)
        self.peer = load_peer(entrant.library) if entrant.is_peer else None
        self.worker: Worker | None = None
        self.timings: dict[str, Timing] = {}

    def peak(self) -> Peak | None:
        """The most that its device is seen to do; None for a peer."""
        return None if self.backend is None else measure_peak(self.backend, time.perf_counter)

    def prepare(self, case: Case, seed: int) -> tuple[dict[str, Timing], int | None]:
        """Agree with xpnet in float64, and get warm; timings with no repeats yet, and the memory it took.

        Raises
        ------
        DisagreementError
            Where it comes to other results.
        """
        self.worker = None  # the last case's memory is free before this one's is counted
        work = Workload.of(case, seed)
        expected = reference_results(work)
        forget_peak_memory(self.backend)
        before = peak_memory(self.backend, self.entrant.place)
        self.worker = self._made(work)
        check_agreement(first_results(self.worker, work), expected, work)
        fused = self.backend is not None and isinstance(self.backend.xp, CupyNamespace)
        self.timings = {}
        for mode in MODES if case.trains else MODES[1:]:
            cost = case.training_cost() if mode == "training" else case.inference_cost()
            counted = operations(case.network, fused=fused)[mode] if self.backend else None
            self.timings[mode] = Timing(case.batch, cost, counted, self._steps_of_a_repeat(mode))
        after = peak_memory(self.backend, self.entrant.place)
        return self.timings, None if before is None or after is None else after - before

    def repeat(self, mode: str) -> tuple[float, float | None]:
        """How many seconds a repeat took, and for how many of them this process had a processor; None on a GPU."""
        before = time.process_time()
        seconds = self._seconds(mode, self.timings[mode].steps)
        return seconds, time.process_time() - before if self.entrant.place == "CPU" else None

    def _made(self, work: Workload) -> Worker:
        if self.peer is not None:
            make, library = self.peer
            return make(library, work, self.entrant.place)
        assert self.backend is not None
        return XpnetWorker(work, self.backend)

    def _steps_of_a_repeat(self, mode: str) -> int:
        """Enough that the clock is fine enough; the passes to find out are the warm-up, the last a full one."""
        steps = 1
        while steps < _MAX_STEPS:
            # The faster of two counts: the first may have compiled something.
            if min(self._seconds(mode, steps) for _ in range(2)) >= _REPEAT_SECONDS:
                break
            steps *= 2
        return steps

    def _seconds(self, mode: str, steps: int) -> float:
        worker = self.worker
        assert worker is not None
        does: Callable[[int], Any] = worker.train if mode == "training" else worker.predict
        return worker.seconds(does, steps, time.perf_counter)
