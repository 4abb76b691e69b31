"""The cached credentials and the fetch in progress, which providers with equal settings share."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Generator
from math import inf
from typing import Any, Protocol, TypeVar

from ecs_role_creds.clock import Clock, boottime, draw
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import (
    CredentialsError,
    CredentialsExpiredError,
    MetadataUnreachableError,
)
from ecs_role_creds.flight import Flight, StartThread, start_daemon_thread
from ecs_role_creds.preload import IMPORT_LIMIT
from ecs_role_creds.reporting import Audience, log
from ecs_role_creds.schedule import MIN_PAUSE
from ecs_role_creds.state import Outcome, Record, State

FETCH_SHARE = 0.95
"""The share of the deadline that a fetch may take. It is less than 1, so that waiting callers get
the error of the fetch and not only a timeout."""

LAUNCH_GRACE = 0.2
"""Seconds after which a waiting caller launches a flight again if no thread has begun it. The
thread that should have launched or run it was interrupted, and may itself wait for it."""

_AT_SHUTDOWN = (
    "Cannot fetch credentials during interpreter shutdown. Fetch them earlier, for example in an "
    "atexit handler."
)

_T = TypeVar("_T")

Steps = Generator[tuple[Flight[Any], float], Any, _T]
"""A call, step by step: it yields a flight and a timeout, and is sent the flight's outcome. Written
once, it runs on a thread or in an event loop."""


class Source(Protocol):
    """What the cache needs of :class:`~ecs_role_creds.metadata.MetadataClient`."""

    @property
    def mode(self) -> str | None:
        """The mode that was last used, for the status."""

    def pending_import(self) -> Flight[bool] | None:
        """Return the import that must end before the first fetch; ``None`` if it has."""

    def fetch(self, until: float) -> Credentials:
        """Fetch, before the clock reads ``until``; raises :class:`CredentialsError`."""
        ...

    def take_warning(self) -> str | None:
        """Return the warning of the last fetch, once; ``None`` if there is none."""

    def forget_connections(self) -> None:
        """Forget the parent's connections, in a forked child."""


