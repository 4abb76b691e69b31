"""Defects that a review found, one test each: settings that travel, races, threads, secrets."""

from __future__ import annotations

import _thread
import asyncio
import copy
import gc
import pickle
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from support import Launcher, MovableClock, ScriptedSource, build_cache, fake_credentials

from ecs_role_creds import (
    Credentials,
    CredentialsError,
    EcsRamRoleCredentialsProvider,
    default_provider,
    preload,
)
from ecs_role_creds.adapters.generic import credentials_document
from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.errors import (
    AccessRefusedError,
    ConfigurationError,
    CredentialsExpiredError,
    MetadataDisabledError,
    MetadataServiceError,
)
from ecs_role_creds.flight import start_daemon_thread
from ecs_role_creds.polling import PollingSwitch
from ecs_role_creds.provider import Runtime
from ecs_role_creds.settings import Settings
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.transport import MAX_IDLE, Transport

LONG = 60.0


# Settings that travel.


def test_what_is_forbidden_holds_where_a_provider_is_unpickled(
    ecs_metadata: FakeMetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickled = pickle.dumps(EcsRamRoleCredentialsProvider())
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    provider = pickle.loads(pickled)
    for call in (provider.get_credentials, provider.refresh):
        with pytest.raises(MetadataDisabledError, match="ALIBABA_CLOUD_ECS_METADATA_DISABLED"):
            call()
    ecs_metadata.assert_no_requests()
    # Back where it is not forbidden, the provider can be used.
    pickled = pickle.dumps(provider)
    monkeypatch.delenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED")
    assert ecs_metadata.is_valid(pickle.loads(pickled).get_credentials())


@pytest.mark.parametrize("name", ["ALIBABA_CLOUD_IMDSV1_DISABLED", "ALIBABA_CLOUD_IMDSV1_DISABLE"])
def test_the_normal_mode_is_ruled_out_where_a_provider_is_unpickled(
    ecs_metadata: FakeMetadataServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ecs_metadata.mode = "normal-only"
    pickled = pickle.dumps(EcsRamRoleCredentialsProvider())
    monkeypatch.setenv(name, "true")
    provider = pickle.loads(pickled)
    with pytest.raises(AccessRefusedError):
        provider.get_credentials()
    # It stays ruled out, wherever the provider goes from here.
    monkeypatch.delenv(name)
    with pytest.raises(AccessRefusedError):
        pickle.loads(pickle.dumps(provider)).get_credentials()
    assert {one.path for one in ecs_metadata.requests} == {"/latest/api/token"}


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://user:se/cret@example",
        "http://user:se#cret@example",
        "http://user:se?cret@example",
        "http://user:se[cret@example",
        "http://user:sécret@example",
        "user:secret@example",
        "http://user%3Asecret%40example",
        b"http://user:secret@example",
    ],
)
def test_no_error_shows_the_password_of_an_endpoint(endpoint: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.resolve(endpoint=endpoint, environ={})  # type: ignore[arg-type]
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_expiration_is_kept_in_utc() -> None:
    beijing = timezone(timedelta(hours=8))
    local = datetime(2030, 1, 1, 8, 0, 0, tzinfo=beijing)
    credentials = Credentials("STS.FAKE", "fake-secret", "fake-token", local)
    assert credentials.expiration.tzinfo is timezone.utc
    assert credentials.expiration == local
    assert "2030-01-01T00:00:00Z" in repr(credentials)

    class Fixed(EcsRamRoleCredentialsProvider):
        def get_credentials(self) -> Credentials:
            return credentials

    assert credentials_document(Fixed())["Expiration"] == "2030-01-01T00:00:00Z"


def test_a_subclass_that_overrides_a_method_is_called_by_its_other_name_too() -> None:
    class Own(EcsRamRoleCredentialsProvider):
        def get_credentials(self) -> Credentials:
            raise CredentialsError("own")

        async def get_credentials_async(self) -> Credentials:
            raise CredentialsError("own, async")

    with pytest.raises(CredentialsError, match="own"):
        Own().get_credential()
    with pytest.raises(CredentialsError, match="own, async"):
        asyncio.run(Own().get_credential_async())


def test_a_copy_has_the_settings_only(ecs_metadata: FakeMetadataServer) -> None:
    class Named(EcsRamRoleCredentialsProvider):
        label = "none"

    provider = Named(deadline=5)
    provider.label = "mine"
    for twin in (copy.copy(provider), copy.deepcopy(provider)):
        assert isinstance(twin, Named)
        assert twin.label == "none"
        assert twin._settings.deadline == 5
        assert ecs_metadata.is_valid(twin.get_credentials())


# Arguments of the wrong type.


@pytest.mark.parametrize(
    ("wrong", "named"),
    [("5", "str"), (True, "bool"), (None, "NoneType"), (timedelta(seconds=5), "timedelta")],
)
def test_the_timeout_of_wait_is_a_number(
    ecs_metadata: FakeMetadataServer, wrong: Any, named: str
) -> None:
    provider = EcsRamRoleCredentialsProvider()
    with pytest.raises(TypeError, match=rf"^wait\(\) takes a number of seconds, not {named}$"):
        provider.wait(wrong)
    with pytest.raises(TypeError, match=rf"^wait_async\(\) takes a number of .*, not {named}$"):
        asyncio.run(provider.wait_async(wrong))
    ecs_metadata.assert_no_requests()


def test_a_runtime_is_a_runtime() -> None:
    with pytest.raises(TypeError, match=r"^runtime takes a Runtime, not dict$"):
        EcsRamRoleCredentialsProvider(runtime={})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^runtime takes a Runtime, not the class Runtime$"):
        EcsRamRoleCredentialsProvider(runtime=Runtime)  # type: ignore[arg-type]


@pytest.mark.usefixtures("ecs_metadata")
def test_a_callback_and_refused_credentials_are_what_they_are() -> None:
    provider = EcsRamRoleCredentialsProvider()
    with pytest.raises(TypeError, match=r"^on_rotation\(\) takes a function, not str$"):
        provider.on_rotation("print")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"not the class Credentials$"):
        provider.invalidate(Credentials)  # type: ignore[arg-type]


