"""Matrix products through a cuBLAS handle of our own, on CuPy: on a GPU, or on CuPy's own code on a CPU."""

import importlib
import os
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_device import needs_cupy, needs_stand_in

from xpnet._core.cupy import installed_cupy_wheels
from xpnet.engine import cublas as module
from xpnet.engine.cublas import Cublas, _operand, load_library, workspace_size
from xpnet.errors import CaptureError


class Watched:
    """The library, whose calls are noted: the name of each function and its arguments."""

    def __init__(self, library):
        self._library, self.noted = library, []

    def __getattr__(self, name):
        function = getattr(self._library, name)

        def note_and_call(*arguments):
            self.noted.append((name, arguments))
            return function(*arguments)

        return note_and_call

    def named(self, name):
        """The arguments of each call of a function."""
        return [arguments for called, arguments in self.noted if called == name]

    def products(self):
        """The data type, compute type and algorithm of each product."""
        return [(arguments[8], *arguments[-2:]) for arguments in self.named("cublasGemmEx")]


@pytest.fixture
def cupy():
    return importlib.import_module("cupy")


@pytest.fixture
def library(monkeypatch, cupy):
    watched = Watched(load_library())
    monkeypatch.setattr(module, "load_library", lambda: watched)
    return watched


@pytest.fixture
def stream(cupy):
    return cupy.cuda.Stream(non_blocking=True)


@pytest.fixture
def blas(library, stream, cupy):
    cublas = Cublas(cupy, stream)
    yield cublas
    cublas.close()


def put(a, layout, rng):
    """The matrix on the device, in C order, Fortran order, as strided rows or columns, reversed, or with wide steps."""
    cupy = importlib.import_module("cupy")
    rows, columns = a.shape
    wide = cupy.asarray(rng.random((2 * rows + 3, 2 * columns + 3)).astype(a.dtype))
    views = {
        "C": lambda: cupy.asarray(a),
        "F": lambda: cupy.asarray(np.ascontiguousarray(a.T)).T,
        "rows": lambda: wide[1 : 1 + rows, 2 : 2 + columns],
        "rows of the transpose": lambda: cupy.asarray(rng.random((columns, rows + 2)).astype(a.dtype))[:, :rows].T,
        "steps": lambda: wide[0 : 2 * rows : 2, 0 : 2 * columns : 2],
        "reversed": lambda: cupy.asarray(a)[::-1, :],
        "part of a buffer": lambda: cupy.asarray(np.zeros(a.size + 5, a.dtype))[3 : 3 + a.size].reshape(rows, columns),
    }
    view = views[layout]()
    view[...] = cupy.asarray(a)
    return view


LAYOUTS = ("C", "F", "rows", "rows of the transpose", "steps", "reversed", "part of a buffer")


@needs_cupy
def test_four_hundred_products_of_all_layouts_equal_numpy(blas, stream, library):
    rng = np.random.default_rng(0)
    made = 0
    for case in range(400):
        n, k, m = rng.integers(1, 9, 3) if case % 4 else rng.choice([1, 1, 2, 7], 3)
        dtype = rng.choice(["float32", "float64"])
        a, b = rng.random((n, k)).astype(dtype), rng.random((k, m)).astype(dtype)
        layouts = rng.choice(LAYOUTS, 3)
        with stream:
            on_device = [put(x, layout, rng) for x, layout in zip((a, b), layouts[:2], strict=True)]
            out = put(np.full((n, m), np.nan, dtype), layouts[2], rng) if case % 3 else None
            result = blas.matmul(*on_device, out=out)
            assert out is None or result is out
            assert (result.shape, result.dtype) == ((n, m), dtype)
            np.testing.assert_allclose(result.get(), a @ b, rtol=16 * np.finfo(dtype).eps, err_msg=str(layouts))
            for array, expected in zip(on_device, (a, b), strict=True):
                np.testing.assert_array_equal(array.get(), expected)
        made += (n, m) != (1, 1)
    assert len(library.products()) == made > 300


