"""Two hundred clients, through rotations and an outage of the metadata service.

The clock stands still until the test moves it, so what is counted does not depend on how fast
this machine is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
from support import documents
from support.plain_http import ROLE_PATH, TOKEN_HEADER, TOKEN_PATH, TTL_HEADER, wait_until
from support.raw_http import PATIENCE
from support.sidecar import Sidecar, serve_process

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.provider import Runtime
from ecs_role_creds.retries import MAX_TRIES
from ecs_role_creds.serve.server import Limits
from ecs_role_creds.testing import FakeMetadataServer, VirtualClock

CLIENTS = 200
LIFE = 21600.0
IN_THE_WINDOW = LIFE - 600.0


class World(NamedTuple):
    """Everything on one clock."""

    clock: VirtualClock
    upstream: FakeMetadataServer
    sidecar: Sidecar
    pool: ThreadPoolExecutor


@pytest.fixture
def world() -> Iterator[World]:
    clock = VirtualClock()
    runtime = Runtime(
        clock=clock,
        wall_clock=lambda: datetime.fromtimestamp(clock(), timezone.utc),
        sleep=lambda seconds: None,
    )
    limits = Limits(request_seconds=600.0)
    with (
        FakeMetadataServer(life=LIFE, clock=clock) as upstream,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        provider = EcsRamRoleCredentialsProvider(
            endpoint=upstream.endpoint, deadline=60.0, runtime=runtime
        )
        with Sidecar(upstream, limits, provider=provider) as sidecar:
            yield World(clock, upstream, sidecar, pool)


def by_uri(sidecar: Sidecar) -> str:
    uri = sidecar.variables["ALIBABA_CLOUD_CREDENTIALS_URI"]
    response = requests.get(uri, timeout=PATIENCE)
    assert response.status_code == 200, response.text
    return str(response.json()["AccessKeyId"])


def by_metadata_protocol(sidecar: Sidecar) -> str:
    token = requests.put(
        sidecar.endpoint + TOKEN_PATH, headers={TTL_HEADER: "60"}, timeout=PATIENCE
    ).text
    response = requests.get(
        f"{sidecar.endpoint}{ROLE_PATH}app-role", headers={TOKEN_HEADER: token}, timeout=PATIENCE
    )
    assert response.status_code == 200, response.text
    return str(response.json()["AccessKeyId"])


def all_poll(world: World) -> set[str]:
    """Every client asks at once; the AccessKey ids that they got."""
    ways: list[Callable[[Sidecar], str]] = [by_uri, by_metadata_protocol]
    asked = [world.pool.submit(ways[n % 2], world.sidecar) for n in range(CLIENTS)]
    return {one.result(PATIENCE) for one in asked}


def wait_for(world: World, *, rotations: int | None = None, failures: int | None = None) -> None:
    """Wait for the fetch that the clients caused."""

    def has_come() -> bool:
        status = world.sidecar.provider.status()
        return (
            not status.is_refreshing
            and (rotations is None or status.rotations == rotations)
            and (failures is None or status.failures == failures)
        )

    wait_until(has_come, PATIENCE)


@pytest.mark.slow
def test_200_clients_through_an_outage(world: World) -> None:
    first = all_poll(world)
    assert first == {world.upstream.issued[0].access_key_id}
    assert documents(world.upstream) == 1  # one request, though all came at once

    world.clock.advance(IN_THE_WINDOW)
    assert all_poll(world) <= {one.access_key_id for one in world.upstream.issued}
    wait_for(world, rotations=2)
    assert all_poll(world) == {world.upstream.issued[1].access_key_id}
    assert documents(world.upstream) == 2

    world.upstream.fail(503, on="document")
    world.clock.advance(IN_THE_WINDOW)
    for failures in range(1, 6):
        served = all_poll(world)
        assert served == {world.upstream.issued[1].access_key_id}  # old, and valid
        wait_for(world, failures=failures)
        # A failed attempt tries again within itself; 200 clients make it one attempt.
        assert documents(world.upstream) == 2 + MAX_TRIES * failures
        world.clock.advance(60.0)  # the longest back-off
    asked = documents(world.upstream)

    world.upstream.recover()
    assert all_poll(world) <= {one.access_key_id for one in world.upstream.issued}
    wait_for(world, rotations=3, failures=0)
    assert all_poll(world) == {world.upstream.issued[2].access_key_id}
    assert documents(world.upstream) == asked + 1


@pytest.mark.slow
def test_nobody_is_served_expired_credentials(world: World) -> None:
    all_poll(world)
    world.upstream.fail(503, on="document")
    world.clock.advance(LIFE)
    uri = world.sidecar.variables["ALIBABA_CLOUD_CREDENTIALS_URI"]
    asked = [world.pool.submit(requests.get, uri, timeout=PATIENCE) for _ in range(CLIENTS)]
    assert {one.result(PATIENCE).status_code for one in asked} == {503}
    assert documents(world.upstream) == 1 + MAX_TRIES  # one attempt, whose failure all share
    world.upstream.recover()
    world.clock.advance(60.0)
    assert all_poll(world) == {world.upstream.issued[-1].access_key_id}


@pytest.mark.soak
def test_200_clients_poll_for_a_minute(tmp_path: Path) -> None:
    """The same with the command, on a real clock: the outage lies inside the refresh window."""
    with (
        FakeMetadataServer(life=120) as upstream,
        serve_process(tmp_path / "creds.env", upstream.endpoint) as served,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        uri = served.variables["ALIBABA_CLOUD_CREDENTIALS_URI"]
        begin = time.monotonic()

        def poll() -> set[int]:
            statuses = set()
            while time.monotonic() < begin + 90:
                statuses.add(requests.get(uri, timeout=PATIENCE).status_code)
                time.sleep(1.0)
            return statuses

        wait_until(lambda: requests.get(uri, timeout=PATIENCE).status_code == 200, PATIENCE)
        clients = [pool.submit(poll) for _ in range(CLIENTS)]
        time.sleep(50.0)
        upstream.fail(503)  # the window opens at 60 s
        time.sleep(25.0)
        assert served.metric("consecutive_failures") > 0
        upstream.recover()
        assert set().union(*(client.result() for client in clients)) == {200}
        wait_until(lambda: served.metric("rotations_total") == 2, PATIENCE)
        succeeded = served.metric("fetches_total")
        statuses = [one.status for one in upstream.requests if one.path.endswith("/app-role")]
        assert statuses.count(200) == succeeded
