"""One fetch under way, and the callers who wait for its outcome."""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import CredentialsError

Outcome = Credentials | CredentialsError
"""What a fetch comes to. Errors are handed on as values, and each caller raises a copy."""


class Flight:
    """A fetch under way. Any number of threads and coroutines wait for it, and share its outcome.

    Args:
        took_off_at: When it was begun, by the clock of whoever begins it.
    """

    __slots__ = ("_landing", "took_off_at")

    def __init__(self, took_off_at: float) -> None:
        self.took_off_at = took_off_at
        self._landing: Future[Outcome] = Future()

    def land(self, outcome: Outcome) -> None:
        """Give every waiter the outcome. Called once."""
        self._landing.set_result(outcome)

    def wait(self, timeout: float) -> Outcome | None:
        """The outcome; ``None`` if there is none after ``timeout`` seconds."""
        try:
            return self._landing.result(timeout)
        except FutureTimeoutError:
            return None

    async def wait_async(self, timeout: float) -> Outcome | None:
        """The outcome; ``None`` if there is none after ``timeout`` seconds.

        Blocks nobody. A waiter that is cancelled leaves the flight and its other waiters alone.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Outcome] = loop.create_future()

        def settle(outcome: Outcome) -> None:
            if not waiter.done():
                waiter.set_result(outcome)

        def wake(landing: Future[Outcome]) -> None:
            # The loop may have been closed meanwhile, and the waiter with it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, landing.result())

        self._landing.add_done_callback(wake)
        try:
            return await asyncio.wait_for(waiter, timeout)
        except asyncio.TimeoutError:
            return None


def start_daemon_thread(work: Callable[[], object]) -> bool:
    """Run ``work`` on a short-lived daemon thread.

    Returns:
        Whether it runs. At interpreter shutdown no thread can be started any more.
    """
    if sys.is_finalizing():
        return False
    try:
        _thread.start_new_thread(_start_thread, (work,))
    except RuntimeError:
        return False
    return True


def _start_thread(work: Callable[[], object]) -> None:
    """Run ``work`` on a thread with a name, which ``threading`` knows.

    ``Thread.start()`` waits until the new thread has begun. With many threads at work that takes
    milliseconds, so it is not the caller who waits, but this function's thread.
    """
    try:
        threading.Thread(target=work, name="ecs-role-creds-refresh", daemon=True).start()
    except RuntimeError:
        work()
