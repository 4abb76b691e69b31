"""Bytes as a metadata service's answers, and what has to hold whatever they are.

The bytes go the whole way: through a socket pair, the deadline socket, ``http.client`` and
requests, to :class:`MetadataClient`. Only time is made up, and what is at the socket's far end.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import socket
import time
import traceback
import warnings
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, NamedTuple

import requests

from ecs_role_creds import Credentials
from ecs_role_creds.errors import CredentialsError, RoleMismatchError
from ecs_role_creds.metadata import MetadataClient
from ecs_role_creds.settings import DEFAULT_ENDPOINT, Settings, is_role_name
from ecs_role_creds.transport import _Connection, new_session

NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
"""The time of day by the instance; the corpus's documents expire six hours later."""

CANARY = "+canary+"
"""In every secret of the corpus. No role name and no code can hold it, so nothing may show it."""

DEADLINE = 2.0
PATIENCE = 0.02
"""Real seconds for an answer on a connection that stays open, so that its end is not waited for."""

LONG = 300.0
"""Real seconds for any other answer, which is there already: the machine may be busy."""

MOST_CPU = 2.0
MOST_FETCHES = 3
MOST_REQUESTS = 12
"""For one fetch, whatever is answered."""
LONGEST_MESSAGE = 800
LONGEST_ANSWER = 100_000  # over the limit for bodies and for header lines, within a socket's buffer

MARKER = re.compile(rb"(?:\A|\n)=== answer(, kept open)?\n")
_REPEATED = re.compile(rb"\{\{(.{1,40}?)\*(\d{1,6})\}\}", re.DOTALL)
_REQUEST = re.compile(
    rb"(PUT /latest/api/token|GET /latest/meta-data/ram/security-credentials/([!-~]*))"
    rb" HTTP/1\.1\r\n"
    rb"((?:[A-Za-z-]+: [ -~]*\r\n)+)\r\n"
)
_EVERY_TIME = {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}
_PUT_ONLY = {"X-aliyun-ecs-metadata-token-ttl-seconds", "Content-Length"}
_GET_ONLY = {"X-aliyun-ecs-metadata-token"}
_PARTS = {"access_key_id": 128, "access_key_secret": 256, "security_token": 16384}


class Answer(NamedTuple):
    """What comes down the socket for one request."""

    data: bytes
    is_kept_open: bool


class Script(NamedTuple):
    """A file of the corpus: the client's settings, and the answers it gets."""

    settings: Settings
    answers: list[Answer]

    @classmethod
    def read(cls, data: bytes) -> Script:
        """Any bytes are a script; see README.md for what they mean."""
        head, *rest = MARKER.split(data.removesuffix(b"\n"))
        settings = Settings(
            role_name="app-role" if b"role named" in head else None,
            disable_imds_v1=b"hardening mode demanded" in head,
        )
        return cls(
            settings,
            [
                Answer(_expanded(answer), kept is not None)
                for kept, answer in zip(rest[::2], rest[1::2], strict=True)
            ],
        )


class Outcome(NamedTuple):
    """What a fetch came to, when it did, and what was asked for it."""

    result: Credentials | CredentialsError
    requests: list[bytes]
    now: datetime
    life: float


def try_conversation(data: bytes) -> list[Outcome]:
    """Fetch credentials from a service that answers so; what comes of it is checked.

    Raises:
        AssertionError: Something is not as it has to be.
        Exception: Anything else that a fetch raised, which is a defect, too.
    """
    script = Script.read(data)
    clock = _Clock()
    outcomes: list[Outcome] = []
    with _Service(script.answers) as service, _everything_told() as told:
        client = MetadataClient(
            script.settings,
            session=service.session(),
            clock=clock,
            wall_clock=clock.wall,
            sleep=clock.advance,
            random=lambda: 0.1,
        )
        while not outcomes or (service.waiting and len(outcomes) < MOST_FETCHES):
            outcomes.append(_fetch(client, clock, service))
    for outcome in outcomes:
        _check_requests(outcome.requests, script.settings)
        if isinstance(outcome.result, CredentialsError):
            _check_error(outcome.result)
        else:
            _check_credentials(outcome.result, outcome, script)
    for line in told:
        assert CANARY not in line, f"a log record or a warning shows a secret: {line}"
    return outcomes


