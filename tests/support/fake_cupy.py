"""A small stand-in for CuPy and cuBLAS on the CPU, for the semantics of streams, CUDA graphs and memory pools.

What is true of CUDA here: work is given to a stream and done later, when something waits for it, and in no order with
other streams but what events make; while a stream is being captured work is noted and not done, copies from and to the
host and cuBLAS through CuPy are refused, as CuPy refuses them; a graph does the same work on the same addresses at each
launch; memory goes back to its pool with the last array that uses it, and is given out again; memory that is not
allocated cannot be read by its address. What is not: a kernel is a NumPy call, in NumPy's order of summation; there is
one device; to learn the shape of a result the call is made once more, on whatever numbers are there.
"""

import collections
import ctypes
import itertools
import operator
import threading
import types
import weakref
from contextlib import contextmanager
from typing import ClassVar

import numpy as np

from xpnet._core.arrays import register_array_type
from xpnet._core.cupy import CupyNamespace

# --- streams, events, graphs -----------------------------------------------------------------------------------------


class CUDARuntimeError(RuntimeError):
    """Where the real one says cudaError..."""


class _Current(threading.local):
    def __init__(self):
        self.streams, self.allocators = [NULL], [default_pool.malloc]


class Stream:
    """Work given to it is done by `drain`, first in first out."""

    living: ClassVar = weakref.WeakSet()
    addresses: ClassVar = itertools.count(2**33)

    def __init__(self, non_blocking=False):
        self.ptr = next(Stream.addresses) if non_blocking else 0
        self.pending, self.given, self.done_work = collections.deque(), 0, 0
        self.nodes, self.invalid = None, False
        Stream.living.add(self)

    def give(self, work):
        if self.nodes is not None:
            self.nodes.append(work)
        else:
            self.pending.append(work)
            self.given += 1

    def drain(self, until=None):
        while self.pending and (until is None or self.done_work < until):
            self.pending.popleft()()
            self.done_work += 1

    def synchronize(self):
        if self.nodes is not None:
            self.invalid = True
            raise CUDARuntimeError(
                "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
            )
        self.drain()

    def wait_event(self, event):
        stream, until = event.recorded
        self.give(lambda: stream.drain(until))

    def begin_capture(self):
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.nodes, self.invalid = [], False

    def end_capture(self):
        nodes, self.nodes = self.nodes, None
        if self.invalid:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")
        return Graph(nodes)

    def is_capturing(self):
        return self.nodes is not None

    def __enter__(self):
        current.streams.append(self)
        return self

    def __exit__(self, *_):
        current.streams.pop()


class Event:
    def __init__(self, disable_timing=False):
        self.recorded = None

    def record(self, stream):
        self.recorded = stream, stream.given


class Graph:
    living: ClassVar = weakref.WeakSet()

    def __init__(self, nodes):
        self.nodes = nodes
        Graph.living.add(self)

    def upload(self, stream):
        pass

    def launch(self, stream):
        for node in self.nodes:
            stream.give(node)


def get_current_stream():
    return current.streams[-1]


# --- memory ----------------------------------------------------------------------------------------------------------


class Memory:
    """Bytes at an address; when it is freed they become NaN, for whoever should still look at them."""

    living: ClassVar = weakref.WeakSet()
    limit = None  # bytes in all, a device that is too small

    def __init__(self, size):
        if Memory.limit is not None and size + sum(m.buffer.size for m in Memory.living) > Memory.limit:
            raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
        self.buffer = np.full(max(size, 1), 0xFF, dtype=np.uint8)
        self.ptr = self.buffer.ctypes.data
        Memory.living.add(self)

    def __del__(self):
        if hasattr(self, "buffer"):
            self.buffer.fill(0xFF)


class MemoryPointer:
    def __init__(self, mem, offset):
        self.mem, self.ptr = mem, mem.ptr + offset


class Block:
    """Memory from a pool, to which it goes back; where the pool has gone before it is lost, as CuPy can lose it."""

    lost: ClassVar = []

    def __init__(self, memory, pool, key):
        self.memory, self.buffer, self.ptr = memory, memory.buffer, memory.ptr
        weakref.finalize(self, Block._give_back, memory, weakref.ref(pool), key).atexit = False

    @staticmethod
    def _give_back(memory, pool, key):
        if pool() is None:
            Block.lost.append(memory)
        else:
            pool().free[key].append(memory)


