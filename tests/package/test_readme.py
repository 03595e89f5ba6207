"""The code on the documentation pages runs and prints what they say, links lead somewhere, Korean and English agree."""

import re
import tomllib
from pathlib import Path

import pytest
from matrix import ABSENT

TOP = Path(__file__).parents[2]
COURSE = "examples/course/README.md"
EXERCISES = "examples/course/exercises/README.md"
PAGES = ["README.md", *(f"docs/{name}.md" for name in (
    "quickstart", "backends", "custom-layers", "correctness", "performance", "how-capture-works",
    "environment-variables", "troubleshooting",
))]  # fmt: skip
WITH_PROGRAMS = [
    "README.md",
    "docs/quickstart.md",
    "docs/backends.md",
    "docs/custom-layers.md",
    "docs/how-capture-works.md",
]
TRANSLATED = [*PAGES, COURSE, EXERCISES]
IN_ENGLISH_ALONE = ["CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "CHANGELOG.md"]


def korean(page):
    return page.replace(".md", ".ko.md")


def text_of(page):
    if not (TOP / "docs").exists():
        pytest.skip("this copy of the tests has no documents beside it")
    return (TOP / page).read_text(encoding="utf-8")


def blocks(text, language=r"\w*"):
    """The content of the fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def programs(text):
    """The programs of a page, in order, each with the output that the page shows right after it, if any."""
    return re.findall(r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", text, re.DOTALL | re.MULTILINE)


def links(text):
    """Where the links and pictures lead."""
    return re.findall(r"\]\(([^)]+)\)|(?:href|src)=\"([^\"]+)\"", text)


def assert_same_output(printed, shown):
    """That the lines are the same, and the figures in them nearly so: other processors round differently."""
    figure = re.compile(r"\d+\.\d+")
    assert figure.sub("#", printed) == figure.sub("#", shown)
    assert [float(x) for x in figure.findall(printed)] == pytest.approx(
        [float(x) for x in figure.findall(shown)], abs=0.02
    )


@pytest.mark.parametrize("page", WITH_PROGRAMS)
@pytest.mark.parametrize("backend", ["numpy", "cupy"])
def test_the_programs_of_a_page_run_in_turn(tmp_path, monkeypatch, capsys, backend, page):
    if backend in ABSENT:
        pytest.skip(f"{backend} does not take part: {ABSENT[backend]}")
    monkeypatch.setenv("XPNET_BACKEND", backend)
    monkeypatch.chdir(tmp_path)
    found = programs((TOP / page).read_text(encoding="utf-8") if page == "README.md" else text_of(page))
    assert any(shown for _, shown in found)
    names = {}
    for program, shown in found:
        exec(compile(program, page, "exec"), names)
        printed = capsys.readouterr().out
        assert "Traceback" not in printed
        if shown:
            assert_same_output(printed.strip(), shown.strip().replace("on numpy", f"on {backend}"))


@pytest.mark.parametrize("page", [*TRANSLATED, *map(korean, TRANSLATED), *IN_ENGLISH_ALONE])
def test_what_it_links_to_is_there(page):
    found = [target for pair in links(text_of(page)) for target in pair if target]
    assert len(found) > (0 if page in IN_ENGLISH_ALONE else 2)
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


@pytest.mark.parametrize("page", PAGES)
def test_the_readme_leads_to_every_page(page):
    assert page == "README.md" or f"]({page})" in text_of("README.md")


def test_every_page_with_a_program_is_run():
    folder = (TOP / "docs") if (TOP / "docs").exists() else pytest.skip("no documents beside this copy of the tests")
    pages = [f"docs/{path.name}" for path in folder.glob("*.md") if "```python" in path.read_text(encoding="utf-8")]
    assert {page.replace(".ko.md", ".md") for page in pages} == set(WITH_PROGRAMS) - {"README.md"}


def test_the_guide_for_contributors_has_every_package_and_the_import_contract():
    text = text_of("CONTRIBUTING.md")
    contract = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][
        0
    ]
    assert contract["type"] == "layers"
    (printed,) = blocks(text, "text")
    assert [layer.strip() for layer in printed.split(">")] == contract["layers"]
    for package in {name for layer in contract["layers"] for name in layer.split(" | ")}:
        assert re.search(rf"^\|.*`{package}/?`", text, re.MULTILINE), package


@pytest.mark.parametrize("page", TRANSLATED)
def test_the_korean_page_says_the_same(page):
    english, translated = text_of(page), text_of(korean(page))
    assert blocks(translated) == blocks(english)
    tables = [re.findall(r"^\|.*\|$", text, re.MULTILINE) for text in (english, translated)]
    assert [row.count("|") for row in tables[1]] == [row.count("|") for row in tables[0]]
    targets = [
        {target.replace(".ko.md", ".md").partition("#")[0] for pair in links(t) for target in pair}
        for t in (english, translated)
    ]
    assert targets[1] == targets[0]
    outside = [re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE) for text in (english, translated)]
    figures = [sorted(re.findall(r"\d[\d,]*\.\d+(?:e-\d+)?", text)) for text in outside]
    assert figures[1] == figures[0]
    assert len(re.findall("[가-힣]", translated)) > (500 if "README" in page else 300)


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
