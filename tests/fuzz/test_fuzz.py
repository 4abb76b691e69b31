"""Whatever a service sends, a fetch gives sound credentials or one of its own errors.

The corpus as it is, the corpus damaged, and answers made up of its parts. ``FUZZ_EXAMPLES`` sets
how many of the latter two are tried; ``run.py`` goes on where chance does not get.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests
from fuzz import target
from fuzz.target import CANARY, NOW, Script, try_conversation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs_role_creds import Credentials, metadata, retries, role_document
from ecs_role_creds.errors import CredentialsExpiredError, MetadataUnreachableError
from ecs_role_creds.transport import Answer

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.http"))
SEEDS = [path.read_bytes() for path in CORPUS]
FUZZ_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))

thorough = settings(
    max_examples=FUZZ_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_good = path.stem.startswith("good-")
    if is_good:
        # Its answers are whole: nothing is ever waited for, however slow the machine.
        monkeypatch.setattr(target, "PATIENCE", target.LONG)
    outcomes = try_conversation(path.read_bytes())
    if is_good:
        assert all(isinstance(outcome.result, Credentials) for outcome in outcomes)


def test_corpus_has_answers_and_secrets() -> None:
    assert all(Script.read(seed).answers for seed in SEEDS)
    assert sum(CANARY.encode() in seed for seed in SEEDS) > len(SEEDS) / 2


# Damage


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file of the corpus after a few mishaps."""
    data = draw(st.sampled_from(SEEDS))
    for mishap in draw(st.lists(st.sampled_from(MISHAPS), min_size=1, max_size=4)):
        data = mishap(draw, data)
    return data


def position(draw: st.DrawFn, data: bytes) -> int:
    return draw(st.integers(0, len(data)))


def truncate(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: position(draw, data)]


def flip_a_byte(draw: st.DrawFn, data: bytes) -> bytes:
    at = position(draw, data)
    return data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]


def insert(draw: st.DrawFn, data: bytes) -> bytes:
    at = position(draw, data)
    inserted = draw(st.binary(min_size=1, max_size=8) | st.sampled_from(PIECES))
    return data[:at] + inserted + data[at:]


def drop_a_slice(draw: st.DrawFn, data: bytes) -> bytes:
    at = position(draw, data)
    return data[:at] + data[at + draw(st.integers(1, 80)) :]


def double_a_slice(draw: st.DrawFn, data: bytes) -> bytes:
    at, size = position(draw, data), draw(st.integers(1, 200))
    return data[: at + size] * draw(st.integers(1, 2)) + data[at:]


def splice(draw: st.DrawFn, data: bytes) -> bytes:
    other = draw(st.sampled_from(SEEDS))
    return data[: position(draw, data)] + other[position(draw, other) :]


MISHAPS = [truncate, flip_a_byte, insert, drop_a_slice, double_a_slice, splice]
PIECES = [
    *(b"\r\n", b"\n\n", b"\n ", b"\x00", b": ", b"=== answer\n", b"\n=== answer, kept open\n"),
    *(b"fake+canary+secret", b"{{x*70000}}", b"Content-Length: 0\n", b"\nLocation: http://["),
    *(
        b"\xef\xbb\xbf",
        "\u2028".encode(),
        b"\\ud800",
        b"0x",
        b"99999999999",
        b"-1",
        b"HTTP/1.1 200",
    ),
]


@thorough
@given(damaged())
def test_damaged_conversations(data: bytes) -> None:
    try_conversation(data)


# Answers made up


moments = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=timezone.utc)
)
hours_from_now = st.integers(-60, 60).map(lambda minutes: NOW + timedelta(minutes=10 * minutes))
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
header_text = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=30).map(
    lambda text: text.encode("latin-1")
)
header_names = st.sampled_from(
    [
        *(b"Date", b"Retry-After", b"Location", b"Set-Cookie", b"Content-Length", b"Content-Type"),
        *(b"Transfer-Encoding", b"Content-Encoding", b"Connection", b"Refresh", b"X-Fake", b""),
    ]
)
header_values = header_text | st.sampled_from(
    [
        *(b"0", b"1", b"21", b"-1", b"1e9", b"chunked", b"gzip", b"close", b"keep-alive", b"br"),
        *(
            b"http://127.0.0.2/",
            b"//127.0.0.2",
            b"fake=fake+canary+session; Path=/",
            b"{{x*70000}}",
        ),
        *(b"Tue, 01 Jan 2030 00:00:00 GMT", b"Thu, 01 Jan 0000 00:00:00 +9999", b"text/html"),
        b"multipart/mixed; boundary=a",
    ]
)
statuses = st.sampled_from([200] * 8 + [401, 403, 404, 405, 429, 503]) | st.integers(0, 1100)
odd_json = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)