def test_an_expiration_is_a_datetime() -> None:
    expected = r"^expiration takes an aware datetime, in UTC, not str$"
    with pytest.raises(TypeError, match=expected):
        Credentials("STS.FAKE", "fake-secret", "fake-token", "2030-01-01T00:00:00Z")  # type: ignore[arg-type]


# Races.


@pytest.fixture
def frantic_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frantic_switching")
def test_racing_first_calls_get_one_default_provider(ecs_metadata: FakeMetadataServer) -> None:
    from ecs_role_creds.provider import forget_shared

    with ThreadPoolExecutor(16) as pool:
        for _ in range(50):
            forget_shared()
            barrier = threading.Barrier(16)
            got = pool.map(lambda _: (barrier.wait(LONG), default_provider())[1], range(16))  # noqa: B023
            assert len({id(provider) for provider in got}) == 1


def test_status_does_not_read_what_a_fetch_changes(ecs_metadata: FakeMetadataServer) -> None:
    """The session token's cache belongs to the fetch alone."""

    class Forbidden:
        def __getattr__(self, name: str) -> object:
            raise KeyError(name)

    provider = EcsRamRoleCredentialsProvider(deadline=LONG, runtime=Runtime())
    provider.get_credentials()
    provider._cache._source._session_tokens = Forbidden()  # type: ignore[attr-defined]
    assert provider.status().mode == "hardening"


# Threads that cannot be started.


