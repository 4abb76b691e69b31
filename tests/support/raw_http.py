"""HTTP by plain sockets, for requests that no client library would send."""

from __future__ import annotations

import contextlib
import socket
import urllib.parse

PATIENCE = 300.0


def connect(endpoint: str) -> socket.socket:
    """A connection; it fails where nobody listens."""
    address = urllib.parse.urlsplit(endpoint)
    assert address.hostname is not None
    return socket.create_connection((address.hostname, address.port or 80), timeout=PATIENCE)


def read_all(connection: socket.socket) -> bytes:
    """All that comes until the other side closes; a reset counts as closing."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def send(endpoint: str, message: bytes) -> bytes:
    """What a server sends back to a message that ends here."""
    with connect(endpoint) as connection:
        with contextlib.suppress(ConnectionError, OSError):
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def status(response: bytes) -> int:
    """Of a complete response."""
    head, _, body = response.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    assert len(body) == int(headers["content-length"]), response
    return int(lines[0].split(" ")[1])
