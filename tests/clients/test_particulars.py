"""What is particular to one client."""

from __future__ import annotations

import asyncio
import pickle
import warnings
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from support import clients
from support.plain_http import wait_until

from ecs_role_creds import EcsRamRoleCredentialsProvider, errors
from ecs_role_creds.testing import FakeMetadataServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import alibabacloud_oss_v2 as oss_v2
    import boto3
    import botocore.credentials
    import oss2
    from alibabacloud_credentials.client import Client as CredentialsClient
    from alibabacloud_credentials.exceptions import CredentialException
    from alibabacloud_credentials.models import Config as CredentialsConfig
    from alibabacloud_credentials.provider.refreshable import Credentials as SdkCredentials
    from alibabacloud_credentials_api import ICredentialsProvider
    from aliyunsdkcore.auth.credentials import StsTokenCredential
    from darabonba.policy.retry import RetryCondition, RetryOptions

    from ecs_role_creds.adapters import (
        alibabacloud_credentials,
        alibabacloud_oss_v2,
        alibabacloud_tea_openapi,
        aliyunsdkcore,
    )
    from ecs_role_creds.adapters import botocore as botocore_adapter
    from ecs_role_creds.adapters import obstore as obstore_adapter
    from ecs_role_creds.adapters import polars as polars_adapter

# alibabacloud-oss-v2.


def test_oss_v2_under_polling_never_holds_up_the_event_loop(
    ecs_metadata: FakeMetadataServer,
) -> None:
    """The client asks for credentials on the event loop, which must not wait for the service."""
    provider = EcsRamRoleCredentialsProvider(deadline=60)

    async def run() -> None:
        async with clients.ASYNC["oss-v2"](ecs_metadata, provider) as (service, call):
            old = await provider.get_credentials_async()
            ecs_metadata.rotate()
            ecs_metadata.hang()
            refreshing = asyncio.create_task(asyncio.to_thread(provider.refresh))
            await asyncio.to_thread(wait_until, lambda: provider.status().is_refreshing)
            await asyncio.gather(*(call() for _ in range(12)))
            assert provider.status().is_refreshing  # the service has hung through all of them
            assert set(service.signers()) == {old.access_key_id}
            ecs_metadata.recover()
            new = await refreshing
            await call()
            assert service.signers()[-1] == new.access_key_id != old.access_key_id

    with provider.polling():
        asyncio.run(run())


def test_oss_v2_can_be_kept_from_waiting_on_the_event_loop(
    ecs_metadata: FakeMetadataServer,
) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=60)
    never_waits: Any = SimpleNamespace(get_credentials=provider.get_credentials_nowait)

    async def run() -> None:
        async with clients.ASYNC["oss-v2"](ecs_metadata, never_waits) as (service, call):
            ecs_metadata.hang()
            with pytest.raises(oss_v2.exceptions.OperationError):
                await call()
            assert provider.status().is_refreshing
            assert service.received == []
            ecs_metadata.recover()
            await provider.get_credentials_async()
            await call()

    asyncio.run(run())


def test_oss_v2_provider_is_one_of_the_sdk(ecs_metadata: FakeMetadataServer) -> None:
    adapter = alibabacloud_oss_v2.OssCredentialsProvider()
    assert isinstance(adapter, oss_v2.credentials.CredentialsProvider)
    assert ecs_metadata.is_valid(adapter.get_credentials())


