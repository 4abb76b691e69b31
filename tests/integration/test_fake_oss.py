"""The fake OSS with the real clients: what they sign is verified by another implementation."""

from __future__ import annotations

import asyncio
import http.client
import os
import urllib.parse
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss, VirtualClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import alibabacloud_oss_v2 as oss_v2
    import alibabacloud_oss_v2.aio as oss_v2_aio
    import oss2

KEY = "folder/pïcture + 1.png"


@pytest.fixture
def metadata() -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer() as server:
        yield server


@pytest.fixture
def oss(metadata: FakeMetadataServer) -> Iterator[FakeOss]:
    with FakeOss(metadata, ["pictures"]) as server:
        yield server


@pytest.fixture
def provider(metadata: FakeMetadataServer) -> EcsRamRoleCredentialsProvider:
    return EcsRamRoleCredentialsProvider(endpoint=metadata.endpoint)


# V2 signatures have no independent implementation to verify them with.
@pytest.fixture(params=["ProviderAuth", "ProviderAuthV4"])
def bucket(
    request: pytest.FixtureRequest, oss: FakeOss, provider: EcsRamRoleCredentialsProvider
) -> Any:
    return oss2_bucket(oss, getattr(oss2, request.param)(provider))


def oss2_bucket(oss: FakeOss, auth: Any) -> Any:
    return oss2.Bucket(auth, oss.endpoint, "pictures", region=oss.region)


def test_oss2_objects(bucket: Any, oss: FakeOss) -> None:
    content = os.urandom(200_000)
    bucket.put_object(KEY, content, headers={"Content-Type": "image/png", "x-oss-meta-a": "b"})
    assert bucket.get_object(KEY).read() == content
    assert bucket.get_object(KEY, byte_range=(10, 19)).read() == content[10:20]
    assert bucket.head_object(KEY).content_length == len(content)
    assert bucket.head_object(KEY).headers["x-oss-meta-a"] == "b"
    assert bucket.get_object_meta(KEY).content_length == len(content)
    assert bucket.object_exists(KEY)
    bucket.delete_object(KEY)
    assert not bucket.object_exists(KEY)
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.get_object(KEY)
    assert oss.refused == []


def test_oss2_lists_in_pages(bucket: Any) -> None:
    for name in ("a/1", "a/2", "b/1", "c ü", "d"):
        bucket.put_object(name, b"x")
    assert [one.key for one in oss2.ObjectIterator(bucket, max_keys=2)] == [
        "a/1",
        "a/2",
        "b/1",
        "c ü",
        "d",
    ]
    assert [one.key for one in oss2.ObjectIteratorV2(bucket, prefix="a/", max_keys=1)] == [
        "a/1",
        "a/2",
    ]
    page = bucket.list_objects(delimiter="/")
    assert (page.prefix_list, [one.key for one in page.object_list]) == (["a/", "b/"], ["c ü", "d"])


def test_oss2_multipart(bucket: Any, tmp_path: Any) -> None:
    content = os.urandom(450_000)
    path = tmp_path / "large"
    path.write_bytes(content)
    oss2.resumable_upload(
        bucket,
        KEY,
        str(path),
        multipart_threshold=100_000,
        part_size=200_000,
        num_threads=2,
        store=oss2.ResumableStore(root=str(tmp_path)),
    )
    assert bucket.get_object(KEY).read() == content
    upload = bucket.init_multipart_upload("other").upload_id
    bucket.upload_part("other", upload, 1, b"x")
    bucket.abort_multipart_upload("other", upload)
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.upload_part("other", upload, 2, b"x")


@pytest.mark.parametrize("slash_safe", [True, False])
def test_oss2_presigned(bucket: Any, oss: FakeOss, slash_safe: bool) -> None:
    url = bucket.sign_url("PUT", KEY, 60, slash_safe=slash_safe)
    assert requests.put(url, data=b"content", timeout=300).status_code == 200
    url = bucket.sign_url("GET", KEY, 60, slash_safe=slash_safe)
    assert requests.get(url, timeout=300).content == b"content"
    assert requests.get(url + "x", timeout=300).status_code == 403
    assert requests.delete(url, timeout=300).status_code == 403


def test_oss2_presigned_url_expires(oss: FakeOss, provider: EcsRamRoleCredentialsProvider) -> None:
    bucket = oss2_bucket(oss, oss2.ProviderAuth(provider))
    bucket.put_object("a", b"x")
    answer = requests.get(bucket.sign_url("GET", "a", -1), timeout=300)
    assert answer.status_code == 403
    assert "<Code>AccessDenied</Code>" in answer.text


