"""Choosing a backend, finding an array's module, and the two doors."""

import functools
import importlib
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from remedies import codes, said

import xpnet
from xpnet import asarray, get_array_module, get_backend, set_backend, to_numpy, use_backend
from xpnet.__main__ import main
from xpnet._core.arrays import accepts_out, arange, dtype_name, is_array, is_writable
from xpnet.backend import Backend, backend_of, chosen_backend, synchronize
from xpnet.errors import ArrayMixError, BackendError, DtypeError
from xpnet.testing.counting import COUNTING, CountedArray

STRICT = "array_api_strict:device1"


def test_order_of_choice(monkeypatch):
    assert get_backend().name == "numpy"
    monkeypatch.setenv("XPNET_BACKEND", STRICT)  # read at first use, not at import
    assert get_backend().name == STRICT
    set_backend("numpy")
    assert get_backend().name == "numpy"
    with use_backend(COUNTING):
        assert get_backend() is COUNTING
        with use_backend(STRICT):
            assert get_backend().name == STRICT
        assert get_backend() is COUNTING
        assert get_backend("numpy").name == "numpy"
    assert get_backend().name == "numpy"
    set_backend(None)
    assert get_backend().name == STRICT


def test_who_asked(monkeypatch):
    assert chosen_backend() == ("numpy", "the default")
    monkeypatch.setenv("XPNET_BACKEND", "auto")
    assert chosen_backend()[1] == "the environment variable XPNET_BACKEND"
    assert chosen_backend("numpy")[1] == "the backend= argument"


# --- a backend by the name of its module ------------------------------------------------------------------------------

NAMED = """
__array_api_version__ = "2024.12"
class Array: pass
def zeros(shape, device=None): return Array()
"""


@pytest.mark.parametrize("entry", ["", ".", None], ids=["the empty entry", "a dot", "its path"])
@pytest.mark.parametrize("form", ["{}.py", "{}/__init__.py", "{}/inside.py"])
def test_a_module_of_the_working_folder_is_not_run(monkeypatch, tmp_path, entry, form):
    name = f"lies_here_{len(form)}_{entry if entry is None else len(entry)}"
    file = tmp_path / form.format(name)
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"open({str(tmp_path / 'was run')!r}, 'w')\n{NAMED}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path) if entry is None else entry)
    asked = f"{name}.inside" if "inside" in form else name
    monkeypatch.setenv("XPNET_BACKEND", asked)
    says = f"There is no backend '{asked}': the module `{name}` is in the working folder.*`import {name}` first"
    for call in (get_backend, lambda: get_backend(asked), lambda: set_backend(asked), lambda: asarray([1.0])):
        with pytest.raises(BackendError, match=says):
            call()
    assert not (tmp_path / "was run").exists()
    assert name not in sys.modules


