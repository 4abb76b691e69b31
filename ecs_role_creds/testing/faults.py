"""What a test has the fake service do wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from ecs_role_creds.testing.exchange import PathKind, Request, Response

Change = Callable[[Request, Response], Response]
"""Makes the answer that goes out of the one that would."""


@dataclass
class Fault:
    """A change to answers, in force for some requests.

    Attributes:
        change: What it does.
        on: The kind of path it is for; ``None``: every one.
        times: How many more requests it is in force for; ``None``: until told otherwise.
    """

    change: Change
    on: PathKind | None
    times: int | None

    def applies_to(self, kind: PathKind) -> bool:
        """Whether it changes the answer to a request of this kind."""
        return self.times != 0 and self.on in (None, kind)

    def apply(self, request: Request, response: Response) -> Response:
        """The changed answer; counts the request."""
        if self.times is not None:
            self.times -= 1
        return self.change(request, response)


class Faults:
    """The controls that :class:`FakeMetadataServer` and the ``responses`` fake have in common.

    Each takes ``times``, the number of requests it is in force for (until :meth:`recover`, if left
    out), and ``on``, the kind of request it is for: ``"token"``, ``"role"``, ``"document"`` or
    ``"other"`` (every one, if left out). Faults add up: a delay and a failure give a late failure.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def fail(
        self,
        status: int,
        *,
        retry_after: float | None = None,
        times: int | None = None,
        on: PathKind | None = None,
    ) -> None:
        """Answer with a status, and ``Retry-After`` where given, instead of doing one's work."""
        if retry_after is not None and (retry_after < 0 or retry_after != int(retry_after)):
            raise ValueError(f"retry_after is {retry_after}; the header takes whole seconds")
        headers = {} if retry_after is None else {"Retry-After": str(int(retry_after))}
        self.answer(
            b"<html>fake failure</html>", status=status, headers=headers, times=times, on=on
        )

    def throttle(
        self, retry_after: float = 1.0, *, times: int | None = None, on: PathKind | None = None
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
        on: PathKind | None = None,
    ) -> None:
        """Answer with a body of one's own: malformed, oversized, a redirect, ..."""
        content = body.encode() if isinstance(body, str) else body
        more = dict(headers or {})
        self._add(
            lambda _, response: response._replace(
                status=status, body=content, headers={**response.headers, **more}
            ),
            times,
            on,
        )

    def delay(
        self, seconds: float, *, times: int | None = None, on: PathKind | None = None
    ) -> None:
        """Wait before answering; real seconds."""
        if seconds < 0:
            raise ValueError(f"cannot delay by {seconds} seconds; pass 0 or more")
        self._add(lambda _, response: response._replace(delay=response.delay + seconds), times, on)

    def hang(self, *, times: int | None = None, on: PathKind | None = None) -> None:
        """Do not answer before :meth:`recover`; then answer as if nothing had been."""
        self._add(lambda _, response: response._replace(conduct="hang"), times, on)

    def drip(
        self,
        interval: float = 1.0,
        *,
        times: int | None = None,
        on: PathKind | None = None,
    ) -> None:
        """Answer a byte at a time, headers included; the rest at once after :meth:`recover`."""
        self._add(
            lambda _, response: response._replace(conduct="drip", interval=interval), times, on
        )

    def reset(self, *, times: int | None = None, on: PathKind | None = None) -> None:
        """Reset the connection instead of answering."""
        self._add(lambda _, response: response._replace(conduct="reset"), times, on)

    def skew_date(
        self, seconds: float, *, times: int | None = None, on: PathKind | None = None
    ) -> None:
        """Send a ``Date`` that is off by so much, while the service's clock is right."""
        from datetime import timedelta
        from email.utils import format_datetime, parsedate_to_datetime

        def skew(_: Request, response: Response) -> Response:
            if "Date" not in response.headers:
                return response  # another fault drops it
            date = parsedate_to_datetime(response.headers["Date"]) + timedelta(seconds=seconds)
            shown = format_datetime(date, usegmt=True)
            return response._replace(headers={**response.headers, "Date": shown})

        self._add(skew, times, on)

    def drop_date(self, *, times: int | None = None, on: PathKind | None = None) -> None:
        """Send no ``Date`` header."""

        def drop(_: Request, response: Response) -> Response:
            headers = {name: value for name, value in response.headers.items() if name != "Date"}
            return response._replace(headers=headers)

        self._add(drop, times, on)

    def recover(self) -> None:
        """End every fault; what hangs or drips is answered at once."""
        self._faults.clear()

    def _add(self, change: Change, times: int | None, on: PathKind | None) -> None:
        if times is not None and times < 1:
            raise ValueError(f"times is {times}; pass 1 or more, or leave it out")
        if on is not None and on not in get_args(PathKind):
            raise ValueError(f"on is {on!r}; pass one of {', '.join(get_args(PathKind))}")
        self._faults.append(Fault(change, on, times))

    def _changed(self, request: Request, kind: PathKind, response: Response) -> Response:
        for fault in list(self._faults):
            if fault.applies_to(kind):
                response = fault.apply(request, response)
        self._faults = [fault for fault in self._faults if fault.times != 0]
        return response
