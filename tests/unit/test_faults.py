"""The fault controls that the fakes share."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from ecs_role_creds.testing.exchange import Request
from ecs_role_creds.testing.metadata.service import ROLE_PATH, FakeMetadataService

FAULTS = 3000
ROLE = Request("GET", ROLE_PATH, {})
OTHER = Request("GET", "/latest/meta-data/region-id", {})


@pytest.fixture
def frantic_switching() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("frantic_switching")
def test_no_fault_is_lost_under_load() -> None:
    service = FakeMetadataService()
    added = threading.Event()

    def serve() -> None:
        while not added.is_set():
            service.handle(OTHER)

    servers = [threading.Thread(target=serve) for _ in range(3)]
    for server in servers:
        server.start()
    for _ in range(FAULTS):
        service.delay(1.0, times=1, on="role")
    added.set()
    for server in servers:
        server.join()
    assert service.handle(ROLE).delay == FAULTS  # delays add up
    assert service.handle(ROLE).delay == 0


def test_a_fault_counts_requests_of_its_kind_only() -> None:
    service = FakeMetadataService()
    service.fail(503, times=2, on="role")
    statuses = [service.handle(one).status for one in (OTHER, ROLE, OTHER, ROLE, ROLE)]
    assert statuses == [200, 503, 200, 503, 200]
