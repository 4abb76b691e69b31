"""Clock, randomness, HTTP session and threads, which tests replace."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ecs_role_creds.clock import Clock, WallClock, boottime, draw, utc_now
from ecs_role_creds.flight import StartThread, start_daemon_thread

if TYPE_CHECKING:
    import requests


class Runtime(NamedTuple):
    """The clock, randomness, HTTP session and threads of a provider; tests pass their own.

    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> from ecs_role_creds.testing import VirtualClock
    >>> clock = VirtualClock()
    >>> provider = EcsRamRoleCredentialsProvider(runtime=Runtime(clock=clock))
    >>> credentials = provider.get_credentials()
    >>> clock.advance(6 * 3600)
    >>> credentials.is_expired()
    True

    Attributes:
        clock: Returns seconds. It must not stop while the instance is suspended.
        wall_clock: Returns the instance's time of day, as an aware datetime. It is used if the
            service sends no ``Date`` header.
        sleep: Waits for a number of seconds: between two attempts of a request, and in
            :meth:`~ecs_role_creds.EcsRamRoleCredentialsProvider.wait`.
        random: Returns a random number from [0, 1), for jitter.
        session: The HTTP session; ``None``: one that uses no proxy, cookie or ``.netrc``.
        start_thread: Runs a function on another thread. Returns ``False`` if it cannot start one.
    """

    clock: Clock = boottime
    wall_clock: WallClock = utc_now
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = draw
    session: requests.Session | None = None
    start_thread: StartThread = start_daemon_thread
