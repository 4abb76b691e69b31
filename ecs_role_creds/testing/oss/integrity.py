"""Checks whether a request is well formed and its body complete."""

from __future__ import annotations

import base64
from collections import Counter

from ecs_role_creds.testing.exchange import Request
from ecs_role_creds.testing.oss.errors import RefusedError, invalid_argument, not_implemented
from ecs_role_creds.testing.oss.operations import Operation, Received, parameters
from ecs_role_creds.testing.oss.storage import crc64_of, md5_of


def check_form(request: Request) -> None:
    """Raise if the request repeats a parameter, or has a trailer or hash that is not faked."""
    for name, count in Counter(name for name, _ in parameters(request.path)).items():
        if count > 1:
            raise invalid_argument(name, "", f"The parameter {name} is given {count} times.")
    if request.trailers:
        raise not_implemented(f"the trailing header {', '.join(sorted(request.trailers))}")
    payload = request.headers.get("x-oss-content-sha256", "UNSIGNED-PAYLOAD")
    if payload != "UNSIGNED-PAYLOAD":
        raise not_implemented(
            f"x-oss-content-sha256: {payload}; clients of OSS send UNSIGNED-PAYLOAD"
        )


def check_integrity(operation: Operation, received: Received) -> None:
    """Raise unless the length, MD5 and CRC-64 of the body are those in the request."""
    headers = received.headers
    has_length = "content-length" in headers or "transfer-encoding" in headers
    if operation.stores_body and not has_length:
        raise RefusedError(
            411, "MissingContentLength", "You must provide the Content-Length HTTP header."
        )
    claimed_md5 = headers.get("content-md5")
    if claimed_md5 is not None:
        actual = base64.b64encode(md5_of(received.body)).decode()
        if claimed_md5 != actual:
            raise RefusedError(
                400,
                "InvalidDigest",
                "The Content-MD5 you specified did not match what we received.",
                "",
                {"ClientDigest": claimed_md5, "ServerDigest": actual},
            )
    claimed_crc = headers.get("x-oss-hash-crc64ecma")
    if claimed_crc is not None and claimed_crc != str(crc64_of(received.body)):
        raise RefusedError(
            400,
            "InvalidDigest",
            "The x-oss-hash-crc64ecma you specified did not match what we received.",
        )
