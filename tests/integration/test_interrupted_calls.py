"""Signal handlers, finalizers and log handlers that use the provider, at every moment of a call."""

from __future__ import annotations

import contextlib
import gc
import logging
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

import pytest
from support.interruptions import STEP, interrupted, interrupted_elsewhere
from support.plain_http import wait_until
from support.pollers import pollers

from ecs_role_creds import Credentials, CredentialsError, EcsRamRoleCredentialsProvider
from ecs_role_creds.flight import Flight, Signal
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer

DEADLINE = 30.0
"""Far more than a fetch takes: a call that waits for itself is noticed by how it ends."""
LONG = 60.0
MANY = 10_000


@pytest.fixture
def server() -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer() as server:
        yield server


def cold_provider(server: FakeMetadataServer) -> EcsRamRoleCredentialsProvider:
    # A runtime of its own, so that no provider of an earlier round shares its cache.
    provider = EcsRamRoleCredentialsProvider(
        endpoint=server.endpoint, deadline=DEADLINE, runtime=Runtime()
    )
    provider._cache.import_http_client(LONG)
    return provider


def use(provider: EcsRamRoleCredentialsProvider) -> None:
    """A call, after which the credentials are kept fresh in every way there is."""
    provider.get_credentials()
    provider.start_polling()
    provider.invalidate(provider.get_credentials())
    provider.get_credentials()
    provider.refresh()
    provider.stop_polling()
    provider.status()


