"""oss2 takes a provider as it is, in each of its three signature versions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from support.rotation import RecordingOss, assert_no_secret_in, sign_through_a_rotation
from support.signed import SignedService, read_oss_v2

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import Request, Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import oss2

CONTENT = b"signed and read"


@pytest.fixture
def oss(ecs_metadata: FakeMetadataServer) -> Iterator[RecordingOss]:
    with RecordingOss(ecs_metadata) as oss:
        yield oss


@pytest.mark.parametrize("auth", [oss2.ProviderAuth, oss2.ProviderAuthV4], ids=["v1", "v4"])
def test_through_a_rotation(
    auth: Any,
    oss: RecordingOss,
    ecs_metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    bucket = oss2.Bucket(auth(provider), oss.endpoint, "bucket", region=oss.region)
    bucket.put_object("folder/key", CONTENT)

    def call() -> None:
        assert bucket.get_object("folder/key").read() == CONTENT

    sign_through_a_rotation(call, ecs_metadata, provider, oss.signers)
    assert oss.refused == []
    assert_no_secret_in(oss.received, ecs_metadata)


def test_v2_through_a_rotation(
    ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    def answer(request: Request, secret: str) -> Response:
        return Response(200, CONTENT)

    with SignedService(ecs_metadata, read_oss_v2, answer) as service:
        bucket = oss2.Bucket(oss2.ProviderAuthV2(provider), service.endpoint, "bucket")

        def call() -> None:
            assert bucket.get_object("folder/key", byte_range=(0, 14)).read() == CONTENT

        sign_through_a_rotation(call, ecs_metadata, provider, lambda: service.signers)
        assert service.refused == []
        assert_no_secret_in(service.received, ecs_metadata)