class CredentialsCache:
    """Keeps one role's credentials fresh for any number of providers, threads and coroutines.

    There is no lock: every change replaces :attr:`record` by compare-and-set. So the cache may be
    used in signal handlers, finalizers and log handlers, and the process may fork at any moment.

    Args:
        source: Where credentials come from.
        deadline: The maximum number of seconds that a caller waits for the source.
        on_landing: Called after every fetch.
        clock: Returns seconds.
        random: Returns a random number from [0, 1).
        start_thread: Runs a function on another thread; returns ``False`` if none can be started.
    """

    def __init__(
        self,
        source: Source,
        *,
        deadline: float,
        on_landing: Callable[[], None] = lambda: None,
        clock: Clock = boottime,
        random: Callable[[], float] = draw,
        start_thread: StartThread = start_daemon_thread,
    ) -> None:
        self._source = source
        self._deadline = deadline
        self._on_landing = on_landing
        self._clock = clock
        self._random = random
        self._start_thread = start_thread
        self._starting: dict[int, object] = {}  # by process: start_if_due() has a thread
        self.audience = Audience()
        self.record = Record(State())

    # The slow path: the cached credentials are missing, due for a refresh, refused, or expired.

    def get(self) -> Credentials:
        """Return credentials that are valid now.

        Raises:
            CredentialsError: There are none, and the service returned none in time.
        """
        return _run(self._get(can_block=True))

    async def get_async(self) -> Credentials:
        """Like :meth:`get`, without blocking the event loop."""
        return await _run_async(self._get(can_block=False))

    def get_nowait(self) -> Credentials:
        """Return the cached credentials, and start a fetch in the background if one is due.

        Raises:
            CredentialsError: There are no valid credentials at this moment.
        """
        self.start_if_due()
        state = self.latest().state
        if state.credentials is not None and state.can_serve(self._clock()):
            return state.credentials
        if state.failure is not None:
            raise state.failure.fresh()
        raise CredentialsError(
            "There are no valid credentials at this moment. They are being fetched in the "
            "background. In a coroutine, call await get_credentials_async() first."
        )

    def refresh(self) -> Credentials:
        """Fetch now, or join the fetch in progress, and return its credentials.

        Raises:
            CredentialsError: The fetch failed. Credentials that are still valid are kept.
        """
        return _run(self._refresh(can_block=True))

    async def refresh_async(self) -> Credentials:
        """Like :meth:`refresh`, without blocking the event loop."""
        return await _run_async(self._refresh(can_block=False))

    def invalidate(self, refused: Credentials) -> None:
        """Record that a service refused these credentials: the next call fetches.

        Nothing happens if they are no longer the cached ones, or if the metadata service has just
        confirmed them.
        """
        while True:
            record = self.latest()
            if record.state.is_news(refused):
                return
            state = record.state.after_refusal(self._clock())
            if state is record.state or self._replace(record, state, record.flight):
                return

    def start_if_due(self) -> None:
        """Start a fetch in the background if one is due. Does not wait."""
        record = self._without_lost_flight()
        if record.flight is not None or not record.state.is_due(self._clock()):
            return
        mine, is_started, process = object(), False, os.getpid()
        try:
            if self._starting.setdefault(process, mine) is mine:  # atomic: one at a time
                is_started = self._start_thread(self._ask_and_allow_the_next)
        finally:  # an exception of a signal handler may end this call at any line
            if not is_started and self._starting.get(process) is mine:
                self._starting.clear()

    def _ask_and_allow_the_next(self) -> None:
        try:
            self.ask_if_due()
        finally:
            self._starting.clear()

    def ask_if_due(self) -> float:
        """Fetch on this thread if a fetch is due. A poller calls this repeatedly.

        Returns:
            The clock's reading at which the next fetch is due.
        """
        self.import_http_client(IMPORT_LIMIT)
        _, flight = self._join_if_due()
        if flight is not None:
            if flight.needs_launch:
                flight.run()
            if not flight.is_run_here:
                flight.wait(flight.started_at + self._deadline - self._clock())
            if self.latest().flight is flight:
                return self._clock() + MIN_PAUSE  # it hangs: look again later
        return self.latest().state.ask_at

    def import_http_client(self, timeout: float = 0.0) -> bool:
        """Import the HTTP client. Returns whether that has ended within ``timeout`` seconds."""
        pending = self._source.pending_import()
        if pending is None:
            return True
        if timeout > LAUNCH_GRACE and pending.wait(LAUNCH_GRACE) is None:
            pending.launch_again(start_daemon_thread)  # the thread that should was interrupted
        return pending.wait(timeout) is not None

    async def import_http_client_async(self) -> None:
        """Import the HTTP client, without blocking the event loop.

        Raises:
            CredentialsError: It takes more than a minute.
        """
        await _run_async(self._import_first())

    def latest(self) -> Record:
        """Return the current record."""
        record = self.record
        latest = record.latest()
        if latest is not record:
            self.record = latest
        return latest

    @property
    def mode(self) -> str | None:
        """The mode that was last used: ``"hardening"`` or ``"normal"``."""
        return self._source.mode

    @property
    def is_refreshing(self) -> bool:
        """Whether a fetch is in progress."""
        return self.latest().flight is not None

    def reset_after_fork(self) -> None:
        """In a forked child: keep the credentials, and forget connections and the fetch."""
        while not self._leave_to_parent(self.latest()):
            pass

    def _leave_to_parent(self, record: Record) -> bool:
        self._starting = {}
        self._source.forget_connections()
        return self._replace(record, record.state.after_fork(self._clock(), self._random()), None)

    # One call, step by step.

    def _get(self, *, can_block: bool) -> Steps[Credentials]:
        yield from self._import_first()
        give_up_at = self._clock() + self._deadline
        while True:
            record, flight = self._join_if_due()
            now, state = self._clock(), record.state
            can_serve = state.can_serve(now)
            must_wait = not can_serve or (
                flight is not None and not flight.is_run_here and state.waits_for_attempt(now)
            )
            if flight is not None and flight.needs_launch:
                self._launch(flight, can_block=can_block and must_wait)
            if can_serve and state.credentials is not None and not must_wait:
                return state.credentials
            if flight is None:
                raise state.failure.fresh() if state.failure else self._no_outcome()
            outcome = yield from self._wait(flight, give_up_at)
            state, now = self.latest().state, self._clock()
            if state.credentials is not None and state.can_serve(now):
                return state.credentials
            if isinstance(outcome, CredentialsError):
                raise outcome.fresh()
            if isinstance(outcome, Credentials) and outcome.is_expired():
                raise self._expired_on_the_way()
            if now >= give_up_at or (outcome is None and not flight.is_from_parent):
                raise self._no_outcome()
            # The credentials were refused while they were fetched, or this is a forked child.

    def _refresh(self, *, can_block: bool) -> Steps[Credentials]:
        yield from self._import_first()
        give_up_at = self._clock() + self._deadline
        while True:
            record = self._without_lost_flight()
            flight = record.flight
            if flight is None:
                flight = self._begin(record)
                if flight is None:
                    continue
            if flight.needs_launch:
                self._launch(flight, can_block=can_block)
            outcome = yield from self._wait(flight, give_up_at)
            if outcome is None and flight.is_from_parent:
                continue
            if outcome is None:
                raise self._no_outcome()
            if isinstance(outcome, CredentialsError):
                raise outcome.fresh()
            state = self.latest().state
            if state.credentials is not None and state.can_serve(self._clock()):
                return state.credentials
            # Time may have passed since the fetch: the process may have been suspended.
            if outcome.is_expired():
                raise self._expired_on_the_way()
            return outcome

    def _import_first(self) -> Steps[None]:
        while (pending := self._source.pending_import()) is not None:
            outcome = yield pending, LAUNCH_GRACE
            if outcome is None:
                pending.launch_again(start_daemon_thread)
                outcome = yield pending, IMPORT_LIMIT
            if outcome is not None:
                return  # a failed import is reported by the fetch
            if pending.is_from_parent:
                continue
            raise CredentialsError(
                _AT_SHUTDOWN
                if sys.is_finalizing()
                else f"Importing the HTTP client (requests) took more than {IMPORT_LIMIT:g} s. "
                "Check the load of the host."
            )

    def _wait(self, flight: Flight[Outcome], give_up_at: float) -> Steps[Outcome | None]:
        if flight.is_run_here:
            raise CredentialsError(
                "Credentials were requested on the thread that is fetching them, for example by a "
                "finalizer. The fetch cannot wait for itself. Try again after it."
            )
        outcome: Outcome | None
        give_up_at = min(give_up_at, flight.started_at + self._deadline)
        if not flight.has_begun and give_up_at - self._clock() > LAUNCH_GRACE:
            outcome = yield flight, LAUNCH_GRACE
            if outcome is not None:
                return outcome
            flight.launch_again(self._start_thread)
        outcome = yield flight, give_up_at - self._clock()
        return outcome

    # The fetch: begin it, launch it, store its outcome.

    def _join_if_due(self) -> tuple[Record, Flight[Outcome] | None]:
        """Return the record and its fetch, after beginning one if it is due."""
        while True:
            record = self._without_lost_flight()
            flight = record.flight
            if flight is not None or not record.state.is_due(self._clock()):
                return record, flight
            flight = self._begin(record)
            if flight is not None:
                return record, flight

    def _without_lost_flight(self) -> Record:
        """Return the current record, after dropping a fetch that no thread runs.

        A fetch that no thread has begun after twice the deadline is dropped. One that a thread has
        begun is not: it always finishes, and the source takes one fetch at a time.
        """
        while True:
            record = self.latest()
            flight = record.flight
            if flight is not None and flight.is_from_parent:
                self._leave_to_parent(record)  # forked by native code, without the hooks
                continue
            if flight is None or self._clock() < flight.started_at + 2 * self._deadline:
                return record
            if not flight.drop():
                return record
            self._replace(record, record.state, None)

    def _begin(self, record: Record) -> Flight[Outcome] | None:
        """Return a new fetch that the caller has to launch; ``None`` if the record has changed."""
        state = record.state.after_begin()
        flight = Flight(self._fetch, number=state.begun, started_at=self._clock())
        return flight if self._replace(record, state, flight) else None

    def _replace(self, record: Record, state: State, flight: Flight[Outcome] | None) -> bool:
        serve_until = inf if flight is None else flight.started_at + 2 * self._deadline
        new = Record(state, flight, serve_until)
        if not record.replace_with(new):
            return False
        self.record = new
        return True

    def _launch(self, flight: Flight[Outcome], *, can_block: bool) -> None:
        """Run a fetch on another thread. If none can be started: here, if it may block."""
        if flight.launch(self._start_thread):
            return
        if can_block:
            flight.run()
        elif flight.claim():
            self._land(
                flight,
                CredentialsError(
                    "Cannot start a thread to fetch credentials: the interpreter is shutting down, "
                    "or the process has reached its limit of threads."
                ),
            )

    def _fetch(self, flight: Flight[Outcome]) -> None:
        """Fetch, and land with the outcome: credentials or any error."""
        outcome: Outcome
        try:
            outcome = self._source.fetch(flight.started_at + FETCH_SHARE * self._deadline)
        except CredentialsError as error:
            outcome = _without_frames(error)
        except BaseException as error:
            # A bug, or this thread is being killed: waiting callers must get an outcome.
            self._land(flight, _unexpected(error))
            if isinstance(error, Exception):
                return
            raise
        self._land(flight, outcome)

    def _land(self, flight: Flight[Outcome], outcome: Outcome) -> None:
        """Store the outcome, wake the waiting callers, then report it to the application."""
        draw = self._random()
        while True:
            record, now = self.latest(), self._clock()
            before = after = record.state
            if record.flight is not flight:  # dropped, or left behind by a fork
                flight.finish(outcome)
                return
            if isinstance(outcome, Credentials) and outcome.is_expired():
                outcome = self._expired_on_the_way()
            if isinstance(outcome, Credentials):
                after = before.after_success(outcome, flight.number, now, draw)
            else:
                after = before.after_failure(outcome, now, draw)
            if self._replace(record, after, None):
                break
        # The next one may start although a callback or a log handler blocks this thread.
        self._starting.clear()
        flight.finish(outcome)
        self._on_landing()
        self._report(before, after, outcome, now)

    def _report(self, before: State, after: State, outcome: Outcome, now: float) -> None:
        """Write log records and run callbacks. They may use the provider: the fetch has ended."""
        warning = self._source.take_warning()
        if warning is not None:
            log(logging.WARNING, "%s", warning)
        if isinstance(outcome, CredentialsError):
            log(
                logging.WARNING,
                "Failed to fetch credentials; %s; next attempt in %.1f s or later: %s",
                _what_is_left(after, now),
                after.ask_at - now,
                outcome,
            )
        elif after.rotations > before.rotations:
            log(
                logging.INFO,
                "New credentials for role %s, valid until %s",
                outcome.role_name,
                outcome.expiration.isoformat(),
            )
            self.audience.call(outcome, lambda: not self.latest().state.is_news(outcome))

    def _no_outcome(self) -> CredentialsError:
        return MetadataUnreachableError(
            _AT_SHUTDOWN
            if sys.is_finalizing()
            else f"The metadata service returned no credentials within the deadline of "
            f"{self._deadline:g} s. If the service is only slow, pass a longer deadline."
        )

    @staticmethod
    def _expired_on_the_way() -> CredentialsError:
        return CredentialsExpiredError(
            "The credentials from the metadata service expired before they could be used. They are "
            "requested again at the next call."
        )


