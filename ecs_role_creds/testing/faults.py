"""Faults that a test injects into a fake service, shared by all fakes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from ecs_role_creds.testing.exchange import Request, Response

Change = Callable[[Request, Response], Response]
"""Turns the normal answer into the faulty one."""

Kind = TypeVar("Kind", bound=str)
"""The kinds of request that a fake tells apart."""


@dataclass
class Fault:
    """A change to the answers of some requests.

    Attributes:
        change: What it does.
        on: The kind of request it is for; ``None``: every kind.
        times: How many more requests it applies to; ``None``: no limit.
        replaces_work: Whether the request is not carried out at all.
    """

    change: Change
    on: str | None
    times: int | None
    replaces_work: bool = False


class Faults(Generic[Kind]):
    """The fault controls of a fake service. Safe to call from any thread.

    Each takes ``times``, the number of requests it applies to (until :meth:`recover`, if left
    out), and ``on``, the kind of request it applies to (all of them, if left out). For the metadata
    service the kinds are ``"token"``, ``"role"``, ``"document"`` and ``"other"``. Faults add up: a
    delay and a failure give a late failure.
    """

    fault_kinds: ClassVar[tuple[str, ...]] = ()
    """The values that ``on`` takes; each fake has its own."""

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
        """Answer with this status, and with ``Retry-After`` if given.

        Args:
            status: The HTTP status.
            retry_after: Whole seconds for the ``Retry-After`` header.
            times: See the class.
            on: See the class.

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
        """Answer 429 with ``Retry-After`` (status and header are inferred)."""
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
        """Answer with a body of your own: malformed, oversized, a redirect, ..."""
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
        """Wait before answering; real seconds."""
        if seconds < 0:
            raise ValueError(f"cannot delay by {seconds} seconds; pass 0 or more")
        self._add(lambda _, response: response._replace(delay=response.delay + seconds), times, on)

    def hang(self, *, times: int | None = None, on: Kind | None = None) -> None:
        """Do not answer until :meth:`recover`; then give the normal answer."""
        self._add(lambda _, response: response._replace(conduct="hang"), times, on)

    def drip(
        self, interval: float = 1.0, *, times: int | None = None, on: Kind | None = None
    ) -> None:
        """Send the answer one byte at a time, headers included; the rest after :meth:`recover`."""
        self._add(
            lambda _, response: response._replace(conduct="drip", interval=interval), times, on
        )

    def reset(self, *, times: int | None = None, on: Kind | None = None) -> None:
        """Reset the connection instead of answering."""
        self._add(
            lambda _, response: response._replace(conduct="reset"), times, on, replaces_work=True
        )

    def skew_date(
        self, seconds: float, *, times: int | None = None, on: Kind | None = None
    ) -> None:
        """Send a ``Date`` header that is wrong by so many seconds; the clock itself is right."""
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
        """Send no ``Date`` header."""

        def drop(_: Request, response: Response) -> Response:
            headers = {name: value for name, value in response.headers.items() if name != "Date"}
            return response._replace(headers=headers)

        self._add(drop, times, on)

    def recover(self) -> None:
        """End every fault. Answers that hang or drip are sent at once."""
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
        """The faults for one request of this kind, oldest first; each counts the request."""
        with self._faults_lock:
            claimed = [fault for fault in self._faults if fault.on in (None, kind)]
            for fault in claimed:
                if fault.times is not None:
                    fault.times -= 1
            self._faults = [fault for fault in self._faults if fault.times != 0]
            return claimed

    def _changed(self, request: Request, kind: Kind, response: Response) -> Response:
        """The answer with the faults for this request applied."""
        for fault in self._claim(kind):
            response = fault.change(request, response)
        return response


def retry_after_header(seconds: float | None) -> dict[str, str]:
    """The header for a fault; empty for ``None``. Raises ``ValueError``."""
    if seconds is None:
        return {}
    if seconds < 0 or seconds != int(seconds):
        raise ValueError(f"retry_after is {seconds}; the header takes whole seconds, 0 or more")
    return {"Retry-After": str(int(seconds))}
