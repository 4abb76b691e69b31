"""wait(), refresh_async() and on_rotation()."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import Launcher, MovableClock, ScriptedSource, build_cache, fake_credentials

from ecs_role_creds import Credentials, CredentialsError, EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import MetadataDisabledError, NoRoleAttachedError
from ecs_role_creds.flight import Flight
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer

LONG = 60.0


def test_wait_finds_a_role_that_is_attached_meanwhile(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.detach()
    clock = MovableClock()
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        clock.advance(seconds)
        if len(naps) == 3:
            ecs_metadata.attach("late-role")

    provider = EcsRamRoleCredentialsProvider(runtime=Runtime(clock=clock, sleep=sleep))
    assert provider.wait(120).role_name == "late-role"
    assert len(naps) == 3
    assert all(nap > 0 for nap in naps)


def test_wait_ends_with_the_last_failure(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.detach()
    clock = MovableClock()
    provider = EcsRamRoleCredentialsProvider(runtime=Runtime(clock=clock, sleep=clock.advance))
    with pytest.raises(NoRoleAttachedError):
        provider.wait(30)
    assert clock() == pytest.approx(1030.0)
    with pytest.raises(NoRoleAttachedError):
        provider.wait(0)


def test_wait_for_no_number_of_seconds_ends(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.detach()
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        assert len(naps) < 10

    provider = EcsRamRoleCredentialsProvider(runtime=Runtime(clock=MovableClock(), sleep=sleep))
    with pytest.raises(NoRoleAttachedError):
        provider.wait(float("nan"))


def test_wait_async(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)
    assert ecs_metadata.is_valid(asyncio.run(provider.wait_async(LONG)))
    ecs_metadata.detach()
    with pytest.raises(CredentialsError):
        asyncio.run(EcsRamRoleCredentialsProvider("other", deadline=LONG).wait_async(0))


def test_wait_does_not_wait_where_it_is_forbidden(
    ecs_metadata: FakeMetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    pickled = pickle.dumps(EcsRamRoleCredentialsProvider())
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    with pytest.raises(MetadataDisabledError):
        pickle.loads(pickled).wait(3600)


def test_refresh_async_brings_what_the_service_has(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)
    old = provider.get_credentials()
    ecs_metadata.rotate()
    new = asyncio.run(provider.refresh_async())
    assert not new.is_same_token(old)
    assert provider.get_credentials() is new


def test_polling_in_a_coroutine(ecs_metadata: FakeMetadataServer) -> None:
    async def main() -> None:
        async with EcsRamRoleCredentialsProvider(deadline=LONG).polling() as provider:
            assert provider.status().is_polling
            await provider.get_credentials_async()
        assert not provider.status().is_polling

    asyncio.run(main())


def test_polling_does_not_wait_for_the_executor(ecs_metadata: FakeMetadataServer) -> None:
    async def main() -> None:
        may_end = threading.Event()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, may_end.wait, LONG)
        async with EcsRamRoleCredentialsProvider(deadline=LONG).polling() as provider:
            assert provider.status().is_polling
            assert not busy.done()
        may_end.set()
        await busy

    asyncio.run(main())


def provider_that_imports(
    pending_import: Callable[[], Flight[bool] | None],
) -> EcsRamRoleCredentialsProvider:
    """A provider off the network, whose import of the HTTP client is this one."""
    provider = EcsRamRoleCredentialsProvider(
        endpoint="http://127.0.0.1:1", deadline=0.1, runtime=Runtime()
    )
    provider._cache._source.pending_import = pending_import  # type: ignore[method-assign]
    return provider


def test_polling_does_not_block_the_event_loop_after_an_import_that_failed() -> None:
    waits: list[tuple[int, float]] = []

    class NeverEnds(Flight[bool]):
        def wait(self, timeout: float) -> None:
            waits.append((threading.get_ident(), timeout))

    failed: Flight[bool] = Flight(lambda _: None)
    failed.finish(False)
    imports, never_ends = iter([failed]), NeverEnds(lambda _: None)
    provider = provider_that_imports(lambda: next(imports, never_ends))

    async def main() -> None:
        async with provider.polling():
            assert provider.status().is_polling
        assert [wait for thread, wait in waits if thread == threading.get_ident()] == [0.0]

    asyncio.run(main())


def test_polling_begins_although_the_import_takes_too_long() -> None:
    raised = iter([CredentialsError("Importing took more than 60 s.")])

    def pending_import() -> None:
        for error in raised:
            raise error

    provider = provider_that_imports(pending_import)

    async def main() -> None:
        async with provider.polling():
            assert provider.status().is_polling

    asyncio.run(main())


def test_polling_that_is_cancelled_on_its_way_does_not_poll() -> None:
    importing: Flight[bool] = Flight(lambda _: None)
    provider = provider_that_imports(lambda: None if importing.wait(0.0) else importing)

    async def use() -> None:
        async with provider.polling():
            pytest.fail("the import has not ended")

    async def main() -> None:
        task = asyncio.ensure_future(use())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    importing.finish(True)
    assert not provider.status().is_polling


def test_a_cancellation_that_comes_with_the_credentials_is_not_lost(clock: MovableClock) -> None:
    launcher = Launcher()
    cache = build_cache(
        ScriptedSource(fake_credentials(1, clock)), clock, deadline=LONG, start_thread=launcher
    )

    async def main() -> None:
        task = asyncio.ensure_future(cache.get_async())
        while not launcher.waiting:  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        launcher.run_all()  # the outcome is on its way to the loop
        await asyncio.sleep(0)  # it has arrived, and the task has not run yet
        assert task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


class Calls:
    def __init__(self) -> None:
        self.got: list[Credentials] = []
        self.arrived = threading.Semaphore(0)

    def __call__(self, credentials: Credentials) -> None:
        self.got.append(credentials)
        self.arrived.release()

    def wait(self) -> Credentials:
        assert self.arrived.acquire(timeout=LONG)
        return self.got[-1]


def test_called_after_each_rotation_with_what_the_cache_has(
    ecs_metadata: FakeMetadataServer,
) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)
    cached: list[Credentials] = []
    calls = Calls()
    provider.on_rotation(lambda _: cached.append(provider.get_credentials()))
    end = provider.on_rotation(calls)
    first = provider.get_credentials()
    assert calls.wait() is first
    provider.refresh()  # the same credentials again: no rotation
    ecs_metadata.rotate()
    second = provider.refresh()
    assert calls.wait() is second
    assert cached == [first, second]
    end()
    end()
    ecs_metadata.rotate()
    third = provider.refresh()
    assert calls.got == [first, second]
    assert provider.get_credentials() is third


def test_a_callback_that_fails_is_logged_and_harms_nobody(
    ecs_metadata: FakeMetadataServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Credentials) -> None:
        raise ZeroDivisionError("fake failure")

    calls = Calls()
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)
    provider.on_rotation(fail)
    provider.on_rotation(calls)
    caplog.set_level(logging.ERROR, "ecs_role_creds")
    provider.get_credentials()
    calls.wait()
    (record,) = caplog.records
    assert "callback of on_rotation() failed" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def test_callbacks_keep_no_provider_alive_and_end_with_it(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)
    other = EcsRamRoleCredentialsProvider(deadline=LONG)  # of the same cache
    calls, others = Calls(), Calls()
    end = provider.on_rotation(calls)
    other.on_rotation(others)
    gone = weakref.ref(provider)
    del provider
    gc.collect()
    assert gone() is None
    other.get_credentials()
    others.wait()
    assert calls.got == []
    end()


def test_called_under_polling_without_traffic(ecs_metadata: FakeMetadataServer) -> None:
    calls = Calls()
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)
    provider.on_rotation(calls)
    with provider.polling():
        assert ecs_metadata.is_valid(calls.wait())


def test_only_functions_are_called(ecs_metadata: FakeMetadataServer) -> None:
    with pytest.raises(TypeError, match="takes a function"):
        EcsRamRoleCredentialsProvider().on_rotation(None)  # type: ignore[arg-type]
