"""Objects, through every client."""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest
from support.oss_clients import Answer, OssError

from ecs_role_creds.testing import FakeOss

KEY = "folder/pïcture + 1.png"


def refused(call: Any, *args: Any, **kwargs: Any) -> tuple[int, str]:
    with pytest.raises(OssError) as caught:
        call(*args, **kwargs)
    return caught.value.status, caught.value.code


def test_put_and_get(client: Any, oss: FakeOss) -> None:
    content = os.urandom(200_000)
    stored = client.put(
        "pictures",
        KEY,
        content,
        {
            "Content-Type": "image/png",
            "Cache-Control": "no-cache",
            "Content-Disposition": "inline",
            "x-oss-meta-author": "me",
        },
    )
    md5 = hashlib.md5(content).digest()
    assert stored.headers["ETag"] == f'"{md5.hex().upper()}"'
    assert stored.headers["x-oss-hash-crc64ecma"].isdigit()
    got = client.get("pictures", KEY)
    assert got.body == content
    for answer in (got, client.head("pictures", KEY)):
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "image/png"  # once
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["Content-Disposition"] == "inline"
        assert answer.headers["x-oss-meta-author"] == "me"
        assert answer.headers["x-oss-object-type"] == "Normal"
        assert answer.headers["x-oss-storage-class"] == "Standard"
        assert answer.headers["Content-MD5"] == base64.b64encode(md5).decode()
        assert answer.headers["x-oss-hash-crc64ecma"] == stored.headers["x-oss-hash-crc64ecma"]
        assert answer.headers["Content-Length"] == "200000"
    assert oss.objects["pictures"][KEY].content == content
    assert client.meta("pictures", KEY).headers["Content-Length"] == "200000"
    assert client.delete("pictures", KEY) == 204
    assert client.delete("pictures", KEY) == 204
    assert refused(client.get, "pictures", KEY) == (404, "NoSuchKey")
    assert refused(client.head, "pictures", KEY) == (404, "NoSuchKey")
    assert oss.refused == []


def test_what_was_seeded_is_read(client: Any, oss: FakeOss) -> None:
    oss.objects["pictures"]["a"] = b"bytes"
    oss.put("pictures", "b", "text", content_type="text/plain", **{"x-oss-meta-a": "b"})
    assert client.get("pictures", "a").body == b"bytes"
    answer = client.get("pictures", "b")
    assert (answer.body, answer.headers["Content-Type"]) == (b"text", "text/plain")
    assert answer.headers["x-oss-meta-a"] == "b"


@pytest.mark.parametrize(
    ("asked", "expected", "standard"),
    [
        ("bytes=2-5", b"2345", b"2345"),
        ("bytes=7-", b"789", b"789"),
        ("bytes=-2", b"89", b"89"),
        ("bytes=5-20", b"0123456789", b"56789"),  # documented: the whole object
        ("bytes=20-30", b"0123456789", None),
        ("bytes=-20", b"0123456789", b"0123456789"),
        ("bytes=5-2", b"0123456789", None),
        ("bytes=0-1,3-4", b"0123456789", b"0123456789"),
        ("lines=0-1", b"0123456789", b"0123456789"),
    ],
)
def test_ranges(client: Any, oss: FakeOss, asked: str, expected: bytes, standard: bytes) -> None:
    oss.put("pictures", "digits", b"0123456789")
    answer = client.get("pictures", "digits", {"Range": asked})
    assert answer.body == expected
    assert answer.status == (200 if len(expected) == 10 else 206)
    headers = {"Range": asked, "x-oss-range-behavior": "standard"}
    if standard is None:
        assert refused(client.get, "pictures", "digits", headers) == (416, "InvalidRange")
    else:
        assert client.get("pictures", "digits", headers).body == standard


def test_conditions(client: Any, oss: FakeOss) -> None:
    oss.put("pictures", "a", b"x")
    etag = oss.objects["pictures"]["a"].etag
    changed = client.head("pictures", "a").headers["Last-Modified"]
    before = format_datetime(parsedate_to_datetime(changed) - timedelta(hours=1), usegmt=True)
    for ask in (client.get, client.head):
        for headers, status in [
            ({"If-Match": etag}, 200),
            ({"If-Match": '"0"'}, 412),
            ({"If-None-Match": '"0"'}, 200),
            ({"If-None-Match": etag}, 304),
            ({"If-Modified-Since": before}, 200),
            ({"If-Modified-Since": changed}, 304),
            ({"If-Unmodified-Since": changed}, 200),
            ({"If-Unmodified-Since": before}, 412),
        ]:
            try:
                answer: Answer = ask("pictures", "a", headers)
                got = answer.status
            except OssError as error:
                got = error.status
            assert (headers, got) == (headers, status)
    assert refused(client.get, "pictures", "a", {"If-Modified-Since": "soon"})[0] == 400


