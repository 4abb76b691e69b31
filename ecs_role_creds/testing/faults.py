"""Faults that a test injects into a fake service. All fakes share these controls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from ecs_role_creds.testing.exchange import Request, Response

Change = Callable[[Request, Response], Response]
"""Turns the normal response into the faulty one."""

Kind = TypeVar("Kind", bound=str)
"""The kinds of requests of a fake."""


@dataclass
class Fault:
    """A change to the responses to some requests.

    Attributes:
        change: The change.
        on: The kind of requests it applies to; ``None``: every kind.
        times: How many more requests it applies to; ``None``: no limit.
        replaces_work: Whether the request is not carried out at all.
    """

    change: Change
    on: str | None
    times: int | None
    replaces_work: bool = False


class Faults(Generic[Kind]):
    """The fault controls of a fake service. They may be called from any thread.

    Every method has two optional arguments: ``times``, the number of requests that the fault
    applies to (by default, until :meth:`recover`), and ``on``, the kind of requests (by default,
    all). For the metadata service, the kinds are ``"token"``, ``"role"``, ``"document"`` and
    ``"other"``. Faults combine: a delay and a failure make a delayed failure.
    """

    fault_kinds: ClassVar[tuple[str, ...]] = ()
    """The values of ``on``; each fake has its own."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._faults_lock = threading.RLock()

    def fail(
        self,
        status: int,
        *,
        retry_after: float | None = None,
        times: int | None = None,
        on: Kind | None = None,
    ) -> None:
        """Return this status, and the header ``Retry-After`` if given.

        >>> from ecs_role_creds import default_provider
        >>> ecs_metadata.fail(503)
        >>> default_provider().check_health().condition
        'no-credentials'

        Args:
            status: The HTTP status.
            retry_after: Whole seconds for the ``Retry-After`` header.
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """
        headers = retry_after_header(retry_after)
        self.answer(
            b"<html>fake failure</html>", status=status, headers=headers, times=times, on=on
        )

    def throttle(
        self, retry_after: float = 1.0, *, times: int | None = None, on: Kind | None = None
    ) -> None:
        """Return 429 with ``Retry-After`` (status and header are inferred).

        >>> ecs_metadata.throttle(retry_after=5, times=3)

        Args:
            retry_after: Whole seconds for the ``Retry-After`` header.
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """
        self.fail(429, retry_after=retry_after, times=times, on=on)

    def answer(
        self,
        body: bytes | str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        times: int | None = None,
        on: Kind | None = None,
    ) -> None:
        """Return your own response: malformed, oversized, a redirect, ...

        >>> ecs_metadata.answer("<html>Please log in</html>", on="role")
        >>> ecs_metadata.answer("", status=302, headers={"Location": "http://127.0.0.1/"})

        Args:
            body: The body; a string is sent as UTF-8.
            status: The HTTP status.
            headers: Headers to add.
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """
        content = body.encode() if isinstance(body, str) else body
        more = dict(headers or {})
        self._add(
            lambda _, response: response._replace(
                status=status, body=content, headers={**response.headers, **more}
            ),
            times,
            on,
            replaces_work=True,
        )

    def delay(self, seconds: float, *, times: int | None = None, on: Kind | None = None) -> None:
        """Wait before each response.

        >>> ecs_metadata.delay(0.2, times=1)

        Args:
            seconds: How long to wait, in real time.
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """
        if seconds < 0:
            raise ValueError(f"cannot delay by {seconds} seconds; pass 0 or more")
        self._add(lambda _, response: response._replace(delay=response.delay + seconds), times, on)

    def hang(self, *, times: int | None = None, on: Kind | None = None) -> None:
        """Send no response until :meth:`recover`; then send the normal one.

        >>> ecs_metadata.hang(on="document")

        Args:
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """
        self._add(lambda _, response: response._replace(conduct="hang"), times, on)

    def drip(
        self, interval: float = 1.0, *, times: int | None = None, on: Kind | None = None
    ) -> None:
        """Send the response one byte at a time, including its headers.

        After :meth:`recover`, the rest is sent at once.

        >>> ecs_metadata.drip(interval=0.5)

        Args:
            interval: Seconds between two bytes.
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """
        self._add(
            lambda _, response: response._replace(conduct="drip", interval=interval), times, on
        )

    def reset(self, *, times: int | None = None, on: Kind | None = None) -> None:
        """Reset the connection instead of sending a response.

        >>> ecs_metadata.reset(times=1)

        Args:
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """
        self._add(
            lambda _, response: response._replace(conduct="reset"), times, on, replaces_work=True
        )

    def skew_date(
        self, seconds: float, *, times: int | None = None, on: Kind | None = None
    ) -> None:
        """Send a wrong ``Date`` header. The service's clock does not change.

        >>> ecs_metadata.skew_date(-3600)

        Args:
            seconds: How wrong it is; negative if it is in the past.
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """
        from datetime import timedelta
        from email.utils import format_datetime, parsedate_to_datetime

        def skew(_: Request, response: Response) -> Response:
            if "Date" not in response.headers:
                return response  # another fault drops it
            date = parsedate_to_datetime(response.headers["Date"]) + timedelta(seconds=seconds)
            shown = format_datetime(date, usegmt=True)
            return response._replace(headers={**response.headers, "Date": shown})

        self._add(skew, times, on)

    def drop_date(self, *, times: int | None = None, on: Kind | None = None) -> None:
        """Send no ``Date`` header.

        >>> ecs_metadata.drop_date()

        Args:
            times: The number of requests; by default, until :meth:`recover`.
            on: The kind of requests; by default, all.

        Raises:
            ValueError: An argument is out of range.
        """

        def drop(_: Request, response: Response) -> Response:
            headers = {name: value for name, value in response.headers.items() if name != "Date"}
            return response._replace(headers=headers)

        self._add(drop, times, on)

    def recover(self) -> None:
        """End all faults."""
        with self._faults_lock:
            self._faults.clear()

    def _add(
        self,
        change: Change,
        times: int | None,
        on: Kind | None,
        *,
        replaces_work: bool = False,
    ) -> None:
        if times is not None and times < 1:
            raise ValueError(f"times is {times}; pass 1 or more, or leave it out")
        if on is not None and on not in self.fault_kinds:
            raise ValueError(f"on is {on!r}; pass one of {', '.join(self.fault_kinds)}")
        with self._faults_lock:
            self._faults.append(Fault(change, on, times, replaces_work))

    def _claim(self, kind: str) -> list[Fault]:
        """Return the faults for one request of this kind, oldest first, and count the request."""
        with self._faults_lock:
            claimed = [fault for fault in self._faults if fault.on in (None, kind)]
            for fault in claimed:
                if fault.times is not None:
                    fault.times -= 1
            self._faults = [fault for fault in self._faults if fault.times != 0]
            return claimed

    def _changed(self, request: Request, kind: Kind, response: Response) -> Response:
        """Return the response with the faults for this request applied."""
        for fault in self._claim(kind):
            response = fault.change(request, response)
        return response


def retry_after_header(seconds: float | None) -> dict[str, str]:
    """Return the header for a fault; empty for ``None``. Raises ``ValueError``."""
    if seconds is None:
        return {}
    if seconds < 0 or seconds != int(seconds):
        raise ValueError(f"retry_after is {seconds}; the header takes whole seconds, 0 or more")
    return {"Retry-After": str(int(seconds))}
