"""The fake metadata service's server: it starts, serves any number, and leaves no trace."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from support.plain_http import (
    ROLE_PATH,
    Issued,
    Reply,
    ask,
    read_document,
    wait_until,
)

from ecs_role_creds.testing import FakeMetadataServer, VirtualClock

DOCUMENT_PATH = ROLE_PATH + "app-role"
REGION_PATH = "/latest/meta-data/region-id"
GONE = (ConnectionError, OSError)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def server(clock: VirtualClock) -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer(clock=clock) as server:
        yield server


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def fetch(server: FakeMetadataServer) -> Issued:
    return read_document(ask(server, ROLE_PATH + (server.role or "none")))


def raw_request(server: FakeMetadataServer, path: str = ROLE_PATH) -> socket.socket:
    """A connection that a request has been sent on."""
    address = urllib.parse.urlsplit(server.endpoint)
    connection = socket.create_connection((address.hostname, address.port), timeout=300)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return connection


def test_use_outside_of_the_block() -> None:
    server = FakeMetadataServer()
    with pytest.raises(RuntimeError, match="with block"):
        _ = server.endpoint
    server.stop()  # without effect
    with server:
        with pytest.raises(RuntimeError, match="running already"):
            server.start()
        endpoint = server.endpoint
        assert server.environment == {"ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": endpoint}
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not running"):
            _ = server.endpoint
        with pytest.raises(RuntimeError, match="not running"):
            _ = server.environment
        server.stop()


def test_it_may_be_started_again() -> None:
    server = FakeMetadataServer()
    for count in range(1, 4):
        with server:
            server.hang()
            server.recover()
            assert ask(server, ROLE_PATH).status == 200
            assert len(server.requests) == count


def test_a_port_that_is_taken(server: FakeMetadataServer) -> None:
    port = urllib.parse.urlsplit(server.endpoint).port or 0
    second = FakeMetadataServer(port=port)
    with pytest.raises(OSError, match="in use"):
        second.start()
    server.stop()
    with second:
        assert second.endpoint.endswith(f":{port}")
        assert ask(second, ROLE_PATH).status == 200


# Many at once, and none left


def test_any_number_at_once(pool: ThreadPoolExecutor) -> None:
    servers = [FakeMetadataServer(f"role-{number}", seed=number) for number in range(24)]
    for server in servers:
        server.start()
    try:
        servers[3].fail(500)
        servers[4].mode = "hardening-only"
        replies = list(pool.map(lambda server: ask(server, ROLE_PATH), servers))
        for number, (server, reply) in enumerate(zip(servers, replies, strict=True)):
            expected = {3: 500, 4: 403}.get(number, 200)
            assert reply.status == expected
            assert expected != 200 or reply.text == f"role-{number}"
            assert len(server.requests) == 1
    finally:
        for server in servers:
            server.stop()


def server_threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name == "loopback-server"}


def open_sockets() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the listing's own
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.mark.parametrize(
    "hold",
    [
        lambda server: None,
        lambda server: server.hang(),
        lambda server: server.drip(600),
        lambda server: server.delay(600),
    ],
    ids=["nothing", "hang", "drip", "delay"],
)
def test_nothing_is_left_after_it_stops(hold: Callable[[FakeMetadataServer], None]) -> None:
    threads, sockets = server_threads(), open_sockets()
    server = FakeMetadataServer().start()
    endpoint = urllib.parse.urlsplit(server.endpoint)
    hold(server)
    clients = [raw_request(server) for _ in range(8)]
    wait_until(lambda: len(server.requests) == 8)
    assert len(server_threads() - threads) == 9
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 60  # not the 600 s that answers are held for
    assert not server_threads() - threads
    for client in clients:
        client.settimeout(10)
        try:
            while client.recv(65536):
                pass
        except ConnectionError:
            pass
        client.close()
    assert open_sockets() <= sockets
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((endpoint.hostname, endpoint.port), timeout=300)


def test_stopping_while_clients_come_and_go() -> None:
    threads = server_threads()
    for _ in range(30):
        server = FakeMetadataServer().start()
        address = urllib.parse.urlsplit(server.endpoint)
        is_over = threading.Event()

        def come_and_go(address: Any = address, is_over: threading.Event = is_over) -> None:
            with contextlib.suppress(OSError):  # refused, once it has stopped
                while not is_over.is_set():
                    socket.create_connection((address.hostname, address.port), timeout=300).close()

        clients = [threading.Thread(target=come_and_go) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(0.01)
        server.stop()
        left = server_threads() - threads
        is_over.set()
        for client in clients:
            client.join()
        assert not left


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_no_part(server: FakeMetadataServer) -> None:
    fetch(server)
    port = urllib.parse.urlsplit(server.endpoint).port
    to_parent, from_child = os.pipe()
    wait, end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                told = server.endpoint
            except RuntimeError:
                told = "not running"
            server.stop()
            os.write(from_child, told.encode())
            os.close(end)
            os.read(wait, 1)
        finally:
            os._exit(0)
    try:
        assert os.read(to_parent, 100) == b"not running"
        assert fetch(server)  # the parent's goes on
        server.stop()
        with pytest.raises(ConnectionRefusedError):  # though the child still lives
            socket.create_connection(("127.0.0.1", port), timeout=300)
    finally:
        for descriptor in (end, wait, to_parent, from_child):
            os.close(descriptor)
        os.waitpid(child, 0)


def test_controls_may_be_used_from_any_thread(
    server: FakeMetadataServer, pool: ThreadPoolExecutor
) -> None:
    def work(number: int) -> int:
        control = [
            server.rotate,
            server.expire,
            lambda: server.fail(500, times=1),
            server.close_idle_connections,
            server.recover,
            server.transcript,
        ][number % 6]
        control()
        try:
            return ask(server, DOCUMENT_PATH).status
        except GONE:
            return 0  # closed as it was idle

    statuses = list(pool.map(work, range(300)))
    assert set(statuses) <= {200, 500, 0}
    assert len({one.access_key_id for one in server.issued}) == len(server.issued)


def read_reply(connection: socket.socket, rest: bytes) -> tuple[int, bytes, bytes]:
    """Status and body of one answer, and what came after it."""
    while b"\r\n\r\n" not in rest:
        rest += connection.recv(65536) or pytest.fail("the connection was closed")
    head, _, rest = rest.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(rest) < length:
        rest += connection.recv(65536) or pytest.fail("the connection was closed")
    return int(head[9:12]), rest[:length], rest[length:]


@pytest.mark.slow
def test_ten_thousand_requests_over_64_connections(server: FakeMetadataServer) -> None:
    connections, each = 64, 157
    address = urllib.parse.urlsplit(server.endpoint)
    wrong: queue.Queue[object] = queue.Queue()

    def expect(kind: int, status: int, body: bytes) -> bool:
        if kind == 0:
            return (status, body) == (200, b"app-role")
        if kind == 1:
            return (status, body) == (200, b"cn-fake-1")
        if kind == 2:
            return status == 404 and b"XHTML" in body
        return server.is_valid(read_document(Reply(status, {}, body)))

    def client(name: int) -> None:
        rest = b""
        with socket.create_connection((address.hostname, address.port), timeout=300) as connection:
            for number in range(each):
                kind = number % 4
                path = (ROLE_PATH, REGION_PATH, "/x", DOCUMENT_PATH)[kind] + f"?{name}-{number}"
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                status, body, rest = read_reply(connection, rest)
                if rest or not expect(kind, status, body):
                    wrong.put((path, status, body))

    with ThreadPoolExecutor(connections) as pool:
        done: list[Future[None]] = [pool.submit(client, name) for name in range(connections)]
        for _ in range(20):
            time.sleep(0.01)
            server.rotate()
        for one in done:
            one.result(300)
    assert wrong.empty(), wrong.get()
    assert len(server.requests) == connections * each
    assert {one.path.partition("?")[2] for one in server.requests} == {
        f"{name}-{number}" for name in range(connections) for number in range(each)
    }
