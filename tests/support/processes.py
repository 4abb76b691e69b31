"""Forked children, for tests."""

from __future__ import annotations

import os
from collections.abc import Callable


def in_child(work: Callable[[], object]) -> str:
    """What ``work`` returns, or raises, in a forked child.

    A child that a signal ends is forked once again: the interpreter itself aborts in one of many
    thousand children that are forked amid threads.
    """
    told, is_ended_by_signal = _in_one_child(work)
    if is_ended_by_signal:
        told, _ = _in_one_child(work)
    return told


def _in_one_child(work: Callable[[], object]) -> tuple[str, bool]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = str(work())
        except BaseException as error:
            told = f"raised {error!r}"
        os.write(writer, told.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    return told, os.WIFSIGNALED(status)
