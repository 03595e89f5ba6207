"""The picture of a comparison: its panels and curves, and where they cross."""

import math

import pytest
from small_bench import report, timing  # noqa: F401 - a fixture

from xpnet.bench.plot import crossover, crossovers, plot_report
from xpnet.bench.report import Row
from xpnet.bench.work import Case


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([100.0, 100.0, 100.0], [10.0, 1000.0, 1e5], 10**1.5),
        ([10.0, 1000.0, 1e5], [100.0, 100.0, 100.0], 10**1.5),  # whichever of the two comes first
        ([5.0, 10.0, 20.0], [1.0, 2.0, 80.0], 10 ** (2 + math.log(5) / math.log(20))),
        ([5.0, 10.0, 20.0], [1.0, 10.0, 80.0], 100.0),  # they meet at a batch that was measured
        ([5.0, 10.0, 20.0], [5.0, 2.0, 3.0], 10.0),
        ([5.0, 10.0, 20.0], [1.0, 2.0, 20.0], 1000.0),
        ([5.0, 10.0, 20.0], [1.0, 2.0, 3.0], None),
        ([1.0, 2.0, 3.0], [5.0, 10.0, 20.0], None),
    ],
)
def test_crossover(a, b, expected):
    at = crossover([10, 100, 1000], a, b)
    assert at == (expected if expected is None else pytest.approx(expected))


def test_crossover_of_one_batch_is_none_and_of_two_lengths_an_error():
    assert crossover([10], [1.0], [2.0]) is None
    with pytest.raises(ValueError, match="shorter"):
        crossover([10, 100], [1.0, 2.0], [2.0])


def test_crossovers_are_between_a_cpu_and_a_gpu_alone(report):
    ((cpu, gpu, at, speed),) = crossovers(report.rows, "training")
    assert (cpu, gpu) == ("numpy", "cupy")
    assert at == pytest.approx(100.0)  # halfway between 10 and 1000
    assert speed == pytest.approx(100_000.0)  # numpy's line is flat
    for row in report.rows:
        row.device_kind = "CPU"
    assert crossovers(report.rows, "training") == []


def test_the_picture_has_a_panel_a_width_and_mode_and_a_star_where_lines_meet(report, tmp_path):
    report.rows += [Row("numpy", "CPU", Case("TwoLayerNet", 1000, 10), {"training": timing(3.0)})]
    figure = plot_report(report, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert [axes.get_title() for axes in figure.axes] == [
        *("TwoLayerNet, width 50: training", "TwoLayerNet, width 1000: training"),
        *("TwoLayerNet, width 50: inference", "TwoLayerNet, width 1000: inference"),
    ]
    training, narrow, inference, _ = figure.axes
    for axes, speeds in ((training, [1e5, 1e5]), (inference, [2e5, 2e5])):
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "1,000"]
        lines = {line.get_label(): line for line in axes.lines if line.get_label() in report.devices}
        assert sorted(lines) == ["cupy", "numpy"]
        assert list(lines["numpy"].get_xdata()) == [10, 1000]
        assert list(lines["numpy"].get_ydata()) == pytest.approx(speeds)
        (star,) = [line for line in axes.lines if line.get_marker() == "*"]
        assert star.get_xdata()[0] == pytest.approx(100.0)
    assert not [line for line in narrow.lines if line.get_marker() == "*"]
    (legend,) = figure.legends  # one for all panels
    assert [text.get_text() for text in legend.get_texts()] == ["numpy", "cupy"]


def test_the_picture_shows_the_spread_and_who_was_disturbed(report, tmp_path):
    case = Case("TwoLayerNet", 50, 10)
    quiet, waited = timing(1.0, 1.1, 4.0, batch=10), timing(2.0, batch=10)
    quiet.busy_seconds, waited.busy_seconds = quiet.seconds, [0.5 * waited.seconds[0]]
    report.rows = [Row("numpy", "CPU", case, {"training": quiet}), Row("torch", "CPU", case, {"training": waited})]
    (axes,) = plot_report(report, tmp_path / "bench.svg").axes
    bars = [line for line in axes.lines if list(line.get_xdata()) == [10, 10]]
    assert list(bars[0].get_ydata()) == pytest.approx([10 / 400e-6, 10 / 100e-6])
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_ydata()) for line in hollow] == [pytest.approx([10 / 200e-6])]