def v2_config(oss: FakeOss, provider: Any, version: str) -> Any:
    config = oss_v2.config.load_default()
    config.credentials_provider = provider
    config.region = oss.region
    config.endpoint = oss.endpoint
    config.signature_version = version
    return config


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_oss_v2(oss: FakeOss, provider: EcsRamRoleCredentialsProvider, version: str) -> None:
    client = oss_v2.Client(v2_config(oss, provider, version))
    content = os.urandom(100_000)
    client.put_object(oss_v2.PutObjectRequest(bucket="pictures", key=KEY, body=content))
    result = client.get_object(oss_v2.GetObjectRequest(bucket="pictures", key=KEY))
    assert result.body.content == content
    listed = client.list_objects_v2(oss_v2.ListObjectsV2Request(bucket="pictures"))
    assert [one.key for one in listed.contents] == [KEY]
    assert client.is_object_exist("pictures", KEY)
    signed = client.presign(oss_v2.GetObjectRequest(bucket="pictures", key=KEY))
    assert requests.get(signed.url, headers=signed.signed_headers, timeout=300).content == content
    signed = client.presign(oss_v2.PutObjectRequest(bucket="pictures", key="put"))
    answer = requests.put(signed.url, headers=signed.signed_headers, data=b"x", timeout=300)
    assert answer.status_code == 200
    begun = client.initiate_multipart_upload(
        oss_v2.InitiateMultipartUploadRequest(bucket="pictures", key="multi")
    )
    part = client.upload_part(
        oss_v2.UploadPartRequest(
            bucket="pictures", key="multi", upload_id=begun.upload_id, part_number=1, body=b"part"
        )
    )
    client.complete_multipart_upload(
        oss_v2.CompleteMultipartUploadRequest(
            bucket="pictures",
            key="multi",
            upload_id=begun.upload_id,
            complete_multipart_upload=oss_v2.CompleteMultipartUpload(
                parts=[oss_v2.UploadPart(part_number=1, etag=part.etag)]
            ),
        )
    )
    assert oss.objects["pictures"]["multi"].content == b"part"
    client.delete_object(oss_v2.DeleteObjectRequest(bucket="pictures", key=KEY))
    with pytest.raises(oss_v2.exceptions.OperationError) as caught:
        client.get_object(oss_v2.GetObjectRequest(bucket="pictures", key=KEY))
    assert caught.value.unwrap().code == "NoSuchKey"
    assert oss.refused == []


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_oss_v2_aio(oss: FakeOss, provider: EcsRamRoleCredentialsProvider, version: str) -> None:
    async def main() -> None:
        await provider.get_credentials_async()
        client = oss_v2_aio.AsyncClient(v2_config(oss, provider, version))
        try:
            await client.put_object(
                oss_v2.PutObjectRequest(bucket="pictures", key=KEY, body=b"content")
            )
            result = await client.get_object(oss_v2.GetObjectRequest(bucket="pictures", key=KEY))
            async with result.body as body:
                assert await body.read() == b"content"
            listed = await client.list_objects_v2(oss_v2.ListObjectsV2Request(bucket="pictures"))
            assert [one.key for one in listed.contents] == [KEY]
            await client.delete_object(oss_v2.DeleteObjectRequest(bucket="pictures", key=KEY))
        finally:
            await client.close()

    asyncio.run(main())
    assert oss.refused == []
    assert oss.objects["pictures"] == {}


# What is refused


