"""The metadata service's protocol: session token, role name, role document.

:class:`MetadataClient` sends the requests, :mod:`ecs_role_creds.transport` carries the bytes, and
:mod:`ecs_role_creds.role_document` decides what to believe of a role document. Comments mark facts
about the service as documented by Alibaba Cloud, or as inferred from the clients that talk to it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, TypeVar

from cachetools import TTLCache

from ecs_role_creds.clock import Clock, WallClock, boottime, draw, utc_now
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import (
    AccessRefusedError,
    CredentialsError,
    CredentialsExpiredError,
    MalformedResponseError,
    MetadataServiceError,
    MetadataUnreachableError,
    NoRoleAttachedError,
    RoleMismatchError,
)
from ecs_role_creds.role_document import parse_role_document, remaining_life
from ecs_role_creds.settings import Settings, is_role_name

if TYPE_CHECKING:
    import requests

    from ecs_role_creds.transport import Answer, Transport

logger = logging.getLogger("ecs_role_creds")

TOKEN_PATH = "/latest/api/token"  # noqa: S105 (a path)
ROLE_PATH = "/latest/meta-data/ram/security-credentials/"
TTL_HEADER = "X-aliyun-ecs-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aliyun-ecs-metadata-token"  # noqa: S105 (a header's name)

MAX_TRIES = 3
FIRST_PAUSE = 0.1
SESSION_TOKEN_SHARE = 0.95
"""How much of a session token's life is used, so that none expires on its way."""

_NO_TOKEN = ""  # in place of a session token: the service has the normal mode only
_NO_HARDENING_MODE = (403, 404, 405)  # 404 seen in clients' sources, the others inferred

_VISIBLE = re.compile(r"[\x21-\x7e]+")  # goes into HTTP headers as it is
_MAX_SESSION_TOKEN = 4096

_Kind = TypeVar("_Kind", bound=CredentialsError)


