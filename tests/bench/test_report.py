"""What the comparison of devices tells: medians and shares, the table, JSON, CSV, the picture, the command line."""

import csv
import json
import re

import pytest
from remedies import codes
from small_bench import report, timing  # noqa: F401 - a fixture

from xpnet.__main__ import main
from xpnet.bench import measure
from xpnet.bench.report import CSV_COLUMNS, Report

# --- arithmetic -----------------------------------------------------------------------------------------------------


def test_a_timing_is_the_median_and_the_spread_of_its_repeats():
    of = timing(6.0, 1.0, 2.0, 4.0)
    assert of.median_us == pytest.approx(300.0)  # between the two in the middle, a step of ten
    assert (of.min_us, of.max_us) == (pytest.approx(100.0), pytest.approx(600.0))
    assert of.samples_per_second == pytest.approx(100 / 300e-6)


def test_shares_are_of_the_peak_of_the_place(report):
    cpu, gpu = report.rows[:2]
    flops, bytes_ = report.shares(cpu, cpu.timings["training"])
    assert flops == pytest.approx(4e6 / 100e-6 / 1e11)
    assert bytes_ == pytest.approx(2e5 / 100e-6 / 1e10)
    assert report.shares(gpu, gpu.timings["training"]) == (None, None)  # nothing was measured there


# --- files ----------------------------------------------------------------------------------------------------------


def test_json_holds_everything(report, tmp_path):
    report.to_json(tmp_path / "bench.json")
    read = json.loads((tmp_path / "bench.json").read_text())
    assert [{key: row[key] for key in CSV_COLUMNS} for row in read["rows"]] == report.records()
    assert read["rows"][0]["seconds"] == [0.001]
    assert read["rows"][-1]["error"] == "not timed, because of a reason"
    assert read["rows"][-1]["seconds"] == []
    assert read["peaks"] == {"CPU": {"flops_per_second": 1e11, "bytes_per_second": 1e10}}
    assert read["options"] == {"repeats": 1}
    assert read["not_run"] == ["jax, SimpleNetwork"]
    assert {"date", "commit", "versions", "devices", "interrupted"} < set(read)
    assert {"processor", "cores", "system", "thread_libraries"} == set(read["machine"])


def test_csv_has_a_line_for_each_row_and_mode(report, tmp_path):
    report.to_csv(tmp_path / "bench.csv")
    with (tmp_path / "bench.csv").open(newline="") as file:
        table = csv.DictReader(file)
        rows = list(table)
    assert tuple(table.fieldnames) == CSV_COLUMNS
    assert len(rows) == 2 * 4 + 1
    first = rows[0]
    assert (first["backend"], first["network"], first["width"], first["batch"]) == ("numpy", "TwoLayerNet", "50", "10")
    assert (first["mode"], first["repeats"], first["steps_per_repeat"]) == ("training", "1", "10")
    assert float(first["median_us"]) == pytest.approx(100.0)
    assert float(first["samples_per_second"]) == pytest.approx(10 / 100e-6)
    assert (first["operations"], first["flops"], first["peak_memory_bytes"]) == ("34", "4000000", "3000000")
    assert rows[-1]["error"] == "not timed, because of a reason"
    assert rows[-1]["median_us"] == ""


def test_the_table_shows_a_row_for_each_and_errors_and_what_was_not_run_below(report):
    table = report.table()
    lines = [line.split() for line in table.splitlines()]
    assert (next(line for line in lines if line[:1] == ["numpy"])[:10]) == [
        "numpy",
        "TwoLayerNet",
        "50",
        "10",
        "100",
        "(100-100)",
        "100,000",
        "50.0",
        "(50.0-50.0)",
        "200,000",
    ]
    assert next(line for line in lines if line[:1] == ["numpy"])[10:] == ["40.0", "20.0", "34", "3.0"]
    assert next(line for line in lines if line[:1] == ["cupy"])[10:] == ["-", "-", "34", "3.0"]
    assert "error" in next(line for line in lines if line[:1] == ["torch"])
    assert "Errors:\n  torch, TwoLayerNet, width 50, batch 10: not timed, because of a reason" in table
    assert table.endswith("Not run:\n  jax, SimpleNetwork")