def _run(steps: Steps[_T]) -> _T:
    """Run a call on this thread."""
    try:
        flight, timeout = next(steps)
        while True:
            flight, timeout = steps.send(flight.wait(timeout))
    except StopIteration as end:
        result: _T = end.value
        return result


async def _run_async(steps: Steps[_T]) -> _T:
    """Run a call in an event loop."""
    try:
        flight, timeout = next(steps)
        while True:
            flight, timeout = steps.send(await flight.wait_async(timeout))
    except StopIteration as end:
        result: _T = end.value
        return result


def _what_is_left(state: State, now: float) -> str:
    if not state.can_serve(now):
        return "there are no valid credentials"
    left = f"the cached credentials are valid for another {state.expires_at - now:.0f} s"
    if state.is_refused:
        return f"{left}, but a service refused them and they were not replaced"
    return left


def _unexpected(error: BaseException) -> CredentialsError:
    outcome = CredentialsError(
        _AT_SHUTDOWN
        if sys.is_finalizing()
        else f"Cannot import the HTTP client: {error}. Reinstall requests and its dependencies."
        if isinstance(error, ImportError)
        else f"The fetch ended in an unexpected {type(error).__name__}. Please report this."
    )
    outcome.__cause__ = _without_frames(error)
    return outcome


_Error = TypeVar("_Error", bound=BaseException)


def _without_frames(error: _Error) -> _Error:
    """Remove the tracebacks of an error and its causes: their frames contain secrets."""
    links: list[BaseException | None] = [error]
    seen: set[int] = set()
    while links:
        link = links.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = None
            links += [link.__cause__, link.__context__]
    return error