def test_a_module_that_hides_an_installed_one_is_not_run_either(monkeypatch, tmp_path):
    (tmp_path / "array_api_strict.py").write_text("raise SystemExit('was run')")
    code = "import xpnet; xpnet.asarray([1.0])"
    environment = os.environ | {"XPNET_BACKEND": "array_api_strict", "PYTHONPATH": str(Path(xpnet.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "`array_api_strict` is in the working folder" in done.stderr


def test_a_module_from_elsewhere_or_imported_before_is_used(monkeypatch, tmp_path):
    folder = tmp_path / "site-packages"  # also below the working folder, as in an environment within a project
    folder.mkdir()
    (folder / "installed_array_module.py").write_text(NAMED)
    (tmp_path / "imported_array_module.py").write_text(NAMED)
    monkeypatch.chdir(tmp_path)
    for entry in (folder, ""):
        monkeypatch.syspath_prepend(str(entry))
    assert get_backend("installed_array_module").name == "installed_array_module"
    importlib.import_module("imported_array_module")  # the remedy of the message
    assert get_backend("imported_array_module").name == "imported_array_module"


def test_context_is_restored_after_an_error_and_is_the_threads_own():
    seen = []
    with pytest.raises(RuntimeError), use_backend(COUNTING):
        thread = threading.Thread(target=lambda: seen.append(get_backend().name))
        thread.start()
        thread.join()
        raise RuntimeError
    assert seen == ["numpy"]
    assert get_backend().name == "numpy"


def test_a_wrong_choice_changes_nothing():
    with pytest.raises(BackendError, match="'nmpy'.*Choose 'numpy', 'cupy' or 'auto'"):
        set_backend("nmpy")
    assert get_backend().name == "numpy"
    with pytest.raises(BackendError, match="does not follow the Python array API standard"):
        get_backend("os")
    with pytest.raises(BackendError, match="has no device 'device9'"):
        get_backend("array_api_strict:device9")


class FakeCupy:
    """Enough of CuPy to be loaded: with devices, or with the error that its driver gives."""

    __version__ = "14.0"

    def __init__(self, answer):
        def count():
            if isinstance(answer, Exception):
                raise answer
            return answer

        runtime = type("runtime", (), {"getDeviceCount": staticmethod(count)})
        self.cuda = type("cuda", (), {"runtime": runtime})


@pytest.fixture
def cupy(monkeypatch):
    """Put a fake CuPy in the place of the real one, for which what is remembered of that is not used, nor lost."""
    from xpnet import backend
    from xpnet._core import cupy as cupy_namespace

    def install(module, wheels):
        made_anew = functools.cache(backend._cupy_backend.__wrapped__)
        monkeypatch.setattr(backend, "_cupy_backend", made_anew)
        monkeypatch.setitem(backend._BUILDERS, "cupy", made_anew)
        namespace = functools.cache(cupy_namespace.cupy_namespace.__wrapped__)
        monkeypatch.setattr(cupy_namespace, "cupy_namespace", namespace)
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.setattr(cupy_namespace, "installed_cupy_wheels", lambda: wheels)

    return install


@pytest.mark.parametrize(
    ("module", "wheels", "says"),
    [
        (None, [], "not installed.*pip install '.\\[cuda12\\]'"),
        (None, ["cupy-cuda12x 14.0", "cupy-cuda13x 14.0"], "cannot be imported.*Two CuPy wheels.*pip uninstall"),
        (
            FakeCupy(RuntimeError("cudaErrorNoDevice")),
            ["cupy-cuda12x 14.0"],
            "no CUDA device answers.*cudaErrorNoDevice",
        ),
        (FakeCupy(0), ["cupy-cuda12x 14.0"], "no CUDA device answers: it sees no CUDA device"),
    ],
)
def test_cupy_that_cannot_run_says_why_and_is_never_quietly_numpy(cupy, caplog, module, wheels, says):
    cupy(module, wheels)
    with pytest.raises(BackendError, match=says):
        get_backend("cupy")
    with caplog.at_level(logging.INFO, "xpnet"):
        assert get_backend("auto").name == "numpy"
    assert "backend auto: numpy, because" in caplog.text


def test_what_to_do_where_no_device_answers(cupy, monkeypatch, capsys):
    cupy(FakeCupy(0), ["cupy-cuda12x 14.0"])
    monkeypatch.setenv("XPNET_BACKEND", "cupy")
    look, choose = codes(said(get_backend))
    assert look.startswith("python -m xpnet ")
    assert main(look.split()[3:]) == 1  # the backend cannot run
    assert "GPUs         none: CuPy sees no CUDA device" in capsys.readouterr().out
    monkeypatch.setenv(*choose.split("="))
    assert get_backend().name == "numpy"


def test_cupy_with_a_device_is_a_thin_namespace_over_it(cupy):
    module = FakeCupy(1)
    cupy(module, ["cupy-cuda12x 14.0"])
    chosen = get_backend("CuPy")
    assert chosen.name == "cupy"
    assert chosen.xp.cuda is module.cuda
    assert accepts_out(chosen.xp)
    assert get_backend("cupy").xp is chosen.xp


def test_an_array_of_cupy_is_known_before_anything_was_done_with_it():
    """CuPy's have no ``__array_namespace__``, unlike those of every other library."""
    kind = type("ndarray", (), {"__module__": "cupy", "__cuda_array_interface__": {}})
    assert is_array(kind())
    assert not is_array(type("Stream", (), {"__module__": "cupy.cuda.stream"})())


def test_array_module_of_numpy_is_numpy_itself():
    assert get_array_module(np.ones(3)) is np
    assert get_array_module(np.float32(1)) is np
    assert get_array_module(np.float16(1)) is np


def test_array_module_refuses_what_is_none_and_what_does_not_match(be):
    x = be.put(np.ones(3))
    assert get_array_module(x, x) is be.xp
    with pytest.raises(ArrayMixError, match="x must be an array, got list. Use `numpy.asarray"):
        get_array_module([1.0])
    other = asarray([1.0], backend=COUNTING)
    with pytest.raises(ArrayMixError, match="Arrays of two libraries met: .*CountedArray"):
        get_array_module(x, other)


def test_the_two_doors(be):
    host = np.arange(6, dtype="int64").reshape(2, 3)
    there = asarray(host, dtype=be.dtype, backend=be.backend)
    assert get_array_module(there) is be.xp
    assert dtype_name(there) == be.dtype
    back = to_numpy(there)
    assert type(back) is np.ndarray
    np.testing.assert_array_equal(back, host)
    beside = asarray([1, 2], like=there)
    assert backend_of(beside).xp is be.xp
    assert getattr(beside, "device", None) == getattr(there, "device", None)
    assert asarray(there, like=there) is there
    assert dtype_name(asarray(there, like=there, dtype="float32")) == "float32"


def test_what_has_moved_shares_no_memory(be):
    host = np.zeros(3, dtype=be.dtype)
    there = asarray(host, backend=be.backend)
    host[0] = 1
    if be.name == "numpy":
        assert there is host
    else:
        np.testing.assert_array_equal(to_numpy(there), [0, 0, 0])


def test_what_another_library_only_lends_is_copied(be):
    """The memory of JAX's and other arrays is for reading only, NumPy's own arrays are taken as they are."""

    class Lent:
        def __array__(self, dtype=None, copy=None):
            return lent

    lent = np.arange(3, dtype=be.dtype)
    lent.flags.writeable = False
    mine = asarray(Lent(), backend="numpy")
    mine += 1
    assert mine.tolist() == [1, 2, 3]
    assert lent.tolist() == [0, 1, 2]
    assert asarray(lent, backend="numpy") is lent
    host = asarray(be.put(np.ones(3)), backend="numpy")
    assert host.flags.writeable


def test_what_is_no_number_does_not_come_in():
    with pytest.raises(DtypeError, match="Expected numbers"):
        asarray(["a", "b"])
    with pytest.raises(DtypeError, match="Expected numbers"):
        asarray(None)


def test_arange_lies_beside_its_like(be):
    like = be.put(np.ones(2))
    integers = arange(3, like=like)
    assert getattr(integers, "device", None) == getattr(like, "device", None)
    np.testing.assert_array_equal(to_numpy(integers), [0, 1, 2])


def test_writable(be):
    assert is_writable(be.put(np.ones(3))) == (be.name != "jax")
    frozen = np.ones(3)
    frozen.flags.writeable = False
    assert not is_writable(frozen)


def test_synchronize_and_description(be):
    x = be.put(np.ones(2))
    synchronize(x)
    synchronize()
    assert backend_of(x).describe_device()
    assert get_backend("numpy").describe().startswith(f"numpy {np.__version__} on ")


def test_a_backend_of_ones_own():
    mine = Backend("mine", COUNTING.xp)
    assert isinstance(asarray([1.0], backend=mine), CountedArray)
