"""Single flight: one call in progress, and the callers that wait for its outcome."""

from __future__ import annotations

import _thread
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Outcome = TypeVar("_Outcome")

StartThread = Callable[[Callable[[], object]], bool]
"""Runs a function on another thread; returns ``False`` if no thread can be started."""


NOBODY = 0
"""No thread has this identifier."""


class Flight(Generic[_Outcome]):
    """A call in progress. Any number of threads and coroutines wait for it and share its outcome.

    Args:
        work: Makes the call, and passes the outcome to :meth:`finish`.
        number: The number of this flight, counted from 1.
        started_at: When it starts, by the caller's clock.
    """

    __slots__ = (
        "_again",
        "_claim",
        "_is_over",
        "_outcomes",
        "_pid",
        "_starter",
        "_wakes",
        "_work",
        "is_launched",
        "number",
        "started_at",
    )

    def __init__(
        self,
        work: Callable[[Flight[_Outcome]], object],
        *,
        number: int = 1,
        started_at: float = 0.0,
    ) -> None:
        self.number = number
        self.started_at = started_at
        self.is_launched = False
        self._work = work
        self._claim: dict[str, list[int]] = {}
        self._again: dict[str, list[int]] = {}
        self._is_over = False
        self._starter = threading.get_ident()
        self._pid = os.getpid()
        self._outcomes: list[_Outcome] = []
        self._wakes: dict[Callable[[], object], None] = {}

    def launch(self, start_thread: StartThread) -> bool:
        """Run the work on another thread, unless a thread has begun it.

        Returns:
            ``False`` if no thread can be started.
        """
        if not self.is_from_parent and not start_thread(self.run):
            return False
        self.is_launched = True
        return True

    def launch_again(self, start_thread: StartThread) -> None:
        """Run the work on one more thread, if none has begun it; only the first call does."""
        again = [NOBODY]
        if not self._claim and self._again.setdefault("again", again) is again:
            start_thread(self.run)

    @property
    def has_begun(self) -> bool:
        """Whether a thread does the work, or has done it."""
        return bool(self._claim)

    def run(self) -> None:
        """Do the work on this thread; only the first call does anything."""
        if self.is_from_parent or self.is_run_here:
            return
        try:
            if self.claim(threading.get_ident()):
                self.is_launched = True
                self._work(self)
        finally:  # an exception of a signal handler may end this call at any line
            if self.is_run_here:
                self._is_over = True

    def claim(self, thread: int = NOBODY) -> bool:
        """Reserve the work for a thread, or for none; ``False`` if it is reserved already."""
        claim = [thread]
        return self._claim.setdefault("thread", claim) is claim  # atomic

    def drop(self) -> bool:
        """Make sure that no thread does the work; ``False`` if one is doing it."""
        self.claim()
        return self._claim["thread"] == [NOBODY] or self._is_over

    @property
    def needs_launch(self) -> bool:
        """Whether this thread began the flight and has not launched it.

        That is a new flight, or one whose launch this call has interrupted (a signal handler).
        """
        return self._starter == threading.get_ident() and not self.is_launched

    @property
    def is_run_here(self) -> bool:
        """Whether this thread is doing the work. It must not wait for itself."""
        return self._claim.get("thread") == [threading.get_ident()] and not self._is_over

    @property
    def is_from_parent(self) -> bool:
        """Whether it began before a fork. Nothing finishes it in this process."""
        return self._pid != os.getpid()

    def finish(self, outcome: _Outcome) -> None:
        """Pass the outcome to every waiter. Called once."""
        if self.is_from_parent:  # so are the event loops of those who wait
            return
        self._outcomes.append(outcome)
        for wake in list(self._wakes):
            # A waiter whose event loop has been closed in the meantime takes nothing from others.
            with contextlib.suppress(Exception):
                wake()
        self._wakes.clear()  # who comes from now on finds the outcome

    def wait(self, timeout: float) -> _Outcome | None:
        """Return the outcome; ``None`` if there is none after ``timeout`` seconds.

        During interpreter shutdown it does not wait: daemon threads do not run any more.
        """
        if self.is_from_parent:
            return None
        if timeout > 0 and not sys.is_finalizing():
            # A signal handler may fork at any line: the fork wakes this thread, or it sees it.
            signal = Signal()
            self._wakes[signal.set] = None
            try:
                _waiting[signal] = None
                if not self._outcomes and not self.is_from_parent:
                    signal.wait(min(timeout, threading.TIMEOUT_MAX))
            finally:
                self._wakes.pop(signal.set, None)
                _waiting.pop(signal, None)
        return self._outcome()

    async def wait_async(self, timeout: float) -> _Outcome | None:
        """Return the outcome; ``None`` if there is none after ``timeout`` seconds.

        Does not block the event loop. Cancelling a waiter affects no other waiter.
        """
        import asyncio

        if self.is_from_parent:
            return None
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def wake() -> None:
            loop.call_soon_threadsafe(settle)

        self._wakes[wake] = None
        try:
            if not self._outcomes:
                # Not wait_for(): before Python 3.12, it loses a cancellation that comes with the
                # outcome.
                await asyncio.wait([waiter], timeout=max(0.0, timeout))
        finally:
            self._wakes.pop(wake, None)
        return self._outcome()

    def _outcome(self) -> _Outcome | None:
        return self._outcomes[0] if self._outcomes else None


class Signal:
    """Like ``threading.Event``, but a finalizer may set it on the thread that waits for it.

    It has one waiter and one lock, which nobody else waits for. With gevent, greenlets and native
    threads that contend for a lock (as in concurrent.futures.Future) may wait for it forever.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake the waiting thread, or the next one that waits."""
        self.is_set = True
        with contextlib.suppress(RuntimeError):  # set before
            self._lock.release()

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds; returns whether it is set."""
        return self.is_set or self._lock.acquire(timeout=timeout)


_waiting: dict[Signal, None] = {}


def wake_after_fork() -> None:
    """In a forked child: wake the thread that a signal handler interrupted inside a wait.

    The thread that it waits for is the parent's.
    """
    for signal in list(_waiting):
        signal.set()
    _waiting.clear()


def start_daemon_thread(work: Callable[[], object], name: str = "ecs-role-creds-refresh") -> bool:
    """Run ``work`` on a daemon thread. Does not wait until the thread runs.

    Returns:
        Whether it runs. No thread can be started during interpreter shutdown.
    """
    if sys.is_finalizing():
        return False
    try:
        _thread.start_new_thread(_start_named_thread, (work, name))
    except RuntimeError:
        return False
    return True


def _start_named_thread(work: Callable[[], object], name: str) -> None:
    """Run ``work`` on a thread that has a name and that ``threading`` knows.

    ``Thread.start()`` waits until the new thread runs. With many busy threads that takes
    milliseconds, and a child that a signal handler forks meanwhile would wait forever. So this
    extra thread waits instead of the caller.
    """
    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except (RuntimeError, MemoryError):
        work()