class MetadataClient:
    """Fetches the instance RAM role's credentials.

    Hardening mode (IMDSv2) first, its session token kept until it runs out; normal mode (IMDSv1)
    only where the service does not know the other. Used by one thread at a time.

    Args:
        settings: Which service, which role, which modes.
        session: The HTTP session to use; by default one of its own, built at the first request.
        clock: Reads seconds, for time limits and the credentials' end.
        wall_clock: The instance's time of day, where the service does not tell its own.
        sleep: Waits, between two tries.
        random: Draws from [0, 1), for the length of that wait.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        session: requests.Session | None = None,
        clock: Clock = boottime,
        wall_clock: WallClock = utc_now,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = draw,
    ) -> None:
        self._settings = settings
        self._session = session
        self._transport: Transport | None = None
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._random = random
        self._warned_of_normal_mode = False
        self._session_tokens = self._no_session_tokens()

    def fetch(self, until: float) -> Credentials:
        """Ask for the role's credentials as they are now.

        Args:
            until: The clock's reading by which all has to be done.

        Returns:
            Credentials that are whole, valid, and of the role asked for.

        Raises:
            CredentialsError: One of its kinds, by what was wrong.
        """
        role_name = self._settings.role_name or self._discover_role(until)
        asked_at, answer = self._get(ROLE_PATH + role_name, until)
        if answer.status == 404 and self._settings.role_name is None:
            # The role was changed between the two requests: once more.
            role_name = self._discover_role(until)
            asked_at, answer = self._get(ROLE_PATH + role_name, until)
        if answer.status == 404:
            self._raise_no_such_role(role_name, until)
        self._expect_ok(answer, "the role's credentials")
        return self._read_credentials(answer, role_name, asked_at)

    @property
    def mode(self) -> str | None:
        """``"hardening"`` or ``"normal"``, as last found; ``None`` before."""
        token = self._session_tokens.get(self._settings.endpoint)
        if token is None:
            return None
        return "normal" if token == _NO_TOKEN else "hardening"

    def forget_connections(self) -> None:
        """Leave connections and session token to the parent process, in a forked child."""
        if self._transport is not None:
            self._transport.forget_connections()
        self._session_tokens = self._no_session_tokens()

    # What to ask, and what an answer's status means.

    def _discover_role(self, until: float) -> str:
        _, answer = self._get(ROLE_PATH, until)
        if answer.status == 404:
            raise NoRoleAttachedError(
                "The instance has no RAM role (the metadata service answered 404). Attach one to "
                "the instance, in the ECS console or by AttachInstanceRamRole, then try again; no "
                "restart is needed."
            )
        self._expect_ok(answer, "the role's name")
        role_name = answer.body.decode("ascii", "replace").strip()
        if not role_name:
            raise NoRoleAttachedError(
                "The metadata service named no RAM role. Attach one to the instance and try again."
            )
        if not is_role_name(role_name):
            del role_name  # not to be quoted: it may be the credentials
            raise MalformedResponseError(
                f"The metadata service answered {len(answer.body)} bytes of something else where a "
                "role's name belongs. " + _WHO_ANSWERS
            )
        return role_name

    def _raise_no_such_role(self, requested: str, until: float) -> NoReturn:
        attached = self._discover_role(until)  # raises where there is none at all
        if attached == requested:
            raise MalformedResponseError(
                f"The metadata service names the role {attached!r}, but has no credentials of it "
                "(it answered 404). " + _WHO_ANSWERS
            )
        error = RoleMismatchError(
            f"The role {requested!r} is not attached to this instance, which has {attached!r}. "
            "Correct role_name (or ALIBABA_CLOUD_ECS_METADATA), or leave it out to use whichever "
            "role the instance has."
        )
        error.requested, error.attached = requested, attached
        raise error

    def _expect_ok(self, answer: Answer, wanted: str) -> None:
        if answer.is_oversized:
            raise MalformedResponseError(
                f"The metadata service's answer is far too long for {wanted}. " + _WHO_ANSWERS
            )
        if 300 <= answer.status < 400:
            raise MalformedResponseError(
                f"The metadata service redirected the request for {wanted}; it never does, so the "
                "redirect was not followed. " + _WHO_ANSWERS
            )
        if answer.status != 200:
            raise MalformedResponseError(
                f"The metadata service answered {answer.status} to the request for {wanted}. "
                + _WHO_ANSWERS
            )

    # The two modes.

    def _get(self, path: str, until: float) -> tuple[float, Answer]:
        asked_at, answer = self._send("GET", path, self._token_header(until), until)
        if answer.status in (401, 403):
            # 401: the session token is refused, or has expired (documented). 403: none was sent,
            # and the instance has been switched to hardening mode only (documented).
            self._session_tokens.clear()
            asked_at, answer = self._send("GET", path, self._token_header(until), until)
        if answer.status in (401, 403):
            raise self._refused(answer.status)
        return asked_at, answer

    def _token_header(self, until: float) -> _Headers:
        token = self._session_tokens.get(self._settings.endpoint)
        if token is None:
            token = self._session_token(until)
            self._session_tokens[self._settings.endpoint] = token
        return _Headers() if token == _NO_TOKEN else _Headers({TOKEN_HEADER: token})

    def _session_token(self, until: float) -> str:
        ttl = str(self._settings.session_token_ttl)
        _, answer = self._send("PUT", TOKEN_PATH, _Headers({TTL_HEADER: ttl}), until)
        if answer.status in _NO_HARDENING_MODE:
            self._enter_normal_mode(answer.status)
            return _NO_TOKEN
        self._expect_ok(answer, "a session token")
        token = answer.body.decode("ascii", "replace").strip()
        if len(token) > _MAX_SESSION_TOKEN or not _VISIBLE.fullmatch(token):
            del token
            raise MalformedResponseError(
                "The metadata service's answer is no session token. " + _WHO_ANSWERS
            )
        return _Hidden(token)

    def _enter_normal_mode(self, status: int) -> None:
        if self._settings.disable_imds_v1:
            raise self._refused(
                status,
                "The metadata service does not offer the security hardening mode (it answered "
                f"{status} to the request for a session token), and the normal mode is switched "
                "off. Update the instance's metadata options, or unset disable_imds_v1 "
                "(ALIBABA_CLOUD_IMDSV1_DISABLED).",
            )
        if not self._warned_of_normal_mode:
            self._warned_of_normal_mode = True
            logger.warning(
                "The metadata service at %s does not offer the security hardening mode (status %d);"
                " using the normal mode. Set ALIBABA_CLOUD_IMDSV1_DISABLED=true to rule that out.",
                self._settings.endpoint,
                status,
            )

    @staticmethod
    def _refused(status: int, message: str | None = None) -> AccessRefusedError:
        error = AccessRefusedError(
            message
            or f"The metadata service refused the request ({status}). The instance may demand the "
            "security hardening mode while a proxy or a container's network strips or forwards "
            "the request (proxied requests are refused); check the instance's metadata options "
            "and ask from the instance itself."
        )
        error.status = status
        return error

    def _no_session_tokens(self) -> TTLCache[str, str]:
        ttl = SESSION_TOKEN_SHARE * self._settings.session_token_ttl
        return TTLCache(maxsize=1, ttl=ttl, timer=self._clock)

    # One request, tried again where that can help.

    def _send(
        self, method: str, path: str, headers: _Headers, until: float
    ) -> tuple[float, Answer]:
        """The answer, and when the request for it was sent."""
        from ecs_role_creds.transport import ConnectionDroppedError, Transport, TransportError

        if self._transport is None:
            self._transport = Transport(self._session)
        url = self._settings.endpoint + path
        attempt = 0
        while True:
            attempt += 1
            asked_at = self._clock()
            if asked_at >= until:
                raise self._out_of_time()
            pause = 0.0
            problem: CredentialsError
            try:
                answer = self._transport.send(method, url, headers, until - asked_at)
            except TransportError as error:
                problem = self._no_answer(error)
                # The service may close an idle connection just as it is used again.
                can_retry = isinstance(error, ConnectionDroppedError)
            else:
                if answer.status != 429 and answer.status < 500:
                    return asked_at, answer
                problem = _unavailable(answer)
                can_retry = True
                pause = problem.retry_after or FIRST_PAUSE * 2**attempt * self._random()
            if not can_retry or attempt == MAX_TRIES or self._clock() + pause >= until:
                raise problem
            if pause:
                self._sleep(pause)

    def _no_answer(self, error: Exception) -> CredentialsError:
        from ecs_role_creds.transport import NotHttpError

        problem: CredentialsError
        if isinstance(error, NotHttpError):
            problem = MalformedResponseError(
                f"What answers at {self._settings.endpoint} does not speak HTTP ({error}). "
                + _WHO_ANSWERS
            )
        else:
            problem = MetadataUnreachableError(
                f"The metadata service at {self._settings.endpoint} does not answer ({error}). "
                + _NOT_ON_AN_INSTANCE
            )
        problem.__cause__ = error
        return problem

    def _out_of_time(self) -> CredentialsError:
        return MetadataUnreachableError(
            f"The metadata service at {self._settings.endpoint} did not give the credentials in "
            "time. " + _NOT_ON_AN_INSTANCE
        )

    # What is believed.

    def _read_credentials(self, answer: Answer, role_name: str, asked_at: float) -> Credentials:
        document = parse_role_document(answer.body)
        if isinstance(document, str):
            raise MalformedResponseError(
                f"The metadata service's answer for role {role_name!r} is not a role document: "
                f"{document}. " + _WHO_ANSWERS
            )
        life = remaining_life(document.expiration, answer.date, self._wall_clock())
        if life <= timedelta(0):
            raise CredentialsExpiredError(
                f"The metadata service handed out credentials of role {role_name!r} that expired "
                f"at {document.expiration:%Y-%m-%dT%H:%M:%SZ}. It renews them by itself; should "
                "this last, detach the role from the instance and attach it again."
            )
        return document.credentials(role_name, asked_at + life.total_seconds(), self._clock)


class _Headers(dict[str, str]):
    """Request headers that a traceback with local variables does not show."""

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"


class _Hidden(str):
    """Text that neither a cache's ``repr`` nor a traceback with local variables shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<not shown>"


def _unavailable(answer: Answer) -> MetadataServiceError:
    reason = "throttles its callers" if answer.status == 429 else "is in trouble"
    error = MetadataServiceError(
        f"The metadata service {reason} (status {answer.status}). It is asked again by and by; "
        "should this last, look for other programs on the instance that ask it often."
    )
    error.status = answer.status
    error.retry_after = _parse_retry_after(answer.headers.get("Retry-After"))
    return error


def _parse_retry_after(value: str | None) -> float | None:
    """Seconds; the form with a date is not heeded, as it is not known to be sent (inferred)."""
    if value is not None and value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    return None


_NOT_ON_AN_INSTANCE = (
    "Not on an ECS instance? Elsewhere, use other credentials. On one: see that no firewall, "
    "security group or route stands between this process and the service."
)
_WHO_ANSWERS = "See what answers at that address in the service's place: a proxy, a portal, a fake."
