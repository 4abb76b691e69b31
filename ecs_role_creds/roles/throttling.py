"""Retry throttled calls."""

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
        attempts: The maximum number of attempts.
        unanswered_attempts: The same for a call that gets no answer: if nothing listens, more
            attempts do not help, and each may take a time-out.
        base: The maximum first wait, in seconds. The maximum doubles with each attempt.
        longest: The maximum wait, in seconds.
        sleep: Waits for a number of seconds.
        random: Returns a number from 0 to 1.
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
        """Make a call, and retry it if it was throttled.

        Args:
            call: Makes the call.
            is_safe_to_repeat: Whether to retry a call that may have taken effect.
            settling: Other codes to retry, because an earlier step has not propagated yet.

        Raises:
            CallError: The last attempt failed, or the error is not one to retry.
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
