"""What follows from each piece of news, where the cache's own tests do not come by."""

from __future__ import annotations

import pytest
from support import MovableClock, fake_credentials

from ecs_role_creds import CredentialsError
from ecs_role_creds.errors import NoRoleAttachedError
from ecs_role_creds.schedule import MAX_BACKOFF_EMPTY_HANDED
from ecs_role_creds.state import Record, State


def test_refusals_are_remembered_until_there_are_new_credentials(clock: MovableClock) -> None:
    first, second = fake_credentials(1, clock), fake_credentials(2, clock)
    state = State().after_success(first, 1, clock(), 0.5)
    state = state.after_refusal(clock()).after_success(first, 2, clock(), 0.5)
    assert (state.refusals, state.refusable_at) == (1, clock() + 1.0)
    state = state.after_success(first, 3, clock(), 0.5)
    assert (state.refusals, state.refusable_at) == (1, clock() + 1.0)
    state = state.after_failure(CredentialsError("trouble"), clock(), 0.5)
    assert (state.refusals, state.refusable_at) == (1, clock() + 1.0)
    assert not state.after_refusal(clock() + 0.99).is_refused
    assert state.after_refusal(clock() + 1.0).is_refused
    assert state.after_success(second, 4, clock(), 0.5).refusals == 0


def test_child_forked_in_an_outage_makes_several_attempts_before_the_end(
    clock: MovableClock,
) -> None:
    state = State().after_success(fake_credentials(1, clock, life=3600.0), 1, clock(), 0.5)
    clock.advance(3600.0 - 8.0)
    for _ in range(9):
        state = state.after_failure(CredentialsError("trouble"), clock(), 0.5)
    # A quarter of what is left, not the ten seconds that it could be with nothing to serve.
    assert state.after_fork(clock(), 0.999999).ask_at == pytest.approx(clock() + 2.0, abs=0.001)
    assert state.after_fork(clock(), 0.0).ask_at == clock() + 0.5


@pytest.mark.parametrize("now", [-1e9, 0.0, 1000.0])
def test_before_the_first_fetch_one_is_due_whatever_the_clock_reads(now: float) -> None:
    state = State()
    assert state.is_due(now)
    assert not state.can_serve(now)
    assert state.after_fork(now, 0.5) == state
    assert Record(state).hot_until < now


def test_after_the_end_of_refused_credentials_the_pauses_are_those_without_any(
    clock: MovableClock,
) -> None:
    first = fake_credentials(1, clock)
    state = State().after_success(first, 1, clock(), 0.5).after_refusal(clock())
    for _ in range(10):
        state = state.after_failure(CredentialsError("trouble"), clock(), 0.99)
    assert state.ask_at > clock() + MAX_BACKOFF_EMPTY_HANDED
    state = state.after_failure(NoRoleAttachedError("no role"), clock(), 0.99)
    assert state.credentials is None
    assert state.ask_at <= clock() + MAX_BACKOFF_EMPTY_HANDED
