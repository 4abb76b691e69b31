"""Tells what came of ``mutmut run``, and holds each survivor against judged.toml: ``make mutants``.

Writes docs/mutation.md. Fails where a mutant survived that nobody has judged.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import tomllib

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "mutation.md"

KILLED = ("killed", "timeout", "segfault")
WORDING = "Wording: a message's capitals, or letters put before and after it."

INTRODUCTION = """# Mutation testing

Made by `make mutants`, not typed in. [mutmut](https://mutmut.readthedocs.io/) changes the code, one
small thing at a time, and runs the unit and property tests that reach it. A change that no test
notices survives; each survivor is judged below. mutmut leaves properties and constants alone.
"""


class Mutant(NamedTuple):
    """A change to the code, and what came of it."""

    name: str
    status: str

    @property
    def module(self) -> str:
        """The module that was changed."""
        return self.name.split(".")[1]

    @property
    def function(self) -> str:
        """The function that was changed."""
        mangled = self.name.split(".")[2].rpartition("__mutmut_")[0]
        return mangled.rpartition("ǁ")[2].removeprefix("x_")


class Change(NamedTuple):
    """What was changed, as judged.toml writes it."""

    where: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.where} | {self.old} | {self.new}"

    @property
    def is_wording(self) -> bool:
        """Whether only the text of a message differs."""

        def bare(line: str) -> str:
            return line.replace('"XX', '"').replace('XX"', '"').lower()

        return '"' in self.old and bare(self.old) == bare(self.new)


def mutmut(*arguments: str) -> str:
    """What mutmut prints."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def all_mutants() -> list[Mutant]:
    """Every mutant, with its status."""
    lines = mutmut("results", "--all", "True").splitlines()
    pairs = (line.strip().rsplit(": ", 1) for line in lines if "__mutmut_" in line)
    return [Mutant(name, status) for name, status in pairs]


def change_of(mutant: Mutant) -> Change:
    """What a mutant changes."""
    lines = mutmut("show", mutant.name).splitlines()
    body = [line for line in lines if not line.startswith(("---", "+++"))]
    old = " ".join(line[1:].strip() for line in body if line.startswith("-"))
    new = " ".join(line[1:].strip() for line in body if line.startswith("+"))
    return Change(f"{mutant.module}.{mutant.function}", old, new)


def read_judgements() -> dict[str, str]:
    """Why a change may survive, by the change."""
    with (HERE / "judged.toml").open("rb") as file:
        groups = tomllib.load(file)["judged"]
    return {change: group["why"] for group in groups for change in group["changes"]}


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def score_table(mutants: list[Mutant]) -> str:
    """The score of each module."""
    rows = []
    for module in [*sorted({mutant.module for mutant in mutants}), "all"]:
        statuses = Counter(m.status for m in mutants if module in (m.module, "all"))
        killed, total = sum(statuses[status] for status in KILLED), statuses.total()
        rows.append([module, str(total), str(killed), str(total - killed), f"{killed / total:.1%}"])
    return table(["module", "mutants", "killed", "survived", "score"], rows)


def main() -> int:
    """Judge, write the page, and say what is left to judge."""
    mutants = all_mutants()
    if not mutants:
        print("There are no results: run mutmut first.")
        return 2
    judgements = read_judgements()
    by_reason: dict[str, list[Change]] = {}
    unjudged = []
    for mutant in mutants:
        if mutant.status in KILLED:
            continue
        change = change_of(mutant)
        why = judgements.get(str(change), WORDING if change.is_wording else "")
        by_reason.setdefault(why, []).append(change)
        if not why:
            unjudged.append(f"{mutant.name} ({mutant.status})\n    {change}")
    page = f"{INTRODUCTION}\nMade on {datetime.now(timezone.utc):%Y-%m-%d}.\n\n"
    page += score_table(mutants) + "\n## The survivors\n"
    for why, changes in sorted(by_reason.items(), key=lambda item: len(item[1])):
        page += f"\n{why or 'Not judged yet.'} ({len(changes)})\n\n"
        shown = [] if why == WORDING else changes
        page += "".join(f"- `{one.where}`: `{one.old}` → `{one.new}`\n" for one in shown)
    PAGE.write_text(page.rstrip() + "\n", encoding="utf-8")
    print(PAGE)
    print("\n".join(unjudged) or "Every survivor is judged.")
    return 1 if unjudged else 0


if __name__ == "__main__":
    sys.exit(main())
