"""Requests, responses and records of the fake services."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

Conduct = Literal["send", "hang", "drip", "reset"]
"""How a response is sent: normally; not before ``recover()``; one byte at a time; or not at all,
because the connection is reset."""

PathKind = Literal["token", "role", "document", "other"]
"""Which kind of path a request is for: the session token, the role's name, the role document."""


class Request(NamedTuple):
    """A request as received.

    Attributes:
        method: ``GET``, ``PUT``, ...
        path: The path, with the query, as it was sent.
        headers: Names in lower case. The values of a repeated header are joined with ``", "``.
        body: The complete body.
        trailers: The headers after a chunked body.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    trailers: Mapping[str, str] = {}


class Response(NamedTuple):
    """A response, and how to send it.

    Attributes:
        status: The HTTP status.
        body: The body.
        headers: The headers, without ``Content-Length``.
        delay: Seconds before the first byte.
        conduct: How it is sent.
        interval: Seconds between two bytes, if it is sent one byte at a time.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    delay: float = 0.0
    conduct: Conduct = "send"
    interval: float = 1.0


class RecordedRequest(NamedTuple):
    """A request that the fake received, and the status of the response.

    >>> from ecs_role_creds import get_credentials
    >>> credentials = get_credentials()
    >>> first = ecs_metadata.requests[0]
    >>> first.method, first.path, first.status
    ('PUT', '/latest/api/token', 200)

    Attributes:
        method: ``GET``, ``PUT``, ...
        path: The path, with the query.
        headers: Names in lower case.
        time: When it was received, by the service's clock.
        status: The status of the response; 0 if the connection was reset instead.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    time: datetime
    status: int

    def __str__(self) -> str:
        shown = "".join(f"\n      {name}: {value}" for name, value in sorted(self.headers.items()))
        return f"{self.time:%H:%M:%S} {self.method} {self.path} -> {self.status}{shown}"


class IssuedCredentials(NamedTuple):
    """Fake credentials that the fake issued.

    >>> issued = ecs_metadata.rotate()
    >>> issued.access_key_id, issued.role_name
    ('STS.FAKE...', 'app-role')

    Attributes:
        access_key_id: ``STS.FAKE...``
        access_key_secret: ``fake-secret-...``
        security_token: ``fake-security-token-...``
        issued_at: When they were issued, by the service's clock.
        expiration: When they expire, in whole seconds.
        role_name: The role of the credentials.
    """

    access_key_id: str
    access_key_secret: str
    security_token: str
    issued_at: datetime
    expiration: datetime
    role_name: str


class Policies(Protocol):
    """Which role may do what. A fake OSS checks it after it has verified the signature."""

    def allows(
        self,
        role_name: str,
        action: str,
        resource: str,
        context: Mapping[str, str] | None = None,
    ) -> bool:
        """Return whether the policies of a role allow an action.

        Args:
            role_name: The role whose credentials signed the request.
            action: A RAM action, such as ``oss:GetObject``.
            resource: ``acs:oss:*:*:BUCKET/KEY``, ``acs:oss:*:*:BUCKET``, or ``acs:oss:*:*:*`` for
                the list of buckets.
            context: The values for conditions: ``{"oss:Prefix": ...}`` for a list of objects.
        """
        ...
