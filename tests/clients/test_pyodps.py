"""pyodps takes a provider as it is, in a CredentialProviderAccount."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from support.rotation import assert_no_secret_in, sign_through_a_rotation
from support.signed import SignedService, read_odps

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import Request, Response

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from odps import ODPS
    from odps.accounts import CredentialProviderAccount

PROJECT = b"""<?xml version="1.0"?><Project><Name>project</Name><Owner>owner</Owner></Project>"""


def answer(request: Request, secret: str) -> Response:
    headers = {
        "Content-Type": "application/xml",
        "x-odps-request-id": "FAKE",
        "x-odps-owner": "owner",
        "x-odps-creation-time": "Wed, 01 Jan 2025 00:00:00 GMT",
        "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT",
    }
    return Response(200, PROJECT, headers)


@pytest.fixture
def service(ecs_metadata: FakeMetadataServer) -> Iterator[SignedService]:
    with SignedService(ecs_metadata, lambda one: read_odps(one, "/api"), answer) as service:
        yield service


def client_of(account: CredentialProviderAccount, service: SignedService) -> Any:
    return ODPS(account=account, project="project", endpoint=service.endpoint + "/api")


def test_through_a_rotation(
    service: SignedService,
    ecs_metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    client = client_of(CredentialProviderAccount(provider), service)

    def call() -> None:
        project = client.get_project("project")
        project.reload()
        assert project.owner == "owner"

    sign_through_a_rotation(call, ecs_metadata, provider, lambda: service.signers)
    assert service.refused == []
    assert_no_secret_in(service.received, ecs_metadata)


def test_an_account_pickles_as_the_settings_of_its_provider(
    service: SignedService,
    ecs_metadata: FakeMetadataServer,
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    account = CredentialProviderAccount(provider)
    client_of(account, service).get_project("project").reload()
    pickled = pickle.dumps(account)
    (issued,) = ecs_metadata.issued
    assert issued.access_key_secret.encode() not in pickled
    assert issued.security_token.encode() not in pickled
    client_of(pickle.loads(pickled), service).get_project("project").reload()
    assert service.refused == []
