"""Generate the notebooks of the course from its programs and exercises, check that they are up to date, or run them.

    python examples/course/make_notebooks.py                                 write every notebook
    python examples/course/make_notebooks.py --check                         write nothing; list outdated notebooks
    python examples/course/make_notebooks.py --execute FOLDER                run programs and solutions; write to FOLDER
    python examples/course/make_notebooks.py --execute FOLDER 01_gates relu  run only these

A program NN_name.py becomes notebooks/NN_name.ipynb. An exercise exercises/name.py becomes two notebooks in its
folder: name.ipynb for the student, with a blank for each block between ``# BEGIN SOLUTION`` and ``# END SOLUTION``, and
name_solution.ipynb. The program needs additional packages: pip install jupytext nbclient ipykernel
"""

import argparse
import ast
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from tqdm import tqdm

COURSE = Path(__file__).resolve().parent
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
SETUP = "%matplotlib inline"
SETUP_OF_A_PROGRAM = f"""{SETUP}
# The arrays are NumPy's. For a GPU, take the # away from the next line, and restart the kernel before you run it.
# %env XPNET_BACKEND=cupy"""

TITLE, HEADING = re.compile(r"^# %% (?!\[)(.+)$", re.MULTILINE), r"# %% [markdown]\n# ## \1\n\n# %%"
SOLUTION = re.compile(r"^( *)# BEGIN SOLUTION\n(.*?)^\1# END SOLUTION\n", re.DOTALL | re.MULTILINE)
ASSIGNMENT = re.compile(r"( *\w+ = ).*\n")


def notebooks() -> dict[Path, Any]:
    """Return every notebook of the course by its path."""
    made = {}
    for program in sorted(COURSE.glob("[0-9][0-9]_*.py")):
        text = program.read_text(encoding="utf-8")
        made[COURSE / "notebooks" / f"{program.stem}.ipynb"] = notebook(text, SETUP_OF_A_PROGRAM, program.name)
    for exercise in sorted((COURSE / "exercises").glob("*.py")):
        text = exercise.read_text(encoding="utf-8")
        made[exercise.with_suffix(".ipynb")] = notebook(SOLUTION.sub(blank, text), SETUP, exercise.name)
        made[exercise.with_name(f"{exercise.stem}_solution.ipynb")] = notebook(
            SOLUTION.sub(r"\2", text), SETUP, exercise.name
        )
    return made


def blank(block: re.Match[str]) -> str:
    """Return the blank that replaces a solution; a solution of assignments keeps the names."""
    indent, solution = block.groups()
    assignments = [ASSIGNMENT.fullmatch(line) for line in solution.splitlines(keepends=True)]
    left = [found[1] if found else indent for found in assignments] if all(assignments) else [indent]
    return "".join(f"{start}...  # your code here\n" for start in left)


def notebook(source: str, setup: str, name: str) -> Any:
    """Convert a program to a notebook: its docstring, then the setup, then a heading for each title."""
    if "# BEGIN SOLUTION" in source or "# END SOLUTION" in source:
        raise SystemExit(f"{name}: a BEGIN SOLUTION and its END SOLUTION must be a pair, equally indented.")
    tree = ast.parse(source)
    heading, _, text = (ast.get_docstring(tree) or name).partition("\n")
    code = "".join(source.splitlines(keepends=True)[tree.body[0].end_lineno :])
    cells = [
        nbformat.v4.new_markdown_cell(f"# {heading.removesuffix('.')}\n{text}".strip()),
        nbformat.v4.new_code_cell(setup),
        *jupytext.reads(TITLE.sub(HEADING, code.lstrip()), fmt="py:percent").cells,
    ]
    cells = [cell for cell in cells if cell.source]
    for number, cell in enumerate(cells):
        if cell.cell_type == "code" and "graph.draw(" in cell.source:
            cell.source += "\ngraph"  # a notebook shows the value of the last line of a cell
        cell.id, cell.metadata = f"cell-{number}", {}  # nbformat's own names are random
    return nbformat.from_dict({"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})


def as_text(made: Any) -> str:
    """Return the content of the notebook file, which is the same at each call."""
    return f"{nbformat.writes(made)}\n"


def write() -> None:
    """Write every notebook. Answers written into one of them are lost."""
    for path, made in notebooks().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(as_text(made), encoding="utf-8", newline="\n")


def faults() -> list[str]:
    """List each notebook that differs from its source, and why."""
    expected, found = notebooks(), []
    for path, made in expected.items():
        if not path.exists():
            found.append(f"{path.relative_to(COURSE)} is missing")
        elif path.read_text(encoding="utf-8") != as_text(made):
            found.append(f"{path.relative_to(COURSE)} is stale")
    there = sorted(path for folder in ("notebooks", "exercises") for path in (COURSE / folder).glob("*.ipynb"))
    return found + [f"{path.relative_to(COURSE)} is left over: no source" for path in there if path not in expected]


def execute(folder: Path, names: list[str]) -> list[str]:
    """Run notebooks (by default all but the students'), write them with their outputs, and return the errors."""
    chosen = {path.stem: made for path, made in notebooks().items()}
    if unknown := set(names) - set(chosen):
        raise SystemExit(f"There is no notebook {', '.join(sorted(unknown))}. There are: {', '.join(chosen)}.")
    names = names or [name for name in chosen if f"{name}_solution" not in chosen]
    folder.mkdir(parents=True, exist_ok=True)
    wrong = []
    for name in (bar := tqdm(names, unit="notebook", disable=None)):
        bar.set_description(name)
        if fault := run(chosen[name]):
            wrong.append(f"{name}.ipynb, {fault}")
        nbformat.write(chosen[name], folder / f"{name}.ipynb")
    return wrong


def run(made: Any) -> str:
    """Run one notebook in a temporary folder, and return the error, or an empty string."""
    place = "before its first cell"

    def enter(*, cell_index: int, **_: Any) -> None:
        nonlocal place
        above = [cell.source.splitlines()[0] for cell in made.cells[:cell_index] if cell.cell_type == "markdown"]
        place = f"cell {cell_index + 1} ({above[-1].lstrip('# ')})"

    with tempfile.TemporaryDirectory() as scratch:
        where = {"metadata": {"path": scratch}}
        try:
            NotebookClient(
                made,
                timeout=None,
                startup_timeout=600,  # on a busy machine a kernel takes longer than the default of a minute
                kernel_name="python3",
                extra_arguments=["--log-level=ERROR"],  # without it each kernel warns that it uses TCP
                resources=where,
                on_cell_execute=enter,
            ).execute()
        except CellExecutionError as error:
            return f"{place}: {error.ename}: {error.evalue}"
        except DeadKernelError as error:
            return f"{place}: {error}"
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Run the program, and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a notebook is outdated")
    what.add_argument(
        "--execute",
        metavar="FOLDER",
        type=lambda text: Path(text).expanduser(),
        help="run notebooks and write them to FOLDER",
    )
    parser.add_argument("names", nargs="*", help="notebooks to run, without .ipynb (default: programs and solutions)")
    options = parser.parse_args(arguments)
    if options.names and not options.execute:
        parser.error("Names need `--execute FOLDER`.")
    if not (options.check or options.execute):
        write()
        return 0
    wrong = faults() if options.check else execute(options.execute, options.names)
    if wrong and options.check:
        wrong.append("Write them again with `python examples/course/make_notebooks.py`.")
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
