"""The constants of tuning: positive numbers, each described and each used, and read so that a change reaches all."""

import ast
from pathlib import Path

import pytest

import xpnet
from xpnet._core import tuning

FOLDER = Path(xpnet.__file__).parent
SOURCES = {path: path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")}
NAMES = [name for name in vars(tuning) if name.isupper()]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_positive_number_that_is_used(name):
    assert getattr(tuning, name) > 0
    assert any(f"tuning.{name}" in source for source in SOURCES.values())


def test_none_is_bound_where_a_change_would_not_reach_it():
    for path, source in SOURCES.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module == "xpnet._core.tuning":
                pytest.fail(f"{path} imports {[alias.name for alias in node.names]} by name.")
