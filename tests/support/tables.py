"""Tables in Markdown, for the pages that are generated."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NO_BREAK = re.compile(r"(?<=\d) (?=(?:ns|µs|ms|s|min|h|%|B|MiB)(?!\w))|(?<=\w) (?=/ )")
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "---:") -> list[str]:
    """The lines of a table. In a column of figures, no line ends between a figure and its unit.

    Args:
        header: The first row.
        rows: The others.
        align: How columns after the first are aligned.
    """
    aligned = ["---", *[align] * (len(header) - 1)]
    is_of_figures = align == "---:"
    body = [[keep_units(cell) if is_of_figures else cell for cell in row] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in (header, aligned, *body)]


def keep_units(cell: str) -> str:
    """The cell with no-break spaces before units, and before the slash between two figures."""
    return _NO_BREAK.sub(NO_BREAK_SPACE, cell)
