"""The fixture reaches every provider without an explicit endpoint, and nothing outlives a test."""

from __future__ import annotations

import gc
import os
import pickle
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
from support import documents
from support.faults import free_port
from support.plain_http import wait_until
from support.pollers import pollers

from ecs_role_creds import (
    Credentials,
    CredentialsError,
    EcsRamRoleCredentialsProvider,
    default_provider,
)
from ecs_role_creds.errors import MetadataServiceError
from ecs_role_creds.provider import Runtime
from ecs_role_creds.reporting import RotationCallbacks
from ecs_role_creds.settings import DEFAULT_ENDPOINT, ENDPOINT
from ecs_role_creds.testing import FakeMetadataServer, VirtualClock, forget_credentials, redirect
from ecs_role_creds.testing.redirect import redirected

HOUR = 3600.0
EARLY = EcsRamRoleCredentialsProvider()
"""Built when the module is imported, as applications do."""


@pytest.fixture
def server() -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer() as server:
        yield server


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMetadataServer]:
    """Stands in for the real service: providers built outside a redirection ask this one."""
    with FakeMetadataServer("outside-role") as server:
        monkeypatch.setenv(ENDPOINT, server.endpoint)
        yield server


def redirect_to(server: FakeMetadataServer) -> AbstractContextManager[None]:
    return redirected(server.environment, server.endpoint, server.clock)


# The fixture.


@pytest.mark.parametrize("number", [1, 2])
def test_early_provider_asks_the_fake_of_each_test_anew(
    ecs_metadata: FakeMetadataServer, number: int
) -> None:
    assert ecs_metadata.is_valid(EARLY.get_credentials())
    assert EARLY.status().fetches == 1
    # It shares the cache with those that are built now.
    assert EcsRamRoleCredentialsProvider().get_credentials() is EARLY.get_credentials()
    assert default_provider().get_credentials() is EARLY.get_credentials()
    assert documents(ecs_metadata) == 1


def test_early_provider_without_the_fixture_is_refused() -> None:
    forget_credentials()  # a test of fake_metadata() gives it some
    with pytest.raises(CredentialsError, match="use the ecs_metadata fixture"):
        EARLY.get_credentials()


@pytest.mark.parametrize("number", [1, 2])
def test_failures_do_not_outlive_a_test(ecs_metadata: FakeMetadataServer, number: int) -> None:
    assert EARLY.status().failures == 0
    ecs_metadata.fail(503)
    with pytest.raises(MetadataServiceError):
        EARLY.get_credentials()
    assert EARLY.status().failures == 1


@pytest.mark.ecs_metadata(clock=VirtualClock)
def test_a_clock_moves_the_fake_and_the_providers(ecs_metadata: FakeMetadataServer) -> None:
    built_now = EcsRamRoleCredentialsProvider("app-role")
    early, now = EARLY.get_credentials(), built_now.get_credentials()
    ecs_metadata.advance(5 * HOUR)
    assert 0.9 * HOUR < early.expires_in() <= HOUR
    assert built_now.get_credentials() is now
    ecs_metadata.advance(HOUR)
    assert early.is_expired()
    for provider, before in ((EARLY, early), (built_now, now)):
        assert provider.status().expires_in == 0
        renewed = provider.get_credentials()
        assert not renewed.is_same_token(before)
        assert ecs_metadata.is_valid(renewed)


@pytest.mark.ecs_metadata(clock=VirtualClock)
def test_a_clock_waits_for_fetches_in_progress(ecs_metadata: FakeMetadataServer) -> None:
    EARLY.get_credentials()
    ecs_metadata.advance(5.9 * HOUR)
    ecs_metadata.delay(0.2, on="document")
    EARLY.get_credentials()  # refreshes in the background
    ecs_metadata.advance(24 * HOUR)
    status = EARLY.status()
    assert (status.rotations, status.failures) == (2, 0)


@pytest.mark.ecs_metadata(clock=VirtualClock)
def test_a_clock_gives_pollers_their_turn(ecs_metadata: FakeMetadataServer) -> None:
    with EARLY.polling():
        wait_until(lambda: EARLY.status().rotations == 1)
        for hour in range(1, 13):
            ecs_metadata.advance(HOUR)
            assert EARLY.status().expires_in > 0, f"hour {hour}"
        assert EARLY.status().rotations >= 3


