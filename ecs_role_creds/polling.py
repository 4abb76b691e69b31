"""A thread that keeps a cache fresh, traffic or not; only where it is asked for."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.clock import Clock

MAX_NAP = 60.0
"""The longest a poller sleeps: its wait stands still while the instance is suspended, and the
cache's clock does not."""


class Poller:
    """Fetches whenever the schedule says so, until stopped.

    Args:
        cache: What to keep fresh. It is not kept alive: a poller ends when nobody else holds it.
        clock: The cache's clock.
    """

    def __init__(self, cache: CredentialsCache, clock: Clock) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=_poll,
            args=(weakref.ref(cache, lambda _: self._stop.set()), clock, self._stop.wait),
            name="ecs-role-creds-poller",
            daemon=True,
        )
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it goes on polling; a poller does not live on in a forked child."""
        return self._thread.is_alive() and not self._stop.is_set()

    def stop(self) -> None:
        """Have it end, at once unless a fetch is under way; does not wait for that."""
        self._stop.set()


def _poll(
    get_cache: Callable[[], CredentialsCache | None], clock: Clock, nap: Callable[[float], bool]
) -> None:
    is_stopped = False
    while not is_stopped:
        cache = get_cache()
        if cache is None:
            return
        ask_at = cache.ask_if_due()
        del cache
        is_stopped = nap(max(0.0, min(ask_at - clock(), MAX_NAP)))


class PollingSwitch:
    """Starts a poller when first asked to, and stops it when as many have asked for that.

    Args:
        cache: What to keep fresh.
        clock: The cache's clock.
    """

    def __init__(self, cache: CredentialsCache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._lock = threading.Lock()
        self._starts = 0
        self._poller: Poller | None = None

    @property
    def is_on(self) -> bool:
        """Whether a poller is at work, in this process."""
        return self._poller is not None and self._poller.is_alive

    def start(self) -> None:
        """Ask for polling."""
        with self._lock:
            self._starts += 1
            if not self.is_on:
                self._poller = Poller(self._cache, self._clock)

    def stop(self) -> None:
        """No longer ask for it."""
        with self._lock:
            self._starts = max(0, self._starts - 1)
            if self._starts == 0 and self._poller is not None:
                self._poller.stop()
                self._poller = None
