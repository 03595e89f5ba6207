"""Drawings of graphs: the source and the pictures of Graphviz, and what is written without it."""

import logging
import os
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from small_graphs import AS_DRAWN, AWKWARD, shared, shopping

from xpnet import AddLayer, MulLayer, Relu, Sigmoid, TwoLayerNet
from xpnet.errors import ArgumentError
from xpnet.graph import ExpLayer, ReciprocalLayer, SquareLayer
from xpnet.graph.graph import Graph
from xpnet.graph.network_graph import network_graph


@pytest.fixture
def needs_package():
    pytest.importorskip("graphviz", reason="needs the Python package graphviz")


@pytest.fixture
def needs_dot(needs_package):
    if shutil.which("dot") is None:
        pytest.skip("needs Graphviz's program dot")


# --- every number on its own edge ------------------------------------------------------------------------------------


def edges_in_dot(source):
    """The value and the derivative on each edge of the picture: {(tail, head): (value, derivative)}."""
    tables = dict(re.findall(r"(edge\d+) \[label=<<table(.*?)</table>>", source))
    tails = {middle: tail for tail, middle in re.findall(r"(\w+) -> (edge\d+):w", source)}
    heads = dict(re.findall(r"(edge\d+):e -> (\w+)", source))
    assert set(tables) == set(tails) == set(heads)
    labels = {middle: re.findall(r"<td><font[^>]*>(.*?)</font></td>", table) for middle, table in tables.items()}
    return {(tails[m], heads[m]): (value, back.removeprefix("← ")) for m, (value, back) in labels.items()}


@pytest.mark.usefixtures("needs_package")
@pytest.mark.parametrize("numbers", [(100, 2, 1.1), (7.5, -3, 0.4), (11, 13, 17)])
def test_every_value_and_derivative_stands_on_its_own_edge_and_follows_the_inputs(numbers):
    apple, tax = MulLayer(), MulLayer()
    price = tax.forward(apples := apple.forward(*numbers[:2]), numbers[2])
    dapples, dtax = tax.backward(1)
    dapple, dnumber = apple.backward(dapples)
    pairs = (numbers[0], dapple), (numbers[1], dnumber), (apples, dapples), (numbers[2], dtax), (price, 1)
    first, second, product, rate, result = [(f"{value:.6g}", f"{gradient:.6g}") for value, gradient in pairs]
    graph = shopping(*numbers)
    graph.backward()
    nodes = {node.key: node.label for node in graph.drawing().nodes}
    in_dot = edges_in_dot(graph.drawing().dot())
    assert [(nodes[tail], nodes[head], *labels) for (tail, head), labels in in_dot.items()] == [
        ("apple", "×", *first),
        ("number", "×", *second),
        ("×", "×", *product),
        ("tax", "×", *rate),
        ("×", "price", *result),
    ]
    assert re.findall(r"(\S+) +── (\S+) / (\S+)", str(graph)) == [
        ("apple", *first),
        ("×", *product),
        ("number", *second),
        ("×", *result),
        ("tax", *rate),
    ]


@pytest.mark.usefixtures("needs_package")
def test_a_branch_is_a_point_and_each_of_its_edges_has_its_own_derivative():
    graph = shared()
    graph.backward()
    drawing = graph.drawing()
    branches = [node.key for node in drawing.nodes if node.kind == "branch"]
    in_dot = edges_in_dot(drawing.dot())
    into = [labels for (_, head), labels in in_dot.items() if head in branches]
    assert into == [("3", "91"), ("b = 7", "42")]
    x, _ = branches
    assert [labels for (tail, _), labels in in_dot.items() if tail == x] == [("3", "42"), ("3", "49")]
    assert drawing.dot().count("shape=point") == 2
    assert re.findall(r":e -> (\w+) \[dir=none\]", drawing.dot()) == branches


# --- Graphviz's source -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("needs_package")
def test_the_circles_have_the_signs_of_the_course_and_other_layers_are_boxes_with_their_names():
    graph = Graph()
    x = graph.variable("x", np.ones(2))
    for layer in (SquareLayer(), ExpLayer(), ReciprocalLayer(), Sigmoid(), Relu()):
        x = graph.apply(layer, x)
    graph.apply(AddLayer(), graph.apply(MulLayer(), x, 2), 1)
    source = graph.drawing().dot()
    shapes = re.findall(r"\t(?:\w+) \[label=(\S+) .*shape=(circle|box)", source)
    assert [label.strip('"') for label, shape in shapes if shape == "circle"] == ["x²", "exp", "1/x", "×", "+"]
    assert [label for label, shape in shapes if shape == "box"] == ["Sigmoid", "Relu"]
    assert "rankdir=LR" in source


@pytest.mark.usefixtures("needs_package")
def test_before_backward_the_picture_has_values_alone_and_a_constant_has_no_edge_of_its_own():
    graph = Graph()
    graph.apply(MulLayer(), graph.variable("x", 3), -1, name="y")
    source = graph.drawing().dot()
    assert list(edges_in_dot(source).values()) == [("3", "&#160;"), ("-3", "&#160;")]
    assert "derivative" not in source
    graph.backward()
    source = graph.drawing().dot()
    assert list(edges_in_dot(source).values()) == [("3", "-1"), ("-3", "1")]
    assert "value forward" in source
    assert "← derivative backward" in source


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("needs_dot")
@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_the_suffix_is_the_format(tmp_path, suffix, begins):
    graph = shopping()
    graph.backward()
    for thing in (graph, network_graph(TwoLayerNet(784, 50, 10))):
        path = tmp_path / "new folder" / f"{type(thing).__name__}{suffix}"
        assert thing.draw(str(path)) == path
        assert path.read_bytes().startswith(begins)
    assert len(list(path.parent.iterdir())) == 2


