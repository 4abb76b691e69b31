"""Credentials that a service refused: who waits, who is served, and what is said of it."""

from __future__ import annotations

import logging

import pytest
from support import Launcher, MovableClock, ScriptedSource, build_cache, fake_credentials

from ecs_role_creds import Credentials, CredentialsError, EcsRamRoleCredentialsProvider
from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.errors import (
    MetadataUnreachableError,
    NoRoleAttachedError,
    RoleMismatchError,
)
from ecs_role_creds.health import health_of
from ecs_role_creds.testing import FakeMetadataServer

DEFINITE = [NoRoleAttachedError("no role"), RoleMismatchError("another role")]


@pytest.fixture
def first(clock: MovableClock) -> Credentials:
    return fake_credentials(1, clock)


def refused_cache(
    source: ScriptedSource, clock: MovableClock, **options: Launcher
) -> CredentialsCache:
    cache = build_cache(source, clock, **options)
    cache.ask_if_due()
    credentials = cache.latest().state.credentials
    assert credentials is not None
    cache.invalidate(credentials)
    return cache


@pytest.mark.parametrize("answer", DEFINITE)
def test_a_definite_answer_ends_refused_credentials(
    clock: MovableClock, first: Credentials, answer: CredentialsError
) -> None:
    cache = refused_cache(ScriptedSource(first, answer), clock)
    for _ in range(2):
        with pytest.raises(type(answer)):
            cache.get()
    state = cache.latest().state
    assert (state.credentials, state.life, state.is_refused) == (None, None, False)
    assert not health_of(state, clock()).is_healthy


@pytest.mark.parametrize("answer", DEFINITE)
def test_the_same_answer_keeps_credentials_that_nobody_refused(
    clock: MovableClock, first: Credentials, answer: CredentialsError
) -> None:
    cache = build_cache(ScriptedSource(first, answer), clock)
    cache.get()
    clock.now = cache.latest().state.ask_at
    assert cache.get() is first
    assert cache.get() is first


def test_callers_wait_once_where_the_service_cannot_be_reached(
    clock: MovableClock, first: Credentials
) -> None:
    launcher = Launcher()
    source = ScriptedSource(first, MetadataUnreachableError("nobody there"))
    cache = refused_cache(source, clock, start_thread=launcher)
    assert not cache.latest().state.can_serve(clock())
    cache.ask_if_due()  # the one attempt that callers wait for
    assert cache.get() is first
    assert cache.latest().state.is_refused
    # Refused again: the next attempt is made in the background.
    clock.advance(60.0)
    cache.invalidate(first)
    assert cache.get() is first
    assert len(launcher.waiting) == 1


def test_status_health_and_log_say_that_they_were_not_replaced(
    clock: MovableClock, first: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "ecs_role_creds")
    source = ScriptedSource(first, MetadataUnreachableError("nobody there"))
    cache = refused_cache(source, clock)
    assert cache.get() is first
    health = health_of(cache.latest().state, clock())
    assert (health.is_healthy, health.condition) == (False, "refused")
    assert "refused" in health.reason
    assert "nobody there" in health.reason
    (message,) = (record.getMessage() for record in caplog.records)
    assert "but a service refused them and they were not replaced" in message


def test_new_credentials_or_the_services_word_end_a_refusal(
    clock: MovableClock, first: Credentials
) -> None:
    second = fake_credentials(2, clock)
    cache = refused_cache(ScriptedSource(first, second), clock)
    assert cache.get() is second
    assert not cache.latest().state.is_refused
    cache = refused_cache(ScriptedSource(first, first), clock)
    assert cache.get() is first
    assert not cache.latest().state.is_refused


def test_an_answer_that_was_under_way_does_not_confirm_them(
    clock: MovableClock, first: Credentials
) -> None:
    launcher = Launcher()
    second = fake_credentials(2, clock)
    source = ScriptedSource(first, first, second)
    cache = build_cache(source, clock, start_thread=launcher)
    cache.ask_if_due()
    clock.now = cache.latest().state.ask_at
    assert cache.get() is first  # begins a fetch
    cache.invalidate(first)
    launcher.run_all()
    assert source.fetches == 2
    assert not cache.latest().state.can_serve(clock())
    cache.ask_if_due()
    assert cache.get() is second


def test_an_answer_that_is_older_than_the_cached_credentials_is_passed_over(
    clock: MovableClock, first: Credentials
) -> None:
    stale = fake_credentials(0, clock, life=5.0)
    source = ScriptedSource(first, stale, MetadataUnreachableError("nobody there"))
    cache = build_cache(source, clock)
    cache.get()
    assert cache.refresh() is first
    assert cache.latest().state.rotations == 1
    clock.advance(10.0)
    assert cache.get() is first


def test_credentials_of_another_role_are_taken_whenever_they_expire(
    clock: MovableClock, first: Credentials
) -> None:
    other = fake_credentials(2, clock, life=600.0, role_name="other-role")
    cache = build_cache(ScriptedSource(first, other), clock)
    cache.get()
    assert cache.refresh() is other


def test_older_credentials_are_taken_where_the_cached_ones_were_refused(
    clock: MovableClock, first: Credentials
) -> None:
    older = fake_credentials(2, clock, life=600.0)
    cache = refused_cache(ScriptedSource(first, older), clock)
    assert cache.get() is older


@pytest.mark.parametrize("wrong", [None, "STS.FAKE0001", ("id", "secret", "token")])
def test_only_credentials_can_be_refused(ecs_metadata: FakeMetadataServer, wrong: object) -> None:
    with pytest.raises(TypeError, match="as get_credentials"):
        EcsRamRoleCredentialsProvider().invalidate(wrong)  # type: ignore[arg-type]


def test_a_pinned_role_that_was_changed_is_found_after_a_refusal(
    ecs_metadata: FakeMetadataServer,
) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role", deadline=60)
    old = provider.get_credentials()
    ecs_metadata.swap("other-role")
    provider.invalidate(old)
    for _ in range(3):
        with pytest.raises(RoleMismatchError):
            provider.get_credentials()
    assert provider.status().expires_in == 0
    assert not provider.check_health().is_healthy
