"""CopyObject, and the source of a copy, which UploadPartCopy uses too."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.conditions import COPY_CONDITIONS, check_conditions
from ecs_role_creds.testing.oss.errors import (
    RefusedError,
    invalid_argument,
    no_such_key,
    not_implemented,
)
from ecs_role_creds.testing.oss.names import check_key
from ecs_role_creds.testing.oss.operations import Call, Operation
from ecs_role_creds.testing.oss.reading import is_readable
from ecs_role_creds.testing.oss.storage import StoredObject
from ecs_role_creds.testing.oss.writing import (
    NEW_OBJECT_HEADERS,
    check_overwrite,
    checksums,
    draft_of,
)
from ecs_role_creds.testing.oss.xml import text, timestamp, xml_response

SOURCE = "x-oss-copy-source"


def source_of(call: Call) -> StoredObject:
    """Return the source of a copy, after checking permission and conditions."""
    value = call.headers[SOURCE]
    path, _, version = value.partition("?")
    if version:
        raise not_implemented("copies of a version (versionId)")
    name, _, key = unquote(path).removeprefix("/").partition("/")
    if not name or not key:
        raise invalid_argument(SOURCE, value, "Copy Source must mention the source bucket and key.")
    check_key(key)
    bucket = call.bucket_named(name)
    call.require("oss:GetObject", "read", name, key)
    stored = bucket.get(key)
    if stored is None:
        raise no_such_key(key)
    check_conditions(call.headers, stored, "x-oss-copy-source-")
    if not is_readable(stored, call.now):
        raise RefusedError(
            403, "InvalidObjectState", "The operation is not valid for the object's state."
        )
    return stored


def copy_object(call: Call) -> Response:
    """Copy an object, with its headers and tags or with new ones. It may replace itself."""
    source = source_of(call)
    if source.kind == "Appendable":
        # Documented as impossible; the code is inferred.
        raise RefusedError(
            400, "OperationNotSupported", "CopyObject does not support appendable objects."
        )
    keeps_headers = _keeps(call, "x-oss-metadata-directive")
    keeps_tags = _keeps(call, "x-oss-tagging-directive")
    draft = draft_of(call)
    check_overwrite(call)
    copied = replace(
        draft,
        content=source.content,
        headers=source.headers if keeps_headers else draft.headers,
        tags=source.tags if keeps_tags else draft.tags,
        kind="Symlink" if source.kind == "Symlink" else "Normal",
    )
    call.bucket[call.key] = copied
    return xml_response(
        "CopyObjectResult",
        text("ETag", copied.etag),
        text("LastModified", timestamp(copied.stored_at)),
        headers=checksums(copied),
    )


def _keeps(call: Call, header: str) -> bool:
    """Whether the copy keeps the headers or tags of the source; ``COPY`` is the default."""
    directive = call.headers.get(header, "COPY")
    if directive.upper() not in ("COPY", "REPLACE"):
        raise invalid_argument(header, directive, f"{header} must be COPY or REPLACE.")
    return directive.upper() == "COPY"


OPERATIONS = (
    Operation(
        "CopyObject",
        "PUT",
        "object",
        copy_object,
        "oss:PutObject",
        "write",
        selecting_header=SOURCE,
        headers=NEW_OBJECT_HEADERS
        | COPY_CONDITIONS
        | {"x-oss-metadata-directive", "x-oss-tagging-directive"},
    ),
)