class Mixed:
    """A provider that gives what it was given."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts

    def get_credentials(self) -> Any:
        return oss2.credentials.Credentials(*self.parts)


@pytest.mark.parametrize("auth", [oss2.ProviderAuth, oss2.ProviderAuthV4])
@pytest.mark.parametrize(
    ("take", "code"),
    [
        (lambda a, b: (a[0], a[1], b[2]), "InvalidSecurityToken"),
        (lambda a, b: (a[0], b[1], a[2]), "SignatureDoesNotMatch"),
        (lambda a, b: (b[0], a[1], b[2]), "SignatureDoesNotMatch"),
        (lambda a, b: ("STS.FAKEunknown", a[1], a[2]), "InvalidAccessKeyId"),
        (lambda a, b: (a[0], a[1], ""), "AccessDenied"),
    ],
)
def test_torn_credentials_are_refused(
    metadata: FakeMetadataServer, oss: FakeOss, auth: Any, take: Any, code: str
) -> None:
    one, other = metadata.rotate(), metadata.rotate()
    bucket = oss2_bucket(oss, auth(Mixed(*take(one[:3], other[:3]))))
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("a")
    assert caught.value.code == code
    assert len(oss.refused) == 1


def test_expired_credentials_are_refused() -> None:
    clock = VirtualClock()
    with (
        FakeMetadataServer(clock=clock, life=60) as metadata,
        FakeOss(metadata, ["pictures"]) as oss,
    ):
        bucket = oss2_bucket(oss, oss2.ProviderAuthV4(Mixed(*metadata.rotate()[:3])))
        bucket.put_object("a", b"x")
        clock.advance(60)
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            bucket.get_object("a")
        assert caught.value.code == "SecurityTokenExpired"
        with pytest.raises(oss2.exceptions.ServerError):
            bucket.head_object("a")


def resend(oss: FakeOss, method: str, path: str, headers: dict[str, str]) -> str:
    connection = http.client.HTTPConnection(*oss.endpoint[len("http://") :].split(":"))  # type: ignore[arg-type]
    connection.request(method, path, headers=headers)
    body = connection.getresponse().read().decode()
    connection.close()
    return body


@pytest.mark.parametrize("auth", [oss2.ProviderAuth, oss2.ProviderAuthV4])
def test_tampering_is_noticed(metadata: FakeMetadataServer, oss: FakeOss, auth: Any) -> None:
    sent: list[Any] = []

    class Spy(oss2.Session):  # type: ignore[misc]
        def do_request(self, request: Any, timeout: Any) -> Any:
            sent.append(request)
            return super().do_request(request, timeout)

    bucket = oss2.Bucket(
        auth(Mixed(*metadata.rotate()[:3])),
        oss.endpoint,
        "pictures",
        region=oss.region,
        session=Spy(),
    )
    bucket.put_object("a", b"x")
    bucket.get_object("a")
    good = {name: value for name, value in sent[-1].headers.items() if value is not None}
    assert resend(oss, "GET", "/pictures/a", good) == "x"
    signed = good["authorization"]
    other = "1" if signed[-1] == "0" else "0"
    for method, path, headers in [
        ("GET", "/pictures/b", good),
        ("DELETE", "/pictures/a", good),
        ("GET", "/pictures/a", {**good, "x-oss-meta-more": "1"}),
        ("GET", "/pictures/a?uploadId=1", good),
        ("GET", "/pictures/a", {**good, "authorization": signed[:-1] + other}),
    ]:
        assert "<Code>SignatureDoesNotMatch</Code>" in resend(oss, method, path, headers)
    old = {**good, "date": "Mon, 01 Jan 2024 00:00:00 GMT", "x-oss-date": "20240101T000000Z"}
    assert "<Code>" in resend(oss, "GET", "/pictures/a", old)
    assert "<Code>AccessDenied</Code>" in resend(oss, "GET", "/pictures/a", {})
    no_sense = {"authorization": "Basic x"}
    assert "<Code>InvalidArgument</Code>" in resend(oss, "GET", "/pictures/a", no_sense)


def test_wrong_region_is_refused(oss: FakeOss, provider: EcsRamRoleCredentialsProvider) -> None:
    bucket = oss2.Bucket(
        oss2.ProviderAuthV4(provider), oss.endpoint, "pictures", region="cn-elsewhere"
    )
    with pytest.raises(oss2.exceptions.InvalidArgument, match="cn-fake-1"):
        bucket.get_object("a")


def test_what_is_not_faked_says_so(oss: FakeOss, provider: EcsRamRoleCredentialsProvider) -> None:
    bucket = oss2_bucket(oss, oss2.ProviderAuthV4(provider))
    with pytest.raises(oss2.exceptions.NotImplemented, match="does not fake"):
        bucket.get_bucket_lifecycle()
    bucket.bucket_name = "elsewhere"
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        bucket.get_object("a")


def test_bad_digest_is_refused(oss: FakeOss, provider: EcsRamRoleCredentialsProvider) -> None:
    bucket = oss2_bucket(oss, oss2.ProviderAuthV4(provider))
    with pytest.raises(oss2.exceptions.InvalidDigest):
        bucket.put_object("a", b"x", headers={"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="})


def test_keys_may_hold_what_urls_do_not(
    oss: FakeOss, provider: EcsRamRoleCredentialsProvider
) -> None:
    bucket = oss2_bucket(oss, oss2.ProviderAuthV4(provider))
    for key in ("a b", "a+b", "a%2Fb", "ü/日本", "a&b=c", "~x"):
        bucket.put_object(key, key.encode())
        assert bucket.get_object(key).read() == key.encode()
    assert urllib.parse.quote("a%2Fb") == "a%252Fb"
