"""Finds literary turns in documentation, docstrings, comments and messages; names plain words.

CONTRIBUTING.md says how the project writes. Text between ``<!-- prose: off -->`` and
``<!-- prose: on -->`` may quote turns. The pages are also checked with proselint.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PLACES = ("*.md", "Makefile", "pyproject.toml", "docs", "ecs_role_creds", "tests", ".github")
SUFFIXES = {".md", ".py", ".toml", ".yml", ".yaml", ".html", ""}
SKIPPED = {
    "tests/docs/check_prose.py",
    "tests/docs/test_checks.py",
    "docs/benchmarks.md",
    "docs/mutation.md",
}
"""This check and its test, and pages that are made from the output of a program."""

TURNS = {
    r"by and by": "later",
    r"should (?:this|it|that) (?:last|happen)": "if this continues",
    r"(?:to|can|could|may) be had": "available",
    r"at the (?:very )?most": "at most",
    r"at the (?:very )?least": "at least",
    r"at the (?:latest|earliest)": "before ..., after ...",
    r"(?:is|are|was|be) (?:not )?heeded|heeds?": "applied, followed",
    r"for ever": "forever, or without limit",
    r"anew": "again",
    r"under way": "in progress",
    r"behind \w+(?:'s|s')? backs?": "in the background",
    r"(?:the )?ones? in hand": "the cached credentials",
    r"(?-i:none else)": "nothing else",
    r"whoever": "anyone who",
    r"takes? (?:its|their) modules apart": "shuts down",
    r"stands? in the way|what stands between": "prevents",
    r"where there is room": "any free port",
    r"is of (?:no )?(?:use|help)": "helps",
    r"(?:cannot|can) be brought": "is (not) possible",
    r"(?:is|are|was|were) (?:not )?believed": "is (not) accepted, is (not) trusted",
    r"believes? nobody": "verifies every request",
    r"in one go": "at once",
    r"throttles its callers": "limits requests (429)",
    r"is in trouble": "returned an error",
    r"is to be (?:asked|had|found|seen)": "say who does it",
    r"whence|thence|hence|whilst|lest|upon|thereof|therein|hitherto|heretofore": "plain words",
    r"makes? do with|may well be": "plain words",
}
_PATTERN = re.compile(
    "|".join(f"(?P<t{number}>\\b(?:{turn})\\b)" for number, turn in enumerate(TURNS)), re.IGNORECASE
)
_QUOTED = re.compile(r"<!-- prose: off -->.*?<!-- prose: on -->", re.DOTALL)
_PLAIN = list(TURNS.values())


class Finding(NamedTuple):
    """A turn in a file."""

    line: int
    turn: str
    instead: str


def findings(text: str) -> Iterator[Finding]:
    """The turns in a text, also those that run over the end of a line."""
    # Same length as the text, so that offsets count lines correctly.
    flat = _QUOTED.sub(lambda match: "." * len(match[0]), text)
    flat = re.sub(r"\n[ \t]*(?:#|>)? ?", lambda match: " " * len(match[0]), flat)
    squeezed = re.compile(_PATTERN.pattern.replace(" ", r"\s+"), re.IGNORECASE)
    for match in squeezed.finditer(flat):
        line = text.count("\n", 0, match.start()) + 1
        yield Finding(line, " ".join(match[0].split()), _PLAIN[int((match.lastgroup or "t0")[1:])])


_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`|\([^)\s]+\)", re.MULTILINE | re.DOTALL)
_PROSELINT = re.compile(
    r"^(?P<page>.+?):(?P<line>\d+):\d+: (?P<check>[\w.]+): (?P<message>.+)$", re.M
)
_NOT_OURS = ("lexical_illusions", "needless_variants", "typography")
"""Checks of proselint that report headings repeated in the text, terms, and straight quotes."""


def proselint_findings(pages: dict[str, str]) -> Iterator[tuple[str, Finding]]:
    """What proselint says of the pages' prose, without their code and their links' addresses."""
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate(pages.values()):
            prose = _CODE.sub(lambda match: re.sub(r"[^\n]", "x", match[0]), text)
            Path(folder, f"{number}.md").write_text(prose, encoding="utf-8")
        command = [sys.executable, "-m", "proselint", "check", folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    names = list(pages)
    if done.returncode > 1:
        raise SystemExit(f"proselint failed: {done.stderr}")
    for match in _PROSELINT.finditer(done.stdout + done.stderr):
        if not match["check"].startswith(_NOT_OURS):
            name = names[int(Path(match["page"]).stem)]
            yield name, Finding(int(match["line"]), match["check"], match["message"])


def files() -> Iterator[Path]:
    for place in PLACES:
        for root in ROOT.glob(place):
            candidates = sorted(root.rglob("*")) if root.is_dir() else [root]
            for path in candidates:
                name = path.relative_to(ROOT).as_posix()
                if "node_modules" in name or "/corpus/" in name or name in SKIPPED:
                    continue
                if path.is_file() and path.suffix in SUFFIXES:
                    yield path


def main() -> int:
    texts = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files()
    }
    pages = {name: text for name, text in texts.items() if name.endswith(".md")}
    found = [(name, one) for name, text in texts.items() for one in findings(text)]
    found += proselint_findings(pages)
    for name, (line, turn, instead) in sorted(found):
        print(f"{name}:{line}: {turn!r}; write: {instead}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
