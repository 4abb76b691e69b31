"""The README says the same in each language: same samples, same links, same outline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH = ROOT / "README.md"

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) ", re.MULTILINE)


class Outline(NamedTuple):
    """What is the same in every language."""

    fences: list[str]
    links: list[str]
    headings: list[str]


def outline(path: Path) -> Outline:
    text = path.read_text(encoding="utf-8")
    prose = _FENCE.sub("", text)
    # Anchors are made of translated headings, and each README links to the others.
    links = {link.partition("#")[0] for link in _LINK.findall(prose)}
    links -= {"", *(one.name for one in ROOT.glob("README*.md"))}
    return Outline(_FENCE.findall(text), sorted(links), _HEADING.findall(prose))


@pytest.mark.parametrize("path", sorted(ROOT.glob("README.*.md")), ids=lambda path: path.name)
def test_translation_has_the_same_samples_links_and_headings(path: Path) -> None:
    translation, english = outline(path), outline(ENGLISH)
    assert translation.fences == english.fences
    assert translation.links == english.links
    assert translation.headings == english.headings


@pytest.mark.parametrize("path", sorted(ROOT.glob("README.*.md")), ids=lambda path: path.name)
def test_each_links_to_the_other_in_its_first_lines(path: Path) -> None:
    first = {one: one.read_text(encoding="utf-8").splitlines()[:5] for one in (ENGLISH, path)}
    assert any(f"]({path.name})" in line for line in first[ENGLISH])
    assert any(f"]({ENGLISH.name})" in line for line in first[path])
