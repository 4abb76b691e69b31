"""The operations that are faked, and the choice of one for a request."""

from __future__ import annotations

from ecs_role_creds.testing.oss import (
    appending,
    buckets,
    copying,
    deleting,
    listing,
    listing_uploads,
    multipart,
    properties,
    reading,
    writing,
)
from ecs_role_creds.testing.oss.errors import RefusedError, not_implemented
from ecs_role_creds.testing.oss.operations import Operation, Received

OPERATIONS: tuple[Operation, ...] = (
    *buckets.OPERATIONS,
    *listing.OPERATIONS,
    *writing.OPERATIONS,
    *reading.OPERATIONS,
    *deleting.OPERATIONS,
    *copying.OPERATIONS,
    *appending.OPERATIONS,
    *properties.OPERATIONS,
    *multipart.OPERATIONS,
    *listing_uploads.OPERATIONS,
)

KINDS = (*sorted(operation.kind for operation in OPERATIONS), "other")
"""The kinds of requests for faults; ``other``: operations that are not faked."""

_METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS")


def find_operation(received: Received) -> Operation | None:
    """Return the operation for a request: the one with the most matching selectors."""
    candidates = [operation for operation in OPERATIONS if operation.serves(received)]
    return max(
        candidates,
        key=lambda one: (len(one.selectors), one.selecting_header is not None),
        default=None,
    )


def check_understood(operation: Operation | None, received: Received) -> Operation:
    """Return the operation; raises ``NotImplemented`` if it does not support the request."""
    if received.method not in _METHODS:
        raise RefusedError(
            405,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
            "0017-00000001",
            {"Method": received.method, "ResourceType": received.level.title()},
        )
    if operation is None:
        shown = ", ".join(sorted(received.query)) or "no parameter"
        raise not_implemented(f"{received.method} on this {received.level} with {shown}")
    if unknown := operation.not_understood(received):
        raise not_implemented(f"{' or '.join(unknown)} of {operation.name}")
    return operation
