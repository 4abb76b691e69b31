"""A clock that a test moves."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

_A_WHOLE_SECOND = datetime(2030, 1, 1, tzinfo=timezone.utc)

_Notify = Callable[[], object]


class VirtualClock:
    """A clock that stands still until a test moves it, so that six hours pass in a millisecond.

    Pass it to a fake service, and to the provider in a
    :class:`~ecs_role_creds.provider.Runtime`. With the fixture ``ecs_metadata``, the marker
    ``@pytest.mark.ecs_metadata(clock=VirtualClock)`` does both.

    >>> clock = VirtualClock()
    >>> before = clock()
    >>> clock.advance(6 * 3600)
    >>> clock() - before
    21600.0

    Args:
        start: The time at the start, as an aware datetime.

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
        """Return the seconds since the epoch."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward; a negative number sets it back.

        With the fixture ``ecs_metadata``, this method first waits for fetches in progress. After
        moving the clock, it lets providers that poll fetch if a fetch is due.

        >>> clock = VirtualClock()
        >>> clock.advance(60)

        Args:
            seconds: How far to move it.
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
        """Call one function before and another after each :meth:`advance` inside the block."""
        both = (before, after)
        self._notified.append(both)
        try:
            yield
        finally:
            self._notified.remove(both)
