"""The XML that OSS and its clients exchange."""

from __future__ import annotations

from datetime import datetime
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from ecs_role_creds.testing.exchange import Response


def text(name: str, value: object) -> str:
    """Return an element with text."""
    return f"<{name}>{escape(str(value))}</{name}>"


def element(name: str, *parts: str) -> str:
    """Return an element with other elements."""
    return f"<{name}>{''.join(parts)}</{name}>"


def document(name: str, *parts: str) -> str:
    """Return a complete document."""
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + element(name, *parts)


def xml_response(name: str, *parts: str, headers: dict[str, str] | None = None) -> Response:
    """Return a response with a document."""
    body = document(name, *parts).encode()
    return Response(200, body, {"Content-Type": "application/xml", **(headers or {})})


def timestamp(moment: datetime) -> str:
    """Return a time in the format of OSS's XML."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def parse(body: bytes, root: str) -> ElementTree.Element | None:
    """Return the root element of a document; ``None`` if it is another one, or not XML."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        return None  # a few bytes of entities can expand to gigabytes
    try:
        parsed = ElementTree.fromstring(body)  # noqa: S314 (no entities)
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    return parsed if parsed.tag.rpartition("}")[2] == root else None
