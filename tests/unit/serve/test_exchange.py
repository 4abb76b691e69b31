"""Which requests are refused before anyone looks at what they ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.unhurried import unhurried

from ecs_role_creds.serve.exchange import HostRule, Request, refusal

LOOPBACK = [
    "127.0.0.1",
    "127.0.0.1:8460",
    "127.8.9.10",
    "localhost",
    "LocalHost:80",
    "[::1]",
    "[::1]:8460",
]
FOREIGN = [
    "",
    "evil.example",
    "evil.example:8460",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "evil.example, 127.0.0.1",
    "127.0.0.1, evil.example",
    "127.0.0.1:80:80",
    "127.0.0.1:x",
    "127.0.0.1:٣",
    "[::1",
    "[::1]x",
    "[::1].evil.example",
    "::1",
    "0x7f000001",
    "2130706433",
    ":8460",
    "localhost.",
    "\u212aelvin",
]
REMOTE = ["10.0.0.1", "10.0.0.1:8460", "100.100.100.200", "[2001:db8::1]:80"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_accepted(host: str) -> None:
    assert HostRule().accepts(host)


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("allow_any_address", [False, True])
def test_a_name_is_not(host: str, allow_any_address: bool) -> None:
    assert not HostRule(allow_any_address=allow_any_address).accepts(host)


@pytest.mark.parametrize("host", REMOTE)
def test_an_address_is_only_where_other_hosts_may_connect(host: str) -> None:
    assert not HostRule().accepts(host)
    assert HostRule(allow_any_address=True).accepts(host)


def test_names_may_be_added() -> None:
    rule = HostRule({"sidecar"})
    assert rule.accepts("sidecar")
    assert rule.accepts("Sidecar:8460")
    assert not rule.accepts("sidecar.evil.example")


@unhurried
@given(st.from_regex(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,10}(:[0-9]{1,5})?", fullmatch=True))
def test_no_domain_name_is_accepted(host: str) -> None:
    assert not HostRule(allow_any_address=True).accepts(host)


@unhurried
@given(st.text(max_size=50))
def test_any_text_can_be_looked_at(host: str) -> None:
    HostRule(allow_any_address=True).accepts(host)


def request(has_body: bool = False, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/healthz", {"host": "127.0.0.1", **named}, has_body)


def test_an_ordinary_request_is_not_refused() -> None:
    assert refusal(request(user_agent="x", accept="*/*"), HostRule()) is None


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (request(host="evil.example"), 403),
        (Request("GET", "/healthz", {}), 403),
        (request(x_forwarded_for="10.0.0.1"), 403),
        (request(x_forwarded_for=""), 403),
        (request(x_forwarded_host="evil.example"), 403),
        (request(forwarded="for=10.0.0.1"), 403),
        (request(via="1.1 proxy"), 403),
        (request(origin="https://evil.example"), 403),
        (request(has_body=True), 413),
    ],
)
def test_refused(refused: Request, status: int) -> None:
    response = refusal(refused, HostRule())
    assert response is not None
    assert response.status == status
    assert response.body


def test_neither_shows_what_may_be_secret() -> None:
    secret = Request("GET", "/credentials/fake-path", {"authorization": "fake-token"})
    assert "fake" not in repr(secret)