HANDLERS: dict[str, Callable[[EcsRamRoleCredentialsProvider], object]] = {
    "get_credentials": EcsRamRoleCredentialsProvider.get_credentials,
    "refresh": EcsRamRoleCredentialsProvider.refresh,
    "start and stop polling": lambda provider: (
        provider.start_polling(),
        provider.stop_polling(),
        provider.health(),
        provider.status(),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HANDLERS)
def test_handler_on_the_calling_thread_at_every_line(server: FakeMetadataServer, name: str) -> None:
    handler = HANDLERS[name]
    for line in range(1 + random.randrange(STEP), MANY, STEP):
        provider = cold_provider(server)
        happened = interrupted(line, lambda: use(provider), lambda: handler(provider))  # noqa: B023
        if not happened.has_happened:
            break
        (result,) = happened.results
        assert not isinstance(result, Exception), f"at line {line}: {result!r}"
        if isinstance(result, Credentials):
            assert server.is_valid(result)
        assert not provider.status().is_polling
    assert 100 < line < MANY - STEP


@pytest.mark.slow
def test_finalizer_on_the_fetching_thread_at_every_line(server: FakeMetadataServer) -> None:
    """Inside the fetch it gets an error at once, and the fetch goes on."""
    inside = 0
    for line in range(1 + random.randrange(STEP), MANY, STEP):
        provider = cold_provider(server)
        got: list[Credentials] = []
        happened = interrupted_elsewhere(
            line,
            lambda: got.append(provider.get_credentials()),  # noqa: B023
            provider.get_credentials,
        )
        assert server.is_valid(got[0])
        if not happened.has_happened:
            break
        assert happened.is_over.wait(LONG)
        (result,) = happened.results
        if isinstance(result, CredentialsError):
            assert "cannot wait for itself" in str(result)
            inside += 1
        else:
            assert server.is_valid(result)
    assert 50 / STEP < inside < line < MANY - STEP


class Interrupt(BaseException):
    """What a signal handler raises, as that of SIGINT raises ``KeyboardInterrupt``."""


def ended_at(line: int, call: Callable[[], object]) -> bool:
    """Whether an exception ended a call at this line; ``False``: it has fewer lines."""

    def handler() -> None:
        raise Interrupt

    # A collection would run the finalizers of other providers, and one of them would be ended.
    gc.disable()
    try:
        interrupted(line, call, handler)
    except Interrupt:
        return True
    finally:
        gc.enable()
    return False


def ask_without_waiting(provider: EcsRamRoleCredentialsProvider) -> None:
    with contextlib.suppress(CredentialsError):
        provider.get_credentials_nowait()


def test_exception_of_a_signal_handler_does_not_end_all_refreshes(
    server: FakeMetadataServer,
) -> None:
    for line in range(1, MANY):
        provider = cold_provider(server)
        arrived = threading.Event()
        provider.on_rotation(lambda _, arrived=arrived: arrived.set())
        if not ended_at(line, lambda: ask_without_waiting(provider)):  # noqa: B023
            break
        ask_without_waiting(provider)  # fetches, if the one before does not
        assert arrived.wait(LONG), f"at line {line}"
    assert 10 < line < MANY


def test_exception_of_a_signal_handler_leaves_polling_off_and_able_to_start(
    server: FakeMetadataServer,
) -> None:
    counted: list[int] = []
    for line in range(1, MANY):
        provider = cold_provider(server)
        if not ended_at(line, provider.start_polling):
            provider.stop_polling()
            break
        counted.append(provider._polling.starts)
        provider.start_polling()
        assert provider.status().is_polling, f"at line {line}"
        provider.stop_polling()
    assert 10 < line < MANY
    # The last line is the return: there, it has been started.
    assert not any(counted[:-1])


def test_exception_of_a_signal_handler_ends_no_polling_that_was_started_before(
    server: FakeMetadataServer,
) -> None:
    for line in range(1, MANY):
        provider = cold_provider(server)
        provider.start_polling()
        has_happened = ended_at(line, provider.start_polling)
        assert provider.status().is_polling, f"at line {line}"
        # Also after the last line: what the interpreter keeps of an exception that a trace function
        # raised in an except block may keep the provider, and so its thread.
        provider.stop_polling()
        provider.stop_polling()
        if not has_happened:
            break
    assert 10 < line < MANY


def test_exception_of_a_signal_handler_leaves_no_poller_that_was_stopped() -> None:
    before = set(pollers())
    providers: list[EcsRamRoleCredentialsProvider] = []  # a poller ends with its provider, too
    with FakeMetadataServer(life=2) as server:  # so that pollers sleep for two seconds at most
        for line in range(1, MANY):
            provider = cold_provider(server)
            providers.append(provider)
            provider.start_polling()
            if not ended_at(line, provider.stop_polling):
                break
            if provider._polling.starts:
                provider.stop_polling()
            assert not provider.status().is_polling, f"at line {line}"
        wait_until(lambda: set(pollers()) <= before, LONG)
    assert 10 < line < MANY


def test_exception_of_a_signal_handler_leaves_no_flight_that_can_never_be_dropped() -> None:
    """A caller runs it itself if no thread can be started."""
    for line in range(1, MANY):
        flight: Flight[bool] = Flight(lambda flight: flight.finish(True))
        if not ended_at(line, flight.run):
            break
        if flight.wait(0.0) is None:
            assert not flight.is_run_here, f"at line {line}"
            assert flight.drop(), f"at line {line}"
    assert 5 < line < MANY


def test_signal_handler_that_stops_polling_while_it_is_started(server: FakeMetadataServer) -> None:
    provider = cold_provider(server)
    handled: list[bool] = []

    def stop(*_: object) -> None:
        provider.stop_polling()
        handled.append(True)

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        interrupted(20, provider.start_polling, lambda: signal.raise_signal(signal.SIGUSR1))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert handled
    provider.stop_polling()
    assert not provider.status().is_polling


def test_finalizer_may_stop_a_poller_on_the_thread_that_waits_for_it() -> None:
    stop = Signal()
    waiting = threading.Thread(target=lambda: stop.wait(LONG), daemon=True)
    waiting.start()
    stop.set()
    stop.set()
    waiting.join(LONG)
    assert not waiting.is_alive()
    assert stop.wait(0.0)


class AskingHandler(logging.Handler):
    """Sends its records with the provider's credentials, as one that logs to the cloud does."""

    def __init__(self, provider: EcsRamRoleCredentialsProvider) -> None:
        super().__init__(logging.DEBUG)
        self.provider = provider
        self.got: list[object] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.got.append(self.provider.get_credentials())
        except CredentialsError as error:
            self.got.append(error)


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.setLevel(logging.DEBUG)
    yield root
    root.handlers, root.level = handlers, level
    root.setLevel(level)


@pytest.mark.parametrize("mode", ["both", "normal-only"])
def test_log_handler_that_asks_the_provider(
    server: FakeMetadataServer, root_logger: logging.Logger, mode: str
) -> None:
    server.mode = mode  # type: ignore[assignment]
    provider = cold_provider(server)
    handler = AskingHandler(provider)
    root_logger.addHandler(handler)
    told = threading.Event()
    provider.on_rotation(lambda _: told.set())  # called after the log records are written
    first = provider.get_credentials()
    assert server.is_valid(first)
    assert told.wait(LONG)
    assert handler.got
    assert set(map(id, handler.got)) == {id(first)}


def test_filter_that_fails_does_not_end_the_poller(
    server: FakeMetadataServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: logging.LogRecord) -> bool:
        raise ZeroDivisionError("fake failure of a filter")

    logger = logging.getLogger("ecs_role_creds")
    provider = cold_provider(server)
    rotations = [threading.Event(), threading.Event()]
    provider.on_rotation(lambda _: rotations[provider.status().rotations - 1].set())
    logger.addFilter(fail)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        with provider.polling():
            assert rotations[0].wait(LONG)
            server.rotate()
            provider.invalidate(provider.get_credentials())
            provider.get_credentials()
            assert rotations[1].wait(LONG)
            assert provider.status().is_polling
    finally:
        logger.removeFilter(fail)
        logger.setLevel(level)
    assert "fake failure of a filter" in capsys.readouterr().err


@pytest.mark.parametrize("is_of_future", [False, True])
@pytest.mark.parametrize("call", ["get_credentials", "refresh", "wait"])
def test_a_time_limit_of_the_application_ends_a_wait(call: str, is_of_future: bool) -> None:
    """An alarm whose handler raises TimeoutError, which is also how a wait for a fetch ends."""

    alarm = threading.Timer(0.05, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1))

    def start(_: Callable[[], object]) -> bool:
        with contextlib.suppress(RuntimeError):  # it has been started
            alarm.start()
        return True  # and the fetch never begins

    class TheApplicationsError(FutureTimeoutError):
        pass

    future: Future[None] = Future()

    def time_out(*_: object) -> None:
        if not is_of_future:
            raise TheApplicationsError
        future.result(0.0)

    provider = EcsRamRoleCredentialsProvider(
        endpoint="http://127.0.0.1:1", deadline=LONG, runtime=Runtime(start_thread=start)
    )
    provider._cache.import_http_client(LONG)
    arguments = [LONG] if call == "wait" else []
    before = signal.signal(signal.SIGUSR1, time_out)
    try:
        with pytest.raises(FutureTimeoutError if is_of_future else TheApplicationsError):
            getattr(provider, call)(*arguments)
    finally:
        alarm.join(LONG)
        signal.signal(signal.SIGUSR1, before)


