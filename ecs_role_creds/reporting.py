"""What the library reports to the application: log records, and callbacks after a rotation.

Log filters, log handlers and callbacks are the application's code. They run only here, after the
fetch has ended and its outcome is in the cache, so they may use the provider. Their exceptions are
caught here, so none can stop a refresh or a poller.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
import weakref
from collections.abc import Callable

from ecs_role_creds.credentials import Credentials

logger = logging.getLogger("ecs_role_creds")

RotationCallback = Callable[[Credentials], object]


def log(level: int, message: str, *args: object, error: BaseException | None = None) -> None:
    """Write a log record; an exception from a filter or handler goes to ``sys.stderr`` only."""
    try:
        logger.log(level, message, *args, exc_info=error)
    except BaseException as raised:  # noqa: BLE001 (anything that the application raises)
        _pass_on_interruption(raised)
        # As logging does for an exception in Handler.emit().
        if logging.raiseExceptions:
            with contextlib.suppress(Exception):  # sys.stderr may be closed
                traceback.print_exc()


def _pass_on_interruption(raised: BaseException) -> None:
    """Raise a ``SystemExit`` and the like again on the main thread: a signal handler may raise it.

    On another thread, it would end only that thread: the poller or the thread of a fetch.
    """
    is_interruption = not isinstance(raised, Exception)  # KeyboardInterrupt, CancelledError, ...
    is_killed = type(raised).__name__ == "GreenletExit"  # with gevent, which has to be obeyed
    is_main = threading.current_thread() is threading.main_thread()
    if is_killed or (is_interruption and is_main):
        raise raised


class RotationCallbacks:
    """The functions that one provider was asked to call after each rotation."""

    def __init__(self) -> None:
        self._callbacks: dict[object, RotationCallback] = {}

    def add(self, callback: RotationCallback) -> Callable[[], None]:
        """Add a function. Returns one that removes it, and that keeps nothing else alive."""
        key = object()
        self._callbacks[key] = callback
        get_self = weakref.ref(self)

        def remove() -> None:
            callbacks = get_self()
            if callbacks is not None:
                callbacks._callbacks.pop(key, None)

        return remove

    def call(self, credentials: Credentials, is_current: Callable[[], bool]) -> None:
        """Call each function; an exception is logged, and the next function is called.

        Stops if the credentials are no longer current: a callback may take longer than they last,
        and the next rotation has then called the others with its own.
        """
        for callback in list(self._callbacks.values()):
            if not is_current():
                return
            try:
                callback(credentials)
            except BaseException as error:  # noqa: BLE001 (the application's)
                _pass_on_interruption(error)
                log(logging.ERROR, "A callback of on_rotation() failed", error=error)


class Audience:
    """The :class:`RotationCallbacks` of the providers that share a cache, held weakly."""

    def __init__(self) -> None:
        self._members: dict[object, weakref.ref[RotationCallbacks]] = {}

    def add(self, callbacks: RotationCallbacks) -> None:
        """Call these callbacks too, as long as their provider exists."""
        key, members = object(), self._members
        members[key] = weakref.ref(callbacks, lambda _: members.pop(key, None))

    def remove(self, callbacks: RotationCallbacks) -> None:
        """No longer call these callbacks."""
        for key, get_callbacks in list(self._members.items()):
            if get_callbacks() is callbacks:
                self._members.pop(key, None)

    def call(self, credentials: Credentials, is_current: Callable[[], bool]) -> None:
        """Call every callback of every provider that still exists, while these are current."""
        for get_callbacks in list(self._members.values()):
            callbacks = get_callbacks()
            if callbacks is not None:
                callbacks.call(credentials, is_current)
