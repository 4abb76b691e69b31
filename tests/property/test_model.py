"""The cache against a simulated service, over any course of events, on a clock that is moved.

``MODEL_EXAMPLES`` sets how many courses are tried.
"""

from __future__ import annotations

import logging
import os
import random as random_module
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support import (
    EPOCH,
    Launcher,
    MovableClock,
    ScriptedSource,
    build_cache,
    fake_credentials,
    is_close_and_unattempted,
)

from ecs_role_creds import Credentials, CredentialsError
from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.errors import (
    CredentialsExpiredError,
    MetadataServiceError,
    MetadataUnreachableError,
    NoRoleAttachedError,
    RoleMismatchError,
)
from ecs_role_creds.schedule import MIN_PAUSE
from ecs_role_creds.state import State

DEADLINE = 2.0
HOUR = 3600.0
SLACK = 1e-6
"""What rounding may make of a pause."""

pytestmark = pytest.mark.timeout(7200)  # thousands of steps; on a busy machine they take long


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of courses of events log a lot."""
    caplog.set_level(logging.CRITICAL, "ecs_role_creds")


class Document(NamedTuple):
    """What the simulated service has issued."""

    serial: int
    role_name: str
    issued_at: float
    expires_at: float

    def credentials(self, clock: MovableClock) -> Credentials:
        return Credentials(
            f"STS.FAKE{self.serial:04}",
            f"fake-secret-{self.serial:04}",
            f"fake-security-token-{self.serial:04}",
            EPOCH + timedelta(seconds=self.expires_at),
            self.role_name,
            expires_at=self.expires_at,
            clock=clock,
        )


class SimulatedService:
    """Rotates as the real one does: 30 minutes before expiration, or at half of a short life."""

    mode = "hardening"

    def __init__(self, clock: MovableClock) -> None:
        self.clock = clock
        self.role_name: str | None = "app-role"
        self.life = 6 * HOUR
        self.latency = 0.0
        self.trouble: CredentialsError | None = None
        self.is_rotating = True
        self.issued: list[Document] = []
        self.current: Document | None = None
        self.at_once = 0
        self.forgotten = 0
        self.on_request: Callable[[], None] = lambda: None

    def rotate(self) -> None:
        if self.role_name is not None:
            now = self.clock()
            serial = len(self.issued) + 1
            self.current = Document(serial, self.role_name, now, now + self.life)
            self.issued.append(self.current)

    def attach(self, role_name: str | None) -> None:
        if role_name != self.role_name:
            self.role_name, self.current = role_name, None

    def fetch(self, until: float) -> Credentials:
        assert self.at_once == 0, "two fetches at a time"
        self.at_once += 1
        try:
            return self._fetch(until)
        finally:
            self.at_once -= 1

    def forget_connections(self) -> None:
        self.forgotten += 1

    def pending_import(self) -> None:
        """Nothing has to be imported."""

    def take_warning(self) -> None:
        """Nothing is worth a warning."""

    def _fetch(self, until: float) -> Credentials:
        if self.clock() >= until:
            raise MetadataUnreachableError("out of time before it was asked")
        self.on_request()
        if self.clock() + self.latency >= until:
            self.clock.now = until
            raise MetadataUnreachableError("out of time")
        document = self._answer()
        credentials = document.credentials(self.clock)
        self.clock.advance(self.latency)
        return credentials

    def _answer(self) -> Document:
        if self.trouble is not None:
            raise self.trouble
        if self.role_name is None:
            raise NoRoleAttachedError("no role")
        if self.current is None or (self.is_rotating and self._is_rotation_due(self.current)):
            self.rotate()
        document = self.current
        assert document is not None
        if self.clock() >= document.expires_at:
            raise CredentialsExpiredError("expired")
        return document

    def _is_rotation_due(self, document: Document) -> bool:
        lead = min(HOUR / 2, (document.expires_at - document.issued_at) / 2)
        return self.clock() >= document.expires_at - lead


class ModelLauncher(Launcher):
    """Delays the work, or runs it at once where its starter is going to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.will_wait: Callable[[], bool] = lambda: False

    def __call__(self, work: Callable[[], object]) -> bool:
        if self.is_shut_down:
            return False
        if self.will_wait():
            work()
        else:
            self.waiting.append(work)
        return True