def test_a_disturbed_row_is_marked_in_the_table_and_the_mark_is_explained(report):
    assert "!" not in report.table() + report.closing_lines()
    row = report.rows[0]
    row.timings["training"] = timing(1.0, 1.3, 1.3, batch=10)
    assert "130 (100-130) !" in report.table()
    assert "\n! Disturbed: " in report.closing_lines()
    records = [record for record in report.records() if record["backend"] == "numpy" and record["batch"] == 10]
    assert [(record["disturbed"], record["processor_share"]) for record in records] == [(True, None), (False, None)]


# --- the command line -----------------------------------------------------------------------------------------------


def test_the_command_prints_a_table_and_writes_its_files(tmp_path, capsys):
    files = {option: tmp_path / "new" / f"bench.{option}" for option in ("json", "csv")} | {"plot": tmp_path / "b.svg"}
    options = [part for option, path in files.items() for part in (f"--{option}", str(path))]
    grid = ["--backends", "numpy,array_api_strict", "--networks", "TwoLayerNet", "--widths", "3,4", "--batches", "2"]
    assert main(["bench", *grid, "--repeats", "2", "--seed", "3", "--threads", "2", *options]) == 0
    output = capsys.readouterr().out
    assert output.startswith("numpy ")
    assert len([line for line in output.splitlines() if line.split()[:2] == ["numpy", "TwoLayerNet"]]) == 2
    assert re.search(r"CPU: [0-9,.]+ GFLOP/s in a matrix product, [0-9,.]+ GB/s in a copy", output)
    assert "with 2 threads on the processor" in output
    written = json.loads(files["json"].read_text())
    assert written["options"]["widths"] == [3, 4]
    assert written["options"]["seed"] == 3
    assert len(written["rows"]) == 2 * 2 * 2
    assert {"python", "xpnet", "numpy", "array_api_strict"} == set(written["versions"])
    assert files["csv"].read_text().count("\n") == 1 + 2 * 2 * 2
    assert "</svg>" in files["plot"].read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--backends nosuch", "error: There is no backend 'nosuch'"),
        ("--widths 5,x", "error: --widths takes whole numbers, got 'x'"),
        ("--repeats many", "error: --repeats takes whole numbers, got 'many'"),
        ("--batches 0", "error: batch must be a whole number of at least 1, got 0"),
        ("--budget soon", "error: --budget must be a finite number above 0, got 'soon'"),
        ("--plot measure.doc", "error: There is no image format .doc"),
        ("--json FOLDER", "cannot be written: it is a folder. Add the name of a file to it."),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(monkeypatch, tmp_path, capsys, arguments, message):
    monkeypatch.setattr(measure, "_measure_case", lambda *_: pytest.fail("something was measured"))
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments.replace("FOLDER", str(tmp_path)).split()]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_an_interrupt_ends_it_with_status_130_and_the_files_are_written(monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "_measure_case", interrupted)
    monkeypatch.setattr(measure, "_measure_peaks", lambda *_: None)
    assert main(["bench", "--backends", "numpy", "--json", str(tmp_path / "b.json")]) == 130
    read = json.loads((tmp_path / "b.json").read_text())
    assert read["interrupted"] is True
    assert len(read["not_run"]) == 27


def test_how_many_threads_each_had_is_said():
    for threads, says in ((1, "with 1 thread on"), (4, "with 4 threads on")):
        assert says in Report({"threads": threads}, {"numpy": "numpy on a processor"}, {}).closing_lines()


def test_lists_are_written_as_the_help_says(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    (lists,) = codes(" ".join(capsys.readouterr().out.split()))
    at_once = ["--networks", "TwoLayerNet", "--batches", "3", "--backends", "numpy", "--budget", "0.001"]
    assert main(["bench", *at_once, *lists.split()]) == 0
    assert "width 50, batch 3: numpy" in (told := capsys.readouterr().out)
    assert "width 1000, batch 3: numpy" in told
