"""The README's programs run, and its commands are the ones that are tested."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_programs_run_in_turn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    programs = blocks("python")
    assert len(programs) >= 2
    names = {}
    for program in programs:
        exec(compile(program, "README.md", "exec"), names)
    assert "Traceback" not in capsys.readouterr().out


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)", README.read_text(encoding="utf-8")))
def test_what_it_links_to_is_there(link):
    if not (README.parent / "docs").exists():
        pytest.skip("this copy of the tests has no documents beside it")
    assert (README.parent / link).exists()
