"""The helpers that every command prints with."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_role_creds.cli.output import MASK, Paint, mask, printable, table, wants_color


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "on_terminal", "in_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "xterm"}, True, False),
    ],
)
def test_colors_are_used_where_wanted(
    environ: dict[str, str], on_terminal: bool, in_pipe: bool
) -> None:
    assert wants_color(Terminal(), environ) is on_terminal
    assert wants_color(io.StringIO(), environ) is in_pipe


def test_paint() -> None:
    assert Paint(True)("text", "bold", "red") == "\x1b[1;31mtext\x1b[0m"
    assert Paint(True)("", "red") == ""
    assert Paint(False)("text", "red") == "text"


@given(st.text(min_size=1))
def test_a_mask_tells_nothing(secret: str) -> None:
    assert mask(secret) == MASK


def test_nothing_is_masked_as_nothing() -> None:
    assert mask("") == ""


@given(st.text())
def test_printable_text_drives_no_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert not text.isprintable() or printable(text) == text


def test_tables_are_aligned() -> None:
    rows = [["a", "long cell"], ["longer", ""]]
    assert table(rows) == "a       long cell\nlonger"
    assert table(rows, ["x", "y"]) == "x       y\na       long cell\nlonger"
    assert table([]) == ""
