"""A process that forks at any moment: the child can fetch, and so can the parent."""

from __future__ import annotations

import _thread
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
from support import documents
from support.interruptions import STEP, Interruption, interrupted, interrupted_elsewhere
from support.plain_http import wait_until
from support.pollers import pollers

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.flight import Signal
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer

TESTS = str(Path(__file__).parents[1])
LONG = 300.0
MANY = 10_000

T = TypeVar("T")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def server() -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer() as server:
        yield server


def in_child(work: Callable[[], object]) -> Callable[[], int]:
    """A function that forks; it returns the child's exit status: 0 where the work succeeded."""

    def fork() -> int:
        child = os.fork()
        if child == 0:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            try:
                work()
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return fork


def cold_provider(
    server: FakeMetadataServer, deadline: float = 20.0
) -> EcsRamRoleCredentialsProvider:
    provider = EcsRamRoleCredentialsProvider(
        endpoint=server.endpoint, deadline=deadline, runtime=Runtime()
    )
    provider._cache.import_http_client(LONG)
    return provider


@pytest.mark.slow
@pytest.mark.parametrize("where", [interrupted, interrupted_elsewhere], ids=["caller", "fetcher"])
def test_fork_at_every_line_of_the_first_fetch(
    server: FakeMetadataServer, where: Callable[..., Interruption]
) -> None:
    forks = 0
    for line in range(1 + random.randrange(3 * STEP), MANY, 3 * STEP):
        status = fork_at(server, where, line)
        if status is not None and status < 0:
            # Once in many thousand forks amid threads, the interpreter itself aborts in the child
            # ("corrupted double-linked list"). A defect of this package would do so again.
            status = fork_at(server, where, line)
        if status is None:
            break
        assert status == 0, f"at line {line}"
        forks += 1
    assert 10 / STEP < forks < MANY / (3 * STEP) - 1


def fork_at(
    server: FakeMetadataServer, where: Callable[..., Interruption], line: int
) -> int | None:
    """Fork at a line of the first fetch.

    Returns:
        The child's exit status; ``None`` if the fetch has fewer lines.
    """
    provider = cold_provider(server)
    fork = in_child(lambda: use_in_child(provider))
    happened = where(line, provider.get_credentials, fork)
    assert server.is_valid(provider.get_credentials())
    if not happened.has_happened:
        return None
    assert happened.is_over.wait(LONG)
    (status,) = happened.results
    assert isinstance(status, int), status
    return status


def use_in_child(provider: EcsRamRoleCredentialsProvider) -> None:
    provider.get_credentials()
    assert not provider.status().is_polling
    provider.refresh()
    with provider.polling():
        assert provider.status().is_polling


FORK_DURING_THE_IMPORT = """
    import importlib.abc, os, sys, threading

    class Slow(importlib.abc.MetaPathFinder):
        '''Stops the import of requests until the process is about to fork.'''
        def find_spec(self, name, *_):
            if name == "requests" and threading.current_thread() is not threading.main_thread():
                is_importing.set()
                assert forks.wait(300)
            return None

    is_importing, forks = threading.Event(), threading.Event()
    sys.meta_path.insert(0, Slow())

    from ecs_role_creds import EcsRamRoleCredentialsProvider

    # Hooks run in the reverse order of their registration: this one before the library's.
    os.register_at_fork(before=forks.set)
    provider = EcsRamRoleCredentialsProvider(deadline=20)
    threading.Thread(target=provider.{first_call}, daemon=True).start()
    assert is_importing.wait(300)
    child = os.fork()
    if child == 0:
        provider.get_credentials()
        import requests
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    provider.get_credentials()
"""


@pytest.mark.parametrize("first_call", ["start_polling", "get_credentials", "refresh"])
def test_fork_while_another_thread_imports_the_http_client(
    server: FakeMetadataServer, first_call: str
) -> None:
    script = textwrap.dedent(FORK_DURING_THE_IMPORT).replace("{first_call}", first_call)
    # Python 3.12 and later warn of every fork amid threads.
    assert run_script(script, server, "-W", "ignore") == ""


