"""The declaration of an operation of OSS, and the request that it serves.

Each operation declares everything that it supports. A header ``x-oss-…``, a condition or a
parameter that it does not declare is refused, so nothing is silently ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from ecs_role_creds.testing.exchange import Response
from ecs_role_creds.testing.oss.errors import (
    invalid_argument,
    missing_argument,
    no_such_bucket,
    no_such_key,
)
from ecs_role_creds.testing.oss.storage import Bucket, Buckets, StoredObject

Level = Literal["service", "bucket", "object"]
"""What an operation applies to."""

Access = Literal["read", "write", "owner"]
"""Which ACL permits an operation to everybody: one for reading, for writing, or none."""

CONDITIONS = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})
"""Conditions; operations that do not declare them refuse them."""

COMMON_HEADERS = frozenset({"x-oss-date", "x-oss-security-token", "x-oss-content-sha256"})
"""The headers of a signature, which every operation supports."""

COMMON_PARAMETERS = frozenset(
    {
        "Signature",
        "OSSAccessKeyId",
        "Expires",
        "security-token",
        "x-oss-signature-version",
        "x-oss-credential",
        "x-oss-date",
        "x-oss-expires",
        "x-oss-signature",
        "x-oss-security-token",
        "x-oss-additional-headers",
    }
)
"""The parameters of a presigned URL, which every operation supports."""


class Received(NamedTuple):
    """The parts of a request to OSS.

    Attributes:
        method: ``GET``, ``PUT``, ...
        url: The full URL, as it was requested.
        headers: Names in lower case.
        bucket: The bucket, if any.
        key: The object, if any.
        query: The parameters, unquoted.
        body: The body.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    bucket: str | None
    key: str | None
    query: Mapping[str, str]
    body: bytes = b""

    @property
    def level(self) -> Level:
        """What it applies to."""
        if self.bucket is None:
            return "service"
        return "bucket" if self.key is None else "object"


def parameters(url: str) -> list[tuple[str, str]]:
    """Return the parameters of a URL, unquoted. A ``+`` is a space, as oss2 sends it."""
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


@dataclass
class Call:
    """The arguments of an operation: the request, and what the operation works on.

    Attributes:
        received: The request.
        buckets: All buckets.
        now: The time of day.
        region: The region of the fake.
        is_anonymous: Whether the request is not signed.
        require: Raises ``AccessDenied`` unless the signer may do an action on an object, for
            permissions other than the operation's own.
        restore_seconds: How long it takes to restore an archived object.
    """

    received: Received
    buckets: Buckets
    now: datetime
    region: str
    is_anonymous: bool
    require: Callable[[str, Access, str, str], None]
    restore_seconds: float = 0.0

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers; names in lower case."""
        return self.received.headers

    @property
    def query(self) -> Mapping[str, str]:
        """The request's parameters."""
        return self.received.query

    @property
    def body(self) -> bytes:
        """The request's body."""
        return self.received.body

    @property
    def key(self) -> str:
        """The key in the request."""
        return self.received.key or ""

    @property
    def bucket(self) -> Bucket:
        """The bucket in the request; raises ``NoSuchBucket``."""
        return self.bucket_named(self.received.bucket or "")

    def bucket_named(self, name: str) -> Bucket:
        """Return a bucket; raises ``NoSuchBucket``."""
        if name not in self.buckets:
            raise no_such_bucket(name)
        return self.buckets[name]

    @property
    def stored(self) -> StoredObject:
        """The object in the request; raises ``NoSuchKey``."""
        stored = self.bucket.get(self.key)
        if stored is None:
            raise no_such_key(self.key)
        return stored

    def parameter(self, name: str, ec: str = "0016-00000502") -> str:
        """Return a required parameter; raises ``MissingArgument``."""
        if not self.query.get(name):
            raise missing_argument(name, ec)
        return self.query[name]

    def is_url_encoded(self) -> bool:
        """Whether names in the response must be quoted; raises ``InvalidArgument``."""
        value = self.query.get("encoding-type")
        if value is not None and value.lower() != "url":
            raise invalid_argument("encoding-type", value, "Invalid Encoding Method in Request.")
        return value is not None


@dataclass(frozen=True)
class Operation:
    """An operation of OSS.

    Attributes:
        name: The name in OSS's documentation, such as ``GetObject``.
        method: The HTTP method.
        level: What it applies to.
        run: The function that carries it out.
        action: The RAM action that permits it.
        access: Which ACL permits it to everybody.
        selectors: The parameters that distinguish it from others. All are required.
        selecting_header: A header that distinguishes it, if any.
        parameters: The other parameters that it supports.
        headers: The ``x-oss-…`` headers and conditions that it supports. A name that ends in ``*``
            stands for all names with this prefix.
        stores_body: Whether it stores the body, so that the request must tell its length.
    """

    name: str
    method: str
    level: Level
    run: Callable[[Call], Response]
    action: str
    access: Access = "owner"
    selectors: frozenset[str] = frozenset()
    selecting_header: str | None = None
    parameters: frozenset[str] = frozenset()
    headers: frozenset[str] = field(default=frozenset())
    stores_body: bool = False

    @property
    def kind(self) -> str:
        """Its name for faults, such as ``get-object``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", self.name).lower()

    def serves(self, received: Received) -> bool:
        """Whether a request is for this operation, or for one with more selectors."""
        return (
            self.method == received.method
            and self.level == received.level
            and self.selectors <= received.query.keys()
            and (self.selecting_header is None or self.selecting_header in received.headers)
        )

    def not_understood(self, received: Received) -> list[str]:
        """Return what it does not support in a request, in words."""
        headers = [
            f"the header {name}"
            for name in received.headers
            if (name.startswith("x-oss-") or name in CONDITIONS) and not self._knows_header(name)
        ]
        known = self.selectors | self.parameters | COMMON_PARAMETERS
        parameters = [f"the parameter {name}" for name in received.query if name not in known]
        return headers + parameters

    def _knows_header(self, name: str) -> bool:
        if name in self.headers or name in COMMON_HEADERS or name == self.selecting_header:
            return True
        return any(one.endswith("*") and name.startswith(one[:-1]) for one in self.headers)
