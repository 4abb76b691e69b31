"""The clients' versions in docs/reference/clients.md: ``make clients`` prints and writes them.

The environment of the file systems has versions of its own; it is asked by its interpreter.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "clients.md"
FILESYSTEMS = ROOT / ".venv-filesystems" / "bin" / "python"
PINNED = {"ossfs", "s3fs"}

# A row of the table: the client's name on the package index, in code font, then its version.
_ROW = re.compile(r"^\| `([\w.-]+)` \| (\d[\w.]*) \|", re.MULTILINE)
_ASK = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def names() -> list[str]:
    """The clients of the table, in its order."""
    return [match[1] for match in _ROW.finditer(PAGE.read_text(encoding="utf-8"))]


def versions() -> dict[str, str]:
    """What is installed."""
    found = {}
    for name in names():
        try:
            if name not in PINNED:
                found[name] = version(name)
        except PackageNotFoundError:
            sys.exit(f"{name} is in the table of {PAGE.relative_to(ROOT)}, but not installed")
    asked = subprocess.run(
        [FILESYSTEMS, "-c", _ASK, *sorted(PINNED)], capture_output=True, text=True, check=True
    )
    return found | json.loads(asked.stdout)


def write(found: dict[str, str]) -> None:
    """Put the versions into the table."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        _ROW.sub(lambda row: f"| `{row[1]}` | {found[row[1]]} |", page), encoding="utf-8"
    )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--names", action="store_true", help="names for pip, without the pinned")
    what.add_argument("--write", action="store_true", help="print the versions and write the table")
    if parser.parse_args().names:
        print(*(name for name in names() if name not in PINNED))
        return
    found = versions()
    for name, installed in found.items():
        print(f"{name} {installed}")
    write(found)


if __name__ == "__main__":
    main()
