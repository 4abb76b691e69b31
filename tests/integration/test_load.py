"""Many threads and tasks through rotations: nothing torn, nothing expired, nobody failed."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator

import oss2
import pytest

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss

LIFE = 4.0
DURATION = 3.5  # past one rotation at least


@pytest.fixture(params=[0.005, 1e-6], ids=["usual switching", "frantic switching"])
def switch_interval(request: pytest.FixtureRequest) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
@pytest.mark.usefixtures("switch_interval")
def test_256_threads_through_a_rotation() -> None:
    torn: list[object] = []
    failed: list[BaseException] = []
    tokens: set[str] = set()
    with FakeMetadataServer(life=LIFE) as server:
        provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint, deadline=10)
        until = time.monotonic() + DURATION

        def work() -> None:
            while time.monotonic() < until:
                try:
                    credentials = provider.get_credentials()
                except BaseException as error:
                    failed.append(error)
                    return
                issued = server.find_issued(credentials.access_key_id)
                parts = (credentials.access_key_secret, credentials.security_token)
                if issued is None or (issued.access_key_secret, issued.security_token) != parts:
                    torn.append(credentials)
                tokens.add(credentials.access_key_id)
                time.sleep(0.005)

        threads = [threading.Thread(target=work) for _ in range(256)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        documents = [one for one in server.requests if one.path.endswith("/app-role")]
    assert (torn, failed) == ([], [])
    assert len(tokens) >= 2
    assert len(documents) < 60


def test_1000_tasks_share_one_fetch() -> None:
    async def main(server: FakeMetadataServer) -> None:
        provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint, deadline=10)
        calls = (provider.get_credentials_async() for _ in range(1000))
        everybody = await asyncio.gather(*calls)
        assert len({id(credentials) for credentials in everybody}) == 1
        assert server.is_valid(everybody[0])

    with FakeMetadataServer() as server:
        server.delay(0.05)
        asyncio.run(main(server))
        assert len(server.requests) == 3


@pytest.mark.slow
def test_every_signature_through_a_rotation_is_believed() -> None:
    failed: list[BaseException] = []
    with FakeMetadataServer(life=LIFE) as server, FakeOss(server) as oss:
        provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint, deadline=10)
        auth = oss2.ProviderAuthV4(provider)
        until = time.monotonic() + DURATION

        def work(number: int) -> None:
            bucket = oss2.Bucket(auth, oss.endpoint, "bucket", region=oss.region)
            try:
                while time.monotonic() < until:
                    bucket.put_object(str(number), b"x")
                    bucket.get_object(str(number)).read()
                    time.sleep(0.02)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (failed, oss.refused) == ([], [])
        assert len({one.access_key_id for one in oss.requests}) >= 2
