"""The pytest plugin: fixtures around the fake metadata service, there as soon as the package is.

Imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ecs_role_creds.testing import FakeMetadataServer, FakeOss

REAL_ADDRESS = "100.100.100.200"
_MARKER_OPTIONS = {"role", "life", "mode"}
_VARIABLES = (
    "ALIBABA_CLOUD_ECS_METADATA",
    "ALIBABA_CLOUD_ECS_METADATA_DISABLED",
    "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT",
    "ALIBABA_CLOUD_IMDSV1_DISABLE",
    "ALIBABA_CLOUD_IMDSV1_DISABLED",
)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "ecs_metadata(role=..., life=..., mode=...): the fake metadata server of this test, as the "
        "ecs_metadata fixture gives it",
    )


@pytest.fixture
def ecs_metadata_role() -> str | None:
    """The role of the ``ecs_metadata`` fixture's instance; override it for a module or a class."""
    return "app-role"


@pytest.fixture
def ecs_metadata_life() -> float:
    """Seconds that its credentials live; override it for a module or a class."""
    return 21600.0


@pytest.fixture
def ecs_metadata_mode() -> str:
    """``both``, ``hardening-only`` or ``normal-only``; override it for a module or a class."""
    return "both"


@pytest.fixture
def ecs_metadata(
    request: pytest.FixtureRequest,
    ecs_metadata_role: str | None,
    ecs_metadata_life: float,
    ecs_metadata_mode: Any,
) -> Iterator[FakeMetadataServer]:
    """A fake metadata server for this test, which the environment points at.

    The caches of ``ecs_role_creds`` are empty before and after; the environment is restored.
    """
    from ecs_role_creds.testing import FakeMetadataServer

    options = {"role": ecs_metadata_role, "life": ecs_metadata_life, "mode": ecs_metadata_mode}
    options.update(_marked(request.node))
    with FakeMetadataServer(**options) as server, _pointed_at(server):
        yield server


@pytest.fixture(scope="session")
def ecs_metadata_session() -> Iterator[FakeMetadataServer]:
    """One fake metadata server for the whole run, which the environment points at."""
    from ecs_role_creds.testing import FakeMetadataServer

    with FakeMetadataServer() as server, _pointed_at(server):
        yield server


@pytest.fixture
def ecs_oss_buckets() -> list[str]:
    """The buckets of the ``ecs_oss`` fixture; override it for a module or a class."""
    return ["bucket"]


@pytest.fixture
def ecs_oss(ecs_metadata: FakeMetadataServer, ecs_oss_buckets: list[str]) -> Iterator[FakeOss]:
    """A fake OSS for this test that accepts the credentials of ``ecs_metadata``, and no others.

    Needs ``pip install 'ecs-role-creds[testing-oss]'``.
    """
    from ecs_role_creds.testing import FakeOss

    with FakeOss(ecs_metadata, ecs_oss_buckets) as oss:
        yield oss


@pytest.fixture
def no_real_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every connection to the real metadata service fail, saying so.

    For a whole run: ``pytest.ini``'s ``usefixtures = no_real_metadata``.
    """
    import socket

    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def refuse(address: Any) -> None:
        if isinstance(address, tuple) and address[0] == REAL_ADDRESS:
            raise ConnectionRefusedError(
                f"a test tried to reach the real metadata service at {REAL_ADDRESS}; "
                "use the ecs_metadata fixture"
            )

    def guarded_connect(self: socket.socket, address: Any) -> None:
        refuse(address)
        return connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        refuse(address)
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)


def _marked(node: pytest.Item) -> dict[str, Any]:
    """What the test's markers say; a nearer one, as on the test itself, wins over its class's."""
    options: dict[str, Any] = {}
    said_by: dict[str, Any] = {}
    for holder, marker in node.iter_markers_with_node("ecs_metadata"):
        if marker.args or not set(marker.kwargs) <= _MARKER_OPTIONS:
            raise pytest.UsageError(
                f"{node.nodeid}: the ecs_metadata marker takes role=, life= and mode= only"
            )
        for name, value in marker.kwargs.items():
            if said_by.setdefault(name, holder) is not holder:
                continue  # a nearer one has said it
            if options.setdefault(name, value) != value:
                raise pytest.UsageError(
                    f"{node.nodeid}: two ecs_metadata markers contradict each other about {name}: "
                    f"{options[name]!r} and {value!r}"
                )
    return options


@contextlib.contextmanager
def _pointed_at(server: FakeMetadataServer) -> Iterator[None]:
    from ecs_role_creds.provider import forget_shared

    with pytest.MonkeyPatch.context() as patch:
        for name in _VARIABLES:
            patch.delenv(name, raising=False)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        forget_shared()
        try:
            yield
        finally:
            forget_shared()
