"""GetObject, HeadObject and GetObjectMeta."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.conditions import check_conditions, range_asked_for
from ecs_role_creds.testing.oss.errors import RefusedError, invalid_argument
from ecs_role_creds.testing.oss.names import ARCHIVED
from ecs_role_creds.testing.oss.operations import CONDITIONS, Call, Operation
from ecs_role_creds.testing.oss.storage import StoredObject

OVERRIDES = {
    "response-content-type": "Content-Type",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
}
"""The parameters that replace a header of the response."""


def get_object(call: Call) -> Response:
    """Return an object, or a range of it."""
    overrides = _overrides(call)
    stored, headers = _described(call)
    if not is_readable(stored, call.now):
        raise RefusedError(
            403, "InvalidObjectState", "The operation is not valid for the object's state."
        )
    headers.update(overrides)
    span = range_asked_for(call.headers, len(stored.content))
    if span is None:
        return Response(200, stored.content, headers)
    first, last = span
    headers["Content-Range"] = f"bytes {first}-{last}/{len(stored.content)}"
    headers.pop("Content-MD5", None)  # of all of it
    return Response(206, stored.content[first : last + 1], headers)


def head_object(call: Call) -> Response:
    """Return the headers of an object."""
    stored, headers = _described(call)
    return Response(200, b"", {**headers, "Content-Length": str(len(stored.content))})


def get_object_meta(call: Call) -> Response:
    """Return the size, the ETag and the date of an object."""
    stored = call.stored
    headers = {
        "ETag": stored.etag,
        "Last-Modified": http_date(stored.stored_at),
        "Content-Length": "0" if stored.kind == "Symlink" else str(len(stored.content)),
        "x-oss-hash-crc64ecma": str(stored.crc64),
    }
    return Response(200, b"", headers)


def http_date(moment: datetime) -> str:
    """Return a time in the format of HTTP headers."""
    return format_datetime(moment, usegmt=True)


def is_readable(stored: StoredObject, now: datetime) -> bool:
    """Whether an object can be read now. An archived one must be restored first."""
    if stored.storage_class not in ARCHIVED:
        return True
    start, end = stored.restored_from, stored.restored_until
    return start is not None and end is not None and start <= now < end


def restore_header(stored: StoredObject, now: datetime) -> dict[str, str]:
    """Return the header about the restore of an object."""
    start, end = stored.restored_from, stored.restored_until
    if start is None or end is None or now >= end:
        return {}
    if now < start:
        return {"x-oss-restore": 'ongoing-request="true"'}
    return {"x-oss-restore": f'ongoing-request="false", expiry-date="{http_date(end)}"'}


def _described(call: Call) -> tuple[StoredObject, dict[str, str]]:
    """Return the object in the request with its headers; for a symlink, its target."""
    named = call.stored
    stored = _target_of(call, named) if named.kind == "Symlink" else named
    check_conditions(call.headers, stored)
    headers = {
        "Content-Type": "application/octet-stream",
        **{_shown(name): value for name, value in named.headers.items()},
        "Accept-Ranges": "bytes",
        "ETag": stored.etag,
        "Last-Modified": http_date(max(named.stored_at, stored.stored_at)),
        "x-oss-object-type": named.kind,
        "x-oss-storage-class": stored.storage_class,
        "x-oss-hash-crc64ecma": str(stored.crc64),
        **restore_header(stored, call.now),
    }
    if stored.kind == "Normal":
        headers["Content-MD5"] = stored.content_md5
    if stored.kind == "Appendable":
        headers["x-oss-next-append-position"] = str(len(stored.content))
    if named.tags:
        headers["x-oss-tagging-count"] = str(len(named.tags))
    return stored, headers


def _target_of(call: Call, symlink: StoredObject) -> StoredObject:
    name = symlink.content.decode()
    target = call.bucket.get(name)
    if target is None:
        raise RefusedError(
            404, "SymlinkTargetNotExist", "The symlink target object does not exist."
        )
    if target.kind == "Symlink":
        raise RefusedError(
            400, "InvalidTargetType", "The target of symbolic link could not be symbolic link."
        )
    call.require("oss:GetObject", "read", call.bucket.name, name)
    return target


def _shown(name: str) -> str:
    return name if name.startswith("x-oss-") else name.title()


def _overrides(call: Call) -> dict[str, str]:
    asked = {name: value for name, value in call.query.items() if name in OVERRIDES}
    if asked and call.is_anonymous:
        raise RefusedError(
            400,
            "InvalidRequest",
            "The response-* parameters cannot be used with anonymous access.",
        )
    for name, value in asked.items():
        if not value.isprintable():
            raise invalid_argument(name, value, f"{name} has characters that no header may have.")
    return {OVERRIDES[name]: value for name, value in asked.items()}


_READ_HEADERS = CONDITIONS | {"range", "x-oss-range-behavior"}

OPERATIONS = (
    Operation(
        "GetObject",
        "GET",
        "object",
        get_object,
        "oss:GetObject",
        "read",
        parameters=frozenset(OVERRIDES),
        headers=_READ_HEADERS,
    ),
    Operation(
        "HeadObject", "HEAD", "object", head_object, "oss:GetObject", "read", headers=CONDITIONS
    ),
    Operation(
        "GetObjectMeta",
        "HEAD",
        "object",
        get_object_meta,
        "oss:GetObject",
        "read",
        selectors=frozenset({"objectMeta"}),
    ),
)
