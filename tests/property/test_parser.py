"""Whatever stands in for a role document: it is read, or it is told what is wrong; nothing more."""

from __future__ import annotations

import json
import re
import string
from datetime import datetime, timezone
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ecs_role_creds.role_document import RoleDocument, parse_role_document

KEYS = ("AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration", "Code", "LastUpdated")
GOOD = {
    "AccessKeyId": "STS.FAKE0001",
    "AccessKeySecret": "fake-secret-0001",
    "SecurityToken": "fake-security-token-0001==",
    "Expiration": "2030-01-01T06:00:00Z",
    "LastUpdated": "2030-01-01T00:00:00Z",
    "Code": "Success",
}

SHOWN = repr(RoleDocument("", "", "", datetime(2030, 1, 1, tzinfo=timezone.utc)))
"""What a document without secrets shows: its class, and an address in memory."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
secrets = st.text(string.ascii_letters + string.digits + "+/=._-", min_size=8, max_size=60).map(
    lambda text: "fake+" + text
)
moments = st.datetimes(
    datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(timezone.utc)
)


def without_address(shown: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x...", shown)


def check(outcome: RoleDocument | str) -> None:
    if isinstance(outcome, str):
        assert outcome
        assert "\n" not in outcome
        assert outcome.isascii()
        assert outcome.isprintable()
        assert len(outcome) < 120
        return
    assert type(outcome) is RoleDocument
    for part, most in (
        (outcome.access_key_id, 128),
        (outcome.access_key_secret, 256),
        (outcome.security_token, 16384),
    ):
        assert 1 <= len(part) <= most
        assert all("!" <= character <= "~" for character in part), "unfit for a header"
    # Not "no part is in it": a part may be short, and be in it by accident.
    assert without_address(repr(outcome)) == without_address(SHOWN)
    assert outcome.expiration.tzinfo is timezone.utc


def dumped(document: Any) -> bytes:
    return json.dumps(document).encode("utf-8", "surrogatepass")


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"9" * 10_000)
@example(b"NaN")
@example(b'{"Code": "Success", "AccessKeyId": "\\ud800"}')
def test_any_bytes_are_taken(body: bytes) -> None:
    check(parse_role_document(body))


@given(json_values)
def test_any_json_is_taken(value: Any) -> None:
    outcome = parse_role_document(dumped(value))
    check(outcome)
    assert isinstance(outcome, str)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(KEYS), json_values | st.text(max_size=300)),
    st.sets(st.sampled_from(KEYS)),
)
@example({"AccessKeyId": "0", "AccessKeySecret": "x", "SecurityToken": "e"}, set())
def test_any_damage_to_a_document_is_taken(changes: dict[str, Any], missing: set[str]) -> None:
    document = {key: value for key, value in {**GOOD, **changes}.items() if key not in missing}
    check(parse_role_document(dumped(document)))


@given(st.integers(0, 400), st.integers(0, 255))
def test_any_torn_or_damaged_body_is_taken(at: int, byte: int) -> None:
    whole = dumped(GOOD)
    check(parse_role_document(whole[:at]))
    check(parse_role_document(whole[:at] + bytes([byte]) + whole[at + 1 :]))
    if at < len(whole):
        assert isinstance(parse_role_document(whole[:at]), str)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(secrets, secrets, secrets, moments, st.dictionaries(st.text(max_size=8), json_values))
def test_a_good_document_is_read_as_it_is(
    key_id: str, secret: str, token: str, expiration: datetime, more: dict[str, Any]
) -> None:
    expiration = expiration.replace(microsecond=0)
    document = parse_role_document(
        dumped(
            {
                **more,
                **GOOD,
                "AccessKeyId": key_id,
                "AccessKeySecret": secret,
                "SecurityToken": token,
                "Expiration": f"{expiration:%Y-%m-%dT%H:%M:%SZ}",
            }
        )
    )
    assert isinstance(document, RoleDocument)
    assert document.access_key_id == key_id
    assert document.access_key_secret == secret
    assert document.security_token == token
    assert document.expiration == expiration
    check(document)


@given(
    secrets,
    secrets,
    st.sampled_from(
        [
            {"Code": "Failed"},
            {"Code": None},
            {"AccessKeyId": 1},
            {"Expiration": "soon"},
            {"Expiration": "2030-13-01T00:00:00Z"},
            {"SecurityToken": ""},
            {"AccessKeyId": "two words"},
            {"AccessKeyId": "x" * 129},
        ]
    ),
)
def test_what_is_wrong_is_told_without_any_secret(
    secret: str, token: str, damage: dict[str, Any]
) -> None:
    document = {**GOOD, "AccessKeySecret": secret, "SecurityToken": token, **damage}
    problem = parse_role_document(dumped(document))
    assert isinstance(problem, str)
    assert secret not in problem
    assert token not in problem
    check(problem)


@given(secrets, secrets, st.sampled_from(["\n", "\r\n", " ", "\x00", "é", "\u2028"]))
def test_a_secret_that_would_break_a_header_is_neither_believed_nor_shown(
    head: str, tail: str, bad: str
) -> None:
    for key in ("AccessKeyId", "AccessKeySecret", "SecurityToken"):
        problem = parse_role_document(dumped({**GOOD, key: head + bad + tail}))
        assert isinstance(problem, str)
        assert head not in problem
        assert tail not in problem
