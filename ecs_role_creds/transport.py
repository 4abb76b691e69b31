"""One HTTP exchange with the metadata service, on ``requests``, within a total time limit.

The core imports ``requests`` and its dependencies in this module only, and this module at the first
fetch, so that importing ``ecs_role_creds`` is fast.
"""

from __future__ import annotations

import builtins
import http.client
import http.cookiejar
import os
import socket
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Timeout
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader, ProtocolError, TimeoutError
from urllib3.util.wait import wait_for_read

from ecs_role_creds._version import __version__
from ecs_role_creds.clock import Clock, boottime

MAX_BODY = 64 * 1024
CONNECT_SHARE = 0.5
"""The share of the time limit that connecting may take. The metadata service is one hop away and
accepts a connection within a millisecond. Off an instance, this makes the error come earlier."""

MAX_IDLE = 10.0
"""Seconds for which an idle connection is reused: long enough for one fetch and its retries."""

_BROKEN_OFF = "the answer broke off"
_DROPPED = (ProtocolError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)

# ValueError: http.client raises it for a chunk of negative size.
_FROM_BELOW = (
    requests.RequestException,
    HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


class Answer(NamedTuple):
    """The response of the service. Its ``repr`` does not show the body, which contains secrets.

    Attributes:
        status: The HTTP status.
        headers: The headers by name, case-insensitive.
        body: At most ``MAX_BODY`` bytes.
        is_oversized: Whether the body was longer. ``body`` is empty then.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_oversized: bool

    @property
    def date(self) -> datetime | None:
        """The time in the ``Date`` header, in whole seconds; ``None`` if there is none."""
        try:
            date = parsedate_to_datetime(self.headers["Date"])
        except (KeyError, ValueError, TypeError, OverflowError, IndexError):
            return None
        return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {len(self.body)} bytes>"


class TransportError(Exception):
    """There is no complete response.

    The message says why. The original error is chained without its frames; it is not chained if it
    quotes the response.

    Attributes:
        advice: What to do, if the original error says so.
    """

    advice: str | None = None


class ExchangeTimeoutError(TransportError):
    """There was no complete response within the time limit."""


class ConnectionDroppedError(TransportError):
    """The connection was closed or reset before the response was complete."""


class NotHttpError(TransportError):
    """The response is not HTTP."""


class Transport:
    """Sends a request and returns the response, whatever its status.

    Uses one keep-alive session, which it creates at the first request. It uses no proxy and no
    ``.netrc``, follows no redirect, keeps no cookie, and does not retry.

    Args:
        session: A session to use instead, for tests.
        clock: Returns seconds, for the age of an idle connection.
    """

    def __init__(self, session: requests.Session | None = None, clock: Clock = boottime) -> None:
        self._given_session = session
        self._session = session
        self._clock = clock

    def send(self, method: str, url: str, headers: Mapping[str, str], timeout: float) -> Answer:
        """Send a request and return the response.

        Args:
            method: ``GET`` or ``PUT``.
            url: The address.
            headers: The request headers.
            timeout: Seconds for the whole exchange, even if the bytes arrive slowly.

        Returns:
            The response, whatever its status.

        Raises:
            TransportError: There was no complete response in time.
        """
        session = self._session  # once: in a forked child, another thread may forget it meanwhile
        if session is None:
            session = self._session = new_session(self._clock)
        try:
            answer = self._exchange(session, method, url, headers, timeout)
            if answer is not None:
                return answer
            problem: TransportError = ConnectionDroppedError(_BROKEN_OFF)
        except _FROM_BELOW as error:
            # Its frames contain headers and bodies, so it is not raised from here.
            problem = _explain(error)
        raise problem

    def close(self) -> None:
        """Close the kept connections; the next request opens a new one."""
        if self._session is not None:
            self._session.close()

    def forget_connections(self) -> None:
        """Forget the connections of the parent process, in a forked child."""
        self._session = self._given_session
        if self._given_session is not None:
            _renew_connections(self._given_session)

    @staticmethod
    def _exchange(
        session: requests.Session,
        method: str,
        url: str,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Answer | None:
        """Return the response; ``None`` if it is incomplete."""
        # requests accepts it, but its type stubs do not say so.
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


def new_session(clock: Clock = boottime) -> requests.Session:
    """Return a session without proxies, ``.netrc``, cookies and redirects."""
    session = _Session()
    session.headers["User-Agent"] = f"ecs-role-creds/{__version__}"
    session.trust_env = False  # proxies and .netrc come from the environment
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.mount("http://", _Adapter(clock))
    session.mount("https://", _NoTls())
    return session


# Closing a pool takes its lock, which a thread of the parent may have held at the fork. So a child
# keeps references to the parent's pools, and they are never closed.
_left_to_parent: list[object] = []


def _renew_connections(session: requests.Session) -> None:
    """Give a session's adapters new connection pools."""
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            _left_to_parent.append(adapter.poolmanager)
            state: Any = adapter  # its type stubs lack these methods
            state.__setstate__(state.__getstate__())


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return ``None``. Otherwise requests reads the body of a redirect to its end and parses
        its ``Location``, even if it must not follow it."""


class _Adapter(HTTPAdapter):
    """An adapter with one :class:`_KeptConnection` in place of urllib3's pools.

    urllib3 logs each request at DEBUG, so log handlers of the application would run inside a fetch.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        self.poolmanager: Any = _KeptConnection(self._clock)


class _NoTls(HTTPAdapter):
    """Refuses to send: the metadata service uses plain HTTP."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        raise requests.exceptions.InvalidSchema("the metadata service is reached by http:// only")


class _KeptConnection:
    """One connection to one address, kept for a short time; the interface is that of urllib3.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.connection_class: type[_Connection] = _Connection
        self._clock = clock
        self._address: tuple[str, int] = ("", 0)
        self._kept: list[_Connection] = []  # one at most
        self._idle_since = 0.0
        self._pid = os.getpid()
        # The garbage collector may finalize a socket before the object that would close it.
        weakref.finalize(self, _close_all, self._kept)

    def connection_from_host(
        self, host: str, port: int | None = None, *_: object, **__: object
    ) -> _KeptConnection:
        """The pool for an address: this object, with a new connection if the address is new."""
        address = (host, port or 80)
        if address != self._address:
            self.clear()
            self._address = address
        return self

    def connection_from_url(self, url: str, *_: object, **__: object) -> _KeptConnection:
        """The same, for versions of requests before 2.32."""
        parts = urlsplit(url)
        return self.connection_from_host(parts.hostname or "", parts.port)

    def clear(self) -> None:
        """Close the connection."""
        _close_all(self._kept)

    def urlopen(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        *,
        timeout: Timeout,
        **_: object,
    ) -> _RawResponse:
        """Send a request and return the response. Its body has not been read yet."""
        limit = timeout.read_timeout if timeout.total is None else timeout.total
        until = time.monotonic() + cast("float", limit)
        connect_limit = cast("float", timeout.connect_timeout)
        connection = self._take()
        if connection is None:
            connection = self.connection_class(*self._address, timeout=connect_limit)
        try:
            connection.answer_by(until)
            connection.request(method, url, body, headers)
            return _RawResponse(connection.getresponse(), connection, self._keep)
        except BaseException:
            connection.close()
            raise

    def _take(self) -> _Connection | None:
        """The kept connection, if it can still be used.

        A firewall or a restarted service may drop an idle connection without notice, and a request
        on it gets no response. So a connection that was idle for long is closed.
        """
        is_own = self._pid == os.getpid()  # else it is the parent's: forked without hooks
        is_recent = is_own and self._clock() < self._idle_since + MAX_IDLE
        if not self._kept:
            return None
        connection = self._kept.pop()
        if is_recent and connection.sock is not None and not wait_for_read(connection.sock, 0.0):
            return connection
        connection.close()
        return None

    def _keep(self, connection: _Connection) -> None:
        self._idle_since, self._pid = self._clock(), os.getpid()
        self.clear()
        self._kept.append(connection)


def _close_all(connections: list[_Connection]) -> None:
    while connections:
        connections.pop().close()


class _DeadlineSocket(socket.socket):
    """A socket with one timeout for everything that is received, not one for each ``recv``.

    An ordinary timeout starts again with every byte, so a service that sends one byte per second
    could keep its client waiting without limit, also within the headers, where no caller can check
    the time.
    """

    _receive_until: float | None = None

    def answer_by(self, moment: float) -> None:
        """Set the ``time.monotonic()`` at which everything must have been received."""
        self._receive_until = moment
        super().settimeout(max(0.001, moment - time.monotonic()))

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if self._receive_until is not None:
            left = self._receive_until - time.monotonic()
            if left <= 0:
                raise builtins.TimeoutError("timed out")
            super().settimeout(left)
        return super().recv_into(*args, **kwargs)


class _Connection(http.client.HTTPConnection):
    debuglevel = 0  # if an application sets it on the base class, http.client prints secrets
    _until = 0.0

    def answer_by(self, moment: float) -> None:
        """Set the ``time.monotonic()`` at which the next response must be complete."""
        self._until = moment
        if self.sock is not None:
            cast("_DeadlineSocket", self.sock).answer_by(moment)

    def connect(self) -> None:
        super().connect()
        self._watch(self.sock)

    def _watch(self, plain: socket.socket) -> None:
        """Apply the time limit to a socket."""
        self.sock = _DeadlineSocket(plain.family, plain.type, plain.proto, plain.detach())
        self.sock.answer_by(self._until)


class _RawResponse:
    """A response with the interface that requests expects from urllib3."""

    def __init__(
        self,
        answer: http.client.HTTPResponse,
        connection: _Connection,
        keep: Callable[[_Connection], None],
    ) -> None:
        self.status, self.reason = answer.status, answer.reason
        self.headers = answer.headers
        self._answer, self._keep = answer, keep
        self._connection: _Connection | None = connection
        if len(set(_listed(answer.headers.get_all("Content-Length", [])))) > 1:
            raise http.client.HTTPException("two lengths")

    @property
    def length_remaining(self) -> int | None:
        """The number of bytes of the body that are missing; ``None`` if that is unknown."""
        return self._answer.length

    def read(self, amount: int, decode_content: bool = False) -> bytes:
        """The first bytes of the body, as sent."""
        return self._answer.read(amount)

    def release_conn(self) -> None:
        """Keep the connection for the next request, if the response was read to its end."""
        if self._connection is None:
            return
        # A kept connection refers to its last response: keep none of its headers in memory.
        self._answer.headers = self._answer.msg = http.client.HTTPMessage()
        if self._answer.isclosed() and self._connection.sock is not None:
            self._keep(self._connection)
        else:
            self._connection.close()
        self._connection = None

    def close(self) -> None:
        """Close the connection, unless it is kept."""
        self._answer.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _listed(values: list[str]) -> Iterator[str]:
    return (part.strip() for value in values for part in value.split(","))


def _explain(error: Exception) -> TransportError:
    """Return an error for an error of the HTTP client, which is chained without frames."""
    causes = _chain(error)
    kind: Callable[[str], TransportError] = TransportError
    if any(isinstance(cause, (requests.Timeout, TimeoutError, socket.timeout)) for cause in causes):
        kind = ExchangeTimeoutError
    # These contain and quote the response, which may be a secret, so they are not chained.
    elif any(isinstance(cause, http.client.IncompleteRead) for cause in causes):
        return ConnectionDroppedError(_BROKEN_OFF)
    elif no_http := next(filter(_is_no_http, causes), None):
        return NotHttpError(type(no_http).__name__)
    elif any(isinstance(cause, _DROPPED) for cause in causes):
        kind = ConnectionDroppedError
    root = next((cause for cause in reversed(causes) if isinstance(cause, OSError)), error)
    problem = kind(f"{type(root).__name__}: {root}"[:300])
    problem.advice = getattr(root, "advice", None)
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
    """Return the error and its causes, outermost first."""
    chain: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        link = queue.pop(0)
        if isinstance(link, BaseException) and link not in chain:
            chain.append(link)
            # requests and urllib3 keep the wrapped error in args and .reason too
            queue += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    return chain
