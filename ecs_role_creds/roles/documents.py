"""Policy documents: what a role may do, and who can assume it. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from ecs_role_creds.roles.errors import InputError

Access = Literal["read", "list", "write"]
"""What a role may do with a bucket's objects."""

Document = Mapping[str, Any]
"""A policy document as JSON's types."""

ECS_SERVICE = "ecs.aliyuncs.com"

MAX_DOCUMENT_LENGTH = 6144  # documented

OBJECT_ACTIONS: Mapping[Access, tuple[str, ...]] = {
    "read": ("oss:GetObject",),
    # A multipart upload needs the last two: to resume, and to give up.
    "write": ("oss:PutObject", "oss:ListParts", "oss:AbortMultipartUpload"),
}
"""The actions on objects that each kind of access needs, and no more."""

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
    """The policy document with the least rights for the given access to a bucket.

    Args:
        bucket: Its name.
        access: ``"read"``: get objects; ``"list"``: list their names; ``"write"``: put objects.
        prefix: Only objects whose names begin with this, such as ``"photos/"``.

    Raises:
        InputError: No bucket can have this name, the prefix has a wildcard, or no access is asked
            for.
    """
    wanted = set(access)
    if not wanted or wanted - set(get_args(Access)):
        raise InputError(f"access is {sorted(wanted)}; pass one or more of read, list, write")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(
            f"no bucket can be named {bucket!r}: 3 to 63 lowercase letters, digits and hyphens"
        )
    if set(prefix) & set("*?") or prefix.startswith("/"):
        raise InputError(
            f"the prefix {prefix!r} cannot be used: '*' and '?' are wildcards in a policy, and no "
            "object's name begins with '/'. Pass what the names begin with, such as photos/"
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
    """The name of the custom policy for a role's access to a bucket: always the same one.

    Readable, and distinct for each role, bucket, prefix and maker: a policy that ``role setup``
    made is never one that ``role grant`` made.
    """
    told_apart = json.dumps([made_by, role, bucket, prefix])
    digest = hashlib.sha256(told_apart.encode()).hexdigest()[:8]
    # Policy names have no dots, role names may.
    readable = re.sub(r"[^A-Za-z0-9]+", "-", f"{role}-{bucket}").strip("-")
    return f"{readable[:100]}-{digest}"


def parse_document(text: str, source: str) -> dict[str, Any]:
    """A policy document from its text.

    Args:
        text: JSON.
        source: Where it is from, for the error.

    Raises:
        InputError: It is no policy document, or too long.
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
    """The text that is sent."""
    return json.dumps(document, separators=(",", ":"))


def is_same_document(one: Document, other: Document) -> bool:
    """Whether two documents say the same: the order, and one value or a list of one, are alike."""
    return bool(_normalize(one) == _normalize(other))


def trusts_ecs(trust_policy: Document) -> bool:
    """Whether ECS instances can assume a role with this trust policy."""
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
    """The same for documents that say the same: every value in a sorted list."""
    if isinstance(value, Mapping):
        return {key: _normalize(one) for key, one in value.items()}
    if not isinstance(value, list):
        return [value]
    flat = [_normalize(one) if isinstance(one, Mapping) else one for one in value]
    return sorted(flat, key=lambda one: json.dumps(one, sort_keys=True))
