"""The behaviour of the metadata service, without a socket: takes a request, returns a response.

Comments mark behaviour as documented by Alibaba Cloud, or as inferred from the clients that talk to
the service. Inferred behaviour is an option; the default is the more likely one.
"""

from __future__ import annotations

import json
import math
import random
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import formatdate
from typing import Literal, get_args

from cachetools import TLRUCache

from ecs_role_creds.testing.clock import VirtualClock
from ecs_role_creds.testing.exchange import (
    IssuedCredentials,
    PathKind,
    RecordedRequest,
    Request,
    Response,
)
from ecs_role_creds.testing.faults import Faults

Mode = Literal["both", "hardening-only", "normal-only"]

TOKEN_PATH = "/latest/api/token"  # noqa: S105 (a path)
ROLE_PATH = "/latest/meta-data/ram/security-credentials/"
TTL_HEADER = "x-aliyun-ecs-metadata-token-ttl-seconds"
TOKEN_HEADER = "x-aliyun-ecs-metadata-token"  # noqa: S105 (a name)
MAX_TTL = 21600  # documented

DEFAULT_REGION_ID = "cn-fake-1"
DEFAULT_INSTANCE_ID = "i-fake0000000000000001"
DEFAULT_OWNER_ACCOUNT_ID = "1000000000000001"

ROTATION_LEAD = 1800.0
"""Seconds before expiration at which the service rotates (stated by Alibaba Cloud in 2021)."""

_NAME = re.compile(r"[A-Za-z0-9.@_-]{1,64}")
_PAGE = """<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
         "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head><title>{status} - {title}</title></head>
 <body><h1>{status} - {title}</h1></body>
</html>
"""
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}


