"""Who signed a request, and whether OSS would believe it.

Requests are signed over again by ``alibabacloud_oss_v2.signer``, an implementation independent of
oss2, with the secret of the AccessKey id that the request names and at the time it names.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl, quote, urlsplit

from alibabacloud_oss_v2.signer import SignerV1, SignerV4
from alibabacloud_oss_v2.types import Credentials, HttpRequest, SigningContext

from ecs_role_creds.testing.exchange import IssuedCredentials

MAX_SKEW = timedelta(minutes=15)  # documented
MAX_V4_EXPIRES = timedelta(days=7)  # documented

_V4_HEADER = re.compile(
    r"OSS4-HMAC-SHA256 Credential=(?P<credential>[^,]+)"
    r"(?:,\s*AdditionalHeaders=(?P<additional>[^,]+))?,\s*Signature=(?P<signature>[0-9a-f]+)"
)
_V1_HEADER = re.compile(r"OSS (?P<id>[^:]+):(?P<signature>\S+)")


class Authority(Protocol):
    """Who knows which credentials were issued; a ``FakeMetadataServer`` is one."""

    def find_issued(self, access_key_id: str) -> IssuedCredentials | None:
        """The credentials issued with this AccessKey id, valid or not."""

    def now(self) -> datetime:
        """The time of day by which they expire."""
        ...


class RefusedError(Exception):
    """A request that OSS would not serve.

    Args:
        status: The HTTP status.
        code: OSS's name for what is wrong.
        message: The same for people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Received(NamedTuple):
    """A request to OSS, taken apart.

    Attributes:
        method: ``GET``, ``PUT``, ...
        url: In full, as it was asked for.
        headers: Names in lower case.
        bucket: The bucket it names, if any.
        key: The object it names, if any.
        query: Its parameters, unquoted.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    bucket: str | None
    key: str | None
    query: Mapping[str, str]


class Claim(NamedTuple):
    """What a request says of its signature."""

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


def verify(received: Received, authority: Authority, real_now: datetime) -> str:
    """Check a request as OSS does.

    Args:
        received: The request.
        authority: Who issued the credentials.
        real_now: The time of day by which clients sign.

    Returns:
        The AccessKey id that signed it.

    Raises:
        RefusedError: OSS would refuse it.
    """
    claim = _read_claim(received)
    issued = authority.find_issued(claim.access_key_id)
    if issued is None:
        raise RefusedError(
            403, "InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist."
        )
    _check_time(claim, real_now)
    if claim.security_token is None:
        raise RefusedError(403, "AccessDenied", "An STS AccessKey id needs its security token.")
    if not _equal(claim.security_token, issued.security_token):
        raise RefusedError(
            403, "InvalidSecurityToken", "The security token does not belong to the AccessKey id."
        )
    if not _equal(claim.signature, _sign_again(received, claim, issued)):
        raise RefusedError(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
    if authority.now() >= issued.expiration:
        raise RefusedError(
            403, "SecurityTokenExpired", "The security token you provided has expired."
        )
    return claim.access_key_id


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _read_claim(received: Received) -> Claim:
    headers, query = received.headers, received.query
    authorization = headers.get("authorization", "")
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
        raise RefusedError(400, "InvalidArgument", "The Authorization header makes no sense.")
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
    raise RefusedError(403, "AccessDenied", "You have no right to access this object.")


_NEVER = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _v4_claim(
    credential: str, signature: str, token: str | None, date: str, additional: str
) -> Claim:
    parts = credential.split("/")
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise RefusedError(403, "AccessDenied", "x-oss-date is missing or no date.") from None
    if len(parts) != 5 or parts[1] != date[:8] or parts[4] != "aliyun_v4_request":
        raise RefusedError(403, "SignatureDoesNotMatch", "The credential's scope makes no sense.")
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
        raise RefusedError(403, "AccessDenied", "The Date header is missing or no date.") from None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)


def _v4_expires(value: str) -> timedelta:
    if not (value.isascii() and value.isdigit() and len(value) < 9):
        raise RefusedError(403, "AccessDenied", "x-oss-expires is no number of seconds.")
    expires = timedelta(seconds=int(value))
    if not timedelta(0) < expires <= MAX_V4_EXPIRES:
        raise RefusedError(403, "AccessDenied", "x-oss-expires is out of range.")
    return expires


def _epoch(value: str) -> datetime:
    if not (value.isascii() and value.isdigit() and len(value) < 12):
        raise RefusedError(403, "AccessDenied", "Expires is no number of seconds.")
    return datetime.fromtimestamp(int(value), timezone.utc)


def _check_time(claim: Claim, now: datetime) -> None:
    if claim.expires_at is not None:
        if now >= claim.expires_at:
            raise RefusedError(403, "AccessDenied", "Request has expired.")
    elif claim.signed_at is not None and abs(now - claim.signed_at) > MAX_SKEW:
        raise RefusedError(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        )


def _sign_again(received: Received, claim: Claim, issued: IssuedCredentials) -> str:
    headers = {name: value for name, value in received.headers.items() if name != "authorization"}
    request = HttpRequest(received.method, _unsigned(received.url), headers)
    context = SigningContext(
        product=claim.product,
        region=claim.region,
        bucket=received.bucket,
        key=received.key,
        request=request,
        credentials=Credentials(
            issued.access_key_id, issued.access_key_secret, issued.security_token
        ),
        signing_time=claim.signed_at,
        additional_headers=set(claim.additional_headers),
    )
    context.auth_method_query = claim.is_presigned
    context.expiration_time = claim.expires_at
    (SignerV4() if claim.version == 4 else SignerV1()).sign(context)
    if claim.is_presigned:
        name = "x-oss-signature" if claim.version == 4 else "Signature"
        return dict(parameters(request.url))[name]
    authorization: str = request.headers["Authorization"]
    return authorization.rpartition("=" if claim.version == 4 else ":")[2]


def _unsigned(url: str) -> str:
    """The URL without the parameters that hold the signature itself, written in one way only."""
    kept = [
        quote(name, safe="") + (f"={quote(value, safe='')}" if value else "")
        for name, value in parameters(url)
        if name not in ("x-oss-signature", "Signature")
    ]
    path = url.partition("?")[0]
    return f"{path}?{'&'.join(kept)}" if kept else path


def parameters(url: str) -> list[tuple[str, str]]:
    """The parameters of a URL's query, unquoted; a ``+`` is a space, as oss2 sends it."""
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)
