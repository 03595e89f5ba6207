"""The README's programs run, its links lead somewhere, and the Korean pages say what the English ones say."""

import re
from pathlib import Path

import pytest
from matrix import ABSENT

TOP = Path(__file__).parents[2]
COURSE = "examples/course/README.md"
EXERCISES = "examples/course/exercises/README.md"
PAGES = [page for english in ("README.md", COURSE, EXERCISES) for page in (english, english.replace(".md", ".ko.md"))]


def text_of(page):
    if not (TOP / "docs").exists():
        pytest.skip("this copy of the tests has no documents beside it")
    return (TOP / page).read_text(encoding="utf-8")


def blocks(text, language=r"\w*"):
    """The content of the fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def links(text):
    """Where the links and pictures lead."""
    return re.findall(r"\]\(([^)]+)\)|(?:href|src)=\"([^\"]+)\"", text)


@pytest.mark.parametrize("backend", ["numpy", "cupy"])
def test_the_programs_run_in_turn(tmp_path, monkeypatch, capsys, backend):
    if backend in ABSENT:
        pytest.skip(f"{backend} does not take part: {ABSENT[backend]}")
    monkeypatch.setenv("XPNET_BACKEND", backend)
    monkeypatch.chdir(tmp_path)
    programs = blocks((TOP / "README.md").read_text(encoding="utf-8"), "python")
    assert len(programs) >= 2
    names = {}
    for program in programs:
        exec(compile(program, "README.md", "exec"), names)
    assert "Traceback" not in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_what_it_links_to_is_there(page):
    text = text_of(page)
    found = [target for pair in links(text) for target in pair if target]
    assert len(found) > 2
    for target in found:
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        place = (TOP / page).parent / path if path else TOP / page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place.read_text(encoding="utf-8")), target


def anchors(text):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["README.md", COURSE, EXERCISES])
def test_the_korean_page_says_the_same(page):
    english, korean = text_of(page), text_of(page.replace(".md", ".ko.md"))
    assert blocks(korean) == blocks(english)
    tables = [re.findall(r"^\|.*\|$", text, re.MULTILINE) for text in (english, korean)]
    assert [row.count("|") for row in tables[1]] == [row.count("|") for row in tables[0]]
    targets = [
        {target.replace(".ko.md", ".md").partition("#")[0] for pair in links(t) for target in pair}
        for t in (english, korean)
    ]
    assert targets[1] == targets[0]
    outside = [re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE) for text in (english, korean)]
    figures = [sorted(re.findall(r"\d[\d,]*\.\d+(?:e-\d+)?", text)) for text in outside]
    assert figures[1] == figures[0]
    assert len(re.findall("[가-힣]", korean)) > 500


def test_the_table_of_the_course_has_every_program_and_every_picture():
    text = text_of(COURSE)
    folder = TOP / "examples" / "course"
    for program in folder.glob("[0-9][0-9]_*.py"):
        assert f"[{program.stem}]({program.name})" in text
    shown = set(re.findall(r"docs/course/(\w+\.png)", text))
    assert shown <= {path.name for path in (TOP / "docs" / "course").iterdir()}
    assert {name[:2] for name in shown} >= {
        "01",
        "02",
        "03",
        "06",
        "07",
        "08",
        "09",
        "10",
        "13",
        "15",
        "17",
        "18",
        "19",
    }
