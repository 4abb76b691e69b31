"""The metadata service's protocol: session token, role name, role document.

:class:`MetadataClient` decides what to request, :mod:`ecs_role_creds.retries` sends each request
and retries it, :mod:`ecs_role_creds.transport` does the I/O, and
:mod:`ecs_role_creds.role_document` validates the role document. Comments mark facts about the
service as documented by Alibaba Cloud, or as inferred from the clients that talk to it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from cachetools import TTLCache

from ecs_role_creds import preload
from ecs_role_creds.clock import Clock, WallClock, boottime, draw, utc_now
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import (
    AccessRefusedError,
    CredentialsExpiredError,
    MalformedResponseError,
    MetadataDisabledError,
    NoRoleAttachedError,
    RoleMismatchError,
)
from ecs_role_creds.flight import Flight
from ecs_role_creds.retries import CHECK_ADDRESS, Limits, RetryingClient
from ecs_role_creds.role_document import parse_role_document, remaining_life
from ecs_role_creds.settings import DISABLED_MESSAGE, Settings, is_role_name

if TYPE_CHECKING:
    import requests

    from ecs_role_creds.transport import Answer

TOKEN_PATH = "/latest/api/token"  # noqa: S105 (a path)
ROLE_PATH = "/latest/meta-data/ram/security-credentials/"
TTL_HEADER = "X-aliyun-ecs-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aliyun-ecs-metadata-token"  # noqa: S105 (a header's name)

SESSION_TOKEN_SHARE = 0.95
"""The share of a session token's life that is used, so that none expires during a request."""

_NO_TOKEN = ""  # in place of a session token: the service has the normal mode only
_NO_HARDENING_MODE = (403, 404, 405)  # 404 seen in clients' sources, the others inferred

_VISIBLE = re.compile(r"[\x21-\x7e]+")  # sent in HTTP headers unchanged
_MAX_SESSION_TOKEN = 4096


