"""The state of the cache, and its next state after each event. No I/O, no clock.

Everything that a caller's decision depends on is in one immutable :class:`Record`. The cache
replaces it as a whole, so no caller sees half of a change.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from ecs_role_creds import schedule
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import CredentialsError, NoRoleAttachedError, RoleMismatchError
from ecs_role_creds.flight import Flight
from ecs_role_creds.schedule import Lifetime
from ecs_role_creds.versions import Version

Outcome = Credentials | CredentialsError
"""The outcome of a fetch. Errors are passed on as values, and each caller raises a copy."""

_CONTRADICTIONS = (NoRoleAttachedError, RoleMismatchError)
"""Failures that confirm a refusal: the instance no longer has the role of the credentials."""


class State(NamedTuple):
    """What the cache knows, and when the next fetch is due.

    Attributes:
        credentials: The cached credentials; ``None`` before the first fetch.
        life: The lifetime of the credentials.
        ask_at: When the next fetch is due.
        attempted_at: When the last fetch ended.
        failures: How many fetches have failed in a row.
        failure: The last of these failures.
        is_refused: Whether a service refused the credentials, and the metadata service has neither
            confirmed nor replaced them since.
        is_withheld: Whether callers must wait for the first fetch after that refusal.
        refused_after: The number of the last fetch that had begun when they were refused.
        refusals: How often in a row refused credentials were not replaced.
        refusable_at: When a further refusal of them takes effect.
        begun: How many fetches this process has begun.
        fetches: How many fetches succeeded.
        rotations: How many of these returned new credentials.
        failed: How many fetches failed in total.
    """

    credentials: Credentials | None = None
    life: Lifetime | None = None
    ask_at: float = -inf
    attempted_at: float = -inf
    failures: int = 0
    failure: CredentialsError | None = None
    is_refused: bool = False
    is_withheld: bool = False
    refused_after: int = 0
    refusals: int = 0
    refusable_at: float = -inf
    begun: int = 0
    fetches: int = 0
    rotations: int = 0
    failed: int = 0

    @property
    def expires_at(self) -> float:
        """When the cached credentials expire; ``-inf`` if there are none."""
        return -inf if self.life is None else self.life.expires_at

    def can_serve(self, now: float) -> bool:
        """Whether callers can get the cached credentials."""
        return now < self.expires_at and not self.is_withheld

    def waits_for_attempt(self, now: float) -> bool:
        """Whether callers wait for a fetch although the credentials are valid."""
        return self.life is not None and schedule.waits_for_first_attempt(
            now, self.life, self.attempted_at
        )

    def is_due(self, now: float) -> bool:
        """Whether a fetch is due."""
        return now >= self.ask_at or self.waits_for_attempt(now)

    def is_news(self, credentials: Credentials) -> bool:
        """Whether these credentials differ from the cached ones."""
        return self.credentials is None or not self.credentials.is_same_token(credentials)

    def is_outdated(self, credentials: Credentials, now: float) -> bool:
        """Whether an answer is older than the cached credentials and must not replace them.

        An instance has one role, and each rotation brings a later expiration. Credentials of the
        same role that expire earlier come from a stale answer.
        """
        own = self.credentials
        return (
            own is not None
            and self.can_serve(now)
            and not self.is_refused
            and own.role_name == credentials.role_name
            and credentials.expiration < own.expiration
            and self.is_news(credentials)
        )

    def after_begin(self) -> State:
        """A fetch begins."""
        return self._replace(begun=self.begun + 1)

    def after_success(
        self, credentials: Credentials, number: int, now: float, random: float
    ) -> State:
        """Fetch ``number`` returned valid credentials: new ones, or the cached ones again."""
        known = self._replace(attempted_at=now, failures=0, failure=None, fetches=self.fetches + 1)
        if self.life is not None and self.is_outdated(credentials, now):
            return known._replace(ask_at=schedule.after_unchanged(now, self.life, random))
        expires_at = now + credentials.expires_in()
        if self.life is None or self.is_news(credentials):
            life = Lifetime(now, expires_at)
            return State(
                credentials,
                life,
                schedule.first_ask(now, life, random),
                attempted_at=now,
                begun=self.begun,
                fetches=known.fetches,
                rotations=self.rotations + 1,
                failed=self.failed,
            )
        life = Lifetime(self.life.fetched_at, expires_at)
        ask_at = schedule.after_unchanged(now, life, random)
        known = known._replace(credentials=credentials, life=life, ask_at=ask_at)
        if not self.is_refused:
            return known
        if number <= self.refused_after:
            # This fetch began before the credentials were refused, so it confirms nothing.
            return known._replace(ask_at=now)
        return known._not_replaced(now)._replace(is_refused=False)

    def after_failure(self, failure: CredentialsError, now: float, random: float) -> State:
        """A fetch failed. Valid credentials are kept, unless the failure confirms a refusal."""
        failures = self.failures + 1
        is_over = self.is_refused and isinstance(failure, _CONTRADICTIONS)
        life = None if is_over else self.life
        failed = self._replace(
            ask_at=schedule.after_failure(now, life, failures, random, failure.retry_after),
            attempted_at=now,
            failures=failures,
            failure=failure,
            failed=self.failed + 1,
        )
        if is_over:
            return State(
                ask_at=failed.ask_at,
                attempted_at=now,
                failures=failures,
                failure=failure,
                begun=self.begun,
                fetches=self.fetches,
                rotations=self.rotations,
                failed=failed.failed,
            )
        return failed._not_replaced(now) if self.is_refused else failed

    def after_refusal(self, now: float) -> State:
        """A service refused the credentials: callers wait for one fetch."""
        if self.is_withheld or now < self.refusable_at:
            return self
        if self.is_refused:  # callers have already waited once
            return self._replace(ask_at=now)
        return self._replace(
            is_refused=True, is_withheld=True, refused_after=self.begun, ask_at=now
        )

    def after_fork(self, now: float, random: float) -> State:
        """The state of a forked child, which must not fetch at the same time as the others."""
        child = self._replace(begun=0, fetches=0, rotations=0, failed=0, refused_after=0)
        if self.is_withheld or self.life is None:
            return child
        if self.failures:
            ask_at = schedule.after_failure(now, self.life, self.failures, random)
            if now >= self.life.expires_at:  # never later than the parent, which may be long idle
                ask_at = min(ask_at, self.ask_at)
            return child._replace(ask_at=ask_at)
        return child._replace(ask_at=schedule.first_ask(now, self.life, random))

    def _not_replaced(self, now: float) -> State:
        """Refused credentials were not replaced: return them, and limit further refusals."""
        refusals = self.refusals + 1
        return self._replace(
            is_withheld=False,
            refusals=refusals,
            refusable_at=schedule.after_refusal(now, refusals),
        )


class Record(Version):
    """A state and the fetch in progress; the hot path reads its slots.

    Args:
        state: The state.
        flight: The fetch in progress, if any.
        serve_until: The time after which callers check whether the fetch in progress was lost.

    Attributes:
        credentials: The cached credentials, which callers get before ``hot_until``.
        hot_until: Until this time, callers return the cached credentials without checking more.
        state: The state, for the slow path.
        flight: The fetch in progress, if any.
    """

    __slots__ = ("credentials", "flight", "hot_until", "state")

    credentials: Credentials
    hot_until: float
    state: State
    flight: Flight[Outcome] | None

    def __init__(
        self, state: State, flight: Flight[Outcome] | None = None, serve_until: float = inf
    ) -> None:
        super().__init__()
        self.state = state
        self.flight = flight
        self.hot_until = -inf
        if state.credentials is None or state.life is None:
            return
        self.credentials = state.credentials
        if not state.is_withheld:
            life = state.life
            is_unasked = state.attempted_at < life.opens_at
            self.hot_until = min(
                serve_until if flight is not None else state.ask_at,
                life.close_at if is_unasked else life.expires_at,
            )

    def retire(self) -> None:
        """Send callers that still use this record to the slow path, because it was replaced."""
        self.hot_until = -inf
