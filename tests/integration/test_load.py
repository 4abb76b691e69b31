"""Many threads and tasks through rotations: nothing torn, nothing expired, nobody failed."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator

import aiohttp
import oss2
import pytest
import yarl
from oss2.credentials import StaticCredentialsProvider
from support import documents

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss

THREADS = 256
TASKS = 1000
LIFE = 8.0
DURATION = 6.0  # past one rotation at least
PAUSE = 0.005
REQUESTS_EACH = 3  # to the fake OSS


@pytest.fixture(params=[0.005, 1e-6], ids=["usual switching", "frantic switching"])
def switch_interval(request: pytest.FixtureRequest) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def server() -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer(life=LIFE) as server:
        yield server


@pytest.fixture
def oss(server: FakeMetadataServer) -> Iterator[FakeOss]:
    with FakeOss(server) as oss:
        yield oss


@pytest.fixture
def provider(server: FakeMetadataServer) -> EcsRamRoleCredentialsProvider:
    return EcsRamRoleCredentialsProvider(endpoint=server.endpoint, deadline=10)


def is_torn(server: FakeMetadataServer, credentials: Credentials) -> bool:
    issued = server.find_issued(credentials.access_key_id)
    parts = (credentials.access_key_secret, credentials.security_token)
    return issued is None or (issued.access_key_secret, issued.security_token) != parts


@pytest.mark.slow
@pytest.mark.usefixtures("switch_interval")
def test_256_threads_through_a_rotation(
    server: FakeMetadataServer, oss: FakeOss, provider: EcsRamRoleCredentialsProvider
) -> None:
    torn: list[object] = []
    failed: list[BaseException] = []
    auth = oss2.ProviderAuthV4(provider)
    begin = time.monotonic()

    def work(number: int) -> None:
        bucket = oss2.Bucket(auth, oss.endpoint, "bucket", region=oss.region)
        for turn in range(REQUESTS_EACH):
            until = begin + (turn + number / THREADS) * DURATION / REQUESTS_EACH
            while time.monotonic() < until:
                credentials = provider.get_credentials()
                if is_torn(server, credentials):
                    torn.append(credentials)
                time.sleep(PAUSE)
            bucket.put_object(str(number), b"signed")

    def report(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=report, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (torn, failed, oss.refused) == ([], [], [])
    assert len(oss.requests) == THREADS * REQUESTS_EACH
    assert len({one.access_key_id for one in oss.requests}) >= 2
    assert documents(server) < 60


@pytest.mark.slow
def test_1000_tasks_through_a_rotation(
    server: FakeMetadataServer, oss: FakeOss, provider: EcsRamRoleCredentialsProvider
) -> None:
    torn: list[object] = []

    def presign(credentials: Credentials) -> yarl.URL:
        parts = (
            credentials.access_key_id,
            credentials.access_key_secret,
            credentials.security_token,
        )
        auth = oss2.ProviderAuthV4(StaticCredentialsProvider(*parts))
        bucket = oss2.Bucket(auth, oss.endpoint, "bucket", region=oss.region)
        return yarl.URL(bucket.sign_url("GET", "object", 60), encoded=True)

    async def work(session: aiohttp.ClientSession, begin: float, number: int) -> None:
        until = begin + DURATION * number / TASKS
        while time.monotonic() < until:
            credentials = await provider.get_credentials_async()
            if is_torn(server, credentials):
                torn.append(credentials)
            await asyncio.sleep(PAUSE * 20)
        credentials = await provider.get_credentials_async()
        async with session.get(presign(credentials)) as answer:
            assert (answer.status, await answer.text()) == (200, "signed")

    async def main() -> None:
        begin = time.monotonic()
        connector = aiohttp.TCPConnector(limit=20)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(work(session, begin, number) for number in range(TASKS)))

    auth = oss2.ProviderAuthV4(provider)
    oss2.Bucket(auth, oss.endpoint, "bucket", region=oss.region).put_object("object", b"signed")
    asyncio.run(main())
    assert (torn, oss.refused) == ([], [])
    assert len(oss.requests) == 1 + TASKS
    assert len({one.access_key_id for one in oss.requests}) >= 2
    assert documents(server) < 60


def test_1000_tasks_share_one_fetch(
    server: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    async def main() -> None:
        calls = (provider.get_credentials_async() for _ in range(TASKS))
        everybody = await asyncio.gather(*calls)
        assert len({id(credentials) for credentials in everybody}) == 1
        assert server.is_valid(everybody[0])

    server.delay(0.05)
    asyncio.run(main())
    assert documents(server) == 1
