"""aliyun-log-python-sdk takes a provider as it is."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from support.rotation import assert_no_secret_in, sign_through_a_rotation
from support.signed import SignedService, read_log_v1, read_log_v4

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import Request, Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aliyun.log import LogClient, LogItem, PutLogsRequest


def answer(request: Request, secret: str) -> Response:
    headers = {"x-log-requestid": "FAKE", "Content-Type": "application/json"}
    if request.method == "POST":
        return Response(200, b"", headers)
    listed = {"logstores": ["store"], "count": 1, "total": 1}
    return Response(200, json.dumps(listed).encode(), headers)


@pytest.fixture(params=["v1", "v4"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(version: str, ecs_metadata: FakeMetadataServer) -> Iterator[SignedService]:
    read = {"v1": read_log_v1, "v4": read_log_v4}[version]
    with SignedService(ecs_metadata, read, answer) as service:
        yield service


@pytest.fixture
def client(
    version: str,
    service: SignedService,
    provider: EcsRamRoleCredentialsProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    # Each project has a host name of its own: the service gets them all, as a proxy.
    monkeypatch.setenv("http_proxy", service.endpoint)
    return LogClient(
        "http://log.invalid",
        credentials_provider=provider,
        auth_version=version,
        region="cn-fake-1",
        source="test",
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_through_a_rotation(
    client: Any,
    service: SignedService,
    ecs_metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    def call() -> None:
        assert client.list_logstore("project", "a b&c").get_logstores() == ["store"]
        item = LogItem(contents=[("key", "value")])
        client.put_logs(PutLogsRequest("project", "store", "topic", "source", [item]))

    sign_through_a_rotation(call, ecs_metadata, provider, lambda: service.signers)
    assert service.refused == []
    assert_no_secret_in(service.received, ecs_metadata)