@pytest.mark.ecs_metadata(clock=VirtualClock)
def test_each_test_has_a_clock_of_its_own(ecs_metadata: FakeMetadataServer) -> None:
    assert ecs_metadata.now().year == 2030
    ecs_metadata.advance(365 * 24 * HOUR)


test_each_test_has_a_clock_of_its_own_again = test_each_test_has_a_clock_of_its_own


def test_real_time_cannot_be_moved(ecs_metadata: FakeMetadataServer) -> None:
    with pytest.raises(RuntimeError, match=r"pass clock=VirtualClock\(\)"):
        ecs_metadata.advance(1)


# The redirection itself.


def test_providers_return_to_their_own_endpoint_with_empty_caches(
    server: FakeMetadataServer, outside: FakeMetadataServer
) -> None:
    provider = EcsRamRoleCredentialsProvider()
    assert provider.get_credentials().role_name == "outside-role"
    with redirect_to(server):
        assert provider.get_credentials().role_name == "app-role"
        assert server.endpoint in repr(provider)
    assert outside.endpoint in repr(provider)
    assert provider.status().role_name is None
    assert len(outside.requests) == 3
    assert provider.get_credentials().role_name == "outside-role"
    assert len(outside.requests) == 3 + 3


def test_provider_built_in_one_test_and_used_in_the_next(
    server: FakeMetadataServer, outside: FakeMetadataServer
) -> None:
    with FakeMetadataServer("first-role") as first, redirect_to(first):
        provider = EcsRamRoleCredentialsProvider()
        assert provider.get_credentials().role_name == "first-role"
    assert outside.endpoint in repr(provider)
    with redirect_to(server):
        assert provider.status().role_name is None
        assert provider.get_credentials().role_name == "app-role"
    assert outside.requests == []


def test_redirections_nest(server: FakeMetadataServer) -> None:
    with FakeMetadataServer("inner-role") as inner, redirect_to(server):
        early = EcsRamRoleCredentialsProvider()
        early.get_credentials()
        with redirect_to(inner):
            late = EcsRamRoleCredentialsProvider()
            assert early.get_credentials().role_name == "inner-role"
            assert late.get_credentials().role_name == "inner-role"
        assert early.get_credentials().role_name == "app-role"
        assert late.get_credentials().role_name == "app-role"
    assert DEFAULT_ENDPOINT in repr(early)
    assert DEFAULT_ENDPOINT in repr(late)


@pytest.mark.parametrize("kind", ["explicit endpoint", "unpickled", "own runtime"])
def test_providers_left_alone(server: FakeMetadataServer, kind: str) -> None:
    with FakeMetadataServer("other-role") as other:
        runtime = Runtime() if kind == "own runtime" else None
        provider = EcsRamRoleCredentialsProvider(endpoint=other.endpoint, runtime=runtime)
        if kind == "unpickled":
            provider = pickle.loads(pickle.dumps(provider))
        before = provider.get_credentials()
        with redirect_to(server):
            assert provider.get_credentials() is before
            provider.refresh()
        assert provider.get_credentials() is not None
        assert provider.status().fetches == 2
        assert documents_of(other, "other-role") == 2
    server.assert_no_requests()


def documents_of(server: FakeMetadataServer, role: str) -> int:
    return sum(one.path.endswith(f"/{role}") for one in server.requests)


def test_unpickled_provider_with_default_settings_is_redirected(
    server: FakeMetadataServer,
) -> None:
    provider = pickle.loads(pickle.dumps(EcsRamRoleCredentialsProvider()))
    with redirect_to(server):
        assert server.is_valid(provider.get_credentials())


def test_pollers_do_not_ask_their_own_endpoint_inside(
    server: FakeMetadataServer, outside: FakeMetadataServer
) -> None:
    provider = EcsRamRoleCredentialsProvider()
    with provider.polling():
        wait_until(lambda: provider.status().fetches == 1)
        before = pollers()
        asked = len(outside.requests)
        with redirect_to(server):
            assert provider.status().is_polling
            wait_until(lambda: provider.status().fetches == 1)
            assert server.is_valid(provider.get_credentials())
            for thread in before:
                thread.join(300)
                assert not thread.is_alive()
            provider.start_polling()  # once more, and never stopped
            assert len(outside.requests) == asked
        wait_until(lambda: provider.status().role_name == "outside-role")
        assert provider.status().is_polling
    assert not provider.status().is_polling


