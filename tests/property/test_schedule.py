"""What holds of the schedule for any life, moment and draw."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from ecs_role_creds.schedule import (
    CLOSE_TO_EXPIRATION,
    FIRST_BACKOFF,
    MAX_BACKOFF,
    MAX_BACKOFF_EMPTY_HANDED,
    MAX_RETRY_AFTER,
    MIN_PAUSE,
    REFRESH_WINDOW,
    Lifetime,
    after_failure,
    after_refusal,
    after_unchanged,
    first_ask,
    waits_for_first_attempt,
)

SLACK = 1e-6
"""What rounding may make of a moment."""

draws = st.floats(0.0, 1.0, exclude_max=True)
counts = st.integers(1, 10_000)
lives = st.builds(
    lambda fetched_at, length: Lifetime(fetched_at, fetched_at + length),
    st.floats(0.0, 1e8),
    st.floats(0.1, 12 * 3600.0),
)
waits = st.none() | st.floats(0.0, 1e9)


@st.composite
def lives_and_moments(draw: st.DrawFn, *, may_be_over: bool = False) -> tuple[Lifetime, float]:
    life = draw(lives)
    share = draw(st.floats(0.0, 2.0 if may_be_over else 1.0))
    now = life.fetched_at + share * (life.expires_at - life.fetched_at)
    assume(may_be_over or now < life.expires_at)
    return life, now


@given(lives)
def test_window_is_the_last_29_minutes_or_the_second_half(life: Lifetime) -> None:
    length = life.expires_at - life.fetched_at
    assert 0 < life.window <= min(REFRESH_WINDOW, length / 2)
    assert life.fetched_at < life.opens_at < life.expires_at
    assert 0 < life.min_pause <= min(MIN_PAUSE, length / 40)


@given(lives, draws)
def test_expiration_is_close_in_the_last_minute_or_the_last_sixth_of_a_short_window(
    life: Lifetime, draw: float
) -> None:
    left = life.expires_at - life.close_at
    if life.window >= 6 * CLOSE_TO_EXPIRATION:
        assert abs(left - 60.0) <= SLACK
    else:
        assert abs(left - life.window / 6) <= SLACK
    # A process that is called often has refreshed before: its callers never wait.
    assert first_ask(life.fetched_at, life, draw) < life.close_at


@given(lives, st.floats(-0.5, 1.5), st.floats(-1.0, 1.0))
def test_who_waits_for_the_first_attempt(life: Lifetime, share: float, before: float) -> None:
    """Near the last minute, with the last attempt near the opening of the window."""
    now = life.expires_at - share * (life.expires_at - life.close_at)
    attempted_at = life.opens_at - before * life.window
    waits = waits_for_first_attempt(now, life, attempted_at)
    if now >= life.expires_at or now <= life.close_at or attempted_at >= life.opens_at:
        assert not waits
    else:
        assert waits
        # The attempt ends the wait, successful or not.
        assert not waits_for_first_attempt(now, life, now)


@given(lives, draws)
def test_first_ask_falls_in_the_first_fifth_of_the_window(life: Lifetime, draw: float) -> None:
    ask_at = first_ask(life.fetched_at, life, draw)
    assert life.opens_at <= ask_at <= life.opens_at + life.window / 5 + SLACK
    assert ask_at < life.expires_at


@given(lives_and_moments(may_be_over=True), draws)
def test_first_ask_is_neither_past_nor_put_off_beyond_the_end(
    life_and_now: tuple[Lifetime, float], draw: float
) -> None:
    life, now = life_and_now
    ask_at = first_ask(now, life, draw)
    if now < life.expires_at:
        left = life.expires_at - max(now, life.opens_at)
        assert max(now, life.opens_at) <= ask_at
        assert ask_at <= life.expires_at - 0.8 * left + SLACK
    else:
        assert ask_at == life.expires_at  # at once


@given(lives, draws, draws)
def test_first_ask_grows_with_the_draw(life: Lifetime, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert first_ask(life.fetched_at, life, low) <= first_ask(life.fetched_at, life, high)


@given(lives_and_moments(), draws)
def test_unchanged_pauses_lie_between_the_floor_and_a_quarter_of_what_is_left(
    life_and_now: tuple[Lifetime, float], draw: float
) -> None:
    life, now = life_and_now
    ask_at = after_unchanged(now, life, draw)
    left = life.expires_at - now
    assert now <= ask_at <= life.expires_at
    if now < life.opens_at:
        assert ask_at == first_ask(now, life, draw)
    else:
        assert ask_at - now >= min(life.min_pause, left) - SLACK
        assert ask_at - now <= max(left / 4, life.min_pause) + SLACK


@given(lives, draws)
def test_credentials_that_never_change_are_asked_for_a_limited_number_of_times(
    life: Lifetime, draw: float
) -> None:
    assume(life.expires_at + life.min_pause > life.expires_at)
    now, attempts = first_ask(life.fetched_at, life, draw), 0
    while now < life.expires_at:
        now = after_unchanged(now, life, draw)
        attempts += 1
    assert 5 <= attempts <= 80


@given(lives_and_moments(may_be_over=True), counts, draws, waits)
def test_failure_pauses_are_bounded_by_floors_and_caps(
    life_and_now: tuple[Lifetime, float], failures: int, draw: float, retry_after: float | None
) -> None:
    life, now = life_and_now
    pause = after_failure(now, life, failures, draw, retry_after) - now
    left = life.expires_at - now
    if left > 0:
        assert pause >= min(life.min_pause, left) - SLACK
        assert pause <= max(left / 4, life.min_pause) + SLACK
        if retry_after is None:
            assert pause <= max(MAX_BACKOFF, life.min_pause) + SLACK
        else:
            assert pause >= min(retry_after, left / 4) - SLACK
    else:
        assert pause >= MIN_PAUSE - SLACK
        longest = MAX_BACKOFF_EMPTY_HANDED if retry_after is None else MAX_RETRY_AFTER
        assert pause <= longest + SLACK


@given(counts, draws, waits)
def test_a_failure_without_any_credentials_is_remembered_within_its_bounds(
    failures: int, draw: float, retry_after: float | None
) -> None:
    pause = after_failure(0.0, None, failures, draw, retry_after)
    assert pause >= MIN_PAUSE
    assert pause <= (MAX_BACKOFF_EMPTY_HANDED if retry_after is None else MAX_RETRY_AFTER)
    if retry_after is not None:
        assert pause >= min(retry_after, MAX_RETRY_AFTER)


@given(lives, draws)
@example(Lifetime(0.0, 10.0), 0.999999)
def test_several_attempts_fit_before_expiration_however_they_fail(
    life: Lifetime, draw: float
) -> None:
    now, attempts = first_ask(life.fetched_at, life, draw), 0
    while now < life.expires_at and attempts < 5:
        attempts += 1
        now = after_failure(now, life, attempts, draw)
    assert attempts == 5


@given(lives, draws, waits)
def test_several_attempts_fit_whatever_the_service_asks_for(
    life: Lifetime, draw: float, retry_after: float | None
) -> None:
    now, attempts = first_ask(life.fetched_at, life, draw), 0
    while now < life.expires_at and attempts < 5:
        attempts += 1
        now = after_failure(now, life, attempts, draw, retry_after)
    assert attempts == 5


@given(lives_and_moments(), counts, counts, draws)
def test_back_off_never_shrinks_with_more_failures(
    life_and_now: tuple[Lifetime, float], one: int, other: int, draw: float
) -> None:
    life, now = life_and_now
    few, many = sorted((one, other))
    assert after_failure(now, life, few, draw) <= after_failure(now, life, many, draw)
    assert after_failure(now, None, few, draw) <= after_failure(now, None, many, draw)


@given(lives_and_moments(), counts, draws, draws)
def test_back_off_never_shrinks_with_a_larger_draw(
    life_and_now: tuple[Lifetime, float], failures: int, one: float, other: float
) -> None:
    life, now = life_and_now
    low, high = sorted((one, other))
    assert after_failure(now, life, failures, low) <= after_failure(now, life, failures, high)
    assert after_unchanged(now, life, high) <= after_unchanged(now, life, low) or (
        now < life.opens_at
    )


@given(st.floats(0.0, 1e8), counts, counts)
def test_refusals_are_heeded_less_and_less_often_between_1_and_60_seconds(
    now: float, one: int, other: int
) -> None:
    few, many = sorted((one, other))
    assert after_refusal(now, few) - now + SLACK >= FIRST_BACKOFF
    assert after_refusal(now, few) <= after_refusal(now, many) <= now + MAX_BACKOFF


@given(st.integers(-100_000, 100_000), st.integers(0, 20_000), st.integers(1, 9), draws, waits)
@example(-30_000, 20_000, 1, 0.0, None)
def test_where_the_clock_begins_does_not_matter(
    zero: int, now: int, failures: int, draw: float, retry_after: float | None
) -> None:
    def plan(zero: int) -> list[float]:
        life, moment = Lifetime(zero, zero + 20_000), float(zero + now)
        moments = [
            first_ask(moment, life, draw),
            after_unchanged(moment, life, draw),
            after_failure(moment, life, failures, draw, retry_after),
        ]
        return [one - zero for one in moments]

    for there, here in zip(plan(zero), plan(0), strict=True):
        assert abs(there - here) < SLACK
