"""Verifies ``ACS3-HMAC-SHA256`` signatures, with a different implementation than the SDKs."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from alibabacloud_openapi_util.client import Client as OpenApiUtil
from Tea.request import TeaRequest

from ecs_role_creds.testing.exchange import Request

ALGORITHM = "ACS3-HMAC-SHA256"
MAX_SKEW = 900.0
"""The maximum error of a request's date, in seconds (documented: 15 minutes)."""

_AUTHORIZATION = re.compile(
    ALGORITHM + r" Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)"
)


class RefusedError(Exception):
    """The service refuses a request with this error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Key(NamedTuple):
    """A valid AccessKey pair.

    Attributes:
        secret: The AccessKey secret.
        token: The security token; empty for a long-lived pair.
        role: The role it belongs to; ``None``: the administrator.
    """

    secret: str
    token: str = ""
    role: str | None = None


def parameters(request: Request) -> dict[str, str]:
    """Return the parameters in the query and the form."""
    query = dict(parse_qsl(urlsplit(request.path).query, keep_blank_values=True))
    if "x-www-form-urlencoded" in request.headers.get("content-type", ""):
        query.update(parse_qsl(request.body.decode(), keep_blank_values=True))
    return query


def verify(request: Request, find_key: Callable[[str], Key | None], now: float) -> Key:
    """Verify the signature of a request.

    Args:
        request: The request.
        find_key: Returns the valid key with an AccessKey id, if any.
        now: The service's time.

    Returns:
        The key that signed the request.

    Raises:
        RefusedError: The signature is missing or wrong.
    """
    headers = request.headers
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if match is None:
        raise RefusedError(400, "IncompleteSignature", f"Expected an {ALGORITHM} signature.")
    access_key_id, signed = match[1], match[2].split(";")
    key = find_key(access_key_id)
    if key is None:
        raise RefusedError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    if not hmac.compare_digest(key.token, headers.get("x-acs-security-token", "")):
        raise RefusedError(
            400, "InvalidSecurityToken.MismatchWithAccessKey", "The security token does not match."
        )
    must = {"host", *(name for name in headers if name.startswith("x-acs-"))}
    if not must <= set(signed) or not set(signed) <= set(headers):
        raise RefusedError(400, "IncompleteSignature", "Not every header is signed that must be.")
    _check_date(headers.get("x-acs-date", ""), now)
    digest = hashlib.sha256(request.body).hexdigest()
    if headers.get("x-acs-content-sha256") != digest:
        raise RefusedError(400, "SignatureDoesNotMatch", "The body is not the one that was signed.")
    if not hmac.compare_digest(_sign(request, signed, key.secret, access_key_id), match[0]):
        raise RefusedError(
            400,
            "SignatureDoesNotMatch",
            "Specified signature is not matched with our calculation. server string to sign is: "
            + "\n".join(f"{name}:{headers[name]}" for name in signed),
        )
    return key


def _sign(request: Request, signed: list[str], secret: str, access_key_id: str) -> str:
    """Return the correct authorization for the request."""
    again = TeaRequest()
    again.method = request.method
    again.pathname = urlsplit(request.path).path
    again.query = dict(parse_qsl(urlsplit(request.path).query, keep_blank_values=True))
    again.headers = {name: request.headers[name] for name in signed}
    payload = request.headers["x-acs-content-sha256"]
    authorization: str = OpenApiUtil.get_authorization(
        again, ALGORITHM, payload, access_key_id, secret
    )
    return authorization


def _check_date(text: str, now: float) -> None:
    try:
        date = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise RefusedError(400, "InvalidTimeStamp.Format", "x-acs-date is malformed.") from None
    if abs(date.timestamp() - now) > MAX_SKEW:
        raise RefusedError(400, "InvalidTimeStamp.Expired", "Specified time stamp is expired.")
