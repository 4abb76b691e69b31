"""Permission policies and trust policies. Pure functions, no I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from ecs_role_creds.roles.errors import InputError

Access = Literal["read", "list", "write"]
"""What a policy allows on the objects of a bucket."""

Document = Mapping[str, Any]
"""A policy document, parsed from JSON."""

ECS_SERVICE = "ecs.aliyuncs.com"

MAX_DOCUMENT_LENGTH = 6144  # documented

OBJECT_ACTIONS: Mapping[Access, tuple[str, ...]] = {
    "read": ("oss:GetObject",),
    # The last two resume or abort a multipart upload.
    "write": ("oss:PutObject", "oss:ListParts", "oss:AbortMultipartUpload"),
}
"""The actions on objects that each kind of access needs."""

TRUST_POLICY: Document = {
    "Version": "1",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": [ECS_SERVICE]},
        }
    ],
}
"""The trust policy of an instance RAM role: ECS instances can assume it."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def oss_policy(bucket: str, access: Iterable[Access], prefix: str = "") -> dict[str, Any]:
    """Return a policy document that allows the given access to a bucket and nothing else.

    Args:
        bucket: The bucket's name.
        access: One or more of ``"read"`` (get objects), ``"list"`` (list their names) and
            ``"write"`` (put objects).
        prefix: Only allow access to objects whose names begin with this, such as ``"photos/"``.

    Raises:
        InputError: The bucket's name is invalid, the prefix contains a wildcard or begins with
            ``/``, or ``access`` is empty or has another value.
    """
    wanted = set(access)
    if not wanted or wanted - set(get_args(Access)):
        raise InputError(f"access is {sorted(wanted)}; pass one or more of read, list, write")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(
            f"invalid bucket name {bucket!r}: use 3 to 63 lowercase letters, digits and hyphens"
        )
    if set(prefix) & set("*?") or prefix.startswith("/"):
        raise InputError(
            f"invalid prefix {prefix!r}: it cannot contain '*' or '?', which are wildcards in a "
            "policy, or begin with '/', because no object's name does. An example is photos/"
        )
    statements: list[dict[str, Any]] = []
    actions = [one for kind, some in OBJECT_ACTIONS.items() if kind in wanted for one in some]
    if actions:
        objects = f"acs:oss:*:*:{bucket}/{prefix}*"
        statements.append({"Effect": "Allow", "Action": actions, "Resource": [objects]})
    if "list" in wanted:
        listing: dict[str, Any] = {
            "Effect": "Allow",
            "Action": ["oss:ListObjects"],
            "Resource": [f"acs:oss:*:*:{bucket}"],
        }
        if prefix:
            listing["Condition"] = {"StringLike": {"oss:Prefix": [f"{prefix}*"]}}
        statements.append(listing)
    return {"Version": "1", "Statement": statements}


def bucket_policy_name(role: str, bucket: str, prefix: str = "", made_by: str = "grant") -> str:
    """Return the name of the custom policy for a role's access to a bucket.

    The same arguments always give the same name. ``role grant`` and ``role setup`` use different
    names for the same role, bucket and prefix.
    """
    told_apart = json.dumps([made_by, role, bucket, prefix])
    digest = hashlib.sha256(told_apart.encode()).hexdigest()[:8]
    # Policy names have no dots, role names may.
    readable = re.sub(r"[^A-Za-z0-9]+", "-", f"{role}-{bucket}").strip("-")
    return f"{readable[:100]}-{digest}"


def parse_document(text: str, source: str) -> dict[str, Any]:
    """Parse a policy document.

    Args:
        text: JSON.
        source: Where the text is from, for error messages.

    Raises:
        InputError: The text is not a policy document, or is too long.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(f"{source} is not JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("Statement"), list):
        raise InputError(
            f'{source} is not a policy document: expected {{"Version": "1", "Statement": [...]}}'
        )
    if len(dump_document(document)) > MAX_DOCUMENT_LENGTH:
        raise InputError(
            f"{source} is too long: a policy document has at most {MAX_DOCUMENT_LENGTH} "
            "characters. Split it into several policies"
        )
    return document


def dump_document(document: Document) -> str:
    """Return the document as it is sent."""
    return json.dumps(document, separators=(",", ":"))


def is_same_document(one: Document, other: Document) -> bool:
    """Compare documents. Order does not matter; a value equals a list of that one value."""
    return bool(_normalize(one) == _normalize(other))


def trusts_ecs(trust_policy: Document) -> bool:
    """Return whether ECS instances can assume a role with this trust policy."""
    return any(
        statement.get("Effect") == "Allow"
        and "sts:assumerole" in {one.lower() for one in _listed(statement.get("Action"))}
        and ECS_SERVICE in _listed(_service(statement))
        for statement in _listed(trust_policy.get("Statement"))
        if isinstance(statement, Mapping)
    )


def _service(statement: Mapping[str, Any]) -> object:
    principal = statement.get("Principal")
    return principal.get("Service") if isinstance(principal, Mapping) else None


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _normalize(value: Any) -> Any:
    """Put every value into a sorted list, so that equal documents compare equal."""
    if isinstance(value, Mapping):
        return {key: _normalize(one) for key, one in value.items()}
    if not isinstance(value, list):
        return [value]
    flat = [_normalize(one) if isinstance(one, Mapping) else one for one in value]
    return sorted(flat, key=lambda one: json.dumps(one, sort_keys=True))
