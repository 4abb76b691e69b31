"""The product SDKs on tea-openapi take a provider as it is."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Iterator

import pytest
from support.rotation import (
    assert_no_secret_in,
    sign_through_a_rotation,
    sign_through_a_rotation_async,
)
from support.signed import SignedService, read_acs3

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import Request, Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from alibabacloud_ecs20140526.client import Client
    from alibabacloud_ecs20140526.models import DescribeRegionsRequest
    from alibabacloud_tea_openapi.utils_models import Config


def answer(request: Request, secret: str) -> Response:
    body = {"RequestId": "FAKE", "Regions": {"Region": [{"RegionId": "cn-fake-1"}]}}
    return Response(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def service(ecs_metadata: FakeMetadataServer) -> Iterator[SignedService]:
    with SignedService(ecs_metadata, read_acs3, answer) as service:
        yield service


@pytest.fixture
def client(service: SignedService, provider: EcsRamRoleCredentialsProvider) -> Client:
    endpoint = service.endpoint.removeprefix("http://")
    return Client(Config(credential=provider, endpoint=endpoint, protocol="http"))


def test_through_a_rotation(
    client: Client,
    service: SignedService,
    ecs_metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    def call() -> None:
        answer = client.describe_regions(DescribeRegionsRequest())
        assert answer.body.regions.region[0].region_id == "cn-fake-1"

    sign_through_a_rotation(call, ecs_metadata, provider, lambda: service.signers)
    assert service.refused == []
    assert_no_secret_in(service.received, ecs_metadata)


def test_through_a_rotation_in_coroutines(
    client: Client,
    service: SignedService,
    ecs_metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    async def call() -> None:
        answer = await client.describe_regions_async(DescribeRegionsRequest())
        assert answer.body.regions.region[0].region_id == "cn-fake-1"

    asyncio.run(
        sign_through_a_rotation_async(call, ecs_metadata, provider, lambda: service.signers)
    )
    assert service.refused == []
    assert_no_secret_in(service.received, ecs_metadata)
