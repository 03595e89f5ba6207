"""The course's notebooks are up to date and run, and the checks of the exercises tell right answers from wrong ones."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from answers import RIGHT, WRONG
from course_figures import SHORTER

import xpnet

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed; the session `notebooks` has it")
for module in ("jupytext", "nbclient", "ipykernel"):
    pytest.importorskip(module, reason=f"{module} is not installed; the session `notebooks` has it")

COURSE = Path(__file__).parents[3] / "examples" / "course"
PROGRAMS = sorted(path.stem for path in COURSE.glob("[0-9][0-9]_*.py"))
EXERCISES = sorted(path.stem for path in (COURSE / "exercises").glob("*.py"))
BLANK = "...  # your code here"


def load_generator(course: Path) -> Any:
    """The program make_notebooks.py of a course's folder, as a module."""
    spec = importlib.util.spec_from_file_location("make_notebooks", course / "make_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator(COURSE)
NOTEBOOKS = {path.stem: made for path, made in GENERATOR.notebooks().items()}


def source_of(name: str) -> str:
    folder = COURSE if name in PROGRAMS else COURSE / "exercises"
    return (folder / f"{name}.py").read_text(encoding="utf-8")


@pytest.fixture
def needs(request):
    """Skip where what a notebook loads is not on this machine; nothing is downloaded in a test."""

    def check(name: str) -> None:
        if "load_mnist" in source_of(name):
            request.getfixturevalue("mnist")
        if "load_sample_weight" in source_of(name):
            folder = Path(os.environ.get("XPNET_DATA_DIR", ""))
            if not any((folder / sub / "sample_weight.pkl").exists() for sub in ("", "book")):
                pytest.skip("needs the pre-trained weights: set XPNET_DATA_DIR to a folder with sample_weight.pkl")

    return check


# --- what is generated ----------------------------------------------------------------------------------------------


def test_every_program_and_every_exercise_of_the_course_is_there():
    assert [name[:2] for name in PROGRAMS] == [f"{number:02}" for number in range(1, 30)]
    assert set(EXERCISES) == set(WRONG) == set(RIGHT)
    assert len(EXERCISES) == 8


def test_the_committed_notebooks_are_up_to_date(capsys):
    assert GENERATOR.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_valid_and_holds_nothing_that_a_run_leaves(name):
    made = NOTEBOOKS[name]
    nbformat.validate(made)
    assert made.metadata == {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    assert [cell.id for cell in made.cells] == [f"cell-{number}" for number in range(len(made.cells))]
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert all(cell.metadata == {} and cell.source == cell.source.strip() != "" for cell in made.cells)
    assert made.cells[0].source.startswith("# ")
    assert code[0] is made.cells[1]
    assert code[0].source.startswith("%matplotlib inline")
    assert ("# %env XPNET_BACKEND=cupy" in code[0].source) == (name in PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_line_of_a_program_is_lost(name):
    docstring, _, code = source_of(name).removeprefix('"""').partition('"""')
    cells = NOTEBOOKS[name].cells
    heading, _, text = cells[0].source.partition("\n")
    assert f"{heading.removeprefix('# ')}.\n{text}".strip() == docstring.strip()
    titles = re.findall(r"^# %% (?!\[)(.+)$", code, re.MULTILINE)
    assert [cell.source for cell in cells[1:] if cell.source.startswith("## ")] == [f"## {title}" for title in titles]
    shown = [line for cell in cells[2:] if cell.cell_type == "code" for line in cell.source.splitlines() if line]
    added = ["graph"] * code.count("graph.draw(")  # for the notebook to show
    assert [line for line in shown if line != "graph"] == [
        line for line in code.splitlines() if line and not line.startswith("# %%")
    ]
    assert [line for line in shown if line == "graph"] == added


@pytest.mark.parametrize("name", EXERCISES)
def test_the_student_gets_blanks_and_the_solution_has_none(name):
    solutions = [block[2] for block in GENERATOR.SOLUTION.finditer(source_of(name))]
    assert len(solutions) == len({number for number, _, _ in WRONG[name]})
    student, solved = (as_code(NOTEBOOKS[stem]) for stem in (name, f"{name}_solution"))
    assert student.count(BLANK) >= len(solutions)
    assert not any(solution in student for solution in solutions)
    assert all(solution in solved for solution in solutions)
    for code in (student, solved):
        assert "# BEGIN" not in code
        assert "# END" not in code
    assert BLANK not in solved
    assert NOTEBOOKS[name].cells[0].source.count(BLANK) == 1
    assert any("**실습:**" in cell.source for cell in NOTEBOOKS[name].cells)


def as_code(made: Any) -> str:
    return "\n".join(f"{cell.source}\n" for cell in made.cells if cell.cell_type == "code")


# --- the program that generates them --------------------------------------------------------------------------------


@pytest.fixture
def course(tmp_path):
    """A copy of the course."""
    return Path(shutil.copytree(COURSE, tmp_path / "course", ignore=shutil.ignore_patterns("__pycache__", ".ipynb_*")))


def contents(course: Path) -> dict[str, bytes]:
    return {str(path.relative_to(course)): path.read_bytes() for path in course.rglob("*.ipynb")}


def test_generating_again_gives_the_same_bytes(course):
    committed = contents(course)
    for notebook in course.rglob("*.ipynb"):
        notebook.unlink()
    for _ in range(2):
        assert load_generator(course).main([]) == 0
        assert contents(course) == committed


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: append(c / "01_gates.py", "print(1)\n"), ["01_gates.ipynb is stale"]),
        (lambda c: append(c / "exercises/relu.py", "\n"), []),
        (
            lambda c: append(c / "exercises/relu.py", "print(1)\n"),
            ["relu.ipynb is stale", "relu_solution.ipynb is stale"],
        ),
        (
            lambda c: replace(c / "exercises/relu.py", "maximum(0, x)\n", "maximum(x, 0)\n"),
            ["relu_solution.ipynb is stale"],
        ),
        (lambda c: append(c / "notebooks/03_softmax.ipynb", " "), ["03_softmax.ipynb is stale"]),
        (lambda c: (c / "notebooks/03_softmax.ipynb").unlink(), ["03_softmax.ipynb is missing"]),
        (lambda c: (c / "exercises/relu.ipynb").unlink(), ["relu.ipynb is missing"]),
        (
            lambda c: (c / "04_arrays.py").rename(c / "04_tensors.py"),
            ["04_tensors.ipynb is missing", "04_arrays.ipynb is left over"],
        ),
        (lambda c: (c / "exercises/mine.ipynb").write_text(""), ["mine.ipynb is left over"]),
    ],
)
def test_the_check_names_each_notebook_that_is_not_up_to_date_and_writes_nothing(change, says, course, capsys):
    change(course)
    before = contents(course)
    assert load_generator(course).main(["--check"]) == (1 if says else 0)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == (len(says) + 1 if says else 0)
    assert all(line.split(os.sep)[-1].startswith(expected) for line, expected in zip(told, says, strict=False))
    assert contents(course) == before


