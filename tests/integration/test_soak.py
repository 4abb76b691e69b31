"""A month of six-hour tokens on a virtual clock; and, by ``make soak``, ten real minutes."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc

import pytest
import responses

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer, VirtualClock, fake_metadata

SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))


def run_at_once(work: object) -> bool:
    work()  # type: ignore[operator]
    return True


@responses.activate
def test_a_month_of_six_hour_tokens() -> None:
    clock = VirtualClock()
    service = fake_metadata(role="app-role", clock=clock)
    provider = EcsRamRoleCredentialsProvider(
        "app-role", runtime=Runtime(clock=clock, start_thread=run_at_once)
    )
    for _ in range(30 * 24 * 60):
        assert service.is_valid(provider.get_credentials())
        clock.advance(60)
    rotations = provider.status().rotations
    assert rotations == len(service.issued)
    assert 30 * 24 / 6 <= rotations <= 30 * 24 / 5.5 + 1
    documents = [one for one in service.requests if one.path.endswith("app-role")]
    # Asked within the window, where the service has rotated already: a request a rotation.
    assert len(documents) <= rotations * 1.5


@pytest.mark.soak
def test_nothing_grows() -> None:
    with FakeMetadataServer(life=2) as server:
        provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint, deadline=10)

        def run_for(seconds: float) -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                assert server.is_valid(provider.get_credentials())
                time.sleep(0.01)
                # The server's records grow by design.
                del server.requests[:-10], server.issued[:-10]

        run_for(min(5.0, SOAK_SECONDS / 5))
        tracemalloc.start()
        memory, files = tracemalloc.get_traced_memory()[0], len(os.listdir("/proc/self/fd"))
        threads = threading.active_count()
        run_for(SOAK_SECONDS)
        grown = tracemalloc.get_traced_memory()[0] - memory
        tracemalloc.stop()
        assert grown < 1024 * 1024
        assert threading.active_count() <= threads + 1  # a fetch may be in progress
        assert len(os.listdir("/proc/self/fd")) <= files + 1
        print(f"{provider.status().rotations} rotations, {grown} bytes grown")
