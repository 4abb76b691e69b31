"""When a call is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from ecs_role_creds.roles.errors import CallError

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Retry:
    """Exponential backoff with full jitter.

    Attributes:
        attempts: How often a call is made at most.
        unanswered_attempts: The same for a call that gets no answer: where nothing listens,
            trying longer does not help, and each attempt may take a time-out.
        base: The first wait is up to this many seconds; each wait may be twice the one before.
        longest: No wait is longer, in seconds.
        sleep: Waits.
        random: A number from 0 to 1.
    """

    attempts: int = 8
    unanswered_attempts: int = 3
    base: float = 1.0
    longest: float = 30.0
    sleep: Callable[[float], object] = time.sleep
    random: Callable[[], float] = random.random

    def run(
        self,
        call: Callable[[], _Result],
        *,
        is_safe_to_repeat: bool = False,
        settling: Collection[str] = (),
    ) -> _Result:
        """Make a call, and again where that is right.

        Args:
            call: Makes it.
            is_safe_to_repeat: Whether to repeat one that may have had an effect.
            settling: Codes that go away by themselves, a moment after what was just done.

        Raises:
            CallError: The last attempt's.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                return call()
            except CallError as error:
                passes = (
                    error.is_throttling
                    or error.code in settling
                    or (is_safe_to_repeat and error.is_unclear)
                )
                most = self.unanswered_attempts if error.is_unanswered else self.attempts
                if not passes or attempt >= most:
                    raise
            self.sleep(self.random() * min(self.longest, self.base * 2 ** (attempt - 1)))
        raise AssertionError("unreachable")
