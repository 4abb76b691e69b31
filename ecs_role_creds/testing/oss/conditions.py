"""Conditional requests and ranges: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from ecs_role_creds.testing.oss.errors import (
    RefusedError,
    invalid_argument,
    not_modified,
    precondition_failed,
)
from ecs_role_creds.testing.oss.storage import StoredObject

COPY_CONDITIONS = frozenset(
    {
        "x-oss-copy-source-if-match",
        "x-oss-copy-source-if-none-match",
        "x-oss-copy-source-if-modified-since",
        "x-oss-copy-source-if-unmodified-since",
    }
)


def check_conditions(headers: Mapping[str, str], stored: StoredObject, prefix: str = "") -> None:
    """Raise 412 or 304 unless every condition holds.

    Args:
        headers: The request's headers.
        stored: The object.
        prefix: The prefix of the names of the conditions, for copies.
    """
    etag = stored.etag
    changed_at = stored.stored_at.replace(microsecond=0)
    if_match = headers.get(f"{prefix}if-match")
    if if_match is not None and not _matches(if_match, etag):
        raise precondition_failed("If-Match")
    unmodified_since = _date(headers, f"{prefix}if-unmodified-since")
    if unmodified_since is not None and changed_at > unmodified_since:
        raise precondition_failed("If-Unmodified-Since")
    if_none_match = headers.get(f"{prefix}if-none-match")
    if if_none_match is not None and _matches(if_none_match, etag):
        raise not_modified(etag)
    modified_since = _date(headers, f"{prefix}if-modified-since")
    if modified_since is not None and changed_at <= modified_since:
        raise not_modified(etag)


def _matches(listed: str, etag: str) -> bool:
    candidates = [one.strip().strip('"').upper() for one in listed.split(",")]
    return "*" in candidates or etag.strip('"').upper() in candidates


def _date(headers: Mapping[str, str], name: str) -> datetime | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        raise invalid_argument(name, value, f"{name} is not a GMT date.") from None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)


def range_asked_for(headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """Return the first and last byte that are requested; ``None`` for the whole object.

    A range outside the object returns the whole object, unless the request has
    ``x-oss-range-behavior: standard`` (documented).

    Raises:
        RefusedError: ``InvalidRange``, for standard behaviour and a range outside the object.
    """
    value = headers.get("range")
    if value is None:
        return None
    behavior = headers.get("x-oss-range-behavior")
    if behavior not in (None, "standard"):
        raise invalid_argument("x-oss-range-behavior", behavior, "Pass standard or nothing.")
    ends = _ends(value)
    if ends is None:
        return None
    first, last = ends
    if first is None:  # the last bytes; the last 0 bytes are not a range
        span = (size - last, size - 1) if last else (size, size)
    else:
        span = (first, size - 1 if last is None else last)
    if behavior is None:
        return span if 0 <= span[0] <= span[1] < size else None
    span = (max(span[0], 0), min(span[1], size - 1))
    if span[0] >= size or span[0] > span[1]:
        raise RefusedError(
            416,
            "InvalidRange",
            "The requested range cannot be satisfied.",
            "",
            {"ActualObjectSize": str(size), "RangeRequested": value},
            {"Content-Range": f"bytes */{size}"},
        )
    return span


def _ends(value: str) -> tuple[int | None, int | None] | None:
    """Return both numbers of ``bytes=FIRST-LAST``; ``None`` if it is not a single range."""
    unit, _, span = value.partition("=")
    first, dash, last = span.partition("-")
    if unit.strip() != "bytes" or not dash or not (first or last):
        return None
    if not all(one == "" or (one.isascii() and one.isdigit()) for one in (first, last)):
        return None
    return (int(first[:19]) if first else None, int(last[:19]) if last else None)
