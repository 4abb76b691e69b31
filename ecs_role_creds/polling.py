"""A thread that keeps a cache fresh, traffic or not; only where it is asked for."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.clock import Clock

MAX_NAP = 60.0
"""The longest a poller sleeps: its wait stands still while the instance is suspended, and the
cache's clock does not."""


class PollingSwitch:
    """Starts a poller when first asked to, and stops it when as many have asked for that.

    The poller does not keep the switch alive: it ends when nobody holds that any more.

    Args:
        cache: What to keep fresh.
        clock: The cache's clock.
    """

    def __init__(self, cache: CredentialsCache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._starts = 0
        self._poller: Poller | None = None
        self._turn_off()

    @property
    def is_on(self) -> bool:
        """Whether a poller is at work, in this process."""
        self._turn_off_after_fork()
        return self._poller is not None and self._poller.is_alive

    def start(self) -> None:
        """Ask for polling."""
        self._turn_off_after_fork()
        with self._lock:
            self._starts += 1
            if not self.is_on:
                self._poller = Poller(self)

    def stop(self) -> None:
        """No longer ask for it."""
        self._turn_off_after_fork()
        with self._lock:
            self._starts = max(0, self._starts - 1)
            if self._starts == 0 and self._poller is not None:
                self._poller.stop()
                self._poller = None

    def fetch_if_due(self) -> float:
        """Do a poller's work once; returns for how many seconds it may rest."""
        return self._cache.ask_if_due() - self._clock()

    def _turn_off(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._starts = 0
        self._poller = None

    def _turn_off_after_fork(self) -> None:
        """The thread, and who asked for it, are the parent's."""
        if self._pid != os.getpid():
            self._turn_off()


class Poller:
    """Fetches whenever the schedule says so, until stopped, or until nobody holds its switch."""

    def __init__(self, switch: PollingSwitch) -> None:
        self._stop = threading.Event()
        stop = self._stop  # not self, which the switch holds
        self._thread = threading.Thread(
            target=_poll,
            args=(weakref.ref(switch, lambda _: stop.set()), stop.wait),
            name="ecs-role-creds-poller",
            daemon=True,
        )
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it goes on polling."""
        return self._thread.is_alive() and not self._stop.is_set()

    def stop(self) -> None:
        """Have it end, at once unless a fetch is under way; does not wait for that."""
        self._stop.set()


def _poll(get_switch: Callable[[], PollingSwitch | None], nap: Callable[[float], bool]) -> None:
    is_stopped = False
    while not is_stopped:
        switch = get_switch()
        if switch is None:
            return
        rest = switch.fetch_if_due()
        del switch
        is_stopped = nap(max(0.0, min(rest, MAX_NAP)))