class FakeMetadataService(Faults[PathKind]):
    """The state of a fake instance, and the responses of its metadata service.

    Args:
        role: The instance's RAM role; ``None``: no role is attached.
        life: How many seconds credentials are valid; rounded up, so that they expire at a whole
            second.
        mode: ``"both"``, ``"hardening-only"`` or ``"normal-only"``.
        rotation_share: For lives of up to an hour: the share of a life after which the credentials
            are rotated. Others are rotated 30 minutes before they expire.
        no_hardening_status: The status for a session token request in ``"normal-only"``: 403, 404
            or 405 (inferred).
        region_id: The region id that the service returns.
        instance_id: The instance id that the service returns.
        owner_account_id: The account id that the service returns.
        clock: The service's clock, in seconds since the epoch.
        seed: The seed of the fake tokens. Equal seeds issue equal tokens.

    Raises:
        ValueError: An argument is invalid; the message says what is allowed.
    """

    fault_kinds = get_args(PathKind)

    def __init__(
        self,
        role: str | None = "app-role",
        *,
        life: float = 21600.0,
        mode: Mode = "both",
        rotation_share: float = 0.5,
        no_hardening_status: Literal[403, 404, 405] = 404,
        region_id: str = DEFAULT_REGION_ID,
        instance_id: str = DEFAULT_INSTANCE_ID,
        owner_account_id: str = DEFAULT_OWNER_ACCOUNT_ID,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < rotation_share <= 1:
            raise ValueError(f"rotation_share is {rotation_share}; pass more than 0, at most 1")
        if no_hardening_status not in (403, 404, 405):
            raise ValueError(f"no_hardening_status is {no_hardening_status}; pass 403, 404 or 405")
        self.rotation_share = rotation_share
        self.no_hardening_status = no_hardening_status
        self.requests: list[RecordedRequest] = []
        """All requests received, oldest first."""
        self.issued: list[IssuedCredentials] = []
        """All credentials issued, oldest first."""
        self.rotation_paused = False
        """Whether rotation is off. Then the same document is returned, even after it expires."""
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 (fakes)
        self._lock = threading.RLock()
        # By token: the time at which it expires and is dropped. Any number may be valid at once.
        self._session_tokens: TLRUCache[str, float] = TLRUCache(
            maxsize=math.inf, ttu=lambda _, until, __: until, timer=clock
        )
        self._current: IssuedCredentials | None = None
        self._plain = {
            "/latest/meta-data/region-id": region_id,
            "/latest/meta-data/instance-id": instance_id,
            "/latest/meta-data/owner-account-id": owner_account_id,
            "/latest/dynamic/instance-identity/document": json.dumps(
                {
                    "owner-account-id": owner_account_id,
                    "instance-id": instance_id,
                    "region-id": region_id,
                }
            ),
        }
        self._role = None if role is None else _checked_role(role)
        self.life = life
        self.mode = mode

    # For tests.

    @property
    def role(self) -> str | None:
        """The attached role; ``None`` if there is none."""
        return self._role

    @property
    def life(self) -> float:
        """How many seconds credentials that are issued from now on are valid. You can change it."""
        return self._life

    @life.setter
    def life(self, seconds: float) -> None:
        if not 1 <= seconds < math.inf:
            raise ValueError(f"life is {seconds} seconds; pass 1 or more")
        self._life = float(seconds)

    @property
    def mode(self) -> Mode:
        """The modes that the service supports. You can change it at any time."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode is {mode!r}; pass one of {', '.join(get_args(Mode))}")
        self._mode: Mode = mode

    def now(self) -> datetime:
        """Return the service's time, in UTC. :meth:`skew_date` does not change it.

        >>> ecs_metadata.now().tzinfo
        datetime.timezone.utc
        """
        return datetime.fromtimestamp(self._clock(), timezone.utc)

    @property
    def clock(self) -> Callable[[], float]:
        """The service's clock, as passed to the constructor."""
        return self._clock

    def advance(self, seconds: float) -> None:
        """Move the :class:`~ecs_role_creds.testing.VirtualClock` of this service.

        >>> from ecs_role_creds.testing import FakeMetadataServer, VirtualClock
        >>> with FakeMetadataServer(clock=VirtualClock()) as metadata:
        ...     issued = metadata.rotate()
        ...     metadata.advance(6 * 3600)
        ...     metadata.is_valid(issued)
        False

        Args:
            seconds: How far to move it; a negative number sets it back.

        Raises:
            RuntimeError: The service's clock is not a ``VirtualClock``.
        """
        if not isinstance(self._clock, VirtualClock):
            raise RuntimeError(
                "this service does not run on a VirtualClock, so its time cannot be moved; pass "
                "clock=VirtualClock(), or mark the test with "
                "@pytest.mark.ecs_metadata(clock=VirtualClock)"
            )
        self._clock.advance(seconds)

    def attach(self, role: str) -> None:
        """Attach a role to the instance.

        >>> ecs_metadata.detach()
        >>> ecs_metadata.attach("other-role")
        >>> ecs_metadata.role
        'other-role'

        Args:
            role: The name of the role.

        Raises:
            ValueError: The name is invalid, or the instance already has a role.
        """
        with self._lock:
            if self._role is not None:
                raise ValueError(f"{self._role!r} is attached already; detach() it, or swap()")
            self._role = _checked_role(role)

    def detach(self) -> None:
        """Detach the role, if any. Credentials already issued stay valid until they expire.

        >>> ecs_metadata.detach()
        >>> ecs_metadata.role is None
        True
        """
        with self._lock:
            self._role = self._current = None

    def swap(self, role: str) -> None:
        """Detach the role and attach another one.

        >>> ecs_metadata.swap("other-role")
        >>> ecs_metadata.role
        'other-role'

        Args:
            role: The name of the other role.

        Raises:
            ValueError: The name is invalid.
        """
        role = _checked_role(role)
        with self._lock:
            self.detach()
            self.attach(role)

    def rotate(self) -> IssuedCredentials:
        """Issue new credentials now. The old ones stay valid until they expire.

        >>> from ecs_role_creds import default_provider
        >>> issued = ecs_metadata.rotate()
        >>> default_provider().refresh().access_key_id == issued.access_key_id
        True

        Returns:
            The new credentials.

        Raises:
            ValueError: No role is attached.
        """
        with self._lock:
            if self._role is None:
                raise ValueError("no role is attached, so there is nothing to rotate; attach() one")
            self._current = self._issue(self._role)
            return self._current

    def expire(self) -> None:
        """Expire all credentials issued so far. The next request gets new ones.

        >>> issued = ecs_metadata.rotate()
        >>> ecs_metadata.expire()
        >>> ecs_metadata.is_valid(issued)
        False
        """
        with self._lock:
            now = datetime.fromtimestamp(math.floor(self._clock()), timezone.utc)
            self.issued = [one._replace(expiration=min(one.expiration, now)) for one in self.issued]
            if self._current is not None:
                end = min(self._current.expiration, now)
                self._current = self._current._replace(expiration=end)

    def find_issued(self, access_key_id: str) -> IssuedCredentials | None:
        """Return the credentials that were issued with an AccessKey id, even if they have expired.

        >>> issued = ecs_metadata.rotate()
        >>> ecs_metadata.find_issued(issued.access_key_id) == issued
        True

        Args:
            access_key_id: The AccessKey id.

        Returns:
            The credentials; ``None`` if this service did not issue them.
        """
        for one in reversed(self.issued):
            if one.access_key_id == access_key_id:
                return one
        return None

    def is_valid(self, credentials: object) -> bool:
        """Return whether services accept these credentials: issued as a whole, and not expired.

        >>> from ecs_role_creds import get_credentials
        >>> ecs_metadata.is_valid(get_credentials())
        True

        Args:
            credentials: Any object with ``access_key_id``, ``access_key_secret`` and
                ``security_token``.
        """
        one = self.find_issued(getattr(credentials, "access_key_id", ""))
        return (
            one is not None
            and one.access_key_secret == getattr(credentials, "access_key_secret", None)
            and one.security_token == getattr(credentials, "security_token", None)
            and self.now() < one.expiration
        )

    def transcript(self) -> str:
        """Return all requests so far with their headers and status, as readable text.

        >>> from ecs_role_creds import get_credentials
        >>> credentials = get_credentials()
        >>> print(ecs_metadata.transcript())
          1. ... PUT /latest/api/token -> 200
        ...
        """
        lines = [f"  {number}. {one}" for number, one in enumerate(self.requests, 1)]
        return "\n".join(lines) or "  (no request)"

    def assert_requests(self, *expected: str) -> None:
        """Check that exactly these requests were received, in this order.

        >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
        >>> credentials = EcsRamRoleCredentialsProvider("app-role").get_credentials()
        >>> ecs_metadata.assert_requests(
        ...     "PUT /latest/api/token",
        ...     "GET /latest/meta-data/ram/security-credentials/app-role",
        ... )

        Args:
            *expected: The requests, as ``"METHOD /path"``.

        Raises:
            AssertionError: There were other requests. The message shows all of them.
        """
        got = [f"{one.method} {one.path}" for one in self.requests]
        if got != list(expected):
            wanted = "\n".join(f"  {number}. {one}" for number, one in enumerate(expected, 1))
            raise AssertionError(
                f"Expected these requests:\n{wanted or '  (no request)'}\n"
                f"but there were:\n{self.transcript()}"
            )

    def assert_no_requests(self) -> None:
        """Check that there were no requests.

        >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
        >>> provider = EcsRamRoleCredentialsProvider()
        >>> ecs_metadata.assert_no_requests()

        Raises:
            AssertionError: There were requests. The message shows all of them.
        """
        self.assert_requests()

    # The service.

    def handle(self, request: Request) -> Response:
        """Respond to a request, apply the faults, and record it."""
        with self._lock:
            kind = _kind(request.path)
            response = self._answer(request)
            date = formatdate(math.floor(self._clock()), usegmt=True)
            response = response._replace(headers={"Date": date, **response.headers})
            response = self._changed(request, kind, response)
            status = 0 if response.conduct == "reset" else response.status
            self.requests.append(RecordedRequest(*request[:3], self.now(), status))
            return response

    def recover(self) -> None:
        """End all faults."""
        with self._lock:
            super().recover()

    def _answer(self, request: Request) -> Response:
        path = request.path.partition("?")[0]
        if path == TOKEN_PATH:
            return self._issue_session_token(request)
        if request.method not in ("GET", "HEAD"):
            return _page(405)
        refusal = self._refuse(request)
        if refusal is not None:
            return refusal
        if path in self._plain:
            return Response(200, self._plain[path].encode(), {"Content-Type": "text/plain"})
        if path.startswith(ROLE_PATH) and self._role is not None:
            name = path[len(ROLE_PATH) :]
            if name == "":
                return Response(200, self._role.encode(), {"Content-Type": "text/plain"})
            if name == self._role:
                return self._document(self._role)
        return _page(404)

    def _issue_session_token(self, request: Request) -> Response:
        if self._mode == "normal-only":
            return _page(self.no_hardening_status)
        if request.method != "PUT":
            return _page(405)
        if "x-forwarded-for" in request.headers:
            return _page(403)  # documented: proxied access is refused
        ttl = request.headers.get(TTL_HEADER, "")
        if not (ttl.isascii() and ttl.isdigit() and 1 <= int(ttl[:9]) <= MAX_TTL):
            return _page(400)
        token = f"fake-session-token-{self._random.getrandbits(128):032x}=="
        self._session_tokens[token] = self._clock() + int(ttl)
        return Response(200, token.encode(), {"Content-Type": "text/plain"})

    def _refuse(self, request: Request) -> Response | None:
        if self._mode == "normal-only":
            return None
        token = request.headers.get(TOKEN_HEADER)
        if token is None:
            # Documented: 403 here, where AWS says 401.
            return _page(403) if self._mode == "hardening-only" else None
        # An expired token gets the same response as an invalid one (inferred).
        return None if token in self._session_tokens else _page(401)

    def _document(self, role: str) -> Response:
        if self._current is None or self._is_rotation_due(self._current):
            self._current = self._issue(role)
        document = {
            "AccessKeyId": self._current.access_key_id,
            "AccessKeySecret": self._current.access_key_secret,
            "SecurityToken": self._current.security_token,
            "Expiration": self._current.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "LastUpdated": self._current.issued_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Code": "Success",
        }
        return Response(200, json.dumps(document).encode(), {"Content-Type": "text/plain"})

    def _is_rotation_due(self, one: IssuedCredentials) -> bool:
        if self.rotation_paused:
            return False
        end, begin = one.expiration.timestamp(), one.issued_at.timestamp()
        life = end - begin
        lead = ROTATION_LEAD if life > 2 * ROTATION_LEAD else life * (1 - self.rotation_share)
        return self._clock() >= end - lead

    def _issue(self, role: str) -> IssuedCredentials:
        serial = len(self.issued) + 1
        noise = f"{self._random.getrandbits(96):024x}"
        one = IssuedCredentials(
            access_key_id=f"STS.FAKE{serial:04}{noise[:12].upper()}",
            access_key_secret=f"fake-secret-{serial:04}-{noise}",
            security_token=f"fake-security-token-{serial:04}-" + noise * 16 + "==",
            issued_at=self.now(),
            # A whole second, as in the document; rounded up.
            expiration=datetime.fromtimestamp(math.ceil(self._clock() + self._life), timezone.utc),
            role_name=role,
        )
        self.issued.append(one)
        return one


def _checked_role(role: str) -> str:
    if not isinstance(role, str) or not _NAME.fullmatch(role) or role in (".", ".."):
        raise ValueError(
            f"no role can be named {role!r}: 1 to 64 letters, digits and '.', '@', '_', '-'"
        )
    return role


def _kind(path: str) -> PathKind:
    path = path.partition("?")[0]
    if path == TOKEN_PATH:
        return "token"
    if path == ROLE_PATH:
        return "role"
    return "document" if path.startswith(ROLE_PATH) else "other"


def _page(status: int) -> Response:
    body = _PAGE.format(status=status, title=_TITLES[status])
    return Response(status, body.encode(), {"Content-Type": "text/html"})
