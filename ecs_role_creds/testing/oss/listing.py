"""Lists of objects, versions 1 and 2."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.buckets import OWNER
from ecs_role_creds.testing.oss.errors import invalid_argument
from ecs_role_creds.testing.oss.names import MAX_KEY_BYTES, check_flag, integer_of
from ecs_role_creds.testing.oss.operations import Call, Operation
from ecs_role_creds.testing.oss.storage import StoredObject
from ecs_role_creds.testing.oss.xml import element, text, timestamp, xml_response


class Page(NamedTuple):
    """A page of a list.

    Attributes:
        keys: The keys.
        prefixes: The common prefixes.
        next_marker: The marker of the next page; empty on the last page.
    """

    keys: list[str]
    prefixes: list[str]
    next_marker: str


def page_of(keys: Sequence[str], prefix: str, delimiter: str, marker: str, most: int) -> Page:
    """Return a page of sorted keys: those after the marker, grouped by the delimiter."""
    found: list[str] = []
    prefixes: list[str] = []
    last = ""
    for key in keys[bisect_right(keys, max(marker, prefix[:-1])) :]:
        if not key.startswith(prefix):
            if key > prefix:
                break  # keys are sorted: no more will match
            continue
        head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        group = prefix + head + cut if cut else ""
        if group and (group <= marker or (prefixes and prefixes[-1] == group)):
            continue
        if len(found) + len(prefixes) == most:
            return Page(found, prefixes, last)
        (prefixes if group else found).append(group or key)
        last = group or key
    return Page(found, prefixes, "")


def names_shown(call: Call) -> Callable[[str], str]:
    """Return a function that encodes names for the response."""
    return _quoted if call.is_url_encoded() else str


def _quoted(name: str) -> str:
    return quote(name, safe="")


def short_parameter(call: Call, name: str) -> str:
    """Return a parameter that is at most as long as a key; empty if it is missing."""
    value = call.query.get(name, "")
    if len(value.encode()) > MAX_KEY_BYTES:
        raise invalid_argument(
            name, value, f"The length of {name} must not be greater than {MAX_KEY_BYTES}."
        )
    return value


def list_objects(call: Call) -> Response:
    """List objects, version 1."""
    marker = short_parameter(call, "marker")
    page, common = _listed(call, marker, with_owner=True)
    shown = names_shown(call)
    parts = [text("Marker", shown(marker)), *common]
    if page.next_marker:
        parts.append(text("NextMarker", shown(page.next_marker)))
    return xml_response("ListBucketResult", *parts)


def list_objects_v2(call: Call) -> Response:
    """List objects, version 2."""
    if call.query["list-type"] != "2":
        raise invalid_argument(
            "list-type", call.query["list-type"], "list-type must be 2.", "0015-00000401"
        )
    token = call.query.get("continuation-token") or None  # oss2 sends an empty one
    start_after = short_parameter(call, "start-after")
    marker = start_after if token is None else _marker_of(token)
    with_owner = check_flag("fetch-owner", call.query.get("fetch-owner"))
    page, parts = _listed(call, marker, with_owner=with_owner)
    parts.append(text("KeyCount", len(page.keys) + len(page.prefixes)))
    if start_after:
        parts.append(text("StartAfter", names_shown(call)(start_after)))
    if token is not None:
        parts.append(text("ContinuationToken", token))
    if page.next_marker:
        parts.append(text("NextContinuationToken", _token_of(page.next_marker)))
    return xml_response("ListBucketResult", *parts)


def _listed(call: Call, marker: str, *, with_owner: bool) -> tuple[Page, list[str]]:
    """Return the requested page, and the elements that both versions share."""
    bucket, shown = call.bucket, names_shown(call)
    prefix, delimiter = short_parameter(call, "prefix"), short_parameter(call, "delimiter")
    most = integer_of("max-keys", call.query.get("max-keys"), 1, 1000, 100, "0015-00000402")
    page = page_of(sorted(bucket), prefix, delimiter, marker, most)
    return page, [
        text("Name", bucket.name),
        text("Prefix", shown(prefix)),
        text("MaxKeys", most),
        text("Delimiter", shown(delimiter)),
        text("IsTruncated", str(bool(page.next_marker)).lower()),
        *([text("EncodingType", "url")] if call.is_url_encoded() else []),
        *(
            _contents(shown(key), stored, with_owner)
            for key in page.keys
            if (stored := bucket.get(key)) is not None
        ),
        *(element("CommonPrefixes", text("Prefix", shown(one))) for one in page.prefixes),
    ]


def _contents(key: str, stored: StoredObject, with_owner: bool) -> str:
    return element(
        "Contents",
        text("Key", key),
        text("LastModified", timestamp(stored.stored_at)),
        text("ETag", stored.etag),
        text("Type", stored.kind),
        text("Size", 0 if stored.kind == "Symlink" else len(stored.content)),
        text("StorageClass", stored.storage_class),
        *([OWNER] if with_owner else []),
    )


def _token_of(marker: str) -> str:
    return base64.urlsafe_b64encode(marker.encode()).decode()


def _marker_of(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise invalid_argument(
            "continuation-token", token, "The continuation token is not valid."
        ) from None


_COMMON = frozenset({"prefix", "delimiter", "max-keys", "encoding-type"})

OPERATIONS = (
    Operation(
        "ListObjects",
        "GET",
        "bucket",
        list_objects,
        "oss:ListObjects",
        "read",
        parameters=_COMMON | {"marker"},
    ),
    Operation(
        "ListObjectsV2",
        "GET",
        "bucket",
        list_objects_v2,
        "oss:ListObjects",
        "read",
        selectors=frozenset({"list-type"}),
        parameters=_COMMON | {"start-after", "continuation-token", "fetch-owner"},
    ),
)
