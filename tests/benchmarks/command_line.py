"""What the command line's start costs."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import Protocol

from report import Section, seconds

LIMIT = 0.060
"""CPU time in seconds that ``--help`` may take beyond bare Python."""


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
        "Each command runs as a process of its own, with its files in the page cache. The table "
        "shows the minimum of the runs. The last column is the CPU time beyond that of bare "
        "Python; other load on the machine changes CPU time less than wall time. The limit for "
        f"`--help` is {seconds(LIMIT)}.",
        ["", "wall time", "CPU time", "beyond bare Python"],
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
