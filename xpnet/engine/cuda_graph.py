"""A block of training steps on CuPy as a CUDA graph: captured once, then launched with one call for the whole block.

A small kernel takes a GPU about a microsecond, and takes Python several to launch; a graph launches thousands at once.
It holds kernels with the addresses of their arguments. So whatever a step reads and writes must lie where it lay at the
capture, in memory that nobody else is given meanwhile, and what is new in a block comes in through buffers.

Not yet run on a GPU.
"""

import contextlib
import gc
import linecache
import traceback
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import PurePath
from typing import Any

from xpnet._core.arrays import Array, get_array_module
from xpnet._core.cupy import CupyNamespace
from xpnet.engine.cublas import Cublas
from xpnet.engine.state import OTHER_NUMBERS, Constants, Feedback, StateScan, StateSnapshot
from xpnet.errors import CaptureError, ShapeError

__all__ = ["CudaGraphRunner"]

_WARM_UP_STEPS = 2  # one compiles the kernels and fills the pool; the second shows which numbers change at every step

# Frames of these are not where a user wrote what cannot be captured.
_MACHINERY = (
    "cupy",
    "cupyx",
    "cupy_backends",
    "xpnet._core.cupy",
    "xpnet._core.arrays",
    "xpnet.backend",
    "xpnet.engine.cublas",
    __name__,
)


