"""Session tokens: who made them, and until when they are good."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import MovableClock
from support.unhurried import unhurried

from ecs_role_creds.serve.session_tokens import MAX_TTL, SessionTokens


@pytest.mark.parametrize("ttl", [1, 60, MAX_TTL])
def test_valid_until_its_ttl_has_passed(ttl: int) -> None:
    clock = MovableClock()
    tokens = SessionTokens(clock)
    token = tokens.issue(ttl)
    clock.advance(ttl - 0.001)
    assert tokens.is_valid(token)
    clock.advance(0.001)
    assert not tokens.is_valid(token)


@pytest.mark.parametrize("ttl", [0, -1, MAX_TTL + 1])
def test_a_ttl_out_of_range_is_refused(ttl: int) -> None:
    with pytest.raises(ValueError, match="pass 1 to 21600"):
        SessionTokens().issue(ttl)


def test_tokens_differ_and_any_number_is_valid_at_once() -> None:
    tokens = SessionTokens()
    issued = [tokens.issue(60) for _ in range(1000)]
    assert len(set(issued)) == 1000
    assert all(map(tokens.is_valid, issued))


def test_nothing_is_kept_of_the_tokens_issued() -> None:
    tokens = SessionTokens()
    before = {name: repr(value) for name, value in vars(tokens).items()}
    for _ in range(1000):
        tokens.is_valid(tokens.issue(60))
    assert {name: repr(value) for name, value in vars(tokens).items()} == before


def test_a_token_of_another_server_is_invalid() -> None:
    assert not SessionTokens().is_valid(SessionTokens().issue(60))


def test_the_key_is_not_derived_from_what_a_client_sees() -> None:
    ours, theirs = (SessionTokens(MovableClock()) for _ in range(2))
    assert ours.issue(60) != theirs.issue(60)


@pytest.mark.parametrize(
    "token", ["", "=", "x", "ü", "A" * 10000, base64.b64encode(bytes(56)).decode(), "\n", " "]
)
def test_nonsense_is_invalid(token: str) -> None:
    assert not SessionTokens().is_valid(token)


@unhurried
@given(st.text(max_size=200))
def test_any_text_is_invalid(token: str) -> None:
    assert not SessionTokens().is_valid(token)


@unhurried
@given(st.data())
def test_a_changed_token_is_invalid(data: st.DataObject) -> None:
    clock = MovableClock()
    tokens = SessionTokens(clock)
    raw = bytearray(base64.urlsafe_b64decode(tokens.issue(60)))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    assert not tokens.is_valid(base64.urlsafe_b64encode(raw).decode())
