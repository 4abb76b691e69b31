"""The default clocks and random numbers. Code that needs one takes it as an argument."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

Clock = Callable[[], float]
"""Returns seconds since a fixed moment; never goes back."""

WallClock = Callable[[], datetime]
"""Returns the time of day, as an aware UTC datetime."""

# While the instance is suspended or hibernates, time.monotonic() stops on Linux, but credentials
# still expire. CLOCK_BOOTTIME counts that time, and cannot be set.
boottime: Clock = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)


def utc_now() -> datetime:
    """Return the instance's time of day."""
    return datetime.now(timezone.utc)


# Not the shared generator of the random module: if an application seeds it with the same value on
# every machine, all of them would send their requests at the same times.
draw: Callable[[], float] = random.SystemRandom().random