def test_polling_started_inside_ends_with_the_block(
    server: FakeMetadataServer, outside: FakeMetadataServer
) -> None:
    early = EcsRamRoleCredentialsProvider()
    with redirect_to(server):
        late = EcsRamRoleCredentialsProvider(deadline=3)
        for provider in (early, late):
            provider.start_polling()
        wait_until(lambda: early.status().fetches + late.status().fetches == 2)
    assert not early.status().is_polling
    assert not late.status().is_polling
    assert outside.requests == []


def test_callbacks_stay_with_the_provider(
    server: FakeMetadataServer, outside: FakeMetadataServer
) -> None:
    provider = EcsRamRoleCredentialsProvider()
    roles: list[str] = []
    stop = provider.on_rotation(lambda credentials: roles.append(credentials.role_name))
    with redirect_to(server):
        provider.get_credentials()
        wait_until(lambda: roles == ["app-role"])
    provider.get_credentials()
    wait_until(lambda: roles == ["app-role", "outside-role"])
    stop()
    provider.invalidate(provider.get_credentials())
    outside.rotate()
    provider.get_credentials()
    assert len(roles) == 2


def test_providers_are_not_kept_alive(server: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider()
    reference = weakref.ref(provider)
    with redirect_to(server):
        provider.get_credentials()
        del provider
        gc.collect()
        assert reference() is None


def test_a_subclass_need_not_be_hashable(server: FakeMetadataServer) -> None:
    class Unhashable(EcsRamRoleCredentialsProvider):
        __hash__ = None  # type: ignore[assignment]

    provider = Unhashable()
    with redirect_to(server):
        assert server.is_valid(provider.get_credentials())


def test_the_environment_is_restored_where_the_redirection_fails(
    server: FakeMetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(runtime: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setenv(ENDPOINT, "http://before.test")
    monkeypatch.setattr(redirect, "_runtime_on", fail)
    with (
        pytest.raises(ZeroDivisionError),
        redirected(server.environment, server.endpoint, VirtualClock()),
    ):
        pass
    assert os.environ[ENDPOINT] == "http://before.test"


# forget_credentials().


def test_two_fakes_in_turn_at_one_address() -> None:
    port = free_port()
    with FakeMetadataServer("first-role", port=port) as first:
        provider = EcsRamRoleCredentialsProvider(endpoint=first.endpoint)
        assert provider.get_credentials().role_name == "first-role"
    forget_credentials()
    with FakeMetadataServer("second-role", port=port) as second:
        assert provider.get_credentials().role_name == "second-role"
        built_now = EcsRamRoleCredentialsProvider(endpoint=second.endpoint)
        assert built_now.get_credentials() is provider.get_credentials()
        second.assert_requests(
            "PUT /latest/api/token",
            "GET /latest/meta-data/ram/security-credentials/",
            "GET /latest/meta-data/ram/security-credentials/second-role",
        )


def test_a_fetch_in_progress_rotates_nothing(server: FakeMetadataServer) -> None:
    """A client with static keys would be given those of a service that is no longer there."""
    runtime, after = Runtime(), RotationCallbacks()
    provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint, deadline=60, runtime=runtime)
    heard: list[Credentials] = []
    landed: list[Credentials] = []
    provider.on_rotation(heard.append)
    after.add(landed.append)
    provider._cache.audience.add(after)
    server.hang(on="document")
    provider._cache.start_if_due()
    wait_until(lambda: provider.status().is_refreshing)
    forget_credentials()
    server.recover()
    wait_until(lambda: bool(landed))
    assert not heard
    assert provider.status().fetches == 0
    new = provider.get_credentials()
    wait_until(lambda: heard == [new])


def test_failures_are_forgotten_and_polling_goes_on(server: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint, runtime=Runtime())
    server.fail(503)
    with provider.polling():
        wait_until(lambda: provider.status().failures > 0)
        server.recover()
        forget_credentials()
        wait_until(lambda: provider.status().fetches == 1)
        assert provider.status().failures == 0
        assert provider.status().is_polling
    assert not provider.status().is_polling