FORK_AS_POLLING_STARTS = """
    import os, signal, threading, time
    from ecs_role_creds import EcsRamRoleCredentialsProvider

    provider = EcsRamRoleCredentialsProvider(deadline=20)
    provider.get_credentials()
    parent, forked = os.getpid(), []
    begin = threading.Thread._bootstrap

    def begin_after_the_fork(self):
        if self.name == "ecs-role-creds-poller" and os.getpid() == parent:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            while not forked:
                time.sleep(0.001)
        begin(self)

    def fork(*_):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
        forked.append(child)

    threading.Thread._bootstrap = begin_after_the_fork
    signal.signal(signal.SIGUSR1, fork)
    provider.start_polling()
    while not forked:
        time.sleep(0.001)
    if os.getpid() != parent:
        assert not provider.status().is_polling
        provider.refresh()
        os._exit(0)
    assert provider.status().is_polling
    assert os.waitstatus_to_exitcode(os.waitpid(forked[0], 0)[1]) == 0
"""


def test_a_handler_forks_as_polling_starts(server: FakeMetadataServer) -> None:
    """Before the thread runs: a child must not wait for a thread of its parent."""
    assert run_script(textwrap.dedent(FORK_AS_POLLING_STARTS), server, "-W", "ignore") == ""


def test_a_handler_forks_at_every_line_of_starting_to_poll(
    server: FakeMetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call goes on in the child, and polls there only if that can be stopped."""
    parent = os.getpid()
    starting: list[object] = []
    start = _thread.start_new_thread

    def start_new_thread(function: Callable[..., object], args: tuple[object, ...]) -> None:
        def run() -> None:
            function(*args)  # starts the poller, and returns once it runs
            starting.remove(args)

        starting.append(args)
        start(run, ())

    def stop_polling_in_child() -> NoReturn:
        try:
            provider.stop_polling()
            # The parent's are not listed in the child.
            wait_until(lambda: not starting and not pollers(), LONG)
            os._exit(0)
        finally:
            os._exit(1)

    monkeypatch.setattr(_thread, "start_new_thread", start_new_thread)
    for line in range(1, MANY):
        provider = cold_provider(server)
        forked: list[int] = []

        def fork() -> None:
            forked.append(os.fork())  # noqa: B023
            if os.getpid() != parent:
                starting.clear()  # they are the parent's

        happened = interrupted(line, provider.start_polling, fork, file="polling.py")
        if os.getpid() != parent:
            stop_polling_in_child()
        provider.stop_polling()
        if not happened.has_happened:
            break
        assert os.waitstatus_to_exitcode(os.waitpid(forked[0], 0)[1]) == 0, f"at line {line}"
    assert 20 < line < MANY


FIRST_CALL_FROM_A_HOOK = """
    import os

    def call():
        if not got:
            got.append(provider.get_credentials())

    # Hooks run in the order of their registration, those before the fork in the reverse order:
    # this one while the library keeps the import of the HTTP client from starting.
    os.register_at_fork({hook}=call)
    from ecs_role_creds import EcsRamRoleCredentialsProvider

    got, provider = [], EcsRamRoleCredentialsProvider(deadline=20)
    child = os.fork()
    if child == 0:
        assert provider.get_credentials() is not None
        os._exit(len(got))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert (status, len(got)) == {expected}, (status, len(got))
    provider.refresh()
"""


@pytest.mark.parametrize(
    ("hook", "expected"),
    [("before", (1, 1)), ("after_in_parent", (0, 1)), ("after_in_child", (1, 0))],
)
def test_first_call_from_a_function_that_is_called_at_a_fork(
    server: FakeMetadataServer, hook: str, expected: tuple[int, int]
) -> None:
    script = textwrap.dedent(FIRST_CALL_FROM_A_HOOK).format(hook=hook, expected=expected)
    assert run_script(script, server, "-W", "ignore") == ""


FORK_INTERRUPTED_DURING_THE_IMPORT = """
    import importlib.abc, os, signal, sys, threading

    class Slow(importlib.abc.MetaPathFinder):
        def find_spec(self, name, *_):
            if name == "requests" and threading.current_thread() is not threading.main_thread():
                is_importing.set()
                while not is_interrupted.wait(0.01):
                    os.kill(os.getpid(), signal.SIGUSR1)
            return None

    def interrupt(_, frame):
        if frame is not None and frame.f_code.co_name == "_before_fork":
            is_interrupted.set()
            raise KeyboardInterrupt

    is_importing, is_interrupted = threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR1, interrupt)
    sys.meta_path.insert(0, Slow())

    from ecs_role_creds import EcsRamRoleCredentialsProvider

    provider = EcsRamRoleCredentialsProvider(deadline=20)
    threading.Thread(target=provider.get_credentials, daemon=True).start()
    assert is_importing.wait(300)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        provider.get_credentials()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    provider.get_credentials()