class CacheModel(RuleBasedStateMachine):
    """A process, its cache, and the service."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = MovableClock()
        self.service = SimulatedService(self.clock)
        self.service.on_request = self.check_request
        self.launcher = ModelLauncher()
        self.draw = 0.5
        self.cache = CredentialsCache(
            self.service,
            deadline=DEADLINE,
            clock=self.clock,
            random=lambda: self.draw,
            on_landing=self.note_landing,
            start_thread=self.launcher,
        )
        self.requests = 0
        self.not_before = float("-inf")
        self.is_forced = False
        self.served: list[Credentials] = []

    # What every request is measured by.

    def check_request(self) -> None:
        self.requests += 1
        if not self.is_forced:
            assert self.clock() >= self.not_before - SLACK, "asked again too soon"

    def note_landing(self) -> None:
        # A fetch that began before the credentials were refused is followed by another at once.
        self.is_forced = self.state.is_withheld
        state, now = self.cache.record.state, self.clock()
        if state.life is not None and now < state.life.expires_at:
            self.not_before = min(now + state.life.min_pause, state.life.expires_at)
        else:
            self.not_before = now + MIN_PAUSE
        if state.failures:
            failed = state.failure
            assert failed is not None
            if failed.retry_after and not self.is_valid(state, now):
                self.not_before = now + min(failed.retry_after, 60.0)

    @staticmethod
    def is_valid(state: State, now: float) -> bool:
        return state.credentials is not None and now < state.expires_at

    @property
    def state(self) -> State:
        return self.cache.record.state

    def wait_for_background(self) -> None:
        """What a caller who has to wait would wait for."""
        self.launcher.run_all()
        if self.cache.is_refreshing:
            # Its thread is gone, so that nobody is going to land it; it is replaced in a while.
            self.clock.advance(2 * DEADLINE)

    # What callers do.

    def has_to_wait(self) -> bool:
        now = self.clock()
        return not self.state.can_serve(now) or is_close_and_unattempted(now, self.state)

    def ask(self) -> Credentials:
        record = self.cache.record
        if self.clock() < record.hot_until:
            return record.credentials
        return self.cache.get()

    @rule()
    def get(self) -> None:
        if self.has_to_wait():
            self.wait_for_background()
        before, began_at, requests = self.state, self.clock(), self.requests
        has_to_wait = self.has_to_wait()
        self.launcher.will_wait = lambda: has_to_wait
        try:
            credentials = self.ask()
        except CredentialsError:
            assert not self.is_valid(self.state, self.clock()), "there were valid ones"
            assert self.state.failures > 0
            if not before.is_due(began_at):
                assert self.requests == requests, "a failure is remembered in the back-off"
            elif self.requests > requests:
                assert self.state.failures > before.failures
            return
        self.check(credentials)
        if not has_to_wait:
            assert credentials is before.credentials, "no one is held up"
        elif before.can_serve(began_at):
            assert self.requests == requests + 1, "the first attempt was to be waited for"
            assert credentials is self.state.credentials, "its outcome was to be waited for"

    @rule(count=st.integers(2, 40))
    def get_many(self, count: int) -> None:
        requests = self.requests
        is_fetching_refused = self.state.is_withheld and bool(self.launcher.waiting)
        for _ in range(count):
            self.get()
        at_once = 1 + is_fetching_refused
        assert self.requests <= requests + at_once + self.service.latency * count / MIN_PAUSE

    @rule()
    def refresh(self) -> None:
        self.wait_for_background()
        self.is_forced = True
        self.launcher.will_wait = lambda: True
        requests = self.requests
        try:
            credentials = self.cache.refresh()
        except CredentialsError:
            pass
        else:
            assert self.requests == requests + 1
            self.check(credentials)
        assert not self.cache.is_refreshing

    @rule(is_current=st.booleans())
    def invalidate(self, is_current: bool) -> None:
        before = self.state
        refused = before.credentials if is_current else (self.served or [None])[0]
        if refused is None:
            return
        self.cache.invalidate(refused)
        if (
            before.credentials is None
            or not before.credentials.is_same_token(refused)
            or before.is_withheld
        ):
            assert self.state is before
        elif self.clock() >= before.refusable_at:
            assert self.state.ask_at == self.clock()
            # Callers wait once for the credentials to be replaced.
            assert self.state.is_withheld is not before.is_refused
            self.is_forced = True
        else:
            assert self.state is before

    @rule(role_name=st.sampled_from([None, "another-role"]))
    def refuse_credentials_of_a_role_that_is_gone(self, role_name: str | None) -> None:
        """A definite answer ends refused credentials; that of a pinned role's end is one, too."""
        self.recover()
        self.launcher.is_shut_down = False  # callers who do not wait fetch nothing themselves
        self.wait_for_background()
        self.clock.now = max(self.clock(), self.state.refusable_at)
        refused = self.state.credentials
        if refused is None or not self.is_valid(self.state, self.clock()):
            return
        self.service.trouble = (
            NoRoleAttachedError("no role") if role_name is None else RoleMismatchError("another")
        )
        self.cache.invalidate(refused)
        self.is_forced = True
        self.get()
        self.launcher.run_all()
        assert self.state.credentials is None
        assert not self.state.is_refused
        with pytest.raises((NoRoleAttachedError, RoleMismatchError)):
            self.cache.get()

    @rule()
    def ask_if_due(self) -> None:
        self.wait_for_background()
        was_due = self.state.is_due(self.clock())
        requests = self.requests
        ask_at = self.cache.ask_if_due()
        assert ask_at == self.state.ask_at
        assert self.requests - requests == was_due
        if self.state.credentials is not None and not self.state.is_withheld:
            assert ask_at > self.clock() or ask_at == self.state.expires_at

    @rule()
    def reset_after_fork(self) -> None:
        self.launcher.waiting.clear()
        before = self.state
        self.cache.reset_after_fork()
        self.is_forced = True  # another process, with a budget of its own
        assert not self.cache.is_refreshing
        assert self.state.credentials is before.credentials

    # What time and threads do.

    @rule(seconds=st.floats(0.0, 5.0))
    def wait_a_little(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.floats(5.0, 12 * HOUR))
    def wait_long(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(before=st.sampled_from([0.0, 0.001, 0.25, 1.0, 60.0]))
    def wait_for_the_end(self, before: float) -> None:
        if self.state.life is not None:
            self.clock.now = max(self.clock(), self.state.expires_at - before)

    @rule()
    def wait_until_it_is_time(self) -> None:
        self.clock.now = max(self.clock(), self.state.ask_at)

    @precondition(lambda self: self.launcher.waiting)
    @rule()
    def run_background(self) -> None:
        self.launcher.run_all()

    @precondition(lambda self: self.launcher.waiting)
    @rule()
    def lose_background(self) -> None:
        self.launcher.waiting.popleft()

    @rule(draw=st.floats(0.0, 1.0, exclude_max=True))
    def draw_other(self, draw: float) -> None:
        self.draw = draw

    @rule()
    def shut_down_or_not(self) -> None:
        self.launcher.is_shut_down = not self.launcher.is_shut_down

    @rule(step=st.sampled_from([0.1, 0.7, 3.0]), steps=st.integers(10, 200))
    def keep_calling(self, step: float, steps: int) -> None:
        """Traffic, while nothing else happens."""
        began_at, requests, is_forced = self.clock(), self.requests, self.is_forced
        shortest = min(HOUR, self.service.life)
        if self.state.life is not None:
            shortest = min(shortest, self.state.life.expires_at - self.state.life.fetched_at)
        for _ in range(steps):
            self.get()
            self.launcher.run_all()
            self.clock.advance(step)
        took = self.clock() - began_at
        # Lives of seconds have pauses of their own; see Lifetime.min_pause.
        if shortest >= 60.0 and self.service.life >= 60.0 and self.service.is_rotating:
            assert self.requests - requests <= took / MIN_PAUSE + 2 + is_forced

    # What the service does.

    @initialize(life=st.sampled_from([10.0, 60.0, HOUR, 6 * HOUR, 12 * HOUR]))
    def begin(self, life: float) -> None:
        self.service.life = life

    @rule()
    def rotate(self) -> None:
        self.service.rotate()

    @rule(
        trouble=st.sampled_from(
            [MetadataUnreachableError("unreachable"), MetadataServiceError("in trouble")]
        ),
        retry_after=st.sampled_from([None, 0.0, 3.0, 30.0, 9999.0]),
    )
    def fail(self, trouble: CredentialsError, retry_after: float | None) -> None:
        self.service.trouble = trouble.fresh()
        self.service.trouble.retry_after = retry_after

    @rule()
    def recover(self) -> None:
        self.service.trouble = None
        self.service.latency = 0.0
        self.service.is_rotating = True
        self.service.attach(self.service.role_name or "app-role")

    @rule(role_name=st.sampled_from([None, "app-role", "other-role"]))
    def change_role(self, role_name: str | None) -> None:
        self.service.attach(role_name)

    @rule(latency=st.sampled_from([0.0, 0.05, 1.5, 60.0]))
    def slow_down(self, latency: float) -> None:
        self.service.latency = latency

    @rule()
    def stop_rotating(self) -> None:
        self.service.is_rotating = False

    @rule(life=st.sampled_from([10.0, 60.0, HOUR, 6 * HOUR]))
    def issue_other_lives(self, life: float) -> None:
        self.service.life = life

    @rule()
    def recover_and_wait(self) -> None:
        """However it came here: once the service answers and the back-off is over, all is well."""
        self.recover()
        self.wait_for_background()
        self.clock.now = max(self.clock(), self.state.ask_at)
        if self.service.current and self.clock() >= self.service.current.expires_at:
            self.service.rotate()
        self.get()
        self.launcher.run_all()
        assert self.state.can_serve(self.clock()) or self.launcher.is_shut_down
        self.check(self.ask())

    # What holds at all times.

    def check(self, credentials: Credentials) -> None:
        assert not credentials.is_expired(), "expired credentials were handed out"
        number = int(credentials.access_key_id.removeprefix("STS.FAKE"))
        issued = self.service.issued[number - 1]
        assert credentials == issued.credentials(self.clock), "parts of several issues"
        self.served.append(credentials)

    @invariant()
    def hot_path_is_safe(self) -> None:
        record = self.cache.record
        if self.clock() < record.hot_until:
            assert record.credentials is record.state.credentials
            assert record.state.can_serve(self.clock())
            self.check(record.credentials)

    @invariant()
    def one_fetch_at_a_time(self) -> None:
        flight = self.cache.latest().flight
        assert len(self.launcher.waiting) <= 1 or flight is not None
        assert self.service.at_once == 0

    @invariant()
    def counts_agree(self) -> None:
        assert self.cache.record.state.rotations <= self.cache.record.state.fetches <= self.requests
        assert (self.state.failure is None) == (self.state.failures == 0)
        assert self.state.fetches + self.state.failed <= self.state.begun
        assert (self.state.life is None) == (self.state.credentials is None)

    @invariant()
    def no_assertion_was_taken_for_a_failure(self) -> None:
        """The cache survives whatever its source raises, also the assertions above."""
        assert "AssertionError" not in str(self.state.failure)


TestCacheModel = CacheModel.TestCase
TestCacheModel.settings = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "300")),
    stateful_step_count=50,
    deadline=None,
)


