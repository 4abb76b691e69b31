"""Clients on asyncio: the event loop goes on, whatever the metadata service does.

No test measures seconds. The service hangs until the loop has turned a number of times after a
request was made: a request that blocked the loop would not let it turn, and would fail at its
deadline instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from ecs_role_creds import EcsRamRoleCredentialsProvider, errors
from ecs_role_creds.testing import FakeMetadataServer, FakeOss, VirtualClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import alibabacloud_oss_v2 as oss_v2
    import alibabacloud_oss_v2.aio as oss_v2_aio

    from ecs_role_creds.adapters import alibabacloud_oss_v2

TURNS = 200
CONTENT = b"a picture"


class Heartbeat:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.beats = 0

    async def beat(self) -> None:
        while True:
            self.beats += 1
            await asyncio.sleep(0.001)

    async def turns(self, number: int) -> None:
        until = self.beats + number
        await eventually(lambda: self.beats >= until)


async def eventually(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - threads cause it, which set no asyncio.Event
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def heartbeat() -> AsyncIterator[Heartbeat]:
    heart = Heartbeat()
    task = asyncio.create_task(heart.beat())
    try:
        yield heart
    finally:
        task.cancel()


@pytest.fixture
def provider(ecs_metadata: FakeMetadataServer) -> EcsRamRoleCredentialsProvider:
    return EcsRamRoleCredentialsProvider(deadline=60)


@pytest.fixture(params=[False, True], ids=["without polling", "with polling"])
def start_polling(
    request: pytest.FixtureRequest, provider: EcsRamRoleCredentialsProvider
) -> Iterator[Callable[[], None]]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(provider.polling()) if request.param else None


def client_for(oss: FakeOss, provider: Any, **options: Any) -> oss_v2_aio.AsyncClient:
    return alibabacloud_oss_v2.async_client(
        provider, region=oss.region, endpoint=oss.endpoint, **options
    )


async def put(client: oss_v2_aio.AsyncClient, key: str, body: Any = CONTENT) -> Any:
    return await client.put_object(oss_v2.PutObjectRequest(bucket="bucket", key=key, body=body))


async def five_requests_during_a_hang(
    metadata: FakeMetadataServer, oss: FakeOss, provider: EcsRamRoleCredentialsProvider
) -> None:
    """The loop turns while five requests wait for the service, which then recovers."""
    async with client_for(oss, provider) as client, heartbeat() as heart:
        puts = [asyncio.create_task(put(client, f"{number}.png")) for number in range(5)]
        # Refused requests come back from OSS before they wait.
        await eventually(lambda: provider.status().is_refreshing and len(oss.refused) in (0, 5))
        await heart.turns(TURNS)
        assert not any(put.done() for put in puts)
        metadata.recover()
        await asyncio.gather(*puts)
    assert len(oss.objects["bucket"]) == 5


def test_first_requests_of_a_process(
    ecs_metadata: FakeMetadataServer,
    ecs_oss: FakeOss,
    provider: EcsRamRoleCredentialsProvider,
    start_polling: Callable[[], None],
) -> None:
    ecs_metadata.hang()
    start_polling()
    asyncio.run(five_requests_during_a_hang(ecs_metadata, ecs_oss, provider))
    assert ecs_oss.refused == []


def test_requests_with_valid_credentials(
    ecs_metadata: FakeMetadataServer,
    ecs_oss: FakeOss,
    provider: EcsRamRoleCredentialsProvider,
    start_polling: Callable[[], None],
) -> None:
    """They do not even wait for the refresh that is in progress."""

    async def run() -> None:
        old = await provider.get_credentials_async()
        start_polling()
        ecs_metadata.hang()
        async with client_for(ecs_oss, provider) as client, heartbeat() as heart:
            refresh = asyncio.create_task(provider.refresh_async())
            await heart.turns(TURNS)
            for number in range(5):
                await put(client, f"{number}.png")
            assert provider.status().is_refreshing  # through all of them
            assert {request.access_key_id for request in ecs_oss.requests} == {old.access_key_id}
            ecs_metadata.recover()
            await refresh

    asyncio.run(run())


class SixHoursAgo(VirtualClock):
    """Is right after the six hours of the test: the client signs with the time of day."""

    def __init__(self) -> None:
        super().__init__(datetime.now(timezone.utc) - timedelta(hours=6))


@pytest.mark.ecs_metadata(clock=SixHoursAgo)
def test_requests_after_expiration(
    ecs_metadata: FakeMetadataServer,
    ecs_oss: FakeOss,
    provider: EcsRamRoleCredentialsProvider,
    start_polling: Callable[[], None],
) -> None:
    old = provider.get_credentials()
    ecs_metadata.advance(6 * 3600)
    assert old.is_expired()
    ecs_metadata.hang()
    start_polling()
    asyncio.run(five_requests_during_a_hang(ecs_metadata, ecs_oss, provider))
    assert ecs_oss.refused == []


def test_requests_after_a_refusal(
    ecs_metadata: FakeMetadataServer,
    ecs_oss: FakeOss,
    provider: EcsRamRoleCredentialsProvider,
    start_polling: Callable[[], None],
) -> None:
    """OSS refuses what the service has ended; the client waits for others, and sends again."""
    provider.get_credentials()
    ecs_metadata.expire()
    start_polling()
    ecs_metadata.hang()
    asyncio.run(five_requests_during_a_hang(ecs_metadata, ecs_oss, provider))
    assert {request.code for request in ecs_oss.refused} == {"SecurityTokenExpired"}


def test_a_body_that_can_be_read_once_is_sent_by_a_cold_process(
    ecs_oss: FakeOss, provider: EcsRamRoleCredentialsProvider
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield CONTENT

    async def run() -> None:
        async with client_for(ecs_oss, provider) as client:
            await put(client, "cat.png", parts())

    asyncio.run(run())
    assert ecs_oss.objects["bucket"]["cat.png"].content == CONTENT


def test_the_providers_error_is_the_cause(
    ecs_metadata: FakeMetadataServer, ecs_oss: FakeOss, provider: EcsRamRoleCredentialsProvider
) -> None:
    ecs_metadata.detach()

    async def run() -> None:
        async with client_for(ecs_oss, provider, retry_max_attempts=1) as client:
            await put(client, "cat.png")

    with pytest.raises(oss_v2.exceptions.OperationError, match="RAM role") as caught:
        asyncio.run(run())
    assert isinstance(caught.value.unwrap(), oss_v2.exceptions.CredentialsFetchError)
    assert isinstance(caught.value.unwrap().__cause__, errors.NoRoleAttachedError)
    assert ecs_oss.requests == []


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_presigned_urls_and_both_signature_versions(
    ecs_oss: FakeOss, provider: EcsRamRoleCredentialsProvider, version: str
) -> None:
    async def run() -> str:
        async with client_for(ecs_oss, provider, signature_version=version) as client:
            await put(client, "cat.png")
            got = oss_v2.GetObjectRequest(bucket="bucket", key="cat.png")
            return str((await client.presign(got)).url)

    assert requests.get(asyncio.run(run()), timeout=300).content == CONTENT
    assert ecs_oss.refused == []


def test_the_clients_own_limits_of_presigned_urls_hold(
    ecs_oss: FakeOss, provider: EcsRamRoleCredentialsProvider
) -> None:
    async def run() -> None:
        async with client_for(ecs_oss, provider) as client:
            await put(client, "cat.png")
            got = oss_v2.GetObjectRequest(bucket="bucket", key="cat.png")
            await client.presign(got, expires=timedelta(days=8))

    with pytest.raises(oss_v2.exceptions.PresignExpirationError):
        asyncio.run(run())


def test_presigning_waits_for_nothing(
    ecs_metadata: FakeMetadataServer, ecs_oss: FakeOss, provider: EcsRamRoleCredentialsProvider
) -> None:
    ecs_metadata.hang()

    async def run() -> None:
        async with client_for(ecs_oss, provider, retry_max_attempts=1) as client:
            await client.presign(oss_v2.GetObjectRequest(bucket="bucket", key="cat.png"))

    with pytest.raises(oss_v2.exceptions.OperationError, match="fetched in the background"):
        asyncio.run(run())
    ecs_metadata.recover()
