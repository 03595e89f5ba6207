"""Where things are: each module of ``xpnet/`` has a file of tests of its name, at the same place in ``tests/``."""

from pathlib import Path

import pytest

import xpnet

SOURCE, TESTS = Path(xpnet.__file__).parent, Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")
)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.with_suffix("").as_posix())
def test_a_module_has_its_tests(module: Path) -> None:
    tests = TESTS / module.parent / f"test_{module.name.lstrip('_')}"
    assert tests.exists(), f"xpnet/{module} has no tests/{tests.relative_to(TESTS)}; move or write its tests there."
    assert "def test_" in tests.read_text(encoding="utf-8"), f"tests/{tests.relative_to(TESTS)} has no tests."


def test_entries_of_the_package_are_few() -> None:
    """So that a reader takes them in at a glance."""
    entries = [path.name for path in SOURCE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 20, entries
