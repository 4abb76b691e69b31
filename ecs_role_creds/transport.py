"""One HTTP exchange with the metadata service, on ``requests``, within a total time limit.

``requests`` and what it brings are imported here and nowhere else in the library's core, so that
importing ``ecs_role_creds`` stays cheap: this module is imported at the first fetch.
"""

from __future__ import annotations

import builtins
import http.client
import http.cookiejar
import socket
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader, ProtocolError, TimeoutError

from ecs_role_creds._version import __version__

MAX_BODY = 64 * 1024
CONNECT_SHARE = 0.5
"""The share of the time limit that connecting may take. The service is one hop away and accepts
within a millisecond: where it has not by then, this is no ECS instance."""


_BROKEN_OFF = "the answer broke off"

# ValueError: http.client's own, of a chunk whose size is negative.
_FROM_BELOW = (
    requests.RequestException,
    HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


class Answer(NamedTuple):
    """What the service sent back. Holds secrets, so it does not show its body.

    Attributes:
        status: The HTTP status.
        headers: By name, case-insensitive.
        body: At most ``MAX_BODY`` bytes.
        is_oversized: Whether there was more, and ``body`` holds nothing.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_oversized: bool

    @property
    def date(self) -> datetime | None:
        """The sender's time of day, to the second; ``None`` where it tells none."""
        try:
            date = parsedate_to_datetime(self.headers["Date"])
        except (KeyError, ValueError, TypeError, OverflowError, IndexError):
            return None
        return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {len(self.body)} bytes>"


class TransportError(Exception):
    """No answer. Says why, and chains the error from below, stripped of its frames; not where
    that one quotes what was answered."""


class ExchangeTimeoutError(TransportError):
    """Not within the time limit."""


class ConnectionDroppedError(TransportError):
    """A connection that stood was closed or reset before the answer was complete."""


class NotHttpError(TransportError):
    """Something answered that does not speak HTTP."""


class Transport:
    """Sends one request and returns one answer; decides nothing.

    One keep-alive session, built at the first request. No proxy, no ``.netrc``, no redirect
    followed, no cookie kept, no retry of its own.

    Args:
        session: A session to use instead, for tests.
    """

    def __init__(self, session: requests.Session | None = None) -> None:
        self._session = session

    def send(self, method: str, url: str, headers: Mapping[str, str], timeout: float) -> Answer:
        """Exchange one request for one answer.

        Args:
            method: ``GET`` or ``PUT``.
            url: Where to.
            headers: To send along.
            timeout: Seconds for the whole exchange, however slowly the bytes come.

        Returns:
            The answer, whatever its status.

        Raises:
            TransportError: There was none, or not in time.
        """
        if self._session is None:
            self._session = new_session()
        try:
            answer = self._exchange(self._session, method, url, headers, timeout)
            if answer is not None:
                return answer
            problem: TransportError = ConnectionDroppedError(_BROKEN_OFF)
        except _FROM_BELOW as error:
            # The frames below hold headers and bodies: they end here.
            problem = _explain(error)
        raise problem

    def close(self) -> None:
        """Close the kept connections; the next request opens a new one."""
        if self._session is not None:
            self._session.close()

    def forget_connections(self) -> None:
        """Leave the connections to the process that opened them (a child does after a fork)."""
        self._session = None

    @staticmethod
    def _exchange(
        session: requests.Session,
        method: str,
        url: str,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Answer | None:
        """The answer; ``None`` where it broke off."""
        # requests takes it, and its stubs do not know.
        limits: Any = Timeout(total=timeout, connect=timeout * CONNECT_SHARE)
        with session.request(
            method,
            url,
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=limits,
            allow_redirects=False,
            stream=True,
        ) as response:
            body = response.raw.read(MAX_BODY + 1, decode_content=False)
            is_oversized = len(body) > MAX_BODY
            if is_oversized:
                body = b""
            elif (response.raw.length_remaining or 0) > 0:
                return None
            else:
                response.raw.release_conn()
            return Answer(response.status_code, response.headers, body, is_oversized)


def new_session() -> requests.Session:
    """A session that trusts nothing but the address it is given."""
    session = _Session()
    session.headers["User-Agent"] = f"ecs-role-creds/{__version__}"
    session.trust_env = False  # proxies and .netrc come from the environment
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.mount("http://", _DeadlineAdapter(pool_connections=1, pool_maxsize=1, max_retries=0))
    session.mount("https://", _NoTls())
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere. requests would read a redirect's body to its end and take its ``Location``
        apart, even where it is told not to follow."""


class _DeadlineSocket(socket.socket):
    """A socket whose time-out covers all that is received from now on, not each ``recv``.

    An ordinary time-out starts anew with every byte, so a service that drips one a second holds
    its client for as long as it likes; headers included, where no caller can look at the clock.
    """

    _receive_until: float | None = None

    def settimeout(self, value: float | None) -> None:
        self._receive_until = None if value is None else time.monotonic() + value
        super().settimeout(value)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if self._receive_until is not None:
            left = self._receive_until - time.monotonic()
            if left <= 0:
                raise builtins.TimeoutError("timed out")
            super().settimeout(left)
        return super().recv_into(*args, **kwargs)


class _QuietResponse(http.client.HTTPResponse):
    def begin(self) -> None:
        super().begin()
        # urllib3 logs what it cannot read of a head, at WARNING; where the blank line is missing,
        # that is the body.
        self.msg.set_payload("")
        self.msg.defects.clear()


class _DeadlineConnection(HTTPConnection):
    response_class = _QuietResponse

    def connect(self) -> None:
        super().connect()
        plain = cast("socket.socket", self.sock)
        timeout = plain.gettimeout()
        self.sock = _DeadlineSocket(plain.family, plain.type, plain.proto, plain.detach())
        self.sock.settimeout(timeout)


class _DeadlinePool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection  # pyright: ignore[reportAssignmentType]


class _DeadlineAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = {"http": _DeadlinePool}


class _NoTls(HTTPAdapter):
    """The metadata service speaks plain HTTP: nothing is ever sent elsewhere."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        raise requests.exceptions.InvalidSchema("the metadata service is reached by http:// only")


def _explain(error: Exception) -> TransportError:
    """The library's own error for one of the HTTP client's, which it chains without frames."""
    causes = _chain(error)
    kind: Callable[[str], TransportError] = TransportError
    if any(isinstance(cause, (requests.Timeout, TimeoutError, socket.timeout)) for cause in causes):
        kind = ExchangeTimeoutError
    # These keep and quote what was answered, which may be a secret: they are not chained.
    elif any(isinstance(cause, http.client.IncompleteRead) for cause in causes):
        return ConnectionDroppedError(_BROKEN_OFF)
    elif no_http := next(filter(_is_no_http, causes), None):
        return NotHttpError(type(no_http).__name__)
    elif any(isinstance(cause, ProtocolError) for cause in causes):
        kind = ConnectionDroppedError
    root = next((cause for cause in reversed(causes) if isinstance(cause, OSError)), error)
    problem = kind(f"{type(root).__name__}: {root}"[:300])
    for cause in causes:
        cause.__traceback__ = None
        if isinstance(cause, requests.RequestException):
            cause.request = cause.response = None
    problem.__cause__ = error
    return problem


def _is_no_http(error: BaseException) -> bool:
    return type(error) is ValueError or (
        isinstance(error, (http.client.HTTPException, InvalidHeader, DecodeError))
        and not isinstance(error, ConnectionError)  # http.client.RemoteDisconnected
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error and all it was caused by, outermost first."""
    chain: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        link = queue.pop(0)
        if isinstance(link, BaseException) and link not in chain:
            chain.append(link)
            # requests and urllib3 keep what they wrap in args and .reason, too
            queue += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    return chain