def _fetch(client: MetadataClient, clock: _Clock, service: _Service) -> Outcome:
    begun, until = time.thread_time(), clock() + DEADLINE
    service.requests = []
    result: Credentials | CredentialsError
    try:
        result = client.fetch(until)
    except CredentialsError as error:
        result = error
    took = time.thread_time() - begun
    assert took < MOST_CPU, f"a fetch took {took:.1f} s of computing"
    assert clock() < until, "it waited past its deadline"
    life = 0.0 if isinstance(result, CredentialsError) else result.expires_in()
    return Outcome(result, service.requests, clock.wall(), life)


def _check_requests(sent: list[bytes], settings: Settings) -> None:
    assert len(sent) <= MOST_REQUESTS, f"{len(sent)} requests for one fetch"
    for request in sent:
        match = _REQUEST.fullmatch(request)
        assert match is not None, f"not a request that a client sends: {request!r}"
        if match[2]:
            assert is_role_name(match[2].decode()), f"no role's path: {request!r}"
        lines = match[3].decode().splitlines()
        headers = dict(line.split(": ", 1) for line in lines)
        assert len(headers) == len(lines), f"a header twice: {request!r}"
        only = _PUT_ONLY if request.startswith(b"PUT") else _GET_ONLY
        assert set(headers) <= _EVERY_TIME | only, f"a header too many: {request!r}"
        assert headers["Host"] == settings.endpoint.removeprefix("http://")


def _check_credentials(credentials: Credentials, outcome: Outcome, script: Script) -> None:
    for name, most in _PARTS.items():
        part = getattr(credentials, name)
        assert type(part) is str
        assert 1 <= len(part) <= most, f"the length of {name} is {len(part)}"
        assert all("!" <= character <= "~" for character in part), f"{name} is unfit for a header"
    assert CANARY not in f"{credentials} {credentials!r}", "credentials show a secret"
    assert credentials.role_name is not None
    assert is_role_name(credentials.role_name)
    assert script.settings.role_name in (None, credentials.role_name)
    assert credentials.expiration.tzinfo is timezone.utc
    assert 0 < outcome.life <= 12 * 3600, f"a life of {outcome.life} s"
    if not any(b"date" in answer.data.lower() for answer in script.answers):
        left = (credentials.expiration - outcome.now).total_seconds()
        assert outcome.life <= left, f"a life of {outcome.life} s, and they expire in {left} s"


def _check_error(error: CredentialsError) -> None:
    message = str(error)
    assert message.isprintable(), f"not one line of text: {message!r}"
    assert 1 <= len(message) <= LONGEST_MESSAGE, f"a message of {len(message)}: {message}"
    assert type(error) is not CredentialsError, f"an error without a kind: {message}"
    if isinstance(error, RoleMismatchError):
        assert error.requested != error.attached, f"a role that is none other: {message}"
    if error.retry_after is not None:
        assert 0 <= error.retry_after < 1e9
    for shown in (message, repr(error), _traceback(error), _attributes(error)):
        assert CANARY not in shown, f"an error shows a secret: {shown}"


