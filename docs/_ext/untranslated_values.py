"""Keeps out of the translation catalogues what is the same in every language.

That is code, figures with their units, and names written as in code (``oss2``, ``role_name``).
Without this, most messages would be table cells, and each run of the benchmarks would change them.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_UNITS = {"ns", "µs", "ms", "s", "min", "h", "B", "kB", "KiB", "MiB", "GiB"}
_WORD = re.compile(r"[^\W\d]\w*")


class KeepValues(SphinxTransform):
    default_priority = 5  # before the translation, which has 20

    def apply(self, **_: Any) -> None:
        for paragraph in self.document.findall(nodes.paragraph):
            if is_value(paragraph):
                paragraph["translatable"] = False


def is_value(paragraph: nodes.paragraph) -> bool:
    text = "".join(
        node.astext()
        for node in paragraph.findall(nodes.Text)
        if not isinstance(node.parent, nodes.literal)
    )
    units = _UNITS if any(character.isdigit() for character in text) else set()
    return all(
        word in units or "_" in word or any(character.isdigit() for character in word)
        for word in _WORD.findall(text)
    )


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(KeepValues)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
