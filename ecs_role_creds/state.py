"""What is known of the credentials, and what follows from each piece of news: no I/O, no clock.

Everything a caller decides by stands in one immutable :class:`Record`, which the cache replaces as
a whole, so that no caller ever sees half of a change.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from ecs_role_creds import schedule
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.schedule import Lifetime


class State(NamedTuple):
    """What is known, and when to ask for more.

    Attributes:
        credentials: The latest; ``None`` before the first.
        life: Theirs.
        ask_at: When the service may be asked next.
        failures: Fetches that failed in a row.
        failure: The last of them.
        is_refused: Whether a service has refused the credentials, and nothing was heard since.
        refusals: How often in a row the metadata service confirmed what had been refused.
        refusable_at: When a further refusal of them will be heeded.
    """

    credentials: Credentials | None = None
    life: Lifetime | None = None
    ask_at: float = -inf
    failures: int = 0
    failure: CredentialsError | None = None
    is_refused: bool = False
    refusals: int = 0
    refusable_at: float = -inf

    @property
    def expires_at(self) -> float:
        """When there is nothing valid left to serve."""
        return -inf if self.life is None else self.life.expires_at

    def can_serve(self, now: float) -> bool:
        """Whether callers are served the credentials at once."""
        return now < self.expires_at and not self.is_refused

    def is_due(self, now: float) -> bool:
        """Whether it is time to ask the service."""
        return now >= self.ask_at

    def is_news(self, credentials: Credentials) -> bool:
        """Whether these are other credentials than the ones known."""
        return self.credentials is None or not self.credentials.is_same_token(credentials)

    def after_success(self, credentials: Credentials, now: float, random: float) -> State:
        """The service gave credentials that are valid: new ones, or the same once more."""
        expires_at = now + credentials.expires_in()
        if self.life is None or self.is_news(credentials):
            life = Lifetime(now, expires_at)
            return State(credentials, life, schedule.first_ask(now, life, random))
        life = Lifetime(self.life.fetched_at, expires_at)
        ask_at = schedule.after_unchanged(now, life, random)
        return State(credentials, life, ask_at)._confirmed(self, now)

    def after_failure(self, failure: CredentialsError, now: float, random: float) -> State:
        """The fetch failed: what is still good is kept."""
        failures = self.failures + 1
        ask_at = schedule.after_failure(now, self.life, failures, random, failure.retry_after)
        return State(
            self.credentials, self.life, ask_at, failures=failures, failure=failure
        )._confirmed(self, now)

    def after_refusal(self, now: float) -> State:
        """A service refused the credentials: nobody is served them before the next news."""
        if now < self.refusable_at:
            return self
        return self._replace(is_refused=True, ask_at=now)

    def after_fork(self, now: float, random: float) -> State:
        """The same in a forked child, which must not ask in step with its siblings."""
        if self.is_refused or self.life is None:
            return self
        if self.failures:
            return self._replace(
                ask_at=schedule.after_failure(now, self.life, self.failures, random)
            )
        return self._replace(ask_at=schedule.first_ask(now, self.life, random))

    def _confirmed(self, before: State, now: float) -> State:
        """This state, with what is to be remembered of refusals that proved mistaken."""
        if not before.is_refused:
            return self._replace(refusals=before.refusals, refusable_at=before.refusable_at)
        refusals = before.refusals + 1
        return self._replace(refusals=refusals, refusable_at=schedule.after_refusal(now, refusals))


class Record:
    """A state, with what the hot path reads of it laid out in slots.

    Args:
        state: What is known.
        undisturbed_until: How long nobody has to think about it, unless it expires before.

    Attributes:
        credentials: To be served, without another thought, before ``hot_until``.
        hot_until: When a caller has to think: serve and ask, wait, or raise.
        state: All that this thinking needs.
    """

    __slots__ = ("credentials", "hot_until", "state")

    credentials: Credentials
    hot_until: float
    state: State

    def __init__(self, state: State, undisturbed_until: float) -> None:
        self.state = state
        self.hot_until = -inf
        if state.credentials is not None:
            self.credentials = state.credentials
            if not state.is_refused:
                self.hot_until = min(undisturbed_until, state.expires_at)