"""


def test_ctrl_c_while_a_fork_waits_for_the_import(server: FakeMetadataServer) -> None:
    """Python forks nevertheless, after it has printed the exception."""
    script = textwrap.dedent(FORK_INTERRUPTED_DURING_THE_IMPORT)
    assert "KeyboardInterrupt" in run_script(script, server)


FORK_INTERRUPTED_AT_EVERY_LINE = """
    import os, sys, threading
    sys.path.append({tests!r})
    import requests  # takes long, and is not what this is about

    from ecs_role_creds import EcsRamRoleCredentialsProvider, preload
    from support.interruptions import interrupted

    sys.unraisablehook = lambda _: None

    class Interrupt(BaseException):
        pass

    def interrupt():
        raise Interrupt

    def fork_and_exit():
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    def fork_and_make_first_call():
        assert preload._lock.acquire(blocking=False), "nobody will release it"
        preload._lock.release()
        fork_and_exit()
        got.append(provider.get_credentials())

    got, provider = [], EcsRamRoleCredentialsProvider(deadline=20)
    line, is_interrupted = 0, True
    while is_interrupted:
        line += 1
        process = os.fork()
        if process == 0:
            happened = interrupted(line, fork_and_exit, interrupt, file="preload.py")
            thread = threading.Thread(target=fork_and_make_first_call)
            thread.start()
            thread.join()
            os._exit(len(got) + happened.has_happened)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert status in (1, 2), f"at line {line}"
        is_interrupted = status == 2
    assert line > 10
"""


def test_a_fork_that_is_interrupted_at_every_line(server: FakeMetadataServer) -> None:
    """Another thread can fork afterwards, and make the first call of the process."""
    script = textwrap.dedent(FORK_INTERRUPTED_AT_EVERY_LINE).replace("{tests!r}", repr(TESTS))
    assert run_script(script, server, "-W", "ignore") == ""


FORK_INSIDE_A_FORK = """
    import importlib.abc, os, sys, threading

    class Slow(importlib.abc.MetaPathFinder):
        def find_spec(self, name, *_):
            if name == "requests" and os.getpid() == parent:
                has_forked.wait()
            return None

    def fork_and_exit():
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    def fork_inside():
        if not inside:
            inside.append(True)
            fork_and_exit()
            first_call.start()
            first_call.join(0.2)

    # Hooks before the fork run in the reverse order: this one after the library's.
    parent, inside, has_forked = os.getpid(), [], threading.Event()
    os.register_at_fork(before=fork_inside, after_in_parent=lambda: inside and has_forked.set())
    from ecs_role_creds import EcsRamRoleCredentialsProvider

    sys.meta_path.insert(0, Slow())
    provider = EcsRamRoleCredentialsProvider(deadline=20)
    first_call = threading.Thread(target=provider.get_credentials)
    child = os.fork()
    if child == 0:
        provider.get_credentials()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    first_call.join()
    provider.get_credentials()
