"""The fake service's time: the real one, or one that a test moves."""

from __future__ import annotations

import threading
from datetime import datetime, timezone

_A_WHOLE_SECOND = datetime(2030, 1, 1, tzinfo=timezone.utc)


class VirtualClock:
    """Time that stands still until a test moves it, so that six hours pass in a millisecond.

    Args:
        start: The time of day it begins at, as an aware datetime.

    Raises:
        ValueError: ``start`` has no time zone.
    """

    def __init__(self, start: datetime = _A_WHOLE_SECOND) -> None:
        if start.tzinfo is None:
            raise ValueError("start has no time zone; pass an aware datetime")
        self._lock = threading.Lock()
        self._now = start.timestamp()

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass; a negative number sets the clock back."""
        with self._lock:
            self._now += seconds
