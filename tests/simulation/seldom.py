"""A process that calls its provider seldom: how long what it is given still lives.

The service always answers. Each pause between two calls is drawn from 90 to 110 % of its length.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from simulation.clients import MINUTE
from simulation.service import HOUR, LIFE, Requests, Service

PAUSES = (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 5 * HOUR, 8 * HOUR)
LIVES = 2000
MAX_CALLS = 50_000


class Left(NamedTuple):
    """The life left in what calls were given.

    Attributes:
        calls: How many calls there were.
        under_a_minute: How many were given a token with less than 60 s of life, or an expired one.
        under_5_s: How many less than 5 s, or an expired one.
        expired: How many an expired one.
        least: The least life left, in seconds.
    """

    calls: int
    under_a_minute: int
    under_5_s: int
    expired: int
    least: float


def simulate(build: Callable[[Service, Random], Any], pause: float, seed: int = 1) -> Left:
    """Call through many lives of the token."""
    random = Random(seed)
    calls = min(MAX_CALLS, int(LIVES * LIFE / pause))
    client = build(Service(0.0, [], Requests(1.2 * calls * pause)), Random(seed))
    now, left = 0.0, []
    for _ in range(calls):
        token = client.call(now).token
        left.append(token.expires_at - now)
        now += pause * random.uniform(0.9, 1.1)
    return Left(
        calls,
        sum(one < 60 for one in left),
        sum(one < 5 for one in left),
        sum(one <= 0 for one in left),
        min(left),
    )
