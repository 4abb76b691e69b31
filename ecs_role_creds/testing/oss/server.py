"""A fake OSS on loopback that believes nobody: every signature is verified.

Needs ``pip install 'ecs-role-creds[testing-oss]'``.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import quote, unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.loopback import LoopbackServer

try:
    from ecs_role_creds.testing.oss.signature import (
        Authority,
        Received,
        RefusedError,
        parameters,
        verify,
    )
except ImportError as error:
    raise ImportError(
        "FakeOss verifies signatures with alibabacloud-oss-v2: "
        "pip install 'ecs-role-creds[testing-oss]'"
    ) from error

_KEPT_HEADERS = ("content-type", "cache-control", "content-disposition", "content-encoding")
# Parameters that belong to the signature, or only shape the answer; any other subresource is one
# that is not faked.
_SIGNATURE = {"Signature", "OSSAccessKeyId", "Expires", "security-token"}
_SHAPING = {
    "list-type",
    "prefix",
    "marker",
    "delimiter",
    "max-keys",
    "encoding-type",
    "start-after",
    "continuation-token",
    "fetch-owner",
}

_NOT_IN_AN_OPERATIONS_NAME = {"encoding-type", "sequential", "max-parts", "part-number-marker"}


class StoredObject(NamedTuple):
    """An object in a bucket.

    Attributes:
        content: Its bytes.
        headers: What is told along with them.
        stored_at: When it was put.
    """

    content: bytes
    headers: Mapping[str, str]
    stored_at: datetime

    @property
    def etag(self) -> str:
        """The MD5 of the content, as OSS has it for objects put in one go."""
        return '"' + hashlib.md5(self.content, usedforsecurity=False).hexdigest().upper() + '"'


class OssRequest(NamedTuple):
    """A request that was received.

    Attributes:
        method: ``GET``, ``PUT``, ...
        bucket: The bucket it names.
        key: The object it names.
        access_key_id: Who signed it; ``None`` where that was not believed.
        status: The status it was answered with.
        code: OSS's name for what was wrong; ``None`` if nothing was.
        time: When, by the authority's clock.
    """

    method: str
    bucket: str | None
    key: str | None
    access_key_id: str | None
    status: int
    code: str | None
    time: datetime


_Upload = tuple[str | None, str | None, dict[int, bytes], Mapping[str, str]]


class FakeOss(LoopbackServer):
    """An OSS on loopback, for tests: objects in memory, signatures and security tokens verified.

    Serves put, get (with ranges), head, list, delete and multipart upload, signed in headers or in
    the URL, V1 or V4. Buckets are named in the path, as clients do for an IP address.

    Args:
        authority: Who issued the credentials: a
            :class:`~ecs_role_creds.testing.FakeMetadataServer`.
        buckets: Their names.
        region: What clients have to sign for with V4.
        port: Where to listen; 0: wherever there is room.
    """

    def __init__(
        self,
        authority: Authority,
        buckets: Iterable[str] = ("bucket",),
        *,
        region: str = "cn-fake-1",
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.region = region
        self.objects: dict[str, dict[str, StoredObject]] = {name: {} for name in buckets}
        """What is stored, by bucket and key."""
        self.requests: list[OssRequest] = []
        """Every request received, oldest first."""
        self._authority = authority
        self._lock = threading.Lock()
        self._serial = itertools.count(1)
        self._uploads: dict[str, _Upload] = {}

    @property
    def refused(self) -> list[OssRequest]:
        """The requests whose signer was not believed."""
        return [one for one in self.requests if one.access_key_id is None]

    def handle(self, request: Request) -> Response:
        """Verify and serve one request."""
        received = self._take_apart(request)
        signer, code = None, None
        with self._lock:
            request_id = f"FAKE{next(self._serial):020}"
            try:
                signer = verify(received, self._authority, datetime.now(timezone.utc))
                self._check_region(received)
                response = self._serve(received, request.body)
            except RefusedError as refusal:
                code = refusal.code
                response = _error(refusal, request_id)
            self.requests.append(
                OssRequest(
                    received.method,
                    received.bucket,
                    received.key,
                    signer,
                    response.status,
                    code,
                    self._authority.now(),
                )
            )
        now = format_datetime(datetime.now(timezone.utc), usegmt=True)
        more = {"Date": now, "Server": "FakeOss", "x-oss-request-id": request_id}
        return response._replace(headers={**more, **response.headers})

    def _take_apart(self, request: Request) -> Received:
        path = unquote(request.path.partition("?")[0])
        bucket, _, key = path.lstrip("/").partition("/")
        return Received(
            request.method,
            self.endpoint + request.path,
            request.headers,
            bucket or None,
            key or None,
            dict(parameters(request.path)),
        )

    def _check_region(self, received: Received) -> None:
        signed = received.headers.get("authorization", "") + received.query.get(
            "x-oss-credential", ""
        )
        if "aliyun_v4_request" in signed and f"/{self.region}/" not in signed:
            raise RefusedError(
                403, "SignatureDoesNotMatch", f"The request must be signed for {self.region}."
            )

    # What is asked for.

    def _serve(self, received: Received, body: bytes) -> Response:
        if received.bucket not in self.objects:
            raise RefusedError(404, "NoSuchBucket", "The specified bucket does not exist.")
        subresources = {
            name
            for name in received.query
            if name not in _SIGNATURE and not name.startswith(("x-oss-", "response-"))
        }
        operation: Callable[[Received, bytes], Response] | None
        if received.key is None:
            is_list = received.method == "GET" and subresources <= _SHAPING
            operation = self._list if is_list else None
        else:
            operation = {
                ("PUT", frozenset()): self._put,
                ("GET", frozenset()): self._get,
                ("HEAD", frozenset()): self._get,
                ("GET", frozenset({"objectMeta"})): self._get,
                ("HEAD", frozenset({"objectMeta"})): self._get,
                ("DELETE", frozenset()): self._delete,
                ("POST", frozenset({"uploads"})): self._begin_upload,
                ("PUT", frozenset({"uploadId", "partNumber"})): self._upload_part,
                ("GET", frozenset({"uploadId"})): self._list_parts,
                ("POST", frozenset({"uploadId"})): self._complete_upload,
                ("DELETE", frozenset({"uploadId"})): self._abort_upload,
            }.get((received.method, frozenset(subresources - _NOT_IN_AN_OPERATIONS_NAME)))
        if operation is None:
            raise RefusedError(
                400,
                "NotImplemented",
                f"FakeOss does not fake {received.method} with {sorted(subresources)}.",
            )
        return operation(received, body)

    def _bucket(self, received: Received) -> dict[str, StoredObject]:
        return self.objects[received.bucket or ""]

    def _put(self, received: Received, body: bytes) -> Response:
        _check_md5(received, body)
        return self._store(received, body, received.headers)

    def _store(self, received: Received, body: bytes, headers: Mapping[str, str]) -> Response:
        kept = {
            name: value
            for name, value in headers.items()
            if name in _KEPT_HEADERS or name.startswith("x-oss-meta-")
        }
        stored = StoredObject(body, kept, datetime.now(timezone.utc))
        self._bucket(received)[received.key or ""] = stored
        return Response(200, b"", {"ETag": stored.etag})

    def _get(self, received: Received, _: bytes) -> Response:
        stored = self._bucket(received).get(received.key or "")
        if stored is None:
            raise RefusedError(404, "NoSuchKey", "The specified key does not exist.")
        headers = {
            "Content-Type": "application/octet-stream",
            **stored.headers,
            "Accept-Ranges": "bytes",
            "ETag": stored.etag,
            "Last-Modified": format_datetime(stored.stored_at, usegmt=True),
            "x-oss-object-type": "Normal",
        }
        span = _range(received.headers.get("range"), len(stored.content))
        if received.method == "HEAD":
            headers["Content-Length"] = str(len(stored.content))
            return Response(200, b"", headers)
        if span is None:
            return Response(200, stored.content, headers)
        first, last = span
        headers["Content-Range"] = f"bytes {first}-{last}/{len(stored.content)}"
        return Response(206, stored.content[first : last + 1], headers)

    def _delete(self, received: Received, _: bytes) -> Response:
        self._bucket(received).pop(received.key or "", None)
        return Response(204)

    def _list(self, received: Received, _: bytes) -> Response:
        query = received.query
        is_v2 = query.get("list-type") == "2"
        start = query.get("continuation-token") or query.get("start-after") or ""
        marker = start if is_v2 else query.get("marker", "")
        most = int(query.get("max-keys") or 100)
        names, prefixes, following = _page_of(
            sorted(self._bucket(received)),
            query.get("prefix", ""),
            query.get("delimiter", ""),
            marker,
            most,
        )
        encoded = query.get("encoding-type") == "url"
        shown = quote if encoded else str
        contents = [
            _element(
                "Contents",
                _text("Key", shown(name)),
                _text("LastModified", stored.stored_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")),
                _text("ETag", stored.etag),
                _text("Type", "Normal"),
                _text("Size", len(stored.content)),
                _text("StorageClass", "Standard"),
            )
            for name, stored in ((name, self._bucket(received)[name]) for name in names)
        ]
        parts = [
            _text("Name", received.bucket),
            _text("Prefix", shown(query.get("prefix", ""))),
            _text("Delimiter", shown(query.get("delimiter", ""))),
            _text("MaxKeys", most),
            _text("IsTruncated", "true" if following else "false"),
            *([_text("EncodingType", "url")] if encoded else []),
            *contents,
            *(_element("CommonPrefixes", _text("Prefix", shown(one))) for one in prefixes),
        ]
        if is_v2:
            parts.append(_text("KeyCount", len(names) + len(prefixes)))
            if following:
                parts.append(_text("NextContinuationToken", following))
        else:
            parts.append(_text("Marker", shown(marker)))
            if following:
                parts.append(_text("NextMarker", shown(following)))
        return _xml("ListBucketResult", *parts)

    # Multipart uploads.

    def _begin_upload(self, received: Received, _: bytes) -> Response:
        upload_id = f"FAKEUPLOAD{next(self._serial):022}"
        self._uploads[upload_id] = (received.bucket, received.key, {}, received.headers)
        return _xml(
            "InitiateMultipartUploadResult",
            _text("Bucket", received.bucket),
            _text("Key", self._shown_key(received)),
            _text("UploadId", upload_id),
        )

    def _upload_part(self, received: Received, body: bytes) -> Response:
        number = received.query["partNumber"]
        if not (number.isascii() and number.isdigit() and 1 <= int(number[:6]) <= 10000):
            raise RefusedError(400, "InvalidArgument", "A part's number is 1 to 10000.")
        _check_md5(received, body)
        self._upload(received)[int(number)] = body
        return Response(200, b"", {"ETag": StoredObject(body, {}, _EPOCH).etag})

    def _list_parts(self, received: Received, _: bytes) -> Response:
        parts = [
            _element(
                "Part",
                _text("PartNumber", number),
                _text("LastModified", "1970-01-01T00:00:00.000Z"),
                _text("ETag", StoredObject(content, {}, _EPOCH).etag),
                _text("Size", len(content)),
            )
            for number, content in sorted(self._upload(received).items())
        ]
        return _xml(
            "ListPartsResult",
            _text("Bucket", received.bucket),
            _text("Key", self._shown_key(received)),
            _text("UploadId", received.query["uploadId"]),
            _text("NextPartNumberMarker", max(self._upload(received), default=0)),
            _text("IsTruncated", "false"),
            *parts,
        )

    def _complete_upload(self, received: Received, body: bytes) -> Response:
        parts = self._upload(received)
        try:
            listed = [
                (int(part.findtext("PartNumber", "")), part.findtext("ETag", ""))
                for part in ElementTree.fromstring(body).iter("Part")  # noqa: S314 (a test's own)
            ]
        except (ElementTree.ParseError, ValueError):
            raise RefusedError(400, "MalformedXML", "The part list is no XML.") from None
        if [number for number, _ in listed] != sorted({number for number, _ in listed}):
            raise RefusedError(400, "InvalidPartOrder", "The parts are not in ascending order.")
        for number, etag in listed:
            known = parts.get(number)
            if known is None or StoredObject(known, {}, _EPOCH).etag.strip('"') != etag.strip('"'):
                raise RefusedError(400, "InvalidPart", f"Part {number} was not uploaded like that.")
        headers = self._uploads.pop(received.query["uploadId"])[3]
        content = b"".join(parts[number] for number, _ in listed)
        response = self._store(received, content, headers)
        return _xml(
            "CompleteMultipartUploadResult",
            _text("Location", received.url.partition("?")[0]),
            _text("Bucket", received.bucket),
            _text("Key", self._shown_key(received)),
            _text("ETag", response.headers["ETag"]),
        )

    def _abort_upload(self, received: Received, _: bytes) -> Response:
        self._upload(received)
        del self._uploads[received.query["uploadId"]]
        return Response(204)

    def _upload(self, received: Received) -> dict[int, bytes]:
        bucket, key, parts, _ = self._uploads.get(received.query["uploadId"], (None, None, {}, {}))
        if (bucket, key) != (received.bucket, received.key):
            raise RefusedError(404, "NoSuchUpload", "The specified upload does not exist.")
        return parts

    @staticmethod
    def _shown_key(received: Received) -> str:
        key = received.key or ""
        return quote(key) if received.query.get("encoding-type") == "url" else key


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _check_md5(received: Received, body: bytes) -> None:
    claimed = received.headers.get("content-md5")
    actual = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    if claimed is not None and claimed != actual:
        raise RefusedError(400, "InvalidDigest", "The Content-MD5 you specified did not match.")


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and last byte asked for; ``None`` for all, or where it makes no sense."""
    if header is None or not header.startswith("bytes="):
        return None
    first, _, last = header[len("bytes=") :].partition("-")
    try:
        if first == "":
            span = max(0, size - int(last)), size - 1
        else:
            span = int(first), min(int(last), size - 1) if last else size - 1
    except ValueError:
        return None
    return span if 0 <= span[0] <= span[1] else None


