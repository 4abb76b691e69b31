"""When a call is tried again."""

from __future__ import annotations

import pytest

from ecs_role_creds.roles import CallError, Retry


class Calls:
    def __init__(self, *outcomes: CallError | str) -> None:
        self.outcomes = list(outcomes)

    def __call__(self) -> str:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, CallError):
            raise outcome
        return outcome


THROTTLED = CallError("GetRole", "Throttling.User", status=400)
BROKEN = CallError("GetRole", "InternalError", status=500)
NO_ANSWER = CallError("GetRole", "NoAnswer")
REFUSED = CallError("GetRole", "NoPermission", status=403)


def test_throttling_backs_off_exponentially_with_jitter() -> None:
    waits: list[float] = []
    retry = Retry(base=1.0, longest=5.0, sleep=waits.append, random=lambda: 0.5)
    assert retry.run(Calls(*[THROTTLED] * 5, "done")) == "done"
    assert waits == [0.5, 1.0, 2.0, 2.5, 2.5]
    assert retry.run(Calls(CallError("GetRole", "Other", status=429), "done")) == "done"


def test_gives_up_after_so_many_attempts() -> None:
    waits: list[float] = []
    retry = Retry(attempts=3, sleep=waits.append, random=lambda: 0.0)
    with pytest.raises(CallError) as caught:
        retry.run(Calls(*[THROTTLED] * 9))
    assert caught.value is THROTTLED
    assert len(waits) == 2


def test_where_nothing_answers_it_gives_up_within_seconds() -> None:
    waits: list[float] = []
    retry = Retry(sleep=waits.append, random=lambda: 1.0)
    with pytest.raises(CallError) as caught:
        retry.run(Calls(*[NO_ANSWER] * 9), is_safe_to_repeat=True)
    assert caught.value is NO_ANSWER
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize("error", [BROKEN, NO_ANSWER])
def test_repeats_what_may_have_had_an_effect_only_where_that_is_safe(error: CallError) -> None:
    retry = Retry(sleep=lambda _: None)
    assert retry.run(Calls(error, "done"), is_safe_to_repeat=True) == "done"
    calls = Calls(error, "done")
    with pytest.raises(CallError):
        retry.run(calls)
    assert calls.outcomes == ["done"]


def test_waits_for_what_settles_by_itself() -> None:
    retry = Retry(sleep=lambda _: None)
    fresh = CallError("AttachInstanceRamRole", "InvalidRamRole.NotFound", status=404)
    assert retry.run(Calls(fresh, "done"), settling={"InvalidRamRole.NotFound"}) == "done"
    with pytest.raises(CallError):
        retry.run(Calls(fresh, "done"))


def test_does_not_repeat_a_refusal() -> None:
    retry = Retry(sleep=lambda _: None)
    with pytest.raises(CallError):
        retry.run(Calls(REFUSED, "done"), is_safe_to_repeat=True)
    missing = CallError("GetRole", "NoCredentials")
    with pytest.raises(CallError):
        retry.run(Calls(missing, "done"), is_safe_to_repeat=True)