class MemoryPool:
    """Free blocks by stream and size."""

    living: ClassVar = weakref.WeakSet()
    limit = 1  # bytes, as if CUPY_GPU_MEMORY_LIMIT said so; 0 is none

    def __init__(self, allocator=None):
        self.allocator = allocator or (lambda size: MemoryPointer(Memory(size), 0))
        self.free = collections.defaultdict(list)
        MemoryPool.living.add(self)

    def malloc(self, size):
        key = get_current_stream().ptr, size
        free = self.free[key]
        if not free:
            if self.limit and size > self.limit:
                self.free_all_blocks()
                raise MemoryError(f"{size} bytes, the limit is {self.limit}")
            try:
                free.append(self.allocator(size).mem)
            except CUDARuntimeError as error:
                self.free_all_blocks()
                raise MemoryError(str(error)) from error
        return MemoryPointer(Block(free.pop(), self, key), 0)

    def free_all_blocks(self):
        for free in self.free.values():
            free.clear()

    def set_limit(self, size):
        self.limit = size


@contextmanager
def using_allocator(allocator):
    current.allocators.append(allocator)
    try:
        yield
    finally:
        current.allocators.pop()


def alloc(size):
    return current.allocators[-1](size)


class Device:
    id = 0
    compute_capability = "80"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


default_pool = MemoryPool()
default_pool.set_limit(size=0)
NULL = Stream()
current = _Current()

# --- arrays ----------------------------------------------------------------------------------------------------------


class ndarray:
    """An array on the device that is not there: NumPy's view `a` of a block of memory."""

    __array_ufunc__ = None  # NumPy's functions refuse it
    __hash__ = None

    def __init__(self, a, mem):
        self.a, self.mem = a, mem

    dtype, shape, ndim, size, strides, itemsize, flags = (
        property(lambda self, name=name: getattr(self.a, name))
        for name in ("dtype", "shape", "ndim", "size", "strides", "itemsize", "flags")
    )
    data = property(lambda self: types.SimpleNamespace(ptr=self.a.ctypes.data))
    T = property(lambda self: ndarray(self.a.T, self.mem))
    device = Device()

    def reshape(self, *shape):
        return _new(lambda a: a.reshape(*shape), self)

    def copy(self):
        return _new(np.copy, self)

    def __deepcopy__(self, _):
        return self.copy()

    def astype(self, dtype, copy=True):
        return self if self.dtype == dtype and not copy else _new(lambda a: a.astype(dtype), self)

    def __getitem__(self, key):
        if isinstance(key, ndarray) and key.dtype.kind == "b":
            _refuse("D2H")  # how many there are
            get_current_stream().synchronize()
        return _new(lambda a, key: a[key], self, key)

    def __setitem__(self, key, value):
        if isinstance(value, np.ndarray) and value.ndim:
            _refuse("H2D")
        view, value = self.a[key if key != () else ...], _plain(value)
        get_current_stream().give(lambda: np.copyto(view, value, casting="unsafe"))

    def get(self):
        _refuse("D2H")
        get_current_stream().synchronize()
        return self.a.copy()

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")


def _operator(name, reflected=False):
    function = getattr(operator, name)

    def method(self, *others):
        if name == "matmul":
            return cupy.matmul(self, *others)
        return _new(lambda *args: function(*reversed(args) if reflected else args), self, *others)

    return method


def _in_place(function):
    def method(self, other):
        mine, other = self.a, _plain(other)
        get_current_stream().give(lambda: function(mine, other, out=mine, casting="unsafe"))
        return self

    return method


def _host_value(convert):
    return lambda self: convert(self.get())


_COMPARING = ("eq", "ne", "lt", "le", "gt", "ge")
for _name in ("add", "sub", "mul", "truediv", "pow", "matmul", "xor", "and_", "rshift", "neg", "abs", *_COMPARING):
    setattr(ndarray, f"__{_name.rstrip('_')}__", _operator(_name))
    setattr(ndarray, f"__r{_name.rstrip('_')}__", _operator(_name, reflected=True))
_ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide}
for _name, _ufunc in {**_ARITHMETIC, "xor": np.bitwise_xor, "and": np.bitwise_and}.items():
    setattr(ndarray, f"__i{_name}__", _in_place(_ufunc))
for _name, _convert in {"float": float, "int": int, "bool": bool, "index": operator.index}.items():
    setattr(ndarray, f"__{_name}__", _host_value(_convert))


def _refuse(direction):
    if get_current_stream().is_capturing():
        raise RuntimeError(f"the current stream is capturing, so {direction} transfers are not allowed")


def _plain(value):
    if isinstance(value, ndarray):
        return value.a
    return type(value)(map(_plain, value)) if isinstance(value, list | tuple) else value


def _empty(shape, dtype):
    dtype = np.dtype(dtype)
    pointer = alloc(int(np.prod(shape)) * dtype.itemsize)
    return ndarray(np.ndarray(shape, dtype, buffer=pointer.mem.buffer), pointer.mem)


def _new(function, *args, out=None, **kwargs):
    """The result of a NumPy function: a view, or an array that will hold it when the stream has come so far."""
    arguments = _plain(args)
    with np.errstate(all="ignore"):
        result = np.asarray(function(*arguments, **kwargs))
    if isinstance(args[0], ndarray) and np.may_share_memory(result, args[0].a):
        return ndarray(result, args[0].mem)
    out = _empty(result.shape, result.dtype) if out is None else out
    target = out.a
    get_current_stream().give(lambda: np.copyto(target, function(*arguments, **kwargs)))
    return out


class _Cupy:
    """The module: NumPy's functions on arrays of the device, and what CuPy does otherwise."""

    __name__, __version__ = "cupy", "14.fake"
    ndarray = ndarray
    cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(CUDARuntimeError=CUDARuntimeError),
        **{f.__name__: f for f in (Stream, Event, Graph, Memory, MemoryPointer, MemoryPool, Device)},
        **{f.__name__: f for f in (alloc, using_allocator, get_current_stream)},
    )
    _core = types.SimpleNamespace(get_compute_type=lambda dtype: _Cupy.compute_type)
    compute_type = 1  # CuPy's default

    def __getattr__(self, name):
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type) or name in ("dtype", "isdtype", "result_type"):
            return function
        return lambda *args, **kwargs: _new(function, *args, **kwargs)

    def asarray(self, a, dtype=None):
        if isinstance(a, ndarray):
            return a if dtype in (None, a.dtype) else a.astype(dtype)
        a = np.array(a, dtype=dtype)
        if a.ndim:
            _refuse("H2D")
        return _new(np.copy, a)

    array = asarray

    def asnumpy(self, a):
        return a.get()

    def take(self, a, indices, axis=None):
        # As in CuPy, which cannot look whether they fit.
        return _new(lambda a, indices: np.take(a, indices % a.shape[axis], axis=axis), a, indices)

    @property
    def lib(self):
        def as_strided(x, shape, strides):
            return ndarray(np.lib.stride_tricks.as_strided(x.a, shape, strides), x.mem)

        def sliding_window_view(x, window_shape, axis=None):
            self.array(window_shape).get()  # as CuPy's does, to look whether it is negative
            return _new(np.lib.stride_tricks.sliding_window_view, x, window_shape, axis)

        tricks = {function.__name__: function for function in (as_strided, sliding_window_view)}
        return types.SimpleNamespace(stride_tricks=types.SimpleNamespace(**tricks))

    def get_default_memory_pool(self):
        return default_pool

    def may_share_memory(self, a, b):
        return np.may_share_memory(a.a, b.a)

    def matmul(self, a, b, out=None):
        makes_kernel = a.dtype.kind in "iu" or not a.size or not b.size or a.shape[:-1] + b.shape[1:] in ((), (1, 1))
        if get_current_stream().is_capturing() and not makes_kernel:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        return _new(np.matmul, a, b, out=out)

    dot = matmul


cupy = _Cupy()

