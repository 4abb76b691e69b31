"""What a test can have the fake metadata service do, in the middle of things."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from support.plain_http import (
    ROLE_PATH,
    TOKEN_PATH,
    TTL_HEADER,
    Issued,
    Reply,
    ask,
    connected,
    exchange,
    read_document,
    session_token,
    wait_until,
)

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.testing import FakeMetadataServer, VirtualClock
from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.loopback import LoopbackServer

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


# Role and credentials


def test_rotate(server: FakeMetadataServer) -> None:
    with connected(server) as connection:
        first = read_document(exchange(connection, "GET", DOCUMENT_PATH, {}))
        rotated = server.rotate()
        second = read_document(exchange(connection, "GET", DOCUMENT_PATH, {}))
    assert second == rotated[:3]
    assert second != first
    assert server.is_valid(first)
    assert server.is_valid(second)
    assert [one[:3] for one in server.issued] == [first, second]


def test_expire(server: FakeMetadataServer) -> None:
    first, second = fetch(server), server.rotate()
    server.expire()
    assert not server.is_valid(first)
    assert not server.is_valid(second)
    third = fetch(server)
    assert server.is_valid(third)
    assert [one.expiration <= server.now() for one in server.issued] == [True, True, False]


def test_expire_ends_nothing_later_than_it_would(
    server: FakeMetadataServer, clock: VirtualClock
) -> None:
    fetch(server)
    end = server.issued[0].expiration
    clock.advance(86400)
    server.expire()
    assert server.issued[0].expiration == end


def test_expire_between_two_whole_seconds(server: FakeMetadataServer, clock: VirtualClock) -> None:
    clock.advance(0.9)
    first = fetch(server)
    server.expire()
    assert not server.is_valid(first)
    assert server.is_valid(fetch(server))


def test_attach_detach_and_swap(server: FakeMetadataServer) -> None:
    with connected(server) as connection:

        def name() -> Reply:
            return exchange(connection, "GET", ROLE_PATH, {})

        first = read_document(exchange(connection, "GET", DOCUMENT_PATH, {}))
        server.detach()
        assert (server.role, name().status) == (None, 404)
        server.detach()  # once more has no effect
        server.attach("b")
        assert (server.role, name().text) == ("b", "b")
        server.swap("c")
        assert (server.role, name().text) == ("c", "c")
        assert exchange(connection, "GET", ROLE_PATH + "b", {}).status == 404
        last = read_document(exchange(connection, "GET", ROLE_PATH + "c", {}))
    assert server.is_valid(first)
    assert server.is_valid(last)
    assert [one.role_name for one in server.issued] == ["app-role", "c"]


def test_a_role_that_comes_back_has_new_credentials(server: FakeMetadataServer) -> None:
    first = fetch(server)
    server.swap("app-role")
    assert fetch(server) != first


def test_mode_and_life_may_change_at_any_time(server: FakeMetadataServer) -> None:
    assert ask(server, REGION_PATH).status == 200
    server.mode = "hardening-only"
    assert ask(server, REGION_PATH).status == 403
    server.mode = "normal-only"
    assert ask(server, TOKEN_PATH, "PUT", {TTL_HEADER: "1"}).status == 404
    server.life = 60
    rotated = server.rotate()
    assert (rotated.expiration - rotated.issued_at).total_seconds() == 60


def test_is_valid_wants_all_parts_of_one_issue(server: FakeMetadataServer) -> None:
    one, other = server.rotate(), server.rotate()
    assert server.is_valid(one)
    assert server.is_valid(Issued(*one[:3]))
    for part in range(3):
        mixed = list(one[:3])
        mixed[part] = other[part]
        assert not server.is_valid(Issued(*mixed))
    assert not server.is_valid(Issued("STS.FAKE", "", ""))
    assert not server.is_valid(object())
    assert not server.is_valid(None)
    assert server.find_issued(one.access_key_id) == one
    assert server.find_issued("STS.FAKE") is None


def test_is_valid_knows_the_credentials_of_one_server_only(server: FakeMetadataServer) -> None:
    with FakeMetadataServer(seed=1) as other:
        assert not server.is_valid(fetch(other))


def test_a_seed_makes_runs_alike() -> None:
    seen = []
    for seed in (1, 1, 2):
        with FakeMetadataServer(seed=seed, clock=VirtualClock()) as server:
            seen.append((session_token(server), fetch(server)))
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[2][0]
    assert seen[0][1] != seen[2][1]


# Faults


@pytest.mark.parametrize("times", [1, 3])
def test_fail_so_many_times(server: FakeMetadataServer, times: int) -> None:
    server.fail(503, times=times)
    with connected(server) as connection:
        statuses = [exchange(connection, "GET", ROLE_PATH, {}).status for _ in range(times + 2)]
    assert statuses == [503] * times + [200, 200]


def test_fail_until_recovered(server: FakeMetadataServer) -> None:
    server.fail(500, retry_after=2)
    for _ in range(5):
        reply = ask(server, ROLE_PATH)
        assert (reply.status, reply.headers["Retry-After"]) == (500, "2")
    server.recover()
    assert ask(server, ROLE_PATH).status == 200


@pytest.mark.parametrize(
    ("kind", "path"),
    [("role", ROLE_PATH), ("document", DOCUMENT_PATH), ("other", REGION_PATH), ("other", "/x")],
)
def test_faults_are_for_a_kind_of_request(server: FakeMetadataServer, kind: Any, path: str) -> None:
    server.fail(500, on=kind, times=1)
    for other in {ROLE_PATH, DOCUMENT_PATH, REGION_PATH} - {path}:
        if (other == REGION_PATH) != (path == "/x"):
            assert ask(server, other).status == 200  # and does not count
    assert ask(server, path).status == 500
    assert ask(server, path).status != 500


def test_faults_of_session_tokens(server: FakeMetadataServer) -> None:
    server.fail(500, on="token", times=1)
    assert ask(server, ROLE_PATH).status == 200
    assert ask(server, TOKEN_PATH, "PUT", {TTL_HEADER: "60"}).status == 500
    assert session_token(server, 60)


def test_throttle(server: FakeMetadataServer) -> None:
    server.throttle(times=1)
    server.throttle(retry_after=7, on="document", times=1)
    reply = ask(server, ROLE_PATH)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
    reply = ask(server, DOCUMENT_PATH)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
    assert ask(server, DOCUMENT_PATH).status == 200


def test_delay(server: FakeMetadataServer) -> None:
    server.delay(0.1, times=1)
    began = time.monotonic()
    assert ask(server, ROLE_PATH).status == 200
    assert time.monotonic() - began >= 0.1


def test_recovering_ends_a_delay(server: FakeMetadataServer, pool: ThreadPoolExecutor) -> None:
    server.delay(600)
    late = pool.submit(ask, server, ROLE_PATH)
    wait_until(lambda: len(server.requests) == 1)
    server.recover()
    assert late.result(300).status == 200


def test_faults_add_up(server: FakeMetadataServer) -> None:
    server.delay(0.05)
    server.delay(0.05)
    server.fail(500, retry_after=3)
    server.drop_date()
    began = time.monotonic()
    reply = ask(server, ROLE_PATH)
    assert time.monotonic() - began >= 0.1
    assert (reply.status, reply.headers["Retry-After"]) == (500, "3")
    assert "Date" not in reply.headers


def test_hang_and_recover(server: FakeMetadataServer, pool: ThreadPoolExecutor) -> None:
    server.hang(on="document")
    held = [pool.submit(ask, server, DOCUMENT_PATH) for _ in range(8)]
    wait_until(lambda: len(server.requests) == 8)
    assert ask(server, ROLE_PATH).status == 200  # others are served meanwhile
    assert not any(one.done() for one in held)
    server.recover()
    assert {read_document(one.result(300)) for one in held} == {server.issued[0][:3]}
    assert ask(server, DOCUMENT_PATH).status == 200
    server.hang(times=1)  # and again
    again = pool.submit(ask, server, ROLE_PATH)
    wait_until(lambda: server.requests[-1].path == ROLE_PATH and len(server.requests) == 11)
    assert not again.done()
    server.recover()
    assert again.result(300).status == 200


def test_recovering_as_soon_as_a_request_is_recorded_ends_its_fault() -> None:
    class RecoversAtOnce(LoopbackServer):
        def handle(self, request: Request) -> Response:
            self.release()
            return Response(200, b"released", conduct="hang")

    with RecoversAtOnce() as server:
        address = urllib.parse.urlsplit(server.endpoint)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=300)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"released"
        connection.close()


def test_who_gives_up_on_what_hangs_disturbs_nothing(server: FakeMetadataServer) -> None:
    server.hang(times=3)
    for number in range(3):
        with connected(server) as connection:
            connection.timeout = 0.02
            with pytest.raises(TimeoutError):
                exchange(connection, "GET", ROLE_PATH, {})
        wait_until(lambda: len(server.requests) == number + 1)  # noqa: B023 (called at once)
    assert ask(server, ROLE_PATH).status == 200
    server.recover()
    assert ask(server, ROLE_PATH).status == 200


def raw_request(server: FakeMetadataServer, path: str = ROLE_PATH) -> socket.socket:
    """A connection that a request has been sent on."""
    address = urllib.parse.urlsplit(server.endpoint)
    connection = socket.create_connection((address.hostname, address.port), timeout=300)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return connection


def test_drip(server: FakeMetadataServer) -> None:
    server.drip(0.002, times=1)
    with raw_request(server) as connection:
        pieces = []
        while not b"".join(pieces).endswith(b"app-role"):
            pieces.append(connection.recv(65536))
    # Loopback may join a few on their way.
    assert len(pieces) > len(b"".join(pieces)) / 2
    assert b"".join(pieces).startswith(b"HTTP/1.1 200 OK\r\n")


def test_recovering_ends_a_drip(server: FakeMetadataServer) -> None:
    server.drip(600)
    with raw_request(server) as connection:
        assert connection.recv(65536) == b"H"
        server.recover()
        rest = b""
        while not rest.endswith(b"app-role"):
            rest += connection.recv(65536)
    assert rest.startswith(b"TTP/1.1 200")


def test_reset(server: FakeMetadataServer) -> None:
    server.reset(times=1, on="role")
    with connected(server) as connection:
        assert exchange(connection, "GET", REGION_PATH, {}).status == 200
        with pytest.raises(ConnectionResetError):
            exchange(connection, "GET", ROLE_PATH, {})
    assert ask(server, ROLE_PATH).status == 200
    assert [one.status for one in server.requests] == [200, 0, 200]


def close_idle_connections(server: FakeMetadataServer, *, left: int) -> None:
    """Again, where a thread has sent its response but has not yet noticed that it has."""

    def are_closed() -> bool:
        server.close_idle_connections()
        return len(server._connections) == left

    wait_until(are_closed)


def test_close_idle_connections(server: FakeMetadataServer, pool: ThreadPoolExecutor) -> None:
    server.hang(times=1)
    busy = pool.submit(ask, server, DOCUMENT_PATH)
    wait_until(lambda: len(server.requests) == 1)
    with raw_request(server) as idle:
        assert idle.recv(65536).endswith(b"app-role")
        close_idle_connections(server, left=1)
        assert idle.recv(65536) == b""
    assert not busy.done()
    server.recover()
    assert busy.result(300).status == 200


def test_idle_connections_may_be_closed_under_a_client(server: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint)
    for _ in range(5):
        provider.refresh()
        server.close_idle_connections()
    assert provider.status().failures == 0


@pytest.mark.parametrize(
    "body", ["", "{", "<html></html>", b"\xff\xfe", b"x" * 10_000_000], ids=len
)
def test_answer(server: FakeMetadataServer, body: str | bytes) -> None:
    server.answer(body, on="document", times=1)
    reply = ask(server, DOCUMENT_PATH)
    assert (reply.status, reply.body) == (200, body if isinstance(body, bytes) else body.encode())
    assert read_document(ask(server, DOCUMENT_PATH))


def test_answer_with_status_and_headers(server: FakeMetadataServer) -> None:
    server.answer(b"", status=302, headers={"Location": "http://192.0.2.1/"}, times=1)
    reply = ask(server, ROLE_PATH)
    assert (reply.status, reply.headers["Location"]) == (302, "http://192.0.2.1/")
    server.answer("", status=599)
    assert ask(server, ROLE_PATH).status == 599


@pytest.mark.parametrize("seconds", [-3600, 3600, 86400 * 365])
def test_skew_date(server: FakeMetadataServer, clock: VirtualClock, seconds: float) -> None:
    server.skew_date(seconds, times=1)
    off = parsedate_to_datetime(ask(server, DOCUMENT_PATH).headers["Date"])
    assert (off - server.now()).total_seconds() == seconds
    assert (server.issued[0].expiration - server.now()).total_seconds() == 21600  # its own is right
    assert parsedate_to_datetime(ask(server, ROLE_PATH).headers["Date"]) == server.now()
    clock.advance(60)
    assert parsedate_to_datetime(ask(server, ROLE_PATH).headers["Date"]) == server.now()


def test_drop_date(server: FakeMetadataServer) -> None:
    server.drop_date(times=1)
    assert "Date" not in ask(server, ROLE_PATH).headers
    assert "Date" in ask(server, ROLE_PATH).headers


@pytest.mark.parametrize("first", ["skew", "drop"])
def test_a_dropped_date_cannot_be_off(server: FakeMetadataServer, first: str) -> None:
    if first == "skew":
        server.skew_date(60)
    server.drop_date()
    server.skew_date(60)
    reply = ask(server, ROLE_PATH)
    assert reply.status == 200
    assert "Date" not in reply.headers


# The record


def test_the_request_log(server: FakeMetadataServer, clock: VirtualClock) -> None:
    token = session_token(server, 60)
    clock.advance(5)
    ask(server, ROLE_PATH + "?a=b", headers={"X-Aliyun-Ecs-Metadata-Token": token})
    put, get = server.requests
    assert (put.method, put.path, put.status) == ("PUT", TOKEN_PATH, 200)
    assert put.headers[TTL_HEADER.lower()] == "60"
    assert (get.method, get.path, get.status) == ("GET", ROLE_PATH + "?a=b", 200)
    assert get.headers["x-aliyun-ecs-metadata-token"] == token
    assert (get.time - put.time).total_seconds() == 5


def test_assert_requests(server: FakeMetadataServer) -> None:
    server.assert_no_requests()
    server.assert_requests()
    ask(server, ROLE_PATH)
    ask(server, "/x", "POST")
    server.assert_requests(f"GET {ROLE_PATH}", "POST /x")
    for wrong in [(), (f"GET {ROLE_PATH}",), ("POST /x", f"GET {ROLE_PATH}")]:
        with pytest.raises(AssertionError):
            server.assert_requests(*wrong)
    with pytest.raises(AssertionError):
        server.assert_no_requests()


def test_a_failed_assertion_shows_the_exchange(server: FakeMetadataServer) -> None:
    with pytest.raises(AssertionError) as caught:
        server.assert_requests("GET /y")
    assert "(no request)" in str(caught.value)
    ask(server, ROLE_PATH, headers={"X-Mine": "fake-value"})
    ask(server, "/x")
    with pytest.raises(AssertionError) as caught:
        server.assert_no_requests()
    shown = str(caught.value)
    assert "Expected these requests:\n  (no request)\n" in shown
    assert f"1. 00:00:00 GET {ROLE_PATH} -> 200\n" in shown
    assert "x-mine: fake-value" in shown
    assert "2. 00:00:00 GET /x -> 404\n" in shown
    assert server.transcript() in shown


# Use that cannot be


@pytest.mark.parametrize("role", ["", "a/b", "a b", "..", ".", "ü", "a\n", "x" * 65, 7])
def test_no_role_has_such_a_name(server: FakeMetadataServer, role: Any) -> None:
    for use in (FakeMetadataServer, server.swap, server.attach):
        if use == server.attach:
            server.detach()
        with pytest.raises(ValueError, match="no role can be named"):
            use(role)
        assert server.role in ("app-role", None)


def test_one_role_at_a_time(server: FakeMetadataServer) -> None:
    with pytest.raises(ValueError, match=r"'app-role' is attached already; detach\(\) it"):
        server.attach("b")
    server.detach()
    with pytest.raises(ValueError, match="nothing to rotate"):
        server.rotate()


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda server: FakeMetadataServer(life=0), "life is 0"),
        (lambda server: FakeMetadataServer(life=-1), "life is -1"),
        (lambda server: FakeMetadataServer(life=float("nan")), "life is nan"),
        (lambda server: FakeMetadataServer(life=float("inf")), "life is inf"),
        (lambda server: setattr(server, "life", 0), "life is 0"),
        (lambda server: FakeMetadataServer(mode="no"), "mode is 'no'; pass one of both, "),
        (lambda server: setattr(server, "mode", None), "mode is None"),
        (lambda server: FakeMetadataServer(rotation_share=0), "rotation_share is 0"),
        (lambda server: FakeMetadataServer(rotation_share=1.1), "rotation_share is 1.1"),
        (lambda server: FakeMetadataServer(no_hardening_status=200), "pass 403, 404 or 405"),
        (lambda server: server.fail(500, times=0), "times is 0; pass 1 or more"),
        (lambda server: server.hang(times=-1), "times is -1"),
        (lambda server: server.delay(-1), "cannot delay by -1"),
        (lambda server: server.fail(500, on="roles"), "on is 'roles'; pass one of token, "),
    ],
)
def test_bad_use_is_explained(
    server: FakeMetadataServer, use: Callable[[FakeMetadataServer], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        use(server)
    assert (server.life, server.mode, ask(server, ROLE_PATH).status) == (21600, "both", 200)


def test_a_clock_needs_a_time_zone() -> None:
    from datetime import datetime

    with pytest.raises(ValueError, match="aware"):
        VirtualClock(datetime(2030, 1, 1))


def test_the_library_sees_what_was_told(server: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint, deadline=50.0)
    good = provider.get_credentials()
    for spoil in (
        lambda: server.fail(503, retry_after=60),
        lambda: server.throttle(60),
        lambda: server.reset(),
        lambda: server.answer(b"{", on="document"),
        lambda: server.detach(),
    ):
        spoil()
        with pytest.raises(CredentialsError):
            provider.refresh()
        assert provider.get_credentials() is good
        server.recover()
    server.attach("other")
    assert provider.refresh().role_name == "other"
