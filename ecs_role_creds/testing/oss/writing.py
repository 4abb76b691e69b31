"""PutObject, and code for all operations that create an object."""

from __future__ import annotations

from dataclasses import replace

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.errors import RefusedError, invalid_argument
from ecs_role_creds.testing.oss.names import (
    MAX_METADATA_BYTES,
    ObjectAcl,
    check_flag,
    check_object_acl,
    check_storage_class,
    tags_of_header,
)
from ecs_role_creds.testing.oss.operations import Call, Operation
from ecs_role_creds.testing.oss.storage import StoredObject, is_kept

NEW_OBJECT_HEADERS = frozenset(
    {
        "x-oss-meta-*",
        "x-oss-object-acl",
        "x-oss-storage-class",
        "x-oss-tagging",
        "x-oss-forbid-overwrite",
    }
)
"""The headers of operations that create an object."""


def draft_of(call: Call) -> StoredObject:
    """Return the object that the request's headers describe, without content."""
    headers = {name: value for name, value in call.headers.items() if is_kept(name)}
    metadata = sum(
        len(name) + len(value.encode())
        for name, value in headers.items()
        if name.startswith("x-oss-meta-")
    )
    if metadata > MAX_METADATA_BYTES:
        raise invalid_argument(
            "x-oss-meta-", str(metadata), "The total size of user meta must not exceed 8 KB."
        )
    acl: ObjectAcl = "default"
    if "x-oss-object-acl" in call.headers:
        acl = check_object_acl(call.headers["x-oss-object-acl"])
    storage_class = call.bucket.storage_class
    if "x-oss-storage-class" in call.headers:
        storage_class = check_storage_class(call.headers["x-oss-storage-class"])
    tags = {}
    if "x-oss-tagging" in call.headers:
        tags = tags_of_header(call.headers["x-oss-tagging"])
        call.require("oss:PutObjectTagging", "write", call.bucket.name, call.key)
    return StoredObject(b"", headers, call.now, acl=acl, tags=tags, storage_class=storage_class)


def check_overwrite(call: Call) -> None:
    """Raise ``FileAlreadyExists`` if the request forbids overwriting the object."""
    header = "x-oss-forbid-overwrite"
    is_forbidden = check_flag(header, call.headers.get(header), "0017-00000279")
    if is_forbidden and call.key in call.bucket:
        raise RefusedError(
            409,
            "FileAlreadyExists",
            "The object you specified already exists and can not be overwritten.",
            "0026-00000002",
        )


def put_object(call: Call) -> Response:
    """Store the body as an object."""
    draft = draft_of(call)
    check_overwrite(call)
    stored = replace(draft, content=call.body)
    call.bucket[call.key] = stored
    return Response(200, b"", {**checksums(stored), "Content-MD5": stored.content_md5})


def checksums(stored: StoredObject) -> dict[str, str]:
    """Return the headers with the checksums of the stored object."""
    return {"ETag": stored.etag, "x-oss-hash-crc64ecma": str(stored.crc64)}


OPERATIONS = (
    Operation(
        "PutObject",
        "PUT",
        "object",
        put_object,
        "oss:PutObject",
        "write",
        headers=NEW_OBJECT_HEADERS | {"x-oss-hash-crc64ecma"},
        stores_body=True,
    ),
)
