"""A client under test, and the service on loopback that it talks to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from typing import NamedTuple, Protocol
from xml.sax.saxutils import escape

from ecs_role_creds.testing import FakeMetadataServer, FakeOss
from ecs_role_creds.testing.exchange import Request, Response

CONTENT = b"signed and read"


class Service(Protocol):
    """What the tests look at: a ``SignedService`` or a ``RecordingOss``."""

    denies: bool
    when_refused: Callable[[], object]
    received: list[Request]

    @property
    def refused(self) -> Sequence[object]:
        """The requests that were refused."""

    def signers(self) -> list[str | None]:
        """The AccessKey ids that requests were signed with; ``None`` for one that was refused."""
        ...


class Client(NamedTuple):
    """A client that was given the provider.

    Attributes:
        service: What it talks to.
        call: Sends a request or more, and checks the answer.
    """

    service: Service
    call: Callable[[], object]


class AsyncClient(NamedTuple):
    """The same for a client whose calls are coroutines."""

    service: Service
    call: Callable[[], Awaitable[object]]


class RecordingOss(FakeOss):
    """A fake OSS that keeps every request as it was received."""

    def __init__(self, metadata: FakeMetadataServer) -> None:
        super().__init__(metadata, ["bucket"])
        self.received: list[Request] = []
        self.denies = False
        """Whether nothing is allowed to anybody."""
        self.when_refused: Callable[[], object] = lambda: None
        """Called before a refusal is sent."""

    def handle(self, request: Request) -> Response:
        self.received.append(request)
        response = super().handle(request)
        if response.status == 403:
            self.when_refused()
        return oss_error("AccessDenied") if self.denies else response

    def signers(self) -> list[str | None]:
        return [one.access_key_id for one in self.requests]


def oss_error(code: str) -> Response:
    """What OSS answers to a request that it refuses."""
    body = f"<Error><Code>{escape(code)}</Code><Message>{escape(code)}</Message></Error>"
    headers = {"Content-Type": "application/xml", "Date": formatdate(usegmt=True)}
    return Response(403, body.encode(), headers)
