"""The same of every client: rotations, invalidation, an unreachable metadata service, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from support.clients import ASYNC, HEALS_THE_NEXT, RETRIES, SYNC
from support.rotation import (
    assert_no_secret_in,
    sign_through_a_rotation,
    sign_through_a_rotation_async,
)

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer

pytestmark = [
    # The SDKs' own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*considered unstable"),
]


def by_name(builds: dict[str, object], names: list[str] | None = None) -> list[object]:
    chosen = builds if names is None else {name: builds[name] for name in names if name in builds}
    return [pytest.param(build, id=name) for name, build in chosen.items()]


@pytest.mark.parametrize("build", by_name(SYNC))
def test_through_a_rotation(build, ecs_metadata, provider) -> None:
    with build(ecs_metadata, provider) as (service, call):
        sign_through_a_rotation(call, ecs_metadata, provider, service.signers)
        assert list(service.refused) == []
        assert_no_secret_in(service.received, ecs_metadata)


@pytest.mark.parametrize("build", by_name(ASYNC))
def test_through_a_rotation_in_coroutines(build, ecs_metadata, provider) -> None:
    async def run() -> None:
        async with build(ecs_metadata, provider) as (service, call):
            await sign_through_a_rotation_async(call, ecs_metadata, provider, service.signers)
            assert list(service.refused) == []
            assert_no_secret_in(service.received, ecs_metadata)

    asyncio.run(run())
