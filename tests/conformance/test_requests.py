"""The fake metadata service's answers, one by one and to their last byte, by plain HTTP.

``ecs_role_creds.testing.metadata.service`` marks what is documented and what is inferred.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import pytest
from support.plain_http import (
    ROLE_PATH,
    TOKEN_HEADER,
    TOKEN_PATH,
    TTL_HEADER,
    ask,
    connected,
    exchange,
    read_document,
    session_token,
)

from ecs_role_creds.testing import FakeMetadataServer, VirtualClock

DOCUMENT_PATH = ROLE_PATH + "app-role"
SIX_HOURS = 6 * 3600
PLAIN = [
    ("/latest/meta-data/region-id", "cn-here-1"),
    ("/latest/meta-data/instance-id", "i-fake1"),
    ("/latest/meta-data/owner-account-id", "1234"),
]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def server(clock: VirtualClock) -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer(clock=clock) as server:
        yield server


def is_page(body: bytes) -> bool:
    return body.startswith(b"<?xml") and b"XHTML" in body and b"</html>" in body


# Session tokens


@pytest.mark.parametrize("ttl", ["1", "2", "60", "21599", "21600"])
def test_a_session_token_lives_for_what_was_asked(
    server: FakeMetadataServer, clock: VirtualClock, ttl: str
) -> None:
    reply = ask(server, TOKEN_PATH, "PUT", {TTL_HEADER: ttl})
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain"
    assert re.fullmatch(r"[\x21-\x7e]+", reply.text)
    headers = {TOKEN_HEADER: reply.text}
    assert ask(server, ROLE_PATH, headers=headers).status == 200
    clock.advance(int(ttl) - 0.001)
    assert ask(server, ROLE_PATH, headers=headers).status == 200
    clock.advance(0.001)
    assert ask(server, ROLE_PATH, headers=headers).status == 401


@pytest.mark.parametrize(
    "ttl", ["0", "21601", "-1", "", "x", "1.5", "1e3", "0x10", "+60", "6 0", "9" * 40, "²"]
)
def test_a_ttl_out_of_range_is_a_bad_request(server: FakeMetadataServer, ttl: str) -> None:
    reply = ask(server, TOKEN_PATH, "PUT", {TTL_HEADER: ttl})
    assert reply.status == 400
    assert is_page(reply.body)


def test_a_ttl_is_required(server: FakeMetadataServer) -> None:
    assert ask(server, TOKEN_PATH, "PUT").status == 400


@pytest.mark.parametrize("mode", ["both", "hardening-only"])
@pytest.mark.parametrize("ttl", ["60", "0"])
def test_no_session_token_by_way_of_a_proxy(
    server: FakeMetadataServer, mode: Any, ttl: str
) -> None:
    server.mode = mode
    headers = {TTL_HEADER: ttl, "X-Forwarded-For": "192.0.2.1"}
    assert ask(server, TOKEN_PATH, "PUT", headers).status == 403


def test_session_tokens_are_reusable_and_any_number_may_exist(server: FakeMetadataServer) -> None:
    server.mode = "hardening-only"
    tokens = [session_token(server, 60) for _ in range(50)]
    assert len(set(tokens)) == 50
    for token in tokens * 2:
        assert ask(server, ROLE_PATH, headers={TOKEN_HEADER: token}).status == 200


def test_session_tokens_are_of_one_instance(server: FakeMetadataServer) -> None:
    with FakeMetadataServer(seed=1) as other:
        assert ask(server, ROLE_PATH, headers={TOKEN_HEADER: session_token(other)}).status == 401


def test_header_names_come_in_any_case(server: FakeMetadataServer) -> None:
    token = ask(server, TOKEN_PATH, "PUT", {TTL_HEADER.upper(): "60"}).text
    assert ask(server, ROLE_PATH, headers={TOKEN_HEADER.lower(): token}).status == 200


# Modes


@pytest.mark.parametrize("path", [ROLE_PATH, DOCUMENT_PATH, "/latest/meta-data/region-id", "/x"])
def test_hardening_only(server: FakeMetadataServer, path: str) -> None:
    server.mode = "hardening-only"
    assert ask(server, path).status == 403  # where AWS says 401
    assert ask(server, path, headers={TOKEN_HEADER: "fake"}).status == 401
    assert ask(server, path, headers={TOKEN_HEADER: ""}).status == 401
    expected = 404 if path == "/x" else 200
    assert ask(server, path, headers={TOKEN_HEADER: session_token(server)}).status == expected


def test_both_modes(server: FakeMetadataServer) -> None:
    assert ask(server, ROLE_PATH).status == 200
    assert ask(server, ROLE_PATH, headers={TOKEN_HEADER: "fake"}).status == 401
    assert ask(server, ROLE_PATH, headers={TOKEN_HEADER: session_token(server)}).status == 200


@pytest.mark.parametrize("status", [403, 404, 405])
def test_normal_only(status: Literal[403, 404, 405]) -> None:
    with FakeMetadataServer(mode="normal-only", no_hardening_status=status) as server:
        reply = ask(server, TOKEN_PATH, "PUT", {TTL_HEADER: "60"})
        assert reply.status == status
        assert is_page(reply.body)
        assert ask(server, DOCUMENT_PATH).status == 200
        assert ask(server, DOCUMENT_PATH, headers={TOKEN_HEADER: "fake"}).status == 200


# Role and document


def test_role_name(server: FakeMetadataServer) -> None:
    reply = ask(server, ROLE_PATH)
    assert (reply.status, reply.body) == (200, b"app-role")  # no line break
    assert reply.headers["Content-Length"] == "8"


@pytest.mark.parametrize("path", [ROLE_PATH, DOCUMENT_PATH])
def test_no_role_is_a_page(server: FakeMetadataServer, path: str) -> None:
    server.detach()
    reply = ask(server, path)
    assert reply.status == 404
    assert is_page(reply.body)
    assert reply.headers["Content-Type"] == "text/html"


@pytest.mark.parametrize("name", ["other", "app-rol", "app-role2", "App-Role", "app-role/", "%2e"])
def test_another_role_is_a_page(server: FakeMetadataServer, name: str) -> None:
    reply = ask(server, ROLE_PATH + name)
    assert reply.status == 404
    assert is_page(reply.body)
    assert server.issued == []


def test_role_document(server: FakeMetadataServer) -> None:
    reply = ask(server, DOCUMENT_PATH)
    document = reply.document
    assert list(document) == [
        "AccessKeyId",
        "AccessKeySecret",
        "SecurityToken",
        "Expiration",
        "LastUpdated",
        "Code",
    ]
    assert document["Code"] == "Success"
    assert re.fullmatch(r"STS\.[A-Z0-9]+", document["AccessKeyId"])
    assert document["AccessKeySecret"].startswith("fake-secret-")
    assert re.fullmatch(r"fake-security-token-[A-Za-z0-9+/=-]{280,}", document["SecurityToken"])
    times = [
        datetime.strptime(document[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        for name in ("LastUpdated", "Expiration")
    ]
    assert times == [server.now(), server.now() + timedelta(hours=6)]
    assert parsedate_to_datetime(reply.headers["Date"]) == server.now()
    (issued,) = server.issued
    assert issued[:3] == read_document(reply)
    assert (issued.issued_at, issued.expiration, issued.role_name) == (*times, "app-role")


@pytest.mark.parametrize("life", [1, 1.5, 60, 3600.25])
def test_lives_end_at_a_whole_second_and_are_never_cut_short(life: float) -> None:
    clock = VirtualClock(datetime(2030, 1, 1, microsecond=300_000, tzinfo=timezone.utc))
    with FakeMetadataServer(life=life, clock=clock) as server:
        ask(server, DOCUMENT_PATH)
        (issued,) = server.issued
        assert issued.expiration.microsecond == 0
        over = (issued.expiration - issued.issued_at).total_seconds() - life
        assert 0 <= over < 1


# Rotation


def test_rotated_half_an_hour_before_expiration(
    server: FakeMetadataServer, clock: VirtualClock
) -> None:
    first = ask(server, DOCUMENT_PATH)
    clock.advance(SIX_HOURS - 1801)
    for _ in range(20):  # however often one asks
        assert ask(server, DOCUMENT_PATH).body == first.body
    clock.advance(1)
    second = read_document(ask(server, DOCUMENT_PATH))
    old = read_document(first)
    assert not set(second) & set(old)
    assert len(server.issued) == 2
    # The old ones stay valid to their own end.
    clock.advance(1799)
    assert server.is_valid(old)
    clock.advance(1)
    assert not server.is_valid(old)
    assert server.is_valid(second)
    clock.advance(SIX_HOURS - 1801)
    assert server.is_valid(second)
    clock.advance(1)
    assert not server.is_valid(second)


@pytest.mark.parametrize(("life", "share", "due"), [(100, 0.5, 50), (3600, 0.5, 1800), (10, 1, 10)])
def test_short_lives_are_rotated_after_a_share(life: float, share: float, due: float) -> None:
    clock = VirtualClock()
    with FakeMetadataServer(life=life, rotation_share=share, clock=clock) as server:
        first = ask(server, DOCUMENT_PATH).body
        clock.advance(due - 1)
        assert ask(server, DOCUMENT_PATH).body == first
        clock.advance(1)
        assert ask(server, DOCUMENT_PATH).body != first


def test_paused_rotation_hands_out_what_has_expired(
    server: FakeMetadataServer, clock: VirtualClock
) -> None:
    server.rotation_paused = True
    first = ask(server, DOCUMENT_PATH)
    clock.advance(2 * SIX_HOURS)
    assert ask(server, DOCUMENT_PATH).body == first.body
    assert not server.is_valid(read_document(first))
    server.rotation_paused = False
    assert server.is_valid(read_document(ask(server, DOCUMENT_PATH)))


def test_what_has_expired_keeps_its_end(server: FakeMetadataServer, clock: VirtualClock) -> None:
    server.rotation_paused = True
    first = ask(server, DOCUMENT_PATH)
    clock.advance(2 * SIX_HOURS)
    server.expire()
    assert ask(server, DOCUMENT_PATH).body == first.body


# Other paths and methods


def test_what_else_is_told() -> None:
    told = {"region_id": "cn-here-1", "instance_id": "i-fake1", "owner_account_id": "1234"}
    with FakeMetadataServer(**told) as server:  # type: ignore[arg-type]
        for path, value in PLAIN:
            assert ask(server, path).text == value
        reply = ask(server, "/latest/dynamic/instance-identity/document")
        assert json.loads(reply.text) == {
            name.replace("_", "-"): value for name, value in told.items()
        }
        server.detach()
        assert ask(server, PLAIN[0][0]).status == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/latest", "/latest/meta-data", ROLE_PATH.rstrip("/"), ROLE_PATH + "../" + "x", "/x?y=z"],
)
def test_unknown_paths_are_pages(server: FakeMetadataServer, path: str) -> None:
    reply = ask(server, path)
    assert reply.status == 404
    assert is_page(reply.body)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", [ROLE_PATH, DOCUMENT_PATH, "/latest/meta-data/region-id", "/x"])
def test_other_methods(server: FakeMetadataServer, method: str, path: str) -> None:
    assert ask(server, path, method).status == 405


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_session_tokens_are_put_for(server: FakeMetadataServer, method: str) -> None:
    assert ask(server, TOKEN_PATH, method, {TTL_HEADER: "60"}).status == 405


def test_head_has_no_body(server: FakeMetadataServer) -> None:
    with connected(server) as connection:
        head = exchange(connection, "HEAD", ROLE_PATH, {})
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "8")
        assert exchange(connection, "GET", ROLE_PATH, {}).body == b"app-role"


def test_connections_are_kept(server: FakeMetadataServer) -> None:
    with connected(server) as connection:
        exchange(connection, "GET", ROLE_PATH, {})
        kept = connection.sock
        for path in (DOCUMENT_PATH, "/x", ROLE_PATH):
            exchange(connection, "GET", path, {})
            assert connection.sock is kept
        assert exchange(connection, "PUT", TOKEN_PATH, {TTL_HEADER: "0"}).status == 400
        assert connection.sock is kept
