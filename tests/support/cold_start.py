"""Processes that start cold, and import the HTTP client in their first call at the same time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


class ColdProcesses:
    """Processes that have all imported the HTTP client in their first call, and not fetched yet.

    Their clocks have passed far more than the deadline in the import, and stand still from then on.
    """

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def fetch_together(self) -> list[str]:
        """Let all of them fetch; each one's AccessKey id or error."""
        for process in self._processes:
            _go_on(process)
        return [_outcome(process) for process in self._processes]

    def fetch_in_turn(self) -> list[str]:
        """Let one after another fetch; each one's AccessKey id or error."""
        outcomes = []
        for process in self._processes:
            _go_on(process)
            outcomes.append(_outcome(process))
        return outcomes


@contextlib.contextmanager
def cold_processes(count: int, method: str) -> Iterator[ColdProcesses]:
    """Start so many processes, and have them call a method of their provider at once.

    They have the default settings, and the environment of this process.

    Args:
        count: How many.
        method: What they call.
    """
    script = Path(__file__).with_name("cold_process.py")
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), method],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        _expect(processes, "ready")
        for process in processes:
            _go_on(process)
        _expect(processes, "imported")
        yield ColdProcesses(processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _expect(processes: list[subprocess.Popen[str]], line: str) -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{line}\n"


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go on\n")
    process.stdin.flush()


def _outcome(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    outcome: str = json.loads(process.stdout.readline())
    return outcome
