"""Reads HTTP requests, and refuses those that are malformed or incomplete."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from io import BufferedIOBase

_PIECE = 1 << 20  # bytes per read, so that memory grows only with what arrives
_MAX_LINE = 1 << 16
_MAX_TRAILERS = 100
_ONLY_ONCE = ("authorization", "content-length", "host", "transfer-encoding")


class BadRequestError(Exception):
    """A request that cannot be read. The connection is closed after the response.

    Args:
        code: The error code, such as ``IncompleteBody``.
        message: The message.
        status: The HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers: names in lower case, repeated ones joined with ``", "``.

    Raises:
        BadRequestError: A header that must not be repeated is.
    """
    result: dict[str, str] = {}
    for name, value in headers:
        name = name.strip().lower()
        value = re.sub(r"\s*[\r\n]+\s*", " ", value)  # a folded line
        with contextlib.suppress(UnicodeDecodeError):
            value = value.encode("latin-1").decode()  # some clients send UTF-8
        if name in result:
            if name in _ONLY_ONCE:
                raise BadRequestError("InvalidArgument", f"The header {name} is given twice.")
            value = f"{result[name]}, {value}"
        result[name] = value
    return result


def read_body(
    stream: BufferedIOBase, headers: dict[str, str], max_body: int
) -> tuple[bytes, dict[str, str]]:
    """Read the body of a request, and the trailing headers of a chunked one.

    Args:
        stream: The connection, after the headers.
        headers: Names in lower case.
        max_body: The maximum size of the body, in bytes.

    Raises:
        BadRequestError: The body is incomplete or too long, or its length is malformed.
    """
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is None:
        if length is None:
            return b"", {}
        if not (length.isascii() and length.isdigit() and len(length) < 20):
            raise BadRequestError(
                "InvalidArgument", f"Content-Length is {length!r}, which is not a number."
            )
        return _read_exactly(stream, _checked(int(length), max_body)), {}
    if coding.lower() != "chunked" or length is not None:
        raise BadRequestError(
            "InvalidArgument",
            "Send either Content-Length or Transfer-Encoding: chunked, and no other coding.",
        )
    return _read_chunks(stream, max_body), _read_trailers(stream)


def _read_chunks(stream: BufferedIOBase, max_body: int) -> bytes:
    body = bytearray()
    while True:
        size = _read_line(stream).split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", size):
            raise BadRequestError(
                "InvalidArgument", "A chunk does not begin with its size in hexadecimal."
            )
        if int(size, 16) == 0:
            return bytes(body)
        _checked(len(body) + int(size, 16), max_body)
        body += _read_exactly(stream, int(size, 16))
        if _read_line(stream):
            raise BadRequestError("InvalidArgument", "A chunk is longer than its size says.")


def _read_trailers(stream: BufferedIOBase) -> dict[str, str]:
    trailers: list[tuple[str, str]] = []
    while line := _read_line(stream):
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or len(trailers) == _MAX_TRAILERS:
            raise BadRequestError("InvalidArgument", "The trailing headers are malformed.")
        trailers.append((name, value.strip()))
    return joined(trailers)


def _checked(size: int, max_body: int) -> int:
    if size > max_body:
        raise BadRequestError(
            "EntityTooLarge", f"The body is longer than the {max_body:,} bytes that are allowed."
        )
    return size


def _read_exactly(stream: BufferedIOBase, size: int) -> bytes:
    pieces = []
    while size:
        piece = stream.read(min(size, _PIECE))
        if not piece:
            raise _incomplete()
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _read_line(stream: BufferedIOBase) -> bytes:
    line = stream.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise _incomplete()
    return line.rstrip(b"\r\n")


def _incomplete() -> BadRequestError:
    return BadRequestError("IncompleteBody", "The connection ended before the body was complete.")
