"""The messages on the troubleshooting page are the ones that the library prints.

Each fence tagged ``text message NAME`` shows what the cause of that name below makes the library
print. To bring the page up to date after a message has changed::

    UPDATE_MESSAGES=1 python -m pytest tests/docs/test_troubleshooting.py
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import re
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest
import requests
from support.plain_http import sending, wait_until

from ecs_role_creds import EcsRamRoleCredentialsProvider, errors
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "troubleshoot.md"
WIDTH = 110

_FENCE = re.compile(r"^```text message ([\w-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Cause = Callable[[FakeMetadataServer], object]
CAUSES: dict[str, Cause] = {}


def cause(name: str) -> Callable[[Cause], Cause]:
    """Register what makes the library print the message of that name."""

    def register(function: Cause) -> Cause:
        CAUSES[name] = function
        return function

    return register


def ask(server: FakeMetadataServer, role_name: str | None = None, **settings: object) -> object:
    if "endpoint" not in settings:
        settings["endpoint"] = server.endpoint
    settings.setdefault("deadline", 30)
    return EcsRamRoleCredentialsProvider(role_name, **settings).get_credentials()  # type: ignore[arg-type]


class TimingOut(requests.Session):
    """Times out at once, as a service that hangs does after the deadline."""

    def send(self, *args: object, **kwargs: object) -> NoReturn:
        raise requests.ReadTimeout from TimeoutError("timed out")


@cause("unreachable")
def _(server: FakeMetadataServer) -> None:
    ask(server, runtime=Runtime(session=TimingOut()))


@cause("deadline")
def _(server: FakeMetadataServer) -> None:
    ask(server)  # imports the HTTP client, for which the whole process shares one thread
    # The fetch never starts, so the wait ends at the deadline on the slowest machine, too.
    ask(server, deadline=0.1, runtime=Runtime(start_thread=lambda work: True))


@cause("connection-refused")
def _(server: FakeMetadataServer) -> None:
    endpoint = server.endpoint
    server.stop()
    ask(server, endpoint=endpoint)


@cause("service-error")
def _(server: FakeMetadataServer) -> None:
    server.fail(503)
    ask(server)


@cause("throttled")
def _(server: FakeMetadataServer) -> None:
    server.throttle(retry_after=60)
    ask(server)


@cause("no-role")
def _(server: FakeMetadataServer) -> None:
    server.detach()
    ask(server)


@cause("other-role")
def _(server: FakeMetadataServer) -> None:
    server.swap("other-role")
    ask(server, "app-role")


@cause("refused")
def _(server: FakeMetadataServer) -> None:
    server.fail(403, on="role")
    ask(server)


@cause("no-hardening-mode")
def _(server: FakeMetadataServer) -> None:
    server.mode = "normal-only"
    ask(server, disable_imds_v1=True)


@cause("not-a-role")
def _(server: FakeMetadataServer) -> None:
    server.answer("<html>Sign in to the network</html>", on="role")
    ask(server)


@cause("redirected")
def _(server: FakeMetadataServer) -> None:
    server.answer("", status=302, headers={"Location": "http://192.0.2.1/"}, on="role")
    ask(server)


@cause("not-a-document")
def _(server: FakeMetadataServer) -> None:
    server.answer("<html>Sign in to the network</html>", on="document")
    ask(server)


@cause("wrong-code")
def _(server: FakeMetadataServer) -> None:
    server.answer('{"Code": "Failed"}', on="document")
    ask(server)


@cause("not-http")
def _(server: FakeMetadataServer) -> None:
    with sending(lambda one: one.sendall(b"220 mail.example.com ESMTP\r\n")) as endpoint:
        ask(server, endpoint=endpoint)


@cause("expired")
def _(server: FakeMetadataServer) -> None:
    ask(server)
    server.rotation_paused = True
    server.skew_date(7 * 3600)
    EcsRamRoleCredentialsProvider(endpoint=server.endpoint).refresh()


@cause("disabled")
def _(server: FakeMetadataServer) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
        ask(server)


@cause("role-is-arn")
def _(server: FakeMetadataServer) -> None:
    ask(server, "acs:ram::1000000000000001:role/app-role")


@cause("bad-endpoint")
def _(server: FakeMetadataServer) -> None:
    ask(server, endpoint="https://100.100.100.200")


@cause("bad-deadline")
def _(server: FakeMetadataServer) -> None:
    ask(server, deadline=0)


@cause("bad-switch")
def _(server: FakeMetadataServer) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALIBABA_CLOUD_IMDSV1_DISABLED", "yes")
        ask(server)


@cause("pickled-credentials")
def _(server: FakeMetadataServer) -> None:
    pickle.dumps(ask(server))


@cause("warning-failed-fetch")
def _(server: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint)
    provider.get_credentials()
    server.fail(503)
    with pytest.raises(errors.MetadataServiceError):
        provider.refresh()


@cause("warning-refused")
def _(server: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint)
    provider.invalidate(provider.get_credentials())
    server.fail(503)
    provider.get_credentials()


@cause("warning-no-credentials")
def _(server: FakeMetadataServer) -> None:
    server.fail(503)
    with pytest.raises(errors.MetadataServiceError):
        EcsRamRoleCredentialsProvider(endpoint=server.endpoint, deadline=30).refresh()


@cause("not-yet")
def _(server: FakeMetadataServer) -> None:
    server.hang()
    provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint)
    try:
        provider.get_credentials_nowait()
    finally:
        server.recover()
        wait_until(lambda: not provider.status().is_refreshing)


@cause("no-thread")
def _(server: FakeMetadataServer) -> None:
    ask(server)  # imports the HTTP client, for which the whole process shares one thread
    provider = EcsRamRoleCredentialsProvider(
        endpoint=server.endpoint, runtime=Runtime(start_thread=lambda work: False)
    )
    asyncio.run(provider.get_credentials_async())


@cause("error-callback")
def _(server: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint)
    provider.on_rotation(lambda credentials: 1 / 0)
    provider.refresh()


@cause("warning-normal-mode")
def _(server: FakeMetadataServer) -> None:
    server.mode = "normal-only"
    ask(server)


class Warnings(logging.Handler):
    """Keeps the warnings of the library."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self.seen = threading.Event()  # records are written after the callers have their outcome

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.levelname}:{record.name}:{record.getMessage()}")
        self.seen.set()


