"""What the command line's start costs."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import Protocol

from report import Section, seconds

LIMIT = 0.060
"""How much longer than bare Python ``--help`` may take, in seconds."""


class _Scale(Protocol):
    @property
    def rounds(self) -> int: ...


COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import requests'": ["-c", "import requests"],
    "ecs-role-creds --help": ["-m", "ecs_role_creds", "--help"],
    "ecs-role-creds doctor --help": ["-m", "ecs_role_creds", "doctor", "--help"],
}


def command_start(scale: _Scale) -> Section:
    """A process from its start to its end."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(1 + scale.rounds):
        for name, arguments in COMMANDS.items():
            found[name].append(_run(arguments))
    walls, processors = (
        {name: min(times[part] for times in found[name]) for name in COMMANDS} for part in (0, 1)
    )
    bare = processors["python -c pass"]
    rows = [
        [
            f"`{name}`",
            seconds(walls[name]),
            seconds(processors[name]),
            seconds(processors[name] - bare) if processors[name] > bare else "-",
        ]
        for name in COMMANDS
    ]
    return Section(
        "command-start",
        "Start of the command line",
        "Whole processes, in turn, files in the page cache; minima. The last column is processor "
        "time on top of bare Python, which other load on the machine changes less; for `--help` "
        f"the limit is {seconds(LIMIT)}.",
        ["", "time", "processor time", "on top"],
        rows,
    )


def _run(arguments: list[str]) -> tuple[float, float]:
    """The time a process takes, and its processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, used
