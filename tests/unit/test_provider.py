"""The provider: what applications hold."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import responses
from support import MovableClock
from support.plain_http import wait_until
from support.pollers import pollers as all_pollers

import ecs_role_creds
from ecs_role_creds import EcsRamRoleCredentialsProvider, errors
from ecs_role_creds.provider import Runtime, default_provider, forget_shared
from ecs_role_creds.testing import FakeMetadataServer, fake_metadata

DOCUMENT = "GET /latest/meta-data/ram/security-credentials/app-role"
LONG = 60.0


def documents(server: FakeMetadataServer) -> int:
    return sum(f"{one.method} {one.path}" == DOCUMENT for one in server.requests)


Pollers = Callable[[], list[threading.Thread]]


@pytest.fixture
def pollers() -> Pollers:
    """The threads that this test has started; those of an earlier one may be about to end."""
    before = all_pollers()
    return lambda: [one for one in all_pollers() if one not in before]


@pytest.fixture
def frantic_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def secrets_of(server: FakeMetadataServer) -> list[str]:
    return [
        part
        for one in server.issued
        for part in (one.access_key_id, one.access_key_secret, one.security_token)
    ]


# What it gives.


def test_first_call_asks_for_token_role_and_document(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider()
    ecs_metadata.assert_no_requests()
    credentials = provider.get_credentials()
    assert ecs_metadata.is_valid(credentials)
    assert [provider.get_credentials() for _ in range(10)] == [credentials] * 10
    ecs_metadata.assert_requests(
        "PUT /latest/api/token", "GET /latest/meta-data/ram/security-credentials/", DOCUMENT
    )


def test_the_names_of_other_sdks_give_the_same(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider()
    credentials = provider.get_credentials()
    assert provider.get_credential() is credentials
    assert asyncio.run(provider.get_credential_async()) is credentials
    assert asyncio.run(provider.get_credentials_async()) is credentials
    assert provider.get_provider_name() == "ecs_ram_role" == credentials.provider_name


def test_refresh_and_invalidate_reach_the_service(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    first = provider.get_credentials()
    ecs_metadata.rotate()
    second = provider.refresh()
    assert not second.is_same_token(first)
    ecs_metadata.rotate()
    provider.invalidate(first)  # no longer the cached ones
    assert provider.get_credentials() is second
    provider.invalidate(second)
    third = provider.get_credentials()
    assert not third.is_same_token(second)
    assert documents(ecs_metadata) == 3


@pytest.mark.ecs_metadata(role=None)
def test_its_errors_say_what_is_wrong(ecs_metadata: FakeMetadataServer) -> None:
    with pytest.raises(errors.NoRoleAttachedError, match="No RAM role"):
        EcsRamRoleCredentialsProvider().get_credentials()


def test_settings_are_checked_at_once() -> None:
    with pytest.raises(errors.ConfigurationError, match="deadline"):
        EcsRamRoleCredentialsProvider(deadline=0)
    with pytest.raises(errors.ConfigurationError, match="role_name"):
        EcsRamRoleCredentialsProvider("acs:ram::1:role/app-role")


def test_half_built_provider_can_be_shown() -> None:
    half_built = EcsRamRoleCredentialsProvider.__new__(EcsRamRoleCredentialsProvider)
    assert "EcsRamRoleCredentialsProvider object at" in repr(half_built)


def test_repr_names_role_and_endpoint_alone(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    provider.get_credentials()
    endpoint = ecs_metadata.endpoint
    assert repr(provider) == f"EcsRamRoleCredentialsProvider('app-role', endpoint={endpoint!r})"


# What providers share.


def test_twenty_providers_fetch_one_document(ecs_metadata: FakeMetadataServer) -> None:
    providers = [EcsRamRoleCredentialsProvider("app-role") for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(lambda provider: provider.get_credentials(), providers))
    assert len(set(map(id, got))) == 1
    assert documents(ecs_metadata) == 1


def test_provider_built_for_every_request_finds_the_cache(ecs_metadata: FakeMetadataServer) -> None:
    got = []
    for _ in range(3):
        got.append(EcsRamRoleCredentialsProvider("app-role").get_credentials())
        gc.collect()
    assert len(set(map(id, got))) == 1
    assert documents(ecs_metadata) == 1


def test_other_settings_share_nothing(ecs_metadata: FakeMetadataServer) -> None:
    one = EcsRamRoleCredentialsProvider("app-role").get_credentials()
    other = EcsRamRoleCredentialsProvider("app-role", deadline=3.0).get_credentials()
    assert one == other
    assert one is not other
    assert documents(ecs_metadata) == 2


def test_provider_with_a_runtime_has_a_cache_of_its_own(ecs_metadata: FakeMetadataServer) -> None:
    EcsRamRoleCredentialsProvider("app-role").get_credentials()
    for _ in range(2):
        EcsRamRoleCredentialsProvider("app-role", runtime=Runtime()).get_credentials()
    assert documents(ecs_metadata) == 3


def test_forgetting_starts_new_providers_cold_and_leaves_old_ones_alone(
    ecs_metadata: FakeMetadataServer,
) -> None:
    old = EcsRamRoleCredentialsProvider("app-role")
    credentials, default = old.get_credentials(), default_provider()
    forget_shared()
    assert default_provider() is not default
    assert EcsRamRoleCredentialsProvider("app-role").get_credentials() is not credentials
    assert old.get_credentials() is credentials
    assert documents(ecs_metadata) == 2


def test_module_level_function_uses_one_default_provider(ecs_metadata: FakeMetadataServer) -> None:
    credentials = ecs_role_creds.get_credentials()
    assert ecs_role_creds.get_credentials() is credentials
    assert ecs_role_creds.default_provider() is ecs_role_creds.default_provider()
    assert ecs_role_creds.default_provider().get_credentials() is credentials
    assert documents(ecs_metadata) == 1


# Pickling.


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_as_its_settings(ecs_metadata: FakeMetadataServer, protocol: int) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role", deadline=5.0)
    credentials = provider.get_credentials()
    pickled = pickle.dumps(provider, protocol)
    assert not [secret for secret in secrets_of(ecs_metadata) if secret.encode() in pickled]
    assert b"fake-" not in pickled
    twin = pickle.loads(pickled)
    assert repr(twin) == repr(provider)
    assert twin.get_credentials() is credentials
    forget_shared()
    assert pickle.loads(pickled).get_credentials() == credentials
    assert documents(ecs_metadata) == 2


def test_provider_with_a_runtime_refuses_to_pickle() -> None:
    provider = EcsRamRoleCredentialsProvider(runtime=Runtime())
    with pytest.raises(TypeError, match="with a runtime"):
        pickle.dumps(provider)


# Figures.


def test_status_before_and_after_the_first_fetch(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider()
    before = provider.status()
    assert before == (None, None, 0.0, 0.0, False, False, 0, 0, 0, None, None, False, 0)
    credentials = provider.get_credentials()
    after = provider.status()
    assert after.role_name == "app-role"
    assert after.expiration == credentials.expiration
    assert 21000 < after.expires_in <= 21601
    assert 0 < after.next_request_in < after.expires_in
    assert (after.fetches, after.rotations, after.failures) == (1, 1, 0)
    assert after.last_failure is None
    assert after.mode == "hardening"
    assert not [secret for secret in secrets_of(ecs_metadata) if secret in repr(after)]


def test_status_tells_of_an_outcome_as_soon_as_the_fetch_is_over(
    frantic_switching: None,
) -> None:
    clock = MovableClock()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        fake_metadata(mock)
        provider = EcsRamRoleCredentialsProvider(deadline=LONG, runtime=Runtime(clock=clock))
        for turn in range(100):
            fetching = threading.Thread(target=provider.refresh)
            fetching.start()
            while fetching.is_alive() and not provider.status().is_refreshing:
                pass
            while (status := provider.status()).is_refreshing:
                pass
            assert status.fetches == turn + 1
            fetching.join(LONG)


def test_status_tells_of_failures_and_asks_nothing(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.fail(404, on="role")
    provider = EcsRamRoleCredentialsProvider()
    with pytest.raises(errors.NoRoleAttachedError):
        provider.get_credentials()
    asked = len(ecs_metadata.requests)
    status = provider.status()
    assert status.failures == 1
    assert "No RAM role" in str(status.last_failure)
    assert status.next_request_in > 0
    assert len(ecs_metadata.requests) == asked


# Polling.


def test_polling_fetches_without_any_call(
    ecs_metadata: FakeMetadataServer, pollers: Pollers
) -> None:
    fetched = threading.Event()

    def clock() -> float:
        if documents(ecs_metadata):
            fetched.set()
        return Runtime().clock()

    provider = EcsRamRoleCredentialsProvider("app-role", runtime=Runtime(clock=clock))
    assert not provider.status().is_polling
    with provider.polling() as same:
        assert same is provider
        assert provider.status().is_polling
        wait_until(lambda: len(pollers()) == 1)
        assert fetched.wait(LONG)
    assert not provider.status().is_polling
    join(pollers())
    assert provider.status().fetches == 1
    assert documents(ecs_metadata) == 1


def join(threads: list[threading.Thread]) -> None:
    """Not by Thread.join(), which fails for a thread that is about to start."""
    wait_until(lambda: not set(threads) & set(threading.enumerate()))


def test_as_many_stops_as_starts_end_polling(
    ecs_metadata: FakeMetadataServer, pollers: Pollers
) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    provider.start_polling()
    with provider.polling():
        wait_until(lambda: len(pollers()) == 1)
        provider.stop_polling()
        assert provider.status().is_polling
    assert not provider.status().is_polling
    provider.stop_polling()  # one too many
    provider.start_polling()
    assert provider.status().is_polling
    provider.stop_polling()
    assert not provider.status().is_polling
    join(pollers())


def test_polling_ends_when_its_block_fails(
    ecs_metadata: FakeMetadataServer, pollers: Pollers
) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    with pytest.raises(KeyError), provider.polling():
        raise KeyError
    assert not provider.status().is_polling
    join(pollers())


def test_poller_does_not_keep_the_provider_alive(
    ecs_metadata: FakeMetadataServer, pollers: Pollers
) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role", runtime=Runtime())
    provider.get_credentials()
    provider.start_polling()
    gone, cache_gone = weakref.ref(provider), weakref.ref(provider._cache)
    wait_until(lambda: len(pollers()) == 1)
    del provider
    gc.collect()
    assert gone() is None
    join(pollers())
    gc.collect()
    assert cache_gone() is None


# Coroutines.


def test_a_thousand_tasks_wait_for_one_fetch(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role", deadline=LONG)

    async def main() -> set[int]:
        tasks = (provider.get_credentials_async() for _ in range(1000))
        return {id(credentials) for credentials in await asyncio.gather(*tasks)}

    assert len(asyncio.run(main())) == 1
    assert documents(ecs_metadata) == 1


def test_cancelling_one_waiter_leaves_the_others(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role", deadline=LONG)
    ecs_metadata.hang(on="document")

    async def main() -> None:
        tasks = [asyncio.ensure_future(provider.get_credentials_async()) for _ in range(5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks[0]
        assert tasks[0].cancelled()
        assert not any(task.done() for task in tasks[1:])
        # A thread waits for a response in progress; the loop must stay free.
        await asyncio.to_thread(ecs_metadata.recover)
        assert len({id(one) for one in await asyncio.gather(*tasks[1:])}) == 1

    asyncio.run(main())
    assert documents(ecs_metadata) == 1


def test_a_closed_loop_is_no_trouble_to_the_fetch(
    ecs_metadata: FakeMetadataServer, caplog: pytest.LogCaptureFixture
) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role", deadline=LONG)
    ecs_metadata.hang(on="document")

    async def leave() -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(provider.get_credentials_async(), 0.01)

    asyncio.run(leave())
    ecs_metadata.recover()
    assert ecs_metadata.is_valid(provider.get_credentials())
    for one in threading.enumerate():
        if one.name == "ecs-role-creds-refresh":
            one.join(LONG)
    assert [one.name for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.ecs_metadata(role=None)
def test_coroutines_raise_copies_of_one_error(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)

    async def main() -> list[object]:
        tasks = (provider.get_credentials_async() for _ in range(20))
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    raised = asyncio.run(main())
    assert all(isinstance(one, errors.NoRoleAttachedError) for one in raised)
    assert len(set(map(id, raised))) == 20


# Imports.


def test_importing_it_imports_no_client_and_no_event_loop() -> None:
    code = (
        "import sys, ecs_role_creds\n"
        "ecs_role_creds.EcsRamRoleCredentialsProvider()\n"
        "print(*{'requests', 'urllib3', 'oss2', 'asyncio', 'pytest'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []
    assert done.stderr == ""