# --- cuBLAS ----------------------------------------------------------------------------------------------------------


def _matrix(pointer, rows, columns, distance, data_type):
    """The matrix at an address, whose rows lie `distance` numbers apart; an error if it leaves what is allocated."""
    dtype = np.dtype({0: "float32", 1: "float64"}[data_type])
    for memory in Memory.living:
        offset = pointer - memory.ptr
        if 0 <= offset < memory.buffer.size:
            strides = distance * dtype.itemsize, dtype.itemsize
            return np.ndarray((rows, columns), dtype, memory.buffer, offset, strides)
    raise LookupError(f"nothing is allocated at {pointer:#x}")


class FakeCublas:
    """The entry points of the library, as C functions: what they are given has passed through ctypes.

    Attributes
    ----------
    handles
        For each open handle the address of its stream, and its workspace or None.
    calls
        The data type, compute type and algorithm of each product.
    """

    def __init__(self):
        self.handles, self.calls, self._kept = {}, [], []
        pointer, number = ctypes.c_void_p, ctypes.c_int
        operand = [pointer, number, number]
        types_of = {
            "cublasCreate_v2": [ctypes.POINTER(pointer)],
            "cublasDestroy_v2": [pointer],
            "cublasSetStream_v2": [pointer, pointer],
            "cublasSetWorkspace_v2": [pointer, pointer, ctypes.c_size_t],
            "cublasGemmEx": [pointer, *[number] * 5, pointer, *operand * 2, pointer, *operand, number, number],
        }
        for name, types_ in types_of.items():
            callback = ctypes.CFUNCTYPE(number, *types_)(getattr(self, f"_{name}"))
            self._kept.append(callback)
            # By its address, so that it has no argument types but those that the caller declares.
            setattr(self, name, ctypes.CFUNCTYPE(number)(ctypes.cast(callback, pointer).value))

    @staticmethod
    def cublasGetStatusName(status):
        return {3: b"CUBLAS_STATUS_ALLOC_FAILED", 7: b"CUBLAS_STATUS_INVALID_VALUE"}.get(status, b"CUBLAS_STATUS_?")

    def _cublasCreate_v2(self, handle):
        handle[0] = 2**40 + len(self._kept)  # more than an int holds, as addresses are
        self._kept.append(None)
        self.handles[handle[0]] = [0, None]
        return 0

    def _cublasDestroy_v2(self, handle):
        return 0 if self.handles.pop(handle, None) else 1

    def _cublasSetStream_v2(self, handle, stream):
        self.handles[handle] = [stream, None]  # takes the workspace away
        return 0

    def _cublasSetWorkspace_v2(self, handle, workspace, size):
        self.handles[handle][1] = workspace, size
        return 0

    def _cublasGemmEx(self, handle, ta, tb, m, n, k, alpha, A, At, lda, B, Bt, ldb, beta, C, Ct, ldc, compute, algo):
        stream_ptr, workspace = self.handles[handle]
        if workspace is None:
            return 3  # the real one would allocate, which cannot be captured
        scalar = ctypes.POINTER(ctypes.c_double if At == 1 else ctypes.c_float)
        factors = [ctypes.cast(p, scalar)[0] for p in (alpha, beta)]
        if factors != [1, 0] or lda < max(1, k if ta else m) or ldb < max(1, n if tb else k) or ldc < max(1, m):
            return 7
        self.calls.append((At, compute, algo))

        def work():
            _matrix(workspace[0], 1, workspace[1] // 4, workspace[1] // 4, 0)
            # By rows each is its own transpose: c^T = b^T a^T.
            a = _matrix(A, m, k, lda, At).T if ta else _matrix(A, k, m, lda, At)
            b = _matrix(B, k, n, ldb, Bt).T if tb else _matrix(B, n, k, ldb, Bt)
            c = _matrix(C, n, m, ldc, Ct)
            c[...] = np.nan  # if an operand lies there, it is lost
            c[...] = b @ a

        next(s for s in Stream.living if s.ptr == stream_ptr).give(work)
        return 0


NAMESPACE = CupyNamespace(cupy)
register_array_type(cupy.ndarray, NAMESPACE)
