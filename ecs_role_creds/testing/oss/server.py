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
"""The maximum number of recorded requests. Then the oldest half is dropped."""


class OssRequest(NamedTuple):
    """A request that the fake OSS received.

    Attributes:
        method: ``GET``, ``PUT``, ...
        bucket: The bucket; ``None`` if the request names none.
        key: The object; ``None`` if the request names none.
        access_key_id: The AccessKey id in the request; ``None`` if it is anonymous. For a refused
            request, it has not been verified.
        status: The status of the response; 0 if the connection was reset instead.
        code: The error code of OSS; ``None`` if there was no error.
        time: When it was received, by the authority's clock.
        kind: The operation, as for faults: ``"get-object"``, ..., or ``"other"``.
        is_refused: Whether its signature or token was refused, or its role lacks the permission.
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
    """A fake OSS on loopback. It keeps buckets in memory, and verifies signatures and tokens.

    It is a context manager: it listens inside the block. All methods may be called from any thread.
    The bucket is the first part of the path, as in the requests of clients to an IP address. The
    error of an operation that is not faked is ``NotImplemented``.

    Methods that inject a fault have the arguments ``times``, the number of requests, and ``on``,
    the kind of requests: the name of an operation, such as ``"get-object"`` or ``"upload-part"``. A
    request that fails is not carried out; a request that is delayed is.

    >>> import oss2
    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> with FakeOss(ecs_metadata, ["photos"]) as oss:
    ...     stored = oss.put("photos", "hello.txt", "Hello")
    ...     auth = oss2.ProviderAuthV4(EcsRamRoleCredentialsProvider())
    ...     bucket = oss2.Bucket(auth, oss.endpoint, "photos", region=oss.region)
    ...     bucket.get_object("hello.txt").read()
    b'Hello'

    Args:
        authority: The issuer of the credentials: a
            :class:`~ecs_role_creds.testing.FakeMetadataServer`, or the result of
            :func:`~ecs_role_creds.testing.fake_metadata`.
        buckets: The names of the buckets that exist at the start.
        region: The region that clients must use for signature version 4.
        port: The port; 0: any free port.
        host: The address to listen on.
        policies: The policies of the roles, for example a
            :class:`~ecs_role_creds.testing.FakeOpenApi`: an object with a method
            ``allows(role_name, action, resource, context)`` that returns a bool. ``None``: roles
            may do everything.

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
        """The buckets and objects, as in ``oss.objects["bucket"]["key"].content``."""
        self.requests: list[OssRequest] = []
        """The requests received, oldest first. Above 100,000, the oldest half is dropped."""
        self.restore_seconds = 0.0
        """How many seconds it takes to restore an archived object."""
        self._authority = authority
        self._policies = policies
        self._lock = threading.RLock()
        self._serial = itertools.count(1)

    @property
    def refused(self) -> list[OssRequest]:
        """The requests whose signature or token was refused, or whose role lacks the permission."""
        return [one for one in self.requests if one.is_refused]

    def put(self, bucket: str, key: str, content: bytes | str, **headers: str) -> StoredObject:
        """Store an object directly, without a request.

        >>> with FakeOss(ecs_metadata) as oss:
        ...     stored = oss.put("bucket", "hello.txt", "Hello", content_type="text/plain")
        >>> oss.objects["bucket"]["hello.txt"].content
        b'Hello'

        Args:
            bucket: An existing bucket.
            key: The key of the object.
            content: The bytes; a string is stored as UTF-8.
            **headers: ``content_type``, ``cache_control``, ``content_disposition``,
                ``content_encoding``, ``content_language``, ``expires``, ``x-oss-meta-*`` or
                ``x-oss-tagging``, such as ``content_type="image/png"`` or
                ``**{"x-oss-meta-author": "me"}``.

        Returns:
            The object.

        Raises:
            KeyError: There is no such bucket.
            ValueError: OSS does not accept the key or a header.
        """
        with self._lock:
            return self.objects[bucket].put(key, content, headers)

    def create_bucket(self, name: str) -> Bucket:
        """Create a bucket directly, without a request.

        >>> with FakeOss(ecs_metadata, []) as oss:
        ...     bucket = oss.create_bucket("photos")
        >>> list(oss.objects)
        ['photos']

        Args:
            name: The name of the bucket.

        Returns:
            The bucket.

        Raises:
            ValueError: OSS does not accept the name, or there is already a bucket with this name.
        """
        with self._lock:
            return self.objects.create(name)

    def recover(self) -> None:
        """End all faults. Responses that hang or drip are sent at once."""
        super().recover()
        self.release()

    def handle(self, request: Request) -> Response:
        """Verify a request, carry it out with its faults, and record it."""
        received = _take_apart(self._url, request)
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
        """Respond to a request that cannot be read, and record it. Nothing is stored."""
        received = _take_apart(self._url, request)
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
    """The signature or the security token was refused."""


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
    """Return the values for the conditions of policies."""
    prefix = received.query.get("prefix")
    return {} if prefix is None else {"oss:Prefix": prefix}
