"""What every client has to stand: eight callers that sign while the role's token rotates."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest

from ecs_role_creds import EcsRamRoleCredentialsProvider, errors
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import Request
from support.client import Client

CALLERS = 8
CALLS = 3
LONG = 300.0

Signers = Callable[[], Sequence["str | None"]]
"""The AccessKey ids of the requests that a service has verified so far; ``None``: refused."""


def sign_through_a_rotation(
    call: Callable[[], object],
    metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
    signers: Signers,
) -> None:
    """Have eight threads sign before, during and after a rotation.

    Args:
        call: Sends one request or more; raises if one is refused.
        metadata: Who issues the credentials.
        provider: Where the client takes them from.
        signers: Who signed the requests that the service has received so far.
    """
    old = provider.get_credentials().access_key_id
    rotated, started = threading.Event(), threading.Semaphore(0)

    def call_until_rotated() -> None:
        try:
            call()
        finally:
            started.release()
        while not rotated.is_set():
            call()

    with ThreadPoolExecutor(CALLERS) as pool:
        for done in [pool.submit(call) for _ in range(CALLERS * CALLS)]:
            done.result(LONG)
        working = [pool.submit(call_until_rotated) for _ in range(CALLERS)]
        for _ in working:
            assert started.acquire(timeout=LONG)
        metadata.rotate()
        new = provider.refresh().access_key_id
        rotated.set()
        for done in working:
            done.result(LONG)
        sent_before = len(signers())
        for done in [pool.submit(call) for _ in range(CALLERS * CALLS)]:
            done.result(LONG)
    _check(signers(), sent_before, old, new)


async def sign_through_a_rotation_async(
    call: Callable[[], Awaitable[object]],
    metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
    signers: Signers,
) -> None:
    """The same with eight tasks in one event loop."""
    old = (await provider.get_credentials_async()).access_key_id
    rotated, started = asyncio.Event(), asyncio.Semaphore(0)

    async def call_until_rotated() -> None:
        try:
            await call()
        finally:
            started.release()
        while not rotated.is_set():
            await call()

    await asyncio.gather(*(call() for _ in range(CALLERS * CALLS)))
    working = [asyncio.create_task(call_until_rotated()) for _ in range(CALLERS)]
    for _ in working:
        await asyncio.wait_for(started.acquire(), LONG)
    metadata.rotate()
    new = (await asyncio.to_thread(provider.refresh)).access_key_id
    rotated.set()
    await asyncio.wait_for(asyncio.gather(*working), LONG)
    sent_before = len(signers())
    await asyncio.gather(*(call() for _ in range(CALLERS * CALLS)))
    _check(signers(), sent_before, old, new)


def _check(signers: Sequence[str | None], sent_before: int, old: str, new: str) -> None:
    assert new != old
    assert old in signers[:sent_before]
    assert set(signers[:sent_before]) <= {old, new}
    assert len(signers) - sent_before >= CALLERS * CALLS
    assert set(signers[sent_before:]) == {new}


def check_nothing_outlives_invalidate(
    client: Client, metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    """Check that the request after ``invalidate()`` is signed with the new credentials."""
    client.call()
    old = provider.get_credentials()
    metadata.rotate()
    provider.invalidate(old)
    sent = len(client.service.signers())
    client.call()
    after = set(client.service.signers()[sent:])
    assert after == {provider.get_credentials().access_key_id}
    assert old.access_key_id not in after


def check_unreachable_is_told_of(
    build: Callable[..., AbstractContextManager[Client]], metadata: FakeMetadataServer
) -> None:
    """Check that the error of a client has the message of the provider's in it."""
    provider = EcsRamRoleCredentialsProvider(deadline=30.0)
    metadata.stop()
    with pytest.raises(errors.MetadataUnreachableError) as expected:
        provider.get_credentials()
    with build(metadata, provider) as client:
        with pytest.raises(Exception) as raised:  # noqa: PT011 (each client has its own)
            client.call()
        assert client.service.received == []
    assert str(expected.value) in texts(raised.value)


def texts(error: BaseException) -> str:
    """The messages of an error and of all that it came from."""
    told: list[str] = []
    link: BaseException | None = error
    while link is not None:
        # The second is what the product SDKs keep the error in that they caught.
        told += [str(link), str(getattr(link, "inner_exception", ""))]
        link = link.__cause__ or link.__context__
    return "\n".join(told)


def assert_no_secret_in(received: Sequence[Request], metadata: FakeMetadataServer) -> None:
    """Check that no request shows the secret it was signed with."""
    assert received
    sent = "\n".join(f"{one.method} {one.path} {one.headers} {one.body!r}" for one in received)
    for issued in metadata.issued:
        assert issued.access_key_secret not in sent
    assert any(issued.access_key_id in sent for issued in metadata.issued)
