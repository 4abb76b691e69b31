"""Requests, responses, and which requests are refused. No I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import NamedTuple

FORWARDING_HEADERS = ("x-forwarded-for", "x-forwarded-host", "forwarded", "via")
"""Headers that proxies add. The metadata service refuses ``X-Forwarded-For``, too (documented)."""


class Request(NamedTuple):
    """A request.

    Attributes:
        method: The method in upper case.
        path: The path without the query.
        headers: The headers, with names in lower case.
        has_body: Whether it has a body, or announces one.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    has_body: bool = False

    def __repr__(self) -> str:
        return f"<Request {self.method}, {len(self.headers)} headers>"  # path and headers: secrets


class Response(NamedTuple):
    """A response. Its ``repr`` does not show the body, which may contain secrets.

    Attributes:
        status: The HTTP status.
        body: The body.
        content_type: The type of the body.
        headers: Further headers.
    """

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"


def plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Return a plain-text response."""
    return Response(status, text.encode("utf-8"), headers=headers)


class HostRule(NamedTuple):
    """Decides which ``Host`` headers are accepted, as a defense against DNS rebinding.

    A web page can make a browser connect to this server, but then the ``Host`` header has the host
    name of the page.

    Attributes:
        names: Host names that are accepted besides ``localhost``.
        allow_any_address: Whether to accept IP addresses other than loopback. DNS rebinding uses a
            host name, never an address.
    """

    names: Collection[str] = ()
    allow_any_address: bool = False

    def accepts(self, host: str) -> bool:
        """Whether a ``Host`` header, with or without a port, is accepted."""
        name = _without_port(host)
        if name is None:
            return False
        if name == "localhost" or name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.allow_any_address


def refusal(request: Request, hosts: HostRule) -> Response | None:
    """Return the refusal of a request, whatever its path; ``None`` if it is not refused."""
    headers = request.headers
    if not hosts.accepts(headers.get("host", "")):
        return plain(
            403,
            "The Host header names another host. Use the address that `ecs-role-creds serve` "
            "printed, or start it with --allowed-host NAME.\n",
        )
    for name in FORWARDING_HEADERS:
        if name in headers:
            return plain(403, f"Requests through a proxy are refused ({name}).\n")
    if "origin" in headers:
        return plain(403, "Requests from web pages are refused (Origin).\n")
    if request.has_body:
        return plain(413, "Send the request without a body.\n")
    return None


def _without_port(host: str) -> str | None:
    """Return the name or address in lower case, without brackets; ``None`` if there is none."""
    host = host.strip().lower()
    if host.startswith("["):
        address, bracket, rest = host[1:].partition("]")
        if not bracket or not _is_port(rest):
            return None
        return address
    name, colon, port = host.partition(":")
    return name if name and _is_port(colon + port) else None


def _is_port(text: str) -> bool:
    """Whether the text is empty, or a colon and a port."""
    digits = text[1:]
    return not text or (text[0] == ":" and digits.isascii() and digits.isdigit())
