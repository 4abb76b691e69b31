"""Sends one request to the metadata service, with retries, within the limits of the fetch.

Comments mark facts about the service as documented by Alibaba Cloud, or as inferred from the
clients that talk to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ecs_role_creds.clock import Clock, boottime, draw
from ecs_role_creds.errors import (
    CredentialsError,
    MalformedResponseError,
    MetadataServiceError,
    MetadataUnreachableError,
)

if TYPE_CHECKING:
    import requests

    from ecs_role_creds.transport import Answer, Transport, TransportError

MAX_TRIES = 3
FIRST_PAUSE = 0.1

MAX_REQUESTS = 12
"""The maximum number of requests of one fetch. Usually a fetch sends one to three."""

CHECK_ADDRESS = (
    "Check what is listening at that address: a proxy, a captive portal, or a test server."
)
_NOT_ON_AN_INSTANCE = (
    "If this process does not run on an ECS instance, use another source of credentials. On an "
    "instance, check that no firewall, security group or route blocks this address."
)


class Limits:
    """The limits of one fetch.

    Args:
        until: The clock's reading at which it must have ended.
    """

    def __init__(self, until: float) -> None:
        self.until = until
        self.requests_left = MAX_REQUESTS


class RetryingClient:
    """Sends requests to the metadata service. Used by one thread at a time.

    Args:
        endpoint: The service's address, ``http://HOST[:PORT]``.
        session: The HTTP session to use; by default its own, created at the first request.
        clock: Returns seconds, for time limits.
        sleep: Waits between two attempts.
        random: Returns a random number from [0, 1), for the length of that wait.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        session: requests.Session | None = None,
        clock: Clock = boottime,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = draw,
    ) -> None:
        self._endpoint = endpoint
        self._session = session
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._transport: Transport | None = None

    def send(
        self, method: str, path: str, headers: Mapping[str, str], limits: Limits
    ) -> tuple[float, Answer]:
        """Return the answer, and when the request for it was sent.

        A request is retried at once after a dropped connection, and with exponential backoff and
        jitter (or after ``Retry-After``) after 429 and 5xx.

        Raises:
            MetadataUnreachableError: No answer within the limits.
            MetadataServiceError: 429 or 5xx at every attempt, or too many requests.
            MalformedResponseError: The answer is not HTTP.
        """
        try:
            from ecs_role_creds.transport import ConnectionDroppedError, Transport, TransportError
        except ImportError:
            raise
        except Exception as error:  # whatever a broken installation raises
            raise ImportError(f"{type(error).__name__}: {error}") from error
        if self._transport is None:
            self._transport = Transport(self._session, self._clock)
        attempt = 0
        while True:
            attempt += 1
            asked_at = self._clock()
            if asked_at >= limits.until:
                raise self._out_of_time()
            if limits.requests_left == 0:
                raise _too_many_requests()
            limits.requests_left -= 1
            pause = 0.0
            problem: CredentialsError
            try:
                answer = self._transport.send(
                    method, self._endpoint + path, headers, limits.until - asked_at
                )
            except TransportError as error:
                problem = self._no_answer(error)
                # The service may close an idle connection just as it is used again.
                can_retry = isinstance(error, ConnectionDroppedError)
            else:
                if answer.status != 429 and answer.status < 500:
                    return asked_at, answer
                problem = _unavailable(answer)
                can_retry = True
                pause = problem.retry_after or FIRST_PAUSE * 2**attempt * self._random()
            if not can_retry or attempt == MAX_TRIES or self._clock() + pause >= limits.until:
                raise problem
            if pause:
                self._sleep(pause)

    def forget_connections(self) -> None:
        """Forget the parent's connections, in a forked child."""
        if self._transport is not None:
            self._transport.forget_connections()

    def _no_answer(self, error: TransportError) -> CredentialsError:
        from ecs_role_creds.transport import NotHttpError

        problem: CredentialsError
        if isinstance(error, NotHttpError):
            problem = MalformedResponseError(
                f"The answer from {self._endpoint} is not HTTP ({error}). {CHECK_ADDRESS}"
            )
        else:
            problem = MetadataUnreachableError(
                f"No answer from the metadata service at {self._endpoint} ({error}). "
                + (error.advice or _NOT_ON_AN_INSTANCE)
            )
        problem.__cause__ = error
        return problem

    def _out_of_time(self) -> CredentialsError:
        return MetadataUnreachableError(
            f"The metadata service at {self._endpoint} did not return the credentials in time. "
            + _NOT_ON_AN_INSTANCE
        )


def _too_many_requests() -> MetadataServiceError:
    return MetadataServiceError(
        f"Gave up after {MAX_REQUESTS} requests to the metadata service without credentials. The "
        "library retries automatically. " + CHECK_ADDRESS
    )


def _unavailable(answer: Answer) -> MetadataServiceError:
    what = (
        "throttled the request (status 429)"
        if answer.status == 429
        else (f"returned an error (status {answer.status})")
    )
    error = MetadataServiceError(
        f"The metadata service {what}. The library retries automatically. If this continues, check "
        "for other processes on the instance that poll the service."
    )
    error.status = answer.status
    error.retry_after = _parse_retry_after(answer.headers.get("Retry-After"))
    return error


def _parse_retry_after(value: str | None) -> float | None:
    """Return the seconds. A date is ignored: the service is not known to send one (inferred)."""
    if value is not None and value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    return None