def test_oss_v2_configuration_takes_only_what_the_sdk_knows(
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    config = alibabacloud_oss_v2.config(provider, region="cn-fake-1", retry_max_attempts=5)
    assert (config.region, config.retry_max_attempts) == ("cn-fake-1", 5)
    with pytest.raises(TypeError, match="no attribute 'regoin'"):
        alibabacloud_oss_v2.config(provider, regoin="cn-fake-1")


# oss2.


def test_oss2_sees_the_refusal_of_a_head_request(
    ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    with clients.SYNC["oss2 adapter"](ecs_metadata, provider) as (service, call):
        call()
        from ecs_role_creds.adapters.oss2 import Session

        bucket = oss2.Bucket(
            oss2.ProviderAuth(provider), service.endpoint, "bucket", session=Session(provider)
        )
        ecs_metadata.expire()
        with pytest.raises(oss2.exceptions.OssError):
            bucket.head_object(clients.KEY)
        assert bucket.head_object(clients.KEY).content_length == len(clients.CONTENT)


# The product SDKs.


def test_product_sdk_keeps_retry_options_of_ones_own(
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    own = RetryOptions(retry_condition=[RetryCondition(max_attempts=3, error_code=["Throttling"])])
    config = alibabacloud_tea_openapi.config(provider, retry_options=own, region_id="cn-fake-1")
    assert config.retry_options.retry_condition[1:] == own.retry_condition
    assert len(own.retry_condition) == 1
    assert config.region_id == "cn-fake-1"


# alibabacloud-credentials.


def test_another_role_is_assumed_in_a_coroutine(
    ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    with clients.SYNC["assumed role"](ecs_metadata, provider) as (service, _):
        for _ in range(2):
            got = asyncio.run(clients.assuming(service, provider).get_credentials_async())
            assert got.get_access_key_id() == clients.ASSUMED["AccessKeyId"]
            assert service.signers()[-1] == provider.get_credentials().access_key_id
            ecs_metadata.rotate()
            provider.refresh()


def test_typed_provider_stands_the_checks_of_an_application(
    ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    """The checks that aliyun/iac-code makes of the provider that its factory returns."""
    adapter = alibabacloud_credentials.CredentialsProvider(provider)
    assert isinstance(adapter, ICredentialsProvider)
    got = adapter.get_credentials()
    assert isinstance(got, SdkCredentials)
    assert got.get_provider_name() == adapter.get_provider_name() == "ecs_ram_role"
    assert ecs_metadata.is_valid(provider.get_credentials())
    (issued,) = ecs_metadata.issued
    assert got.get_access_key_id() == issued.access_key_id
    assert got.get_access_key_secret() == issued.access_key_secret
    assert got.get_security_token() == issued.security_token
    expiration = got.get_expiration()
    assert type(expiration) is int
    assert datetime.fromtimestamp(expiration, timezone.utc) == issued.expiration
    assert expiration > datetime.now(timezone.utc).timestamp() + 60
    in_coroutine = asyncio.run(adapter.get_credentials_async())
    assert in_coroutine.get_security_token() == issued.security_token


def test_typed_provider_raises_errors_that_tell_kinds_apart(
    ecs_metadata: FakeMetadataServer,
) -> None:
    adapter = alibabacloud_credentials.CredentialsProvider()
    ecs_metadata.detach()
    with pytest.raises(errors.NoRoleAttachedError):
        adapter.get_credentials()


class Chain:
    """Stands in for a client of the SDK: hands out what the test says."""

    def __init__(self) -> None:
        self.calls = 0

    def get_credential(self) -> SimpleNamespace:
        self.calls += 1
        return SimpleNamespace(
            access_key_id=f"STS.FAKE{self.calls}",
            access_key_secret=f"fake-secret-{self.calls}",
            security_token=f"fake-token-{self.calls}",
            provider_name="default/profile",
        )


def test_client_becomes_a_provider_of_snapshots() -> None:
    chain = Chain()
    provider = alibabacloud_credentials.from_client(chain)
    for number, got in enumerate(
        (provider.get_credentials(), asyncio.run(provider.get_credentials_async())), 1
    ):
        assert got.access_key_id == f"STS.FAKE{number}"
        assert got.access_key_secret == f"fake-secret-{number}"
        assert got.security_token == f"fake-token-{number}"
        assert not got.is_expired()
    assert chain.calls == 2
    provider.invalidate(got)
    assert provider.get_provider_name() == "default/profile"


def test_client_over_an_accesskey_pair_signs_without_a_token() -> None:
    client = CredentialsClient(
        CredentialsConfig(
            type="access_key", access_key_id="LTAI-FAKE", access_key_secret="fake-secret"
        )
    )
    provider = alibabacloud_credentials.from_client(client)
    assert provider.get_credentials().security_token == ""
    bucket = oss2.Bucket(
        oss2.ProviderAuthV4(provider), "http://oss.invalid", "bucket", region="cn-fake-1"
    )
    assert "security-token" not in bucket.sign_url("GET", "key", 60)
    assert botocore_adapter.credentials(provider).get_frozen_credentials().token is None
    assert obstore_adapter.credential_provider(provider)()["token"] is None
    assert "aws_session_token" not in polars_adapter.credential_provider(provider)()[0]


def test_clients_error_comes_through(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    with pytest.raises(CredentialException):
        alibabacloud_credentials.from_client(CredentialsClient()).get_credentials()


@pytest.mark.parametrize("wrong", [None, "LTAI-FAKE", CredentialsClient])
def test_from_client_takes_clients_only(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"alibabacloud_credentials\.client\.Client"):
        alibabacloud_credentials.from_client(wrong)


# aliyun-python-sdk-core.


def test_sdk_core_credential_reads_as_one_snapshot(
    ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    credential = aliyunsdkcore.credential(provider)
    assert isinstance(credential, StsTokenCredential)
    old = provider.get_credentials()
    token = credential.sts_token
    ecs_metadata.rotate()
    new = provider.refresh()
    assert (token, credential.sts_access_key_id, credential.sts_access_key_secret) == (
        old.security_token,
        old.access_key_id,
        old.access_key_secret,
    )
    assert credential.sts_token == new.security_token
    assert credential.sts_access_key_secret == new.access_key_secret


def test_sdk_core_warns_of_what_beats_the_credential(
    monkeypatch: pytest.MonkeyPatch, provider: EcsRamRoleCredentialsProvider
) -> None:
    monkeypatch.setenv("ALIYUN_ACCESS_KEY_ID", "LTAI-FAKE")
    aliyunsdkcore.credential(provider)  # the client wants both
    monkeypatch.setenv("ALIYUN_ACCESS_KEY_SECRET", "fake-secret")
    with pytest.warns(UserWarning, match="ALIYUN_ACCESS_KEY_ID") as warned:
        aliyunsdkcore.credential(provider)
    assert warned[0].filename == __file__


# pyodps.


def test_pyodps_account_pickles_as_the_settings_of_its_provider(
    ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    from odps.accounts import CredentialProviderAccount

    with clients.SYNC["pyodps"](ecs_metadata, provider) as (_, call):
        call()
    account = CredentialProviderAccount(provider)
    account._refresh_credential()
    pickled = pickle.dumps(account)
    (issued,) = ecs_metadata.issued
    assert issued.access_key_secret.encode() not in pickled
    assert issued.security_token.encode() not in pickled
    copy = pickle.loads(pickled)
    copy._refresh_credential()
    assert copy.access_id == issued.access_key_id


# botocore.


def test_botocore_credentials_are_read_whole_or_in_parts(
    ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    credentials = botocore_adapter.credentials(provider)
    assert isinstance(credentials, botocore.credentials.Credentials)
    (issued,) = [provider.get_credentials()]
    assert credentials.get_frozen_credentials() == (
        issued.access_key_id,
        issued.access_key_secret,
        issued.security_token,
        None,
    )
    assert credentials.access_key == issued.access_key_id
    assert credentials.secret_key == issued.access_key_secret
    assert credentials.token == issued.security_token


def test_boto3_names_the_bucket_in_the_host_as_oss_demands(
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    session = boto3.Session(botocore_session=botocore_adapter.session(provider))
    client: Any = session.client(
        "s3", region_name="cn-fake-1", endpoint_url="https://s3.oss-cn-fake-1.aliyuncs.com"
    )
    url = client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "key"})
    assert url.startswith("https://bucket.s3.oss-cn-fake-1.aliyuncs.com/key?")


# polars.


def test_polars_provider_pickles_without_a_secret(
    ecs_metadata: FakeMetadataServer, provider: EcsRamRoleCredentialsProvider
) -> None:
    adapter = polars_adapter.credential_provider(provider)
    before, _ = adapter()
    pickled = pickle.dumps(adapter)
    for secret in before.values():
        assert secret.encode() not in pickled
    assert pickle.loads(pickled)()[0] == before
