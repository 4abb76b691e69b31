"""Sends requests to the metadata service, and records what each response looks like."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ecs_role_creds.cli.doctor.observations import Exchange, Problem, Purpose
from ecs_role_creds.clock import Clock, WallClock
from ecs_role_creds.metadata import ROLE_PATH, TOKEN_HEADER, TOKEN_PATH, TTL_HEADER
from ecs_role_creds.settings import Settings, is_role_name

if TYPE_CHECKING:
    from ecs_role_creds.transport import Answer

NORMAL_MODE_PATH = "/latest/meta-data/instance-id"
"""The path of the request without a session token. It has nothing to do with credentials."""

Send = Callable[[str, str, Mapping[str, str], float], "Answer"]
"""Sends a request (method, URL, headers, time limit in seconds) and returns the response."""


def import_http_client() -> None:
    """Import it, so that the first request does not: it takes seconds on a busy host."""
    import ecs_role_creds.transport  # noqa: F401


def send_for_real(method: str, url: str, headers: Mapping[str, str], timeout: float) -> Answer:
    """Send one request on a connection of its own."""
    from ecs_role_creds.transport import Transport

    transport = Transport()
    try:
        return transport.send(method, url, headers, timeout)
    finally:
        transport.close()


class _Reply(NamedTuple):
    exchange: Exchange
    body: bytes


class Prober:
    """Sends requests to the metadata service, one after another.

    Args:
        settings: The endpoint, the role and the allowed modes.
        send: Sends one request.
        clock: Reads seconds.
        wall_clock: The instance's time of day.
        until: The reading of ``clock`` at which all requests must be done.
    """

    def __init__(
        self, settings: Settings, send: Send, clock: Clock, wall_clock: WallClock, until: float
    ) -> None:
        self._settings = settings
        self._send = send
        self._clock = clock
        self._wall_clock = wall_clock
        self._until = until

    def probe(self) -> Iterator[Exchange]:
        """Send the requests. Stops at the first without a response; skips a disabled mode."""
        ttl = {TTL_HEADER: str(min(60, self._settings.session_token_ttl))}
        reply = self._ask("session token", "PUT", TOKEN_PATH, ttl)
        yield reply.exchange
        if reply.exchange.status is None:
            return
        headers: dict[str, str] = {}
        if reply.exchange.status == 200:
            token = reply.body.decode("ascii", "replace").strip()
            headers = {TOKEN_HEADER: token} if re.fullmatch(r"[\x21-\x7e]+", token) else {}
        if not self._settings.disable_imds_v1:
            yield self._ask("normal mode", "GET", NORMAL_MODE_PATH, {}).exchange
        elif not headers:
            return
        reply = self._ask("role name", "GET", ROLE_PATH, headers)
        name = reply.body.decode("ascii", "replace").strip()
        role_name = name if reply.exchange.status == 200 and is_role_name(name) else None
        yield reply.exchange._replace(role_name=role_name)
        wanted = self._settings.role_name or role_name
        if wanted is not None and reply.exchange.status is not None:
            path = ROLE_PATH + wanted
            yield self._ask("role document", "GET", path, headers).exchange

    def _ask(self, purpose: Purpose, method: str, path: str, headers: Mapping[str, str]) -> _Reply:
        from ecs_role_creds.transport import TransportError

        shown = ROLE_PATH + "ROLE" if purpose == "role document" else path
        begun = self._clock()
        left = self._until - begun
        if left <= 0:
            return _Reply(Exchange(purpose, method, shown, 0.0, problem="timed out"), b"")
        try:
            answer = self._send(method, self._settings.endpoint + path, headers, left)
        except TransportError as error:
            problem = name_problem(error)
            taken = self._clock() - begun
            return _Reply(Exchange(purpose, method, shown, taken, problem=problem), b"")
        exchange = Exchange(
            purpose,
            method,
            shown,
            self._clock() - begun,
            answer.status,
            header_names=tuple(sorted(printable_names(answer.headers))),
            shape=describe_body(answer.body, answer.is_oversized),
            date=answer.date,
            answered_at=self._wall_clock(),
        )
        return _Reply(exchange, answer.body)


def printable_names(headers: Mapping[str, str]) -> Iterator[str]:
    """Return the header names that look like names: a response may contain anything."""
    return (name for name in headers if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,39}", name))


def name_problem(error: Exception) -> Problem:
    """Classify why a request got no response."""
    from ecs_role_creds.transport import (
        ConnectionDroppedError,
        ExchangeTimeoutError,
        NotHttpError,
    )

    # By name first: urllib3 counts every failure to connect as a timeout.
    by_name: dict[str, Problem] = {
        "ConnectionRefusedError": "refused",
        "gaierror": "unknown host",
        "unreachable": "unreachable",
        "No route to host": "unreachable",
    }
    for name, problem in by_name.items():
        if name in str(error):
            return problem
    if isinstance(error, ExchangeTimeoutError):
        return "timed out"
    if isinstance(error, NotHttpError):
        return "no HTTP"
    return "closed" if isinstance(error, ConnectionDroppedError) else "unreachable"


def describe_body(body: bytes, is_oversized: bool = False) -> str:
    """Describe a response body without quoting it.

    Only documented names and values that cannot be secret are shown: the keys of a role document,
    its times, and the ``Code`` ``Success``.
    """
    if is_oversized:
        return "more than 64 KiB"
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        parts = [_describe_entry(key, value) for key, value in sorted(content.items())]
        return "JSON object: " + ", ".join(parts)
    if content is not None and not isinstance(content, (int, float)):
        return f"JSON {type(content).__name__}, {len(body)} bytes"
    kind = "markup" if body.lstrip().startswith(b"<") else "text"
    return f"{kind}, {len(body)} bytes"


_ROLE_DOCUMENT_KEYS = {
    *("AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration", "LastUpdated", "Code"),
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def _describe_entry(key: str, value: object) -> str:
    name = key if key in _ROLE_DOCUMENT_KEYS else "another key"
    if not isinstance(value, str):
        return f"{name} ({type(value).__name__})"
    is_shown = (name in ("Expiration", "LastUpdated") and _TIME.fullmatch(value)) or (
        name == "Code" and value == "Success"
    )
    return f"{name} {value}" if is_shown else f"{name} ({len(value)} characters)"
