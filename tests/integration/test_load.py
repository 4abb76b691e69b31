"""Many threads and tasks through rotations: nothing torn, nothing expired, nobody failed or waited.

Time leaps to where a rotation is due, and the test then waits for everybody to use the new token.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator

import aiohttp
import oss2
import pytest
import yarl
from oss2.credentials import StaticCredentialsProvider
from support import documents, oss_tasks
from support.faults import Ageing
from support.plain_http import wait_until

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer, FakeOss

THREADS = 256
TASKS = 1000
PAUSE = 0.1
IN_THE_WINDOW = 600.0
"""Seconds of life left: the service has rotated, and a refresh is due."""
DEADLINE = 60.0
LONG = 500.0
"""Only against hanging: 256 threads switch frantically, and the machine may be busy."""

TOKENS = 3
"""The first one; another after a refresh in the background; another after that one's end."""


@pytest.fixture(params=[0.005, 1e-6], ids=["usual switching", "frantic switching"])
def switch_interval(request: pytest.FixtureRequest) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def ageing() -> Ageing:
    return Ageing()


@pytest.fixture
def server(ageing: Ageing) -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer(clock=ageing.time) as server:
        yield server


@pytest.fixture
def oss(server: FakeMetadataServer) -> Iterator[FakeOss]:
    with oss_tasks.oss_with_object(server) as oss:
        yield oss


@pytest.fixture
def provider(server: FakeMetadataServer, ageing: Ageing) -> EcsRamRoleCredentialsProvider:
    return EcsRamRoleCredentialsProvider(
        endpoint=server.endpoint,
        deadline=DEADLINE,
        runtime=Runtime(clock=ageing.clock, wall_clock=ageing.wall_clock),
    )


class Callers:
    """What callers of a provider saw, each by its number."""

    def __init__(self, server: FakeMetadataServer, count: int) -> None:
        self._server = server
        self.calls = [0] * count
        self.used: list[list[str]] = [[] for _ in range(count)]
        """The AccessKey ids that each caller has used, in order."""
        self.torn: list[Credentials] = []
        self.expired: list[Credentials] = []

    def is_over(self, number: int) -> bool:
        return len(self.used[number]) >= TOKENS

    def have_used(self, tokens: int) -> bool:
        return all(len(used) >= tokens for used in self.used)

    def have_called_since(self, calls: list[int]) -> bool:
        """Whether each has made a whole call since, whatever it was at then."""
        return all(now >= before + 2 for now, before in zip(self.calls, calls, strict=True))

    def take(self, number: int, credentials: Credentials, asked_at: float) -> bool:
        """Look at what a call returned; whether this caller sees that token for the first time."""
        issued = self._server.find_issued(credentials.access_key_id)
        parts = (credentials.access_key_secret, credentials.security_token)
        if issued is None or (issued.access_key_secret, issued.security_token) != parts:
            self.torn.append(credentials)
        elif asked_at >= issued.expiration.timestamp():
            self.expired.append(credentials)
        self.calls[number] += 1
        return credentials.access_key_id not in self.used[number]

    def check(self, server: FakeMetadataServer, oss: FakeOss) -> None:
        assert (self.torn, self.expired, oss.refused) == ([], [], [])
        in_order = [one.access_key_id for one in server.issued]
        assert len(in_order) == TOKENS
        assert all(used == in_order for used in self.used), "somebody got an older token again"
        assert documents(server) == TOKENS


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 (what it waits for has no event)
        await asyncio.sleep(PAUSE)


def is_held_up(provider: EcsRamRoleCredentialsProvider) -> bool:
    """Whether a fetch is in progress that the service does not answer."""
    status = provider.status()
    return status.is_refreshing and status.failures == 0


