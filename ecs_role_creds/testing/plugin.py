"""The pytest plugin: fixtures around the fake metadata service, loaded with the package.

Imports nothing but pytest until a fixture is used.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ecs_role_creds.testing import FakeMetadataServer, FakeOss

REAL_ADDRESS = "100.100.100.200"
_REAL_ADDRESSES = (REAL_ADDRESS, f"::ffff:{REAL_ADDRESS}")
_MARKER_OPTIONS = {"role", "life", "mode", "clock"}
_OPTION = "no_real_metadata"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option for ``pytest.ini``."""
    parser.addini(
        _OPTION,
        f"Have every connection to the real metadata service ({REAL_ADDRESS}) fail, from the start "
        "of the run to its end (default: false)",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and guard the real address if the option is set."""
    config.addinivalue_line(
        "markers",
        "ecs_metadata(role=..., life=..., mode=..., clock=...): the fake metadata server that the "
        "ecs_metadata fixture gives this test",
    )
    if config.getini(_OPTION):
        guard = contextlib.ExitStack()
        guard.enter_context(_real_address_guarded())
        config.add_cleanup(guard.close)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose marker has no effect."""
    marked = [one for one, _ in item.iter_markers_with_node("ecs_metadata") if one is item]
    if marked and "ecs_metadata" not in getattr(item, "fixturenames", ()):
        pytest.fail(
            f"{item.nodeid} has the ecs_metadata marker, but does not use the ecs_metadata "
            "fixture, so the marker has no effect. Add ecs_metadata to the test's arguments, or "
            'mark the test with @pytest.mark.usefixtures("ecs_metadata") too.',
            pytrace=False,
        )


@pytest.fixture
def ecs_metadata_role() -> str | None:
    """The role of the ``ecs_metadata`` fixture. Override it for a module or a class."""
    return "app-role"


@pytest.fixture
def ecs_metadata_life() -> float:
    """How many seconds its credentials are valid. Override it for a module or a class."""
    return 21600.0


@pytest.fixture
def ecs_metadata_mode() -> str:
    """``both``, ``hardening-only`` or ``normal-only``. Override it for a module or a class."""
    return "both"


@pytest.fixture
def ecs_metadata_clock() -> Callable[[], float] | None:
    """Its clock, for example a ``VirtualClock``; ``None``: real time. Override it as above."""
    return None


@pytest.fixture
def ecs_metadata(
    request: pytest.FixtureRequest,
    ecs_metadata_role: str | None,
    ecs_metadata_life: float,
    ecs_metadata_mode: Any,
    ecs_metadata_clock: Callable[[], float] | None,
) -> Iterator[FakeMetadataServer]:
    """A fake metadata server for this test.

    The environment and all providers without an explicit endpoint point at it, including providers
    that were built before the test. Their caches are empty before and after the test. With a clock,
    they use that clock too.
    """
    options = {
        "role": ecs_metadata_role,
        "life": ecs_metadata_life,
        "mode": ecs_metadata_mode,
        "clock": ecs_metadata_clock,
    }
    options.update(_marked(request.node))
    with _serving(**options) as server:
        yield server


@pytest.fixture(scope="session")
def ecs_metadata_session() -> Iterator[FakeMetadataServer]:
    """One fake metadata server for the whole run; see ``ecs_metadata``."""
    with _serving() as server:
        yield server


@pytest.fixture
def ecs_oss_buckets() -> list[str]:
    """The buckets of the ``ecs_oss`` fixture. Override it for a module or a class."""
    return ["bucket"]


@pytest.fixture
def ecs_oss(ecs_metadata: FakeMetadataServer, ecs_oss_buckets: list[str]) -> Iterator[FakeOss]:
    """A fake OSS for this test that accepts only the credentials of ``ecs_metadata``.

    Needs ``pip install 'ecs-role-creds[testing-oss]'``.
    """
    from ecs_role_creds.testing import FakeOss

    with FakeOss(ecs_metadata, ecs_oss_buckets) as oss:
        yield oss


@pytest.fixture
def no_real_metadata() -> Iterator[None]:
    """Make every connection to the real metadata service fail with an error that says why.

    For a whole run, set ``no_real_metadata = true`` in ``pytest.ini`` instead.
    """
    with _real_address_guarded():
        yield


def _marked(node: pytest.Item) -> dict[str, Any]:
    """Return the options of the markers. One on the test takes precedence over one on its class."""
    options: dict[str, Any] = {}
    said_by: dict[str, Any] = {}
    for holder, marker in node.iter_markers_with_node("ecs_metadata"):
        if marker.args or not set(marker.kwargs) <= _MARKER_OPTIONS:
            raise pytest.UsageError(
                f"{node.nodeid}: the ecs_metadata marker takes role=, life=, mode= and clock= only"
            )
        for name, value in marker.kwargs.items():
            if said_by.setdefault(name, holder) is not holder:
                continue  # the test's own marker sets it
            if options.setdefault(name, value) != value:
                raise pytest.UsageError(
                    f"{node.nodeid}: two ecs_metadata markers contradict each other about {name}: "
                    f"{options[name]!r} and {value!r}"
                )
    return options


@contextlib.contextmanager
def _serving(clock: Any = None, **options: Any) -> Iterator[FakeMetadataServer]:
    from ecs_role_creds.testing import FakeMetadataServer
    from ecs_role_creds.testing.redirect import redirected

    if clock is not None:
        clock = options["clock"] = _checked_clock(clock)
    with (
        FakeMetadataServer(**options) as server,
        redirected(server.environment, server.endpoint, clock),
    ):
        yield server


def _checked_clock(clock: Any) -> Callable[[], float]:
    """Return the clock. If it is a class, build one, so that each test has its own."""
    if isinstance(clock, type):
        clock = clock()
    if not callable(clock) or not isinstance(clock(), (int, float)):
        raise pytest.UsageError(
            f"clock is {clock!r}; pass VirtualClock, a VirtualClock(), or another function that "
            "returns seconds since the epoch"
        )
    return clock  # type: ignore[no-any-return]


class RealAddressError(ConnectionRefusedError):
    """The library's error ends with ``advice`` instead of its own advice."""

    advice = (
        "The fixture points every provider without an explicit endpoint at a fake service, "
        "including those built before the test."
    )


@contextlib.contextmanager
def _real_address_guarded() -> Iterator[None]:
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def refuse(address: Any) -> None:
        if isinstance(address, tuple) and address[0] in _REAL_ADDRESSES:
            raise RealAddressError(
                f"a test tried to reach the real metadata service at {REAL_ADDRESS}; "
                "use the ecs_metadata fixture"
            )

    def guarded_connect(self: socket.socket, address: Any) -> None:
        refuse(address)
        return connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        refuse(address)
        return connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        yield
