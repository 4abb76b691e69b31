"""The fake metadata service does what is known of the real one: row by row, in plain HTTP."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import pytest

from ecs_role_creds.testing import FakeMetadataServer, VirtualClock

TOKEN_PATH = "/latest/api/token"
ROLE_PATH = "/latest/meta-data/ram/security-credentials/"
TTL_HEADER = "X-aliyun-ecs-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aliyun-ecs-metadata-token"


class Reply(NamedTuple):
    status: int
    body: str
    headers: http.client.HTTPMessage


def ask(
    server: FakeMetadataServer, method: str, path: str, headers: dict[str, str] | None = None
) -> Reply:
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=300)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return Reply(response.status, response.read().decode(), response.headers)
    finally:
        connection.close()


def session_token(server: FakeMetadataServer, ttl: int = 21600) -> dict[str, str]:
    reply = ask(server, "PUT", TOKEN_PATH, {TTL_HEADER: str(ttl)})
    assert reply.status == 200
    return {TOKEN_HEADER: reply.body}


def document(server: FakeMetadataServer) -> dict[str, str]:
    reply = ask(server, "GET", f"{ROLE_PATH}{server.role}", session_token(server))
    assert reply.status == 200
    parsed: dict[str, str] = json.loads(reply.body)
    return parsed


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def server(clock: VirtualClock) -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer("my-role", clock=clock) as server:
        yield server


# Session tokens.


@pytest.mark.parametrize("ttl", ["1", "60", "21600"])
def test_session_token(server: FakeMetadataServer, ttl: str) -> None:
    reply = ask(server, "PUT", TOKEN_PATH, {TTL_HEADER: ttl})
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain"
    assert reply.body == reply.body.strip() != ""


@pytest.mark.parametrize("ttl", ["0", "21601", "-1", "x", "", "1.5", "9" * 30])
def test_ttl_out_of_range(server: FakeMetadataServer, ttl: str) -> None:
    assert ask(server, "PUT", TOKEN_PATH, {TTL_HEADER: ttl}).status == 400


def test_ttl_missing(server: FakeMetadataServer) -> None:
    assert ask(server, "PUT", TOKEN_PATH).status == 400


def test_proxied_request_for_a_session_token(server: FakeMetadataServer) -> None:
    headers = {TTL_HEADER: "60", "X-Forwarded-For": "10.0.0.1"}
    assert ask(server, "PUT", TOKEN_PATH, headers).status == 403


def test_session_token_is_reusable_until_its_ttl(
    server: FakeMetadataServer, clock: VirtualClock
) -> None:
    one, other = session_token(server, 60), session_token(server, 120)
    assert one != other
    clock.advance(59)
    assert ask(server, "GET", ROLE_PATH, one).status == 200
    assert ask(server, "GET", ROLE_PATH, one).status == 200
    clock.advance(1)
    assert ask(server, "GET", ROLE_PATH, one).status == 401
    assert ask(server, "GET", ROLE_PATH, other).status == 200


def test_invalid_session_token(server: FakeMetadataServer) -> None:
    assert ask(server, "GET", ROLE_PATH, {TOKEN_HEADER: "fake"}).status == 401


@pytest.mark.parametrize("status", [404, 403, 405])
def test_no_hardening_mode(status: int) -> None:
    with FakeMetadataServer(mode="normal-only", no_hardening_status=status) as server:  # type: ignore[arg-type]
        assert ask(server, "PUT", TOKEN_PATH, {TTL_HEADER: "60"}).status == status
        assert ask(server, "GET", ROLE_PATH).body == "app-role"


def test_hardening_mode_only(server: FakeMetadataServer) -> None:
    assert ask(server, "GET", ROLE_PATH).status == 200
    server.mode = "hardening-only"
    assert ask(server, "GET", ROLE_PATH).status == 403
    assert ask(server, "GET", ROLE_PATH, session_token(server)).status == 200


# The role and its document.


def test_role_name(server: FakeMetadataServer) -> None:
    assert ask(server, "GET", ROLE_PATH, session_token(server)).body == "my-role"


def test_no_role(server: FakeMetadataServer) -> None:
    server.detach()
    for path in (ROLE_PATH, ROLE_PATH + "my-role"):
        reply = ask(server, "GET", path, session_token(server))
        assert reply.status == 404
        assert reply.headers["Content-Type"] == "text/html"
        assert "XHTML" in reply.body


def test_another_role(server: FakeMetadataServer) -> None:
    reply = ask(server, "GET", ROLE_PATH + "other", session_token(server))
    assert (reply.status, "XHTML" in reply.body) == (404, True)


def test_document(server: FakeMetadataServer, clock: VirtualClock) -> None:
    parsed = document(server)
    assert set(parsed) == {
        "AccessKeyId",
        "AccessKeySecret",
        "SecurityToken",
        "Expiration",
        "LastUpdated",
        "Code",
    }
    assert parsed["Code"] == "Success"
    assert parsed["AccessKeyId"].startswith("STS.FAKE")
    assert len(parsed["SecurityToken"]) > 300
    expiration = datetime.strptime(parsed["Expiration"], "%Y-%m-%dT%H:%M:%SZ")
    assert expiration.replace(tzinfo=timezone.utc).timestamp() == clock() + 21600


def test_date_is_the_services(server: FakeMetadataServer, clock: VirtualClock) -> None:
    reply = ask(server, "GET", ROLE_PATH)
    assert parsedate_to_datetime(reply.headers["Date"]).timestamp() == clock()


def test_rotation_half_an_hour_before_expiration(
    server: FakeMetadataServer, clock: VirtualClock
) -> None:
    first = document(server)
    clock.advance(21600 - 1800 - 1)
    assert document(server) == first
    clock.advance(1)
    second = document(server)
    assert second["AccessKeyId"] != first["AccessKeyId"]
    assert document(server) == second
    # The old ones stay valid to their own end.
    old = server.issued[0]
    clock.advance(1799)
    assert server.is_valid(old)
    clock.advance(1)
    assert not server.is_valid(old)
    assert server.is_valid(server.issued[1])


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_rotation_of_short_lives_after_a_share(clock: VirtualClock, share: float) -> None:
    with FakeMetadataServer(life=100, rotation_share=share, clock=clock) as server:
        first = document(server)
        clock.advance(100 * share - 1)
        assert document(server) == first
        clock.advance(1)
        assert document(server) != first


# The rest.


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/latest/meta-data/region-id", "cn-fake-9"),
        ("/latest/meta-data/instance-id", "i-fake9"),
        ("/latest/meta-data/owner-account-id", "9"),
    ],
)
def test_other_paths(path: str, body: str) -> None:
    with FakeMetadataServer(
        region_id="cn-fake-9", instance_id="i-fake9", owner_account_id="9"
    ) as server:
        assert ask(server, "GET", path, session_token(server)).body == body
        identity = ask(server, "GET", "/latest/dynamic/instance-identity/document")
        assert body in json.loads(identity.body).values()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods(server: FakeMetadataServer, method: str) -> None:
    assert ask(server, method, ROLE_PATH).status == 405


def test_get_of_the_token_path(server: FakeMetadataServer) -> None:
    assert ask(server, "GET", TOKEN_PATH).status == 405


@pytest.mark.parametrize("path", ["/", "/latest", "/latest/meta-data/none", ROLE_PATH + "../x"])
def test_unknown_paths(server: FakeMetadataServer, path: str) -> None:
    assert ask(server, "GET", path).status == 404


def test_ten_thousand_requests_over_64_connections() -> None:
    connections, each = 64, 157
    statuses: Counter[int] = Counter()
    lock = threading.Lock()

    with FakeMetadataServer() as server:
        headers, expected = session_token(server), json.dumps(document(server))

        def work() -> None:
            address = server.endpoint.removeprefix("http://")
            connection = http.client.HTTPConnection(address, timeout=300)
            right = 0
            for _ in range(each):
                connection.request("GET", ROLE_PATH + "app-role", headers=headers)
                response = connection.getresponse()
                right += response.status == 200 and response.read().decode() == expected
            connection.close()
            with lock:
                statuses[right] += 1

        threads = [threading.Thread(target=work) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == {each: connections}
        assert len(server.requests) == connections * each + 3
