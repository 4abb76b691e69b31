"""An S3 endpoint on loopback that verifies every signature with awscrt.

awscrt is an implementation in C that none of the clients under test signs with.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from awscrt.auth import (
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSignedBodyHeaderType,
    AwsSigningAlgorithm,
    AwsSigningConfig,
    aws_sign_request,
)
from awscrt.http import HttpHeaders, HttpRequest

from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import Request, Response
from support.signed import Claim, SignedService

_AWS4 = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request,\s*"
    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)
_LONG = 300.0
# The signer writes these itself.
_WRITTEN = {"authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"}


class _Stored(NamedTuple):
    content: bytes
    stored_at: datetime

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ETag": f'"{hashlib.md5(self.content).hexdigest()}"',
            "Last-Modified": format_datetime(self.stored_at, usegmt=True),
            "Accept-Ranges": "bytes",
        }


class FakeS3(SignedService):
    """Put, get (with ranges), head, delete and list of one bucket; the bucket is in the path.

    Args:
        metadata: Who issued the credentials.
    """

    def __init__(self, metadata: FakeMetadataServer) -> None:
        super().__init__(metadata, _read_aws4, self._serve, _error)
        self._objects: dict[str, _Stored] = {}

    def put(self, key: str, content: bytes) -> None:
        """Store an object, as if it had been uploaded."""
        self._objects[key] = _Stored(content, datetime.now(timezone.utc))

    def _serve(self, request: Request, secret: str) -> Response:
        url = urlsplit(request.path)
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        if bucket != "bucket":
            return _error("NoSuchBucket", 404)
        if not key:
            return self._list(parse_qs(url.query, keep_blank_values=True))
        if request.method == "PUT":
            self.put(key, request.body)
            return Response(200, b"", self._objects[key].headers)
        if request.method == "DELETE":
            self._objects.pop(key, None)
            return Response(204)
        if key not in self._objects:
            return _error("NoSuchKey", 404)
        return _get(self._objects[key], request.headers.get("range"))

    def _list(self, query: dict[str, list[str]]) -> Response:
        prefix, delimiter = (query.get(name, [""])[0] for name in ("prefix", "delimiter"))
        found, prefixes = [], set()
        for key, stored in sorted(self._objects.items()):
            if not key.startswith(prefix):
                continue
            head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if cut:
                prefixes.add(prefix + head + cut)
                continue
            found.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(stored.content)}</Size>"
                f"<LastModified>{stored.stored_at:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
                f"<ETag>{escape(stored.headers['ETag'])}</ETag>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
        groups = "".join(
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>"
            for one in sorted(prefixes)
        )
        body = (
            f"<ListBucketResult><Name>bucket</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(found) + len(prefixes)}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<IsTruncated>false</IsTruncated>{''.join(found)}{groups}</ListBucketResult>"
        )
        return Response(200, body.encode(), {"Content-Type": "application/xml"})


def _get(stored: _Stored, asked: str | None) -> Response:
    content, headers = stored.content, stored.headers
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked or "")
    if match is None or match.groups() == ("", ""):
        return Response(200, content, headers)
    size = len(content)
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
    else:
        first, last = max(0, size - int(match[2])), size - 1
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Response(206, content[first : last + 1], headers)


def _error(code: str, status: int = 403) -> Response:
    body = f"<Error><Code>{escape(code)}</Code><Message>{escape(code)}</Message></Error>"
    return Response(status, body.encode(), {"Content-Type": "application/xml"})


def _read_aws4(request: Request) -> Claim:
    match = _AWS4.fullmatch(request.headers["authorization"])
    if match is None:
        raise ValueError("the Authorization header makes no sense")
    access_key_id, _, region, signed_headers, signature = match.groups()
    names = signed_headers.split(";")
    if not _WRITTEN - {"authorization"} <= set(names):
        raise ValueError("a header is not signed")
    digest = request.headers["x-amz-content-sha256"]
    if digest != "UNSIGNED-PAYLOAD" and digest != hashlib.sha256(request.body).hexdigest():
        raise ValueError("the body is another than the one that was signed")
    token = request.headers["x-amz-security-token"]

    def sign(secret: str) -> str:
        kept = [(name, request.headers[name]) for name in names if name not in _WRITTEN]
        again = HttpRequest(request.method, request.path, HttpHeaders(kept))
        config = AwsSigningConfig(
            algorithm=AwsSigningAlgorithm.V4,
            signature_type=AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=AwsCredentialsProvider.new_static(access_key_id, secret, token),
            region=region,
            service="s3",
            date=datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(
                tzinfo=timezone.utc
            ),
            use_double_uri_encode=False,
            should_normalize_uri_path=False,
            signed_body_value=digest,
            signed_body_header_type=AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        )
        aws_sign_request(again, config).result(_LONG)
        return (again.headers.get("Authorization") or "").rpartition("=")[2]

    return Claim(access_key_id, token, signature, sign)
