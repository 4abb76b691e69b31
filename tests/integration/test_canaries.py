"""Canaries: secrets are put through every path, and then looked for wherever things are shown.

The AccessKey secret, the security token and the session token are secrets. The AccessKey id is
none: applications print it, and no test here looks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import faulthandler
import gc
import json
import logging
import pickle
import pprint
import socket
import subprocess
import sys
import threading
import traceback
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
import requests
from cachetools import TTLCache
from support import run_at_once
from support.plain_http import wait_until

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider, errors
from ecs_role_creds.adapters.oss2 import OssCredentialsProvider
from ecs_role_creds.cli import main
from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.provider import Runtime, forget_shared
from ecs_role_creds.testing import FakeMetadataServer, FakeOss

DEADLINE = 0.6
DEPTH = 12
PREFIXES = ("fake-secret-", "fake-security-token-", "fake-session-token-")


class Canaries:
    """What must not be shown: all that a fake service has issued, whole or in pieces."""

    def __init__(self, server: FakeMetadataServer) -> None:
        self._server = server

    @property
    def pieces(self) -> list[str]:
        """The beginnings, and of each secret the end that makes it one."""
        tokens = (
            one.headers.get("x-aliyun-ecs-metadata-token", "") for one in self._server.requests
        )
        secrets = [one.access_key_secret for one in self._server.issued]
        secrets += [one.security_token for one in self._server.issued]
        secrets += filter(None, tokens)
        assert len(secrets) >= 3, "there is nothing to be found"
        return [*PREFIXES, *{secret.rstrip("=")[-16:] for secret in secrets}]

    def found_in(self, shown: str) -> list[str]:
        return [piece for piece in self.pieces if piece in shown]


def issued_document(server: FakeMetadataServer, **changes: object) -> str:
    """The document as the server hands it out, in the hands of a test that spoils it."""
    one = server.issued[-1]
    parts: dict[str, object] = {
        "AccessKeySecret": one.access_key_secret,
        "SecurityToken": one.security_token,
        "AccessKeyId": one.access_key_id,
        "Expiration": "2099-01-01T00:00:00Z",
        "Code": "Success",
    }
    return json.dumps({**parts, **changes})


def session_token(server: FakeMetadataServer) -> str:
    return server.requests[-1].headers["x-aliyun-ecs-metadata-token"]


# Ways to inspect an object. Each takes an object and returns all the text that it shows.


def told(error: BaseException) -> str:
    """As crash reporters tell it: the whole chain, with the local variables."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(report.format())


def walked(root: object) -> str:
    """As debuggers unfold it: attributes, slots, items and chained errors, level by level.

    Credentials are not expanded: code that reads their attributes asks for the secrets.
    """
    shown: list[str] = []
    kept: list[object] = []  # so that no id is used twice
    seen: set[int] = set()
    queue: deque[tuple[int, object]] = deque([(0, root)])
    while queue:
        depth, thing = queue.popleft()
        if id(thing) in seen or depth > DEPTH or isinstance(thing, (type, types.ModuleType)):
            continue
        seen.add(id(thing))
        kept.append(thing)
        shown.append(repr(thing))
        if not isinstance(thing, Credentials):
            queue.extend((depth + 1, inner) for inner in unfolded(thing))
    return "\n".join(shown)


def unfolded(thing: object) -> Iterator[object]:
    yield from getattr(thing, "__dict__", {}).values()
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            with contextlib.suppress(AttributeError):
                yield getattr(thing, f"_{kind.__name__}{slot}" if slot[:2] == "__" else slot)
    if isinstance(thing, dict):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        yield from thing
    elif isinstance(thing, BaseException):
        yield from (thing.args, thing.__cause__, thing.__context__)
    elif isinstance(thing, types.MethodType):
        yield thing.__self__
    elif isinstance(thing, types.FunctionType):
        yield from (cell.cell_contents for cell in thing.__closure__ or ())


def logged(thing: object) -> str:
    """What a log record of it holds, and what its formatter makes of that."""
    with everything_logged() as told_by_records:
        logging.getLogger("application").error("%s %r", thing, thing)
        if isinstance(thing, BaseException):
            logging.getLogger("application").error("it failed", exc_info=thing)
    return "\n".join(told_by_records)


