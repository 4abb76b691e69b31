"""A thread that refreshes a cache even if nothing requests credentials. Off by default."""

from __future__ import annotations

import functools
import logging
import os
import sys
import weakref
from collections.abc import Callable

from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.clock import Clock
from ecs_role_creds.flight import Signal, start_daemon_thread
from ecs_role_creds.preload import IMPORT_LIMIT
from ecs_role_creds.reporting import log
from ecs_role_creds.versions import Version

MAX_NAP = 60.0
"""The maximum number of seconds that a poller sleeps. Sleep does not count the time in which the
instance is suspended, and the cache's clock does."""


class PollingSwitch:
    """Starts a poller at the first :meth:`start`, and stops it after as many calls of :meth:`stop`.

    The poller does not keep the switch alive: it ends when the switch is gone. There is no lock, so
    signal handlers and finalizers may start and stop it too.

    Args:
        cache: The cache to refresh.
        clock: The cache's clock.
    """

    def __init__(self, cache: CredentialsCache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._setting = _Setting(0, None)

    @property
    def is_on(self) -> bool:
        """Whether a poller is running in this process."""
        poller = self._latest().poller
        return poller is not None and poller.is_alive

    @property
    def starts(self) -> int:
        """How many calls of :meth:`start` have not been undone by :meth:`stop`, in this process."""
        return self._latest().starts

    def start(self, import_limit: float = IMPORT_LIMIT) -> None:
        """Start polling, or count one more start.

        Args:
            import_limit: The maximum number of seconds to wait for the import of the HTTP client.

        Raises:
            RuntimeError: No thread can be started. The call is not counted.
        """
        # First, because a child that is forked during the import could no longer import it.
        self._cache.import_http_client(import_limit)
        while True:
            setting = self._latest()
            poller = setting.poller
            if poller is None or poller.has_ended:
                poller = Poller(self)
            new = _Setting(setting.starts + 1, poller)
            try:
                if setting.replace_with(new):
                    poller.start()
                    return
            except BaseException:  # a signal handler's exception may end this call at any line
                if setting.replace_with(new):  # it counts: it did before, or does now
                    self.stop()
                raise

    def stop(self) -> None:
        """Undo one :meth:`start`."""
        while True:
            setting = self._latest()
            starts = max(0, setting.starts - 1)
            poller = setting.poller if starts else None
            if setting.replace_with(_Setting(starts, poller)):
                break
        if poller is None and setting.poller is not None:
            setting.poller.stop()

    def is_polled_by(self, signal: Signal) -> bool:
        """Whether the poller with this signal is the current one, in this process."""
        poller = self._latest().poller
        return poller is not None and poller.signal is signal

    def fetch_if_due(self) -> float:
        """Fetch if a fetch is due. Returns the number of seconds until the next one."""
        try:
            return self._cache.ask_if_due() - self._clock()
        except Exception as error:  # noqa: BLE001 (no error may end a poller)
            log(logging.ERROR, "Unexpected error while polling. Please report this", error=error)
            return MAX_NAP

    def _latest(self) -> _Setting:
        setting = self._setting
        latest = setting.latest()
        if latest.pid != os.getpid():  # a forked child: its parent has the thread
            latest.replace_with(_Setting(0, None))
            latest = latest.latest()
        if latest is not setting:
            self._setting = latest
        return latest


class _Setting(Version):
    __slots__ = ("pid", "poller", "starts")

    def __init__(self, starts: int, poller: Poller | None) -> None:
        super().__init__()
        self.starts = starts
        self.poller = poller
        self.pid = os.getpid()


class Poller:
    """Fetches when a fetch is due, until it is stopped or its switch is gone."""

    def __init__(self, switch: PollingSwitch) -> None:
        self.signal = signal = Signal()  # not self, which the switch refers to
        self._is_started = False
        self._work = functools.partial(
            _poll, weakref.ref(switch, lambda _: signal.set()), signal, ["work"]
        )

    def start(self) -> None:
        """Start the thread, if none has been started. Does not wait until it runs.

        Raises:
            RuntimeError: No thread can be started.
        """
        if sys.is_finalizing():
            raise RuntimeError("Cannot start polling during interpreter shutdown.")
        # A signal handler that interrupts this may start a second thread, which ends at once.
        if not self._is_started:
            if not start_daemon_thread(self._work, name="ecs-role-creds-poller"):
                raise RuntimeError("can't start new thread")
            self._is_started = True

    @property
    def is_alive(self) -> bool:
        """Whether it is polling."""
        return self._is_started and not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether it will not poll any more."""
        return self.signal.is_set

    def stop(self) -> None:
        """Stop polling, after the fetch in progress, if any. Does not wait for it."""
        self.signal.set()


def _poll(get_switch: Callable[[], PollingSwitch | None], signal: Signal, work: list[str]) -> None:
    """Poll until the signal is set, and set it at the end. Only the first thread does anything."""
    try:
        work.pop()  # atomic
    except IndexError:
        return
    try:
        is_stopped = signal.is_set
        while not is_stopped:
            switch = get_switch()
            # Not if a signal handler forked during start(), or its exception ended stop().
            if switch is None or not switch.is_polled_by(signal):
                return
            nap = switch.fetch_if_due()
            del switch  # not to keep the provider alive while asleep
            is_stopped = signal.wait(max(0.0, min(nap, MAX_NAP)))
    finally:
        signal.set()
