"""Every control of the fake service, used in the middle of a test, seen from a plain client."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime

import pytest
from support.plain_http import wait_until

from ecs_role_creds.testing import FakeMetadataServer, VirtualClock

ROLE_PATH = "/latest/meta-data/ram/security-credentials/"
DOCUMENT_PATH = ROLE_PATH + "app-role"


class Client:
    """A connection that is kept."""

    def __init__(self, server: FakeMetadataServer, timeout: float = 10) -> None:
        self.connection = http.client.HTTPConnection(
            server.endpoint.removeprefix("http://"), timeout=timeout
        )

    def get(self, path: str = ROLE_PATH) -> http.client.HTTPResponse:
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        self.body = response.read()
        return response

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def server() -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer() as server:
        yield server


@pytest.fixture
def client(server: FakeMetadataServer) -> Iterator[Client]:
    client = Client(server)
    yield client
    client.close()


def test_rotate_and_expire(server: FakeMetadataServer, client: Client) -> None:
    client.get(DOCUMENT_PATH)
    first = server.issued[0]
    second = server.rotate()
    client.get(DOCUMENT_PATH)
    assert second.access_key_id.encode() in client.body
    assert (server.is_valid(first), server.is_valid(second)) == (True, True)
    server.expire()
    assert (server.is_valid(first), server.is_valid(second)) == (False, False)
    assert not server.is_valid(object())
    assert not server.is_valid(second._replace(security_token="torn"))


def test_attach_detach_swap(server: FakeMetadataServer, client: Client) -> None:
    server.detach()
    assert client.get().status == 404
    server.attach("one")
    assert (client.get().status, client.body) == (200, b"one")
    server.swap("two")
    assert (client.get().status, client.body) == (200, b"two")


def test_fail_for_the_next_requests(server: FakeMetadataServer, client: Client) -> None:
    server.fail(503, retry_after=7, times=2)
    assert [client.get().status for _ in range(3)] == [503, 503, 200]
    server.fail(500)
    assert [client.get().status for _ in range(3)] == [500, 500, 500]
    server.recover()
    assert client.get().status == 200


def test_fail_on_one_kind_of_path(server: FakeMetadataServer, client: Client) -> None:
    server.fail(500, on="document")
    assert client.get(ROLE_PATH).status == 200
    assert client.get(DOCUMENT_PATH).status == 500
    assert client.get("/latest/meta-data/region-id").status == 200


def test_throttle(server: FakeMetadataServer, client: Client) -> None:
    server.throttle(retry_after=3, times=1)
    response = client.get()
    assert (response.status, response.headers["Retry-After"]) == (429, "3")


def test_answer(server: FakeMetadataServer, client: Client) -> None:
    server.answer("{", times=1)
    assert (client.get().status, client.body) == (200, b"{")
    server.answer(b"x" * 1_000_000, status=201, headers={"X-Fake": "1"}, times=1)
    assert client.get().headers["X-Fake"] == "1"
    assert len(client.body) == 1_000_000


def test_delay(server: FakeMetadataServer, client: Client) -> None:
    server.delay(0.05, times=1)
    begun = time.monotonic()
    assert client.get().status == 200
    assert time.monotonic() - begun >= 0.05


@pytest.mark.parametrize("hold", [FakeMetadataServer.hang, FakeMetadataServer.drip])
def test_what_hangs_or_drips_is_let_go(
    server: FakeMetadataServer, client: Client, hold: Callable[[FakeMetadataServer], None]
) -> None:
    hold(server)
    impatient = Client(server, timeout=0.05)
    with pytest.raises(TimeoutError):
        impatient.get()
    impatient.close()
    threading.Timer(0.05, server.recover).start()
    assert (client.get().status, client.body) == (200, b"app-role")


def test_reset(server: FakeMetadataServer, client: Client) -> None:
    server.reset(times=1)
    with pytest.raises(ConnectionResetError):
        client.get()
    client.close()
    assert client.get().status == 200
    assert server.requests[0].status == 0


def test_close_idle_connections(server: FakeMetadataServer, client: Client) -> None:
    client.get()

    def are_closed() -> bool:  # the thread may not have noticed yet that it has sent its response
        server.close_idle_connections()
        return not server._connections

    wait_until(are_closed)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        client.get()
    client.close()
    assert client.get().status == 200


def test_dates(client: Client, server: FakeMetadataServer) -> None:
    honest = parsedate_to_datetime(client.get().headers["Date"])
    server.skew_date(3600, times=1)
    skewed = parsedate_to_datetime(client.get().headers["Date"])
    assert 3600 <= (skewed - honest).total_seconds() <= 3900
    server.drop_date(times=1)
    assert client.get().headers["Date"] is None
    assert client.get().headers["Date"] is not None


def test_faults_add_up(server: FakeMetadataServer, client: Client) -> None:
    server.delay(0.05, times=1)
    server.fail(500, times=1)
    begun = time.monotonic()
    assert client.get().status == 500
    assert time.monotonic() - begun >= 0.05


def test_virtual_clock() -> None:
    clock = VirtualClock()
    with FakeMetadataServer(clock=clock) as server:
        issued = server.rotate()
        clock.advance(6 * 3600)
        assert not server.is_valid(issued)
        clock.advance(-1)
        assert server.is_valid(issued)


def test_the_log_shows_the_exchange(server: FakeMetadataServer, client: Client) -> None:
    server.assert_no_requests()
    client.connection.request("GET", ROLE_PATH, headers={"X-Fake": "yes"})
    client.connection.getresponse().read()
    request = server.requests[0]
    assert (request.method, request.path, request.status) == ("GET", ROLE_PATH, 200)
    assert request.headers["x-fake"] == "yes"
    assert abs((server.now() - request.time).total_seconds()) < 60
    server.assert_requests(f"GET {ROLE_PATH}")
    with pytest.raises(AssertionError) as caught:
        server.assert_requests("PUT /latest/api/token")
    assert "PUT /latest/api/token" in str(caught.value)
    assert f"GET {ROLE_PATH} -> 200" in str(caught.value)
    assert "x-fake: yes" in str(caught.value)


# Bad use.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"role": "a/b"}, "no role can be named 'a/b'"),
        ({"role": "x" * 65}, "no role can be named"),
        ({"life": 0}, "life is 0"),
        ({"life": float("inf")}, "life is inf"),
        ({"mode": "v2"}, "mode is 'v2'"),
        ({"rotation_share": 0}, "rotation_share is 0"),
        ({"no_hardening_status": 500}, "no_hardening_status is 500"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FakeMetadataServer(**options)  # type: ignore[arg-type]


def test_controls_used_badly(server: FakeMetadataServer) -> None:
    with pytest.raises(ValueError, match="times is 0"):
        server.fail(500, times=0)
    with pytest.raises(ValueError, match="cannot delay by -1"):
        server.delay(-1)
    with pytest.raises(ValueError, match=r"one|already"):
        server.attach("other")
    server.detach()
    with pytest.raises(ValueError, match="no role is attached"):
        server.rotate()
    with pytest.raises(RuntimeError, match="running already"):
        server.start()


def test_use_after_close() -> None:
    with FakeMetadataServer() as server:
        pass
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.endpoint
    server.stop()  # without effect
    with server:
        client = Client(server)
        assert client.get().status == 200
        client.close()


# The server itself.


def test_any_number_at_once_and_no_trace() -> None:
    threads, files = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))
    servers = [FakeMetadataServer(seed=seed).start() for seed in range(20)]
    clients = [Client(server) for server in servers]
    for client in clients:
        assert client.get().status == 200
    assert len({server.endpoint for server in servers}) == 20
    for server in servers:
        server.stop()
    for client in clients:
        client.close()
    assert set(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) <= len(files)


def test_nobody_listens_after_the_block() -> None:
    with FakeMetadataServer() as server:
        host, port = server.endpoint.removeprefix("http://").split(":")
        server.hang()
        client = Client(server)
        client.connection.request("GET", "/")
    client.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=300)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_no_part_in_it(server: FakeMetadataServer, client: Client) -> None:
    client.get()
    child = os.fork()
    if child == 0:
        try:
            _ = server.endpoint
        except RuntimeError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.get().status == 200
