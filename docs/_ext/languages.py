"""One site in two languages: which README is the front page, and the link to the other language.

English is at the root of the site and Chinese in the folder ``zh-cn``. Both have the same pages.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
FOLDERS = {"en": "", "zh_CN": "zh-cn/"}
NAMES = {"en": "English", "zh_CN": "简体中文"}
TAGS = {"en": "en", "zh_CN": "zh-CN"}
READMES = {"zh_CN": "README.zh-CN.md"}

_README = re.compile(r"^```\{include\} \.\./README\.md\n.*?^```\n", re.MULTILINE | re.DOTALL)


def choose_readme(app: Sphinx, docname: str, source: list[str]) -> None:
    """The README is translated as a file, not in the catalogues: hosts show it as it is."""
    if docname != app.config.root_doc:
        return
    if app.builder.name == "gettext":
        source[0] = _README.sub("", source[0])
    readme = READMES.get(app.config.language)
    if readme is not None and (ROOT / readme).exists():
        source[0] = source[0].replace("../README.md", f"../{readme}")


def add_links(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    language = app.config.language
    up = context.get("content_root", "./") + "../" * FOLDERS[language].count("/")
    context["languages"] = [
        {
            "name": NAMES[one],
            "tag": TAGS[one],
            "url": f"{up}{folder}{pagename}.html",
            "is_current": one == language,
        }
        for one, folder in FOLDERS.items()
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", choose_readme)
    app.connect("html-page-context", add_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
