"""Runs a function in the middle of another one, at each line in turn, as a signal handler would."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import ecs_role_creds

CORE = os.path.dirname(ecs_role_creds.__file__)

STEP = int(os.environ.get("INTERRUPT_EVERY", "5"))
"""Every how many lines a test interrupts; 1 tries every line, which takes minutes."""


class Interruption:
    """Calls a function once, at the n-th line of the library that a thread executes.

    Args:
        line: Which line, counted from 1.
        handler: What to call there, on that thread.
        file: Count the lines of this file only.
    """

    def __init__(self, line: int, handler: Callable[[], object], file: str | None = None) -> None:
        self.left = line
        self.file = file
        self.handler = handler
        self.has_happened = False
        self.is_over = threading.Event()
        self.results: list[Any] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        # Not the fakes: a server that waits for its client is another matter.
        folder, file = os.path.split(frame.f_code.co_filename)
        if folder != CORE or self.file not in (None, file):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.has_happened = True
                try:
                    self.results.append(self.handler())
                except Exception as error:
                    self.results.append(error)
                finally:
                    self.is_over.set()
        return self


def interrupted(
    line: int,
    call: Callable[[], object],
    handler: Callable[[], object],
    file: str | None = None,
) -> Interruption:
    """Call a function on this thread, and interrupt it at a line; returns what happened."""
    interruption = Interruption(line, handler, file)
    before = sys.gettrace()
    sys.settrace(interruption)
    try:
        call()
    finally:
        sys.settrace(before)
    return interruption


def interrupted_elsewhere(
    line: int, call: Callable[[], object], handler: Callable[[], object]
) -> Interruption:
    """The same, but the threads that the call starts are interrupted."""
    interruption = Interruption(line, handler)
    before = threading.gettrace()
    threading.settrace(interruption)
    try:
        call()
    finally:
        threading.settrace(before)  # type: ignore[arg-type]
    return interruption