def _page_of(
    names: list[str], prefix: str, delimiter: str, marker: str, most: int
) -> tuple[list[str], list[str], str]:
    """A page of a listing: names, common prefixes, and where the next page goes on, if any does."""
    found: list[str] = []
    prefixes: list[str] = []
    last = ""
    for name in names:
        if not name.startswith(prefix) or name <= marker:
            continue
        head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        group = prefix + head + cut if cut else ""
        if group and (group in prefixes or group <= marker):
            continue
        if len(found) + len(prefixes) == most:
            return found, prefixes, last
        (prefixes if group else found).append(group or name)
        last = group or name
    return found, prefixes, ""


def _text(name: str, value: object) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"


def _element(name: str, *parts: str) -> str:
    return f"<{name}>{''.join(parts)}</{name}>"


def _xml(name: str, *parts: str) -> Response:
    body = '<?xml version="1.0" encoding="UTF-8"?>\n' + _element(name, *parts)
    return Response(200, body.encode(), {"Content-Type": "application/xml"})


def _error(refusal: RefusedError, request_id: str) -> Response:
    response = _xml(
        "Error",
        _text("Code", refusal.code),
        _text("Message", refusal),
        _text("RequestId", request_id),
        _text("HostId", "fake"),
    )
    # A HEAD has no body: there the error stands in a header.
    encoded = base64.b64encode(response.body).decode()
    return response._replace(
        status=refusal.status, headers={**response.headers, "x-oss-err": encoded}
    )