@needs_cupy
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (1, 3), (1, 1)])
def test_what_is_contiguous_is_not_copied(layout, shape, cupy):
    rng = np.random.default_rng(0)
    x = put(rng.random(shape), layout, rng)
    for view in (x, x.T):
        operand, transposed, distance = _operand(view, 0)
        assert operand is view
        assert distance >= (view.shape[0] if transposed == 0 else view.shape[1])


@needs_cupy
def test_a_result_lies_where_it_is_wanted_and_beside_it_nothing_changes(blas, stream, cupy):
    with stream:
        buffer = cupy.asarray(np.full(20, 7.0, np.float32))
        x, y = cupy.asarray(np.eye(3, dtype=np.float32)), cupy.asarray(np.ones((3, 4), np.float32))
        blas.matmul(x, y, out=buffer[5:17].reshape(3, 4))
        assert buffer.get().tolist() == [7.0] * 5 + [1.0] * 12 + [7.0] * 3


@needs_cupy
@pytest.mark.parametrize("place", ["the first", "the second", "the second, transposed", "part of the first", "both"])
def test_a_result_in_the_place_of_an_operand(blas, stream, place, cupy):
    """The other operand lies elsewhere, so that each of the two is looked at for itself."""
    a, b = np.random.default_rng(0).random((2, 3, 3))
    with stream:
        memory, y = cupy.asarray(np.append(a, np.zeros((1, 3)), axis=0)), cupy.asarray(b)
        x = memory[:3]
        out = {
            "the first": x,
            "the second": y,
            "the second, transposed": y,
            "part of the first": memory[1:],
            "both": x,
        }[place]
        if place == "both":
            b, y = a, x
        elif place == "the second, transposed":
            b, y = b.T, y.T
        assert blas.matmul(x, y, out=out) is out
        np.testing.assert_allclose(out.get(), a @ b)


@needs_cupy
@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((3, 0), np.float32), np.ones((0, 2), np.float32)),  # the sum of nothing
        (np.ones((0, 3), np.float32), np.ones((3, 2), np.float32)),
        (np.arange(3.0), np.arange(12.0).reshape(3, 4)),
        (np.arange(12.0).reshape(4, 3), np.arange(3.0)),
        (np.arange(3.0), np.arange(3.0)),
        (np.arange(3.0)[None], np.arange(3.0)[:, None]),  # an inner product
        (np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2)),  # integers
        (np.arange(6.0, dtype=np.float32).reshape(2, 3), np.arange(6.0).reshape(3, 2)),  # of two dtypes
    ],
    ids=lambda x: f"{x.dtype}{list(x.shape)}",
)
@pytest.mark.parametrize("given", [False, True], ids=["new", "out"])
def test_vectors_empty_arrays_integers_and_two_dtypes_in_a_capture(blas, stream, a, b, given, cupy):
    expected = a @ b
    with stream:
        x, y = cupy.asarray(a), cupy.asarray(b)
        out = cupy.asarray(np.full(expected.shape, 9, expected.dtype)) if given else None
        stream.begin_capture()
        result = blas.matmul(x, y, out=out)
        stream.end_capture().launch(stream)
        assert result is out or not given
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result.get(), expected)


@needs_cupy
@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (np.ones((2, 2, 3), np.float32), np.ones((3, 4), np.float32), r"xp.matmul of float32 \(2, 2, 3\) and float32"),
        (np.ones((2, 3), np.float16), np.ones((3, 4), np.float16), r"xp.matmul of float16 \(2, 3\)"),
    ],
)
def test_what_cannot_be_captured_is_named(blas, stream, a, b, says, cupy):
    with stream:
        x, y = cupy.asarray(a), cupy.asarray(b)
        stream.begin_capture()
        with pytest.raises(CaptureError, match=says):
            blas.matmul(x, y)
        stream.end_capture()


