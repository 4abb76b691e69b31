"""The time of the fake service: real time, or time that a test moves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

_A_WHOLE_SECOND = datetime(2030, 1, 1, tzinfo=timezone.utc)

_Notify = Callable[[], object]


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
        self._notified: list[tuple[_Notify, _Notify]] = []

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass; a negative number sets the clock back.

        With the ``ecs_metadata`` fixture, fetches in progress end first, and providers that poll
        do what is due afterwards, before this method returns.
        """
        notified = list(self._notified)
        for before, _ in notified:
            before()
        with self._lock:
            self._now += seconds
        for _, after in notified:
            after()

    @contextlib.contextmanager
    def notifying(self, before: _Notify, after: _Notify) -> Iterator[None]:
        """Call a function before, and another one after each advance inside the block."""
        both = (before, after)
        self._notified.append(both)
        try:
            yield
        finally:
            self._notified.remove(both)
