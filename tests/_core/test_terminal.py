"""Output in every encoding, and to a reader that leaves: never a traceback."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import xpnet
from xpnet import Graph, MulLayer, TwoLayerNet
from xpnet._core.terminal import encodable, printable, run_program
from xpnet.graph.network_graph import network_graph
from xpnet.training.progress import TrainingDisplay

ENCODINGS = ["utf-8", "cp949", "cp1252", "latin-1", "ascii"]
HAVE_NO_BOXES = ["cp1252", "latin-1", "ascii"]


class Output(io.TextIOWrapper):
    """A standard output of some encoding, as of a terminal or a redirected file."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)

    def text(self):
        return self.buffer.getvalue().decode(self.encoding)


def printed(monkeypatch, encoding, *things):
    """What `print` writes to a standard output of that encoding."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Output(encoding))
        for thing in things:
            sys.stdout.write(f"{thing}\n")
        return sys.stdout.text()


def apples(fruit="apple"):
    graph = Graph(f"2 × {fruit}")
    price = graph.apply(MulLayer(), graph.variable(fruit, 100), graph.variable("number²", 2))
    graph.apply(MulLayer(), price, graph.variable("tax", 1.1), name="price")
    graph.backward()
    return graph


PLAIN = """\
2 * apple
value forward / derivative backward

apple    -- 100 / 2.2 --+
                        * -- 200 / 1.1 --+
number^2 -- 2 / 110 ----+                |
                                         * -- 220 / 1 -- price
tax      -- 1.1 / 200 -------------------+
"""


@pytest.mark.parametrize("encoding", HAVE_NO_BOXES)
def test_a_graph_in_plain_characters(monkeypatch, encoding):
    assert printed(monkeypatch, encoding, apples()) == PLAIN


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
def test_a_graph_in_an_encoding_that_has_its_characters(monkeypatch, encoding):
    lines = printed(monkeypatch, encoding, apples("사과")).splitlines()
    assert lines[3:5] == ["사과    ── 100 / 2.2 ──┐", "                       × ── 200 / 1.1 ──┐"]


@pytest.mark.parametrize("encoding", ["cp949", *HAVE_NO_BOXES])
def test_names_that_an_encoding_lacks_stay_aligned(monkeypatch, encoding):
    lines = printed(monkeypatch, encoding, apples("사과é")).splitlines()[3:]
    assert lines[0].startswith(r"사과\xe9" if encoding == "cp949" else r"\uc0ac\uacfc")
    wide = sum(character in "사과" for character in lines[0])
    assert lines[1].index("*") - wide == lines[0].index("+") == lines[2].index("+") - wide


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_other_things_that_are_printed(monkeypatch, encoding):
    network = TwoLayerNet(4, 3, 2, backend="numpy")
    assert "SoftmaxWithLoss" in printed(monkeypatch, encoding, network, network_graph(network), network.summary())
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Output(encoding))
        TrainingDisplay(verbose=True, validation=False, classifies=True).say("Written: 결과/é.safetensors")
        assert sys.stdout.text().startswith("Written: ")


def test_a_drawing_in_a_file_has_all_characters(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Output("ascii"))
    assert "×" in apples("사과").draw(tmp_path / "a.txt").read_text(encoding="utf-8")


def test_without_a_standard_output(monkeypatch):
    """As in a program of Windows that has no window for text."""
    monkeypatch.setattr(sys, "stdout", None)
    assert printable("×") == "×"
    assert run_program(lambda: 3) == 3


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_encodable(encoding):
    encodable("사과 × é ─ \udcff 🍎", encoding).encode(encoding)
    assert encodable("abc", encoding) == "abc"


# --- programs -------------------------------------------------------------------------------------------------------


def run(*arguments, folder, reader=None, **environment):
    """Run Python; with a reader, its output goes into a pipe that the reader closes at once."""
    environment = {"PYTHONPATH": str(Path(xpnet.__file__).parents[1]), "PYTHONUNBUFFERED": "", **environment}
    environment = os.environ | environment
    if reader is None:
        return subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, check=False, timeout=900
        )
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
            timeout=900,
        )


TRAIN = str(Path(__file__).parents[2] / "examples" / "train_mnist.py")
BENCH = ["-m", "xpnet", "bench", "--networks", "TwoLayerNet", "--widths", "4", "--batches", "4", "--repeats", "1"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("program", [["-m", "xpnet", "info"], BENCH, [TRAIN, "--dataset", "digits"]])
def test_a_reader_that_leaves_before_the_first_line(tmp_path, program, unbuffered):
    done = run(*program, folder=tmp_path, reader="none", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("encoding", ["cp1252", "cp949", "ascii"])
def test_programs_that_write_files_whose_names_the_output_cannot_show(tmp_path, encoding):
    done = run(*BENCH, "--csv", "결과/é.csv", folder=tmp_path, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Written: " in done.stdout
    assert (tmp_path / "결과" / "é.csv").stat().st_size
    done = run(TRAIN, "--dataset", "digits", "--iterations", "2", "--output-dir", "결과", folder=tmp_path,
               PYTHONIOENCODING=encoding)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "결과" / "learning_curves.png").stat().st_size


@pytest.mark.parametrize("backend", ["module://no_such_module.backend_inline", "no such backend"])
def test_a_backend_of_matplotlib_that_a_notebook_hands_on(tmp_path, backend):
    done = run(TRAIN, "--dataset", "digits", "--iterations", "2", folder=tmp_path, MPLBACKEND=backend)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "output" / "learning_curves.png").stat().st_size
    course = Path(TRAIN).parent / "course" / "02_activations.py"
    done = run(str(course), folder=tmp_path, MPLBACKEND=backend)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_backend_that_is_there_is_used(tmp_path):
    code = "from xpnet.plotting import new_figure; new_figure('a.png'); import matplotlib, os\n"
    code += "print(matplotlib.rcParams['backend'], os.environ['MPLBACKEND'])"
    done = run("-c", code, folder=tmp_path, MPLBACKEND="svg")
    assert done.stdout.split() == [b"svg", b"svg"]


def test_a_backend_that_cannot_run_is_not_said_to_be_missing(monkeypatch):
    import matplotlib.pyplot

    from xpnet.plotting import new_figure

    def refusing(**options):
        raise ImportError("Cannot load backend 'TkAgg' which requires the 'tk' interactive framework")

    monkeypatch.setattr(matplotlib.pyplot, "figure", refusing)
    with pytest.raises(ImportError, match="^Cannot load backend"):
        new_figure()
