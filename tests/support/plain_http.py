"""HTTP by the standard library only, so that the fakes are seen by something unrelated."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ecs_role_creds.testing import FakeMetadataServer

TOKEN_PATH = "/latest/api/token"
ROLE_PATH = "/latest/meta-data/ram/security-credentials/"
TTL_HEADER = "X-aliyun-ecs-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aliyun-ecs-metadata-token"


class Reply(NamedTuple):
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


class Issued(NamedTuple):
    """The parts of credentials that a server can be asked about."""

    access_key_id: str
    access_key_secret: str
    security_token: str


@contextlib.contextmanager
def connected(server: FakeMetadataServer) -> Iterator[http.client.HTTPConnection]:
    """A connection that stays open between requests."""
    address = urllib.parse.urlsplit(server.endpoint)
    with contextlib.closing(
        http.client.HTTPConnection(address.hostname or "", address.port, timeout=300)
    ) as connection:
        yield connection


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str]
) -> Reply:
    connection.request(method, path, headers=dict(headers))
    with connection.getresponse() as response:
        return Reply(response.status, dict(response.getheaders()), response.read())


def ask(
    server: FakeMetadataServer, path: str, method: str = "GET", headers: Mapping[str, str] = {}
) -> Reply:
    """One request on a connection of its own."""
    with connected(server) as connection:
        return exchange(connection, method, path, headers)


def session_token(server: FakeMetadataServer, ttl: object = 21600) -> str:
    """A session token of the hardening mode."""
    reply = ask(server, TOKEN_PATH, "PUT", {TTL_HEADER: str(ttl)})
    assert reply.status == 200
    return reply.text


def read_document(reply: Reply) -> Issued:
    assert reply.status == 200
    document = reply.document
    return Issued(*(document[name] for name in ("AccessKeyId", "AccessKeySecret", "SecurityToken")))


def wait_until(is_so: Callable[[], bool], seconds: float = 300.0) -> None:
    """Wait for something that other threads bring about."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not come to be in time"
        time.sleep(0.002)


@contextlib.contextmanager
def sending(send: Callable[[socket.socket], object]) -> Iterator[str]:
    """The endpoint of a server that reads a request of each connection, then does as it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        workers: list[threading.Thread] = []

        def converse(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                send(connection)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    workers.append(threading.Thread(target=converse, args=(connection,)))
                    workers[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for worker in workers:
                worker.join()
