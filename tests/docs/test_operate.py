"""The list of log lines on the operations page is the list of the log lines in the source."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import pytest
from support.figures import DOCS, quantities, section

import ecs_role_creds
from ecs_role_creds import Credentials, schedule
from ecs_role_creds.cache import _what_is_left
from ecs_role_creds.state import State

PAGE = DOCS / "how-to" / "operate.md"
TEXT = PAGE.read_text(encoding="utf-8")
PACKAGE = Path(ecs_role_creds.__file__).parent

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


class Line(NamedTuple):
    """A log line: where it goes, and its text, with VALUE for what differs."""

    logger: str
    level: str
    text: str


def text_of(node: ast.expr) -> str:
    """The text of a constant or an f-string, with VALUE for each value."""
    if isinstance(node, ast.Constant):
        return re.sub(r"%(?:\.\d+)?[sdrf]", "VALUE", str(node.value))
    assert isinstance(node, ast.JoinedStr), ast.unparse(node)
    return "".join(
        part.value if isinstance(part, ast.Constant) else "VALUE"  # type: ignore[misc]
        for part in node.values
    )


def logger_of(tree: ast.Module) -> str:
    for node in tree.body:
        if isinstance(node, ast.Assign) and "getLogger(" in ast.unparse(node.value):
            assert isinstance(node.value, ast.Call)
            return str(ast.literal_eval(node.value.args[0]))
    return "ecs_role_creds"  # reporting.log()


def lines_in_source() -> Iterator[Line]:
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "self._warning"
                and isinstance(node.value, ast.JoinedStr)
            ):
                # Written by the cache, after the fetch: log(WARNING, "%s", warning).
                yield Line("ecs_role_creds", "WARNING", text_of(node.value))
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called == "log" and len(node.args) >= 2:
                level = ast.unparse(node.args[0]).removeprefix("logging.")
                if (text := text_of(node.args[1])) != "VALUE":
                    yield Line("ecs_role_creds", level, text)
            elif called.startswith("logger.") and called.removeprefix("logger.") in LEVELS:
                level = called.removeprefix("logger.").upper()
                yield Line(logger_of(tree), level, text_of(node.args[0]))


def lines_on_page() -> Iterator[Line]:
    for match in re.finditer(r"^\| `([\w.]+)` \| ([A-Z]+) \| `([^`]+)` \|", TEXT, re.MULTILINE):
        # Names of values are words in capitals; ALIBABA_... is a variable's name.
        text = re.sub(r"(?<![\w=])[A-Z]{3,}(?![\w=])", "VALUE", match[3])
        yield Line(match[1], match[2], text)


def test_every_log_line_is_on_the_page_and_no_other() -> None:
    assert sorted(lines_on_page()) == sorted(lines_in_source())
    assert len(list(lines_on_page())) > 5


def test_nothing_else_in_the_package_logs() -> None:
    """What the search above would not find."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bget_?[lL]ogger\(\w*\)\.(debug|info|warning|error)", text), path
        assert not re.search(r"\blogging\.(debug|info|warning|error|exception)\(", text), path
        assert not re.search(r"logger\.(log|exception|critical)\(", text) or path.name == (
            "reporting.py"
        ), path


def test_every_form_of_what_is_left_is_on_the_page() -> None:
    credentials = Credentials(
        "STS.FAKE", "FAKE", "FAKE", datetime(2030, 1, 1, tzinfo=timezone.utc), "app-role"
    )
    valid = State(credentials, schedule.Lifetime(0, 600))
    states = [State(), valid, valid._replace(is_refused=True)]
    for state in states:
        left = _what_is_left(state, 0).replace("600", "SECONDS")
        assert f"| `{left}` |" in TEXT


def test_ten_failures_in_a_row_take_about_two_minutes() -> None:
    """With an average draw, in the middle of the refresh window."""
    life, now = schedule.Lifetime(-18_000, 3_600), 2_400.0
    start = now
    for failures in range(1, 10):
        now = schedule.after_failure(now, life, failures, 0.5)
    assert 90 < now - start < 150


FIGURES = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| \[[^\]]+\]\(\.\./(explanation/scale|benchmarks)\.md#([\w-]+)\) \|$",
    TEXT,
    re.MULTILINE,
)


@pytest.mark.parametrize(("what", "figure", "page", "anchor"), FIGURES)
def test_figures_are_those_that_were_measured(
    what: str, figure: str, page: str, anchor: str
) -> None:
    if "kB" in figure:  # the page of the benchmarks has bytes
        figure = re.sub(r"([\d.]+) kB", lambda match: f"{float(match[1]) * 1000:.0f}", figure)
    measured = quantities(section(DOCS / f"{page}.md", anchor))
    if "kB" in what or "provider" in what:
        measured = [one._replace(unit="") for one in measured]
    assert quantities(figure)
    for one in quantities(figure):
        assert any(one.is_like(other) for other in measured), (what, one)


def test_the_logger_is_as_documented() -> None:
    assert [type(one) for one in logging.getLogger("ecs_role_creds").handlers][:1] == [
        logging.NullHandler
    ]