def test_response_overrides(client: Any, oss: FakeOss) -> None:
    oss.put("pictures", "a", b"x", content_type="image/png")
    overrides = {
        "response-content-type": "text/plain",
        "response-content-language": "de",
        "response-expires": "Fri, 24 Feb 2012 17:00:00 GMT",
        "response-cache-control": "no-store",
        "response-content-disposition": 'attachment; filename="a b.txt"',
        "response-content-encoding": "identity",
    }
    answer = client.get("pictures", "a", {}, overrides)
    for name, value in overrides.items():
        assert answer.headers[name.removeprefix("response-")] == value


def test_integrity_is_checked(client: Any, oss: FakeOss) -> None:
    wrong = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    assert refused(client.put, "pictures", "a", b"x", wrong) == (400, "InvalidDigest")
    wrong = {"x-oss-hash-crc64ecma": "1"}
    assert refused(client.put, "pictures", "a", b"x", wrong) == (400, "InvalidDigest")
    assert "a" not in oss.objects["pictures"]


def test_forbid_overwrite(client: Any, oss: FakeOss) -> None:
    forbid = {"x-oss-forbid-overwrite": "true"}
    client.put("pictures", "a", b"1", forbid)
    assert refused(client.put, "pictures", "a", b"2", forbid) == (409, "FileAlreadyExists")
    copying = (client.copy, ("pictures", "a"), "pictures", "a", forbid)
    assert refused(*copying) == (409, "FileAlreadyExists")
    assert oss.objects["pictures"]["a"].content == b"1"
    client.put("pictures", "a", b"2", {"x-oss-forbid-overwrite": "false"})
    wrong = {"x-oss-forbid-overwrite": "perhaps"}
    assert refused(client.put, "pictures", "a", b"3", wrong) == (400, "InvalidArgument")


def test_delete_many(client: Any, oss: FakeOss) -> None:
    keys = ["a", "b ü", "c&d<e>", "nowhere"]
    for key in keys[:3]:
        oss.put("pictures", key, b"x")
    oss.put("pictures", "stays", b"x")
    assert client.delete_many("pictures", keys) == keys
    assert list(oss.objects["pictures"]) == ["stays"]


def test_copy(client: Any, oss: FakeOss) -> None:
    headers = {"x-oss-meta-a": "1", "x-oss-tagging": "t=1"}
    client.put("pictures", KEY, b"content", {"Content-Type": "image/png", **headers})
    client.copy(("pictures", KEY), "archive", "kept")
    kept = client.head("archive", "kept").headers
    assert (kept["Content-Type"], kept["x-oss-meta-a"]) == ("image/png", "1")
    assert client.tags("archive", "kept") == {"t": "1"}
    replaced_by = {
        "x-oss-metadata-directive": "REPLACE",
        "x-oss-tagging-directive": "REPLACE",
        "Content-Type": "text/plain",
        "x-oss-storage-class": "IA",
    }
    etag = client.copy(("archive", "kept"), "archive", "kept", replaced_by)  # onto itself
    replaced = client.get("archive", "kept")
    assert replaced.body == b"content"
    assert replaced.headers["ETag"].strip('"') == etag
    assert replaced.headers["Content-Type"] == "text/plain"
    assert replaced.headers["x-oss-storage-class"] == "IA"
    assert "x-oss-meta-a" not in replaced.headers
    assert client.tags("archive", "kept") == {}
    source = ("archive", "kept")
    wrong = {"x-oss-copy-source-if-match": '"0"'}
    assert refused(client.copy, source, "archive", "b", wrong) == (412, "PreconditionFailed")
    wrong = {"x-oss-copy-source-if-none-match": f'"{etag}"'}
    assert refused(client.copy, source, "archive", "b", wrong)[0] == 304
    wrong = {"x-oss-metadata-directive": "MIX"}
    assert refused(client.copy, source, "archive", "b", wrong) == (400, "InvalidArgument")
    missing = ("archive", "nowhere")
    assert refused(client.copy, missing, "archive", "b") == (404, "NoSuchKey")
    assert refused(client.copy, ("nowhere", "a"), "archive", "b") == (404, "NoSuchBucket")
    assert "b" not in oss.objects["archive"]


