"""The clocks and the randomness used by default; whatever uses one takes it as an argument."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

Clock = Callable[[], float]
"""Seconds since some fixed moment; never set back."""

WallClock = Callable[[], datetime]
"""The time of day, as an aware UTC datetime."""

# Credentials go on ageing while the instance is suspended or hibernates, and time.monotonic()
# stands still then on Linux. CLOCK_BOOTTIME does not, and no one can set it.
boottime: Clock = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)


def utc_now() -> datetime:
    """The instance's own idea of the time of day."""
    return datetime.now(timezone.utc)


# Not the module's shared generator: an application that seeds it on every machine, for the sake of
# reproducible results, would have all of them ask in step.
draw: Callable[[], float] = random.SystemRandom().random
