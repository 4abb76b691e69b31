"""Draws ``mermaid`` fences during the build, once for each background. Needs no JavaScript."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import mmdr
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator
from sphinx.writers.text import TextTranslator

THEMES: dict[str, dict[str, Any]] = {
    "light": {
        "theme": "neutral",
        "themeVariables": {
            "noteBkgColor": "#fdf6e3",
            "noteBorderColor": "#d9cfae",
            "noteTextColor": "#333333",
        },
    },
    "dark": {"theme": "dark"},
}
_WIDTH = re.compile(r'viewBox="\S+ \S+ ([\d.]+) ')
_TITLE = re.compile(r"^\s*accTitle:\s*(.+)$", re.MULTILINE)


class mermaid(nodes.General, nodes.Element, addnodes.translatable):  # noqa: N801 (a docutils node)
    """A diagram. Its whole text is one message in the translation catalogue."""

    def preserve_original_messages(self) -> None:
        self.setdefault("original", self["text"])

    def apply_translated_message(self, original_message: str, translated_message: str) -> None:
        if self["text"] == original_message:
            self["text"] = translated_message

    def extract_original_messages(self) -> list[str]:
        return [self["original"]]


class MermaidDirective(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content)
        if not _TITLE.search(text):
            raise self.error("The diagram has no text alternative. Add a line 'accTitle: ...'.")
        node = mermaid(text=text)
        self.set_source_info(node)
        return [node]


def visit_html(translator: HTML5Translator, node: mermaid) -> None:
    title = _TITLE.search(node["text"])
    alt = translator.attval(title[1] if title else "")
    builder = translator.builder
    translator.body.append('<p class="diagram">')
    for background, theme in THEMES.items():
        settings = f"%%{{init: {json.dumps(theme)}}}%%\n"
        svg = mmdr.render(settings + node["text"], backend="merman").svg()
        width = _WIDTH.search(svg)
        name = f"diagram-{hashlib.sha256(svg.encode()).hexdigest()[:16]}.svg"
        folder = Path(builder.outdir, builder.imagedir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(svg, encoding="utf-8")
        translator.body.append(
            f'<img class="only-{background}" src="{builder.imgpath}/{name}" alt="{alt}"'
            f' width="{width[1] if width else ""}" />'
        )
    translator.body.append("</p>")
    raise nodes.SkipNode


def visit_text(translator: TextTranslator, node: mermaid) -> None:
    title = _TITLE.search(node["text"])
    translator.new_state()
    translator.add_text(f"[Diagram: {title[1] if title else ''}]")
    translator.end_state()
    raise nodes.SkipNode


def visit_gettext(translator: nodes.NodeVisitor, node: mermaid) -> None:
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("mermaid", MermaidDirective)
    app.add_node(
        mermaid,
        html=(visit_html, None),
        text=(visit_text, None),
        gettext=(visit_gettext, None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
