"""What follows from each piece of news, where the cache's own tests do not come by."""

from __future__ import annotations

import pytest
from support import MovableClock, fake_credentials

from ecs_role_creds import CredentialsError
from ecs_role_creds.state import State


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


def test_refusals_are_remembered_until_there_are_new_credentials(clock: MovableClock) -> None:
    first, second = fake_credentials(1, clock), fake_credentials(2, clock)
    state = State().after_success(first, clock(), 0.5)
    state = state.after_refusal(clock()).after_success(first, clock(), 0.5)
    assert (state.refusals, state.refusable_at) == (1, clock() + 1.0)
    state = state.after_success(first, clock(), 0.5)
    assert (state.refusals, state.refusable_at) == (1, clock() + 1.0)
    state = state.after_failure(CredentialsError("trouble"), clock(), 0.5)
    assert (state.refusals, state.refusable_at) == (1, clock() + 1.0)
    assert not state.after_refusal(clock() + 0.99).is_refused
    assert state.after_refusal(clock() + 1.0).is_refused
    assert state.after_success(second, clock(), 0.5).refusals == 0


def test_child_forked_in_an_outage_makes_several_attempts_before_the_end(
    clock: MovableClock,
) -> None:
    state = State().after_success(fake_credentials(1, clock, life=3600.0), clock(), 0.5)
    clock.advance(3600.0 - 8.0)
    for _ in range(9):
        state = state.after_failure(CredentialsError("trouble"), clock(), 0.5)
    # Not the ten seconds and more that it could be with nothing to serve.
    assert clock() < state.after_fork(clock(), 0.999999).ask_at <= clock() + 2.0


def test_credentials_without_an_end_yet_are_due_at_once(clock: MovableClock) -> None:
    state = State()
    assert state.is_due(clock())
    assert not state.can_serve(clock())
    assert state.after_fork(clock(), 0.5) is state