@needs_cupy
def test_shapes_that_do_not_fit_get_the_error_that_cupy_has_for_them(blas, stream, cupy):
    x = cupy.asarray(np.ones((2, 3)))
    with stream, pytest.raises(ValueError, match="mismatch"):
        blas.matmul(x, x)
    with stream, pytest.raises(ValueError, match=r"out has the shape \(2, 3\), but the product has the shape \(2, 2\)"):
        blas.matmul(x, x.T, out=cupy.asarray(np.ones((2, 3))))


@needs_cupy
@pytest.mark.parametrize(
    ("cupys", "dtype", "expected"),
    [
        (1, "float32", (0, 68)),
        (2, "float32", (0, 69)),
        (7, "float32", (0, 77)),
        (1, "float64", (1, 70)),
        (2, "float64", (1, 71)),
        (7, "float64", (1, 70)),
    ],
)
def test_the_compute_type_is_cupys(blas, stream, library, monkeypatch, cupys, dtype, expected, cupy):
    monkeypatch.setattr(cupy._core, "get_compute_type", lambda dtype: cupys)
    with stream:
        x = cupy.asarray(np.ones((2, 2), dtype))
        blas.matmul(x, x)
    assert library.products() == [(*expected, 99)]


@needs_cupy
@pytest.mark.parametrize(
    ("capability", "algorithm", "mib"), [("75", -1, 4), ("80", 99, 4), ("90", 99, 32), ("120", 99, 12)]
)
def test_algorithm_and_workspace_are_those_of_the_device(
    library, stream, monkeypatch, capability, algorithm, mib, cupy
):
    monkeypatch.setattr(cupy.cuda, "Device", lambda: SimpleNamespace(compute_capability=capability))
    blas = Cublas(cupy, stream)
    with stream:
        x = cupy.asarray(np.ones((2, 2)))
        blas.matmul(x, x)
    assert library.products() == [(1, 70, algorithm)]
    ((_, _, size),) = library.named("cublasSetWorkspace_v2")
    assert size == workspace_size(int(capability)) == mib * 2**20


@needs_cupy
def test_the_workspace_is_given_after_the_stream_and_lives_as_long_as_the_handle(library, stream, cupy):
    def allocated():
        return cupy.get_default_memory_pool().used_bytes()

    before = allocated()
    blas = Cublas(cupy, stream)
    names = [name for name, _ in library.noted]
    assert names.index("cublasSetStream_v2") < names.index("cublasSetWorkspace_v2")  # it would take it away
    ((_, pointer),), ((_, _, size),) = library.named("cublasSetStream_v2"), library.named("cublasSetWorkspace_v2")
    assert pointer == stream.ptr != cupy.cuda.Stream.null.ptr
    assert allocated() == before + size
    blas.close()
    assert len(library.named("cublasDestroy_v2")) == 1
    assert allocated() == before
    blas.close()  # again
    assert len(library.named("cublasDestroy_v2")) == 1


@needs_cupy
def test_a_handle_that_is_forgotten_is_freed(library, stream, cupy):
    blas = Cublas(cupy, stream)
    finalizer = blas._finalizer
    assert not finalizer.atexit
    del blas
    assert len(library.named("cublasDestroy_v2")) == 1
    assert not finalizer.alive


@needs_cupy
def test_a_call_that_fails_is_named(library, stream, monkeypatch, cupy):
    blas = Cublas(cupy, stream)
    monkeypatch.setattr(module, "_operand", lambda x, transposed: (x, transposed, 1))  # columns on top of one another
    with stream:
        x = cupy.asarray(np.ones((2, 2)))
        with pytest.raises(
            CaptureError, match=r"cublasGemmEx of cuBLAS, which returned CUBLAS_STATUS_INVALID_VALUE \(7\)"
        ):
            blas.matmul(x, x)


