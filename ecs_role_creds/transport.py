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
"""The share of the time limit that connecting may take. The service is one hop away and accepts
within a millisecond: where it has not by then, this is no ECS instance."""

MAX_IDLE = 10.0
"""Seconds for which an idle connection is reused: for the requests of one fetch and its retries."""

_BROKEN_OFF = "the answer broke off"
_DROPPED = (ProtocolError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)

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
    """No answer. Says why, and chains the error from below, without its frames; not where that
    one quotes the answer.

    Attributes:
        advice: What to do, if the error from below says so.
    """

    advice: str | None = None


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
        clock: Reads seconds, for the age of an idle connection.
    """

    def __init__(self, session: requests.Session | None = None, clock: Clock = boottime) -> None:
        self._given_session = session
        self._session = session
        self._clock = clock

    def send(self, method: str, url: str, headers: Mapping[str, str], timeout: float) -> Answer:
        """Exchange one request for one answer.

        Args:
            method: ``GET`` or ``PUT``.
            url: The address.
            headers: To send along.
            timeout: Seconds for the whole exchange, however slowly the bytes arrive.

        Returns:
            The answer, whatever its status.

        Raises:
            TransportError: There was none, or not in time.
        """
        if self._session is None:
            self._session = new_session(self._clock)
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


def new_session(clock: Clock = boottime) -> requests.Session:
    """A session that trusts nothing but the address it is given."""
    session = _Session()
    session.headers["User-Agent"] = f"ecs-role-creds/{__version__}"
    session.trust_env = False  # proxies and .netrc come from the environment
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.mount("http://", _Adapter(clock))
    session.mount("https://", _NoTls())
    return session


# A pool's lock may have been held at the fork by a thread that the child does not have, and closing
# the pool would wait for it: the pools of the parent stay referenced in the child.
_left_to_parent: list[object] = []


def _renew_connections(session: requests.Session) -> None:
    """Give a session's adapters new connection pools."""
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            _left_to_parent.append(adapter.poolmanager)
            state: Any = adapter  # its stubs do not show how it is pickled
            state.__setstate__(state.__getstate__())


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere. requests would read a redirect's body to its end and take its ``Location``
        apart, even where it is told not to follow."""


class _Adapter(HTTPAdapter):
    """An adapter with one connection of ours in place of urllib3's pools.

    urllib3 logs each request at DEBUG, so log handlers of the application would run inside a fetch.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        self.poolmanager: Any = _KeptConnection(self._clock)


class _NoTls(HTTPAdapter):
    """The metadata service speaks plain HTTP: nothing is ever sent elsewhere."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        raise requests.exceptions.InvalidSchema("the metadata service is reached by http:// only")


class _KeptConnection:
    """One connection to one address, kept for a short time, as requests expects of urllib3.

    Args:
        clock: Reads seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.connection_class: type[_Connection] = _Connection
        self._clock = clock
        self._address: tuple[str, int] = ("", 0)
        self._kept: list[_Connection] = []  # one at most
        self._idle_since = 0.0
        # A garbage collection may finalize a socket before the object that would close it.
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
        """Send a request and return the answer, whose body is still to be read."""
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

        A firewall or a restarted service drops an idle connection without a sign, and a request on
        it gets no answer: a connection that was idle for long is closed.
        """
        is_recent = self._clock() < self._idle_since + MAX_IDLE
        if not self._kept:
            return None
        connection = self._kept.pop()
        if is_recent and connection.sock is not None and not wait_for_read(connection.sock, 0.0):
            return connection
        connection.close()
        return None

    def _keep(self, connection: _Connection) -> None:
        self._idle_since = self._clock()
        self.clear()
        self._kept.append(connection)


def _close_all(connections: list[_Connection]) -> None:
    while connections:
        connections.pop().close()


class _DeadlineSocket(socket.socket):
    """A socket whose time-out covers all that is received from now on, not each ``recv``.

    An ordinary time-out starts again with every byte, so a service that drips one a second holds
    its client for as long as it likes; headers included, where no caller can look at the clock.
    """

    _receive_until: float | None = None

    def answer_by(self, moment: float) -> None:
        """Have everything received by a reading of ``time.monotonic()``."""
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
    debuglevel = 0  # an application that sets it on the base class would have secrets printed
    _until = 0.0

    def answer_by(self, moment: float) -> None:
        """Have the next answer by a reading of ``time.monotonic()``."""
        self._until = moment
        if self.sock is not None:
            cast("_DeadlineSocket", self.sock).answer_by(moment)

    def connect(self) -> None:
        super().connect()
        self._watch(self.sock)

    def _watch(self, plain: socket.socket) -> None:
        """Have the time limit cover what is received from this socket."""
        self.sock = _DeadlineSocket(plain.family, plain.type, plain.proto, plain.detach())
        self.sock.answer_by(self._until)


class _RawResponse:
    """An answer, as requests expects of urllib3."""

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
        """Bytes of the body that are missing; ``None`` where the answer does not say."""
        return self._answer.length

    def read(self, amount: int, decode_content: bool = False) -> bytes:
        """The first bytes of the body, as sent."""
        return self._answer.read(amount)

    def release_conn(self) -> None:
        """Keep the connection for the next request, if the answer was read to its end."""
        if self._connection is None:
            return
        # A kept connection refers to its last answer, and nothing of that is to be kept.
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
