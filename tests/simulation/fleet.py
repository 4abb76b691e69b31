"""A day of a host with many processes, and of many hosts: how evenly the requests are spread.

The day: everything starts within ten minutes; tokens are rotated every five and a half hours; at
13:00 every process restarts within a minute; ten minutes of outage begin at the moment after 16:00
at which the client would first ask for the next token, where they do most harm to it.

Processes do not influence each other, so they are simulated one after another, on one clock.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from simulation.clients import MINUTE, EcsRoleCreds
from simulation.process import Tally, run
from simulation.service import HOUR, Outage, Requests, Service

DAY = 24 * HOUR
START_SPREAD = 10 * MINUTE
RESTART_AT, RESTART_SPREAD = 13 * HOUR, MINUTE
OUTAGE_AFTER, OUTAGE = 16 * HOUR, 10 * MINUTE
MAX_CALLS = 1_200_000
"""The most calls that are simulated one by one, for each of the peers: where a whole fleet would
take more, part of it is simulated, and its requests are multiplied."""

Build = Callable[[Service, Random], Any]


class Fleet(NamedTuple):
    """What is simulated.

    Attributes:
        name: As shown.
        processes: How many there are.
        shares_a_host: Whether all of them ask one metadata service for one token; else each has a
            host of its own, whose first token is issued as it starts.
    """

    name: str
    processes: int
    shares_a_host: bool


HOST = Fleet("one host with 10,000 processes", 10_000, True)
HOSTS = Fleet("100,000 hosts with a process each", 100_000, False)


class Day(NamedTuple):
    """A fleet's day with one client; figures are for the whole fleet.

    Attributes:
        client: The client.
        simulated: How many processes were.
        outage: When the service did not answer.
        a_day: Requests in the whole day.
        rotations: Requests in the busiest second but for start, restart and outage.
        restart: Requests in the busiest second of the restart.
        during: Requests in the busiest second of the outage.
        after: Requests in the busiest second of the minute after it.
        tally: What calls came to, from the outage's beginning to an hour after its end.
        curve: Requests a second, averaged over ten seconds, by minutes since the outage began.
    """

    client: type
    simulated: int
    outage: Outage
    a_day: float
    rotations: float
    restart: float
    during: float
    after: float
    tally: Tally
    curve: list[tuple[float, float]]


def simulate(build: Build, fleet: Fleet, seed: int = 1) -> Day:
    """Simulate a day."""
    begins_at = _first_asks_at(build)
    outage = Outage(begins_at, begins_at + OUTAGE)
    simulated = fleet.processes
    if build is not EcsRoleCreds:
        simulated = min(simulated, MAX_CALLS // _calls_a_day(build, outage))
    requests, tally = Requests(DAY), Tally()
    random = Random(seed)
    for _ in range(simulated):
        _run_process(build, fleet, outage, requests, tally, random)
    scale = fleet.processes / simulated
    by_second = [count * scale for count in requests.by_second]

    def busiest(begin: float, end: float) -> float:
        return max(by_second[int(begin) : int(end)])

    after_restart = RESTART_AT + RESTART_SPREAD
    after_outage = outage.ends_at + MINUTE
    rotations = max(
        busiest(START_SPREAD, RESTART_AT),
        busiest(after_restart, outage.begins_at),
        busiest(after_outage, DAY),
    )
    middle = int(outage.begins_at)
    curve = [
        ((second - middle) / MINUTE, sum(by_second[second : second + 10]) / 10)
        for second in range(middle - 300, middle + 1500, 10)
    ]
    return Day(
        build,  # type: ignore[arg-type]
        simulated,
        outage,
        sum(by_second),
        rotations,
        busiest(RESTART_AT, after_restart),
        busiest(outage.begins_at, outage.ends_at),
        busiest(outage.ends_at, after_outage),
        tally,
        curve,
    )


def _run_process(
    build: Build,
    fleet: Fleet,
    outage: Outage,
    requests: Requests,
    tally: Tally,
    random: Random,
) -> None:
    starts_at = random.random() * START_SPREAD
    restarts_at = RESTART_AT + random.random() * RESTART_SPREAD
    first_issued_at = 0.0 if fleet.shares_a_host else starts_at
    service = Service(first_issued_at, [outage], requests)
    run(build(service, random), starts_at, restarts_at, Tally())
    client = build(service, random)
    # Whole periods, so that the calls go on at the same times.
    pause_at = restarts_at + int(outage.begins_at - restarts_at)
    resume_at = pause_at + int(OUTAGE + HOUR)
    run(client, restarts_at, pause_at, Tally())
    run(client, pause_at, resume_at, tally)
    run(client, resume_at, DAY, Tally())


class _FirstDraw(Random):
    """Draws the least it can."""

    def random(self) -> float:
        return 0.0


def _first_asks_at(build: Build) -> float:
    """The first time after 16:00 that a restarted process can ask."""
    requests = Requests(DAY)
    client = build(Service(0.0, [], requests), _FirstDraw())
    now = RESTART_AT
    while not any(requests.by_second[int(OUTAGE_AFTER) :]):
        asked_at = now
        client.call(now)
        now = max(now + 1.0, client.acts_at())
    return float(int(asked_at)) - 1.0


def _calls_a_day(build: Build, outage: Outage) -> int:
    """How many calls of a process do more than return the token."""
    client = build(Service(0.0, [outage], Requests(DAY)), _FirstDraw())
    now, calls = 0.0, 0
    while now < DAY:
        now = max(now + 1.0 + client.call(now).waited, client.acts_at())
        calls += 1
    return calls
