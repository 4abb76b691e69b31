"""Credentials in the shapes that other code wants."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import oss2
import pytest

from ecs_role_creds import EcsRamRoleCredentialsProvider, errors
from ecs_role_creds.adapters.generic import (
    credentials_document,
    credentials_environment,
    credentials_tuple,
)
from ecs_role_creds.adapters.oss2 import OssCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer


@pytest.fixture(params=["given", "default"])
def provider(
    request: pytest.FixtureRequest, ecs_metadata: FakeMetadataServer
) -> EcsRamRoleCredentialsProvider | None:
    return EcsRamRoleCredentialsProvider("app-role") if request.param == "given" else None


def test_tuple(
    provider: EcsRamRoleCredentialsProvider | None, ecs_metadata: FakeMetadataServer
) -> None:
    got = credentials_tuple(provider)
    (issued,) = ecs_metadata.issued
    assert got == (issued.access_key_id, issued.access_key_secret, issued.security_token)


def test_document_has_the_keys_of_the_service_and_is_json(
    provider: EcsRamRoleCredentialsProvider | None, ecs_metadata: FakeMetadataServer
) -> None:
    document = json.loads(json.dumps(credentials_document(provider)))
    (issued,) = ecs_metadata.issued
    expiration = datetime.strptime(document.pop("Expiration"), "%Y-%m-%dT%H:%M:%SZ")
    assert expiration.replace(tzinfo=timezone.utc) == issued.expiration
    assert document == {
        "AccessKeyId": issued.access_key_id,
        "AccessKeySecret": issued.access_key_secret,
        "SecurityToken": issued.security_token,
        "Code": "Success",
    }


def test_environment_names_each_part_for_the_sdks_and_for_oss2(
    provider: EcsRamRoleCredentialsProvider | None,
    ecs_metadata: FakeMetadataServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = credentials_environment(provider)
    (issued,) = ecs_metadata.issued
    assert environment == {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": issued.access_key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": issued.access_key_secret,
        "ALIBABA_CLOUD_SECURITY_TOKEN": issued.security_token,
        "OSS_ACCESS_KEY_ID": issued.access_key_id,
        "OSS_ACCESS_KEY_SECRET": issued.access_key_secret,
        "OSS_SESSION_TOKEN": issued.security_token,
        "ALIBABACLOUD_ACCESS_KEY_ID": issued.access_key_id,
        "ALIBABACLOUD_ACCESS_KEY_SECRET": issued.access_key_secret,
        "ALIBABACLOUD_SECURITY_TOKEN": issued.security_token,
        "ALICLOUD_ACCESS_KEY": issued.access_key_id,
        "ALICLOUD_SECRET_KEY": issued.access_key_secret,
        "ALICLOUD_SECURITY_TOKEN": issued.security_token,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = oss2.credentials.EnvironmentVariableCredentialsProvider().get_credentials()
    assert read.get_access_key_id() == issued.access_key_id
    assert read.get_access_key_secret() == issued.access_key_secret
    assert read.get_security_token() == issued.security_token


def test_each_call_takes_the_credentials_of_that_moment(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    before = credentials_tuple(provider)
    ecs_metadata.rotate()
    provider.refresh()
    assert not set(before) & set(credentials_tuple(provider))


@pytest.mark.ecs_metadata(role=None)
@pytest.mark.parametrize(
    "shape", [credentials_tuple, credentials_document, credentials_environment]
)
def test_errors_come_through(ecs_metadata: FakeMetadataServer, shape: object) -> None:
    assert callable(shape)
    with pytest.raises(errors.NoRoleAttachedError):
        shape()


def test_oss2_provider_is_one_of_oss2(
    provider: EcsRamRoleCredentialsProvider | None, ecs_metadata: FakeMetadataServer
) -> None:
    adapter = OssCredentialsProvider(provider)
    assert isinstance(adapter, oss2.CredentialsProvider)
    ecs_metadata.assert_no_requests()
    credentials = adapter.get_credentials()
    (issued,) = ecs_metadata.issued
    assert credentials.get_access_key_id() == issued.access_key_id
    assert credentials.get_access_key_secret() == issued.access_key_secret
    assert credentials.get_security_token() == issued.security_token


@pytest.mark.parametrize("auth", [oss2.ProviderAuth, oss2.ProviderAuthV2, oss2.ProviderAuthV4])
def test_oss2_takes_either(ecs_metadata: FakeMetadataServer, auth: type) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role")
    for given in (provider, OssCredentialsProvider(provider)):
        taken = auth(given).credentials_provider
        assert taken.get_credentials() is provider.get_credentials()
