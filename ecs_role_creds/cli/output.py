"""Output helpers of the commands: colors, tables, masked secrets.

Nothing here reads the process's environment or streams; both are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

Color = Literal["red", "green", "yellow", "blue", "cyan", "bold", "dim"]

MASK = "********"

_CODES: dict[str, int] = {
    "bold": 1,
    "dim": 2,
    "red": 31,
    "green": 32,
    "yellow": 33,
    "blue": 34,
    "cyan": 36,
}


class Stream(Protocol):
    """A stream that can tell whether it is a terminal."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        ...


def wants_color(stream: Stream, environ: Mapping[str, str]) -> bool:
    """Whether to print colors: by ``NO_COLOR``, then ``FORCE_COLOR``, then the terminal.

    A variable that is set but empty counts as not set (https://no-color.org).
    """
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()


class Paint:
    """Colors text.

    Args:
        is_on: Whether to color at all; see :func:`wants_color`.
    """

    def __init__(self, is_on: bool) -> None:
        self._is_on = is_on

    def __call__(self, text: str, *colors: Color) -> str:
        """Return the text in these colors, or unchanged."""
        if not self._is_on or not text or not colors:
            return text
        codes = ";".join(str(_CODES[color]) for color in colors)
        return f"\x1b[{codes}m{text}\x1b[0m"


def mask(secret: str) -> str:
    """Return a mask that shows neither the secret nor its length."""
    return MASK if secret else ""


def printable(text: str) -> str:
    """Return the text with control characters escaped, so that it cannot control a terminal.

    Use it for everything from outside: responses, files, variables.
    """
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def table(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> str:
    """Return the rows as aligned columns, without trailing spaces.

    Color the result, not the cells: the escape codes of colors count as characters here.
    """
    lines = [list(headings), *map(list, rows)] if headings else [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