"""


def test_a_fork_inside_a_fork_does_not_let_an_import_begin(server: FakeMetadataServer) -> None:
    script = textwrap.dedent(FORK_INSIDE_A_FORK)
    assert run_script(script, server, "-W", "ignore") == ""


def test_a_fork_leaves_the_session_of_the_runtime_in_use(server: FakeMetadataServer) -> None:
    """It keeps its adapters and headers, and opens connections of its own."""
    import requests

    session = requests.Session()
    session.trust_env = False
    session.headers["X-Own"] = "yes"
    provider = EcsRamRoleCredentialsProvider(
        endpoint=server.endpoint, runtime=Runtime(session=session)
    )
    provider.get_credentials()
    assert in_child(provider.refresh)() == 0
    assert len(server.requests) > 4
    assert all(one.headers["x-own"] == "yes" for one in server.requests)
    provider.refresh()


@pytest.mark.slow
def test_the_interrupted_call_goes_on_in_the_child(server: FakeMetadataServer) -> None:
    """The child that a signal handler forks returns into the call that it has interrupted."""
    aborted: list[int] = []
    for line in range(1 + random.randrange(2 * STEP), MANY, 2 * STEP):
        provider = cold_provider(server)
        happened = finish_in_child(lambda: interrupted(line, provider.get_credentials, os.fork))  # noqa: B023
        assert server.is_valid(provider.get_credentials())
        if not happened.has_happened:
            break
        _, status = os.waitpid(happened.results[0], 0)
        if os.WIFSIGNALED(status) and not aborted:
            aborted.append(line)  # the interpreter itself, as in the test above
            continue
        assert os.waitstatus_to_exitcode(status) == 0, f"at line {line}"
    assert 50 < line < MANY - 2 * STEP


def test_fork_inside_a_wait(server: FakeMetadataServer) -> None:
    """The child does not wait for the fetch, which its parent has, but fetches by itself."""
    line, is_at_the_lock = 0, False

    def fork() -> int:
        nonlocal is_at_the_lock
        caller = sys._getframe(2)  # the line that is interrupted
        is_at_the_lock = isinstance(caller.f_locals.get("self"), Signal) and (
            caller.f_code.co_name == "wait"
        )
        return fork_and_recover(server)

    while not is_at_the_lock:
        line += 1
        with stalled_fetch(server) as provider:
            interruption = finish_in_child(
                lambda: interrupted(line, provider.get_credentials, fork, "flight.py")  # noqa: B023
            )
        assert exit_status(interruption.results) == 0, f"at line {line}"
    assert line > 10


def test_a_handler_forks_inside_a_wait(server: FakeMetadataServer) -> None:
    """The same with a real signal, whose handler runs while the lock is waited for."""
    children: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: children.append(fork_and_recover(server)))
    interrupt = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        with stalled_fetch(server) as provider:
            finish_in_child(lambda: (interrupt.start(), provider.get_credentials()))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert exit_status(children) == 0


FORK_BEFORE_THE_END = """
    import os, signal, threading

    from ecs_role_creds import EcsRamRoleCredentialsProvider, cache
    from ecs_role_creds.flight import Flight

    cache.LAUNCH_GRACE = 3000.0  # so the caller waits once, without a look in between
    ends, children, has_forked = [], [], threading.Event()

    def stop_before_the_end(frame, event, _):
        if frame.f_code is Flight.finish.__code__:
            ends.append(frame)
            if len(ends) == {number}:
                os.kill(os.getpid(), signal.SIGUSR1)
                assert has_forked.wait(300)

    def fork(*_):
        child = os.fork()
        if child == 0:
            signal.alarm(250)
        else:
            children.append(child)
            has_forked.set()

    signal.signal(signal.SIGUSR1, fork)
    threading.settrace(stop_before_the_end)
    parent = os.getpid()
    EcsRamRoleCredentialsProvider(deadline=60).refresh()
    if os.getpid() == parent:
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
"""


@pytest.mark.parametrize("number", [1, 2], ids=["import", "fetch"])
def test_fork_just_before_the_end_of_a_wait(server: FakeMetadataServer, number: int) -> None:
    """The import or the fetch is over, but the caller has not been told."""
    script = textwrap.dedent(FORK_BEFORE_THE_END).replace("{number}", str(number))
    # Python 3.12 and later warn of every fork amid threads.
    assert run_script(script, server, "-W", "ignore") == ""


@contextmanager
def stalled_fetch(server: FakeMetadataServer) -> Iterator[EcsRamRoleCredentialsProvider]:
    """A provider that fetches on another thread; there is no answer until the service recovers."""
    provider = cold_provider(server, deadline=60.0)
    before = documents(server)
    server.hang(on="document", times=1)
    first = threading.Thread(target=provider.get_credentials, daemon=True)
    first.start()
    wait_until(lambda: documents(server) > before, LONG)
    yield provider
    first.join(LONG)


def fork_and_recover(server: FakeMetadataServer) -> int:
    child = os.fork()
    if child != 0:
        server.recover()
    return child


def finish_in_child(call: Callable[[], T]) -> T:
    """Call a function that forks; the child exits: with 0 if the function returns there too."""
    parent = os.getpid()
    try:
        result = call()
    except BaseException:
        if os.getpid() == parent:
            raise
        traceback.print_exc()
        os._exit(1)
    if os.getpid() != parent:
        os._exit(0)
    return result


def exit_status(children: list[int]) -> int:
    (child,) = children
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_session_that_cannot_be_renewed_keeps_no_other_cache_from_its_reset(
    server: FakeMetadataServer,
) -> None:
    import requests

    class Unusable(requests.Session):
        def __getattribute__(self, name: str) -> object:
            if os.getpid() != parent:
                raise RuntimeError("this session belongs to the parent")
            return super().__getattribute__(name)

    parent = os.getpid()
    unusable = [
        EcsRamRoleCredentialsProvider(endpoint=server.endpoint, runtime=Runtime(session=Unusable()))
        for _ in range(20)
    ]
    for one in unusable:
        one.get_credentials()
    provider = cold_provider(server)
    before = documents(server)
    server.hang(on="document", times=1)
    refreshing = threading.Thread(target=provider.refresh, daemon=True)
    refreshing.start()
    wait_until(lambda: documents(server) > before)
    assert in_child(lambda: is_reset(provider))() == 0
    server.recover()
    refreshing.join(LONG)


def is_reset(provider: EcsRamRoleCredentialsProvider) -> None:
    """Whether the fetch of the parent is gone, and one of this process succeeds."""
    assert not provider.status().is_refreshing
    assert provider.refresh() is provider.get_credentials()


FORK_WITHOUT_HOOKS = """
import ctypes, os, signal, sys, time

