"""Operations on ACLs, tags, symlinks and restores of objects."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote, unquote

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.buckets import OWNER
from ecs_role_creds.testing.oss.errors import RefusedError, malformed_xml, missing_argument
from ecs_role_creds.testing.oss.names import (
    ARCHIVED,
    check_key,
    check_object_acl,
    check_tags,
    integer_of,
)
from ecs_role_creds.testing.oss.operations import Call, Operation
from ecs_role_creds.testing.oss.reading import http_date
from ecs_role_creds.testing.oss.writing import NEW_OBJECT_HEADERS, check_overwrite, draft_of
from ecs_role_creds.testing.oss.xml import element, parse, text, xml_response

_TIERS = ("Standard", "Expedited", "Bulk")


def put_object_acl(call: Call) -> Response:
    """Set the ACL of an object."""
    acl = call.headers.get("x-oss-object-acl")
    if acl is None:
        raise missing_argument("x-oss-object-acl")
    call.bucket[call.key] = replace(call.stored, acl=check_object_acl(acl))
    return Response(200)


def get_object_acl(call: Call) -> Response:
    """Return the ACL of an object."""
    return xml_response(
        "AccessControlPolicy",
        OWNER,
        element("AccessControlList", text("Grant", call.stored.acl)),
    )


def put_object_tagging(call: Call) -> Response:
    """Replace the tags of an object."""
    stored = call.stored
    root = parse(call.body, "Tagging")
    if root is None or root.find("TagSet") is None:
        raise malformed_xml("the root node is not named Tagging, or has no TagSet.")
    pairs = [
        (node.findtext("Key") or "", node.findtext("Value") or "")
        for node in root.findall("TagSet/Tag")
    ]
    call.bucket[call.key] = replace(stored, tags=check_tags(pairs))
    return Response(200)


def get_object_tagging(call: Call) -> Response:
    """Return the tags of an object."""
    tags = (
        element("Tag", text("Key", key), text("Value", value))
        for key, value in call.stored.tags.items()
    )
    return xml_response("Tagging", element("TagSet", *tags))


def delete_object_tagging(call: Call) -> Response:
    """Remove the tags of an object."""
    call.bucket[call.key] = replace(call.stored, tags={})
    return Response(204)


def put_symlink(call: Call) -> Response:
    """Create a symlink. Its target need not exist."""
    given = call.headers.get("x-oss-symlink-target")
    if not given:
        raise missing_argument("x-oss-symlink-target")
    target = unquote(given)
    check_key(target)
    draft = draft_of(call)
    check_overwrite(call)
    stored = replace(draft, content=target.encode(), kind="Symlink")
    call.bucket[call.key] = stored
    return Response(200, b"", {"ETag": stored.etag})


def get_symlink(call: Call) -> Response:
    """Return the target of a symlink."""
    stored = call.stored
    if stored.kind != "Symlink":
        raise RefusedError(400, "NotSymlink", "The object specified is not a symbolic link.")
    target = quote(stored.content.decode(), safe="")
    headers = {
        "x-oss-symlink-target": target,
        "ETag": stored.etag,
        "Last-Modified": http_date(stored.stored_at),
    }
    return Response(200, b"", headers)


def restore_object(call: Call) -> Response:
    """Restore an archived object for some days: 202 at first, 200 to extend it."""
    stored, now = call.stored, call.now
    if stored.storage_class not in ARCHIVED:
        raise RefusedError(
            400,
            "OperationNotSupported",
            "The operation is not supported for this resource",
            "0016-00000702",
            {"Detail": "RestoreObject operation does not support this object storage class"},
        )
    days = _restore_days(call.body)
    start, end = stored.restored_from, stored.restored_until
    if start is not None and now < start:
        raise RefusedError(409, "RestoreAlreadyInProgress", "The restore operation is in progress.")
    if start is not None and end is not None and now < end:
        status, begin = 200, start
    else:
        status, begin = 202, now + timedelta(seconds=call.restore_seconds)
    call.bucket[call.key] = replace(
        stored, restored_from=begin, restored_until=max(begin, now) + timedelta(days=days)
    )
    return Response(status)


def _restore_days(body: bytes) -> int:
    if not body.strip():
        return 1
    root = parse(body, "RestoreRequest")
    if root is None:
        raise malformed_xml("the root node is not named RestoreRequest.")
    tier = root.findtext("JobParameters/Tier") or root.findtext("Tier") or "Standard"
    if tier not in _TIERS:
        raise malformed_xml(f"Tier is one of {', '.join(_TIERS)}.")
    return integer_of("Days", root.findtext("Days"), 1, 365, 1)


OPERATIONS = (
    Operation(
        "PutObjectAcl",
        "PUT",
        "object",
        put_object_acl,
        "oss:PutObjectAcl",
        selectors=frozenset({"acl"}),
        headers=frozenset({"x-oss-object-acl"}),
    ),
    Operation(
        "GetObjectAcl",
        "GET",
        "object",
        get_object_acl,
        "oss:GetObjectAcl",
        selectors=frozenset({"acl"}),
    ),
    Operation(
        "PutObjectTagging",
        "PUT",
        "object",
        put_object_tagging,
        "oss:PutObjectTagging",
        selectors=frozenset({"tagging"}),
    ),
    Operation(
        "GetObjectTagging",
        "GET",
        "object",
        get_object_tagging,
        "oss:GetObjectTagging",
        selectors=frozenset({"tagging"}),
    ),
    Operation(
        "DeleteObjectTagging",
        "DELETE",
        "object",
        delete_object_tagging,
        "oss:DeleteObjectTagging",
        selectors=frozenset({"tagging"}),
    ),
    Operation(
        "RestoreObject",
        "POST",
        "object",
        restore_object,
        "oss:RestoreObject",
        selectors=frozenset({"restore"}),
    ),
    Operation(
        "PutSymlink",
        "PUT",
        "object",
        put_symlink,
        "oss:PutObject",
        "write",
        selectors=frozenset({"symlink"}),
        headers=NEW_OBJECT_HEADERS | {"x-oss-symlink-target"},
    ),
    Operation(
        "GetSymlink",
        "GET",
        "object",
        get_symlink,
        "oss:GetObject",
        "read",
        selectors=frozenset({"symlink"}),
    ),
)
