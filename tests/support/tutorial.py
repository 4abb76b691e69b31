"""Follows a page of the documentation as a reader would: saves its files, types its commands.

The reader types each line after ``$ `` of the ``console`` fences, saves a fence where the text
before it says "Save this as `NAME`", and runs what that text says: "run it with `COMMAND`". Output
that the page shows is compared; ``...`` stands for any text.
"""

from __future__ import annotations

import doctest
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SAVE = re.compile(r"[Ss]ave (?:this|it|the \w+) as\s+`([^`]+)`")
_RUN = re.compile(r"run\s+(?:it\s+)?(?:with\s+)?`([^`]+)`")


class Step(NamedTuple):
    """Something that the reader does.

    Attributes:
        line: Where the page says so.
        command: What is typed; ``None`` where a file is saved.
        output: What the page shows that it prints; empty where it shows nothing.
        file: The name of the file that is saved, if any.
        content: Its content.
    """

    line: int
    command: str | None = None
    output: str = ""
    file: str | None = None
    content: str = ""


class StepFailedError(AssertionError):
    """A step did not do what the page says; the message names the page's line."""


def steps(page: str) -> Iterator[Step]:
    """What a reader of the page does, in order."""
    end = 0
    for fence in _FENCE.finditer(page):
        paragraph = page[end : fence.start()].rstrip().rpartition("\n\n")[2]
        end = fence.end()
        line = page.count("\n", 0, fence.start(2)) + 1
        if fence[1].strip() == "console":
            yield from _commands(fence[2], line)
        elif save := _SAVE.search(paragraph):
            yield Step(line, file=save[1], content=fence[2])
            if run := _RUN.search(paragraph):
                yield Step(line, command=run[1])


def _commands(console: str, first_line: int) -> Iterator[Step]:
    joined: list[tuple[int, str, list[str]]] = []
    is_continued = False
    for number, line in enumerate(console.splitlines(), first_line):
        if is_continued:
            at, command, output = joined[-1]
            joined[-1] = (at, f"{command}\n{line}", output)
        elif line.startswith("$ "):
            joined.append((number, line.removeprefix("$ "), []))
        elif joined:
            joined[-1][2].append(line)
        else:
            raise StepFailedError(f"line {number}: a console block begins with '$ '")
        is_continued = (line.startswith("$ ") or is_continued) and line.endswith("\\")
    for at, command, output in joined:
        yield Step(at, command=command, output="".join(f"{line}\n" for line in output))


class Reader:
    """Takes the steps in a folder.

    Args:
        folder: Where files are saved and commands run.
        environment: All of the commands' environment.
        names: What the page calls things, and what the reader has in their place.
        timeout: Seconds for each command, so that nothing hangs.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        names: Mapping[str, str],
        timeout: float = 600,
    ) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._names = dict(names)
        self._timeout = timeout
        self.printed: list[str] = []
        """What each command printed, in the names of the page."""

    def take(self, step: Step) -> None:
        """Take one step.

        Raises:
            StepFailedError: It failed, or printed something else than the page shows.
        """
        if step.file is not None:
            path = self._folder / step.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._own(step.content), encoding="utf-8")
        if step.command is not None:
            self._run(step, step.command)

    def _run(self, step: Step, command: str) -> None:
        done = subprocess.run(
            ["bash", "-c", self._own(command)],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self._timeout,
            check=False,
        )
        printed = self._of_page(done.stdout)
        self.printed.append(printed)
        if done.returncode != 0:
            raise StepFailedError(
                f"line {step.line}: $ {command}\nexit status {done.returncode}\n{printed}"
            )
        checker, flags = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if step.output and not checker.check_output(step.output, printed, flags):
            raise StepFailedError(
                f"line {step.line}: $ {command}\nThe page shows:\n{step.output}\n"
                f"It printed:\n{printed}"
            )

    def _own(self, text: str) -> str:
        for name, own in self._names.items():
            text = text.replace(name, own)
        return text

    def _of_page(self, text: str) -> str:
        for name, own in self._names.items():
            text = text.replace(own, name)
        return text