class MetadataClient:
    """Fetches the instance RAM role's credentials.

    Tries the hardening mode (IMDSv2) first and reuses its session token until it expires. Uses the
    normal mode (IMDSv1) only if the service does not support the hardening mode. Not for concurrent
    use: run one fetch at a time.

    Args:
        settings: Which service, which role, which modes.
        session: The HTTP session to use; by default its own, created at the first request.
        clock: Returns seconds, for time limits and for the credentials' expiration.
        wall_clock: Returns the instance's time of day, used if the service does not send its own.
        sleep: Waits between two attempts.
        random: Returns a random number from [0, 1), for the length of that wait.
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
        self._clock = clock
        self._wall_clock = wall_clock
        self._requests = RetryingClient(
            settings.endpoint, session=session, clock=clock, sleep=sleep, random=random
        )
        self._warning: str | None = None
        self._warned_of_normal_mode = False
        self._session_tokens = self._no_session_tokens()
        self.mode: str | None = None
        """``"hardening"`` or ``"normal"``, as last detected; ``None`` before the first request."""

    def pending_import(self) -> Flight[bool] | None:
        """Return the import of the HTTP client that :meth:`fetch` needs; ``None`` if it is done."""
        return preload.pending_import()

    def fetch(self, until: float) -> Credentials:
        """Fetch the role's current credentials.

        Args:
            until: The deadline, as a reading of the clock.

        Returns:
            Complete, valid credentials of the requested role.

        Raises:
            CredentialsError: The subclass tells the kind of failure.
        """
        if self._settings.is_disabled:
            raise MetadataDisabledError(DISABLED_MESSAGE)
        limits = Limits(until)
        role_name = self._settings.role_name or self._discover_role(limits)
        asked_at, answer = self._get(ROLE_PATH + role_name, limits)
        if answer.status == 404 and self._settings.role_name is None:
            # The role was changed between the two requests: try once more.
            role_name = self._discover_role(limits)
            asked_at, answer = self._get(ROLE_PATH + role_name, limits)
        if answer.status == 404:
            self._raise_no_such_role(role_name, limits)
        self._expect_ok(answer, "the role's credentials")
        return self._read_credentials(answer, role_name, asked_at)

    def take_warning(self) -> str | None:
        """Return the last fetch's warning, once; a fetch itself does not log."""
        warning, self._warning = self._warning, None
        return warning

    def forget_connections(self) -> None:
        """Drop connections and session token in a forked child; the parent keeps them."""
        self._requests.forget_connections()
        self.mode = None
        self._session_tokens = self._no_session_tokens()

    # Requests, and the meaning of each status.

    def _discover_role(self, limits: Limits) -> str:
        _, answer = self._get(ROLE_PATH, limits)
        if answer.status == 404:
            raise NoRoleAttachedError(
                "No RAM role is attached to this instance (the metadata service returned 404). "
                "Attach a role in the ECS console or with AttachInstanceRamRole, then try again; a "
                "restart is not needed."
            )
        self._expect_ok(answer, "the role's name")
        role_name = answer.body.decode("ascii", "replace").strip()
        if not role_name:
            raise NoRoleAttachedError(
                "The metadata service returned an empty role name. Attach a RAM role to the "
                "instance, then try again."
            )
        if not is_role_name(role_name):
            del role_name  # do not quote it: it may be the credentials
            raise MalformedResponseError(
                "Expected a role name from the metadata service, but got "
                f"{len(answer.body)} bytes that are not a valid name. {CHECK_ADDRESS}"
            )
        return role_name

    def _raise_no_such_role(self, requested: str, limits: Limits) -> NoReturn:
        attached = self._discover_role(limits)  # raises if there is no role
        if attached == requested:
            raise MalformedResponseError(
                f"The metadata service names the role {attached!r}, but returned 404 for its "
                f"credentials. {CHECK_ADDRESS}"
            )
        error = RoleMismatchError(
            f"The role {requested!r} is not attached to this instance; its role is {attached!r}. "
            "Correct role_name (or ALIBABA_CLOUD_ECS_METADATA), or remove it to use the role that "
            "the instance has."
        )
        error.requested, error.attached = requested, attached
        raise error

    def _expect_ok(self, answer: Answer, wanted: str) -> None:
        if answer.is_oversized:
            problem = f"The metadata service's answer is too long for {wanted}."
        elif 300 <= answer.status < 400:
            problem = (
                f"The metadata service redirected the request for {wanted}. The redirect was not "
                "followed, because the service sends none."
            )
        elif answer.status != 200:
            problem = f"The metadata service returned {answer.status} to the request for {wanted}."
        else:
            return
        raise MalformedResponseError(f"{problem} {CHECK_ADDRESS}")

    # The two modes.

    def _get(self, path: str, limits: Limits) -> tuple[float, Answer]:
        asked_at, answer = self._send_get(path, limits)
        if answer.status in (401, 403):
            # 401: the session token is refused, or has expired (documented). 403: none was sent,
            # and the instance has been switched to hardening mode only (documented).
            self._session_tokens.clear()
            asked_at, answer = self._send_get(path, limits)
        if answer.status in (401, 403):
            raise self._refused(answer.status)
        return asked_at, answer

    def _send_get(self, path: str, limits: Limits) -> tuple[float, Answer]:
        return self._requests.send("GET", path, self._token_header(limits), limits)

    def _token_header(self, limits: Limits) -> _Headers:
        token = self._session_tokens.get(self._settings.endpoint)
        if token is None:
            token = self._session_token(limits)
            self._session_tokens[self._settings.endpoint] = token
            self.mode = "normal" if token == _NO_TOKEN else "hardening"
        return _Headers() if token == _NO_TOKEN else _Headers({TOKEN_HEADER: token})

    def _session_token(self, limits: Limits) -> str:
        ttl = str(self._settings.session_token_ttl)
        _, answer = self._requests.send("PUT", TOKEN_PATH, _Headers({TTL_HEADER: ttl}), limits)
        if answer.status in _NO_HARDENING_MODE:
            self._enter_normal_mode(answer.status)
            return _NO_TOKEN
        self._expect_ok(answer, "a session token")
        token = answer.body.decode("ascii", "replace").strip()
        if len(token) > _MAX_SESSION_TOKEN or not _VISIBLE.fullmatch(token):
            del token
            raise MalformedResponseError(
                f"The metadata service's answer is not a session token. {CHECK_ADDRESS}"
            )
        return _Hidden(token)

    def _enter_normal_mode(self, status: int) -> None:
        if self._settings.disable_imds_v1:
            raise self._refused(
                status,
                "The metadata service does not support the security hardening mode (it returned "
                f"{status} to the request for a session token), and the normal mode is disabled. "
                "Enable the hardening mode in the instance's metadata options, or unset "
                "disable_imds_v1 (ALIBABA_CLOUD_IMDSV1_DISABLED).",
            )
        if not self._warned_of_normal_mode:
            self._warned_of_normal_mode = True
            self._warning = (
                f"The metadata service at {self._settings.endpoint} does not support the security "
                f"hardening mode (status {status}), so the normal mode is used. To prevent that, "
                "set ALIBABA_CLOUD_IMDSV1_DISABLED=true."
            )

    @staticmethod
    def _refused(status: int, message: str | None = None) -> AccessRefusedError:
        error = AccessRefusedError(
            message
            or f"The metadata service refused the request (status {status}). The instance may "
            "require the security hardening mode while a proxy or a container network forwards "
            "the request, which the service refuses. Check the instance's metadata options, and "
            "try the request on the instance itself."
        )
        error.status = status
        return error

    def _no_session_tokens(self) -> TTLCache[str, str]:
        ttl = SESSION_TOKEN_SHARE * self._settings.session_token_ttl
        return TTLCache(maxsize=1, ttl=ttl, timer=self._clock)

    # Validation.

    def _read_credentials(self, answer: Answer, role_name: str, asked_at: float) -> Credentials:
        document = parse_role_document(answer.body)
        if isinstance(document, str):
            raise MalformedResponseError(
                f"The metadata service's answer for role {role_name!r} is not a role document: "
                f"{document}. {CHECK_ADDRESS}"
            )
        life = remaining_life(document.expiration, answer.date, self._wall_clock())
        if life <= timedelta(0):
            raise CredentialsExpiredError(
                f"The metadata service returned credentials of role {role_name!r} that expired at "
                f"{document.expiration:%Y-%m-%dT%H:%M:%SZ}. The service renews them automatically. "
                "If this continues, detach the role from the instance and attach it again."
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
