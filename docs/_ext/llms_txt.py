"""Writes ``llms.txt`` (https://llmstxt.org): pages, its first sentence, its Markdown source."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import toctree
from sphinx.application import Sphinx


def write(app: Sphinx, exception: Exception | None) -> None:
    config = app.config
    if exception is not None or app.builder.name != "html" or config.language != "en":
        return
    lines = [f"# {config.project}", "", f"> {config.html_context['summary']}", ""]
    lines += [_entry(app, config.root_doc)]
    for tree in app.env.get_doctree(config.root_doc).findall(toctree):
        lines += ["", f"## {tree['caption']}", ""]
        lines += [_entry(app, docname) for _, docname in tree["entries"]]
    Path(app.outdir, "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _entry(app: Sphinx, docname: str) -> str:
    title = app.env.titles[docname].astext()
    first = next(app.env.get_doctree(docname).findall(nodes.paragraph), None)
    about = "" if first is None else ": " + _first_sentence(first.astext())
    source = Path(app.env.doc2path(docname))
    # What these include, the docstrings or a file, is only in the rendered text.
    is_rendered = re.search(r"^```\{(eval-rst|include)\}", source.read_text("utf-8"), re.MULTILINE)
    link = f"_text/{docname}.txt" if is_rendered else f"_sources/{docname}{source.suffix}.txt"
    return f"- [{title}]({link}){about}"


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.。])\s|(?<=。)", " ".join(text.split()), maxsplit=1)[0]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
