"""Time that processes share, and that any of them moves: hours pass at once for all."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from support.faults import Ageing

_SECONDS = struct.Struct("d")


class SharedAgeing(Ageing):
    """The real time, and leaps ahead which are kept in a file.

    Args:
        path: The file; created where there is none.
    """

    def __init__(self, path: str | Path) -> None:
        with open(path, "a+b") as file:
            if file.tell() == 0:
                file.write(_SECONDS.pack(0.0))
                file.flush()
            self._memory = mmap.mmap(file.fileno(), _SECONDS.size)

    @property
    def ahead(self) -> float:
        return float(_SECONDS.unpack_from(self._memory)[0])

    def leap(self, seconds: float) -> None:
        _SECONDS.pack_into(self._memory, 0, self.ahead + seconds)
