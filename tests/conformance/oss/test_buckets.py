"""Buckets, through every client."""

from __future__ import annotations

from typing import Any

import pytest
from support.oss_clients import OssError

from ecs_role_creds.testing import FakeOss


def test_create_and_delete(client: Any, oss: FakeOss) -> None:
    client.create_bucket("new-bucket", "public-read", "IA")
    assert client.bucket_info("new-bucket") == (
        "new-bucket",
        "public-read",
        "IA",
        "oss-cn-fake-1",
    )
    client.put("new-bucket", "a", b"x")
    assert client.head("new-bucket", "a").headers["x-oss-storage-class"] == "IA"
    with pytest.raises(OssError) as caught:
        client.delete_bucket("new-bucket")
    assert (caught.value.status, caught.value.code) == (409, "BucketNotEmpty")
    assert caught.value.ec == "0015-00000301"
    client.delete("new-bucket", "a")
    upload = client.initiate("new-bucket", "b")
    with pytest.raises(OssError) as caught:
        client.delete_bucket("new-bucket")
    assert caught.value.code == "BucketNotEmpty"
    client.abort("new-bucket", "b", upload)
    client.delete_bucket("new-bucket")
    assert "new-bucket" not in oss.objects
    with pytest.raises(OssError) as caught:
        client.get("new-bucket", "a")
    assert (caught.value.status, caught.value.code) == (404, "NoSuchBucket")
    assert caught.value.request_id.startswith("FAKE")


def test_list_in_pages(client: Any, oss: FakeOss) -> None:
    oss.create_bucket("pictures-2")
    oss.create_bucket("pictures-3")
    assert client.list_buckets() == ["archive", "pictures", "pictures-2", "pictures-3"]
    assert client.list_buckets(most=1) == ["archive", "pictures", "pictures-2", "pictures-3"]
    assert client.list_buckets("pictures-") == ["pictures-2", "pictures-3"]


def test_information(client: Any, oss: FakeOss) -> None:
    oss.put("pictures", "a", b"12345")
    oss.put("pictures", "b", b"123")
    client.initiate("pictures", "c")
    assert client.bucket_stat("pictures") == (2, 8, 1)
    assert client.bucket_location("pictures") == "oss-cn-fake-1"


def test_acl(client: Any) -> None:
    assert client.bucket_acl("pictures") == "private"
    client.put_bucket_acl("pictures", "public-read-write")
    assert client.bucket_acl("pictures") == "public-read-write"
    client.create_bucket("pictures", "private")  # the owner may repeat it
    assert client.bucket_acl("pictures") == "private"
    with pytest.raises(OssError) as caught:
        client.put_bucket_acl("pictures", "public-everything")
    assert (caught.value.status, caught.value.code) == (400, "InvalidArgument")
    with pytest.raises(OssError) as caught:
        client.create_bucket("pictures", None, "Archive")
    assert (caught.value.status, caught.value.code) == (409, "BucketAlreadyExists")