@needs_stand_in
def test_without_its_workspace_a_product_cannot_be_captured(library, stream, cupy):
    """cuBLAS would allocate one of its own, in the midst of the capture."""
    blas = Cublas(cupy, stream)
    with stream:
        x = cupy.asarray(np.ones((2, 2)))
        blas.matmul(x, x)
        library.cublasSetStream_v2(blas._handle, stream.ptr)  # which takes the workspace away
        stream.begin_capture()
        with pytest.raises(CaptureError, match="cublasGemmEx of cuBLAS, .* returned CUBLAS_STATUS_ALLOC_FAILED"):
            blas.matmul(x, x)
        stream.end_capture()
    blas.close()


@needs_cupy
def test_a_library_that_is_not_there_is_named(monkeypatch, stream, cupy):
    def missing():
        raise ImportError("libcublas.so.12: cannot open shared object file")

    monkeypatch.setattr(module, "_open_library", missing)
    load_library.cache_clear()
    with pytest.raises(CaptureError, match=r"the cuBLAS library, which cannot be loaded: libcublas\.so\.12"):
        Cublas(cupy, stream)


# --- CuPy itself, which can be looked at without a GPU ---------------------------------------------------------------


@pytest.fixture(scope="module")
def real_cupy():
    if os.environ.get("XPNET_NEEDS_CUPY"):
        import cupy as real

        return real
    return pytest.importorskip("cupy", reason="needs CuPy, though no GPU: nox -s cupy_names")


def test_cupy_has_what_is_used_of_it(real_cupy):
    import inspect
    from importlib.metadata import requires

    for name in (
        "matmul",
        "dot",
        "asarray",
        "array",
        "random",
        "empty",
        "ones",
        "arange",
        "may_share_memory",
        "ndarray",
    ):
        assert hasattr(real_cupy, name), name
    cuda = real_cupy.cuda
    for name in ("Device", "Event", "Graph", "Memory", "MemoryPointer", "MemoryPool", "Stream", "alloc"):
        assert hasattr(cuda, name), name
    for owner, names in {
        cuda.Stream: "begin_capture end_capture is_capturing synchronize wait_event __enter__ ptr",
        cuda.Event: "record",
        cuda.Graph: "launch upload",
        cuda.MemoryPool: "malloc free_all_blocks set_limit",
        cuda.MemoryPointer: "ptr mem",
        cuda.Device: "compute_capability __enter__",
        real_cupy.ndarray: "astype copy data device flags itemsize reshape strides T",
        cuda.runtime: "CUDARuntimeError",
    }.items():
        assert not [name for name in names.split() if name != "ptr" and not hasattr(owner, name)], owner
    assert "non_blocking" in inspect.signature(cuda.Stream).parameters
    assert "disable_timing" in inspect.signature(cuda.Event).parameters
    assert "allocator" in inspect.signature(cuda.using_allocator).parameters
    assert issubclass(cuda.memory.OutOfMemoryError, MemoryError)
    assert "size" in cuda.MemoryPool.set_limit.__doc__.splitlines()[0]
    assert real_cupy._core.get_compute_type("float32") in (1, 7)
    (wheel,) = (name.split()[0] for name in installed_cupy_wheels())
    assert any(line.startswith("cuda-pathfinder") for line in requires(wheel))  # which finds the library on Windows


def test_without_a_gpu_the_real_cublas_is_refused_with_a_name(real_cupy):
    """Where the library is installed, it is the one that CuPy is linked with; where not, that is said."""
    load_library.cache_clear()
    try:
        loaded = load_library()
    except CaptureError as error:
        assert "cublas" in str(error)  # noqa: PT017
    else:
        assert loaded.cublasGemmEx.argtypes
        assert module._status_name(loaded, 7) == "CUBLAS_STATUS_INVALID_VALUE (7)"
    finally:
        load_library.cache_clear()