def warned(thing: object) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn(f"{thing} {thing!r}", stacklevel=1)
    return str(caught[0])


def pickled(thing: object) -> str:
    """All protocols' bytes as text; nothing where it refuses."""
    shown = []
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with contextlib.suppress(TypeError):
            shown.append(pickle.dumps(thing, protocol).decode("latin-1"))
    return "\n".join(shown)


VIEWS: dict[str, Callable[[Any], str]] = {
    "str": str,
    "repr": repr,
    "format": "{0} {0!s:>100} {0!r:.400}".format,
    "pprint": lambda thing: pprint.pformat([thing, {"key": thing}]),
    "vars": lambda thing: pprint.pformat(getattr(thing, "__dict__", {})),
    "walk": walked,
    "log": logged,
    "warning": warned,
    "pickle": pickled,
}
ERROR_VIEWS = {**VIEWS, "traceback": told}


def leaks(
    canaries: Canaries, thing: object, views: Mapping[str, Callable[[Any], str]]
) -> dict[str, list[str]]:
    """By the name of each view that shows a secret: which."""
    found = {name: canaries.found_in(show(thing)) for name, show in views.items()}
    return {name: pieces for name, pieces in found.items() if pieces}


# What listens while things happen.


class Listener(logging.Handler):
    """Keeps all that a record tells: formatted, as its arguments, and as its attributes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(threadName)s %(message)s"))
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(f"{self.format(record)} {record.args!r} {vars(record)!r}")
        if record.exc_info and record.exc_info[1]:
            self.told.append(told(record.exc_info[1]))


@contextlib.contextmanager
def everything_logged() -> Iterator[list[str]]:
    """What any logger says, from DEBUG on."""
    root, listener = logging.getLogger(), Listener()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(listener)
    try:
        yield listener.told
    finally:
        root.removeHandler(listener)
        root.setLevel(level)


# A course of events that leads past everything, with all that came of it.


class Failure(NamedTuple):
    """An error, and the provider that remembers it."""

    error: CredentialsError
    provider: EcsRamRoleCredentialsProvider | None


class Course(NamedTuple):
    """What is left to be looked at."""

    canaries: Canaries
    objects: dict[str, object]
    failures: dict[str, Failure]
    said: list[str]


Spoil = Callable[[FakeMetadataServer], object]

SPOILS: dict[str, tuple[Spoil, type[CredentialsError]]] = {
    "401": (lambda server: server.fail(401, on="document"), errors.AccessRefusedError),
    "403 everywhere": (lambda server: server.fail(403), errors.AccessRefusedError),
    "429": (lambda server: server.throttle(30), errors.MetadataServiceError),
    "500": (lambda server: server.fail(500), errors.MetadataServiceError),
    "hanging": (lambda server: server.hang(on="document"), errors.MetadataUnreachableError),
    "dripping": (lambda server: server.drip(0.02), errors.MetadataUnreachableError),
    "reset": (lambda server: server.reset(on="document"), errors.MetadataUnreachableError),
    "expired": (lambda server: server.skew_date(86400), errors.CredentialsExpiredError),
    "no role": (lambda server: server.detach(), errors.NoRoleAttachedError),
    "half a document": (
        lambda server: server.answer(issued_document(server)[:-9], on="document"),
        errors.MalformedResponseError,
    ),
    "a line break in the secret": (
        lambda server: server.answer(
            issued_document(server, AccessKeySecret=server.issued[-1].access_key_secret + "\n"),
            on="document",
        ),
        errors.MalformedResponseError,
    ),
    "the secret as the code": (
        lambda server: server.answer(
            issued_document(server, Code=server.issued[-1].access_key_secret), on="document"
        ),
        errors.MalformedResponseError,
    ),
    "a document that does not end": (
        lambda server: server.answer(
            issued_document(server), headers={"Content-Length": "4000"}, on="document"
        ),
        errors.MetadataUnreachableError,
    ),
    "a document in broken chunks": (
        lambda server: server.answer(
            f"{len(issued_document(server)):x}\r\n{issued_document(server)}zz\r\n",
            headers={"Transfer-Encoding": "chunked", "Connection": "close"},
            on="document",
        ),
        errors.MetadataUnreachableError,
    ),
    "a document and 10 MB": (
        lambda server: server.answer(issued_document(server) + " " * 10_000_000, on="document"),
        errors.MalformedResponseError,
    ),
    "a redirect to the secret": (
        lambda server: server.answer(
            issued_document(server),
            status=307,
            headers={"Location": f"http://127.0.0.2/{server.issued[-1].access_key_secret}"},
            on="document",
        ),
        errors.MalformedResponseError,
    ),
    "the document for the role name": (
        lambda server: server.answer(issued_document(server), on="role"),
        errors.MalformedResponseError,
    ),
    "the session token for the role name": (
        lambda server: server.answer(session_token(server), on="role"),
        errors.MalformedResponseError,
    ),
    "the session token in a broken head": (
        lambda server: server.answer(
            "<html>", headers={"X-Fake": "fake\r\n" + session_token(server)}, on="document"
        ),
        errors.MetadataUnreachableError,
    ),
}


def raised_by(call: Callable[[], object]) -> list[BaseException]:
    try:
        call()
    except (CredentialsError, ZeroDivisionError) as error:
        return [error]
    return []


@pytest.fixture(scope="module")
def course() -> Iterator[Course]:
    with (
        FakeMetadataServer(life=600) as server,
        everything_logged() as said,
        warnings.catch_warnings(record=True) as warned_of,
    ):
        warnings.simplefilter("always")
        failures = {name: failed_by(server, *case) for name, case in SPOILS.items()}
        failures |= failed_without_asking()
        objects = all_used(server)
        said += [str(one) for one in warned_of]
    yield Course(Canaries(server), objects, failures, said)
    forget_shared()


def failed_by(server: FakeMetadataServer, spoil: Spoil, kind: type[CredentialsError]) -> Failure:
    """A refresh that fails though there are credentials at hand."""
    deadline = DEADLINE if kind is errors.MetadataUnreachableError else 10.0
    provider = EcsRamRoleCredentialsProvider(
        endpoint=server.endpoint, deadline=deadline, runtime=Runtime()
    )
    # On a busy machine the short deadline may pass before the first answer is there.
    wait_until(lambda: not raised_by(provider.get_credentials))
    spoil(server)
    try:
        return Failure(caught(provider.refresh), provider)
    finally:
        wait_until(lambda: provider.status().failures > 0)
        server.recover()
        if server.role is None:
            server.attach("app-role")


ODD_ENDPOINTS = {
    "a slash in the endpoint's password": "http://user:fake/password@127.0.0.1",
    "a number sign in the endpoint's password": "http://user:fake#password@127.0.0.1",
    "an endpoint without a scheme": "user:fake-password@127.0.0.1",
}


def failed_without_asking() -> dict[str, Failure]:
    """Errors that no answer leads to."""

    def build(endpoint: str) -> EcsRamRoleCredentialsProvider:
        return EcsRamRoleCredentialsProvider(endpoint=endpoint, runtime=Runtime())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = build(f"http://127.0.0.1:{listener.getsockname()[1]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
        disabled = caught(EcsRamRoleCredentialsProvider)
    return {
        "nobody there": Failure(caught(nobody.get_credentials), nobody),
        "a password in the endpoint": Failure(
            caught(lambda: build("http://user:fake-password@127.0.0.1")), None
        ),
        "disabled": Failure(disabled, None),
        **{
            name: Failure(caught(lambda: build(endpoint)), None)  # noqa: B023 (called here)
            for name, endpoint in ODD_ENDPOINTS.items()
        },
    }


def all_used(server: FakeMetadataServer) -> dict[str, object]:
    """Everything that the library hands to an application, after all that it does."""
    provider = EcsRamRoleCredentialsProvider("app-role", endpoint=server.endpoint)
    first = provider.get_credentials()
    server.rotate()
    assert provider.refresh() != first
    provider.invalidate(provider.get_credentials())
    asyncio.run(provider.get_credentials_async(), debug=True)
    polled = EcsRamRoleCredentialsProvider(endpoint=server.endpoint)
    with polled.polling():
        wait_until(lambda: polled.status().fetches == 1)
    server.mode = "normal-only"
    in_normal_mode = EcsRamRoleCredentialsProvider(endpoint=server.endpoint, session_token_ttl=60)
    in_normal_mode.get_credentials()
    server.mode = "both"
    return {
        "provider": provider,
        "provider in normal mode": in_normal_mode,
        "provider, copied": copy.deepcopy(provider),
        "provider, for oss2": OssCredentialsProvider(provider),
        "credentials": provider.get_credentials(),
        "old credentials": first,
        "status": provider.status(),
        "settings": provider.__getstate__(),
        "bound method": provider.get_credentials,
    }


def caught(call: Callable[[], object]) -> CredentialsError:
    with pytest.raises(CredentialsError) as info:
        call()
    return info.value


# What is left behind


OBJECTS = [
    *("provider", "provider in normal mode", "provider, copied", "provider, for oss2"),
    *("credentials", "old credentials", "status", "settings", "bound method"),
]


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_show_no_secret(course: Course, name: str) -> None:
    assert leaks(course.canaries, course.objects[name], VIEWS) == {}


def test_no_object_is_left_out(course: Course) -> None:
    assert sorted(course.objects) == sorted(OBJECTS)


WITHOUT_ASKING = ["nobody there", "a password in the endpoint", "disabled", *ODD_ENDPOINTS]


@pytest.mark.parametrize("name", [*SPOILS, *WITHOUT_ASKING])
def test_errors_show_no_secret(course: Course, name: str) -> None:
    error = course.failures[name].error
    assert type(error) is SPOILS.get(name, (None, type(error)))[1]
    for one in (error, error.fresh()):
        assert leaks(course.canaries, one, ERROR_VIEWS) == {}


@pytest.mark.parametrize("name", SPOILS)
def test_remembered_failures_keep_no_frames(course: Course, name: str) -> None:
    """Their frames would hold the answer until the next failure or success."""
    provider = course.failures[name].provider
    assert provider is not None
    links: list[BaseException | None] = [provider._cache.latest().state.failure]
    assert links[0] is not None
    while links:
        link = links.pop()
        if link is not None:
            assert link.__traceback__ is None
            links += [link.__cause__, link.__context__]


@pytest.mark.parametrize("name", SPOILS)
def test_providers_that_failed_show_no_secret(course: Course, name: str) -> None:
    provider = course.failures[name].provider
    assert provider is not None
    status = provider.status()
    assert status.last_failure
    for shown in (walked(provider), f"{status}", repr([*status]), json.dumps(status, default=str)):
        assert course.canaries.found_in(shown) == []


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_come_out_of_a_pickle_as_they_were(course: Course, protocol: int) -> None:
    for error, _ in course.failures.values():
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is type(error)
        assert (str(again), vars(again)) == (str(error), vars(error))


def test_every_kind_of_error_was_looked_at(course: Course) -> None:
    kinds = {type(failure.error).__name__ for failure in course.failures.values()}
    # This one quotes nothing but two role names.
    assert kinds == {*errors.__all__} - {"CredentialsError", "RoleMismatchError"}


def test_nothing_said_shows_a_secret(course: Course) -> None:
    said = "\n".join(course.said)
    # urllib3 logs nothing: its pools are not used, so that no log handler runs inside a fetch.
    assert "\nurllib3" not in said
    for logger in ("ecs_role_creds ", "asyncio "):
        assert f"\n{logger}" in said, f"{logger}was not listened to"
    assert "New credentials" in said
    assert "normal mode" in said
    assert course.canaries.found_in(said) == []


# What is seen while it happens


def test_threads_at_work_show_no_secret(ecs_metadata: FakeMetadataServer, tmp_path: Path) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=60)
    polled = EcsRamRoleCredentialsProvider(deadline=11)
    provider.invalidate(provider.get_credentials())
    ecs_metadata.hang(on="document")
    caller = threading.Thread(target=provider.get_credentials)
    caller.start()
    with polled.polling(), (tmp_path / "stacks").open("w+b") as file:
        wait_until(lambda: provider.status().is_refreshing and polled.status().is_refreshing)
        wait_until(lambda: len(ecs_metadata.requests) == 8)
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        stacks = file.read().decode()
        threads = [one for one in threading.enumerate() if one.name.startswith("ecs-role-creds-")]
        shown = [walked(thread) for thread in threads]
        ecs_metadata.recover()
    caller.join()
    assert {one.name for one in threads} == {"ecs-role-creds-refresh", "ecs-role-creds-poller"}
    assert stacks.count("ecs_role_creds/transport.py") >= 2
    assert Canaries(ecs_metadata).found_in("\n".join([stacks, *shown])) == []


def test_event_loops_in_debug_mode_show_no_secret(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(runtime=Runtime())

    async def use() -> None:
        asyncio.get_running_loop().slow_callback_duration = 0  # so that every step is logged
        await asyncio.gather(*(provider.get_credentials_async() for _ in range(3)))
        ecs_metadata.answer(issued_document(ecs_metadata)[:-9], on="document")
        failing = EcsRamRoleCredentialsProvider(runtime=Runtime())
        await asyncio.wait([asyncio.create_task(failing.get_credentials_async())])

    with everything_logged() as said:
        asyncio.run(use(), debug=True)
        gc.collect()
    shown = "\n".join(said)
    assert "Executing <" in shown
    assert "Task exception was never retrieved" in shown
    assert Canaries(ecs_metadata).found_in(shown) == []


class CrashingSession(requests.Session):
    """Fails amid an exchange, in a way that nobody has thought of, and amid handling that."""

    def request(self, *args: Any, **options: Any) -> requests.Response:
        try:
            return super().request(*args, **options)
        except LookupError as error:
            raise ZeroDivisionError("fake crash") from error

    def send(self, request: Any, **options: Any) -> requests.Response:
        response = super().send(request, **options)
        if request.url.endswith("/app-role"):
            body = response.content
            raise LookupError(f"fake crash after {len(body)} bytes")
        return response


class CrashingCallback:
    """Works a number of times, and no more."""

    def __init__(self, callback: Callable[[], object], times: int) -> None:
        self.left = times
        self._callback = callback

    def __call__(self, *_: object) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ZeroDivisionError("fake crash")
        return self._callback()


CALLBACKS: dict[str, Callable[[], object]] = {
    "clock": Runtime().clock,
    "wall_clock": Runtime().wall_clock,
    "random": Runtime().random,
    "sleep": lambda: None,
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_crash_of_a_callback_shows_no_secret(ecs_metadata: FakeMetadataServer, name: str) -> None:
    crashes = 0
    with everything_logged() as said:
        for times in range(25):
            ecs_metadata.fail(500, on="document", times=1)
            callback = CrashingCallback(CALLBACKS[name], times)
            runtime = Runtime(start_thread=run_at_once, sleep=lambda _: None)
            runtime = runtime._replace(**{name: callback})
            provider = EcsRamRoleCredentialsProvider(deadline=DEADLINE, runtime=runtime)
            calls = (provider.get_credentials, provider.refresh, provider.refresh)
            raised = [error for call in calls for error in raised_by(call)]
            callback.left = 1000  # no more of that
            said += [told(error) + walked(error) for error in raised]
            said.append(walked(provider))
            crashes += len(raised)
            ecs_metadata.recover()
    shown = "\n".join(said)
    assert crashes
    assert "fake crash" in shown
    assert Canaries(ecs_metadata).found_in(shown) == []


def test_a_crash_of_the_session_shows_no_secret(ecs_metadata: FakeMetadataServer) -> None:
    with CrashingSession() as session, everything_logged() as said:
        session.trust_env = False
        provider = EcsRamRoleCredentialsProvider(runtime=Runtime(session=session))
        error = caught(provider.get_credentials)
    assert "unexpected ZeroDivisionError" in str(error)
    EcsRamRoleCredentialsProvider().get_credentials()  # so that something has been issued
    shown = "\n".join([*said, told(error), walked(error)])
    assert Canaries(ecs_metadata).found_in(shown) == []


def test_a_log_handler_that_crashes_shows_no_secret(
    ecs_metadata: FakeMetadataServer, capsys: pytest.CaptureFixture[str]
) -> None:
    class Crashing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise ZeroDivisionError("fake crash")
            except ZeroDivisionError:
                self.handleError(record)  # prints the record with its arguments

    handler, logger = Crashing(), logging.getLogger("ecs_role_creds")
    logger.addHandler(handler)
    try:
        provider = EcsRamRoleCredentialsProvider(runtime=Runtime(start_thread=run_at_once))
        provider.get_credentials()
        ecs_metadata.fail(500)
        caught(provider.refresh)
    finally:
        logger.removeHandler(handler)
    shown = capsys.readouterr().err
    assert "Arguments:" in shown
    assert Canaries(ecs_metadata).found_in(shown) == []


# Whole processes

SCRIPT = """
import asyncio, logging, sys, threading
logging.basicConfig(level=logging.DEBUG)
from ecs_role_creds import EcsRamRoleCredentialsProvider
provider = EcsRamRoleCredentialsProvider(deadline=60)
credentials = provider.get_credentials()
provider.refresh()
provider.invalidate(credentials)
asyncio.run(provider.get_credentials_async())
print(provider, credentials, provider.status(), vars(provider))
other = EcsRamRoleCredentialsProvider("other", deadline=60)
thread = threading.Thread(target=other.get_credentials)
thread.start()
thread.join()
{more}
EcsRamRoleCredentialsProvider("another", deadline=60).get_credentials()
"""


@pytest.mark.parametrize("is_planted", [False, True], ids=["clean", "planted"])
def test_development_mode_shows_no_secret(
    ecs_metadata: FakeMetadataServer, is_planted: bool
) -> None:
    script = SCRIPT.format(more="print(credentials.access_key_secret)" if is_planted else "")
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "always", "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    shown = done.stdout + done.stderr
    assert shown.count("RoleMismatchError: The role") == 2  # neither was caught
    assert "DEBUG:asyncio:" in shown
    assert bool(Canaries(ecs_metadata).found_in(shown)) is is_planted


def test_the_demo_shows_no_secret(
    ecs_metadata: FakeMetadataServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with FakeOss(ecs_metadata, ["album"]) as oss:
        where = ["--bucket", "album", "--endpoint", oss.endpoint, "--output", str(tmp_path / "a")]
        assert main(["demo", *where, "--object", "missing"]) == 1
        ecs_metadata.answer(issued_document(ecs_metadata)[:-9], on="document")
        assert main(["demo", *where, "--object", "missing", "--role", "app-role"]) == 1
    assert main(["demo", "--duration", "0.2", "--output", str(tmp_path / "b.png")]) == 0
    out, err = capfd.readouterr()
    assert "every signature verified" in out
    assert "NoSuchKey" in err
    assert Canaries(ecs_metadata).found_in(out + err) == []


# That each way of looking finds a secret where there is one.


class LeakyError(Exception):
    """Shows what it holds."""

    def __str__(self) -> str:
        return f"<{self.__dict__}>"

    __repr__ = __str__

    def method(self) -> None: ...


class Slotted:
    """Holds something where vars() does not see it."""

    __slots__ = ("__hidden",)

    def __init__(self, hidden: object) -> None:
        self.__hidden = hidden


SECRET = "fake-secret-planted"


@pytest.mark.parametrize("view", ERROR_VIEWS)
def test_a_view_finds_what_is_shown(view: str) -> None:
    leaky = LeakyError()
    leaky.part = SECRET  # type: ignore[attr-defined]
    assert SECRET in ERROR_VIEWS[view](leaky)


def chained(secret: str) -> BaseException:
    error = ValueError("outer")
    error.__context__ = KeyError("inner", [secret.encode()])
    return error


@pytest.mark.parametrize(
    "hide",
    [
        lambda secret: {"a": [({"b": secret},)]},
        lambda secret: {secret: 1},
        Slotted,
        lambda secret: [Slotted(Slotted(secret))],
        lambda secret: lambda: secret,
        chained,
        lambda secret: LeakyError(secret).method,
        lambda secret: TTLCache(1, 60).setdefault("a", Slotted(secret)),
    ],
)
def test_the_walk_finds_what_is_hidden(hide: Callable[[str], object]) -> None:
    provider = EcsRamRoleCredentialsProvider(endpoint="http://127.0.0.1:9", runtime=Runtime())
    provider._cache._source.hidden = hide(SECRET)  # type: ignore[attr-defined]
    assert SECRET in walked(provider)


def test_the_traceback_finds_what_a_frame_holds() -> None:
    def fail(secret: str) -> NoReturn:
        raise KeyError("fake")

    with pytest.raises(KeyError) as caught_error:
        fail(SECRET)
    assert SECRET in told(caught_error.value)


def test_the_listener_hears_what_is_not_formatted() -> None:
    with everything_logged() as said:
        logging.getLogger("urllib3.fake").debug("%.0s", SECRET)
        logging.getLogger("application").info("fake", extra={"more": SECRET})
    assert [SECRET in line for line in said] == [True, True]
