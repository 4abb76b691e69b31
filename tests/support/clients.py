"""Every client that is installed with the tests, each given the provider as the table says."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timezone
from io import BytesIO
from typing import Any

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import Request, Response
from support.client import CONTENT, AsyncClient, Client, RecordingOss, oss_error
from support.s3 import FakeS3
from support.signed import (
    SignedService,
    read_acs3,
    read_log_v1,
    read_log_v4,
    read_odps,
    read_oss_v2,
    read_rpc,
    read_tablestore,
    sign_tablestore_answer,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import alibabacloud_oss_v2 as oss_v2
    import alibabacloud_oss_v2.aio as oss_v2_aio
    import boto3
    import obstore
    import oss2
    import polars
    import tablestore
    from alibabacloud_credentials.client import Client as CredentialsClient
    from alibabacloud_credentials.provider import RamRoleArnCredentialsProvider
    from alibabacloud_ecs20140526.client import Client as EcsClient
    from alibabacloud_ecs20140526.models import DescribeRegionsRequest
    from alibabacloud_tea_openapi.utils_models import Config
    from aliyun.log import LogClient, LogItem, PutLogsRequest
    from aliyunsdkcore.client import AcsClient
    from aliyunsdkecs.request.v20140526.DescribeRegionsRequest import (
        DescribeRegionsRequest as OldDescribeRegionsRequest,
    )
    from obstore.store import S3Store
    from odps import ODPS
    from odps.accounts import CredentialProviderAccount
    from tablestore.protobuf import table_store_pb2

    from ecs_role_creds.adapters import (
        alibabacloud_credentials,
        alibabacloud_oss_v2,
        alibabacloud_tea_openapi,
        aliyunsdkcore,
    )
    from ecs_role_creds.adapters import botocore as botocore_adapter
    from ecs_role_creds.adapters import obstore as obstore_adapter
    from ecs_role_creds.adapters import oss2 as oss2_adapter
    from ecs_role_creds.adapters import polars as polars_adapter

Provider = EcsRamRoleCredentialsProvider
Build = Callable[[FakeMetadataServer, Provider], AbstractContextManager[Client]]
BuildAsync = Callable[[FakeMetadataServer, Provider], AbstractAsyncContextManager[AsyncClient]]

KEY = "folder/key"

# oss2.


def oss2_with(auth: Callable[[Provider], Any], *, heals: bool = False) -> Build:
    @contextlib.contextmanager
    def build(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
        with RecordingOss(metadata) as oss:
            session = oss2_adapter.Session(provider) if heals else None
            bucket = oss2.Bucket(
                auth(provider), oss.endpoint, "bucket", region=oss.region, session=session
            )

            def call() -> None:
                bucket.put_object(KEY, CONTENT)
                assert bucket.get_object(KEY).read() == CONTENT

            yield Client(oss, call)

    return build


@contextlib.contextmanager
def oss2_v2(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
    def answer(request: Request, secret: str) -> Response:
        return Response(200, CONTENT)

    with SignedService(metadata, read_oss_v2, answer, oss_error) as service:
        bucket = oss2.Bucket(oss2.ProviderAuthV2(provider), service.endpoint, "bucket")

        def call() -> None:
            assert bucket.get_object(KEY, byte_range=(0, 14)).read() == CONTENT

        yield Client(service, call)


# alibabacloud-oss-v2.


def oss_v2_config(oss: RecordingOss, provider: Provider, heals: bool) -> oss_v2.config.Config:
    if heals:
        return alibabacloud_oss_v2.config(provider, region=oss.region, endpoint=oss.endpoint)
    config = oss_v2.config.load_default()
    config.credentials_provider = provider
    config.region = oss.region
    config.endpoint = oss.endpoint
    return config


def oss_v2_sync(*, heals: bool = False) -> Build:
    @contextlib.contextmanager
    def build(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
        with RecordingOss(metadata) as oss:
            client = oss_v2.Client(oss_v2_config(oss, provider, heals))

            def call() -> None:
                client.put_object(oss_v2.PutObjectRequest(bucket="bucket", key=KEY, body=CONTENT))
                got = client.get_object(oss_v2.GetObjectRequest(bucket="bucket", key=KEY))
                with got.body as body:
                    assert body.read() == CONTENT

            yield Client(oss, call)

    return build


def oss_v2_async_client(
    oss: RecordingOss, provider: Provider, heals: bool
) -> oss_v2_aio.AsyncClient:
    if heals:
        return alibabacloud_oss_v2.async_client(provider, region=oss.region, endpoint=oss.endpoint)
    return oss_v2_aio.AsyncClient(oss_v2_config(oss, provider, heals))


def oss_v2_async(*, heals: bool = False) -> BuildAsync:
    @contextlib.asynccontextmanager
    async def build(metadata: FakeMetadataServer, provider: Provider) -> AsyncIterator[AsyncClient]:
        with RecordingOss(metadata) as oss:
            async with oss_v2_async_client(oss, provider, heals) as client:

                async def call() -> None:
                    await client.put_object(
                        oss_v2.PutObjectRequest(bucket="bucket", key=KEY, body=CONTENT)
                    )
                    got = await client.get_object(oss_v2.GetObjectRequest(bucket="bucket", key=KEY))
                    async with got.body as body:
                        assert await body.read() == CONTENT

                yield AsyncClient(oss, call)

    return build


# The product SDKs on tea-openapi.


def regions(request: Request, secret: str) -> Response:
    body = {"RequestId": "FAKE", "Regions": {"Region": [{"RegionId": "cn-fake-1"}]}}
    return Response(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


def openapi_error(code: str) -> Response:
    body = {"RequestId": "FAKE", "Code": code, "Message": code}
    return Response(403, json.dumps(body).encode(), {"Content-Type": "application/json"})


def openapi_service(metadata: FakeMetadataServer) -> SignedService:
    return SignedService(
        metadata, read_acs3, regions, openapi_error, "InvalidSecurityToken.Expired"
    )


PATIENT = {"connect_timeout": 300_000, "read_timeout": 300_000}  # milliseconds


def as_it_is(provider: Provider, **options: Any) -> Config:
    return Config(credential=provider, **options)


def through_a_client(provider: Provider, **options: Any) -> Config:
    return Config(credential=CredentialsClient(provider=provider), **options)


def through_the_typed_adapter(provider: Provider, **options: Any) -> Config:
    typed = alibabacloud_credentials.CredentialsProvider(provider)
    return Config(credential=CredentialsClient(provider=typed), **options)


def product_sdk(configure: Callable[..., Config]) -> Build:
    @contextlib.contextmanager
    def build(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
        with openapi_service(metadata) as service:
            where = service.endpoint.removeprefix("http://")
            client = EcsClient(configure(provider, endpoint=where, protocol="http", **PATIENT))

            def call() -> None:
                answer = client.describe_regions(DescribeRegionsRequest())
                assert answer.body.regions.region[0].region_id == "cn-fake-1"

            yield Client(service, call)

    return build


def product_sdk_async(configure: Callable[..., Config]) -> BuildAsync:
    @contextlib.asynccontextmanager
    async def build(metadata: FakeMetadataServer, provider: Provider) -> AsyncIterator[AsyncClient]:
        with openapi_service(metadata) as service:
            where = service.endpoint.removeprefix("http://")
            client = EcsClient(configure(provider, endpoint=where, protocol="http", **PATIENT))

            async def call() -> None:
                answer = await client.describe_regions_async(DescribeRegionsRequest())
                assert answer.body.regions.region[0].region_id == "cn-fake-1"

            yield AsyncClient(service, call)

    return build


# Another account's role, assumed from the instance's by alibabacloud-credentials.

ROLE_ARN = "acs:ram::2000000000000002:role/other"
ASSUMED = {
    "AccessKeyId": "STS.FAKEASSUMED",
    "AccessKeySecret": "fake-secret-assumed",
    "SecurityToken": "fake-security-token-assumed",
    "Expiration": "2100-01-01T00:00:00Z",
}


def assumed(request: Request, secret: str) -> Response:
    assert "Action=AssumeRole" in request.path
    return Response(200, json.dumps({"Credentials": ASSUMED}).encode())


def assuming(service: SignedService, provider: Provider) -> Any:
    """A provider of the other role's credentials, with nothing cached."""
    return RamRoleArnCredentialsProvider(
        credentials_provider=provider,
        role_arn=ROLE_ARN,
        role_session_name="session",
        sts_endpoint=service.endpoint,
    )


