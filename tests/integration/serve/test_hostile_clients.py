"""Requests that no client library would send: the server goes on, and tells nothing."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.plain_http import wait_until
from support.raw_http import PATIENCE, connect, read_all, send, status
from support.sidecar import Sidecar

from ecs_role_creds.serve.server import Limits
from ecs_role_creds.testing import FakeMetadataServer

MALFORMED = 10_000
BY_HYPOTHESIS = 1_000

HOST = b"Host: 127.0.0.1\r\n"
URI = b"/credentials/" + b"x" * 43
TOKEN = b"X-aliyun-ecs-metadata-token: " + b"A" * 75 + b"=\r\n"

VALID = [
    b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET " + URI + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /aws-container HTTP/1.1\r\n" + HOST + b"Authorization: " + b"x" * 43 + b"\r\n\r\n",
    b"GET /latest/meta-data/ram/security-credentials/app-role HTTP/1.1\r\n"
    + HOST
    + TOKEN
    + b"\r\n",
    b"PUT /latest/api/token HTTP/1.1\r\n"
    + HOST
    + b"X-aliyun-ecs-metadata-token-ttl-seconds: 60\r\nContent-Length: 0\r\n\r\n",
]
"""Well-formed, with secrets that are wrong: no change can make them right."""

CORPUS = [
    b"",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b"\0" * 5000,
    b"\xff" * 100,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET  /  HTTP/1.1\r\n" + HOST + b"\r\n",
    b"get / http/1.1\r\n" + HOST + b"\r\n",
    b"GET http://evil.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET http://[ HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    b"TRACE /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /credentials/../credentials/ HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /" + b"a" * 7000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 70000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 5000 + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b" folded\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: y\0z\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: y\rz\r\n\r\n",
    b"GET / HTTP/1.1\n" + b"Host: 127.0.0.1\n\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nx",
    b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx",
    b"POST /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n" + b"x" * 100000,
    b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 100 + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n",
    b"GET / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"PUT /latest/api/token HTTP/1.1\r\n"
    + HOST
    + b"X-aliyun-ecs-metadata-token-ttl-seconds: "
    + b"9" * 5000
    + b"\r\n\r\n",
    *(message * 50 for message in VALID),  # pipelined
    *(message[: len(message) // 2] for message in VALID),
]


@pytest.fixture(scope="module")
def target() -> Iterator[Sidecar]:
    with FakeMetadataServer() as upstream, Sidecar(upstream, Limits(request_seconds=600)) as served:
        served.provider.get_credentials()
        yield served


def still_serves(sidecar: Sidecar) -> bool:
    response = requests.get(sidecar.variables["ALIBABA_CLOUD_CREDENTIALS_URI"], timeout=PATIENCE)
    return response.status_code == 200


def what_went_wrong(sidecar: Sidecar, message: bytes) -> str | None:
    """Why the answer to a message is not acceptable; ``None``: it is."""
    received = send(sidecar.endpoint, message)
    if b"fake-s" in received:
        return "it told a secret"
    if received and not received.startswith((b"HTTP/1.0 ", b"HTTP/1.1 ")):
        return "it answered no HTTP"
    if received.startswith((b"HTTP/1.0 5", b"HTTP/1.1 5")) and b" 501 " not in received[:14]:
        return "it failed"
    return None


def changed(message: bytes, draw: random.Random) -> bytes:
    """The message with a few bytes changed, cut out, or said twice."""
    for _ in range(draw.randint(1, 4)):
        begin = draw.randrange(len(message) + 1)
        end = min(len(message), begin + draw.randint(0, 20))
        new = draw.choice(
            [
                bytes(draw.randrange(256) for _ in range(draw.randint(1, 8))),
                message[begin:end] * 2,
                b"",
                b"\r\n",
                draw.choice([b"\0", b":", b" ", b"\n", b"\r", b"%", b"/", b"\xff"]),
            ]
        )
        message = message[:begin] + new + message[end:]
    return message


@pytest.mark.slow
def test_ten_thousand_malformed_requests(target: Sidecar) -> None:
    draw = random.Random(8460)
    mutants = MALFORMED - BY_HYPOTHESIS - len(CORPUS)
    messages = [*CORPUS, *(changed(draw.choice(VALID), draw) for _ in range(mutants))]
    with ThreadPoolExecutor(4) as pool:
        wrong = [
            (message[:200], problem)
            for message, problem in zip(
                messages,
                pool.map(lambda message: what_went_wrong(target, message), messages),
                strict=True,
            )
            if problem
        ]
    assert wrong == []
    assert still_serves(target)


@pytest.mark.slow
@settings(
    max_examples=BY_HYPOTHESIS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.tuples(
            st.sampled_from(VALID), st.integers(0, 100), st.binary(max_size=20), st.integers(0, 20)
        ).map(lambda it: it[0][: it[1]] + it[2] + it[0][it[1] + it[3] :]),
    )
)
def test_any_bytes(target: Sidecar, message: bytes) -> None:
    assert what_went_wrong(target, message) is None


def test_it_still_serves(target: Sidecar) -> None:
    for message in CORPUS:
        assert what_went_wrong(target, message) is None, message[:200]
    assert still_serves(target)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 8192 + b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx", 413),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 4096\r\n\r\n", 413),
        (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n", 403),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-Forwarded-For: 10.0.0.1\r\n\r\n", 403),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 403),
    ],
)
def test_refused(target: Sidecar, message: bytes, expected: int) -> None:
    response = send(target.endpoint, message)
    assert int(response.split(b" ")[1]) == expected


def test_every_connection_is_closed_after_its_answer(target: Sidecar) -> None:
    with connect(target.endpoint) as connection:
        connection.sendall(VALID[0].replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"))
        response = read_all(connection)
    assert status(response) == 200
    assert b"Connection: close" in response


def test_a_client_that_drips_is_cut_off() -> None:
    """Its bytes come often enough: the time for the whole request is what ends it."""
    with (
        FakeMetadataServer() as upstream,
        Sidecar(upstream, Limits(request_seconds=1.0)) as served,
        connect(served.endpoint) as connection,
    ):
        is_closed = threading.Event()

        def drip() -> None:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET / HTTP/1.1\r\nX: ")
                while not is_closed.wait(0.05):
                    connection.sendall(b"y")

        client = threading.Thread(target=drip)
        client.start()
        try:
            assert read_all(connection) == b""
        finally:
            is_closed.set()
            client.join()


def test_slow_clients_hold_up_nobody() -> None:
    """Many more of them than there are workers."""
    with (
        FakeMetadataServer() as upstream,
        Sidecar(upstream, Limits(request_seconds=600, threads=1, shutdown_seconds=0.1)) as served,
        contextlib.ExitStack() as stack,
    ):
        slow = [stack.enter_context(connect(served.endpoint)) for _ in range(100)]
        for connection in slow:
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert still_serves(served)


def test_a_client_that_does_not_read_holds_up_nobody() -> None:
    with (
        FakeMetadataServer() as upstream,
        Sidecar(upstream, Limits(request_seconds=600, threads=1, shutdown_seconds=0.1)) as served,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(100):
            connection = stack.enter_context(connect(served.endpoint))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.sendall(VALID[1])
        assert still_serves(served)


def test_too_many_connections_wait_for_room() -> None:
    with (
        FakeMetadataServer() as upstream,
        Sidecar(upstream, Limits(request_seconds=2.0, connections=20)) as served,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(50):
            stack.enter_context(connect(served.endpoint))

        def is_served() -> bool:
            try:
                return still_serves(served)
            except requests.ConnectionError:  # a busy machine took longer than the limit
                return False

        wait_until(is_served, PATIENCE)
