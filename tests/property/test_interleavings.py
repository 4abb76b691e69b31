"""No order in which threads take turns breaks an invariant of the cache.

Every interleaving is made by a seed: see ``support/interleaving.py`` for how, and
``support/explored_cache.py`` for the callers, the service and the invariants. ``make explore`` runs
more of them, switching between bytecode instructions, too.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import pytest
from support.explored_cache import (
    DEADLINE,
    FILES,
    Exploration,
    LockSite,
    cache_class,
    explore,
    lock_sites,
)
from support.interleaving import BrokenInvariantError, Lock, Scheduler, Step

from ecs_role_creds import Credentials

INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS", "4000"))
SHARES = 4
"""Into so many tests they are divided, for processors to share."""

ENOUGH = 20_000
"""Interleavings within which a defect must be found; most take a few hundred."""


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("share", range(SHARES))
def test_no_interleaving_breaks_an_invariant(share: int) -> None:
    assert explore(range(share, INTERLEAVINGS, SHARES)) is None


@pytest.mark.timeout(7200)
def test_no_interleaving_of_instructions_breaks_an_invariant() -> None:
    assert explore(range(INTERLEAVINGS // 20), by_opcode=True) is None


@pytest.mark.parametrize("site", lock_sites(), ids=str)
def test_finds_a_lock_that_is_left_out(site: LockSite) -> None:
    found = explore(range(ENOUGH), lambda scheduler: cache_class(scheduler, without=site))
    assert found is not None
    assert found.what in (
        "two fetches at once",
        "a fetch before the schedule allows it",
        "the cache went back to an older token",
    )


def with_the_first_refresh(scheduler: Scheduler) -> Any:
    """The cache, with ``refresh()`` as it once was: it did not look at the clock again."""
    base = cache_class(scheduler)

    class Cache(base):  # type: ignore[misc]
        def refresh(self) -> Credentials:
            with self._lock:
                flight, is_new = self._join_or_take_off()
            if is_new and not self._start_thread(lambda: self._fly(flight)):
                self._fly(flight)
            outcome = flight.wait(self._deadline)
            if isinstance(outcome, Credentials):
                return outcome
            raise self._no_outcome() if outcome is None else outcome.fresh()

    return Cache


def test_finds_the_refresh_that_returned_expired_credentials() -> None:
    # The process was suspended between the answer and its delivery.
    found = explore(range(ENOUGH), with_the_first_refresh, files=(*FILES, __file__))
    assert found is not None
    assert found.what == "refresh() returned credentials that had expired"


def steps(seed: int) -> list[Step]:
    scheduler = Scheduler(seed, FILES, records=True)
    Exploration(scheduler, cache_class)
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
