"""What "Use it with asyncio" says of the SDK's own asyncio client: it stops the event loop."""

from __future__ import annotations

import asyncio
import threading
import warnings

import pytest

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import alibabacloud_oss_v2 as oss
    from alibabacloud_oss_v2.aio import AsyncClient


class Watched(EcsRamRoleCredentialsProvider):
    """Counts the turns that the event loop makes before and during each call."""

    turns = 0
    calls: list[tuple[int, int, int]]

    def get_credentials(self) -> Credentials:
        before = self.turns
        try:
            return super().get_credentials()
        finally:
            self.calls.append((threading.get_ident(), before, self.turns))


def test_the_loop_does_not_turn_while_the_sdks_client_waits(
    ecs_metadata: FakeMetadataServer, ecs_oss: FakeOss
) -> None:
    provider = Watched()
    provider.calls = []
    ecs_metadata.hang()
    config = oss.config.Config(
        credentials_provider=provider,
        region=ecs_oss.region,
        endpoint=ecs_oss.endpoint,
        retry_max_attempts=1,
    )

    async def turn() -> None:
        while True:
            provider.turns += 1
            await asyncio.sleep(0)

    async def run() -> None:
        task = asyncio.create_task(turn())
        async with AsyncClient(config) as client:
            with pytest.raises(oss.exceptions.OperationError, match="metadata service"):
                await client.get_object(oss.GetObjectRequest(bucket="bucket", key="key"))
        task.cancel()

    asyncio.run(run())
    ((thread, before, after),) = provider.calls
    assert thread == threading.get_ident()  # the thread of the event loop
    assert before == after  # through the whole deadline
