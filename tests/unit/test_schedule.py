"""When to ask again, by the examples the behaviour is described with."""

from __future__ import annotations

import pytest

from ecs_role_creds.schedule import (
    Lifetime,
    after_failure,
    after_refusal,
    after_unchanged,
    first_ask,
)

MINUTE = 60.0
HOUR = 3600.0
SIX_HOURS = Lifetime(0.0, 6 * HOUR)


def test_window_of_a_full_life_is_the_last_29_minutes() -> None:
    assert SIX_HOURS.window == 29 * MINUTE
    assert first_ask(0.0, SIX_HOURS, 0.0) == 6 * HOUR - 29 * MINUTE


def test_process_started_40_minutes_before_the_end_asks_20_minutes_before_it() -> None:
    life = Lifetime(0.0, 40 * MINUTE)
    assert first_ask(0.0, life, 0.0) == 20 * MINUTE


def test_ten_second_token_is_renewed_at_half_its_life() -> None:
    assert first_ask(0.0, Lifetime(0.0, 10.0), 0.0) == 5.0


def test_requests_are_half_a_second_apart_or_less_in_a_life_of_seconds() -> None:
    assert SIX_HOURS.min_pause == 0.5
    assert Lifetime(0.0, 10.0).min_pause == 0.25


def test_opening_is_jittered_over_the_first_fifth_of_the_window() -> None:
    earliest = first_ask(0.0, SIX_HOURS, 0.0)
    assert first_ask(0.0, SIX_HOURS, 0.5) == earliest + 2.9 * MINUTE
    assert first_ask(0.0, SIX_HOURS, 0.999999) == pytest.approx(earliest + 5.8 * MINUTE, abs=0.1)


def test_inside_the_window_the_first_fifth_of_what_is_left_counts() -> None:
    now = SIX_HOURS.expires_at - 10 * MINUTE
    assert first_ask(now, SIX_HOURS, 0.0) == now
    assert first_ask(now, SIX_HOURS, 0.999999) == pytest.approx(now + 2 * MINUTE, abs=0.1)


def test_unchanged_asks_sooner_and_sooner() -> None:
    now, pauses = SIX_HOURS.opens_at, []
    while now < SIX_HOURS.expires_at:
        ask_at = after_unchanged(now, SIX_HOURS, 0.5)
        pauses.append(ask_at - now)
        now = ask_at
    assert pauses[0] == pytest.approx(29 * MINUTE / 4 * 0.9)
    assert pauses == sorted(pauses, reverse=True)
    assert len(pauses) < 40


def test_pauses_are_no_whole_seconds() -> None:
    assert after_unchanged(SIX_HOURS.expires_at - 10.0, SIX_HOURS, 0.0) == (
        SIX_HOURS.expires_at - 7.5
    )


def test_unchanged_before_the_window_waits_for_it() -> None:
    assert after_unchanged(HOUR, SIX_HOURS, 0.0) == SIX_HOURS.opens_at


@pytest.mark.parametrize(
    ("failures", "most"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (99, 60)]
)
def test_failures_back_off_from_1_to_60_seconds(failures: int, most: float) -> None:
    now = SIX_HOURS.opens_at
    assert after_failure(now, SIX_HOURS, failures, 0.999999) == pytest.approx(now + most, abs=0.001)
    assert after_failure(now, SIX_HOURS, failures, 0.0) == now + 0.5


@pytest.mark.parametrize("left", [240.0, 100.0, 10.0, 3.0])
def test_several_attempts_always_fit_before_expiration(left: float) -> None:
    now = SIX_HOURS.expires_at - left
    assert after_failure(now, SIX_HOURS, 20, 0.999999) <= now + left / 4


def test_with_nothing_to_serve_a_failure_is_remembered_for_10_seconds_at_the_most() -> None:
    assert after_failure(0.0, None, 20, 0.999999) == pytest.approx(10.0, abs=0.001)
    expired = Lifetime(0.0, 10.0)
    assert after_failure(11.0, expired, 20, 0.999999) == pytest.approx(21.0, abs=0.001)


def test_a_failure_is_never_forgotten_at_once() -> None:
    assert after_failure(0.0, None, 1, 0.0) == 0.5


def test_at_expiration_there_is_nothing_to_serve_any_more() -> None:
    end = SIX_HOURS.expires_at
    assert after_failure(end, SIX_HOURS, 9, 0.999999) == pytest.approx(end + 10.0, abs=0.1)


def test_retry_after_is_kept_while_the_life_left_allows_it() -> None:
    now = SIX_HOURS.expires_at - 1000.0
    assert after_failure(now, SIX_HOURS, 1, 0.0, retry_after=120.0) == now + 120.0
    assert after_failure(now, SIX_HOURS, 1, 0.0, retry_after=9999.0) == now + 250.0
    assert after_failure(0.0, None, 1, 0.0, retry_after=30.0) == 30.0
    assert after_failure(0.0, None, 1, 0.0, retry_after=9999.0) == 60.0


def test_no_attempt_is_put_off_past_expiration() -> None:
    now = SIX_HOURS.expires_at - 0.1
    assert after_failure(now, SIX_HOURS, 3, 0.9) == SIX_HOURS.expires_at
    assert after_unchanged(now, SIX_HOURS, 0.9) == SIX_HOURS.expires_at


def test_mistaken_refusals_are_heeded_less_and_less_often() -> None:
    assert [after_refusal(0.0, n) for n in (1, 2, 3, 7, 99)] == [1, 2, 4, 60, 60]
