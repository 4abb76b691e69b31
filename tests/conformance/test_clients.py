"""The same checks of the fake service through three clients that have nothing in common."""

from __future__ import annotations

import http.client
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer, VirtualClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from alibabacloud_credentials.http import HttpOptions
    from alibabacloud_credentials.provider import ecs_ram_role as alibabacloud

ROLE_PATH = "/latest/meta-data/ram/security-credentials/"


class Parts(NamedTuple):
    access_key_id: str
    access_key_secret: str
    security_token: str


Fetch = Callable[[FakeMetadataServer], Parts]
"""Asks the service for credentials, with nothing cached; raises where there are none."""


def with_this_library(server: FakeMetadataServer) -> Parts:
    provider = EcsRamRoleCredentialsProvider(
        endpoint=server.endpoint, deadline=60, runtime=Runtime()
    )
    credentials = provider.get_credentials()
    return Parts(
        credentials.access_key_id, credentials.access_key_secret, credentials.security_token
    )


def with_alibabacloud_credentials(server: FakeMetadataServer) -> Parts:
    timeouts = HttpOptions(connect_timeout=60_000, read_timeout=60_000)  # its own are 1 s
    provider = alibabacloud.EcsRamRoleCredentialsProvider(
        async_update_enabled=False, http_options=timeouts
    )
    # It has no setting for this.
    host = server.endpoint.removeprefix("http://")
    provider._EcsRamRoleCredentialsProvider__metadata_service_host = host
    credentials = provider.get_credentials()
    return Parts(
        credentials.get_access_key_id(),
        credentials.get_access_key_secret(),
        credentials.get_security_token(),
    )


def with_http_client(server: FakeMetadataServer) -> Parts:
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=300)

    def ask(method: str, path: str, headers: dict[str, str]) -> str | None:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read().decode()
        return body if response.status == 200 else None

    try:
        token = ask(
            "PUT", "/latest/api/token", {"X-aliyun-ecs-metadata-token-ttl-seconds": "21600"}
        )
        headers = {"X-aliyun-ecs-metadata-token": token} if token else {}
        role = ask("GET", ROLE_PATH, headers)
        document = json.loads(ask("GET", f"{ROLE_PATH}{role}", headers) or "")
        return Parts(
            document["AccessKeyId"], document["AccessKeySecret"], document["SecurityToken"]
        )
    finally:
        connection.close()


@pytest.fixture(
    params=[with_this_library, with_alibabacloud_credentials, with_http_client],
    ids=lambda fetch: fetch.__name__,
)
def fetch(request: pytest.FixtureRequest) -> Fetch:
    fetch: Fetch = request.param
    return fetch


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def server(clock: VirtualClock) -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer(clock=clock) as server:
        yield server


def test_credentials_are_valid(fetch: Fetch, server: FakeMetadataServer) -> None:
    assert server.is_valid(fetch(server))
    assert server.requests[0].method == "PUT"


@pytest.mark.parametrize("mode", ["both", "hardening-only", "normal-only"])
def test_modes(fetch: Fetch, server: FakeMetadataServer, mode: str) -> None:
    server.mode = mode  # type: ignore[assignment]
    assert server.is_valid(fetch(server))


def test_rotation(fetch: Fetch, server: FakeMetadataServer, clock: VirtualClock) -> None:
    first = fetch(server)
    assert fetch(server) == first
    clock.advance(21600 - 1800)
    second = fetch(server)
    assert second != first
    assert server.is_valid(first)
    assert server.is_valid(second)
    clock.advance(1800)
    assert not server.is_valid(first)


def test_rotation_on_demand_and_expiration(fetch: Fetch, server: FakeMetadataServer) -> None:
    first = fetch(server)
    server.rotate()
    second = fetch(server)
    assert (server.is_valid(first), server.is_valid(second)) == (True, True)
    server.expire()
    assert (server.is_valid(first), server.is_valid(second)) == (False, False)
    assert server.is_valid(fetch(server))


def test_roles_come_and_go(
    fetch: Fetch, server: FakeMetadataServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    server.detach()
    with pytest.raises(Exception):  # noqa: B017, PT011 (each client has its own)
        fetch(server)
    server.attach("one")
    assert server.find_issued(fetch(server).access_key_id).role_name == "one"  # type: ignore[union-attr]
    server.swap("other")
    assert server.find_issued(fetch(server).access_key_id).role_name == "other"  # type: ignore[union-attr]


def test_idle_connections_may_be_closed(fetch: Fetch, server: FakeMetadataServer) -> None:
    fetch(server)
    server.close_idle_connections()
    assert server.is_valid(fetch(server))
