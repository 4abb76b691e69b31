"""Looks for secrets in the memory of other processes, as a debugger would."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

CHUNK = 16 * 1024 * 1024


def found_in_memory(pid: int, wanted: Collection[bytes]) -> set[bytes]:
    """Which of the wanted bytes stand anywhere in what a process has written to its memory.

    Args:
        pid: The process; a child of this one, unless the system lets everybody look.
        wanted: What to look for.
    """
    overlap = max(len(one) for one in wanted)
    found: set[bytes] = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            begin, end = (int(address, 16) for address in span.split("-"))
            # A part may be given back to the system meanwhile.
            with contextlib.suppress(OSError):
                for at in range(begin, end, CHUNK):
                    memory.seek(at)
                    chunk = memory.read(min(CHUNK + overlap, end - at))
                    found.update(one for one in wanted if one in chunk)
    return found
