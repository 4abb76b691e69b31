"""The names and values that OSS accepts. Documented, except where marked."""

from __future__ import annotations

import re
from typing import Literal, get_args
from urllib.parse import parse_qsl

from ecs_role_creds.testing.oss.errors import RefusedError, invalid_argument

BucketAcl = Literal["private", "public-read", "public-read-write"]
ObjectAcl = Literal["default", "private", "public-read", "public-read-write"]
StorageClass = Literal["Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive"]

ARCHIVED = ("Archive", "ColdArchive", "DeepColdArchive")
"""The storage classes whose objects must be restored before they can be read."""

MAX_KEY_BYTES = 1023
MAX_TAGS = 10
MAX_METADATA_BYTES = 8 * 1024

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_TAG = re.compile(r"[A-Za-z0-9 +=._:/-]*")


def check_bucket_name(name: str) -> None:
    """Raise ``InvalidBucketName`` unless OSS accepts the name."""
    if not _BUCKET.fullmatch(name):
        raise RefusedError(
            400,
            "InvalidBucketName",
            "The specified bucket is not valid.",
            "",
            {"BucketName": name},
        )


def check_key(key: str) -> None:
    """Raise ``InvalidObjectName`` unless OSS accepts the name."""
    message = ""
    if not key:
        message = "The Object name can not be empty."
    elif len(key.encode("utf-8", "surrogateescape")) > MAX_KEY_BYTES:
        message = "The Length of Object name must be less than 1024."
    elif key.startswith(("/", "\\")) or any("\ud800" <= letter <= "\udfff" for letter in key):
        message = "The specified object is not valid."
    if message:
        raise RefusedError(400, "InvalidObjectName", message, "", {"ObjectName": _shown(key)})


def _shown(key: str) -> str:
    return key.encode("utf-8", "replace").decode()


def check_bucket_acl(acl: str) -> BucketAcl:
    """Return the ACL; raises ``InvalidArgument``."""
    if acl not in get_args(BucketAcl):
        raise invalid_argument("x-oss-acl", acl, "no such bucket access control exists")
    return acl  # type: ignore[return-value]


def check_object_acl(acl: str) -> ObjectAcl:
    """Return the ACL; raises ``InvalidArgument``."""
    if acl not in get_args(ObjectAcl):
        raise invalid_argument("x-oss-object-acl", acl, "no such object access control exists")
    return acl  # type: ignore[return-value]


def check_storage_class(name: str) -> StorageClass:
    """Return the storage class; raises ``InvalidArgument``."""
    if name not in get_args(StorageClass):
        raise invalid_argument("x-oss-storage-class", name, "no such storage class exists")
    return name  # type: ignore[return-value]


def check_flag(header: str, value: str | None, ec: str = "") -> bool:
    """Return a header that is ``true`` or ``false``; ``False`` if it is missing."""
    if value is None:
        return False
    if value.lower() not in ("true", "false"):
        raise invalid_argument(header, value, f"{header} must be true or false.", ec)
    return value.lower() == "true"


def check_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return the tags; raises ``InvalidTag``."""
    tags = dict(pairs)
    problem = ""
    if len(pairs) > MAX_TAGS:
        problem = f"Object tags cannot be greater than {MAX_TAGS}."
    elif len(tags) < len(pairs):
        problem = "Cannot provide multiple Tags with the same key."
    elif not all(1 <= len(key) <= 128 and _TAG.fullmatch(key) for key in tags):
        problem = "The TagKey you have provided is invalid."
    elif not all(len(value) <= 256 and _TAG.fullmatch(value) for value in tags.values()):
        problem = "The TagValue you have provided is invalid."
    if problem:
        raise RefusedError(400, "InvalidTag", problem)
    return tags


def tags_of_header(value: str | None) -> dict[str, str]:
    """Return the tags in an ``x-oss-tagging`` header; raises ``InvalidTag``."""
    return check_tags(parse_qsl(value or "", keep_blank_values=True))


def integer_of(
    name: str, value: str | None, low: int, high: int, default: int, ec: str = ""
) -> int:
    """Return a whole number in a range, or the default; raises ``InvalidArgument``."""
    if value is None or value == "":
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 20 and low <= int(value) <= high):
        raise invalid_argument(
            name, value, f"Argument {name} must be an integer between {low} and {high}.", ec
        )
    return int(value)
