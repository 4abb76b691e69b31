"""The checks of the documentation find what they are there to find."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / f"{name}.py"))


# check_site


def site(folder: Path, **pages: str) -> list[str]:
    for name, body in pages.items():
        (folder / f"{name}.html").write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
    found, _ = load("check_site")["problems"](folder)
    return [problem.partition(": ")[2] for problem in found]


def test_a_sound_site(tmp_path: Path) -> None:
    (tmp_path / "plot.svg").touch()
    body = '<h1 id="top-of-it">A</h1><a href="#top-of-it"></a><img src="plot.svg" alt="plot">'
    assert site(tmp_path, a=f'{body}<a href="b.html#x"></a>', b='<p id="x"></p>') == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="missing.html">x</a>', "missing.html does not exist"),
        ('<a href="a.html#missing">x</a>', "a.html#missing has no such anchor"),
        ('<img src="missing.png" alt="x">', "missing.png does not exist"),
        ('<img src="a.html">', "image without a text alternative"),
        (
            '<script src="https://cdn.example.com/x.js"></script>',
            "loads https://cdn.example.com/x.js from another host",
        ),
    ],
)
def test_a_broken_site(tmp_path: Path, body: str, problem: str) -> None:
    assert site(tmp_path, a=body) == [problem]


def test_external_links_are_not_problems(tmp_path: Path) -> None:
    assert site(tmp_path, a='<a href="https://example.com/">x</a>') == []


# check_catalogues


def gaps(folder: Path, template: str, catalogue: str | None) -> list[str]:
    templates, catalogues = folder / "templates", folder / "catalogues"
    for one in (templates, catalogues):
        one.mkdir()
    (templates / "page.pot").write_text(template, encoding="utf-8")
    if catalogue is not None:
        (catalogues / "page.po").write_text(catalogue, encoding="utf-8")
    return [gap.reason for gap in load("check_catalogues")["gaps"](templates, catalogues)]


TEMPLATE = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"

msgid "Credentials"
msgstr ""
"""


@pytest.mark.parametrize(
    ("catalogue", "reasons"),
    [
        (TEMPLATE.replace('"Credentials"\nmsgstr ""', '"Credentials"\nmsgstr "凭证"'), []),
        (TEMPLATE, ["not translated"]),
        (None, ["not in the catalogue"]),
        (
            TEMPLATE.replace(
                'msgid "Credentials"\nmsgstr ""', '#, fuzzy\nmsgid "Credentials"\nmsgstr "凭证"'
            ),
            ["fuzzy"],
        ),
        (TEMPLATE.replace("Credentials", "Another text"), ["not in the catalogue"]),
    ],
)
def test_catalogues(tmp_path: Path, catalogue: str | None, reasons: list[str]) -> None:
    assert gaps(tmp_path, TEMPLATE, catalogue) == reasons


# check_prose


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("It waits at most 2 s.", []),
        ("It waits\nfor 2 s at the\nmost.", [(2, "at the most")]),
        ("# It is asked again by\n# and by.", [(1, "by and by")]),
        ("x = a if b else None else 1", []),
        ("<!-- prose: off -->\nfor ever\n<!-- prose: on -->", []),
        ("Whoever asks", [(1, "Whoever")]),
    ],
)
def test_turns(text: str, turns: list[tuple[int, str]]) -> None:
    assert [one[:2] for one in load("check_prose")["findings"](text)] == turns


def test_proselint_reads_prose_and_no_code() -> None:
    pages = {"a.md": "Use this first of all.\n\n```python\n# first of all\n```\n"}
    found = list(load("check_prose")["proselint_findings"](pages))
    assert [(name, one.line) for name, one in found] == [("a.md", 1)]