AT_SHUTDOWN = """
import sys
import time
from ecs_role_creds import EcsRamRoleCredentialsProvider

sys.path.insert(0, sys.argv[2])
provider = EcsRamRoleCredentialsProvider(endpoint=sys.argv[1], deadline=60)

class Service:
    def __del__(self, provider=provider):
        for call in (provider.start_polling, provider.get_credentials):
            try:
                call()
            except Exception as error:
                print(f"{type(error).__name__}: {error}")

service = Service()
"""
REFUSED = (
    "RuntimeError: Cannot start polling during interpreter shutdown.",
    "Error: Cannot fetch credentials during interpreter shutdown.",
)


def at_shutdown(server: FakeMetadataServer, before: str, path: str = "") -> list[str]:
    """What a finalizer gets that uses a provider after these lines of a program."""
    done = subprocess.run(
        [sys.executable, "-c", AT_SHUTDOWN + before, server.endpoint, path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_finalizer_at_shutdown_gets_cached_credentials_but_no_poller(
    server: FakeMetadataServer,
) -> None:
    """The thread would never run, and starting it would wait for it."""
    assert at_shutdown(server, "provider.get_credentials()") == [REFUSED[0]]


def test_a_finalizer_at_shutdown_does_not_wait_for_a_fetch(server: FakeMetadataServer) -> None:
    """The thread of the fetch does not run any more."""
    server.hang()
    polling, getting = at_shutdown(
        server,
        """
provider._cache.import_http_client(60)
provider.health()
while (flight := provider._cache.latest().flight) is None or not flight.has_begun:
    time.sleep(0.001)
""",
    )
    assert polling == REFUSED[0]
    assert REFUSED[1] in getting


def test_a_finalizer_at_shutdown_does_not_wait_for_the_import(
    server: FakeMetadataServer, tmp_path: Path
) -> None:
    (tmp_path / "requests.py").write_text("import time\ntime.sleep(1000)\n")
    polling, getting = at_shutdown(
        server,
        """
provider.health()
while "requests" not in sys.modules:
    time.sleep(0.001)
""",
        str(tmp_path),
    )
    assert polling == REFUSED[0]
    assert REFUSED[1] in getting
