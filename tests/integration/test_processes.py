"""Real process models: gunicorn's workers, pools of processes, and forks amid a refresh."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("oss2", reason="needs oss2")

from support import documents, oss_tasks
from support.plain_http import TOKEN_HEADER, wait_until
from support.processes import in_child
from support.shared_time import SharedAgeing

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import MetadataServiceError
from ecs_role_creds.schedule import REFRESH_WINDOW
from ecs_role_creds.testing import FakeMetadataServer, FakeOss
from ecs_role_creds.testing.exchange import Request, Response

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    # Python 3.12 warns of every fork with threads, and it is just that which is tried here.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

TESTS = Path(__file__).parents[1]
LONG = 300.0
DEADLINE = 60.0

WORKERS = 8
CLIENTS = 2 * WORKERS  # there is always one waiting, so no worker is ever idle
LIFE = 21600.0
JITTER = REFRESH_WINDOW / 5
"""Seconds from the window's opening within which each process draws its moment to ask."""
STEPS = 30
# With 8 moments drawn evenly, all are within 3 of 30 neighbouring steps with a probability of less
# than 8 * 0.1^7: once in a million runs.
LEAST_STEPS = 3


@pytest.fixture
def ageing(tmp_path: Path) -> SharedAgeing:
    return SharedAgeing(tmp_path / "time")


@pytest.fixture
def ecs_metadata_clock(ageing: SharedAgeing) -> Callable[[], float]:
    return ageing.time


@pytest.fixture
def oss(ecs_metadata: FakeMetadataServer) -> Iterator[FakeOss]:
    with oss_tasks.oss_with_object(ecs_metadata) as oss:
        yield oss


def note_connections(server: FakeMetadataServer) -> set[threading.Thread]:
    """The connections that requests come over from now on: the server has a thread for each."""
    connections: set[threading.Thread] = set()
    handle = server.handle

    def note_and_handle(request: Request) -> Response:
        connections.add(threading.current_thread())
        return handle(request)

    server.handle = note_and_handle  # type: ignore[method-assign]
    return connections


def askers(server: FakeMetadataServer) -> list[str]:
    """The processes that have asked for the document: session tokens tell them apart."""
    asked = [one for one in server.requests if one.path.endswith("/app-role")]
    return list(dict.fromkeys(one.headers[TOKEN_HEADER.lower()] for one in asked))


# gunicorn.


class Told(NamedTuple):
    """What the application answers."""

    pid: int
    content: str
    access_key_id: str
    fetches: int
    is_refreshing: bool


