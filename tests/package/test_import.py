"""What `import xpnet` costs, and what it gives."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import xpnet

STUB = Path(xpnet.__file__).with_suffix(".pyi")
LISTED = {
    alias.name: f"xpnet.{node.module}"
    for node in ast.parse(STUB.read_text()).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}


def run(code):
    """The output of a program in an interpreter of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_it_loads_next_to_nothing():
    """Not even NumPy, before something is used; so it costs less than ``import numpy``."""
    heavy = ("numpy", "cupy", "torch", "jax", "matplotlib", "graphviz", "tqdm", "safetensors", "pooch", "xpnet.backend")
    loaded = run("import sys, xpnet; print(*sys.modules)")
    assert not set(heavy) & set(loaded)


def test_everything_in_it_brings_numpy_and_little_else():
    """From outside the standard library; tqdm, safetensors, pooch, matplotlib and the rest when they are needed."""
    roots = {name.partition(".")[0] for name in run("import sys; from xpnet import *; print(*sys.modules)")}
    outside = roots - set(sys.stdlib_module_names) - {"xpnet", "__main__"}
    by_themselves = ("_", "cython_runtime", "sitecustomize")  # NumPy's own, or the environment's
    assert {name for name in outside if not name.startswith(by_themselves)} <= {"numpy", "lazy_loader", "packaging"}


@pytest.mark.parametrize("name", LISTED)
def test_each_public_name_is_the_one_of_its_module(name):
    assert getattr(xpnet, name) is getattr(importlib.import_module(LISTED[name]), name)
    assert name in dir(xpnet)


def test_the_list_is_whole():
    assert sorted(xpnet.__all__) == sorted(LISTED)
    imports = [node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom)]
    assert all(alias.asname == alias.name for node in imports for alias in node.names)  # else it would be private


def test_its_modules_are_there_without_being_imported():
    assert run("import xpnet; print(xpnet.layers.Affine.__name__, xpnet.testing.__name__)") == [
        "Affine",
        "xpnet.testing",
    ]


def test_an_unknown_name_is_an_attribute_error():
    for name in ("ThreeLayerNets", "_hidden", "__wrapped__"):
        with pytest.raises(AttributeError, match=name):
            getattr(xpnet, name)
    assert not hasattr(xpnet, "nothing_of_the_kind")
