"""The page on operation explains every log record that the package writes, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "operate.md"
PACKAGE = ROOT / "ecs_role_creds"
LEVELS = ("debug", "info", "warning", "error", "critical")
# Not of an application: the role command shows its own log, and the fakes have none.
LEFT_OUT = ("roles/openapi.py",)

_PLACEHOLDER = re.compile(r"%\.?\d*[a-z]")
_ROW = re.compile(r"^\| (INFO|WARNING|ERROR) \| `([^`]+)` \|", re.MULTILINE)


def logged() -> Iterator[str]:
    """Each message in the source, with ``…`` for what differs."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).as_posix() in LEFT_OUT:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and is_log(node.func):
                yield from (
                    _PLACEHOLDER.sub("…", one.value)
                    for one in node.args
                    if isinstance(one, ast.Constant)
                    and isinstance(one.value, str)
                    and one.value != "%s"
                )
            elif (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Attribute)
                and node.targets[0].attr == "_warning"
                and isinstance(node.value, ast.JoinedStr)
            ):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.value.values
                )


def is_log(function: ast.expr) -> bool:
    """Whether it is ``log(...)`` of reporting.py, or a method of a logger."""
    if isinstance(function, ast.Name):
        return function.id == "log"
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LEVELS
        and isinstance(function.value, ast.Name)
        and function.value.id == "logger"
    )


def test_every_log_line_is_explained() -> None:
    explained = [message for _, message in _ROW.findall(PAGE.read_text(encoding="utf-8"))]
    found = list(logged())
    assert len(found) == len(set(found)) > 5
    assert sorted(explained) == sorted(found)