def printed(name: str, server: FakeMetadataServer) -> str:
    """What a person sees: the last line of the traceback, or the warning in the log."""
    logger, warnings = logging.getLogger("ecs_role_creds"), Warnings()
    logger.addHandler(warnings)
    try:
        CAUSES[name](server)
        assert warnings.seen.wait(300)
    except Exception as error:
        kind = type(error)
        prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        return f"{prefix}{kind.__qualname__}: {error}"
    finally:
        logger.removeHandler(warnings)
    return warnings.messages[-1]


def shown(message: str) -> str:
    """A message as the page has it: wrapped, and the same whatever the time and the port."""
    message = re.sub(r"http://127\.0\.0\.1:\d+", "http://100.100.100.200", message)
    message = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "2026-01-01T06:00:00", message)
    message = message.replace("deadline of 0.1 s", "deadline of 2 s")
    message = re.sub(r"valid for another \d+ s", "valid for another 1200 s", message)
    message = re.sub(r"attempt in [\d.]+ s", "attempt in 0.7 s", message)
    lines = textwrap.wrap(message, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) + "\n"


class Shown(NamedTuple):
    """A message on the page."""

    name: str
    text: str
    line: int


def messages_on_page() -> list[Shown]:
    text = PAGE.read_text(encoding="utf-8")
    return [
        Shown(match[1], match[2], text.count("\n", 0, match.start()) + 1)
        for match in _FENCE.finditer(text)
    ]


@pytest.mark.parametrize("name", sorted(CAUSES))
def test_message_is_as_printed(name: str, ecs_metadata: FakeMetadataServer) -> None:
    actual = shown(printed(name, ecs_metadata))
    if os.environ.get("UPDATE_MESSAGES"):
        text = PAGE.read_text(encoding="utf-8")
        fence = f"```text message {name}\n"
        text = _FENCE.sub(lambda m: f"{fence}{actual}```" if m[1] == name else m[0], text)
        PAGE.write_text(text, encoding="utf-8")
    on_page = [message for message in messages_on_page() if message.name == name]
    assert len(on_page) == 1, f"{PAGE.name} needs one fence '```text message {name}'"
    where = f"{PAGE.relative_to(ROOT)}, line {on_page[0].line}"
    assert on_page[0].text == actual, (
        f"{where}: the library now prints\n\n{actual}\n"
        "Change the page, or run this test with UPDATE_MESSAGES=1."
    )


def test_every_message_on_the_page_has_a_cause() -> None:
    unknown = [
        f"line {one.line}: {one.name}" for one in messages_on_page() if one.name not in CAUSES
    ]
    assert unknown == []


def test_every_kind_of_error_is_on_the_page() -> None:
    text = "".join(one.text for one in messages_on_page())
    missing = [name for name in errors.__all__ if f"ecs_role_creds.errors.{name}: " not in text]
    assert missing == []
