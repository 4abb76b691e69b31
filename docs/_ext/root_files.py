"""Turns the links of README.md, CHANGELOG.md and the like into links between pages of the site.

Those files are at the root of the repository, where hosts look for them; pages include them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PAGES = {
    "CHANGELOG.md": "/changelog.md",
    "CODE_OF_CONDUCT.md": "/code-of-conduct.md",
    "CONTRIBUTING.md": "/contributing.md",
    "LICENSE": "/../LICENSE",
    "README.md": "/index.md",
    "README.zh-CN.md": "/index.md",
    "SECURITY.md": "/security.md",
}
"""Where the site has each of them; those without a page are downloads."""

_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")
_OTHER_LANGUAGE = re.compile(r"^.*\]\(README(\.zh-CN)?\.md\).*\n", re.MULTILINE)


def relink(app: Sphinx, path: Path, docname: str, content: list[str]) -> None:
    if path.name.startswith("README"):
        content[0] = _OTHER_LANGUAGE.sub("", content[0])  # the site has its own link
    content[0] = _LINK.sub(lambda link: f"]({_target(link[1])}{link[2] or ''})", content[0])


def _target(path: str) -> str:
    if path.startswith("docs/"):
        return path.removeprefix("docs")
    return PAGES.get(path, f"/../{path}")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("include-read", relink)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