@contextlib.contextmanager
def assumed_role(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
    with SignedService(metadata, read_rpc, assumed, openapi_error) as service:

        def call() -> None:
            got = assuming(service, provider).get_credentials()
            assert got.get_access_key_id() == ASSUMED["AccessKeyId"]
            assert got.get_provider_name() == "ram_role_arn/ecs_ram_role"

        yield Client(service, call)


# aliyun-python-sdk-core.


@contextlib.contextmanager
def sdk_core(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
    with SignedService(
        metadata, read_rpc, regions, openapi_error, "InvalidSecurityToken.Expired"
    ) as service:
        host, _, port = service.endpoint.removeprefix("http://").partition(":")
        client = AcsClient(
            region_id="cn-fake-1", credential=aliyunsdkcore.credential(provider), port=int(port)
        )

        def call() -> None:
            request = OldDescribeRegionsRequest()
            request.set_endpoint(host)
            request.set_protocol_type("http")
            answer = json.loads(client.do_action_with_exception(request))
            assert answer["Regions"]["Region"][0]["RegionId"] == "cn-fake-1"

        yield Client(service, call)


# aliyun-log-python-sdk.


def log(version: str) -> Build:
    def answer(request: Request, secret: str) -> Response:
        headers = {"x-log-requestid": "FAKE", "Content-Type": "application/json"}
        listed = json.dumps({"logstores": ["store"], "count": 1, "total": 1}).encode()
        return Response(200, b"" if request.method == "POST" else listed, headers)

    def refuse(code: str) -> Response:
        body = json.dumps({"errorCode": code, "errorMessage": code}).encode()
        return Response(401, body, {"Content-Type": "application/json", "x-log-requestid": "FAKE"})

    @contextlib.contextmanager
    def build(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
        read = {"v1": read_log_v1, "v4": read_log_v4}[version]
        with SignedService(metadata, read, answer, refuse) as service:
            client: Any = LogClient(
                "http://log.invalid",
                credentials_provider=provider,
                auth_version=version,
                region="cn-fake-1",
                source="test",
            )

            def call() -> None:
                assert client.list_logstore("project", "a b&c").get_logstores() == ["store"]
                item = LogItem(contents=[("key", "value")])
                client.put_logs(PutLogsRequest("project", "store", "topic", "source", [item]))

            # Each project has a host name of its own: the service gets them all, as a proxy.
            before = os.environ.get("http_proxy")
            os.environ["http_proxy"] = service.endpoint
            try:
                yield Client(service, call)
            finally:
                del os.environ["http_proxy"]
                if before is not None:
                    os.environ["http_proxy"] = before

    return build


# tablestore.


def tables(request: Request, secret: str) -> Response:
    """The list of tables, signed as the client demands."""
    body = table_store_pb2.ListTableResponse(table_names=["table"]).SerializeToString()
    headers = {
        "x-ots-contentmd5": base64.b64encode(hashlib.md5(body).digest()).decode(),
        "x-ots-requestid": "FAKE",
        "x-ots-date": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.000Z}",
        "x-ots-contenttype": "protocol buffer",
    }
    signature = sign_tablestore_answer(request, headers, secret)
    headers["Authorization"] = f"OTS {request.headers['x-ots-accesskeyid']}:{signature}"
    return Response(200, body, headers)


def tablestore_error(code: str) -> Response:
    error = table_store_pb2.Error(code="OTSAuthFailed", message=code)
    return Response(403, error.SerializeToString())


def tablestore_in(region: str | None) -> Build:
    @contextlib.contextmanager
    def build(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
        with SignedService(metadata, read_tablestore, tables, tablestore_error) as service:
            client: Any = tablestore.OTSClient(
                service.endpoint,
                instance_name="instance",
                credentials_provider=provider,
                region=region,
            )

            def call() -> None:
                assert list(client.list_table()) == ["table"]

            yield Client(service, call)

    return build


# pyodps.


def project(request: Request, secret: str) -> Response:
    headers = {
        "Content-Type": "application/xml",
        "x-odps-request-id": "FAKE",
        "x-odps-owner": "owner",
        "x-odps-creation-time": "Wed, 01 Jan 2025 00:00:00 GMT",
        "Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT",
    }
    return Response(200, b"<Project><Name>project</Name></Project>", headers)


@contextlib.contextmanager
def pyodps(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
    with SignedService(metadata, lambda one: read_odps(one, "/api"), project, oss_error) as service:
        account = CredentialProviderAccount(provider)
        client: Any = ODPS(account=account, project="project", endpoint=service.endpoint + "/api")

        def call() -> None:
            got = client.get_project("project")
            got.reload()
            assert got.owner == "owner"

        yield Client(service, call)


# The S3-compatible endpoint.


@contextlib.contextmanager
def boto(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
    with FakeS3(metadata) as s3:
        session = boto3.Session(botocore_session=botocore_adapter.session(provider))
        client: Any = session.client("s3", endpoint_url=s3.endpoint, region_name="cn-fake-1")

        def call() -> None:
            client.put_object(Bucket="bucket", Key=KEY, Body=CONTENT)
            assert client.get_object(Bucket="bucket", Key=KEY)["Body"].read() == CONTENT

        yield Client(s3, call)


def s3_store(s3: FakeS3, credential_provider: Any) -> S3Store:
    return S3Store(
        "bucket",
        endpoint=s3.endpoint,
        region="cn-fake-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        credential_provider=credential_provider,
    )


@contextlib.contextmanager
def obstore_sync(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
    with FakeS3(metadata) as s3:
        store = s3_store(s3, obstore_adapter.credential_provider(provider))

        def call() -> None:
            obstore.put(store, KEY, CONTENT)
            assert obstore.get(store, KEY).bytes() == CONTENT

        yield Client(s3, call)


@contextlib.asynccontextmanager
async def obstore_async(
    metadata: FakeMetadataServer, provider: Provider
) -> AsyncIterator[AsyncClient]:
    with FakeS3(metadata) as s3:
        store = s3_store(s3, obstore_adapter.async_credential_provider(provider))

        async def call() -> None:
            await obstore.put_async(store, KEY, CONTENT)
            assert await (await obstore.get_async(store, KEY)).bytes_async() == CONTENT

        yield AsyncClient(s3, call)


@contextlib.contextmanager
def polars_scan(metadata: FakeMetadataServer, provider: Provider) -> Iterator[Client]:
    with FakeS3(metadata) as s3:
        table = BytesIO()
        polars.DataFrame({"number": [1, 2, 3]}).write_parquet(table)
        s3.put("table.parquet", table.getvalue())
        credential_provider = polars_adapter.credential_provider(provider)

        def call() -> None:
            frame = polars.scan_parquet(
                "s3://bucket/table.parquet",
                storage_options={
                    "endpoint_url": s3.endpoint,
                    "region": "cn-fake-1",
                    "allow_http": "true",
                },
                credential_provider=credential_provider,
            )
            assert frame.collect()["number"].to_list() == [1, 2, 3]

        yield Client(s3, call)


SYNC: dict[str, Build] = {
    "oss2 V1": oss2_with(oss2.ProviderAuth),
    "oss2 V2": oss2_v2,
    "oss2 V4": oss2_with(oss2.ProviderAuthV4),
    "oss2 adapter": oss2_with(
        lambda provider: oss2.ProviderAuthV4(oss2_adapter.OssCredentialsProvider(provider)),
        heals=True,
    ),
    "oss-v2": oss_v2_sync(),
    "oss-v2 adapter": oss_v2_sync(heals=True),
    "product SDK": product_sdk(as_it_is),
    "product SDK adapter": product_sdk(alibabacloud_tea_openapi.config),
    "alibabacloud-credentials": product_sdk(through_a_client),
    "alibabacloud-credentials adapter": product_sdk(through_the_typed_adapter),
    "assumed role": assumed_role,
    "sdk-core": sdk_core,
    "log v1": log("v1"),
    "log v4": log("v4"),
    "tablestore v2": tablestore_in(None),
    "tablestore v4": tablestore_in("cn-fake-1"),
    "pyodps": pyodps,
    "boto3": boto,
    "obstore": obstore_sync,
    "polars": polars_scan,
}
ASYNC: dict[str, BuildAsync] = {
    "oss-v2": oss_v2_async(),
    "oss-v2 adapter": oss_v2_async(heals=True),
    "product SDK": product_sdk_async(as_it_is),
    "product SDK adapter": product_sdk_async(alibabacloud_tea_openapi.config),
    "alibabacloud-credentials": product_sdk_async(through_a_client),
    "alibabacloud-credentials adapter": product_sdk_async(through_the_typed_adapter),
    "obstore": obstore_async,
}

# What happens to the request whose token is refused, and to the next one.
RETRIES = ["oss-v2 adapter", "product SDK adapter", "boto3"]
HEALS_NEXT = ["oss2 adapter"]
