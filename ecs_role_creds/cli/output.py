"""What the commands share for printing: colours, tables, masked secrets.

Nothing here reads the process's environment or its streams by itself: both come in as arguments.
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
    """What a stream has to know of itself."""

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        ...


def wants_color(stream: Stream, environ: Mapping[str, str]) -> bool:
    """Whether to print colours: ``NO_COLOR``, then ``FORCE_COLOR``, then a capable terminal.

    A variable that is set but empty counts as not set (https://no-color.org).
    """
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()


class Paint:
    """Puts colours around text, where there are to be any.

    Args:
        is_on: Whether there are; see :func:`wants_color`.
    """

    def __init__(self, is_on: bool) -> None:
        self._is_on = is_on

    def __call__(self, text: str, *colors: Color) -> str:
        if not self._is_on or not text or not colors:
            return text
        codes = ";".join(str(_CODES[color]) for color in colors)
        return f"\x1b[{codes}m{text}\x1b[0m"


def mask(secret: str) -> str:
    """What to show in place of a secret: nothing of it, nor its length."""
    return MASK if secret else ""


def printable(text: str) -> str:
    """The text with control characters and line breaks escaped, so that it cannot drive a
    terminal. For everything that comes from outside: answers, files, variables."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def table(rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> str:
    """Rows as aligned columns, two spaces apart; no trailing spaces. Paint it afterwards:
    colours count as characters here."""
    lines = [list(headings), *map(list, rows)] if headings else [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