fork = ctypes.PyDLL(None).fork

def exit_status(child):
    until = time.monotonic() + 120
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return HUNG
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(ended[1])
"""
HUNG = 77
FORKS = 3


def run_forking(script: str, server: FakeMetadataServer, *, amid_a_fetch: bool = False) -> None:
    """Run a script that forks with ``fork()``, which calls no hook, after a line on stdin.

    CPython supports no such fork: if a thread of the parent is waiting for the interpreter's lock
    at that moment, the child stops where it releases the lock. On a busy machine that happens, so
    a child that hangs is tried again. A defect of this package would make every child hang.

    Args:
        script: The script. It calls ``exit_status(child)`` in the parent.
        server: The metadata service.
        amid_a_fetch: The script begins a fetch, which has no answer when it forks.
    """
    for _ in range(FORKS):
        before = documents(server)
        if amid_a_fetch:
            server.hang(on="document", times=1)
        with subprocess.Popen(
            [sys.executable, "-c", f"HUNG = {HUNG}{FORK_WITHOUT_HOOKS}{textwrap.dedent(script)}"],
            env={**os.environ, **server.environment},
            stdin=subprocess.PIPE,
            text=True,
        ) as process:
            if amid_a_fetch:
                wait_until(lambda: documents(server) > before, LONG)  # noqa: B023
            process.communicate("fork\n", timeout=LONG)
        if process.returncode != HUNG:
            break
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="forks with the C library")
@pytest.mark.parametrize("call", ["get_credentials", "refresh", "get_credentials_nowait"])
def test_a_fork_by_native_code_that_calls_no_hook(server: FakeMetadataServer, call: str) -> None:
    """Amid a fetch. The child begins one of its own; the parent's never ends there."""
    script = f"""
        import threading
        from ecs_role_creds import CredentialsError, EcsRamRoleCredentialsProvider

        provider = EcsRamRoleCredentialsProvider(deadline=20.0)
        provider._cache.import_http_client(60.0)
        threading.Thread(target=provider.refresh, daemon=True).start()
        sys.stdin.readline()
        child = fork()
        if child == 0:
            until = time.monotonic() + 60
            while True:
                try:
                    credentials = provider.{call}()
                    break
                except CredentialsError:
                    assert {call!r} == "get_credentials_nowait" and time.monotonic() < until
                    time.sleep(0.01)
            os._exit(0 if not credentials.is_expired() else 1)
        os._exit(exit_status(child))
    """
    run_forking(script, server, amid_a_fetch=True)


def run_script(script: str, server: FakeMetadataServer, *options: str) -> str:
    """Run a script that ends with status 0; returns what it prints on stderr."""
    done = subprocess.run(
        [sys.executable, *options, "-c", script],
        env={**os.environ, **server.environment},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="forks with the C library")
