"""Multipart uploads, through every client."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
from support.oss_clients import OssError

from ecs_role_creds.testing import FakeOss

KEY = "folder/lärge + 1"
PART = 100 * 1024


def refused(call: Any, *args: Any, **kwargs: Any) -> tuple[int, str]:
    with pytest.raises(OssError) as caught:
        call(*args, **kwargs)
    return caught.value.status, caught.value.code


def test_upload(client: Any, oss: FakeOss) -> None:
    headers = {"Content-Type": "image/png", "x-oss-meta-a": "1", "x-oss-tagging": "t=1"}
    upload = client.initiate("pictures", KEY, headers)
    contents = {1: os.urandom(PART), 3: os.urandom(PART), 7: b"the last"}
    etags = {
        number: client.upload_part("pictures", KEY, upload, number, content)
        for number, content in reversed(contents.items())
    }
    assert etags[7] == hashlib.md5(b"the last").hexdigest().upper()
    sizes = [(number, len(content)) for number, content in contents.items()]
    assert client.parts("pictures", KEY, upload) == sizes
    assert client.parts("pictures", KEY, upload, most=1) == sizes
    assert KEY not in oss.objects["pictures"]
    etag = client.complete("pictures", KEY, upload, sorted(etags.items()))
    assert etag.strip('"').endswith("-3")
    answer = client.get("pictures", KEY)
    assert answer.body == b"".join(contents.values())
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["x-oss-meta-a"] == "1"
    assert answer.headers["x-oss-object-type"] == "Multipart"
    assert answer.headers["ETag"].strip('"') == etag.strip('"')
    assert "Content-MD5" not in answer.headers
    assert client.tags("pictures", KEY) == {"t": "1"}
    assert client.uploads("pictures") == []
    ended = (client.upload_part, "pictures", KEY, upload, 1, b"x")
    assert refused(*ended) == (404, "NoSuchUpload")


def test_complete_checks_its_parts(client: Any, oss: FakeOss) -> None:
    upload = client.initiate("pictures", KEY)
    first = client.upload_part("pictures", KEY, upload, 1, b"too small")
    second = client.upload_part("pictures", KEY, upload, 2, b"the last")
    for parts, code in [
        ([(1, first), (1, first)], "InvalidPartOrder"),
        ([(1, second)], "InvalidPart"),
        ([(5, first)], "InvalidPart"),
        ([(1, first), (2, second)], "EntityTooSmall"),
    ]:
        assert refused(client.complete, "pictures", KEY, upload, parts) == (400, code)
    assert KEY not in oss.objects["pictures"]
    client.complete("pictures", KEY, upload, [(1, first)])
    assert client.get("pictures", KEY).body == b"too small"


def test_complete_all(client: Any) -> None:
    upload = client.initiate("pictures", KEY)
    client.upload_part("pictures", KEY, upload, 2, b"b")
    client.upload_part("pictures", KEY, upload, 1, b"a" * PART)
    client.complete("pictures", KEY, upload, [], {"x-oss-complete-all": "yes"})
    assert client.get("pictures", KEY).body == b"a" * PART + b"b"


def test_part_numbers(client: Any) -> None:
    upload = client.initiate("pictures", KEY)
    for number in (0, 10_001):
        wrong = (client.upload_part, "pictures", KEY, upload, number, b"x")
        assert refused(*wrong) == (400, "InvalidArgument")
    client.upload_part("pictures", KEY, upload, 10_000, b"x")
    client.upload_part("pictures", KEY, upload, 10_000, b"replaced")
    assert client.parts("pictures", KEY, upload) == [(10_000, 8)]


def test_sequential(client: Any) -> None:
    upload = client.initiate("pictures", KEY, {}, {"sequential": ""})
    later = (client.upload_part, "pictures", KEY, upload, 2, b"x")
    assert refused(*later) == (409, "PartNotSequential")
    client.upload_part("pictures", KEY, upload, 1, b"x")
    again = (client.upload_part, "pictures", KEY, upload, 1, b"x")
    assert refused(*again) == (409, "PartAlreadyExist")


def test_part_copy(client: Any, oss: FakeOss) -> None:
    oss.put("archive", "source + ü", b"0123456789")
    upload = client.initiate("pictures", KEY)
    etag = client.upload_part_copy(("archive", "source + ü"), (2, 5), "pictures", KEY, upload)
    client.complete("pictures", KEY, upload, [(1, etag)])
    assert client.get("pictures", KEY).body == b"2345"


def test_list_uploads(client: Any) -> None:
    keys = ("a/1", "a/1", "a/2", "b ü")
    expected = [(key, client.initiate("pictures", key)) for key in keys]
    for size in (1, 2, 1000):
        assert client.uploads("pictures", most=size) == expected
    assert client.uploads("pictures", "a/") == expected[:3]
    client.abort("pictures", *expected[0])
    assert client.uploads("pictures") == expected[1:]
    assert refused(client.abort, "pictures", *expected[0]) == (404, "NoSuchUpload")
    other = ("pictures", "elsewhere", expected[1][1])
    assert refused(client.parts, *other) == (404, "NoSuchUpload")


def test_forbid_overwrite(client: Any, oss: FakeOss) -> None:
    forbid = {"x-oss-forbid-overwrite": "true"}
    upload = client.initiate("pictures", KEY, forbid)
    etag = client.upload_part("pictures", KEY, upload, 1, b"x")
    oss.put("pictures", KEY, b"first")
    late = (client.complete, "pictures", KEY, upload, [(1, etag)], forbid)
    assert refused(*late) == (409, "FileAlreadyExists")
    assert refused(client.initiate, "pictures", KEY, forbid) == (409, "FileAlreadyExists")
    assert client.get("pictures", KEY).body == b"first"
