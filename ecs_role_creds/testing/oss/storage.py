"""The storage of the fake OSS: buckets, objects, and multipart uploads in progress."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import Literal

import crcmod

from ecs_role_creds.testing.oss.errors import RefusedError
from ecs_role_creds.testing.oss.names import (
    BucketAcl,
    ObjectAcl,
    StorageClass,
    check_bucket_name,
    check_key,
    tags_of_header,
)

KEPT_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
"""The headers that are stored with an object, besides ``x-oss-meta-*``."""

ObjectKind = Literal["Normal", "Multipart", "Appendable", "Symlink"]


def md5_of(content: bytes) -> bytes:
    """Return the MD5 digest, which OSS uses as a checksum."""
    return hashlib.md5(content, usedforsecurity=False).digest()


def crc64_of(content: bytes) -> int:
    """Return the CRC-64 that OSS returns in ``x-oss-hash-crc64ecma`` (ECMA-182)."""
    crc = crcmod.Crc(0x142F0E1EBA9EA3693, initCrc=0, rev=True, xorOut=0xFFFFFFFFFFFFFFFF)
    crc.update(content)
    value: int = crc.crcValue
    return value


@dataclass(frozen=True)
class StoredObject:
    """An object in a bucket.

    Attributes:
        content: The bytes; for a symlink, the name of its target.
        headers: The headers that are stored with it; names in lower case.
        stored_at: When it was last written.
        kind: ``"Normal"``, ``"Multipart"``, ``"Appendable"`` or ``"Symlink"``.
        etag_of_parts: The ETag of a multipart upload, which is not the MD5 of the content.
        acl: The ACL of the object; ``"default"``: that of the bucket.
        tags: The tags.
        storage_class: The storage class.
        restored_from: When the last restore ends, after which it can be read; ``None``: never
            restored.
        restored_until: When it can no longer be read after a restore.
    """

    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    stored_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    kind: ObjectKind = "Normal"
    etag_of_parts: str | None = None
    acl: ObjectAcl = "default"
    tags: Mapping[str, str] = field(default_factory=dict)
    storage_class: StorageClass = "Standard"
    restored_from: datetime | None = None
    restored_until: datetime | None = None

    def __post_init__(self) -> None:
        lowered = {name.lower(): value for name, value in self.headers.items()}
        object.__setattr__(self, "headers", lowered)

    @cached_property
    def etag(self) -> str:
        """The ETag, in quotes. After an upload with one request, the MD5 of the content."""
        return f'"{self.etag_of_parts or md5_of(self.content).hex().upper()}"'

    @cached_property
    def crc64(self) -> int:
        """The CRC-64 of the content."""
        return crc64_of(self.content)

    @cached_property
    def content_md5(self) -> str:
        """The value of the ``Content-MD5`` header."""
        return base64.b64encode(md5_of(self.content)).decode()


class Bucket(MutableMapping[str, StoredObject]):
    """A bucket: a dictionary of its objects by key.

    You can assign bytes too: ``bucket["key"] = b"..."``.

    Attributes:
        name: The name.
        acl: The ACL.
        storage_class: The storage class of objects that do not specify one.
        created_at: When it was created.
        uploads: The multipart uploads in progress, by upload id.
    """

    def __init__(self, name: str, created_at: datetime | None = None) -> None:
        self.name = name
        self.acl: BucketAcl = "private"
        self.storage_class: StorageClass = "Standard"
        self.created_at = created_at or datetime.now(timezone.utc)
        self.uploads: dict[str, Upload] = {}
        self._objects: dict[str, StoredObject] = {}

    def __getitem__(self, key: str) -> StoredObject:
        return self._objects[key]

    def __setitem__(self, key: str, value: StoredObject | bytes | str) -> None:
        if not isinstance(key, str):
            raise TypeError(f"the key {key!r} is not a string")
        try:
            check_key(key)
        except RefusedError as refusal:
            raise ValueError(f"OSS does not take the key {key!r}: {refusal}") from None
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, (bytes, bytearray, memoryview)):
            value = StoredObject(bytes(value), storage_class=self.storage_class)
        if not isinstance(value, StoredObject):
            raise TypeError(
                f"cannot store {type(value).__name__} as {key!r}; pass bytes, a string or a "
                "StoredObject, or call put() for headers"
            )
        self._objects[key] = value

    def __delitem__(self, key: str) -> None:
        del self._objects[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._objects))  # a copy: clients may write at the same time

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        return f"<Bucket {self.name}: {len(self)} objects>"

    def put(self, key: str, content: bytes | str, headers: Mapping[str, str]) -> StoredObject:
        """Store an object with headers, like a client's request.

        Raises:
            ValueError: OSS does not accept the key or a header.
        """
        known = {name.lower().replace("_", "-"): value for name, value in headers.items()}
        stored = {name: known.pop(name) for name in list(known) if is_kept(name)}
        tags = known.pop("x-oss-tagging", None)
        if known:
            raise ValueError(
                f"put() does not know the headers {', '.join(sorted(known))}; it takes "
                f"{', '.join(KEPT_HEADERS)}, x-oss-meta-* and x-oss-tagging"
            )
        data = content.encode() if isinstance(content, str) else bytes(content)
        try:
            tagged = tags_of_header(tags)
        except RefusedError as refusal:
            raise ValueError(f"x-oss-tagging: {refusal}") from None
        self[key] = StoredObject(data, stored, tags=tagged, storage_class=self.storage_class)
        return self[key]


class Buckets(MutableMapping[str, Bucket]):
    """The buckets by name."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._buckets: dict[str, Bucket] = {}
        for name in names:
            self.create(name)

    def create(self, name: str) -> Bucket:
        """Create a bucket.

        Raises:
            ValueError: OSS does not accept the name, or there is already a bucket with this name.
        """
        if not isinstance(name, str):
            raise TypeError(f"the bucket name {name!r} is not a string")
        try:
            check_bucket_name(name)
        except RefusedError:
            raise ValueError(
                f"OSS does not take the bucket name {name!r}: use 3 to 63 lower-case letters, "
                "digits and hyphens, with a letter or a digit at both ends"
            ) from None
        if name in self._buckets:
            raise ValueError(f"there is a bucket {name!r} already")
        self._buckets[name] = Bucket(name)
        return self._buckets[name]

    def __getitem__(self, name: str) -> Bucket:
        try:
            return self._buckets[name]
        except KeyError:
            known = ", ".join(self._buckets) or "none"
            raise KeyError(f"there is no bucket {name!r}; there are: {known}") from None

    def __setitem__(self, name: str, value: Mapping[str, StoredObject | bytes | str]) -> None:
        if not isinstance(value, Mapping):
            raise TypeError(
                f"cannot make a bucket of {type(value).__name__}; pass a dictionary of objects"
            )
        bucket = Bucket(name)
        Buckets().create(name)  # checks the name
        for key, content in value.items():
            bucket[key] = content
        self._buckets[name] = bucket

    def __delitem__(self, name: str) -> None:
        del self._buckets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._buckets))

    def __len__(self) -> int:
        return len(self._buckets)


@dataclass
class Part:
    """A part of a multipart upload."""

    content: bytes
    stored_at: datetime

    @cached_property
    def etag(self) -> str:
        """The ETag, in quotes."""
        return f'"{md5_of(self.content).hex().upper()}"'


@dataclass
class Upload:
    """A multipart upload in progress.

    Attributes:
        key: The key of the object.
        upload_id: The upload id.
        draft: The object without its content: headers, tags, storage class.
        is_sequential: Whether the parts must be uploaded in order.
        parts: The parts that have been uploaded, by number.
    """

    key: str
    upload_id: str
    draft: StoredObject
    is_sequential: bool = False
    parts: dict[int, Part] = field(default_factory=dict)


def is_kept(header: str) -> bool:
    """Whether a header is stored with an object."""
    return header in KEPT_HEADERS or header.startswith("x-oss-meta-")
