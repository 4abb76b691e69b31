"""Figures that pages quote from the measurements, and whether they still are of that size."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"

_QUANTITY = re.compile(r"(?<![\w.,-])(\d[\d,]*(?:\.\d+)?)[ \u00a0]?(ns|µs|ms|s|MiB)?(?![\w%])")
_SECONDS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}


class Quantity(NamedTuple):
    """A figure: seconds, MiB, or a count."""

    value: float
    unit: str

    def is_like(self, other: Quantity) -> bool:
        """Whether another figure is of this size."""
        if self.unit != other.unit or 0.0 in (self.value, other.value):
            return self == other
        factor = 1.25 if self.unit == "" else 2.0
        return 1 / factor <= self.value / other.value <= factor


def quantities(text: str) -> list[Quantity]:
    found = []
    for number, unit in _QUANTITY.findall(text):
        value = float(number.replace(",", ""))
        is_time = unit in _SECONDS
        found.append(Quantity(value * _SECONDS.get(unit, 1.0), "s" if is_time else unit))
    return found


def section(page: Path, anchor: str) -> str:
    """The text under the heading of that anchor, subsections included."""
    parts = re.split(r"^(#+) (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for index in range(1, len(parts), 3):
        level, heading = parts[index : index + 2]
        if re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") != anchor:
            continue
        texts = [parts[index + 2]]
        for later in range(index + 3, len(parts), 3):
            if len(parts[later]) <= len(level):
                break
            texts.append(parts[later + 2])
        return "".join(texts)
    raise AssertionError(f"{page.name} has no section {anchor}")
