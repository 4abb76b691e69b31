"""The signature parameters of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from ecs_role_creds.testing.oss.errors import (
    RefusedError,
    access_denied,
    invalid_argument,
    not_implemented,
)
from ecs_role_creds.testing.oss.operations import Received

MAX_SKEW = timedelta(minutes=15)  # documented
MAX_V4_EXPIRES = timedelta(days=7)  # documented

_V4_HEADER = re.compile(
    r"OSS4-HMAC-SHA256 Credential=(?P<credential>[^,]+)"
    r"(?:,\s*AdditionalHeaders=(?P<additional>[^,]+))?,\s*Signature=(?P<signature>[0-9a-f]+)"
)
_V1_HEADER = re.compile(r"OSS (?P<id>[^:]+):(?P<signature>\S+)")
_NAMED_ID = re.compile(r"(?:Credential=|AccessKeyId:|^OSS )([^/:,\s]+)")
_VERIFIED = (
    "FakeOss verifies OSS signatures of version 1 (Authorization: OSS ...) and version 4 "
    "(Authorization: OSS4-HMAC-SHA256 ...), in headers and in presigned URLs"
)


class Claim(NamedTuple):
    """The signature parameters of a request."""

    access_key_id: str
    signature: str
    security_token: str | None
    signed_at: datetime | None
    expires_at: datetime | None
    version: int
    is_presigned: bool
    region: str = ""
    product: str = "oss"
    additional_headers: frozenset[str] = frozenset()


def named_access_key_id(received: Received) -> str | None:
    """Return the AccessKey id in a request. It has not been verified."""
    query = received.query
    match = _NAMED_ID.search(received.headers.get("authorization", ""))
    if match is not None:
        return match[1]
    credential = query.get("x-oss-credential") or query.get("X-Amz-Credential") or ""
    named = query.get("OSSAccessKeyId") or query.get("x-oss-access-key-id")
    return named or credential.partition("/")[0] or None


def read_claim(received: Received) -> Claim | None:
    """Return the signature parameters; ``None`` if the request is not signed."""
    headers, query = received.headers, received.query
    authorization = headers.get("authorization", "")
    _refuse_unverified(authorization, query)
    if match := _V4_HEADER.fullmatch(authorization):
        return _v4_claim(
            match["credential"],
            match["signature"],
            headers.get("x-oss-security-token"),
            headers.get("x-oss-date", ""),
            match["additional"] or "",
        )
    if match := _V1_HEADER.fullmatch(authorization):
        token = headers.get("x-oss-security-token") or headers.get("security-token")
        return Claim(match["id"], match["signature"], token, _v1_date(headers), None, 1, False)
    if authorization:
        raise invalid_argument(
            "Authorization",
            authorization.split(" ")[0],
            f"Unsupported Authorization Type. {_VERIFIED}.",
            "0002-00000002",
        )
    if "x-oss-signature" in query:
        claim = _v4_claim(
            query.get("x-oss-credential", ""),
            query["x-oss-signature"],
            query.get("x-oss-security-token"),
            query.get("x-oss-date", ""),
            query.get("x-oss-additional-headers", ""),
        )
        expires_at = (claim.signed_at or _NEVER) + _v4_expires(query.get("x-oss-expires", ""))
        return claim._replace(expires_at=expires_at, is_presigned=True)
    if "Signature" in query and "OSSAccessKeyId" in query:
        expires_at = _epoch(query.get("Expires", ""))
        token = query.get("security-token")
        return Claim(query["OSSAccessKeyId"], query["Signature"], token, None, expires_at, 1, True)
    return None


def _refuse_unverified(authorization: str, query: Mapping[str, str]) -> None:
    """Raise ``NotImplemented`` for signatures that only real OSS can verify."""
    if authorization.startswith("OSS2 ") or "x-oss-access-key-id" in query:
        raise not_implemented(
            f"signatures of version 2. {_VERIFIED}. Use oss2.ProviderAuthV4 or oss2.ProviderAuth"
        )
    if authorization.startswith("AWS") or "X-Amz-Signature" in query or "AWSAccessKeyId" in query:
        raise not_implemented(
            f"AWS signatures, as boto3 makes them. {_VERIFIED}. Use oss2 or alibabacloud-oss-v2"
        )


_NEVER = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _v4_claim(
    credential: str, signature: str, token: str | None, date: str, additional: str
) -> Claim:
    parts = credential.split("/")
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise access_denied("x-oss-date is missing or is not a date.", "") from None
    if len(parts) != 5 or parts[1] != date[:8] or parts[4] != "aliyun_v4_request":
        raise invalid_argument(
            "Authorization", credential, "The scope of the credential does not fit the request."
        )
    return Claim(
        access_key_id=parts[0],
        signature=signature,
        security_token=token,
        signed_at=signed_at,
        expires_at=None,
        version=4,
        is_presigned=False,
        region=parts[2],
        product=parts[3],
        additional_headers=frozenset(filter(None, additional.split(";"))),
    )


def _v1_date(headers: Mapping[str, str]) -> datetime:
    try:
        date = parsedate_to_datetime(headers.get("x-oss-date") or headers.get("date") or "")
    except (ValueError, TypeError):
        raise access_denied("The Date header is missing or is not a date.", "") from None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)


def _v4_expires(value: str) -> timedelta:
    if not (value.isascii() and value.isdigit() and len(value) < 9):
        raise access_denied("x-oss-expires is not a number of seconds.", "")
    expires = timedelta(seconds=int(value))
    if not timedelta(0) < expires <= MAX_V4_EXPIRES:
        raise access_denied("x-oss-expires is not between 1 second and 7 days.", "")
    return expires


def _epoch(value: str) -> datetime:
    if not (value.isascii() and value.isdigit() and len(value) < 12):
        raise access_denied("Expires is not a number of seconds.", "")
    return datetime.fromtimestamp(int(value), timezone.utc)


def check_time(claim: Claim, now: datetime) -> None:
    """Raise unless the signature is valid at this time."""
    if claim.expires_at is not None:
        if now >= claim.expires_at:
            raise access_denied("Request has expired.", "")
    elif claim.signed_at is not None and abs(now - claim.signed_at) > MAX_SKEW:
        raise RefusedError(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )
