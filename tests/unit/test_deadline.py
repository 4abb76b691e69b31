"""How long callers wait at most, by the time that they ask to wait."""

from __future__ import annotations

import pytest
from support import Launcher, MovableClock, ScriptedSource, build_cache, fake_credentials

from ecs_role_creds.errors import MetadataUnreachableError


def test_callers_wait_for_the_deadline_and_no_longer() -> None:
    clock = MovableClock()
    cache = build_cache(
        ScriptedSource(fake_credentials(1, clock)), clock, deadline=2.0, start_thread=Launcher()
    )
    steps = cache._get(can_block=True)
    waited, outcome = 0.0, None
    with pytest.raises(MetadataUnreachableError):  # noqa: PT012
        _, timeout = next(steps)
        while True:
            assert timeout > 0
            waited += timeout
            clock.advance(timeout)
            _, timeout = steps.send(outcome)
    assert waited == pytest.approx(2.0)
