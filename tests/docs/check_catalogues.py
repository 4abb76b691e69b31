"""Compares the translation catalogues with the pages: nothing missing, nothing out of date.

``make docs`` runs this on the templates that Sphinx extracts. ``make translations`` brings the
catalogues up to date; a translator then fills in what is empty and reviews what is fuzzy.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po


class Gap(NamedTuple):
    """Why a page is not fully translated."""

    page: str
    reason: str
    text: str


def gaps(templates: Path, catalogues: Path) -> list[Gap]:
    found = []
    for template in sorted(templates.rglob("*.pot")):
        path = template.relative_to(templates).with_suffix(".po")
        found += _gaps_of_page(path.with_suffix("").as_posix(), template, catalogues / path)
    for catalogue in sorted(catalogues.rglob("*.po")):
        path = catalogue.relative_to(catalogues).with_suffix(".pot")
        if not (templates / path).exists():
            found.append(Gap(path.with_suffix("").as_posix(), "page no longer exists", ""))
    return found


def _gaps_of_page(page: str, template: Path, catalogue: Path) -> list[Gap]:
    translated = _read(catalogue) if catalogue.exists() else Catalog()
    found = []
    for message in _read(template):
        if not message.id:
            continue
        translation = translated.get(message.id)
        if translation is None:
            found.append(Gap(page, "not in the catalogue", str(message.id)))
        elif not translation.string:
            found.append(Gap(page, "not translated", str(message.id)))
        elif translation.fuzzy:
            found.append(Gap(page, "fuzzy", str(message.id)))
    return found


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates", type=Path, help="folder of .pot files")
    parser.add_argument("catalogues", type=Path, help="folder of .po files")
    parser.add_argument("--report-only", action="store_true", help="exit with 0 in any case")
    options = parser.parse_args()
    found = gaps(options.templates, options.catalogues)
    pages: dict[str, list[Gap]] = {}
    for gap in found:
        pages.setdefault(gap.page, []).append(gap)
    for page, its in pages.items():
        print(f"{page}: {len(its)} messages, the first: {its[0].reason}: {its[0].text[:60]!r}")
    if found:
        print(f"{len(found)} messages on {len(pages)} pages. Run 'make translations', then fill in")
        print(f"what is empty or fuzzy in {options.catalogues}.")
    return 1 if found and not options.report_only else 0


if __name__ == "__main__":
    sys.exit(main())
