"""Multipart uploads."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.conditions import COPY_CONDITIONS, range_asked_for
from ecs_role_creds.testing.oss.copying import SOURCE, source_of
from ecs_role_creds.testing.oss.errors import (
    RefusedError,
    invalid_argument,
    malformed_xml,
    no_such_upload,
)
from ecs_role_creds.testing.oss.listing import names_shown
from ecs_role_creds.testing.oss.names import check_object_acl, integer_of
from ecs_role_creds.testing.oss.operations import Call, Operation
from ecs_role_creds.testing.oss.storage import Part, Upload, crc64_of
from ecs_role_creds.testing.oss.writing import (
    NEW_OBJECT_HEADERS,
    check_overwrite,
    checksums,
    draft_of,
)
from ecs_role_creds.testing.oss.xml import parse, text, timestamp, xml_response

MAX_PART_NUMBER = 10_000  # documented
MIN_PART_BYTES = 100 * 1024  # documented; the last part may be smaller

_serial = itertools.count(1)


def initiate_multipart_upload(call: Call) -> Response:
    """Start an upload."""
    draft = draft_of(call)
    check_overwrite(call)
    upload_id = f"FAKEUPLOAD{next(_serial):022}"
    is_sequential = "sequential" in call.query
    call.bucket.uploads[upload_id] = Upload(call.key, upload_id, draft, is_sequential)
    return xml_response(
        "InitiateMultipartUploadResult",
        *named(call),
        text("UploadId", upload_id),
    )


def upload_part(call: Call) -> Response:
    """Store the body as a part. It replaces an earlier part with this number."""
    part = _store_part(call, call.body)
    crc64 = crc64_of(part.content)
    return Response(200, b"", {"ETag": part.etag, "x-oss-hash-crc64ecma": str(crc64)})


def upload_part_copy(call: Call) -> Response:
    """Store an object, or a range of it, as a part."""
    upload_of(call)
    source = source_of(call)
    asked = {"range": call.headers.get("x-oss-copy-source-range", "")}
    first, last = range_asked_for(asked, len(source.content)) or (0, len(source.content) - 1)
    part = _store_part(call, source.content[first : last + 1])
    return xml_response(
        "CopyPartResult",
        text("LastModified", timestamp(part.stored_at)),
        text("ETag", part.etag),
        headers={
            "ETag": part.etag,
            "Content-Range": f"bytes {first}-{last}/{len(source.content)}",
        },
    )


def _store_part(call: Call, content: bytes) -> Part:
    upload = upload_of(call)
    given = call.parameter("partNumber")
    number = integer_of("partNumber", given, 1, MAX_PART_NUMBER, 0)
    if upload.is_sequential:
        if number in upload.parts:
            raise RefusedError(
                409,
                "PartAlreadyExist",
                "For sequential multipart upload, you can't overwrite uploaded parts.",
            )
        if number != len(upload.parts) + 1:
            raise RefusedError(
                409,
                "PartNotSequential",
                "For sequential multipart upload, you must upload or complete parts with "
                "sequential part number.",
            )
    upload.parts[number] = Part(content, call.now)
    return upload.parts[number]


def upload_of(call: Call) -> Upload:
    """Return the upload in the request; raises ``NoSuchUpload``."""
    upload_id = call.query.get("uploadId", "")
    upload = call.bucket.uploads.get(upload_id)
    if upload is None or upload.key != call.key:
        raise no_such_upload(upload_id)
    return upload


def complete_multipart_upload(call: Call) -> Response:
    """Create the object from the parts in the request, or from all parts."""
    upload = upload_of(call)
    check_overwrite(call)
    parts = _parts_to_join(call, upload)
    too_small = [part for part in parts[:-1] if len(part.content) < MIN_PART_BYTES]
    if too_small:
        raise RefusedError(
            400,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed object size.",
            "0042-00000213",
            {"ProposedSize": str(len(too_small[0].content)), "MinSizeAllowed": str(MIN_PART_BYTES)},
        )
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest().upper()}-{len(parts)}"
    stored = replace(
        upload.draft,
        content=b"".join(part.content for part in parts),
        stored_at=call.now,
        kind="Multipart",
        etag_of_parts=etag,
    )
    if "x-oss-object-acl" in call.headers:
        stored = replace(stored, acl=check_object_acl(call.headers["x-oss-object-acl"]))
    call.bucket[call.key] = stored
    del call.bucket.uploads[upload.upload_id]
    return xml_response(
        "CompleteMultipartUploadResult",
        text("Location", call.received.url.partition("?")[0]),
        *named(call),
        text("ETag", stored.etag),
        headers=checksums(stored),
    )


def _parts_to_join(call: Call, upload: Upload) -> list[Part]:
    takes_all = call.headers.get("x-oss-complete-all")
    if takes_all is not None:
        if takes_all != "yes":
            raise invalid_argument("x-oss-complete-all", takes_all, "Pass yes, or leave it out.")
        if call.body.strip():
            raise RefusedError(
                400,
                "InvalidArgument",
                "The request body must be empty where x-oss-complete-all is given.",
            )
        if not upload.parts:
            raise malformed_xml("no part has been uploaded.", "0042-00000205")
        return [upload.parts[number] for number in sorted(upload.parts)]
    root = parse(call.body, "CompleteMultipartUpload")
    listed = [] if root is None else root.findall("Part")
    if not 1 <= len(listed) <= MAX_PART_NUMBER:
        raise malformed_xml("there must be 1 to 10000 Part nodes.", "0042-00000205")
    numbers = [
        integer_of("PartNumber", node.findtext("PartNumber") or "0", 1, MAX_PART_NUMBER, 0)
        for node in listed
    ]
    if any(one >= next_one for one, next_one in itertools.pairwise(numbers)):
        raise RefusedError(
            400,
            "InvalidPartOrder",
            "The list of parts was not in ascending order. "
            "Parts list must be specified in order by part number.",
            "0042-00000209",
        )
    for number, node in zip(numbers, listed, strict=True):
        part, etag = upload.parts.get(number), node.findtext("ETag") or ""
        if part is None or part.etag.strip('"') != etag.strip('" ').upper():
            raise RefusedError(
                400,
                "InvalidPart",
                "One or more of the specified parts could not be found or the specified entity "
                "tag might not have matched the part's entity tag.",
                "",
                {"UploadId": upload.upload_id, "PartNumber": str(number)},
            )
    return [upload.parts[number] for number in numbers]


def abort_multipart_upload(call: Call) -> Response:
    """Abort an upload and delete its parts."""
    del call.bucket.uploads[upload_of(call).upload_id]
    return Response(204)


def named(call: Call) -> list[str]:
    """Return the elements with the bucket and key of an upload."""
    encoding = [text("EncodingType", "url")] if call.is_url_encoded() else []
    return [*encoding, text("Bucket", call.bucket.name), text("Key", names_shown(call)(call.key))]


_OF_UPLOAD = frozenset({"uploadId"})
_OF_PART = frozenset({"uploadId", "partNumber"})
_ENCODING = frozenset({"encoding-type"})

OPERATIONS = (
    Operation(
        "InitiateMultipartUpload",
        "POST",
        "object",
        initiate_multipart_upload,
        "oss:PutObject",
        "write",
        selectors=frozenset({"uploads"}),
        parameters=_ENCODING | {"sequential"},
        headers=NEW_OBJECT_HEADERS,
    ),
    Operation(
        "UploadPart",
        "PUT",
        "object",
        upload_part,
        "oss:PutObject",
        "write",
        selectors=_OF_PART,
        headers=frozenset({"x-oss-hash-crc64ecma"}),
        stores_body=True,
    ),
    Operation(
        "UploadPartCopy",
        "PUT",
        "object",
        upload_part_copy,
        "oss:PutObject",
        "write",
        selectors=_OF_PART,
        selecting_header=SOURCE,
        headers=COPY_CONDITIONS | {"x-oss-copy-source-range"},
    ),
    Operation(
        "CompleteMultipartUpload",
        "POST",
        "object",
        complete_multipart_upload,
        "oss:PutObject",
        "write",
        selectors=_OF_UPLOAD,
        parameters=_ENCODING,
        headers=frozenset({"x-oss-complete-all", "x-oss-forbid-overwrite", "x-oss-object-acl"}),
    ),
    Operation(
        "AbortMultipartUpload",
        "DELETE",
        "object",
        abort_multipart_upload,
        "oss:AbortMultipartUpload",
        "write",
        selectors=_OF_UPLOAD,
    ),
)
