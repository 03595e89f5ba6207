"""That CuPy has every function that the layers call, with those arguments: read from the source, with no GPU.

CuPy can be imported where there is no GPU, though it cannot make an array. Run by ``nox -s cupy_names``.
"""

import ast
import importlib
import inspect
import os
from pathlib import Path

import pytest

import xpnet

SOURCE = Path(xpnet.__file__).parent
NOT_LAYERS = {"counting.py", "operation.py"}  # these call tracers of array modules too


def calls() -> dict[tuple[str, int, tuple[str, ...]], str]:
    """Each ``xp.name(...)`` in the library, with its number of positional arguments and its keywords."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        if path.name in NOT_LAYERS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                is_xp = isinstance(owner, ast.Name) and owner.id == "xp"
                is_lookup = (
                    isinstance(owner, ast.Call)
                    and isinstance(owner.func, ast.Name)
                    and owner.func.id == "get_array_module"
                )
                if (is_xp or is_lookup) and not node.func.attr.startswith("__"):
                    keywords = tuple(k.arg for k in node.keywords if k.arg)
                    found[node.func.attr, len(node.args), keywords] = f"{path.name}:{node.lineno}"
    return found


@pytest.fixture(scope="module")
def cupy():
    if os.environ.get("XPNET_NEEDS_CUPY"):
        return importlib.import_module("cupy")
    return pytest.importorskip("cupy", reason="needs CuPy, though no GPU: nox -s cupy_names")


def test_its_arrays_are_told_by_what_xpnet_looks_at(cupy):
    assert cupy.ndarray.__module__.partition(".")[0] == "cupy"
    assert hasattr(cupy.ndarray, "__cuda_array_interface__")


def test_the_source_is_read():
    names = {name for name, _, _ in calls()}
    assert {"matmul", "sum", "take", "astype", "maximum", "where", "concat", "stack"} <= names
    assert {"tanh", "log1p", "sqrt", "abs", "exp", "log", "zeros_like", "ones_like", "arange", "reshape"} <= names


def test_cupy_has_each_function_and_takes_these_arguments(cupy):
    for (name, positional, keywords), where in calls().items():
        if name in ("zeros", "__array_namespace_info__"):
            continue  # of array API modules, where a backend is made; CuPy is made otherwise
        function = getattr(cupy, name, None)
        assert function is not None, f"{where}: CuPy has no {name}"
        given = tuple(k for k in keywords if k != "device")  # that is never given to CuPy, see arrays.creation_device
        if isinstance(function, cupy.ufunc):
            assert positional == function.nin, f"{where}: {name} takes {function.nin} arguments"
            assert set(given) <= {"out", "dtype", "casting"}, f"{where}: {name}({given})"
            continue
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            assert not given, f"{where}: the keywords of {name} cannot be checked"
            continue
        signature.bind(*[None] * positional, **dict.fromkeys(given))