class CudaGraphRunner:
    """Captures a block of training steps in a CUDA graph, and launches it.

    Parameters
    ----------
    block
        ``block(order, numbers, losses)`` takes a training step on the samples of each row of `order`, (n, batch_size)
        int64, with the same row of `numbers`, (n, numbers) of the dtype of `like`, and writes their losses to `losses`,
        (n,). It changes arrays of `owners` in place, and may bind attributes of theirs anew.
    batch_size, numbers, steps
        How many samples a step takes, how many numbers it is given, and how many steps make a block.
    like
        An array of the network: its device and dtype.
    owners
        Layers, optimizer: what holds the arrays that a step changes in place, which must stay where they are as long as
        the runner is used. An array among their attributes (also in a dictionary or list) for which the steps put
        another of the same form is carried from block to block, if that matters, as running statistics are.
    varying
        The names of attributes that reach a step through the step scalars alone, such as ``"SGD.lr"``.

    Raises
    ------
    CaptureError
        When something in the step cannot be captured, naming it. State and attributes are then as they were.

    Notes
    -----
    Two steps are taken before the capture, on samples of 0 to batch_size-1 and with numbers 1/2 and 1, and two more, or
    four, as a graph would take them, which must come to the same; what they changed is put back. Kernels are compiled
    and modules loaded at their first use, which cannot happen during a capture.

    The capture's mode is CuPy's own, "relaxed": the pool may have to grow. The pool is private, because a block that is
    free again at the end of the capture is still used by every launch. No garbage is collected meanwhile: what dies may
    wait for the device, and that ends a capture.
    """

    def __init__(
        self,
        block: Callable[[Array, Array, Array], None],
        *,
        batch_size: int,
        numbers: int,
        steps: int,
        like: Array,
        owners: Sequence[object],
        varying: Collection[str] = (),
    ) -> None:
        self._xp: CupyNamespace = get_array_module(like)
        self._cuda = self._xp.cuda
        self._block: Any = block
        self._owners = owners  # kept, as the block is, because the graph has the addresses of arrays in them
        self._feedback = Feedback(StateScan(()), set())
        self._device = like.device
        try:
            with self._device:
                self._resources = _Resources(self._xp)
                self._finalizer = weakref.finalize(self, self._resources.close)
                self._finalizer.atexit = False  # the process frees it with all else, and CUDA may be gone by then
                self._before, self._after = (self._cuda.Event(disable_timing=True) for _ in range(2))
            with self._closed_on_error(), self._on_stream():
                self._order = self._xp.empty((steps, batch_size), dtype=self._xp.int64)
                self._numbers = self._xp.ones((steps, numbers), dtype=like.dtype)
                self._losses = self._xp.empty((steps,), dtype=like.dtype)
                self._order[...] = self._xp.arange(batch_size)
                self._prepare_and_capture(StateScan(owners), varying)
        except MemoryError as error:
            traceback.clear_frames(error.__traceback__)  # which hold the arrays of the steps
            what = f"the block of {steps} steps of {batch_size} samples"
            raise CaptureError(f"{what}, for which the GPU's memory is too small ({error})") from error

    def run(self, indices: Array, numbers: Array) -> Array:
        """Take a block of steps; nothing waits, neither here nor in what the caller's stream was given before.

        Parameters
        ----------
        indices, numbers
            On the device: the samples of each step, (steps, batch_size), and its numbers, (steps, numbers).

        Returns
        -------
        Array
            The losses, (steps,), an array of the caller's own.
        """
        with self._on_stream() as stream:
            for name, array, buffer in (("indices", indices, self._order), ("numbers", numbers, self._numbers)):
                if array.shape != buffer.shape:
                    raise ShapeError(f"The graph was captured for {name} of shape {buffer.shape}, got {array.shape}.")
            self._feedback.copy_back()
            self._order[...] = indices
            self._numbers[...] = numbers
            self._resources.graph.launch(stream)
            return self._losses.copy()

    def is_current(self) -> bool:
        """Whether all that the graph takes for constant is as it was."""
        return self._constants.unchanged()

    def close(self) -> None:
        """Wait for the last block, and give back the graph and its memory; the state stays. May be called again."""
        self._finalizer()
        self._block, self._owners = None, ()
        self._feedback = Feedback(StateScan(()), set())
        self._order = self._numbers = self._losses = None

    @contextlib.contextmanager
    def _on_stream(self) -> Iterator[Any]:
        """Work on the runner's stream: after what the caller's was given before, and before what it will be given."""
        stream = self._resources.stream
        if stream is None:
            raise CaptureError("this CUDA graph, which is closed")
        with self._device:
            caller = self._cuda.get_current_stream()
            self._before.record(caller)
            stream.wait_event(self._before)
            try:
                with stream:
                    yield stream
            finally:
                self._after.record(stream)
                caller.wait_event(self._after)

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    # --- making the graph --------------------------------------------------------------------------------------------

    def _prepare_and_capture(self, attributes: StateScan, varying: Collection[str]) -> None:
        """Warm up, put everything back, capture; put everything back as well where that fails."""
        resources, restore = self._resources, StateSnapshot(self._owners).restore
        try:
            with self._xp.capturing(resources.cublas):
                values = attributes.values()
                with self._private_memory():
                    rebound, called = self._warm_up(attributes)
                written = attributes.written(values)
                # Most of what is made anew is there for a layer's backward, and no later step reads it.
                if not any(self._rehearse(attributes, names, called, restore) for names in (set(), rebound)):
                    raise CaptureError(OTHER_NUMBERS)
                in_place = called.keys() - rebound
                self._constants = Constants(attributes, arrays=in_place, varying=written.union(varying))
                with self._private_memory(), _no_garbage_collected():
                    self._capture()
            resources.graph.upload(resources.stream)
        except BaseException:
            restore()
            raise

    def _warm_up(self, attributes: StateScan) -> tuple[set[str], dict[str, Array]]:
        """Take steps outside of the capture; returns the names of what they make anew, and what state they lead to."""
        arrays, generators, scalars = attributes.arrays(), attributes.generator_states(), []
        for k in range(_WARM_UP_STEPS):
            try:
                self._take_one(k)
            except CaptureError as error:
                raise _explained(error) from error
            scalars.append(attributes.scalars())
        self._resources.stream.synchronize()  # an error of the step's own comes up here rather than at the capture
        attributes.check_constant(scalars[-2])
        attributes.check_nothing_drawn(generators)
        in_place = {name for name, array in attributes.arrays().items() if arrays.get(name) is array}
        rebound = attributes.replaced(arrays)
        return rebound, attributes.contents(in_place | rebound)

    def _rehearse(
        self, attributes: StateScan, names: set[str], called: dict[str, Array], restore: Callable[[], None]
    ) -> bool:
        """Take the same steps as launches of a graph would, each reading where the capture has read; put all back.

        Whether that comes to what the steps came to that were called, if the arrays of these names are carried. What a
        step makes where it finds nothing, and leaves for the next, would be made again at each launch.
        """
        restore()
        self._feedback = Feedback(attributes, names)
        begin = StateSnapshot(self._owners).restore
        bindings = StateSnapshot(self._owners, contents=False).restore
        with self._private_memory():
            for k in range(_WARM_UP_STEPS):
                bindings()
                self._take_one(k)
                self._feedback.copy_back()
        same = attributes.matches(called)
        begin()
        return same

    def _private_memory(self) -> contextlib.AbstractContextManager[None]:
        return self._cuda.using_allocator(self._resources.pool.malloc)

    def _take_one(self, k: int) -> None:
        """A step on samples that are there: first on some of them twice, a minibatch that has not been seen before."""
        order, numbers = self._xp.floor_divide(self._order[:1], 2 - k), self._numbers[:1] / (2 - k)
        self._block(order, numbers, self._losses[:1])

    def _capture(self) -> None:
        """Record the block in a graph; the kernels are noted and not run."""
        stream = self._resources.stream
        stream.begin_capture()
        try:
            self._block(self._order, self._numbers, self._losses)
            self._feedback.copy_back()
        except BaseException as error:
            with contextlib.suppress(Exception):  # it would say again that the capture has failed
                stream.end_capture()
            if isinstance(error, MemoryError) or not isinstance(error, Exception):
                raise
            raise _explained(error) from error
        try:
            self._resources.graph = stream.end_capture()
        except Exception as error:  # CuPy's errors have no common base that can be named without CuPy
            raise CaptureError(f"the block of steps; at the end of its capture CuPy says: {error}") from error