def document(**changes: Any) -> bytes:
    parts = {
        "AccessKeyId": "STS.FAKE0001",
        "AccessKeySecret": "fake+canary+secret",
        "SecurityToken": "fake+canary+token==",
        "Expiration": "2030-01-01T06:00:00Z",
        "Code": "Success",
        **changes,
    }
    return json.dumps(parts).encode()


bodies = (
    st.sampled_from([b"fake+canary+session==", b"app-role", document(), b"<html></html>", b""])
    | st.dictionaries(
        st.sampled_from(["AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration", "Code"]),
        odd_json,
        max_size=2,
    ).map(lambda changes: document(**changes))
    | st.binary(max_size=60)
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """One answer: mostly HTTP, mostly with a length that is right."""
    body = draw(bodies)
    headers = draw(st.lists(st.tuples(header_names, header_values), max_size=3))
    if draw(st.booleans()):
        headers.append((b"Content-Length", str(len(body)).encode()))
    lines = [b"HTTP/1.1 %d fake" % draw(statuses), *(b": ".join(header) for header in headers)]
    marker = draw(st.sampled_from([b"=== answer\n"] * 4 + [b"=== answer, kept open\n"]))
    return marker + b"\r\n".join([*lines, b"", body])


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Any answers, for a client in any mode; often after a beginning that gets it further."""
    head = draw(st.sampled_from([b"", b"role named", b"hardening mode demanded"]))
    beginning = [b"=== answer\nHTTP/1.1 200 OK\n\nfake+canary+session=="]
    if head != b"role named":
        beginning.append(b"=== answer\nHTTP/1.1 200 OK\n\napp-role")
    beginning = beginning[: draw(st.integers(0, 2))]
    rest = draw(st.lists(answers(), min_size=1, max_size=5))
    return b"\n".join([head, *beginning, *rest, b""])


@thorough
@given(conversations())
def test_made_up_conversations(data: bytes) -> None:
    try_conversation(data)


@thorough
@given(moments | hours_from_now, moments | hours_from_now, zones)
def test_life_by_any_date_and_expiration(
    date: datetime, expiration: datetime, zone: timezone
) -> None:
    shown = format_datetime(date.astimezone(zone))
    body = document(Expiration=expiration.strftime("%Y-%m-%dT%H:%M:%SZ"))
    data = b"\n".join(
        [
            *(b"role named", b"=== answer", b"HTTP/1.1 200 OK", b"", b"fake-token"),
            *(b"=== answer", b"HTTP/1.1 200 OK", b"Date: " + shown.encode(), b"", body, b""),
        ]
    )
    (outcome,) = try_conversation(data)
    left = (expiration - date).total_seconds() - 1  # the fraction that Date leaves out
    if left <= 0:
        assert type(outcome.result) is CredentialsExpiredError
    else:
        assert isinstance(outcome.result, Credentials)
        assert outcome.life == min(left, 12 * 3600)


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("at", [0, 1, 2], ids=["session token", "role", "document"])
def test_a_broken_off_answer_is_not_believed(at: int, framing: str) -> None:
    whole = [b"fake+canary+session", b"app-role", document()]

    def answer(body: bytes, size: int) -> bytes:
        if framing == "length":
            return b"=== answer\nHTTP/1.1 200 OK\nContent-Length: %d\n\n%b" % (size, body)
        chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
        chunk = chunk if size == len(body) else chunk[: -len(b"\r\n0\r\n\r\n")]
        return b"=== answer\nHTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n" + chunk

    good = [answer(body, len(body)) for body in whole]
    broken = answer(whole[at][:-2], len(whole[at]))
    (once,) = try_conversation(b"\n".join([*good[:at], broken, *good[at:], b""]))
    assert isinstance(once.result, Credentials)
    assert once.result.role_name == "app-role"
    (again,) = try_conversation(b"\n".join([*good[:at], *[broken] * 3, b""]))
    assert type(again.result) is MetadataUnreachableError
    assert len(again.requests) == at + 3


_UNAVAILABLE = b"503 Service Unavailable\nContent-Length: 0\n\n"
_STEPS = [
    b"200 OK\nContent-Length: 21\n\nfake+canary+session==",
    b"200 OK\nContent-Length: 8\n\napp-role",
    b"401 Unauthorized\nContent-Length: 0\n\n",
]


@thorough
@given(st.lists(st.sampled_from(_STEPS), min_size=6, max_size=20))
def test_the_number_of_requests_is_limited(steps: list[bytes]) -> None:
    """Each step of a fetch succeeds at its third attempt; the target counts the requests."""
    trouble = [_UNAVAILABLE, _UNAVAILABLE]
    heads = [head for step in steps for head in (*trouble, step)]
    try_conversation(b"\n".join([b"", *(b"=== answer\nHTTP/1.1 " + head for head in heads), b""]))


# That the checks see what they are for: a client that is broken in one way each.


def breaks_off(*_: object) -> NoReturn:
    raise KeyError("fake")


def follow(session: requests.Session, request: Any, **options: Any) -> requests.Response:
    response = session.get_adapter(request.url).send(request, timeout=1)
    if "Location" in response.headers:
        request.url = response.headers["Location"]
        return follow(session, request)
    return response


BREAKAGES: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "an error of another kind": (
        "good-hardening-mode",
        lambda patch: patch.setattr(metadata, "parse_role_document", breaks_off),
    ),
    "a message that quotes": (
        "document-broken-off",
        lambda patch: patch.setattr(metadata, "parse_role_document", lambda body: f"{body!r}"),
    ),
    "a message of two lines": (
        "document-broken-off",
        lambda patch: patch.setattr(metadata, "parse_role_document", lambda _: "one\ntwo"),
    ),
    "answers that show themselves": (
        "document-broken-off",
        lambda patch: patch.setattr(Answer, "__repr__", tuple.__repr__),
    ),
    "headers that show themselves": (
        "in-trouble-for-good",
        lambda patch: patch.setattr(
            metadata._Headers, "__repr__", lambda headers: ", ".join(headers.values())
        ),
    ),
    "credentials that show themselves": (
        "good-hardening-mode",
        lambda patch: patch.setattr(
            Credentials, "__repr__", lambda credentials: credentials.access_key_secret
        ),
    ),
    "any role name": (
        "role-up-the-path",
        lambda patch: patch.setattr(metadata, "is_role_name", lambda _: True),
    ),
    "any session token": (
        "session-token-with-nul",
        lambda patch: patch.setattr(metadata, "_VISIBLE", metadata.re.compile("(?s).*")),
    ),
    "a life without a limit": (
        "date-of-the-past",
        lambda patch: patch.setattr(role_document, "MAX_LIFE", timedelta(days=36500)),
    ),
    "the instance's clock forgotten": (
        "document-keys-twice",
        lambda patch: patch.setattr(metadata, "remaining_life", lambda *_: role_document.MAX_LIFE),
    ),
    "tries without end": (
        "no-answer-again-and-again",
        lambda patch: [
            patch.setattr(retries, name, 10**6) for name in ("MAX_TRIES", "MAX_REQUESTS")
        ],
    ),
    "requests without a limit": (
        "requests-without-end",
        lambda patch: patch.setattr(retries, "MAX_REQUESTS", 10**6),
    ),
    "redirects that are followed": (
        "redirect-302",
        lambda patch: patch.setattr(requests.Session, "send", follow),
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_breakage_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, spoil = BREAKAGES[name]
    seed = (Path(__file__).parent / "corpus" / f"{file}.http").read_bytes()
    if file.startswith("good-"):  # a slow machine must not make it a timeout
        monkeypatch.setattr(target, "PATIENCE", target.LONG)
    try_conversation(seed)
    spoil(monkeypatch)
    with pytest.raises((AssertionError, KeyError)):
        try_conversation(seed)
