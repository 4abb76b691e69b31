"""alibabacloud-oss-v2 takes a provider as it is, in both its clients."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator

import pytest
from support.plain_http import wait_until
from support.rotation import (
    RecordingOss,
    assert_no_secret_in,
    sign_through_a_rotation,
    sign_through_a_rotation_async,
)

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import alibabacloud_oss_v2 as oss_v2
    import alibabacloud_oss_v2.aio as oss_v2_aio

CONTENT = b"signed and read"
OBJECT = oss_v2.GetObjectRequest(bucket="bucket", key="folder/key")


@pytest.fixture
def oss(
    ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> Iterator[RecordingOss]:
    with RecordingOss(ecs_metadata) as oss:
        put = oss_v2.PutObjectRequest(bucket="bucket", key="folder/key", body=CONTENT)
        oss_v2.Client(config(oss, provider)).put_object(put)
        yield oss


def config(oss: RecordingOss, provider: EcsRamRoleCredentialsProvider) -> oss_v2.config.Config:
    config = oss_v2.config.load_default()
    config.credentials_provider = provider
    config.region = oss.region
    config.endpoint = oss.endpoint
    return config


def test_through_a_rotation(
    oss: RecordingOss, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    client = oss_v2.Client(config(oss, provider))

    def call() -> None:
        with client.get_object(OBJECT).body as body:
            assert body.read() == CONTENT

    sign_through_a_rotation(call, ecs_metadata, provider, oss.signers)
    assert oss.refused == []
    assert_no_secret_in(oss.received, ecs_metadata)


def test_through_a_rotation_in_coroutines(
    oss: RecordingOss, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    async def run() -> None:
        async with oss_v2_aio.AsyncClient(config(oss, provider)) as client:

            async def call() -> None:
                async with (await client.get_object(OBJECT)).body as body:
                    assert await body.read() == CONTENT

            await sign_through_a_rotation_async(call, ecs_metadata, provider, oss.signers)

    asyncio.run(run())
    assert oss.refused == []
    assert_no_secret_in(oss.received, ecs_metadata)


def test_polling_keeps_the_event_loop_free(
    oss: RecordingOss, ecs_metadata: FakeMetadataServer
) -> None:
    """The client asks for credentials on the event loop, which must not wait for the service."""
    provider = EcsRamRoleCredentialsProvider(deadline=60)

    async def run() -> None:
        async with oss_v2_aio.AsyncClient(config(oss, provider)) as client:

            async def call() -> None:
                async with (await client.get_object(OBJECT)).body as body:
                    assert await body.read() == CONTENT

            old = await provider.get_credentials_async()
            ecs_metadata.rotate()
            ecs_metadata.hang()
            refreshing = asyncio.create_task(asyncio.to_thread(provider.refresh))
            await asyncio.to_thread(wait_until, lambda: provider.status().is_refreshing)
            await asyncio.gather(*(call() for _ in range(24)))
            assert provider.status().is_refreshing  # the service has hung through all of them
            assert set(oss.signers()[-24:]) == {old.access_key_id}
            ecs_metadata.recover()
            new = await refreshing
            await call()
            assert oss.signers()[-1] == new.access_key_id != old.access_key_id

    with provider.polling():
        asyncio.run(run())
    assert oss.refused == []
