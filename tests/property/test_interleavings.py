"""No order in which threads take turns, and no interruption, breaks an invariant of the cache.

Every interleaving is made by a seed: see ``support/interleaving.py`` for how, and
``support/explored_cache.py`` for the callers, the service and the invariants. ``make explore`` runs
more of them.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial

import pytest
from support.explored_cache import DEADLINE, Change, Exploration, explore, files, new_flight
from support.interleaving import BrokenInvariantError, Lock, Scheduler, Step

from ecs_role_creds import cache, flight, versions
from ecs_role_creds.flight import Flight

INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS", "3000"))
SHARES = 4
"""Into so many tests they are divided, for processors to share."""

ENOUGH = 20_000
"""Interleavings within which a defect must be found; most take a few hundred."""

BROKEN = {
    "compare, then set": Change(
        versions,
        """self._successor.setdefault("next", new) is new""",
        """not self._successor
        self._successor["next"] = new""",
    ),
    "look, then claim": Change(
        flight,
        """        return self._claim.setdefault("thread", claim) is claim  # atomic
""",
        """        if self._claim:
            return False
        self._claim["thread"] = claim
        return True
""",
    ),
    "begin without looking who won": Change(
        cache,
        "return flight if self._replace(record, state, flight) else None",
        """self._replace(record, state, flight)
        return flight""",
    ),
    "land without looking who won": Change(
        cache,
        """            if self._replace(record, after, None):
                break
""",
        """            self._replace(record, after, None)
            break
""",
    ),
    "refresh() that does not look at the clock again": Change(
        cache,
        """                raise self._expired_on_the_way()
            return outcome
""",
        """                pass
            return outcome
""",
    ),
    "an overdue fetch is replaced while a thread is at it": Change(
        flight,
        """        return self._claim["thread"] == [NOBODY] or self._is_over
""",
        """        return True
""",
    ),
}


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("share", range(SHARES))
def test_no_interleaving_breaks_an_invariant(share: int) -> None:
    assert explore(range(share, INTERLEAVINGS, SHARES)) is None


@pytest.mark.timeout(7200)
def test_no_interleaving_of_instructions_breaks_an_invariant() -> None:
    assert explore(range(INTERLEAVINGS // 20), by_opcode=True) is None


@pytest.mark.parametrize("name", BROKEN)
def test_finds_what_is_broken(name: str) -> None:
    assert explore(range(ENOUGH), BROKEN[name]) is not None


def test_finds_expired_credentials_as_such() -> None:
    # The process was suspended between the answer and its delivery.
    found = explore(range(ENOUGH), BROKEN["refresh() that does not look at the clock again"])
    assert found is not None
    assert "returned credentials that had expired" in found.what


LOOK_THEN_REGISTER = Change(
    flight,
    """            self._wakes[signal.set] = None
            try:
                _waiting[signal] = None
                if not self._outcomes and not self.is_from_parent:
""",
    """            is_too_late = bool(self._outcomes)
            self._wakes[signal.set] = None
            try:
                if not is_too_late:
""",
)
LOOK_THEN_REGISTER_ASYNC = Change(
    flight,
    """            loop.call_soon_threadsafe(settle)

        self._wakes[wake] = None
        try:
            if not self._outcomes:
""",
    """            loop.call_soon_threadsafe(settle)

        is_too_late = bool(self._outcomes)
        self._wakes[wake] = None
        try:
            if not is_too_late:
""",
)


def ends_of_waits(change: Change | None, *, is_async: bool) -> set[float]:
    """How long waiters wait, in virtual seconds, for an outcome that comes at once."""
    took = set()
    for seed in range(500):
        scheduler = Scheduler(seed, files())
        flight, began, got = new_flight(scheduler, change), scheduler.now, []

        def wait(
            scheduler: Scheduler = scheduler,
            flight: Flight[object] = flight,
            got: list[object] = got,
        ) -> None:
            if not is_async:
                got.append(flight.wait(9.0))
                return
            with contextlib.closing(scheduler.event_loop()) as loop:
                got.append(loop.run_until_complete(flight.wait_async(9.0)))

        for _ in range(2):
            scheduler.spawn("waiter", wait)
        scheduler.spawn("fetch", partial(flight.finish, "outcome"))
        scheduler.run()
        assert got == ["outcome"] * 2
        took.add(scheduler.now - began)
    return took


@pytest.mark.parametrize("is_async", [False, True])
def test_no_interleaving_loses_the_end_of_a_fetch(is_async: bool) -> None:
    assert ends_of_waits(None, is_async=is_async) == {0.0}


@pytest.mark.parametrize(
    ("is_async", "change"), [(False, LOOK_THEN_REGISTER), (True, LOOK_THEN_REGISTER_ASYNC)]
)
def test_finds_that_the_end_of_a_fetch_may_be_lost(is_async: bool, change: Change) -> None:
    assert ends_of_waits(change, is_async=is_async) == {0.0, 9.0}


def steps(seed: int) -> list[Step]:
    scheduler = Scheduler(seed, files(), records=True)
    Exploration(scheduler)
    scheduler.run()
    return scheduler.steps


def test_a_seed_always_makes_the_same_interleaving() -> None:
    assert steps(1) == steps(1) != steps(2)


def test_finds_a_deadlock() -> None:
    def take_both(scheduler: Scheduler, first: Lock, second: Lock) -> None:
        with first:
            scheduler.pause()
            with second:
                pass

    ends = []
    for seed in range(20):
        scheduler = Scheduler(seed, ())
        one, other = scheduler.lock(), scheduler.lock()
        scheduler.spawn("one", partial(take_both, scheduler, one, other))
        scheduler.spawn("other", partial(take_both, scheduler, other, one))
        try:
            scheduler.run()
        except BrokenInvariantError as error:
            ends.append(str(error))
        else:
            ends.append("both ran")
    assert set(ends) == {"both ran", "deadlock: one, other wait"}


def test_time_passes_where_everybody_waits() -> None:
    scheduler = Scheduler(1, ())
    began = scheduler.now
    scheduler.spawn("sleeper", lambda: scheduler.sleep(DEADLINE))
    scheduler.run()
    assert scheduler.now == began + DEADLINE
