"""Health checks: cold, idle, refused, failing and fine; one that waits and one that does not."""

from __future__ import annotations

import asyncio

import pytest
from support import Launcher, MovableClock

from ecs_role_creds import CredentialsError, EcsRamRoleCredentialsProvider, Health
from ecs_role_creds.errors import NoRoleAttachedError
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer

LONG = 60.0


@pytest.fixture
def launcher() -> Launcher:
    return Launcher()


def build(clock: MovableClock, launcher: Launcher | None = None) -> EcsRamRoleCredentialsProvider:
    runtime = Runtime(clock=clock)
    if launcher is not None:
        runtime = runtime._replace(start_thread=launcher)
    return EcsRamRoleCredentialsProvider(deadline=LONG, runtime=runtime)


def seen(health: Health) -> tuple[bool, str]:
    return health.is_healthy, health.condition


def test_cold_then_fine_without_a_call_of_the_application(
    ecs_metadata: FakeMetadataServer, clock: MovableClock, launcher: Launcher
) -> None:
    provider = build(clock, launcher)
    assert seen(provider.health()) == (False, "not-started")
    ecs_metadata.assert_no_requests()  # it waits for nothing
    launcher.run_all()  # what it started in the background
    health = provider.health()
    assert seen(health) == (True, "ok")
    assert health.expires_in > 21000


def test_the_one_that_waits_is_right_at_the_first_check(
    ecs_metadata: FakeMetadataServer, clock: MovableClock
) -> None:
    assert seen(build(clock).check_health()) == (True, "ok")
    assert seen(asyncio.run(build(clock).check_health_async())) == (True, "ok")


def test_idle_until_the_credentials_have_expired(
    ecs_metadata: FakeMetadataServer, clock: MovableClock, launcher: Launcher
) -> None:
    provider = build(clock, launcher)
    provider.health()
    launcher.run_all()
    clock.advance(12 * 3600)
    ecs_metadata.rotate()
    assert seen(provider.health()) == (False, "no-credentials")
    launcher.run_all()
    assert seen(provider.health()) == (True, "ok")
    clock.advance(12 * 3600)
    ecs_metadata.rotate()
    launcher.waiting.clear()
    assert seen(build(clock).check_health()) == (True, "ok")


def test_failing_while_the_credentials_are_valid_and_after(
    ecs_metadata: FakeMetadataServer, clock: MovableClock, launcher: Launcher
) -> None:
    provider = build(clock, launcher)
    provider.health()
    launcher.run_all()
    ecs_metadata.fail(503)
    clock.advance(provider.status().next_request_in)
    provider.health()
    launcher.run_all()
    health = provider.health()
    assert seen(health) == (True, "failing")
    assert "status 503" in health.reason
    clock.advance(3600)
    provider.health()
    launcher.run_all()
    assert seen(provider.health()) == (False, "no-credentials")


def test_failing_from_the_start(ecs_metadata: FakeMetadataServer, clock: MovableClock) -> None:
    ecs_metadata.detach()
    health = build(clock).check_health()
    assert seen(health) == (False, "no-credentials")
    assert "No RAM role" in health.reason


def test_a_check_that_is_called_often_starts_one_fetch(
    ecs_metadata: FakeMetadataServer, clock: MovableClock
) -> None:
    provider = build(clock)
    provider.check_health()
    for _ in range(100):
        assert provider.health().is_healthy
    assert sum(one.path.endswith("/app-role") for one in ecs_metadata.requests) == 1


def test_get_credentials_nowait_never_waits(
    ecs_metadata: FakeMetadataServer, clock: MovableClock, launcher: Launcher
) -> None:
    provider = build(clock, launcher)
    for _ in range(3):
        with pytest.raises(CredentialsError, match="being fetched in the background"):
            provider.get_credentials_nowait()
    ecs_metadata.assert_no_requests()
    assert len(launcher.waiting) == 1
    launcher.run_all()
    first = provider.get_credentials_nowait()
    assert ecs_metadata.is_valid(first)
    provider.invalidate(first)  # callers would wait
    with pytest.raises(CredentialsError):
        provider.get_credentials_nowait()
    ecs_metadata.detach()
    launcher.run_all()
    with pytest.raises(NoRoleAttachedError):
        provider.get_credentials_nowait()