def test_append(client: Any, oss: FakeOss) -> None:
    assert client.append("pictures", "log", 0, b"one,") == 4
    assert client.append("pictures", "log", 4, b"two") == 7
    answer = client.get("pictures", "log")
    assert answer.body == b"one,two"
    assert answer.headers["x-oss-object-type"] == "Appendable"
    assert answer.headers["x-oss-next-append-position"] == "7"
    wrong = (client.append, "pictures", "log", 4, b"again")
    assert refused(*wrong) == (409, "PositionNotEqualToLength")
    oss.put("pictures", "plain", b"x")
    assert refused(client.append, "pictures", "plain", 1, b"y") == (409, "ObjectNotAppendable")
    copying = (client.copy, ("pictures", "log"), "pictures", "b")
    assert refused(*copying) == (400, "OperationNotSupported")


def test_symlink(client: Any, oss: FakeOss) -> None:
    client.put_symlink("pictures", "link", KEY)
    assert client.symlink("pictures", "link") == KEY
    assert refused(client.get, "pictures", "link") == (404, "SymlinkTargetNotExist")
    oss.put("pictures", KEY, b"content", content_type="image/png")
    answer = client.get("pictures", "link")
    assert answer.body == b"content"
    assert answer.headers["x-oss-object-type"] == "Symlink"
    assert client.head("pictures", "link").headers["Content-Length"] == "7"
    client.put_symlink("pictures", "link-to-link", "link")
    assert refused(client.get, "pictures", "link-to-link") == (400, "InvalidTargetType")
    assert refused(client.symlink, "pictures", KEY) == (400, "NotSymlink")


def test_acl(client: Any, oss: FakeOss) -> None:
    client.put("pictures", "a", b"x", {"x-oss-object-acl": "public-read"})
    assert client.acl("pictures", "a") == "public-read"
    client.put_acl("pictures", "a", "private")
    assert client.acl("pictures", "a") == "private"
    client.put("pictures", "b", b"x")
    assert client.acl("pictures", "b") == "default"
    wrong = (client.put_acl, "pictures", "a", "public-everything")
    assert refused(*wrong) == (400, "InvalidArgument")
    assert refused(client.acl, "pictures", "nowhere") == (404, "NoSuchKey")


def test_tags(client: Any) -> None:
    client.put("pictures", "a", b"x", {"x-oss-tagging": "project=x&owner=me%20too"})
    assert client.tags("pictures", "a") == {"project": "x", "owner": "me too"}
    assert client.head("pictures", "a").headers["x-oss-tagging-count"] == "2"
    client.put_tags("pictures", "a", {"project": "y"})
    assert client.tags("pictures", "a") == {"project": "y"}
    client.delete_tags("pictures", "a")
    assert client.tags("pictures", "a") == {}
    many = {f"tag-{number}": "x" for number in range(11)}
    assert refused(client.put_tags, "pictures", "a", many) == (400, "InvalidTag")
    wrong = {"x-oss-tagging": "a=*"}
    assert refused(client.put, "pictures", "b", b"x", wrong) == (400, "InvalidTag")


def test_restore(client: Any, oss: FakeOss) -> None:
    client.put("pictures", "old", b"x", {"x-oss-storage-class": "Archive"})
    assert refused(client.get, "pictures", "old") == (403, "InvalidObjectState")
    assert client.head("pictures", "old").headers["x-oss-storage-class"] == "Archive"
    oss.restore_seconds = 3600
    assert client.restore("pictures", "old", 2) == 202
    assert client.head("pictures", "old").headers["x-oss-restore"] == 'ongoing-request="true"'
    assert refused(client.restore, "pictures", "old", 2) == (409, "RestoreAlreadyInProgress")
    assert refused(client.get, "pictures", "old") == (403, "InvalidObjectState")
    oss.restore_seconds = 0
    client.put("pictures", "old", b"x", {"x-oss-storage-class": "Archive"})
    assert client.restore("pictures", "old", 2) == 202
    answer = client.get("pictures", "old")
    assert answer.body == b"x"
    assert 'ongoing-request="false", expiry-date=' in answer.headers["x-oss-restore"]
    assert client.restore("pictures", "old", 5) == 200
    oss.put("pictures", "new", b"x")
    assert refused(client.restore, "pictures", "new", 1) == (400, "OperationNotSupported")


@pytest.mark.parametrize(
    "key", ["a b", "a+b", "a%2Fb", "ü/日本", "a&b=c", "~x", "a//b", "a/", "x" * 1023]
)
def test_names(client: Any, oss: FakeOss, key: str) -> None:
    client.put("pictures", key, key.encode())
    assert client.get("pictures", key).body == key.encode()
    assert list(oss.objects["pictures"]) == [key]


def test_callbacks_are_refused(client: Any, oss: FakeOss) -> None:
    callback = {"x-oss-callback": base64.b64encode(b"{}").decode()}
    assert refused(client.put, "pictures", "a", b"x", callback) == (400, "NotImplemented")
    assert "a" not in oss.objects["pictures"]