def test_a_start_of_polling_that_fails_does_not_count(
    clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = PollingSwitch(build_cache(ScriptedSource(fake_credentials(1, clock)), clock), clock)

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", fail)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="can't start"):
                switch.start()
    assert not switch.is_on
    switch.start()
    assert switch.is_on
    switch.stop()
    assert not switch.is_on


def test_without_threads_the_event_loop_is_not_blocked(clock: MovableClock) -> None:
    source = ScriptedSource(fake_credentials(1, clock))
    cache = build_cache(source, clock, start_thread=Launcher(is_shut_down=True))
    for call in (cache.get_async, cache.refresh_async):
        with pytest.raises(CredentialsError, match="Cannot start a thread"):
            asyncio.run(call())
    assert source.fetches == 0
    clock.advance(60.0)
    assert cache.get() is source.outcomes[0]  # a caller that may block fetches itself


# What is kept of a failure.


def test_a_remembered_failure_keeps_no_frame(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.answer('{"Code": "Success", "AccessKeyId": "STS.FAKE"}', on="document")
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)
    with pytest.raises(CredentialsError):
        provider.get_credentials()
    failure: BaseException | None = provider._cache.latest().state.failure
    assert failure is not None
    while failure is not None:
        assert failure.__traceback__ is None
        failure = failure.__cause__ or failure.__context__


# Time.


def test_refresh_returns_nothing_that_expired_on_its_way(clock: MovableClock) -> None:
    """The process is suspended between the answer and its delivery."""
    source = ScriptedSource(fake_credentials(1, clock, life=10.0))
    launcher = Launcher()
    cache = build_cache(source, clock, start_thread=launcher, deadline=LONG)

    async def main() -> None:
        task = asyncio.ensure_future(cache.refresh_async())
        await asyncio.sleep(0)
        launcher.run_all()
        clock.advance(10.0)
        await task

    with pytest.raises(CredentialsExpiredError):
        asyncio.run(main())


@pytest.mark.parametrize(("life", "close"), [(21600.0, 60.0), (6.0, 0.5)])
def test_an_idle_process_does_not_use_credentials_that_are_about_to_expire(
    clock: MovableClock, life: float, close: float
) -> None:
    first = fake_credentials(1, clock, life=life)
    second = fake_credentials(2, clock, life=2 * life)
    source = ScriptedSource(first, second)
    cache = build_cache(source, clock)
    assert cache.get() is first
    clock.now = 1000.0 + life - close + 0.01
    assert clock() >= cache.latest().hot_until
    assert cache.get() is second
    assert source.fetches == 2


def test_nobody_waits_close_to_expiration_once_an_attempt_was_made(clock: MovableClock) -> None:
    launcher = Launcher()
    first = fake_credentials(1, clock, life=3600.0)
    source = ScriptedSource(first, MetadataServiceError("down"))
    cache = build_cache(source, clock, start_thread=launcher)
    cache.ask_if_due()
    clock.now = cache.latest().state.ask_at
    cache.ask_if_due()  # fails
    clock.now = 1000.0 + 3600.0 - 30.0
    assert cache.get() is first
    assert len(launcher.waiting) == 1


def close_to_expiration(
    clock: MovableClock, *then: Credentials | Exception, **options: Any
) -> tuple[CredentialsCache, ScriptedSource]:
    """A cache whose credentials expire in 30 s, and that has not been called for long."""
    source = ScriptedSource(fake_credentials(1, clock, life=3600.0), *then)
    cache = build_cache(source, clock, **options)
    cache.ask_if_due()
    clock.advance(3600.0 - 30.0)
    return cache, source


def test_a_caller_that_waits_for_a_failing_first_attempt_gets_the_valid_credentials(
    clock: MovableClock,
) -> None:
    cache, source = close_to_expiration(clock, MetadataServiceError("down"))
    assert cache.get().access_key_id == "STS.FAKE0001"
    assert source.fetches == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_a_first_attempt_that_hangs_is_waited_for_until_the_deadline(
    clock: MovableClock, is_async: bool
) -> None:
    deadline = 0.1
    cache, source = close_to_expiration(clock, deadline=deadline, start_thread=Launcher())
    begun_at = time.monotonic()
    got = asyncio.run(cache.get_async()) if is_async else cache.get()
    assert time.monotonic() - begun_at >= 0.9 * deadline
    assert got.access_key_id == "STS.FAKE0001"
    assert source.fetches == 1


def test_all_callers_wait_for_one_first_attempt(clock: MovableClock) -> None:
    count = 8
    all_call, may_end = threading.Barrier(count + 1), threading.Event()

    class Slow(ScriptedSource):
        def fetch(self, until: float) -> Credentials:
            credentials = super().fetch(until)
            assert self.fetches == 1 or may_end.wait(LONG)
            return credentials

    first = fake_credentials(1, clock, life=3600.0)
    second = fake_credentials(2, clock, life=7200.0)
    source = Slow(first, second)
    cache = build_cache(source, clock, deadline=LONG, start_thread=start_daemon_thread)
    assert cache.get() is first
    clock.advance(3600.0 - 30.0)

    def call(_: int) -> Credentials:
        all_call.wait(LONG)
        return cache.get()

    with ThreadPoolExecutor(count) as pool:
        calls = pool.map(call, range(count))
        all_call.wait(LONG)
        may_end.set()
        assert all(got is second for got in calls)
    assert source.fetches == 2


def test_coroutines_wait_for_the_first_attempt_too(clock: MovableClock) -> None:
    second = fake_credentials(2, clock, life=7200.0)
    cache, _ = close_to_expiration(clock, second)
    assert asyncio.run(cache.get_async()) is second


# The wire.


def test_an_idle_connection_is_not_used_again_after_a_while(clock: MovableClock) -> None:
    """A firewall drops an idle connection without a sign; a request on it gets no answer."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    accepted: list[socket.socket] = []

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            accepted.append(connection)
            for _ in range(2 if len(accepted) == 1 else 1):
                connection.recv(65536)
                connection.sendall(answer)
            # From now on it takes requests, and answers none.

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        transport = Transport(clock=clock)
        assert transport.send("GET", url, {}, LONG).body == b"ok"
        clock.advance(MAX_IDLE - 0.1)
        assert transport.send("GET", url, {}, LONG).body == b"ok"
        assert len(accepted) == 1
        clock.advance(MAX_IDLE)
        assert transport.send("GET", url, {}, LONG).body == b"ok"
        assert len(accepted) == 2
        transport.close()
        server.join(LONG)
    for connection in accepted:
        connection.close()


def test_fetches_that_hang_do_not_pile_up(clock: MovableClock) -> None:
    """A host name that takes long to resolve: one thread at a time uses the client."""
    begun, go_on = threading.Event(), threading.Event()
    first = fake_credentials(1, clock)

    class Slow(ScriptedSource):
        at_once = most_at_once = 0

        def fetch(self, until: float) -> Credentials:
            begun.set()
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
            assert go_on.wait(LONG)
            self.at_once -= 1
            return super().fetch(until)

    def start(work: object) -> bool:
        threads.append(threading.Thread(target=work, daemon=True))  # type: ignore[arg-type]
        threads[-1].start()
        return begun.wait(LONG)  # a fetch that no thread has begun would be dropped

    threads: list[threading.Thread] = []
    source = Slow(first)
    cache = build_cache(source, clock, deadline=0.01, start_thread=start)
    for _ in range(10):
        with pytest.raises(CredentialsError, match="within the deadline"):
            cache.get()
        clock.advance(1.0)
    assert len(threads) == 1
    go_on.set()
    threads[0].join(LONG)
    # The late answer counts.
    assert cache.get() is first
    assert source.most_at_once == 1


# The import of the HTTP client.


def test_a_fetch_imports_nothing(ecs_metadata: FakeMetadataServer) -> None:
    import subprocess

    script = f"""
import sys
from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.provider import Runtime
provider = EcsRamRoleCredentialsProvider(
    endpoint={ecs_metadata.endpoint.replace("127.0.0.1", "localhost")!r}, deadline=60,
    runtime=Runtime(start_thread=lambda work: not work()),
)
assert provider._cache.import_http_client(60)
before = set(sys.modules)
provider.get_credentials()
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("error", ["ImportError", "AttributeError", "RuntimeError", "SyntaxError"])
def test_an_import_that_fails_is_reported_as_one(
    ecs_metadata: FakeMetadataServer, tmp_path: Path, error: str
) -> None:
    """Whatever a broken installation raises."""
    import subprocess

    (tmp_path / "requests.py").write_text(f"raise {error}('half of it is missing')\n")
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from ecs_role_creds import CredentialsError, get_credentials
for _ in range(2):
    try:
        get_credentials()
    except CredentialsError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.count("Cannot import the HTTP client") == 2, done.stderr
    assert done.stdout.count("half of it is missing") == 2
    assert "metadata service" not in done.stdout
    ecs_metadata.assert_no_requests()


@pytest.mark.parametrize("module", ["requests", "http.cookiejar"])
def test_a_call_from_inside_the_import_says_so(module: str) -> None:
    """Of a part of the HTTP client, or of the standard library: both wait for each other."""
    import subprocess

    script = """
import sys
from ecs_role_creds import CredentialsError, get_credentials

class Nosy:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            try:
                get_credentials()
            except CredentialsError as error:
                print(error)

sys.meta_path.insert(0, Nosy())
__import__(sys.argv[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, module],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "from inside the import of the HTTP client" in done.stdout, done.stderr


def test_the_import_is_pending_only_before_the_first_use() -> None:
    pending = preload.pending_import()
    assert pending is None or pending.wait(LONG)
    assert preload.pending_import() is None


def test_nothing_is_left_open(ecs_metadata: FakeMetadataServer) -> None:
    """A provider in a reference cycle closes its connection when it is collected."""

    class Holder:
        pass

    holder = Holder()
    holder.provider = EcsRamRoleCredentialsProvider(runtime=Runtime())  # type: ignore[attr-defined]
    holder.itself = holder  # type: ignore[attr-defined]
    holder.provider.get_credentials()  # type: ignore[attr-defined]
    del holder
    gc.collect()  # a ResourceWarning would fail this test


def test_a_module_of_the_application_may_have_a_standard_name(
    ecs_metadata: FakeMetadataServer, tmp_path: Path
) -> None:
    import subprocess

    (tmp_path / "secrets.py").write_text(
        "from ecs_role_creds import get_credentials\nprint(get_credentials().role_name)\n"
    )
    (tmp_path / "app.py").write_text("import secrets\n")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "app.py")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout == "app-role\n", done.stderr


def test_neither_a_cause_nor_a_context_keeps_its_frames(clock: MovableClock) -> None:
    def defect() -> Exception:
        try:
            try:
                raise ValueError("context")
            except ValueError:
                raise KeyError("defect") from OSError("cause")
        except KeyError as error:
            return error

    cache = build_cache(ScriptedSource(defect()), clock)
    with pytest.raises(CredentialsError, match="unexpected KeyError"):
        cache.get()
    failure = cache.latest().state.failure
    assert failure is not None
    (cause,) = (failure.__cause__,)
    assert cause is not None
    for link in (cause, cause.__cause__, cause.__context__):
        assert link is not None
        assert link.__traceback__ is None