def texts_of(path):
    """The texts of an SVG file, and how far down the page each stands."""
    elements = ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    return [(" ".join("".join(element.itertext()).split()), float(element.get("y"))) for element in elements]


@pytest.mark.usefixtures("needs_dot")
def test_the_inputs_of_a_node_stand_in_their_order_and_a_picture_has_150_dots_an_inch(tmp_path):
    graph = Graph()
    a, b, c, d = (graph.variable(name, k) for k, name in enumerate("abcd"))
    graph.apply(AddLayer(), graph.apply(MulLayer(), a, b), graph.apply(MulLayer(), c, d))
    heights = {text: height for text, height in texts_of(graph.draw(tmp_path / "graph.svg")) if text in {*"abcd"}}
    assert sorted(heights, key=heights.__getitem__) == [*"abcd"]
    points = int(re.search(r'<svg width="(\d+)pt"', (tmp_path / "graph.svg").read_text("utf-8"))[1])
    pixels = int.from_bytes(graph.draw(tmp_path / "graph.png").read_bytes()[16:20], "big")
    assert pixels == pytest.approx(points * 150 / 72, abs=4)


@pytest.mark.usefixtures("needs_dot")
def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = shopping().draw(tmp_path / "graph.svg")
    old = path.read_bytes()

    def fails(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="the disk is full"):
        shopping(apple=7).draw(path)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (old, [path])


@pytest.mark.usefixtures("needs_dot")
def test_names_are_drawn_letter_by_letter(tmp_path):
    graph = Graph(AWKWARD)
    squared = graph.apply(SquareLayer(), graph.variable(AWKWARD, 3), name=f"2 {AWKWARD}")
    graph.apply(type(AWKWARD.replace("\0", ""), (Relu,), {})(), graph.apply(ExpLayer(), squared), name=f"3 {AWKWARD}")
    graph.apply(SquareLayer(), graph.variable("<b>", 3), name="\\")
    texts = [text for text, _ in texts_of(graph.draw(tmp_path / "graph.svg"))]
    for text in (AS_DRAWN, f"2 {AS_DRAWN} = 9", f"3 {AS_DRAWN}", "<b>", "\\"):
        assert text in texts, texts
    assert texts.count(AS_DRAWN) == 3  # the title, the variable, and the layer


@pytest.mark.parametrize("name", ["graph.txt", "graph.TXT"])
def test_a_drawing_in_plain_text_is_what_print_shows(tmp_path, name):
    graph = shared()
    path = graph.draw(tmp_path / name)
    assert path == tmp_path / name
    assert path.read_text("utf-8") == f"{graph}\n"


@pytest.mark.parametrize("name", ["graph.jpeg", "graph", "graph.dot"])
def test_an_unknown_suffix_is_an_error_that_names_the_known_ones(tmp_path, name):
    with pytest.raises(ArgumentError, match=r"\.png, \.svg, \.pdf and \.txt.*graph\.png"):
        shopping().draw(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def falls_back(tmp_path, caplog):
    """Draw a picture that cannot be had; the one line that was logged."""
    graph = shopping()
    with caplog.at_level(logging.WARNING, "xpnet"):
        path = graph.draw(tmp_path / "out" / "apples.png")
    assert path == tmp_path / "out" / "apples.txt"
    assert path.read_text("utf-8") == f"{graph}\n"
    assert [p.name for p in path.parent.iterdir()] == ["apples.txt"]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("xpnet", "WARNING")
    assert "\n" not in record.getMessage()
    return record.getMessage()


def test_without_the_package_the_plain_drawing_is_written(tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    message = falls_back(tmp_path, caplog)
    assert "package graphviz is not installed" in message
    assert "pip install '.[plot]'" in message
    with pytest.raises(ImportError, match=r"pip install '\.\[plot\]'"):
        shopping().drawing().dot()


@pytest.mark.usefixtures("needs_package")
def test_without_the_program_the_plain_drawing_is_written(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    message = falls_back(tmp_path, caplog)
    assert "program dot is not installed" in message
    assert "sudo apt install graphviz" in message


@pytest.mark.usefixtures("needs_package")
@pytest.mark.skipif(os.name != "posix", reason="a program of two lines of shell")
@pytest.mark.parametrize("mode", [0o755, 0o644])
def test_where_the_program_fails_the_plain_drawing_is_written(tmp_path, caplog, monkeypatch, mode):
    (tmp_path / "dot").write_text("#!/bin/sh\necho no font >&2\nexit 3\n")
    (tmp_path / "dot").chmod(mode)
    monkeypatch.setenv("PATH", str(tmp_path))
    message = falls_back(tmp_path, caplog)
    assert "program dot failed" in message
    assert "sudo apt install graphviz" in message
    assert ("no font" in message) == (mode == 0o755)


def test_graphviz_is_loaded_when_something_is_drawn_and_no_sooner():
    code = "import sys, xpnet.graph.graph as g; str(g.Graph('t')); sys.exit('graphviz' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("needs_dot")
def test_a_notebook_shows_the_picture():
    graph = shopping()
    network = network_graph(TwoLayerNet(4, 3, 2, backend="numpy"))
    for shown, word in ((graph, "price"), (graph.drawing(), "price"), (network, "Affine1")):
        picture = ElementTree.fromstring(shown._repr_svg_())
        assert picture.tag.endswith("svg")
        assert word in "".join(picture.itertext())
    assert repr(graph) == "Graph('Two apples', 2 nodes)"


@pytest.mark.usefixtures("needs_package")
def test_a_notebook_without_graphviz_has_the_text(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shopping()._repr_svg_() is None  # then it shows the repr
