"""Checks a built site without a network: every link, anchor and image leads to something in it.

External links are listed with ``--external`` and never fetched. Scripts, styles, fonts and images
from other hosts are errors: the site must work where only its own files can be reached.
"""

from __future__ import annotations

import argparse
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("source", "srcset")}
NAMES_ONLY = {"canonical", "alternate", "author", "license"}
"""Values of ``rel`` whose address a browser does not load."""


class Page(HTMLParser):
    """The addresses and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, bool, int]] = []
        """Address, whether the browser loads it by itself, and the line."""
        self.anchors = {"", "top"}
        self.without_alt: list[int] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "img" and not values.get("alt"):
            self.without_alt.append(self.getpos()[0])
        for name in ("href", "src", "srcset"):
            if name in values and tag != "base":
                is_loaded = (tag, name) in LOADED and values.get("rel") not in NAMES_ONLY
                self.links.append((values[name], is_loaded, self.getpos()[0]))


def problems(site: Path) -> tuple[list[str], set[str]]:
    """What is wrong, one line each; and the addresses outside the site."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    found, external = [], set()
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        found += [f"{where}:{line}: image without a text alternative" for line in page.without_alt]
        for address, is_loaded, line in page.links:
            parts = urlsplit(address)
            if parts.scheme == "data" or parts.scheme == "mailto":
                continue
            if parts.scheme or parts.netloc:
                external.add(address)
                if is_loaded:
                    found.append(f"{where}:{line}: loads {address} from another host")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                found.append(f"{where}:{line}: {address} does not exist")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{where}:{line}: {address} has no such anchor")
    llms_txt = site / "llms.txt"
    if llms_txt.exists():
        for address in re.findall(r"\]\(([^)]+)\)", llms_txt.read_text(encoding="utf-8")):
            if not (site / address).exists():
                found.append(f"llms.txt: {address} does not exist")
    return found, external


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--external", action="store_true", help="list the links to other sites")
    options = parser.parse_args()
    found, external = problems(options.site)
    if not any(options.site.rglob("*.html")):
        found.append(f"{options.site} has no pages. Build the site first.")
    print(*found, sep="\n", end="\n" if found else "")
    if options.external:
        print(*sorted(external), sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