def _traceback(error: BaseException) -> str:
    """As crash reporters print it: the whole chain, with the local variables."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    del told.stack[0]  # the frame in this file: its variables hold the input
    return "".join(told.format())


def _attributes(error: BaseException) -> str:
    """What pickling, or a debugger, gets out of an error and those that it is chained to."""
    shown: list[str] = []
    queue: list[object] = [error]
    seen: set[int] = set()
    while queue:
        link = queue.pop()
        if isinstance(link, BaseException) and id(link) not in seen:
            seen.add(id(link))
            shown.append(f"{type(link).__name__}{link.args!r} {vars(link)!r}")
            queue += [link.__cause__, link.__context__, *link.args, *vars(link).values()]
    return "\n".join(shown)


def _expanded(answer: bytes) -> bytes:
    """With ``{{text*number}}`` written out."""

    def repeat(match: re.Match[bytes]) -> bytes:
        return match[1] * min(int(match[2]), LONGEST_ANSWER // len(match[1]))

    # Not longer than what would be read, however often something is to be repeated.
    pieces, size, at = [], 0, 0
    for match in _REPEATED.finditer(answer):
        pieces += [answer[at : match.start()], repeat(match)]
        size += len(pieces[-2]) + len(pieces[-1])
        at = match.end()
        if size > LONGEST_ANSWER:
            break
    return b"".join([*pieces, answer[at:]])[:LONGEST_ANSWER]


class _Clock:
    """Time passes only where the client sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def wall(self) -> datetime:
        return NOW + timedelta(seconds=self.now - 1000.0)


class _Service:
    """Answers one request after the other, whatever is asked; then takes no connection any more."""

    def __init__(self, answers: list[Answer]) -> None:
        self.waiting = deque(answers)
        self.requests: list[bytes] = []
        self._ends: list[socket.socket] = []

    def session(self) -> requests.Session:
        """The library's own session, but for where its connections lead."""
        self._session = new_session()
        adapter: Any = self._session.get_adapter(DEFAULT_ENDPOINT)
        adapter.poolmanager.connection_class = type("_", (_ToScript,), {"service": self})
        return self._session

    def connect(self) -> tuple[socket.socket, socket.socket] | None:
        """A connection's two ends; ``None`` where there is nothing more to say."""
        if not self.waiting:
            return None
        ours, theirs = socket.socketpair()
        self._ends.append(ours)
        return ours, theirs

    def answer(self, connection: socket.socket) -> bool:
        """Take the request that was sent, and answer it; whether the connection stays open."""
        self.requests.append(connection.recv(65536))
        if self.waiting:
            answer = self.waiting.popleft()
            connection.setblocking(False)
            # What a full buffer does not take is cut off.
            sent = connection.send(answer.data) if answer.data else 0
            if answer.is_kept_open and sent == len(answer.data):
                return True
        connection.shutdown(socket.SHUT_WR)
        return False

    def __enter__(self) -> _Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        for end in self._ends:
            end.close()


class _ToScript(_Connection):
    """Leads to the script in place of the network; all else is the library's and http.client's."""

    service: ClassVar[_Service]

    def connect(self) -> None:
        assert f"http://{self.host}" == DEFAULT_ENDPOINT, f"it connects to {self.host}"
        assert self.port in (80, None), f"it connects to port {self.port}"
        ends = self.service.connect()
        if ends is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the script is at its end")
        self._far_end, near_end = ends
        self._watch(near_end)

    def answer_by(self, moment: float) -> None:
        super().answer_by(moment + LONG)

    def getresponse(self) -> Any:
        assert self.timeout is not None
        assert 0 < self.timeout <= DEADLINE
        if self.service.answer(self._far_end):
            super().answer_by(time.monotonic() + PATIENCE)
        return super().getresponse()


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.told: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        # The traceback of a record that has one goes along.
        self.told.append(f"{self.format(record)} {record.args!r}")


@contextlib.contextmanager
def _everything_told() -> Iterator[list[str]]:
    """What is logged, at any level, and what is warned of."""
    records = _Records()
    loggers = [logging.getLogger(name) for name in ("ecs_role_creds", "urllib3", "requests")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logger.addHandler(records)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield records.told
            records.told += [str(one.message) for one in caught]
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.setLevel(level)
            logger.propagate = propagate
            logger.removeHandler(records)