@pytest.mark.parametrize(
    "half", ["# BEGIN SOLUTION\nx = 1\n", "x = 1\n# END SOLUTION\n", "  # BEGIN SOLUTION\n# END SOLUTION\n"]
)
def test_half_a_pair_of_markers_is_an_error_and_never_shows_the_solution(half, course):
    append(course / "exercises" / "relu.py", half)
    with pytest.raises(SystemExit, match=r"relu\.py.*a pair"):
        load_generator(course).main([])


def test_names_need_execute_and_an_unknown_name_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit, match="There is no notebook 99_nothing. There are: 01_gates"):
        GENERATOR.main(["--execute", str(tmp_path), "99_nothing"])
    with pytest.raises(SystemExit):
        GENERATOR.main(["01_gates"])
    assert "Names need `--execute FOLDER`" in capsys.readouterr().err


# --- running them ---------------------------------------------------------------------------------------------------


def execute(name: str, folder: Path) -> tuple[subprocess.CompletedProcess[str], Any]:
    """Run a notebook with make_notebooks.py in a process of its own; what came of it, and the executed notebook."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MPLBACKEND", "XPNET_BACKEND")}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(Path(xpnet.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel and not the user's
        "IPYTHONDIR": str(folder / "ipython"),
        "OPENBLAS_NUM_THREADS": "1",
    }
    profile = folder / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    # The kernel's own arguments are none of the program's; with one of its own a long program is short.
    line = f"import sys; sys.argv[1:] = {[SHORTER[name]] if name in SHORTER else []}"
    (profile / "ipython_kernel_config.py").write_text(f"c.InteractiveShellApp.exec_lines = [{line!r}]\n")
    result = subprocess.run(
        [sys.executable, str(COURSE / "make_notebooks.py"), "--execute", str(folder / "executed"), name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=7200,
        check=False,
    )
    return result, nbformat.read(folder / "executed" / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize("name", [*PROGRAMS, *(f"{exercise}_solution" for exercise in EXERCISES)])
def test_a_program_and_a_solution_run_to_their_end(name, needs, tmp_path):
    needs(name.removesuffix("_solution"))
    result, executed = execute(name, tmp_path)
    assert result.returncode == 0, result.stderr
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    told = "".join(output.text for output in outputs if output.output_type == "stream")
    assert told.count("All right") == sum("# Check" in cell.source for cell in executed.cells)
    if "save_figure(" in as_code(executed) or "plt.subplots" in as_code(executed):
        assert any("image/png" in output.get("data", {}) for output in outputs), "no picture is shown"
    graphs = sum("image/svg+xml" in output.get("data", {}) for output in outputs)
    assert graphs == (as_code(executed).count("graph.draw(") if shutil.which("dot") else 0)
    assert not list(tmp_path.glob("output*")), "it wrote beside itself, and not into its own folder"


@pytest.mark.parametrize("name", EXERCISES)
def test_the_students_notebook_stops_at_its_first_check_and_says_what_to_do(name, needs, tmp_path):
    needs(name)
    result, executed = execute(name, tmp_path)
    assert result.returncode == 1
    place = next(i for i, cell in enumerate(executed.cells) if cell.source.startswith("## Check"))
    heading, check = executed.cells[place].source.removeprefix("## "), executed.cells[place + 1]
    # A kernel that is shut down may have something to say of its own.
    [line] = [line for line in result.stderr.splitlines() if line.startswith(f"{name}.ipynb")]
    assert line.startswith(f"{name}.ipynb, cell {place + 2} ({heading}): AssertionError: ")
    assert re.search("still blank|returns nothing yet|has not been called yet", line)
    assert [output.output_type for output in check.outputs] == ["error"]
    ran = [cell for cell in executed.cells[:place] if cell.cell_type == "code"]
    assert all(cell.execution_count and "error" not in [o.output_type for o in cell.outputs] for cell in ran)
    assert not any(cell.get("execution_count") for cell in executed.cells[place + 2 :])


# --- the checks -----------------------------------------------------------------------------------------------------


@pytest.fixture
def plain(needs, monkeypatch):
    """Run an exercise's cells in this process; gives the number of the cell that is run, for when one fails."""
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: None)  # there is no screen
    monkeypatch.setattr(xpnet, "load_mnist", cache(xpnet.load_mnist))  # half a second each time
    reached = []

    def run(name: str, block: int, answer: str) -> int:
        needs(name)
        made = answered(name, block, answer)
        names: dict[str, Any] = {}
        for number, cell in enumerate(made.cells):
            if cell.cell_type == "code" and not cell.source.startswith("%"):
                reached[:] = [number]
                exec(compile(cell.source, f"{name}, cell {number}", "exec"), names)
        return len(made.cells)

    run.reached = reached
    yield run
    plt.close("all")


