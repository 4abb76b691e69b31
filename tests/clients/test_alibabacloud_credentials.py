"""alibabacloud-credentials takes a provider as it is."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.rotation import (
    assert_no_secret_in,
    sign_through_a_rotation,
    sign_through_a_rotation_async,
)
from support.signed import SignedService, read_acs3, read_rpc

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import Request, Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from alibabacloud_credentials.client import Client
    from alibabacloud_credentials.provider import RamRoleArnCredentialsProvider
    from alibabacloud_ecs20140526.client import Client as EcsClient
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
def ecs(service: SignedService, provider: EcsRamRoleCredentialsProvider) -> EcsClient:
    """A product SDK that signs with a client over the provider."""
    endpoint = service.endpoint.removeprefix("http://")
    credential = Client(provider=provider)
    return EcsClient(Config(credential=credential, endpoint=endpoint, protocol="http"))


def test_client_through_a_rotation(
    ecs: EcsClient,
    service: SignedService,
    ecs_metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    sign_through_a_rotation(
        lambda: ecs.describe_regions(DescribeRegionsRequest()),
        ecs_metadata,
        provider,
        lambda: service.signers,
    )
    assert service.refused == []
    assert_no_secret_in(service.received, ecs_metadata)


def test_client_through_a_rotation_in_coroutines(
    ecs: EcsClient,
    service: SignedService,
    ecs_metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    asyncio.run(
        sign_through_a_rotation_async(
            lambda: ecs.describe_regions_async(DescribeRegionsRequest()),
            ecs_metadata,
            provider,
            lambda: service.signers,
        )
    )
    assert service.refused == []
    assert_no_secret_in(service.received, ecs_metadata)


# Another account's role, assumed from the instance's.

ROLE_ARN = "acs:ram::2000000000000002:role/other"


def assumed(request: Request, secret: str) -> Response:
    credentials = {
        "AccessKeyId": "STS.FAKEASSUMED",
        "AccessKeySecret": "fake-secret-assumed",
        "SecurityToken": "fake-security-token-assumed",
        "Expiration": "2100-01-01T00:00:00Z",
    }
    return Response(200, json.dumps({"Credentials": credentials}).encode())


@pytest.fixture
def sts(ecs_metadata: FakeMetadataServer) -> Iterator[SignedService]:
    with SignedService(ecs_metadata, read_rpc, assumed) as service:
        yield service


def assuming(sts: SignedService, provider: EcsRamRoleCredentialsProvider) -> Any:
    """A provider of the other role's credentials, with nothing cached."""
    return RamRoleArnCredentialsProvider(
        credentials_provider=provider,
        role_arn=ROLE_ARN,
        role_session_name="session",
        sts_endpoint=sts.endpoint,
    )


def test_another_role_is_assumed_through_a_rotation(
    sts: SignedService, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    def call() -> None:
        got = assuming(sts, provider).get_credentials()
        assert got.get_access_key_id() == "STS.FAKEASSUMED"
        assert got.get_provider_name() == "ram_role_arn/ecs_ram_role"

    sign_through_a_rotation(call, ecs_metadata, provider, lambda: sts.signers)
    assert sts.refused == []
    assert_no_secret_in(sts.received, ecs_metadata)
    asked = dict(parse_qsl(urlsplit(sts.received[0].path).query))
    assert (asked["Action"], asked["RoleArn"]) == ("AssumeRole", ROLE_ARN)


def test_another_role_is_assumed_in_coroutines(
    sts: SignedService, ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    async def call() -> None:
        got = await assuming(sts, provider).get_credentials_async()
        assert got.get_access_key_id() == "STS.FAKEASSUMED"

    asyncio.run(sign_through_a_rotation_async(call, ecs_metadata, provider, lambda: sts.signers))
    assert sts.refused == []
