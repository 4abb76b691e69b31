"""Every fault of the metadata service, while many threads call: what they notice, and for how long.

Each fault comes twice: while the cached credentials stay valid, and beyond their end. First on real
sockets and in real time; then, for twelve hours, on a virtual clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from datetime import datetime, timezone
from itertools import cycle
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from requests.structures import CaseInsensitiveDict
from support.faults import (
    FAULTS,
    NO_ROTATION,
    Ageing,
    Fault,
    Observed,
    WatchedFetches,
    aged_provider,
    aged_server,
    run_fault,
)

from ecs_role_creds import CredentialsError, EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import MetadataUnreachableError
from ecs_role_creds.provider import Runtime
from ecs_role_creds.retries import MAX_TRIES
from ecs_role_creds.schedule import (
    FIRST_BACKOFF,
    MAX_BACKOFF,
    MAX_BACKOFF_EMPTY_HANDED,
    MIN_PAUSE,
)
from ecs_role_creds.settings import DEFAULT_ENDPOINT
from ecs_role_creds.testing import FakeMetadataServer, VirtualClock
from ecs_role_creds.testing.exchange import Request
from ecs_role_creds.testing.metadata.mock import _given
from ecs_role_creds.testing.metadata.service import FakeMetadataService

THREADS = 16
LASTS = 0.6
WELL_INSIDE = 1300.0  # seconds of life left: the refresh window is open, the session token is good
NEARLY_OVER = 0.4
REQUESTS_A_FETCH = 3  # session token, role's name, document

LONG = 60.0
"""Against hanging only. How long a caller waits for a fetch, the cache's own tests tell."""

each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Twelve hours of failures log a lot."""
    caplog.set_level(logging.CRITICAL, "ecs_role_creds")


# In real time.


class Scene(NamedTuple):
    """A service, a provider, and what callers of it saw."""

    server: FakeMetadataServer
    get: Callable[[], object]
    seen: Observed
    waited_for: int


@pytest.fixture
def play() -> Iterator[Callable[[Fault, float], Scene]]:
    ageing = Ageing()
    with aged_server(ageing) as server:

        def play(fault: Fault, left: float) -> Scene:
            fetches = WatchedFetches() if left == WELL_INSIDE else None
            subject = aged_provider(server, ageing, fetches)
            seen = run_fault(
                fault, server, subject, left=left, lasts=LASTS, threads=THREADS, leaps=True
            )
            return Scene(server, subject.get, seen, fetches.waited_for if fetches else 0)

        yield play


def check_what_is_asked(seen: Observed) -> None:
    """Each fetch comes at least the shortest pause after another, or as credentials run out."""
    fetches = seen.lasted / MIN_PAUSE + 1 + seen.ageings
    assert seen.requests <= fetches * REQUESTS_A_FETCH * MAX_TRIES


def check_recovery(fault: Fault, scene: Scene) -> None:
    recovery = scene.seen.recovery
    assert recovery is not None
    assert recovery.took is not None, "new credentials did not come"
    assert recovery.failed <= recovery.was_fetching, "one that began after the fault's end failed"
    if fault.error is None:
        assert scene.seen.failed_fetches == 0
    else:
        failures = scene.seen.failed_fetches + recovery.was_fetching
        step = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** (failures - 1))
        assert recovery.pending <= step
        assert recovery.is_asked_when_due
    credentials = scene.get()
    assert scene.server.is_valid(credentials)
    assert credentials.role_name == scene.server.role  # type: ignore[attr-defined]


@pytest.mark.slow
@each_fault
def test_nobody_notices_while_credentials_are_valid(
    fault: Fault, play: Callable[[Fault, float], Scene]
) -> None:
    scene = play(fault, WELL_INSIDE)
    seen = scene.seen
    assert (seen.failed, seen.torn, seen.expired) == (0, 0, 0)
    assert scene.waited_for == 0
    check_what_is_asked(seen)
    check_recovery(fault, scene)


@pytest.mark.slow
@each_fault
def test_callers_are_told_once_credentials_have_expired(
    fault: Fault, play: Callable[[Fault, float], Scene]
) -> None:
    scene = play(fault, NEARLY_OVER)
    seen = scene.seen
    assert (seen.failed_while_valid, seen.torn, seen.expired) == (0, 0, 0)
    assert seen.longest < LONG
    if fault.error is None:
        assert seen.failed == 0
    else:
        assert fault.error in seen.errors
        # A fetch that a busy machine holds up runs out of time.
        assert set(seen.errors) <= {fault.error, MetadataUnreachableError}
    check_what_is_asked(seen)
    check_recovery(fault, scene)


# For twelve hours.

HOUR = 3600
DRAWS = [number / 10 for number in range(10)]

each_lasting_fault = pytest.mark.parametrize(
    "fault",
    [*(fault for fault in FAULTS if not fault.needs_socket), NO_ROTATION],
    ids=lambda fault: fault.name,
)


class DirectSession:
    """Takes requests to a fake service and its answers back, without HTTP: hours pass quickly."""

    def __init__(self, service: FakeMetadataService) -> None:
        self._service = service

    def request(self, method: str, url: str, headers: Mapping[str, str], **_: object) -> object:
        path = url.removeprefix(DEFAULT_ENDPOINT)
        lowered = {name.lower(): value for name, value in headers.items()}
        status, given, body = _given(self._service.handle(Request(method, path, lowered)))
        raw = SimpleNamespace(
            read=lambda *_, **__: body, length_remaining=0, release_conn=lambda: None
        )
        return nullcontext(
            SimpleNamespace(status_code=status, headers=CaseInsensitiveDict(given), raw=raw)
        )


class Instance:
    """An instance in its role's sixth hour, on a virtual clock, and an application.

    The application calls once a second. The fault has begun.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.clock = VirtualClock()
        self.service = FakeMetadataService(clock=self.clock)
        fault.before(self.service)
        self.provider = EcsRamRoleCredentialsProvider(
            endpoint=DEFAULT_ENDPOINT,
            runtime=Runtime(
                clock=self.clock,
                wall_clock=lambda: datetime.fromtimestamp(self.clock(), timezone.utc),
                sleep=lambda seconds: None,
                random=cycle(DRAWS).__next__,
                session=DirectSession(self.service),  # type: ignore[arg-type]
                start_thread=run_at_once,
            ),
        )
        self.failed = 0
        self.credentials = self.provider.get_credentials()
        self.clock.advance(5 * HOUR)
        fault.begin(self.service)

    def call(self) -> None:
        had_valid = not self.credentials.is_expired()
        error: CredentialsError | None = None
        try:
            self.credentials = self.provider.get_credentials()
        except CredentialsError as caught:
            error = caught
        if error is None:
            assert self.service.is_valid(self.credentials)
        else:
            assert not had_valid
            assert type(error) is self.fault.error
            self.failed += 1

    def go_on(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            self.call()

    def check_hours(self, hours: int, longest_backoff: float) -> None:
        for _ in range(hours):
            fetches, requests = self.fetches, len(self.service.requests)
            self.go_on(HOUR)
            most = fetches_at_the_most(HOUR, longest_backoff)
            assert self.fetches - fetches <= most
            assert len(self.service.requests) - requests <= most * REQUESTS_A_FETCH

    @property
    def fetches(self) -> int:
        """So far; up to the first that succeeds after one that failed."""
        status = self.provider.status()
        return status.fetches + status.failures

    def wait_for_the_next_request(self) -> float:
        """Until just before it, and then until it; returns how long that was."""
        pending = self.provider.status().next_request_in
        asked = len(self.service.requests)
        if pending > 0:
            self.clock.advance(pending - 0.001)
            self.call()
            assert len(self.service.requests) == asked
            self.clock.advance(0.002)
        return pending


def run_at_once(work: Callable[[], object]) -> bool:
    work()
    return True


def fetches_at_the_most(seconds: float, longest_backoff: float) -> float:
    """In so long a time: the draws come round again and again, so the mean of the pauses is known.

    The back-off grows first, and it comes down at the end of a life; each counts as a round.
    """
    mean_draw = sum(DRAWS) / len(DRAWS)
    mean_pause = MIN_PAUSE + mean_draw * (longest_backoff - MIN_PAUSE)
    return seconds / mean_pause + 3 * len(DRAWS)


@pytest.mark.slow
@each_lasting_fault
def test_twelve_hours(fault: Fault) -> None:
    instance = Instance(fault)
    instance.check_hours(1, MAX_BACKOFF)
    assert instance.failed <= 2  # credentials are given up a second early, for the Date's sake
    instance.check_hours(11, MAX_BACKOFF_EMPTY_HANDED)
    fault.end(instance.service)
    if fault.error is not None:
        assert instance.failed >= 11 * HOUR
        assert instance.wait_for_the_next_request() <= MAX_BACKOFF_EMPTY_HANDED
    failed = instance.failed
    instance.call()
    instance.go_on(HOUR)
    assert instance.failed == failed
    assert instance.provider.get_credentials().role_name == instance.service.role


@pytest.mark.slow
@each_lasting_fault
def test_up_to_a_minute_before_the_end(fault: Fault) -> None:
    instance = Instance(fault)
    for _ in range(HOUR - 60):
        instance.go_on(1)
        status = instance.provider.status()
        # So that several attempts fit in before the end.
        assert status.failures == 0 or status.next_request_in <= status.expires_in / 4
    fault.end(instance.service)
    if fault.error is not None:
        left = instance.provider.status().expires_in
        assert instance.wait_for_the_next_request() <= left / 4
    instance.call()
    assert instance.provider.status().rotations == 2
    assert instance.provider.get_credentials().role_name == instance.service.role
    assert instance.failed == 0
