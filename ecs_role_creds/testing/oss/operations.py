"""What an operation of OSS is, and the request that it serves.

Each operation is declared once, with everything it understands. A header ``x-oss-…``, a condition
or a parameter that it does not name is refused, so nothing is ignored in silence.
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
"""What an operation is on."""

Access = Literal["read", "write", "owner"]
"""Which ACL opens an operation to everybody: one for reading, for writing, or none."""

CONDITIONS = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})
"""Conditional requests; refused by operations that do not name them."""

COMMON_HEADERS = frozenset({"x-oss-date", "x-oss-security-token", "x-oss-content-sha256"})
"""The headers of a signature, which every operation understands."""

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
"""The parameters of a presigned URL, which every operation understands."""


class Received(NamedTuple):
    """A request to OSS, taken apart.

    Attributes:
        method: ``GET``, ``PUT``, ...
        url: In full, as it was asked for.
        headers: Names in lower case.
        bucket: The bucket it names, if any.
        key: The object it names, if any.
        query: Its parameters, unquoted.
        body: Its body.
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
        """What it is on."""
        if self.bucket is None:
            return "service"
        return "bucket" if self.key is None else "object"


def parameters(url: str) -> list[tuple[str, str]]:
    """The parameters of a URL's query, unquoted; a ``+`` is a space, as oss2 sends it."""
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


@dataclass
class Call:
    """A request on its way through an operation, and what the operation works on.

    Attributes:
        received: The request.
        buckets: All buckets.
        now: The time of day.
        region: The region that the fake is in.
        is_anonymous: Whether nobody signed it.
        require: Raises ``AccessDenied`` unless the signer may do an action on an object; for
            permissions beyond the operation's own.
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
        """The object that the request names."""
        return self.received.key or ""

    @property
    def bucket(self) -> Bucket:
        """The bucket that the request names; raises ``NoSuchBucket``."""
        return self.bucket_named(self.received.bucket or "")

    def bucket_named(self, name: str) -> Bucket:
        """A bucket; raises ``NoSuchBucket``."""
        if name not in self.buckets:
            raise no_such_bucket(name)
        return self.buckets[name]

    @property
    def stored(self) -> StoredObject:
        """The object that the request names; raises ``NoSuchKey``."""
        stored = self.bucket.get(self.key)
        if stored is None:
            raise no_such_key(self.key)
        return stored

    def parameter(self, name: str, ec: str = "0016-00000502") -> str:
        """A parameter that must be there; raises ``MissingArgument``."""
        if not self.query.get(name):
            raise missing_argument(name, ec)
        return self.query[name]

    def is_url_encoded(self) -> bool:
        """Whether names in the answer are to be quoted; raises ``InvalidArgument``."""
        value = self.query.get("encoding-type")
        if value is not None and value.lower() != "url":
            raise invalid_argument("encoding-type", value, "Invalid Encoding Method in Request.")
        return value is not None


@dataclass(frozen=True)
class Operation:
    """An operation of OSS.

    Attributes:
        name: As the documentation has it, such as ``GetObject``.
        method: The HTTP method.
        level: What it is on.
        run: What it does.
        action: The RAM action that permits it.
        access: Which ACL opens it to everybody.
        selectors: The parameters that tell it from others; all must be there.
        selecting_header: A header that does so, if any.
        parameters: The further parameters it understands.
        headers: The ``x-oss-…`` headers and conditions it understands; a name that ends in ``*``
            stands for all that begin so.
        stores_body: Whether it stores the body, so that the length must be known.
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
        """Its name as faults call it, such as ``get-object``."""
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
        """What of a request it does not understand, in words."""
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