def test_credentials_that_are_refused_while_a_fetch_that_returns_them_is_in_progress() -> None:
    """That fetch began before: callers wait for another, which follows at once."""
    model = CacheModel()
    model.begin(life=10.0)
    model.ask_if_due()
    model.wait_until_it_is_time()
    model.get()
    model.stop_rotating()
    model.invalidate(is_current=False)
    model.get_many(2)
    model.no_assertion_was_taken_for_a_failure()
    assert model.requests == 3


def test_a_role_that_is_gone_while_no_thread_can_be_started() -> None:
    """Callers who do not wait fetch nothing themselves: the credentials end once a thread can."""
    model = CacheModel()
    model.begin(life=12 * HOUR)
    model.ask_if_due()
    model.shut_down_or_not()
    model.fail(MetadataUnreachableError("unreachable"), None)
    model.invalidate(is_current=True)
    model.refresh()
    model.refuse_credentials_of_a_role_that_is_gone(None)


@pytest.mark.parametrize(("has_credentials", "most"), [(True, 200), (False, 900)])
@pytest.mark.parametrize("seed", range(5))
def test_an_outage_of_an_hour_costs_a_bounded_number_of_requests(
    has_credentials: bool, most: int, seed: int
) -> None:
    clock = MovableClock()
    failure = MetadataUnreachableError("nobody there")
    outcomes = [fake_credentials(1, clock, 6 * HOUR)] if has_credentials else []
    source = ScriptedSource(*outcomes, failure)
    draw = random_module.Random(seed).random
    cache = CredentialsCache(
        source, deadline=DEADLINE, clock=clock, random=draw, start_thread=lambda work: not work()
    )
    if has_credentials:
        cache.get()
    clock.now = max(clock(), cache.record.state.ask_at)
    asked, until = source.fetches, min(clock() + HOUR, max(cache.record.state.expires_at, 0.0))
    until = until if has_credentials else clock() + HOUR
    while clock() < until:
        if has_credentials:
            assert cache.get().access_key_id == "STS.FAKE0001"
        else:
            with pytest.raises(MetadataUnreachableError):
                cache.get()
        clock.advance(0.25)
    assert 20 < source.fetches - asked < most


@pytest.mark.parametrize("seed", range(5))
def test_a_day_of_rotations_costs_one_request_each(seed: int) -> None:
    clock = MovableClock()
    service = SimulatedService(clock)
    draw = random_module.Random(seed).random
    cache = CredentialsCache(
        service, deadline=DEADLINE, clock=clock, random=draw, start_thread=lambda work: not work()
    )
    end = clock() + 24 * HOUR
    while clock() < end:
        assert not cache.get().is_expired()
        clock.advance(5.0)
    assert cache.record.state.rotations == len(service.issued) == 5
    assert cache.record.state.fetches == 5


def test_service_that_never_rotates_is_asked_sooner_and_sooner_but_not_endlessly() -> None:
    clock = MovableClock()
    source = ScriptedSource(fake_credentials(1, clock, 6 * HOUR))
    cache = build_cache(source, clock)
    expires_at = clock() + 6 * HOUR
    while clock() < expires_at:
        cache.get()
        clock.now = min(cache.record.state.ask_at, expires_at)
    assert 10 < source.fetches < 60
