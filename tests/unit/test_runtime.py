"""What a provider takes from its surroundings, and the settings it hands on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import requests
import responses
from support import EPOCH, Launcher, MovableClock, run_at_once

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider, errors
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer, VirtualClock, fake_metadata


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def test_every_part_of_a_runtime_is_used(mock: responses.RequestsMock) -> None:
    service_clock, clock = VirtualClock(EPOCH), MovableClock()
    service = fake_metadata(mock, clock=service_clock)
    service.drop_date()
    service.fail(503, times=1, on="document")
    session = requests.Session()
    session.headers["User-Agent"] = "one-of-ones-own"
    slept: list[float] = []
    launched: list[object] = []

    def start_thread(work: object) -> bool:
        launched.append(work)
        return run_at_once(work)  # type: ignore[arg-type]

    provider = EcsRamRoleCredentialsProvider(
        runtime=Runtime(
            clock=clock,
            wall_clock=lambda: EPOCH,
            sleep=slept.append,
            random=lambda: 0.25,
            session=session,
            start_thread=start_thread,
        )
    )
    credentials = provider.get_credentials()
    assert {call.request.headers["User-Agent"] for call in mock.calls} == {"one-of-ones-own"}
    assert len(launched) == 1
    assert slept == [0.1 * 2 * 0.25]
    # No Date is sent, so that it is the time of day that counts.
    assert credentials.expires_in() == provider.status().expires_in == 6 * 3600
    clock.advance(60)
    assert credentials.expires_in() == provider.status().expires_in == 6 * 3600 - 60
    # A quarter of the window's first fifth.
    assert provider.status().next_request_in == 6 * 3600 - 29 * 60 + 29 * 60 / 5 / 4 - 60


@pytest.mark.parametrize("is_async", [False, True], ids=["get", "get_async"])
def test_nothing_is_hot_at_the_very_moment_of_expiration(
    mock: responses.RequestsMock, is_async: bool
) -> None:
    clock = VirtualClock(EPOCH)
    fake_metadata(mock, clock=clock)
    launcher = Launcher()
    provider = EcsRamRoleCredentialsProvider(
        deadline=0.05, runtime=Runtime(clock=clock, start_thread=launcher)
    )

    def get() -> Credentials:
        if is_async:
            return asyncio.run(provider.get_credentials_async())
        return provider.get_credentials()

    with pytest.raises(errors.MetadataUnreachableError):
        get()
    launcher.run_all()
    first = get()
    clock.advance(first.expires_in() - 0.01)
    assert get() is first
    assert provider.status().is_refreshing
    clock.advance(first.expires_in())
    with pytest.raises(errors.MetadataUnreachableError):
        get()


def test_settings_reach_the_service(ecs_metadata: FakeMetadataServer) -> None:
    EcsRamRoleCredentialsProvider(session_token_ttl=77).get_credentials()
    told = ecs_metadata.requests[0].headers["x-aliyun-ecs-metadata-token-ttl-seconds"]
    assert told == "77"


@pytest.mark.ecs_metadata(mode="normal-only")
def test_ruling_out_the_normal_mode_reaches_the_client(ecs_metadata: FakeMetadataServer) -> None:
    assert EcsRamRoleCredentialsProvider().get_credentials()
    with pytest.raises(errors.AccessRefusedError):
        EcsRamRoleCredentialsProvider(disable_imds_v1=True).get_credentials()
    assert {one.method for one in ecs_metadata.requests} == {"PUT", "GET"}