def answered(name: str, block: int, answer: str) -> Any:
    """The notebook with this answer in the place of one solution; the others are as they should be."""
    source = source_of(name)
    found = list(GENERATOR.SOLUTION.finditer(source))[block]
    answer = textwrap.indent(textwrap.dedent(answer).strip("\n"), found[1])
    source = f"{source[: found.start()]}{answer}  # the answer\n{source[found.end() :]}"
    return GENERATOR.notebook(GENERATOR.SOLUTION.sub(r"\2", source), GENERATOR.SETUP, name)


@pytest.mark.parametrize(
    ("name", "block", "answer", "hint"), [(name, *wrong) for name in WRONG for wrong in WRONG[name]]
)
def test_a_wrong_answer_is_refused_by_the_check_that_follows_it(name, block, answer, hint, plain):
    with pytest.raises(AssertionError, match=hint):
        plain(name, block, answer)
    cells = answered(name, block, answer).cells
    place = next(number for number, cell in enumerate(cells) if "# the answer" in cell.source)
    check = next(number for number, cell in enumerate(cells) if number > place and cell.cell_type == "code")
    assert plain.reached == [check]
    assert cells[check - 1].source.startswith("## Check")


@pytest.mark.parametrize(("name", "block", "answer"), [(name, *right) for name in RIGHT for right in RIGHT[name]])
def test_another_right_answer_is_accepted(name, block, answer, plain, capsys):
    plain(name, block, answer)
    headings = [cell.source for cell in answered(name, block, answer).cells if cell.source.startswith("## Check")]
    assert capsys.readouterr().out.count("All right") == len(headings)
