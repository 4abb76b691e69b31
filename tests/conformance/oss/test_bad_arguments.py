"""What OSS refuses of requests that no client would send, and of signatures out of place."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests
from support.oss_clients import oss2, presigned_url, signed_request

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeOss

OBJECT = ("pictures", "a")
BUCKET = ("pictures", "")
MANY_TAGS = b"<Tagging><TagSet>%s</TagSet></Tagging>"


def tag(key: str, value: str) -> bytes:
    return f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>".encode()


@pytest.fixture
def auth(oss: FakeOss, provider: EcsRamRoleCredentialsProvider) -> Any:
    oss.put("pictures", "a", b"0123456789")
    oss.objects["pictures"].uploads.clear()
    return oss2.ProviderAuthV4(provider)


@pytest.mark.parametrize(
    ("method", "path", "params", "headers", "body", "expected"),
    [
        # Buckets.
        ("PUT", ("new-bucket", ""), {}, {}, b"<Other/>", "MalformedXML"),
        (
            "PUT",
            ("new-bucket", ""),
            {},
            {},
            b"<CreateBucketConfiguration><Colour>red</Colour></CreateBucketConfiguration>",
            "MalformedXML",
        ),
        (
            "PUT",
            ("new-bucket", ""),
            {},
            {},
            b"<CreateBucketConfiguration><DataRedundancyType>XRS</DataRedundancyType>"
            b"</CreateBucketConfiguration>",
            "MalformedXML",
        ),
        (
            "PUT",
            ("new-bucket", ""),
            {},
            {},
            b"<CreateBucketConfiguration><StorageClass>Cold</StorageClass>"
            b"</CreateBucketConfiguration>",
            "InvalidArgument",
        ),
        ("PUT", BUCKET, {"acl": ""}, {}, b"", "MissingArgument"),
        ("GET", ("", ""), {"max-keys": "1001"}, {}, b"", "InvalidArgument"),
        # Objects.
        ("PUT", OBJECT, {}, {"x-oss-storage-class": "Cold"}, b"x", "InvalidArgument"),
        ("PUT", OBJECT, {}, {"x-oss-object-acl": "mine"}, b"x", "InvalidArgument"),
        ("PUT", OBJECT, {}, {"x-oss-meta-a": "x" * 8200}, b"x", "InvalidArgument"),
        ("PUT", OBJECT, {}, {"x-oss-tagging": "a=1&a=2"}, b"x", "InvalidTag"),
        ("PUT", OBJECT, {}, {"x-oss-tagging": "=1"}, b"x", "InvalidTag"),
        ("PUT", OBJECT, {"acl": ""}, {}, b"", "MissingArgument"),
        ("PUT", OBJECT, {"symlink": ""}, {}, b"", "MissingArgument"),
        (
            "PUT",
            OBJECT,
            {"symlink": ""},
            {"x-oss-symlink-target": "%2Fa"},
            b"",
            "InvalidObjectName",
        ),
        ("PUT", OBJECT, {"tagging": ""}, {}, b"", "MalformedXML"),
        ("PUT", OBJECT, {"tagging": ""}, {}, MANY_TAGS % tag("x" * 129, "y"), "InvalidTag"),
        ("PUT", OBJECT, {"tagging": ""}, {}, MANY_TAGS % tag("x", "y" * 257), "InvalidTag"),
        ("POST", OBJECT, {"append": ""}, {}, b"x", "MissingArgument"),
        ("POST", OBJECT, {"append": "", "position": "end"}, {}, b"x", "InvalidArgument"),
        (
            "GET",
            OBJECT,
            {},
            {"x-oss-range-behavior": "loose", "Range": "bytes=0-1"},
            b"",
            "InvalidArgument",
        ),
        ("GET", OBJECT, {"response-content-type": "a\r\nb: c"}, {}, b"", "InvalidArgument"),
        # Copies.
        ("PUT", OBJECT, {}, {"x-oss-copy-source": "/pictures"}, b"", "InvalidArgument"),
        (
            "PUT",
            OBJECT,
            {},
            {"x-oss-copy-source": "/pictures/a?versionId=1"},
            b"",
            "NotImplemented",
        ),
        ("PUT", OBJECT, {}, {"x-oss-copy-source": "/archive/old"}, b"", "InvalidObjectState"),
        ("PUT", OBJECT, {}, {"x-oss-copy-source": "/pictures//a"}, b"", "InvalidObjectName"),
        # Restores.
        ("POST", ("archive", "old"), {"restore": ""}, {}, b"<Other/>", "MalformedXML"),
        (
            "POST",
            ("archive", "old"),
            {"restore": ""},
            {},
            b"<RestoreRequest><Days>many</Days></RestoreRequest>",
            "InvalidArgument",
        ),
        (
            "POST",
            ("archive", "old"),
            {"restore": ""},
            {},
            b"<RestoreRequest><JobParameters><Tier>Fast</Tier></JobParameters></RestoreRequest>",
            "MalformedXML",
        ),
        # Multipart uploads.
        ("PUT", OBJECT, {"uploadId": "1", "partNumber": "1"}, {}, b"x", "NoSuchUpload"),
        ("POST", OBJECT, {"uploadId": "UPLOAD"}, {}, b"", "MalformedXML"),
        ("POST", OBJECT, {"uploadId": "UPLOAD"}, {}, b"<CompleteMultipartUpload/>", "MalformedXML"),
        (
            "POST",
            OBJECT,
            {"uploadId": "UPLOAD"},
            {},
            b"<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>x</ETag></Part>"
            b"<Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
            "InvalidPartOrder",
        ),
        (
            "POST",
            OBJECT,
            {"uploadId": "UPLOAD"},
            {},
            b"<CompleteMultipartUpload><Part><PartNumber>one</PartNumber></Part>"
            b"</CompleteMultipartUpload>",
            "InvalidArgument",
        ),
        (
            "POST",
            OBJECT,
            {"uploadId": "UPLOAD"},
            {"x-oss-complete-all": "no"},
            b"",
            "InvalidArgument",
        ),
        (
            "POST",
            OBJECT,
            {"uploadId": "UPLOAD"},
            {"x-oss-complete-all": "yes"},
            b"<x/>",
            "InvalidArgument",
        ),
        (
            "POST",
            OBJECT,
            {"uploadId": "UPLOAD"},
            {"x-oss-complete-all": "yes"},
            b"",
            "MalformedXML",
        ),
    ],
)
def test_refused(
    oss: FakeOss,
    auth: Any,
    method: str,
    path: tuple[str, str],
    params: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    expected: str,
) -> None:
    old = {"x-oss-storage-class": "Archive"}
    assert signed_request(oss, auth, "PUT", ("archive", "old"), {}, old, b"x").status_code == 200
    signed_request(oss, auth, "POST", OBJECT, {"uploads": ""})
    (upload_id,) = oss.objects["pictures"].uploads
    params = {name: upload_id if value == "UPLOAD" else value for name, value in params.items()}
    answer = signed_request(oss, auth, method, path, params, headers, body)
    assert answer.status_code in (400, 403, 404)
    assert f"<Code>{expected}</Code>" in answer.text
    assert oss.objects["pictures"]["a"].content == b"0123456789"
    assert "new-bucket" not in oss.objects


def test_signed_payloads_are_refused(oss: FakeOss, provider: EcsRamRoleCredentialsProvider) -> None:
    headers = {"x-oss-content-sha256": "0" * 64}
    auth = oss2.ProviderAuth(provider)  # the other one overwrites the header
    answer = signed_request(oss, auth, "PUT", OBJECT, {}, headers, b"x")
    assert (answer.status_code, "<Code>NotImplemented</Code>" in answer.text) == (400, True)
    assert dict(oss.objects["pictures"]) == {}


def test_uploads_grouped_by_a_delimiter(oss: FakeOss, auth: Any) -> None:
    for key in ("a/1", "a/2", "b"):
        signed_request(oss, auth, "POST", ("pictures", key), {"uploads": ""})
    params = {"uploads": "", "delimiter": "/", "max-uploads": "1"}
    first = signed_request(oss, auth, "GET", BUCKET, params).text
    assert "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>" in first
    assert "<NextKeyMarker>a/</NextKeyMarker>" in first
    second = signed_request(oss, auth, "GET", BUCKET, {**params, "key-marker": "a/"}).text
    assert "<Key>b</Key>" in second
    assert "<IsTruncated>false</IsTruncated>" in second
    after = {"uploads": "", "key-marker": "a/1"}
    assert "<Key>a/1</Key>" not in signed_request(oss, auth, "GET", BUCKET, after).text


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (("x-oss-expires=600", "x-oss-expires=0"), 403, "AccessDenied"),
        (("x-oss-expires=600", "x-oss-expires=soon"), 403, "AccessDenied"),
        (("x-oss-expires=600", "x-oss-expires=604801"), 403, "AccessDenied"),
        (("x-oss-date=", "x-oss-date=x"), 403, "AccessDenied"),
        (("aliyun_v4_request", "aws4_request"), 400, "InvalidArgument"),
        (("%2Foss%2F", "%2Fsts%2F"), 403, "SignatureDoesNotMatch"),
    ],
)
def test_bad_presigned_v4(
    oss: FakeOss, auth: Any, change: tuple[str, str], status: int, code: str
) -> None:
    url = presigned_url(oss, auth, "GET", OBJECT)
    assert requests.get(url, timeout=300).status_code == 200
    assert change[0] in url
    answer = requests.get(url.replace(*change), timeout=300)
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True)


def test_bad_presigned_v1(oss: FakeOss, provider: EcsRamRoleCredentialsProvider) -> None:
    oss.put("pictures", "a", b"x")
    auth = oss2.ProviderAuth(provider)
    url = presigned_url(oss, auth, "GET", OBJECT)
    assert requests.get(url, timeout=300).status_code == 200
    ends = f"Expires={url.partition('Expires=')[2].partition('&')[0]}"
    for other in ("Expires=soon", f"Expires={int(time.time()) - 1}"):
        answer = requests.get(url.replace(ends, other), timeout=300)
        assert (answer.status_code, "<Code>AccessDenied</Code>" in answer.text) == (403, True)


def test_a_date_far_off_is_refused(oss: FakeOss, provider: EcsRamRoleCredentialsProvider) -> None:
    credentials = provider.get_credentials()
    for date, code in [
        ("Mon, 01 Jan 2024 00:00:00 GMT", "RequestTimeTooSkewed"),
        ("Mon, 01 Jan 2024 00:00:00 -0000", "RequestTimeTooSkewed"),
        ("today", "AccessDenied"),
    ]:
        answer = requests.get(
            f"{oss.endpoint}/pictures/a",
            headers={
                "Authorization": f"OSS {credentials.access_key_id}:x",
                "x-oss-security-token": credentials.security_token,
                "Date": date,
            },
            timeout=300,
        )
        assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (403, True)
