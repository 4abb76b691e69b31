"""The metadata service on a virtual clock: its tokens, its outages, and the requests it gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

HOUR = 3600.0
LIFE = 6 * HOUR
"""Documented: every token is valid for six hours."""

ROTATES_BEFORE = 0.5 * HOUR
"""Stated by Alibaba Cloud in 2021: the next token is there half an hour before."""

PERIOD = LIFE - ROTATES_BEFORE


class Token(NamedTuple):
    """A role's token.

    Attributes:
        serial: Which one it is.
        issued_at: When it was issued.
        expires_at: When it expires.
    """

    serial: int
    issued_at: float
    expires_at: float


class Outage(NamedTuple):
    """A time in which no request is answered."""

    begins_at: float
    ends_at: float


class Requests:
    """Counts requests by the second.

    Args:
        seconds: How long the simulation lasts.
    """

    def __init__(self, seconds: float) -> None:
        self.by_second = [0] * (int(seconds) + 120)

    def add(self, now: float, count: int) -> None:
        """Count requests at a moment."""
        self.by_second[int(now)] += count


class Service:
    """One instance's metadata service.

    Args:
        first_issued_at: When the first token is issued; the others follow from it.
        outages: When it does not answer; in order.
        requests: What counts the requests; shared by a fleet.
    """

    def __init__(
        self, first_issued_at: float, outages: Sequence[Outage], requests: Requests
    ) -> None:
        self._first_issued_at = first_issued_at
        self._outages = outages
        self._next_outage = 0
        self._requests = requests

    def ask(self, now: float, *, answered: int, unanswered: Sequence[float]) -> Token | None:
        """Ask for the token.

        Args:
            now: The time; never before that of the last request.
            answered: How many requests a client sends where the service answers.
            unanswered: When it sends them where the service does not, in seconds from now on.

        Returns:
            The token; ``None`` in an outage.
        """
        outages = self._outages
        while self._next_outage < len(outages) and now >= outages[self._next_outage].ends_at:
            self._next_outage += 1
        if self._next_outage < len(outages) and now >= outages[self._next_outage].begins_at:
            for later in unanswered:
                self._requests.add(now + later, 1)
            return None
        self._requests.add(now, answered)
        return self.token(now)

    def token(self, now: float) -> Token:
        """The token that the service hands out at a moment."""
        serial = int((now - self._first_issued_at) // PERIOD)
        issued_at = self._first_issued_at + serial * PERIOD
        return Token(serial, issued_at, issued_at + LIFE)
