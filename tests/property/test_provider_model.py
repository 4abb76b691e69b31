"""The whole provider against the fake service, over any course of events, on a virtual clock.

The model beside this one tries the cache alone, far more often; here the wire is part of it, and
an instance whose time of day jumps. ``MODEL_EXAMPLES`` sets how many courses are tried.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
import responses
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support import Launcher, is_close_and_unattempted

from ecs_role_creds import Credentials, CredentialsError, EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import NoRoleAttachedError
from ecs_role_creds.polling import MAX_NAP
from ecs_role_creds.provider import Runtime
from ecs_role_creds.state import Record, State
from ecs_role_creds.testing import VirtualClock, fake_metadata

HOUR = 3600.0
SHORT_OUTAGE = 600.0
"""As long as a poller is watched in an outage, where it asks every few seconds."""
FAULTS = ["hang", "reset", "throttle", "page", "redirect", "yesterday", "error"]

pytestmark = pytest.mark.timeout(7200)  # thousands of steps; on a busy machine they take long


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of courses of events log a lot."""
    caplog.set_level(logging.CRITICAL, "ecs_role_creds")


class LauncherForWaiters(Launcher):
    """Keeps work for later, unless the caller that starts it is about to wait for it."""

    def __init__(self, will_wait: Callable[[], bool]) -> None:
        super().__init__()
        self.will_wait = will_wait

    def __call__(self, work: Callable[[], object]) -> bool:
        if self.will_wait():
            work()
            return True
        return super().__call__(work)


