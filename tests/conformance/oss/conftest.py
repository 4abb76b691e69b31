"""A fake OSS, and every client of OSS in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.oss_clients import CLIENTS

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss


@pytest.fixture(scope="session")
def metadata() -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer() as server:
        yield server


@pytest.fixture(scope="session")
def provider(metadata: FakeMetadataServer) -> EcsRamRoleCredentialsProvider:
    return EcsRamRoleCredentialsProvider(endpoint=metadata.endpoint, deadline=60)


@pytest.fixture
def oss(metadata: FakeMetadataServer) -> Iterator[FakeOss]:
    with FakeOss(metadata, ["pictures", "archive"]) as oss:
        yield oss


@pytest.fixture(params=list(CLIENTS))
def client(
    request: pytest.FixtureRequest, oss: FakeOss, provider: EcsRamRoleCredentialsProvider
) -> Iterator[Any]:
    client = CLIENTS[request.param](oss, provider)
    yield client
    client.close()
