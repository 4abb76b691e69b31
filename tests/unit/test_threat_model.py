"""The threat model names a test for each defence, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/threat-model.md").read_text(encoding="utf-8")

_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+)(?:\[([^]`]+)\])?)?`")
_LIKE_A_TEST = re.compile(r"`[^`]*\btest_[^`]*`|`tests/[^`]*`")
_SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"\bmark\.(skip|skipif|xfail|soak)\b")


def what_is_wrong(root: Path, file: str, function: str, case: str) -> str | None:
    """Why a test that is named so shows nothing; ``None`` where it does."""
    path = root / file
    if not path.is_file():
        return "no such file"
    source = path.read_text(encoding="utf-8")
    tests = {
        node.name: node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
    }
    if not function:
        return None if tests else "no test in it"
    if function not in tests:
        return "no such test"
    if any(_NOT_RUN.search(ast.unparse(mark)) for mark in tests[function].decorator_list):
        return "not always run"
    return None if not case or f'"{case}"' in source else "no such case"


def rows_without_a_test(page: str) -> list[str]:
    """Of the tables with a column for it: the rows that name none, where there is a defence."""
    rows, is_shown = [], False
    for line in page.splitlines():
        if not line.startswith("|"):
            is_shown = False
        elif line.endswith("| shown by |"):
            is_shown = True
        elif is_shown and set(line) - set("|-") and not _NAMED.search(line.split("|")[-2]):
            rows.append(line)
    return [row for row in rows if "No defence." not in row]


@pytest.mark.parametrize("named", sorted(set(_NAMED.findall(PAGE))), ids="::".join)
def test_what_is_named_is_a_test(named: tuple[str, str, str]) -> None:
    assert what_is_wrong(ROOT, *named) is None


def test_nothing_is_misspelt_so_that_it_goes_unnoticed() -> None:
    named = {match[0] for match in _NAMED.finditer(PAGE)}
    assert set(_LIKE_A_TEST.findall(PAGE)) <= named


def test_each_defence_names_a_test() -> None:
    assert rows_without_a_test(PAGE) == []


@pytest.mark.parametrize(("title", "text"), _SECTION.findall(PAGE), ids=lambda part: part[:20])
def test_each_section_names_a_test(title: str, text: str) -> None:
    assert _NAMED.search(text) is not None


SAMPLE = """
@pytest.mark.parametrize("how", ["well"])
def test_it(how): ...

class TestMore:
    async def test_coroutine(self): ...

@pytest.mark.soak
def test_at_length(): ...

def helper(): ...
"""


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("tests/sample.py", None),
        ("tests/sample.py::test_it", None),
        ("tests/sample.py::test_it[well]", None),
        ("tests/sample.py::test_coroutine", None),
        ("tests/sample.py::test_it[badly]", "no such case"),
        ("tests/sample.py::test_at_length", "not always run"),
        ("tests/sample.py::test_nothing", "no such test"),
        ("tests/sample.py::helper", "no such test"),
        ("tests/empty.py", "no test in it"),
        ("tests/nowhere.py", "no such file"),
    ],
)
def test_mistakes_are_found(tmp_path: Path, named: str, problem: str | None) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/sample.py").write_text(SAMPLE)
    (tmp_path / "tests/empty.py").write_text("")
    match = _NAMED.fullmatch(f"`{named}`")
    assert match is not None
    assert what_is_wrong(tmp_path, *match.groups(default="")) == problem


def test_rows_are_looked_at() -> None:
    table = "| here | shown by |\n|---|---|\n| a | `tests/a.py` |\n| b | |\n| No defence. | |\n"
    assert rows_without_a_test(table) == ["| b | |"]
