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
    """What a provider takes from its surroundings; tests pass their own.

    Attributes:
        clock: Reads seconds; must not stand still while the instance is suspended.
        wall_clock: The instance's time of day; used where the service does not tell its own.
        sleep: Waits between two tries of a request.
        random: Draws from [0, 1), for jitter.
        session: The HTTP session; ``None``: one that uses no proxy, cookie or ``.netrc``.
        start_thread: Runs a function on another thread, and tells whether it could.
    """

    clock: Clock = boottime
    wall_clock: WallClock = utc_now
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = draw
    session: requests.Session | None = None
    start_thread: StartThread = start_daemon_thread
