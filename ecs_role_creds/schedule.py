"""When to send the next request to the metadata service: pure functions. Nothing else decides it.

Times are seconds on the caller's clock. ``random`` is a random number from [0, 1).
"""

from __future__ import annotations

from typing import NamedTuple

REFRESH_WINDOW = 29 * 60.0
"""The length of the refresh window, in seconds. The service rotates about 30 minutes before
expiration (stated by Alibaba Cloud in 2021). An earlier request returns the same credentials."""

FIRST_BACKOFF = 1.0
MAX_BACKOFF = 60.0
MAX_BACKOFF_EMPTY_HANDED = 10.0
"""The maximum backoff in seconds while there are no valid credentials."""

CLOSE_TO_EXPIRATION = 60.0
"""Seconds before expiration in which a caller waits for the first attempt to refresh."""

MAX_RETRY_AFTER = 60.0
MIN_PAUSE = 0.5


class Lifetime(NamedTuple):
    """The lifetime of credentials, from their first fetch.

    Attributes:
        fetched_at: When they were first fetched.
        expires_at: When they expire.
    """

    fetched_at: float
    expires_at: float

    @property
    def window(self) -> float:
        """The length of the refresh window: 29 minutes, or half of the lifetime if that is less."""
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
        """The minimum time between two requests; less than 0.5 s for the short lives of tests."""
        return min(MIN_PAUSE, self.window / 20)


def waits_for_first_attempt(now: float, life: Lifetime, attempted_at: float) -> bool:
    """Whether a caller must wait for an attempt to refresh.

    It must if expiration is close and no fetch has ended since the refresh window opened, because
    the process made no calls. Without this, the credentials could expire before the request that
    they sign arrives. After one attempt, successful or not, no caller waits.

    Args:
        now: The time of the call.
        life: The lifetime of the cached credentials.
        attempted_at: When the last fetch ended.
    """
    return life.close_at < now < life.expires_at and attempted_at < life.opens_at


def first_ask(now: float, life: Lifetime, random: float) -> float:
    """When to refresh new credentials: a random time in the first fifth of the refresh window.

    If the window is already open (in a child that was forked inside it), a random time in the first
    fifth of the rest, so that parent and children do not send their requests at the same time.
    """
    opens_at = min(max(life.opens_at, now), life.expires_at)
    return opens_at + random * (life.expires_at - opens_at) / 5


def after_unchanged(now: float, life: Lifetime, random: float) -> float:
    """When to ask again after the service returned the same credentials.

    After a quarter of the remaining life, minus up to a fifth of that (jitter). So the requests
    become more frequent as expiration gets closer.
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
    """When to try again after a failed fetch: exponential backoff with full jitter.

    The backoff grows from 1 s to 60 s. While the credentials are valid, it is at most a quarter of
    the remaining life, so that several attempts fit in before they expire. Without valid
    credentials it is at most 10 s. It is never 0, so that the next callers get the cached failure.

    Args:
        now: The time of the failure.
        life: The lifetime of the cached credentials; ``None`` if there are none.
        failures: How many fetches have failed in a row, including this one.
        random: For the jitter.
        retry_after: Seconds from the service's ``Retry-After``. Limited to a quarter of the
            remaining life, or to 60 s without valid credentials.
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
    """When the next refusal takes effect after refused credentials were not replaced.

    ``refusals`` counts how often in a row that has happened. Without this limit, an application
    that reports "access denied" as a refusal would send a metadata request with every call.
    """
    return now + min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(refusals - 1, 10))
