"""What the tests of the core share: a clock that they move, and a source they script."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from ecs_role_creds import Credentials
from ecs_role_creds.cache import CredentialsCache
from ecs_role_creds.state import State
from ecs_role_creds.testing import FakeMetadataServer

EPOCH = datetime(2030, 1, 1, tzinfo=timezone.utc)


class MovableClock:
    """Seconds that pass when a test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def wall(self) -> datetime:
        return EPOCH + timedelta(seconds=self.now)


def fake_credentials(
    serial: int, clock: MovableClock, life: float = 21600.0, role_name: str = "app-role"
) -> Credentials:
    """Credentials that are valid for ``life`` seconds from the clock's now on."""
    return Credentials(
        f"STS.FAKE{serial:04}",
        f"fake-secret-{serial:04}",
        f"fake-security-token-{serial:04}",
        clock.wall() + timedelta(seconds=life),
        role_name,
        expires_at=clock() + life,
        clock=clock,
    )


class ScriptedSource:
    """Gives what it was told to, in order; then the last thing again."""

    mode = "hardening"

    def __init__(self, *outcomes: Credentials | Exception) -> None:
        self.outcomes = deque(outcomes)
        self.fetches = 0
        self.forgotten = 0

    def fetch(self, until: float) -> Credentials:
        self.fetches += 1
        outcome = self.outcomes[0] if len(self.outcomes) == 1 else self.outcomes.popleft()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def forget_connections(self) -> None:
        self.forgotten += 1

    def pending_import(self) -> None:
        """Nothing has to be imported."""

    def take_warning(self) -> None:
        """Nothing is worth a warning."""


class Launcher:
    """Stands in for threads: work waits until a test runs it."""

    def __init__(self, *, is_shut_down: bool = False) -> None:
        self.waiting: deque[Callable[[], object]] = deque()
        self.is_shut_down = is_shut_down

    def __call__(self, work: Callable[[], object]) -> bool:
        if self.is_shut_down:
            return False
        self.waiting.append(work)
        return True

    def run_all(self) -> None:
        while self.waiting:
            self.waiting.popleft()()


def run_at_once(work: Callable[[], object]) -> bool:
    """Stands in for a thread that is quicker than its starter."""
    work()
    return True


def build_cache(
    source: ScriptedSource,
    clock: MovableClock,
    *,
    random: float = 0.5,
    deadline: float = 2.0,
    start_thread: Callable[[Callable[[], object]], bool] = run_at_once,
) -> CredentialsCache:
    return CredentialsCache(
        source, deadline=deadline, clock=clock, random=lambda: random, start_thread=start_thread
    )


def is_close_and_unattempted(now: float, state: State) -> bool:
    """Whether a call has to wait although there are valid credentials, as documented.

    They expire in less than 60 s, or in less than a sixth of the refresh window where that is
    less, and no fetch has ended since the window opened. Written a second time, to judge the
    schedule by.
    """
    if state.life is None:
        return False
    fetched_at, expires_at = state.life
    window = min(29 * 60, (expires_at - fetched_at) / 2)
    is_close = expires_at - min(60, window / 6) < now < expires_at
    return is_close and state.attempted_at < expires_at - window


def documents(server: FakeMetadataServer) -> int:
    """How many role documents a server was asked for."""
    return sum(one.path.endswith("/app-role") for one in server.requests)
