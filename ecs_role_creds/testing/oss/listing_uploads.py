"""Lists of the multipart uploads in a bucket, and of the parts of one."""

from __future__ import annotations

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.listing import names_shown, page_of, short_parameter
from ecs_role_creds.testing.oss.multipart import MAX_PART_NUMBER, named, upload_of
from ecs_role_creds.testing.oss.names import integer_of
from ecs_role_creds.testing.oss.operations import Call, Operation
from ecs_role_creds.testing.oss.storage import Part, crc64_of
from ecs_role_creds.testing.oss.xml import element, text, timestamp, xml_response


def list_parts(call: Call) -> Response:
    """List the parts of an upload, in pages."""
    upload = upload_of(call)
    marker = integer_of(
        "part-number-marker", call.query.get("part-number-marker"), 0, MAX_PART_NUMBER, 0
    )
    most = integer_of("max-parts", call.query.get("max-parts"), 1, 1000, 1000)
    numbers = sorted(number for number in upload.parts if number > marker)
    page, is_truncated = numbers[:most], len(numbers) > most
    return xml_response(
        "ListPartsResult",
        *named(call),
        text("UploadId", upload.upload_id),
        text("StorageClass", upload.draft.storage_class),
        text("PartNumberMarker", marker),
        text("NextPartNumberMarker", page[-1] if page else 0),
        text("MaxParts", most),
        text("IsTruncated", str(is_truncated).lower()),
        *(_part_shown(number, upload.parts[number]) for number in page),
    )


def _part_shown(number: int, part: Part) -> str:
    return element(
        "Part",
        text("PartNumber", number),
        text("LastModified", timestamp(part.stored_at)),
        text("ETag", part.etag),
        text("HashCrc64ecma", crc64_of(part.content)),
        text("Size", len(part.content)),
    )


def list_multipart_uploads(call: Call) -> Response:
    """List the uploads in progress by key and id, in pages."""
    bucket, shown = call.bucket, names_shown(call)
    prefix, delimiter = short_parameter(call, "prefix"), short_parameter(call, "delimiter")
    key_marker, id_marker = short_parameter(call, "key-marker"), call.query.get("upload-id-marker")
    most = integer_of("max-uploads", call.query.get("max-uploads"), 1, 1000, 1000)
    # A key may have several uploads: each is listed as a name of its own, the key and the id.
    by_name = {f"{one.key}\0{one.upload_id}": one for one in bucket.uploads.values()}
    if key_marker and id_marker:
        marker = f"{key_marker}\0{id_marker}"
    elif key_marker and not (delimiter and key_marker.endswith(delimiter)):
        marker = f"{key_marker}\1"  # after every upload of that key
    else:
        marker = key_marker
    page = page_of(sorted(by_name), prefix, delimiter, marker, most)
    next_key, _, next_id = page.next_marker.partition("\0")
    return xml_response(
        "ListMultipartUploadsResult",
        text("Bucket", bucket.name),
        *([text("EncodingType", "url")] if call.is_url_encoded() else []),
        text("KeyMarker", shown(key_marker)),
        text("UploadIdMarker", id_marker or ""),
        text("NextKeyMarker", shown(next_key)),
        text("NextUploadIdMarker", next_id),
        text("Delimiter", shown(delimiter)),
        text("Prefix", shown(prefix)),
        text("MaxUploads", most),
        text("IsTruncated", str(bool(page.next_marker)).lower()),
        *(
            element(
                "Upload",
                text("Key", shown(by_name[name].key)),
                text("UploadId", by_name[name].upload_id),
                text("StorageClass", by_name[name].draft.storage_class),
                text("Initiated", timestamp(by_name[name].draft.stored_at)),
            )
            for name in page.keys
        ),
        *(element("CommonPrefixes", text("Prefix", shown(one))) for one in page.prefixes),
    )


OPERATIONS = (
    Operation(
        "ListParts",
        "GET",
        "object",
        list_parts,
        "oss:ListParts",
        selectors=frozenset({"uploadId"}),
        parameters=frozenset({"encoding-type", "max-parts", "part-number-marker"}),
    ),
    Operation(
        "ListMultipartUploads",
        "GET",
        "bucket",
        list_multipart_uploads,
        "oss:ListMultipartUploads",
        selectors=frozenset({"uploads"}),
        parameters=frozenset(
            {
                "encoding-type",
                "prefix",
                "delimiter",
                "key-marker",
                "upload-id-marker",
                "max-uploads",
            }
        ),
    ),
)