def test_a_child_without_hooks_starts_a_fetch_that_the_parent_was_about_to_start(
    server: FakeMetadataServer,
) -> None:
    script = """
from ecs_role_creds import CredentialsError, EcsRamRoleCredentialsProvider
from ecs_role_creds.flight import start_daemon_thread
from ecs_role_creds.provider import Runtime

parent = os.getpid()
start = lambda work: True if os.getpid() == parent else start_daemon_thread(work)
provider = EcsRamRoleCredentialsProvider(deadline=20.0, runtime=Runtime(start_thread=start))
provider._cache.import_http_client(60.0)

def ask():
    try:
        return provider.get_credentials_nowait()
    except CredentialsError:
        return None

assert ask() is None
child = fork()
if child == 0:
    until = time.monotonic() + 20
    while not ask() and time.monotonic() < until:
        time.sleep(0.01)
    os._exit(0 if ask() else 1)
os._exit(exit_status(child))
"""
    run_forking(script, server)


@pytest.mark.skipif(sys.platform != "linux", reason="forks with the C library")
def test_a_child_without_hooks_opens_its_own_connection(server: FakeMetadataServer) -> None:
    script = """
from ecs_role_creds import EcsRamRoleCredentialsProvider

def connection():
    (kept,) = provider._cache._source._requests._transport._session.adapters[
        "http://"
    ].poolmanager._kept
    return kept.sock.getsockname()

provider = EcsRamRoleCredentialsProvider(deadline=20.0)
provider.refresh()
of_parent = connection()
child = fork()
if child == 0:
    provider.refresh()
    os._exit(0 if connection() != of_parent else 1)
status = exit_status(child)
provider.refresh()
os._exit(status or connection() != of_parent)
"""
    run_forking(script, server)


FORK_AMID_A_CHANGE = """
    import os, signal, threading
    from ecs_role_creds import EcsRamRoleCredentialsProvider, sharing

    provider = EcsRamRoleCredentialsProvider()
    provider.get_credentials()
    has_lock, is_over = threading.Event(), threading.Event()

    def hold():
        with sharing._lock:
            has_lock.set()
            is_over.wait(300)

    holder = threading.Thread(target=hold)
    holder.start()
    assert has_lock.wait(300)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        assert provider._cache._source.mode is None  # reset
        EcsRamRoleCredentialsProvider(deadline=4).get_credentials()
        grandchild = os.fork()
        if grandchild == 0:
            signal.alarm(60)
            EcsRamRoleCredentialsProvider(deadline=3).get_credentials()
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) != 0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    is_over.set()
    holder.join(300)
    EcsRamRoleCredentialsProvider(deadline=2).get_credentials()
    os._exit(status != 0)
"""


def test_fork_while_another_thread_changes_the_shared_caches(server: FakeMetadataServer) -> None:
    run_script(textwrap.dedent(FORK_AMID_A_CHANGE), server)


FORK_THAT_WAITS_FOR_THE_APPLICATION = """
    import os, threading

    has_begun, may_fork, forked = threading.Event(), threading.Event(), []

    def wait():
        has_begun.set()
        forked.append(may_fork.wait(300))

    os.register_at_fork(before=wait)  # called after those that are registered later

    from ecs_role_creds import EcsRamRoleCredentialsProvider

    def fork():
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    forking = threading.Thread(target=fork)
    forking.start()
    assert has_begun.wait(300)
    EcsRamRoleCredentialsProvider(deadline=3)
    may_fork.set()
    forking.join(300)
    os._exit(forked != [True])
"""


def test_a_provider_is_built_while_a_fork_waits_for_the_application(
    server: FakeMetadataServer,
) -> None:
    run_script(textwrap.dedent(FORK_THAT_WAITS_FOR_THE_APPLICATION), server)


def test_connections_may_be_forgotten_at_every_line_of_a_fetch(server: FakeMetadataServer) -> None:
    """Two threads of a child that was forked without hooks: one fetches, one still resets."""
    for line in range(1 + random.randrange(STEP), MANY, STEP):
        provider = cold_provider(server)
        forget = provider._cache._source.forget_connections
        happened = interrupted_elsewhere(line, provider.get_credentials, forget)
        if not happened.has_happened:
            break
    assert 100 < line < MANY - STEP
