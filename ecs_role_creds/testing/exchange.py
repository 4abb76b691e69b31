"""What goes to and fro between a client and the fake service."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

Conduct = Literal["send", "hang", "drip", "reset"]
"""How an answer is given: properly; not before ``recover()``; a byte at a time; or the connection
is reset instead."""

PathKind = Literal["token", "role", "document", "other"]
"""Which kind of path a request is for: the session token, the role's name, the role document."""


class Request(NamedTuple):
    """A request as received.

    Attributes:
        method: ``GET``, ``PUT``, ...
        path: With the query, if any, as it was sent.
        headers: Names in lower case. The values of a repeated header are joined with ``", "``.
        body: All of it; a request whose body breaks off is never handed on.
        trailers: The headers after a chunked body.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    trailers: Mapping[str, str] = {}


class Response(NamedTuple):
    """An answer, and how to give it.

    Attributes:
        status: The HTTP status.
        body: What it carries.
        headers: Besides ``Content-Length``.
        delay: Seconds before the first byte.
        conduct: How it is given.
        interval: Seconds between two bytes that drip.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}
    delay: float = 0.0
    conduct: Conduct = "send"
    interval: float = 1.0


class RecordedRequest(NamedTuple):
    """A request that was received, and the status it was answered with.

    Attributes:
        method: ``GET``, ``PUT``, ...
        path: With the query, if any.
        headers: Names in lower case.
        time: The service's time of day.
        status: Of the answer; 0 where the connection was to be reset instead.
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
    """Fake credentials that were issued.

    Attributes:
        access_key_id: ``STS.FAKE...``
        access_key_secret: ``fake-secret-...``
        security_token: ``fake-security-token-...``
        issued_at: When, by the service's clock.
        expiration: The moment the service stops accepting them; a whole second.
        role_name: Whose they are.
    """

    access_key_id: str
    access_key_secret: str
    security_token: str
    issued_at: datetime
    expiration: datetime
    role_name: str


class Policies(Protocol):
    """Which role may do what; a fake OSS asks it after it has verified the signature."""

    def allows(
        self,
        role_name: str,
        action: str,
        resource: str,
        context: Mapping[str, str] | None = None,
    ) -> bool:
        """Whether the policies of a role allow an action.

        Args:
            role_name: The role whose credentials signed the request.
            action: A RAM action, such as ``oss:GetObject``.
            resource: ``acs:oss:*:*:BUCKET/KEY``, ``acs:oss:*:*:BUCKET``, or ``acs:oss:*:*:*`` for
                the list of buckets.
            context: What conditions look at: ``{"oss:Prefix": ...}`` for a list of objects.
        """
        ...
