"""How the programs of examples/course are run in tests, and what is asked of each: for the two test files of them.

The slow ones, by numerical gradient or of thousands of iterations, run in the session ``course`` only: on NumPy in
full but for a few, elsewhere shortened by the program's first argument.
"""

import re
import runpy
import sys
from pathlib import Path

import pytest
from course_figures import FIGURES, SHORTER, is_printed
from matrix import ABSENT, BACKENDS

FOLDER = Path(__file__).parents[2] / "examples" / "course"
PROGRAMS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
NAMES = [path.stem for path in PROGRAMS]
CONVOLUTION = [name for name in NAMES if name >= "25"]
SHORTER_ON_NUMPY = {
    "24_hyperparameters": "30",  # all hundred trials take half a minute
    # The full runs of convolutional networks take minutes; that of 28 has a figure to reach.
    **{name: SHORTER[name] for name in CONVOLUTION if name != "28_transfer"},
}
SLOW = {"16_gradient_check", "17_training", *SHORTER}
NEEDS_MNIST = {path.stem for path in PROGRAMS if "load_mnist" in path.read_text(encoding="utf-8")}
BACKENDS_OF_PROGRAMS = ("numpy", "strict", "strict-device1", "cupy")
MOST_LINES = {"29_photographs": 110}  # it makes its own photographs


def runner(request, tmp_path, monkeypatch, capsys, backend="numpy"):
    """A function that runs a program in `tmp_path`, as ``XPNET_BACKEND=... python`` would, and returns its output.

    Its arguments are the program's own; where there are none, those that make it short.
    """
    if backend in ABSENT:
        pytest.skip(f"{backend} does not take part: {ABSENT[backend]}")
    monkeypatch.setenv("XPNET_BACKEND", BACKENDS[backend])
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        if name in NEEDS_MNIST:
            request.getfixturevalue("mnist")
        if name == "07_inference":
            request.getfixturevalue("sample_weight")
        path = FOLDER / f"{name}.py"
        shorter = (SHORTER_ON_NUMPY if backend == "numpy" else SHORTER).get(name)
        monkeypatch.setattr(sys, "argv", [str(path), *(arguments or ([shorter] if shorter else []))])
        runpy.run_path(str(path), run_name="__main__")
        import matplotlib.pyplot as plt

        plt.close("all")
        return capsys.readouterr().out

    return run


def slow(names):
    """The names, those of slow programs marked."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


def check_source(name):
    """A program is short, and holds no figure that it prints."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_LINES.get(name, 65)
    held = [
        word for _, figures in FIGURES.get(name, []) for word in figures.split() if len(word) > 5 and word in source
    ]
    assert not held
    assert not re.search(r"import cupy|array_api_strict", source)


def check_output(name, output, pictures, folder):
    """It prints its figures, and has drawn these pictures into output/course."""
    missing = [entry for entry in FIGURES.get(name, []) if not is_printed(output, *entry)]
    assert not missing, output
    written = re.findall(r"^Written: (.+)$", output, re.MULTILINE)
    paths = [Path(path) for path in written if not path.endswith(".safetensors")]
    assert sorted(path.stem for path in paths) == [f"{name[:2]}_{picture}" for picture in pictures]
    for path in paths:
        assert path.parent == Path("output/course")
        check_picture(folder / path)


def check_picture(path):
    """A PNG of a size for a page, with something on it; a graph is text where Graphviz is not installed."""
    if path.suffix == ".txt":
        assert path.read_text(encoding="utf-8").count("─") > 10 or "│" in path.read_text(encoding="utf-8")
        return
    from matplotlib.image import imread

    pixels = imread(path)
    assert 400 <= pixels.shape[1] <= 2200
    assert pixels[..., :3].std() > 0.02
