"""A year of one busy host whose metadata service goes down again and again."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from simulation.clients import MINUTE
from simulation.process import Tally, run
from simulation.service import HOUR, Outage, Requests, Service

WEEK = 7 * 24 * HOUR
WEEKS = 52
LENGTHS = (MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR)
"""How long the outages are; there is one in each week, at a random time."""


def simulate(build: Callable[[Service, Random], Any], length: float, seed: int = 1) -> Tally:
    """What the calls of a year come to, one a second."""
    outages = _outages(length, Random(seed))
    service = Service(0.0, outages, Requests(WEEKS * WEEK))
    tally = Tally()
    run(build(service, Random(seed)), 0.0, WEEKS * WEEK, tally)
    return tally


def _outages(length: float, random: Random) -> list[Outage]:
    begins = [week * WEEK + HOUR + random.random() * (WEEK - 8 * HOUR) for week in range(WEEKS)]
    return [Outage(begin, begin + length) for begin in begins]
