"""The same of every client: rotations, invalidation, an unreachable metadata service, refusals."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

import pytest
from support import documents
from support.clients import ASYNC, HEALS_NEXT, RETRIES, SYNC, Build, BuildAsync
from support.rotation import (
    assert_no_secret_in,
    check_nothing_outlives_invalidate,
    check_unreachable_is_told_of,
    sign_through_a_rotation,
    sign_through_a_rotation_async,
    texts,
)

from ecs_role_creds import EcsRamRoleCredentialsProvider, errors
from ecs_role_creds.testing import FakeMetadataServer

pytestmark = [
    # The SDKs' own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*considered unstable"),
]


def parametrized(builds: Mapping[str, object], names: Iterable[str] | None = None):
    chosen = [name for name in builds if names is None or name in names]
    return pytest.mark.parametrize(
        "build", [pytest.param(builds[name], id=name) for name in chosen]
    )


@parametrized(SYNC)
def test_through_a_rotation(
    build: Build, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    with build(ecs_metadata, provider) as (service, call):
        sign_through_a_rotation(call, ecs_metadata, provider, service.signers)
        assert list(service.refused) == []
        assert_no_secret_in(service.received, ecs_metadata)


@parametrized(ASYNC)
def test_through_a_rotation_in_coroutines(
    build: BuildAsync, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    async def run() -> None:
        async with build(ecs_metadata, provider) as (service, call):
            await sign_through_a_rotation_async(call, ecs_metadata, provider, service.signers)
            assert list(service.refused) == []
            assert_no_secret_in(service.received, ecs_metadata)

    asyncio.run(run())


@parametrized(SYNC)
def test_nothing_is_kept_longer_than_the_provider_keeps_it(
    build: Build, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    with build(ecs_metadata, provider) as client:
        check_nothing_outlives_invalidate(client, ecs_metadata, provider)


@parametrized(ASYNC)
def test_nothing_is_kept_longer_in_coroutines(
    build: BuildAsync, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    async def run() -> None:
        async with build(ecs_metadata, provider) as (service, call):
            await call()
            old = provider.get_credentials()
            ecs_metadata.rotate()
            provider.invalidate(old)
            sent = len(service.signers())
            await call()
            assert set(service.signers()[sent:]) == {provider.get_credentials().access_key_id}

    asyncio.run(run())


@parametrized(SYNC)
def test_an_unreachable_metadata_service_is_told_of(
    build: Build, ecs_metadata: FakeMetadataServer
) -> None:
    check_unreachable_is_told_of(build, ecs_metadata)


@parametrized(ASYNC)
def test_an_unreachable_metadata_service_is_told_of_in_coroutines(
    build: BuildAsync, ecs_metadata: FakeMetadataServer
) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=30.0)
    ecs_metadata.stop()
    with pytest.raises(errors.MetadataUnreachableError) as expected:
        provider.get_credentials()

    async def run() -> str:
        async with build(ecs_metadata, provider) as (service, call):
            with pytest.raises(Exception) as raised:  # noqa: PT011 (each client has its own)
                await call()
            assert service.received == []
            return texts(raised.value)

    assert str(expected.value) in asyncio.run(run())


@parametrized(SYNC, RETRIES)
def test_a_refused_token_is_replaced_and_the_request_sent_again(
    build: Build, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    with build(ecs_metadata, provider) as (service, call):
        call()
        ecs_metadata.expire()
        call()
        assert len(service.refused) == 1
        assert service.signers()[-1] == provider.get_credentials().access_key_id
        assert documents(ecs_metadata) == 2


@parametrized(ASYNC, RETRIES)
def test_a_refused_token_is_replaced_in_coroutines(
    build: BuildAsync, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    async def run() -> None:
        async with build(ecs_metadata, provider) as (service, call):
            await call()
            ecs_metadata.expire()
            await call()
            assert len(service.refused) == 1
            assert documents(ecs_metadata) == 2

    asyncio.run(run())


@parametrized(SYNC, HEALS_NEXT)
def test_a_refused_token_is_replaced_for_the_next_request(
    build: Build, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    with build(ecs_metadata, provider) as (service, call):
        call()
        ecs_metadata.expire()
        with pytest.raises(Exception, match="SecurityTokenExpired"):
            call()
        call()
        assert len(service.refused) == 1
        assert documents(ecs_metadata) == 2


@parametrized(SYNC, {*RETRIES, *HEALS_NEXT})
def test_not_allowed_is_no_refusal_of_the_token(
    build: Build, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    with build(ecs_metadata, provider) as (service, call):
        call()
        sent = len(service.received)
        service.denies = True
        with pytest.raises(Exception, match="AccessDenied"):
            call()
        assert len(service.received) == sent + 1
        service.denies = False
        call()
        assert documents(ecs_metadata) == 1


@parametrized(SYNC, {*RETRIES, *HEALS_NEXT})
def test_a_late_refusal_leaves_newer_credentials_alone(
    build: Build, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    with build(ecs_metadata, provider) as (service, call):
        call()
        ecs_metadata.expire()
        service.when_refused = provider.refresh  # another thread's, during the response
        with contextlib.suppress(Exception):
            call()
        call()
        assert len(service.refused) == 1
        assert documents(ecs_metadata) == 2
