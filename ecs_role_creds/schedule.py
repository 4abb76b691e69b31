"""When to ask the metadata service again: pure functions, and nothing else decides it.

Times are seconds on whatever clock the caller reads. ``random`` is a number from [0, 1).
"""

from __future__ import annotations

from typing import NamedTuple

REFRESH_WINDOW = 29 * 60.0
"""The window's length. The service rotates about 30 minutes before expiration (stated by Alibaba
Cloud in 2021): asking earlier brings back the credentials one already has."""

FIRST_BACKOFF = 1.0
MAX_BACKOFF = 60.0
MAX_BACKOFF_EMPTY_HANDED = 10.0
"""The most that a failure is remembered when there is nothing valid to serve meanwhile."""

CLOSE_TO_EXPIRATION = 60.0
"""Seconds of life under which a caller waits for the first attempt to get new credentials."""

MAX_RETRY_AFTER = 60.0
MIN_PAUSE = 0.5


class Lifetime(NamedTuple):
    """What is left of credentials' life once they are fetched.

    Attributes:
        fetched_at: When they were first fetched.
        expires_at: When they expire.
    """

    fetched_at: float
    expires_at: float

    @property
    def window(self) -> float:
        """The refresh window's length: 29 minutes, or half of what was left at the fetch."""
        return min(REFRESH_WINDOW, (self.expires_at - self.fetched_at) / 2)

    @property
    def opens_at(self) -> float:
        """When the refresh window opens."""
        return self.expires_at - self.window

    @property
    def close_at(self) -> float:
        """When expiration is close: 60 s before it, or a sixth of a window under six minutes."""
        return self.expires_at - min(CLOSE_TO_EXPIRATION, self.window / 6)

    @property
    def min_pause(self) -> float:
        """The least time between two requests; shorter for lives of seconds, as tests have."""
        return min(MIN_PAUSE, self.window / 20)


def waits_for_first_attempt(now: float, life: Lifetime, attempted_at: float) -> bool:
    """Whether a caller has to wait for an attempt to get new credentials.

    So it is where expiration is close, and nobody has asked the service since the refresh window
    opened: the process made no calls in the meantime. The credentials could expire on their way to
    the service that they are used for. After one attempt, successful or not, nobody waits.

    Args:
        now: The time of the call.
        life: Of the cached credentials.
        attempted_at: When the last attempt ended.
    """
    return life.close_at < now < life.expires_at and attempted_at < life.opens_at


def first_ask(now: float, life: Lifetime, random: float) -> float:
    """When to ask for the successor of credentials: a moment in the window's first fifth.

    Where the window is open already (in a child forked inside it), in the first fifth of what is
    left, so that processes that share a past do not ask in step.
    """
    opens_at = min(max(life.opens_at, now), life.expires_at)
    return opens_at + random * (life.expires_at - opens_at) / 5


def after_unchanged(now: float, life: Lifetime, random: float) -> float:
    """When to ask again, the service having handed out the same credentials once more.

    After a quarter of the life that is left, a little less by chance: sooner and sooner.
    """
    if now < life.opens_at:
        return first_ask(now, life, random)
    pause = (life.expires_at - now) / 4 * (1 - random / 5)
    return min(now + max(pause, life.min_pause), max(now, life.expires_at))


def after_failure(
    now: float,
    life: Lifetime | None,
    failures: int,
    random: float,
    retry_after: float | None = None,
) -> float:
    """When to try again after a failed fetch: exponential back-off with full jitter.

    The back-off grows from 1 s to 60 s. While credentials are valid it is at most a quarter of
    the life left, so that several attempts always fit before expiration; with none to serve, at
    most 10 s, since callers are going without. It never comes down to nothing, so that the
    callers who follow are answered from the remembered failure.

    Args:
        now: The time of the failure.
        life: Of the credentials in hand; ``None`` where there are none.
        failures: How many there have been in a row, this one included.
        random: Draws the moment.
        retry_after: Seconds the service asked for; kept as far as the credentials' life allows.
    """
    is_valid = life is not None and now < life.expires_at
    backoff = min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
    if life is not None and is_valid:
        least, most = life.min_pause, (life.expires_at - now) / 4
        longest_wait = most
    else:
        least, most = MIN_PAUSE, MAX_BACKOFF_EMPTY_HANDED
        longest_wait = MAX_RETRY_AFTER
    pause = least + random * max(0.0, min(backoff, most) - least)
    if retry_after is not None:
        pause = max(pause, min(retry_after, longest_wait))
    if life is not None and is_valid:
        return min(now + pause, life.expires_at)
    return now + pause


def after_refusal(now: float, refusals: int) -> float:
    """When credentials may be refused again, the service having confirmed them once more.

    ``refusals`` counts how often in a row that has happened. Without this, an application that
    mistakes "not allowed" for "not valid" would turn each of its calls into a metadata request.
    """
    return now + min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(refusals - 1, 10))