class ProviderModel(RuleBasedStateMachine):
    """An instance with a clock of its own, its metadata service, and a provider."""

    def __init__(self) -> None:
        super().__init__()
        self.mock = responses.RequestsMock(assert_all_requests_are_fired=False)
        self.mock.start()
        self.clock = VirtualClock()
        self.service = fake_metadata(self.mock, clock=self.clock)
        self.launcher = LauncherForWaiters(lambda: self.is_refreshing or self.has_to_wait())
        self.wall_clock_error = timedelta(0)
        self.is_refreshing = False
        self.is_polling = False
        self.draw = 0.5
        self.provider = EcsRamRoleCredentialsProvider(
            runtime=Runtime(
                clock=self.clock,
                wall_clock=self.tell_time,
                sleep=self.clock.advance,
                random=lambda: self.draw,
                start_thread=self.launcher,
            )
        )
        self.last: Credentials | None = None

    def teardown(self) -> None:
        self.mock.stop(allow_assert=False)

    def tell_time(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), timezone.utc) + self.wall_clock_error

    def has_valid(self) -> bool:
        return self.provider._cache.record.state.can_serve(self.clock())

    def has_to_wait(self) -> bool:
        state = self.provider._cache.record.state
        return not self.has_valid() or is_close_and_unattempted(self.clock(), state)

    @property
    def is_healthy(self) -> bool:
        return not self.service._faults and self.service.role is not None

    # What the application does.

    @rule()
    def get(self) -> None:
        if self.has_to_wait():
            self.launcher.run_all()
        had_valid, asked = self.has_valid(), len(self.service.requests)
        had_to_wait, before = self.has_to_wait(), self.provider._cache.record.state
        was_in_reach = self.is_healthy and self.provider.status().next_request_in == 0
        try:
            credentials = self.provider.get_credentials()
        except CredentialsError:
            assert not self.has_valid()
            assert not was_in_reach, "it could have been asked"
            return
        self.check(credentials)
        state = self.provider._cache.record.state
        if not had_to_wait:
            assert len(self.service.requests) == asked, "the caller was held up"
        elif had_valid:
            assert (state.fetches + state.failed) == (before.fetches + before.failed) + 1
            assert credentials is state.credentials, "the first attempt was to be waited for"

    @rule()
    def refresh(self) -> None:
        self.launcher.run_all()
        self.is_refreshing, was_healthy = True, self.is_healthy
        try:
            credentials = self.provider.refresh()
        except CredentialsError:
            assert not was_healthy
        else:
            self.check(credentials)
            assert credentials.role_name == self.service.role
        self.is_refreshing = False

    @rule()
    def refuse(self) -> None:
        """The service ends the credentials early, and refuses requests that use them."""
        # The current ones: a poller may have replaced those that a caller got before.
        self.get()
        self.launcher.run_all()
        try:
            refused = self.provider.get_credentials()
        except CredentialsError:
            return
        self.service.expire()
        self.provider.invalidate(refused)
        if self.is_healthy and self.provider.status().next_request_in == 0:
            self.check(self.provider.get_credentials())
        else:
            self.forget()

    @rule()
    def refuse_after_the_role_was_detached(self) -> None:
        """The metadata service confirms the refusal, so nobody gets the credentials any more."""
        self.get()
        self.launcher.run_all()
        state = self.provider._cache.record.state
        if state.credentials is None or not self.has_valid() or self.clock() < state.refusable_at:
            return
        self.service.recover()
        self.service.detach()
        self.service.expire()
        self.provider.invalidate(state.credentials)
        with contextlib.suppress(CredentialsError):
            self.provider.get_credentials()
        self.launcher.run_all()
        with pytest.raises(NoRoleAttachedError):
            self.provider.get_credentials()
        assert self.provider.health().condition == "no-credentials"
        assert self.provider.status().expires_in == 0

    def forget(self) -> None:
        """A refusal may go unheeded, soon after the last: then the dead ones are served on."""
        self.provider._cache.record = Record(State())

    @rule()
    def fork(self) -> None:
        self.launcher.waiting.clear()
        before = self.has_valid()
        self.provider._cache.reset_after_fork()
        assert self.has_valid() == before
        assert not self.provider.status().is_refreshing

    @rule()
    def switch_polling(self) -> None:
        self.is_polling = not self.is_polling

    # What time does.

    @rule(seconds=st.one_of(st.floats(0.0, 60.0), st.floats(60.0, 13 * HOUR)))
    def pass_time(self, seconds: float) -> None:
        was_healthy, had_valid = self.is_healthy, self.has_valid()
        if self.is_polling and not was_healthy:
            seconds = min(seconds, SHORT_OUTAGE)
        until = self.clock() + seconds
        while self.is_polling and self.clock() < until:
            self.launcher.run_all()
            rest = self.provider._polling.fetch_if_due()
            assert rest > 0 or self.clock() >= until or not self.is_healthy
            if was_healthy and had_valid:
                assert self.has_valid(), "a poller let them expire"
            self.clock.advance(min(max(rest, 0.01), MAX_NAP, until - self.clock()))
        if not self.is_polling:
            self.clock.advance(seconds)

    @rule(seconds=st.floats(1.0, 48 * HOUR))
    def suspend(self, seconds: float) -> None:
        """Time passes, and nobody does anything."""
        self.clock.advance(seconds)

    @rule()
    def get_first_when_expiration_is_close(self) -> None:
        """A process that calls seldom."""
        life = self.provider._cache.record.state.life
        if life is not None:
            moment = (life.close_at + life.expires_at) / 2
            self.clock.advance(max(0.0, moment - self.clock()))
            self.get()

    @rule(hours=st.sampled_from([-24 * 365, -8, -0.01, 0, 0.01, 8, 24 * 365]))
    def set_wall_clock(self, hours: float) -> None:
        self.wall_clock_error = timedelta(hours=hours)

    @precondition(lambda self: self.launcher.waiting)
    @rule()
    def run_background(self) -> None:
        self.launcher.run_all()

    @rule(draw=st.floats(0.0, 1.0, exclude_max=True))
    def draw_other(self, draw: float) -> None:
        self.draw = draw

    # What the service does.

    @initialize(life=st.sampled_from([60.0, HOUR, 6 * HOUR]))
    def begin(self, life: float) -> None:
        self.service.life = life

    @precondition(lambda self: self.service.role is not None)
    @rule()
    def rotate(self) -> None:
        self.service.rotate()

    @rule(role=st.sampled_from([None, "app-role", "other-role"]))
    def change_role(self, role: str | None) -> None:
        if role != self.service.role:
            self.service.detach()
            if role is not None:
                self.service.attach(role)

    @rule(mode=st.sampled_from(["both", "hardening-only", "normal-only"]))
    def change_mode(self, mode: str) -> None:
        self.service.mode = mode  # type: ignore[assignment]

    @rule(name=st.sampled_from(FAULTS), times=st.one_of(st.none(), st.integers(1, 4)))
    def fail(self, name: str, times: int | None) -> None:
        service = self.service
        if name == "throttle":
            service.throttle(retry_after=30, times=times)
        elif name == "page":
            service.answer("<html>portal</html>", times=times)
        elif name == "redirect":
            service.answer("", status=302, headers={"Location": "http://127.0.0.1:1/"}, times=times)
        elif name == "yesterday":
            service.skew_date(24 * HOUR, times=times)
        elif name == "error":
            service.fail(503, times=times)
        else:
            getattr(service, name)(times=times)

    @rule()
    def recover(self) -> None:
        self.service.recover()

    @rule()
    def recover_and_ask(self) -> None:
        """However it came here: once all is well and the back-off is over, a call succeeds."""
        self.service.recover()
        self.service.swap("app-role")
        self.launcher.run_all()
        self.clock.advance(self.provider.status().next_request_in)
        self.get()
        self.launcher.run_all()
        self.check(self.provider.get_credentials())

    # What holds at all times.

    def check(self, credentials: Credentials) -> None:
        assert self.service.is_valid(credentials), "torn, or expired by the service's clock"
        self.last = credentials

    @invariant()
    def hot_path_is_safe(self) -> None:
        record = self.provider._cache.record
        if self.clock() < record.hot_until:
            self.check(record.credentials)

    @invariant()
    def status_holds_no_secret(self) -> None:
        told = repr(self.provider.status()) + repr(self.provider)
        assert "secret" not in told
        assert "fake-security-token" not in told


@pytest.mark.parametrize("seconds_in_the_window", [10.0, 20.0, 29.0])
def test_refusal_after_a_poller_has_replaced_what_was_handed_out(
    seconds_in_the_window: float,
) -> None:
    """A course that once failed: the model refused the credentials of the first call, which the
    poller had replaced long before, so that the refusal rightly changed nothing."""
    model = ProviderModel()
    try:
        model.begin(life=60.0)
        model.get()
        first = model.last
        model.switch_polling()
        model.pass_time(seconds=21600.0)
        model.switch_polling()
        model.pass_time(seconds=seconds_in_the_window)
        assert model.last is first
        model.refuse()
        model.hot_path_is_safe()
        assert model.last is not first
        model.recover_and_ask()
    finally:
        model.teardown()


TestProviderModel = ProviderModel.TestCase
TestProviderModel.settings = settings(
    max_examples=max(1, int(os.environ.get("MODEL_EXAMPLES", "300")) // 3),
    stateful_step_count=40,
    deadline=None,
)
