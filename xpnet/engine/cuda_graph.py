"""A block of training steps on CuPy as a CUDA graph: captured once, then launched with one call for the whole block.

A small kernel takes a GPU about a microsecond, and Python several to launch; a graph launches thousands at once. It
holds kernels with the addresses of their arguments. So whatever a step reads and writes must stay where it was at the
capture, in memory that nothing else uses, and new inputs come in through buffers.
"""

import contextlib
import gc
import linecache
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

from xpnet._core.arrays import Array, get_array_module
from xpnet._core.cupy import CupyNamespace
from xpnet.engine.capture import PlainSteps, Step, Trial
from xpnet.engine.cublas import Cublas
from xpnet.engine.state import Constants, Feedback, StateSnapshot
from xpnet.errors import CaptureError, ShapeError

# Frames of these are not where a user wrote what cannot be captured.
_MACHINERY = (
    "cupy", "cupyx", "cupy_backends", "xpnet._core.cupy", "xpnet._core.arrays", "xpnet.backend",
    "xpnet.engine.cublas", __name__,
)  # fmt: skip


class CudaGraphReplayer:
    """Captures a block of training steps, each with `scalars` step scalars, in a CUDA graph, and launches it.

    A capture executes nothing, so it cannot be verified. Instead steps are taken as launches would take them, each from
    the bindings of the capture, and the capture follows when these agree with plain steps. By then kernels are compiled
    and modules loaded, which cannot happen during a capture.

    The capture's mode is CuPy's own, "relaxed", because the pool may have to grow. The pool is private, because a block
    that is free again at the end of the capture is still used by every launch. No garbage is collected then, since
    freeing an object may wait for the device, which ends a capture.
    """

    constants: Constants

    def __init__(self, step: Step, batch_size: int, steps: int, scalars: int) -> None:
        self._xp: CupyNamespace = get_array_module(step.like)
        self._cuda = self._xp.cuda
        self._step: Any = step
        self._owners = step.state_owners()  # kept, because the graph has the addresses of their arrays
        self._feedback: Any = None
        self._bindings: Any = None
        self._what = f"{steps} step{'s' * (steps != 1)} of {batch_size} samples"
        self._device = step.like.device
        with self._memory_for_capture(), self._device:
            self._resources = _Resources(self._xp)
            self._finalizer = weakref.finalize(self, self._resources.close)
            self._finalizer.atexit = False  # the process frees it with all else, and CUDA may be gone by then
            self._before, self._after = (self._cuda.Event(disable_timing=True) for _ in range(2))
        with self._memory_for_capture(), self._closed_on_error(), self._on_stream():
            self._order = self._xp.zeros((steps, batch_size), dtype=self._xp.int64)
            self._scalars = self._xp.zeros((steps, scalars), dtype=step.like.dtype)
            self._losses = self._xp.zeros((steps,), dtype=step.like.dtype)

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Work on the stream of the capture, with products that can be captured; close on an error."""
        with self._memory_for_capture(), self._closed_on_error(), self._on_stream():
            products = self._xp.capturing(self._resources.cublas)
            with products:
                yield

    def plain_step(self, indices: np.ndarray, scalars: np.ndarray) -> Array:
        """Take a step without a recording; returns its loss."""
        # The buffers of the graph, as the capture will see them.
        self._order[0, ...], self._scalars[0, ...] = map(self._xp.cupy.asarray, (indices, scalars))
        try:
            with self._private_memory():
                self._step.run_block(self._order[:1], self._scalars[:1], self._losses[:1])
        except CaptureError as error:
            raise _explained(error) from error
        return self._losses[0].copy()

    def record(self, plain: PlainSteps) -> Iterator[Trial]:
        """Take steps as launches would: without feedback at first, since most of what is bound again is not read."""
        for names in (set(), plain.replaced):
            plain.start.restore()
            self._feedback = Feedback(plain.state, names)
            self._bindings = StateSnapshot(self._owners, contents=False)
            yield Trial(self._simulate, plain.in_place | plain.replaced)

    def _simulate(self, indices: np.ndarray, scalars: np.ndarray, add_losses: Callable[[Array], None]) -> None:
        self._feedback.copy_back()
        for k in range(len(indices)):
            self._bindings.restore()
            add_losses(self.plain_step(indices[k], scalars[k])[None])
            with self._private_memory():
                self._feedback.copy_back()

    def finish(self, plain: PlainSteps) -> set[str]:
        """Capture the block; the kernels are noted and not run. Returns the arrays that stay where they are."""
        self._feedback.copy_back()
        stream = self._resources.stream
        with self._private_memory(), _no_garbage_collected():
            stream.begin_capture()
            try:
                self._step.run_block(self._order, self._scalars, self._losses)
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
                raise CaptureError(f"CuPy cannot capture the block of {self._what}. {error}") from error
        self._resources.graph.upload(stream)
        return plain.in_place

    def run(self, indices: Array, scalars: Array, add_losses: Callable[[Array], None]) -> None:
        """Launch the graph; nothing waits, neither here nor in what the caller's stream was given before.

        The samples of each step, (steps, batch_size), and its scalars, (steps, m), are on the device. `add_losses` is
        given the losses, (steps,), an array of its own.
        """
        with self._on_stream() as stream:
            for name, array, buffer in (("indices", indices, self._order), ("scalars", scalars, self._scalars)):
                if array.shape != buffer.shape:
                    raise ShapeError(f"The graph was captured for {name} of shape {buffer.shape}, got {array.shape}.")
            self._feedback.copy_back()
            self._order[...] = indices
            self._scalars[...] = scalars
            self._resources.graph.launch(stream)
            add_losses(self._losses.copy())

    def close(self) -> None:
        """Wait for the last block, and free the graph and its memory; the state stays. May be called again."""
        self._finalizer()
        self._step, self._owners = None, ()
        self._feedback = self._bindings = self._order = self._scalars = self._losses = None

    @contextlib.contextmanager
    def _on_stream(self) -> Iterator[Any]:
        """Work on the own stream: after what the caller's stream was given before, and before what it is given next."""
        stream = self._resources.stream
        if stream is None:
            raise CaptureError("This CUDA graph is closed.")
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

    @contextlib.contextmanager
    def _memory_for_capture(self) -> Iterator[None]:
        try:
            yield
        except MemoryError as error:
            traceback.clear_frames(error.__traceback__)  # which hold the arrays of the steps
            text = str(error).rstrip(".")
            raise CaptureError(f"The GPU's memory is too small to capture {self._what} ({text}).") from error

    def _private_memory(self) -> contextlib.AbstractContextManager[None]:
        return self._cuda.using_allocator(self._resources.pool.malloc)


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
    """The error with the call that cannot be captured; CuPy's messages speak of streams and not of the call."""
    call = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
        if module not in _MACHINERY and module.partition(".")[0] not in _MACHINERY:
            code = frame.f_code
            text = linecache.getline(code.co_filename, line).strip()
            call = f"{text!r} in {code.co_qualname}, {PurePath(code.co_filename).name}, line {line}"
    if isinstance(error, CaptureError):
        return CaptureError(f"{error} The call is {call}." if call else str(error))
    return CaptureError(f"CuPy cannot capture {call or 'the step'}: {error or type(error).__name__}.")
