"""A fake OSS on loopback that verifies every signature.

Needs ``pip install 'ecs-role-creds[testing-oss]'``.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterable
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ecs_role_creds.testing.exchange import IssuedCredentials, Policies, Request, Response
from ecs_role_creds.testing.loopback import LoopbackServer
from ecs_role_creds.testing.oss.access import Gate
from ecs_role_creds.testing.oss.claims import named_access_key_id
from ecs_role_creds.testing.oss.errors import RefusedError, error_response, no_such_bucket
from ecs_role_creds.testing.oss.failures import OssFaults, code_in
from ecs_role_creds.testing.oss.integrity import check_form, check_integrity
from ecs_role_creds.testing.oss.names import check_bucket_name, check_key
from ecs_role_creds.testing.oss.operations import Call, Operation, Received, parameters
from ecs_role_creds.testing.oss.signature import Authority, verify
from ecs_role_creds.testing.oss.storage import Bucket, Buckets, StoredObject
from ecs_role_creds.testing.oss.table import check_understood, find_operation
from ecs_role_creds.testing.wire import BadRequestError

MAX_RECORDED = 100_000
"""How many requests are recorded; then the oldest half is dropped."""


class OssRequest(NamedTuple):
    """A request that was received.

    Attributes:
        method: ``GET``, ``PUT``, ...
        bucket: The bucket it names.
        key: The object it names.
        access_key_id: The AccessKey id it names; ``None`` for an anonymous request. For a refused
            request, nobody has verified it.
        status: The status it was answered with; 0 where the connection was reset instead.
        code: OSS's name for what was wrong; ``None`` if nothing was.
        time: When, by the authority's clock.
        kind: The operation, named as for faults: ``get-object``, ..., or ``other``.
        is_refused: Whether its signature or token was rejected, or its role lacks the permission.
    """

    method: str
    bucket: str | None
    key: str | None
    access_key_id: str | None
    status: int
    code: str | None
    time: datetime
    kind: str
    is_refused: bool


class FakeOss(OssFaults, LoopbackServer):
    """An OSS on loopback, for tests: buckets in memory; signatures and security tokens verified.

    A context manager: ready inside the block. Safe to use from any thread. Buckets are named in
    the path, as clients do for an IP address. What is faked, and what is refused with
    ``NotImplemented``, is listed in the documentation.

    Args:
        authority: Who issued the credentials: a
            :class:`~ecs_role_creds.testing.FakeMetadataServer`, or what ``fake_metadata`` returns.
        buckets: The names of the buckets that exist at the start.
        region: The region that clients must sign for with version 4.
        port: Where to listen; 0: any free port.
        host: The address to listen at.
        policies: What roles may do: an object with a method
            ``allows(role_name, action, resource, context)`` that returns a bool. ``None``: every
            role may do everything.

    Raises:
        TypeError: ``buckets`` is a string.
        ValueError: OSS does not accept the name of a bucket, or ``region`` is invalid.
    """

    max_body = 5 * 2**30  # documented

    def __init__(
        self,
        authority: Authority,
        buckets: Iterable[str] = ("bucket",),
        *,
        region: str = "cn-fake-1",
        port: int = 0,
        host: str = "127.0.0.1",
        policies: Policies | None = None,
    ) -> None:
        if isinstance(buckets, (str, bytes)):
            raise TypeError(f"buckets is {buckets!r}; pass a list of names, such as [{buckets!r}]")
        if not re.fullmatch(r"[a-z0-9-]+", region):
            raise ValueError(f"region is {region!r}; pass one like 'cn-hangzhou'")
        OssFaults.__init__(self)
        LoopbackServer.__init__(self, host, port)
        self.region = region
        self.objects = Buckets(buckets)
        """What is stored, as in ``oss.objects["bucket"]["key"].content``."""
        self.requests: list[OssRequest] = []
        """The requests received, oldest first. Above 100,000, the oldest half is dropped."""
        self.restore_seconds = 0.0
        """Seconds that it takes to restore an archived object."""
        self._authority = authority
        self._policies = policies
        self._lock = threading.RLock()
        self._serial = itertools.count(1)

    @property
    def refused(self) -> list[OssRequest]:
        """The requests whose signature or token was rejected, or whose role lacks permission."""
        return [one for one in self.requests if one.is_refused]

    def put(self, bucket: str, key: str, content: bytes | str, **headers: str) -> StoredObject:
        """Store an object, without a request.

        Args:
            bucket: An existing bucket.
            key: The name of the object.
            content: Its bytes; a string is stored as UTF-8.
            **headers: ``content_type``, ``cache_control``, ``content_disposition``,
                ``content_encoding``, ``content_language``, ``expires``, ``x-oss-meta-*`` or
                ``x-oss-tagging``, such as ``content_type="image/png"`` or
                ``**{"x-oss-meta-author": "me"}``.

        Raises:
            KeyError: There is no such bucket.
            ValueError: OSS does not take the key or a header.
        """
        with self._lock:
            return self.objects[bucket].put(key, content, headers)

    def create_bucket(self, name: str) -> Bucket:
        """Create a bucket, without a request.

        Raises:
            ValueError: OSS does not take the name, or there is such a bucket.
        """
        with self._lock:
            return self.objects.create(name)

    def recover(self) -> None:
        """End every fault. Answers that hang or drip are sent at once."""
        super().recover()
        self.release()

    def handle(self, request: Request) -> Response:
        """Verify and serve one request, faults included, and record it."""
        received = _take_apart(self.endpoint, request)
        operation = find_operation(received)
        kind = "other" if operation is None else operation.kind
        faults = self._claim(kind)
        headers = self._headers_of_answer()
        code, is_refused = None, False
        if any(fault.replaces_work for fault in faults):
            response = Response(200)
        else:
            try:
                response = self._serve(request, received, operation)
            except RefusedError as refusal:
                code = refusal.code
                is_refused = isinstance(refusal, _UnbelievedError) or code == "AccessDenied"
                host = request.headers.get("host", "")
                response = error_response(refusal, headers["x-oss-request-id"], host)
        response = response._replace(headers={**headers, **response.headers})
        for fault in faults:
            response = fault.change(request, response)
        self._record(received, kind, response, code or code_in(response), is_refused)
        return response

    def refuse(self, request: Request, error: BadRequestError) -> Response:
        """Answer a request that cannot be read, and record it. Nothing is stored."""
        received = _take_apart(self.endpoint, request)
        headers = self._headers_of_answer()
        refusal = RefusedError(error.status, error.code, str(error))
        host = request.headers.get("host", "")
        response = error_response(refusal, headers["x-oss-request-id"], host)
        self._record(received, "other", response, error.code, False)
        return response._replace(headers={**headers, **response.headers})

    def _serve(self, request: Request, received: Received, operation: Operation | None) -> Response:
        check_form(request)
        now = datetime.now(timezone.utc)
        signer = self._verified(received, now)
        understood = check_understood(operation, received)
        with self._lock:
            gate = Gate(self.objects, self._policies, signer, _context_of(received))
            if received.bucket is not None:
                check_bucket_name(received.bucket)
                if received.bucket not in self.objects and understood.name != "PutBucket":
                    raise no_such_bucket(received.bucket)
            if received.key is not None:
                check_key(received.key)
            gate.admit(understood, received)
            check_integrity(understood, received)
            return understood.run(
                Call(
                    received,
                    self.objects,
                    now,
                    self.region,
                    is_anonymous=signer is None,
                    require=gate.require,
                    restore_seconds=self.restore_seconds,
                )
            )

    def _verified(self, received: Received, now: datetime) -> IssuedCredentials | None:
        try:
            return verify(received, self._authority, now, self.region)
        except RefusedError as refusal:
            raise _UnbelievedError(
                refusal.status,
                refusal.code,
                str(refusal),
                refusal.ec,
                refusal.details,
                refusal.headers,
            ) from None

    def _headers_of_answer(self) -> dict[str, str]:
        return {
            "Server": "FakeOss",
            "Date": format_datetime(datetime.now(timezone.utc), usegmt=True),
            "x-oss-request-id": f"FAKE{next(self._serial):020}",
            "x-oss-server-time": "0",
        }

    def _record(
        self, received: Received, kind: str, response: Response, code: str | None, is_refused: bool
    ) -> None:
        record = OssRequest(
            received.method,
            received.bucket,
            received.key,
            named_access_key_id(received),
            0 if response.conduct == "reset" else response.status,
            code,
            self._authority.now(),
            kind,
            is_refused,
        )
        with self._lock:
            if len(self.requests) >= MAX_RECORDED:
                del self.requests[: MAX_RECORDED // 2]
            self.requests.append(record)


class _UnbelievedError(RefusedError):
    """The signature or the security token was rejected."""


def _take_apart(endpoint: str, request: Request) -> Received:
    path = unquote_to_bytes(request.path.partition("?")[0].encode("latin-1", "replace"))
    bucket, _, key = path.decode("utf-8", "surrogateescape").removeprefix("/").partition("/")
    return Received(
        request.method,
        endpoint + request.path,
        request.headers,
        bucket or None,
        key or None,
        dict(parameters(request.path)),
        request.body,
    )


def _context_of(received: Received) -> dict[str, str]:
    """The values that the conditions of policies check."""
    prefix = received.query.get("prefix")
    return {} if prefix is None else {"oss:Prefix": prefix}
