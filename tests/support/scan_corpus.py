"""Planted AccessKey pairs: files as people write them, with pairs drawn at run time, so that no
scanner takes this repository for a leak."""

from __future__ import annotations

import base64
import random
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TEMPLATES = Path(__file__).with_name("planted_pairs")
KINDS = {"ID": "AccessKey id", "SECRET": "AccessKey secret"}

_PLACE = re.compile(r"@(ID|SECRET)(64N?)?@")
_ALPHABET = string.ascii_letters + string.digits


class Planted(NamedTuple):
    """A file with pairs in it.

    Attributes:
        name: Its name.
        content: Its text.
        expected: Where a scanner has to find what: line and kind.
        keys: The parts themselves.
    """

    name: str
    content: str
    expected: set[tuple[int, str]]
    keys: list[str]


def draw_id(rng: random.Random, length: int = 24) -> str:
    return "LTAI" + "".join(rng.choices(_ALPHABET, k=length - 4))


def draw_secret(rng: random.Random) -> str:
    return "".join(rng.choices(_ALPHABET, k=30))


def plant(seed: int) -> Iterator[Planted]:
    """Every template, with pairs that the seed makes."""
    rng = random.Random(seed)
    for path in sorted(TEMPLATES.glob("*.template")):
        yield _plant_one(path, rng)


def _plant_one(path: Path, rng: random.Random) -> Planted:
    template = path.read_text(encoding="utf-8")
    keys: list[str] = []

    def draw(place: re.Match[str]) -> str:
        key = draw_id(rng, rng.choice((16, 20, 24))) if place[1] == "ID" else draw_secret(rng)
        keys.append(key)
        if place[2] is None:
            return key
        end = "\n" if place[2] == "64N" else ""  # as `echo KEY | base64` makes it
        return base64.b64encode((key + end).encode()).decode()

    expected = {
        (number, KINDS[place[1]])
        for number, line in enumerate(template.splitlines(), 1)
        for place in _PLACE.finditer(line)
    }
    return Planted(path.stem, _PLACE.sub(draw, template), expected, keys)
