"""One process that calls its provider at regular times, and what its calls come to."""

from __future__ import annotations

from math import ceil, inf
from typing import Protocol

from simulation.clients import Call
from simulation.service import Token


class Caller(Protocol):
    """What is called: one of :mod:`clients`."""

    token: Token | None

    def acts_at(self) -> float:
        """Before this time a call returns the token in hand, and does nothing else."""
        ...

    def call(self, now: float) -> Call:
        """What an application does for each request."""
        ...


class Tally:
    """What the calls come to.

    Attributes:
        calls: How many there were.
        held_up: How many waited.
        waited: Seconds that they waited, together.
        longest: Seconds that the longest took.
        failed: How many raised an error.
        expired: How many were given a token that had expired.
        without: Seconds in which the application had nothing valid to sign with.
    """

    def __init__(self) -> None:
        self.calls = self.held_up = self.failed = self.expired = 0
        self.waited = self.longest = self.without = 0.0

    def note(self, now: float, call: Call, lasts: float) -> None:
        """Take in a call, which lasts until the next one."""
        self.calls += 1
        if call.waited:
            self.held_up += 1
            self.waited += call.waited
            self.longest = max(self.longest, call.waited)
        if call.token is None:
            self.failed += 1
            self.without += lasts
        elif now + call.waited >= call.token.expires_at:
            self.expired += 1
            self.without += lasts

    def note_hot(self, calls: int, expired: int, period: float) -> None:
        """Take in calls that returned the token in hand at once."""
        self.calls += calls
        self.expired += expired
        self.without += expired * period

    def add(self, other: Tally) -> None:
        """Take in another tally."""
        self.calls += other.calls
        self.held_up += other.held_up
        self.failed += other.failed
        self.expired += other.expired
        self.waited += other.waited
        self.without += other.without
        self.longest = max(self.longest, other.longest)


def run(
    client: Caller, begins_at: float, ends_at: float, tally: Tally, period: float = 1.0
) -> None:
    """Call every ``period`` seconds, or as soon after that as the last call returns.

    Calls that do nothing but return the token in hand are counted, not made.
    """
    now = begins_at
    while now < ends_at:
        call = client.call(now)
        lasts = period * max(1, ceil(call.waited / period))
        tally.note(now, call, lasts)
        now += lasts
        acts_at = min(client.acts_at(), ends_at)
        if acts_at > now:
            hot = ceil((acts_at - now) / period)
            expires_at = inf if client.token is None else client.token.expires_at
            valid = min(hot, max(0, ceil((expires_at - now) / period))) if expires_at < inf else hot
            tally.note_hot(hot, hot - valid, period)
            now += hot * period
