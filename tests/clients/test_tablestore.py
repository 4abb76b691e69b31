"""tablestore takes a provider as it is."""

from __future__ import annotations

import base64
import hashlib
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from support.rotation import assert_no_secret_in, sign_through_a_rotation
from support.signed import SignedService, read_tablestore, sign_tablestore_answer

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import Request, Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tablestore
    from tablestore.protobuf import table_store_pb2


def answer(request: Request, secret: str) -> Response:
    """The list of tables, signed as the client demands."""
    body = table_store_pb2.ListTableResponse(table_names=["table"]).SerializeToString()
    headers = {
        "x-ots-contentmd5": base64.b64encode(hashlib.md5(body).digest()).decode(),
        "x-ots-requestid": "FAKE",
        "x-ots-date": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.000Z}",
        "x-ots-contenttype": "protocol buffer",
    }
    claim = read_tablestore(request)
    signature = sign_tablestore_answer(request, headers, secret)
    headers["Authorization"] = f"OTS {claim.access_key_id}:{signature}"
    return Response(200, body, headers)


@pytest.fixture
def service(ecs_metadata: FakeMetadataServer) -> Iterator[SignedService]:
    with SignedService(ecs_metadata, read_tablestore, answer) as service:
        yield service


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("region", [None, "cn-fake-1"], ids=["v2", "v4"])
def test_through_a_rotation(
    region: str | None,
    service: SignedService,
    ecs_metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    client: Any = tablestore.OTSClient(
        service.endpoint, instance_name="instance", credentials_provider=provider, region=region
    )

    def call() -> None:
        assert list(client.list_table()) == ["table"]

    sign_through_a_rotation(call, ecs_metadata, provider, lambda: service.signers)
    assert service.refused == []
    assert_no_secret_in(service.received, ecs_metadata)
