"""Access control: ACLs for everybody, policies for roles."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_role_creds.testing.exchange import IssuedCredentials, Policies
from ecs_role_creds.testing.oss.errors import access_denied
from ecs_role_creds.testing.oss.operations import Access, Operation, Received
from ecs_role_creds.testing.oss.storage import Bucket, Buckets

_OPEN_TO_ALL: dict[str, tuple[Access, ...]] = {
    "private": (),
    "public-read": ("read",),
    "public-read-write": ("read", "write"),
}


class Gate:
    """Decides whether one request is allowed.

    Args:
        buckets: All buckets, for their ACLs.
        policies: The policies of the roles; ``None``: roles may do everything.
        signer: The credentials that signed the request; ``None``: it is anonymous.
        context: The values for the conditions of policies.
    """

    def __init__(
        self,
        buckets: Buckets,
        policies: Policies | None,
        signer: IssuedCredentials | None,
        context: Mapping[str, str],
    ) -> None:
        self._context = context
        self._buckets = buckets
        self._policies = policies
        self._signer = signer

    def admit(self, operation: Operation, received: Received) -> None:
        """Raise ``AccessDenied`` unless the request may be carried out."""
        self.require(operation.action, operation.access, received.bucket or "", received.key or "")

    def require(self, action: str, access: Access, bucket: str, key: str) -> None:
        """Raise ``AccessDenied`` unless the signer, or everybody, may do this."""
        if not self._is_allowed(action, bucket, key) and not self._is_open(access, bucket, key):
            raise _denied(action, bucket, key, self._signer is None)

    def _is_allowed(self, action: str, bucket: str, key: str) -> bool:
        if self._signer is None:
            return False
        if self._policies is None:
            return True
        resource = resource_of(bucket, key)
        return self._policies.allows(self._signer.role_name, action, resource, self._context)

    def _is_open(self, access: Access, bucket: str, key: str) -> bool:
        found = self._buckets.get(bucket)
        return found is not None and access in _OPEN_TO_ALL[_acl_of(found, key)]


def resource_of(bucket: str, key: str) -> str:
    """Return the name of a bucket or an object in policies."""
    if not bucket:
        return "acs:oss:*:*:*"
    return f"acs:oss:*:*:{bucket}/{key}" if key else f"acs:oss:*:*:{bucket}"


def _acl_of(bucket: Bucket, key: str) -> str:
    """Return the ACL of the object, or that of its bucket."""
    stored = bucket.get(key)
    return bucket.acl if stored is None or stored.acl == "default" else stored.acl


def _denied(action: str, bucket: str, key: str, is_anonymous: bool) -> Exception:
    if key:
        return access_denied()
    if bucket:
        # Of signed requests; published answers show it, but no EC.
        message = "The bucket you access does not belong to you."
        return access_denied() if is_anonymous else access_denied(message, "")
    if is_anonymous:
        return access_denied("Anonymous access is forbidden for this operation.", "")
    return access_denied(f"You are forbidden to {action}.", "")