class Traffic:
    """Clients that ask the application again and again; one that fails asks no more.

    Args:
        port: The application's.
        clients: How many there are.
    """

    def __init__(self, port: int, clients: int) -> None:
        self.told: list[Told] = []
        self.failed: list[Exception] = []
        self._port = port
        self._is_over = threading.Event()
        self._may_ask = threading.Event()
        self._may_ask.set()
        self._asking = [threading.Lock() for _ in range(clients)]
        self._clients = [
            threading.Thread(target=self._ask_again_and_again, args=(asking,), daemon=True)
            for asking in self._asking
        ]

    def __enter__(self) -> Traffic:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for client in self._clients:
            client.join(LONG)

    def first_told(self) -> dict[int, Told]:
        """Each worker's first answer."""
        return {one.pid: one for one in reversed(self.told.copy())}

    def last_told(self) -> dict[int, Told]:
        """Each worker's latest answer."""
        return {one.pid: one for one in self.told.copy()}

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No request is in progress inside the block."""
        self._may_ask.clear()
        with contextlib.ExitStack() as stack:
            stack.callback(self._may_ask.set)
            for asking in self._asking:
                stack.enter_context(asking)
            yield

    def wait_for_all(self, workers: int, *, calm: bool = False) -> None:
        """Wait until each worker has answered a request that came after this call.

        Args:
            workers: How many there are.
            calm: Whether each must have said that it fetches nothing.
        """
        begin = len(self.told)

        def have_answered() -> bool:
            told = self.told[begin:]
            answers = Counter(one.pid for one in told)
            latest = {one.pid: one for one in told}
            # The first answer may be to a request that came before.
            have_all = len(answers) == workers and min(answers.values()) > 1
            are_calm = not calm or not any(one.is_refreshing for one in latest.values())
            return bool(self.failed) or (have_all and are_calm)

        wait_until(have_answered, LONG)

    def _ask_again_and_again(self, asking: threading.Lock) -> None:
        try:
            while not self._is_over.is_set():
                self._may_ask.wait(LONG)
                with asking:
                    self.told.append(self._ask())
        except Exception as error:
            self.failed.append(error)

    def _ask(self) -> Told:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=LONG)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, body
            return Told(**json.loads(body))


@contextlib.contextmanager
def gunicorn(oss: FakeOss, workers: int, shared_time: Path) -> Iterator[int]:
    """The application under gunicorn, preloaded; gives its port."""
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    environment["OSS_ENDPOINT"] = oss.endpoint
    environment["OSS_REGION"] = oss.region
    environment["SHARED_TIME"] = str(shared_time)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        port: int = listener.getsockname()[1]
        master = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--preload", "--no-control-socket"),
                *("--pythonpath", str(TESTS)),
                *("--workers", str(workers), "--bind", f"fd://{listener.fileno()}"),
                "support.wsgi_app:application",
            ],
            env=environment,
            pass_fds=[listener.fileno()],
        )
    try:
        yield port
    finally:
        master.terminate()
        try:
            master.wait(LONG)
        finally:
            master.kill()
    assert master.returncode == 0


@pytest.mark.slow
def test_8_gunicorn_workers_do_not_ask_in_step(
    ecs_metadata: FakeMetadataServer, oss: FakeOss, ageing: SharedAgeing, tmp_path: Path
) -> None:
    connections = note_connections(ecs_metadata)
    askers_after_steps: list[int] = []
    with gunicorn(oss, WORKERS, tmp_path / "time") as port, Traffic(port, CLIENTS) as traffic:
        traffic.wait_for_all(WORKERS)
        first = traffic.first_told()
        assert documents(ecs_metadata) == 1  # the master's
        # Shortly before the window opens, nobody asks yet.
        ageing.leap(LIFE - REFRESH_WINDOW - 600)
        traffic.wait_for_all(WORKERS, calm=True)
        assert documents(ecs_metadata) == 1
        ageing.leap(600)
        while len(askers_after_steps) <= STEPS and not traffic.failed:
            traffic.wait_for_all(WORKERS, calm=True)  # those whose moment has come have fetched
            askers_after_steps.append(len(askers(ecs_metadata)) - 1)
            ageing.leap(JITTER / STEPS)
        last = traffic.last_told()
    assert (traffic.failed, oss.refused) == ([], [])
    assert {one.content for one in traffic.told} == {oss_tasks.CONTENT}
    assert {one.status for one in oss.requests} == {200}

    # They began with what the master had, and each of them fetched the successor itself, once.
    before, after = (one.access_key_id for one in ecs_metadata.issued)
    assert {one.access_key_id for one in first.values()} == {before}
    assert {one.access_key_id for one in last.values()} == {after}
    assert first.keys() == last.keys()
    assert all(first[pid].fetches + 1 == last[pid].fetches for pid in first)
    assert len(connections) == 1 + WORKERS
    assert documents(ecs_metadata) == 1 + WORKERS

    # All of them early in the window, but not in one burst.
    assert askers_after_steps[-1] == WORKERS
    begun = sum(count == 0 for count in askers_after_steps)
    done = sum(count < WORKERS for count in askers_after_steps)
    assert done - begun >= LEAST_STEPS


def replaced(traffic: Traffic) -> Told:
    """What the replacement of a worker first tells that was killed amid the traffic."""
    before = set(traffic.first_told())
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: bool(set(traffic.first_told()) - before) or len(traffic.failed) > 1, LONG)
    (pid,) = set(traffic.first_told()) - before
    return traffic.first_told()[pid]


def assert_only_its_request_was_lost(traffic: Traffic) -> None:
    """That nothing failed but, perhaps, the request that a killed worker was at."""
    assert len(traffic.failed) <= 1
    assert all(isinstance(one, (ConnectionError, HTTPException)) for one in traffic.failed)
    assert {one.content for one in traffic.told} == {oss_tasks.CONTENT}


@pytest.mark.slow
def test_replacement_of_a_killed_gunicorn_worker_serves_at_once(
    ecs_metadata: FakeMetadataServer, oss: FakeOss, tmp_path: Path
) -> None:
    with gunicorn(oss, 2, tmp_path / "time") as port, Traffic(port, 4) as traffic:
        wait_until(lambda: len(traffic.first_told()) == 2, LONG)
        ecs_metadata.hang()  # it needs no answer
        first = replaced(traffic)
    assert_only_its_request_was_lost(traffic)
    assert first.access_key_id == ecs_metadata.issued[0].access_key_id
    assert documents(ecs_metadata) == 1
    assert oss.refused == []


@pytest.mark.slow
def test_replacement_fetches_where_what_it_inherits_has_expired(
    ecs_metadata: FakeMetadataServer, oss: FakeOss, ageing: SharedAgeing, tmp_path: Path
) -> None:
    with gunicorn(oss, 2, tmp_path / "time") as port, Traffic(port, 4) as traffic:
        traffic.wait_for_all(2)
        inherited = ecs_metadata.issued[0]
        with traffic.paused():  # else a request could expire on its way
            ageing.leap(LIFE)
        traffic.wait_for_all(2)
        assert len(askers(ecs_metadata)) == 1 + 2
        first = replaced(traffic)
    assert_only_its_request_was_lost(traffic)
    assert first.access_key_id != inherited.access_key_id
    assert len(askers(ecs_metadata)) == 1 + 2 + 1
    assert oss.refused == []


# Pools.


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_provider_goes_to_the_processes_of_a_pool(
    ecs_metadata: FakeMetadataServer, oss: FakeOss, method: str
) -> None:
    provider = EcsRamRoleCredentialsProvider()
    provider.get_credentials()
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(
        2, context, initializer=oss_tasks.join, initargs=(context.Barrier(2),)
    ) as pool:
        futures = [
            pool.submit(oss_tasks.read_together, provider, oss.endpoint, oss.region)
            for _ in range(2)
        ]
        readings = [future.result(2 * LONG) for future in futures]
    assert [one.content.decode() for one in readings] == [oss_tasks.CONTENT] * 2
    assert len({one.pid for one in readings} - {os.getpid()}) == 2
    assert oss.refused == []
    # Forked ones have what their parent had; the others fetch where they are.
    assert documents(ecs_metadata) == (1 if method == "fork" else 1 + 2)


def test_pool_refuses_credentials_and_goes_on(
    ecs_metadata: FakeMetadataServer, oss: FakeOss
) -> None:
    provider = EcsRamRoleCredentialsProvider()
    credentials = provider.get_credentials()
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        sent = pool.submit(oss_tasks.name_role, credentials).exception(LONG)
        sent_back = pool.submit(oss_tasks.get_credentials, provider).exception(LONG)
        reading = pool.submit(oss_tasks.read_object, provider, oss.endpoint, oss.region)
        assert reading.result(LONG).content.decode() == oss_tasks.CONTENT
    for refusal in (sent, sent_back):
        assert isinstance(refusal, TypeError)
        assert "pickle the provider" in str(refusal)
        told = f"{refusal!r} {refusal.__cause__}"  # where pools put the other side's traceback
        assert credentials.access_key_secret not in told
        assert credentials.security_token not in told


def test_error_comes_back_whole_from_a_pool(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.fail(503, retry_after=7)
    provider = EcsRamRoleCredentialsProvider()
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        error = pool.submit(oss_tasks.get_credentials, provider).exception(LONG)
        assert pool.submit(os.getpid).result(LONG) != os.getpid()
    assert isinstance(error, MetadataServiceError)
    assert (error.status, error.retry_after) == (503, 7)


# A fork amid a refresh, with a poller.


@pytest.mark.parametrize("parent", ["cold", "warm"])
def test_fork_amid_a_refresh_while_a_poller_runs(
    ecs_metadata: FakeMetadataServer, parent: str
) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=DEADLINE)
    if parent == "warm":
        provider.get_credentials()
        ecs_metadata.rotate()
    before = documents(ecs_metadata)
    ecs_metadata.hang(on="document", times=1)

    def look() -> str:
        status = provider.status()
        seen = [status.is_refreshing, status.is_polling]
        served = provider.get_credentials().access_key_id
        with provider.polling():
            seen.append(provider.status().is_polling)
            refreshed = provider.refresh().access_key_id
        seen.append(provider.status().is_polling)
        return f"{seen} {served} {refreshed}"

    with provider.polling():
        # A cold parent's poller is itself at it; a warm one's sleeps.
        refreshing = threading.Thread(target=provider.refresh, daemon=True)
        if parent == "warm":
            refreshing.start()
        wait_until(lambda: documents(ecs_metadata) > before)
        assert (provider.status().is_refreshing, provider.status().is_polling) == (True, True)
        in_the_child = in_child(look)
        # Neither knows of the other.
        assert (provider.status().is_refreshing, provider.status().is_polling) == (True, True)
        ecs_metadata.recover()
        issued = [one.access_key_id for one in ecs_metadata.issued]
        wait_until(lambda: provider.get_credentials().access_key_id == issued[-1])
        wait_until(lambda: not provider.status().is_refreshing)
        assert provider.status().is_polling
    assert in_the_child == f"[False, False, True, False] {issued[0]} {issued[-1]}"