@pytest.mark.slow
@pytest.mark.usefixtures("switch_interval")
def test_256_threads_through_rotations(
    server: FakeMetadataServer,
    oss: FakeOss,
    provider: EcsRamRoleCredentialsProvider,
    ageing: Ageing,
) -> None:
    callers = Callers(server, THREADS)
    failed: list[BaseException] = []
    auth = oss2.ProviderAuthV4(provider)

    def work(number: int) -> None:
        bucket = oss2.Bucket(auth, oss.endpoint, "bucket", connect_timeout=LONG, region=oss.region)
        while not callers.is_over(number) and not failed:
            asked_at = ageing.time()
            credentials = provider.get_credentials()
            if callers.take(number, credentials, asked_at):
                if number % TOKENS == len(callers.used[number]):  # each asks OSS once
                    bucket.put_object(str(number), b"signed")
                callers.used[number].append(credentials.access_key_id)
            time.sleep(PAUSE)

    def report(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failed.append(error)

    def wait_for_tokens(tokens: int) -> None:
        wait_until(lambda: bool(failed) or callers.have_used(tokens), LONG)

    threads = [threading.Thread(target=report, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        wait_for_tokens(1)

        # All are served while the refresh that one of them has begun is not answered.
        server.hang(on="document")
        ageing.leap(provider.status().expires_in - IN_THE_WINDOW)
        wait_until(lambda: documents(server) == 2, LONG)
        calls = callers.calls.copy()
        wait_until(lambda: bool(failed) or callers.have_called_since(calls), LONG)
        assert is_held_up(provider)
        server.recover()
        wait_for_tokens(2)

        # All wait for one fetch where there is nothing valid.
        ageing.leap(provider.status().expires_in + 2)
        wait_for_tokens(3)
    except BaseException as error:
        failed.append(error)
        server.recover()
    for thread in threads:
        thread.join(LONG)
    assert failed == []
    callers.check(server, oss)
    assert len(oss.requests) == THREADS


@pytest.mark.slow
def test_1000_tasks_through_rotations(
    server: FakeMetadataServer,
    oss: FakeOss,
    provider: EcsRamRoleCredentialsProvider,
    ageing: Ageing,
) -> None:
    callers = Callers(server, TASKS)

    def presign(credentials: Credentials) -> yarl.URL:
        parts = (
            credentials.access_key_id,
            credentials.access_key_secret,
            credentials.security_token,
        )
        auth = oss2.ProviderAuthV4(StaticCredentialsProvider(*parts))
        bucket = oss2.Bucket(auth, oss.endpoint, "bucket", connect_timeout=LONG, region=oss.region)
        return yarl.URL(bucket.sign_url("GET", "object", 60), encoded=True)

    async def work(session: aiohttp.ClientSession, number: int) -> None:
        while not callers.is_over(number):
            asked_at = ageing.time()
            credentials = await provider.get_credentials_async()
            if callers.take(number, credentials, asked_at):
                if number % TOKENS == len(callers.used[number]):  # each asks OSS once
                    async with session.get(presign(credentials)) as answer:
                        assert (answer.status, await answer.text()) == (200, oss_tasks.CONTENT)
                callers.used[number].append(credentials.access_key_id)
            await asyncio.sleep(PAUSE)

    async def rotate() -> None:
        await until(lambda: callers.have_used(1))
        server.hang(on="document")
        ageing.leap(provider.status().expires_in - IN_THE_WINDOW)
        await until(lambda: documents(server) == 2)
        calls = callers.calls.copy()
        await until(lambda: callers.have_called_since(calls))
        assert is_held_up(provider)
        server.recover()
        await until(lambda: callers.have_used(2))
        ageing.leap(provider.status().expires_in + 2)

    async def main() -> None:
        connector, timeout = aiohttp.TCPConnector(limit=20), aiohttp.ClientTimeout(LONG)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            tasks = [asyncio.create_task(work(session, number)) for number in range(TASKS)]
            try:
                await asyncio.wait_for(asyncio.gather(*tasks, rotate()), LONG)
            finally:
                server.recover()

    asyncio.run(main())
    callers.check(server, oss)
    assert len(oss.requests) == TASKS


def test_1000_tasks_share_one_fetch(
    server: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    async def main() -> None:
        calls = [asyncio.create_task(provider.get_credentials_async()) for _ in range(TASKS)]
        await asyncio.sleep(0)  # each of them has called
        server.recover()
        everybody = await asyncio.gather(*calls)
        assert len({id(credentials) for credentials in everybody}) == 1
        assert server.is_valid(everybody[0])

    server.hang(on="document")
    asyncio.run(main())
    assert documents(server) == 1
