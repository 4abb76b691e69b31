"""How the fakes read requests, without sockets."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_role_creds.testing.wire import BadRequestError, joined, read_body

CHUNKED = {"transfer-encoding": "chunked"}


def chunks_of(*pieces: bytes, trailers: bytes = b"") -> bytes:
    sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return sent + b"0\r\n" + trailers + b"\r\n"


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_chunks_add_up(pieces: list[bytes]) -> None:
    stream = io.BytesIO(chunks_of(*pieces) + b"the next request")
    assert read_body(stream, CHUNKED, 1000) == (b"".join(pieces), {})
    assert stream.read() == b"the next request"


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5), st.data())
def test_chunks_that_break_off_are_refused(pieces: list[bytes], data: st.DataObject) -> None:
    sent = chunks_of(*pieces)
    cut = data.draw(st.integers(0, len(sent) - 1))
    with pytest.raises(BadRequestError):
        read_body(io.BytesIO(sent[:cut]), CHUNKED, 1000)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_body_or_refused(sent: bytes) -> None:
    try:
        body, _ = read_body(io.BytesIO(sent), CHUNKED, 100)
    except BadRequestError as error:
        assert error.status == 400  # noqa: PT017 (any of several)
    else:
        assert len(body) <= 100


@given(st.binary(max_size=50), st.integers(0, 60))
def test_a_length_is_kept_to(sent: bytes, length: int) -> None:
    headers = {"content-length": str(length)}
    if length <= len(sent):
        assert read_body(io.BytesIO(sent), headers, 60) == (sent[:length], {})
    else:
        with pytest.raises(BadRequestError, match="before the body was complete"):
            read_body(io.BytesIO(sent), headers, 60)


def test_bodies_may_be_too_long() -> None:
    with pytest.raises(BadRequestError, match="longer than the 10 bytes"):
        read_body(io.BytesIO(b"x" * 20), {"content-length": "11"}, 10)
    with pytest.raises(BadRequestError, match="longer than the 10 bytes"):
        read_body(io.BytesIO(chunks_of(b"x" * 8, b"x" * 8)), CHUNKED, 10)


def test_trailers() -> None:
    stream = io.BytesIO(chunks_of(b"x", trailers=b"A: 1\r\nb:2\r\nA: 3\r\n"))
    assert read_body(stream, CHUNKED, 10) == (b"x", {"a": "1, 3", "b": "2"})


def test_headers_are_joined() -> None:
    headers = [("A", "1"), ("a", "2"), ("B", "fol\r\n  ded"), ("C", "ü".encode().decode("latin-1"))]
    assert joined(headers) == {"a": "1, 2", "b": "fol ded", "c": "ü"}
    assert joined([("D", "\xfc")]) == {"d": "\xfc"}
    with pytest.raises(BadRequestError, match="content-length is given twice"):
        joined([("Content-Length", "1"), ("content-length", "1")])