class _Resources:
    """What a CUDA graph holds on the current device, apart from arrays.

    A pool is never given up but used again by the next graph: layers keep arrays of the last step for longer than the
    graph, and CuPy frees memory of a pool that is gone only if it was never split.
    """

    def __init__(self, xp: CupyNamespace) -> None:
        cuda = xp.cuda
        self._device = cuda.Device()
        # A blocking stream could not be captured while anything is given to the default stream.
        self.stream = cuda.Stream(non_blocking=True)
        self._idle = xp.idle_pools
        self.pool = self._idle.pop() if self._idle else _private_pool(cuda)
        # What either keeps in reserve is not to be had for the other.
        for pool in (self.pool, xp.cupy.get_default_memory_pool()):
            pool.free_all_blocks()
        self.cublas: Any = Cublas(xp.cupy, self.stream)
        self.graph: Any = None

    def close(self) -> None:
        """Wait, then free everything, each before what it needs."""
        with self._device:
            self.stream.synchronize()
            self.graph = None
            self.cublas.close()
            self.pool.free_all_blocks()
        self._idle.append(self.pool)
        self.cublas = self.pool = self.stream = None


def _private_pool(cuda: Any) -> Any:
    """A memory pool that frees no block while a stream is captured."""

    def allocate(size: int) -> Any:
        try:
            return cuda.MemoryPointer(cuda.Memory(size), 0)
        except cuda.runtime.CUDARuntimeError as error:
            if not cuda.get_current_stream().is_capturing():
                raise
            # The pool would free its free blocks and try again: blocks that the graph is going to use.
            raise MemoryError(str(error)) from error

    pool = cuda.MemoryPool(allocate)
    pool.set_limit(size=0)  # none: at a limit, too, it would free blocks
    return pool


@contextlib.contextmanager
def _no_garbage_collected() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _explained(error: Exception) -> CaptureError:
    """What cannot be captured, and where it was called: CuPy's messages speak of streams and not of the call."""
    call = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if module not in _MACHINERY and module.partition(".")[0] not in _MACHINERY:
            code = frame.f_code
            text = linecache.getline(code.co_filename, line).strip()
            call = f"{text!r} in {code.co_qualname}, {PurePath(code.co_filename).name}, line {line}"
    if isinstance(error, CaptureError):
        return CaptureError(f"{error}: {call}" if call else str(error))
    return CaptureError(f"{call or 'the step'}, of which CuPy says: {error or type(error).__name__}")
