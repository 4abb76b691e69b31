"""Shows ``plot-dark.svg`` in place of ``plot.svg`` when the reader chose the dark theme.

The pages name only ``plot.svg``, so they also look right where Markdown is rendered without Sphinx.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def show_both(app: Sphinx, document: nodes.document) -> None:
    if app.builder.format != "html":
        return
    for image in list(document.findall(nodes.image)):
        uri = image["uri"]
        dark = uri.removesuffix(".svg") + "-dark.svg"
        folder = Path(app.env.doc2path(app.env.docname)).parent
        if uri.startswith("/"):  # counted from the folder of the pages
            folder, dark = Path(app.srcdir), dark.removeprefix("/")
        if not uri.endswith(".svg") or not (folder / dark).exists():
            continue
        other = image.deepcopy()
        other["uri"] = "/" + dark if uri.startswith("/") else dark
        image["classes"].append("only-light")
        other["classes"].append("only-dark")
        image.parent.insert(image.parent.index(image) + 1, other)


def setup(app: Sphinx) -> dict[str, Any]:
    # Before Sphinx collects the images, which it does at the same event with priority 500.
    app.connect("doctree-read", show_both, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
