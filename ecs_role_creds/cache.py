"""What providers with equal settings share: credentials, and the one fetch of the next ones."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from math import inf
from typing import Protocol

from ecs_role_creds.clock import Clock, boottime, draw
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import (
    CredentialsError,
    CredentialsExpiredError,
    MetadataUnreachableError,
)
from ecs_role_creds.flight import Flight, Outcome, start_daemon_thread
from ecs_role_creds.state import Record, State

logger = logging.getLogger("ecs_role_creds")

FETCH_SHARE = 0.95
"""The share of the deadline a fetch may take, so that it reports what was wrong before those who
wait for it give up."""


class Source(Protocol):
    """What the cache needs of :class:`~ecs_role_creds.metadata.MetadataClient`."""

    @property
    def mode(self) -> str | None:
        """How the service was asked, for the status."""

    def fetch(self, until: float) -> Credentials:
        """Get credentials, by a reading of the clock; raises :class:`CredentialsError`."""
        ...

    def forget_connections(self) -> None:
        """Leave connections to the parent process, in a forked child."""


class CredentialsCache:
    """Keeps one role's credentials fresh for any number of providers, threads and coroutines.

    Args:
        source: Where credentials come from.
        deadline: Seconds that callers wait at the most, when they have to.
        on_landing: Called after every fetch.
        clock: Reads seconds.
        random: Draws from [0, 1).
        start_thread: Runs a function elsewhere; ``False`` where nothing can be started.
    """

    def __init__(
        self,
        source: Source,
        *,
        deadline: float,
        on_landing: Callable[[], None] = lambda: None,
        clock: Clock = boottime,
        random: Callable[[], float] = draw,
        start_thread: Callable[[Callable[[], object]], bool] = start_daemon_thread,
    ) -> None:
        self._source = source
        self._deadline = deadline
        self._on_landing = on_landing
        self._clock = clock
        self._random = random
        self._start_thread = start_thread
        # Reentrant: a signal handler or a finalizer may ask for credentials on a thread inside it.
        self._lock = threading.RLock()
        self._flight: Flight | None = None
        self.record = Record(State(), -inf)
        self.fetches = 0
        self.rotations = 0

    # What callers do when the hot path does not serve them.

    def get(self) -> Credentials:
        """Credentials that are valid now; waits only where there are none.

        Raises:
            CredentialsError: There are none, and the service gave none.
        """
        served = self._serve_or_join()
        if isinstance(served, Credentials):
            return served
        return self._conclude(served.wait(self._deadline))

    async def get_async(self) -> Credentials:
        """The same, without blocking the event loop."""
        served = self._serve_or_join()
        if isinstance(served, Credentials):
            return served
        return self._conclude(await served.wait_async(self._deadline))

    def refresh(self) -> Credentials:
        """Fetch now, or join the fetch under way; the outcome either way.

        Raises:
            CredentialsError: The fetch failed. Credentials that are still valid are kept.
        """
        with self._lock:
            flight, is_new = self._join_or_take_off()
        if is_new and not self._start_thread(lambda: self._fly(flight)):
            self._fly(flight)
        outcome = flight.wait(self._deadline)
        if isinstance(outcome, Credentials):
            return outcome
        raise self._no_outcome() if outcome is None else outcome.fresh()

    def invalidate(self, refused: Credentials) -> None:
        """Fetch anew at the next call, a service having refused these credentials.

        Nothing happens if they are not the ones in the cache any more, or if the metadata service
        has just confirmed them.
        """
        with self._lock:
            state = self.record.state
            if state.credentials is not None and state.credentials.is_same_token(refused):
                state = state.after_refusal(self._clock())
                self.record = Record(state, self.record.hot_until)

    def ask_if_due(self) -> float:
        """Fetch, on this thread, if it is time to; a poller calls this again and again.

        Returns:
            The clock's reading at which it will be time again.
        """
        with self._lock:
            if not self.record.state.is_due(self._clock()):
                return self.record.state.ask_at
            flight, is_new = self._join_or_take_off()
        if is_new:
            self._fly(flight)
        else:
            flight.wait(self._deadline)
        return self.record.state.ask_at

    @property
    def mode(self) -> str | None:
        """How the service was last asked: ``"hardening"`` or ``"normal"``."""
        return self._source.mode

    @property
    def is_refreshing(self) -> bool:
        """Whether a fetch is under way."""
        return self._flight is not None

    def reset_after_fork(self) -> None:
        """In a forked child: keep the credentials, leave all else to the parent."""
        self._lock = threading.RLock()
        self._flight = None
        self.fetches = self.rotations = 0
        self._source.forget_connections()
        state = self.record.state.after_fork(self._clock(), self._random())
        self.record = Record(state, state.ask_at)

    # How a caller comes to what it gets.

    def _serve_or_join(self) -> Credentials | Flight:
        """The cached credentials, if they can be served; else a flight to wait for.

        Raises:
            CredentialsError: Neither: the last fetch failed a moment ago.
        """
        with self._lock:
            now = self._clock()
            state = self.record.state
            can_serve = state.can_serve(now)
            flight, is_new = self._flight_under_way(now), False
            if flight is None and state.is_due(now):
                flight, is_new = self._join_or_take_off()
        if is_new and flight is not None:
            self._launch(flight, can_wait=can_serve)
        if can_serve and state.credentials is not None:
            return state.credentials
        if flight is not None:
            return flight
        raise state.failure.fresh() if state.failure else self._no_outcome()

    def _conclude(self, outcome: Outcome | None) -> Credentials:
        """What a caller gets who has waited: the credentials in hand, else the outcome."""
        state = self.record.state
        if state.credentials is not None and state.can_serve(self._clock()):
            return state.credentials
        if isinstance(outcome, CredentialsError):
            raise outcome.fresh()
        if outcome is not None and not outcome.is_expired():
            return outcome
        raise self._no_outcome()

    def _no_outcome(self) -> CredentialsError:
        return MetadataUnreachableError(
            f"No credentials came within the deadline of {self._deadline:g} s. If the metadata "
            "service is just slow, pass a longer deadline."
        )

    # The flight.

    def _flight_under_way(self, now: float) -> Flight | None:
        """The fetch under way; one that is lost, its thread having been killed, is given up."""
        flight = self._flight
        if flight is not None and now >= flight.took_off_at + 2 * self._deadline:
            flight = self._flight = None
            self.record = Record(self.record.state, self.record.state.ask_at)
        return flight

    def _join_or_take_off(self) -> tuple[Flight, bool]:
        """The fetch under way, or a new one that the caller has to launch. Under the lock."""
        now = self._clock()
        flight = self._flight_under_way(now)
        if flight is not None:
            return flight, False
        flight = self._flight = Flight(now)
        # Until it lands nobody has to think; should it be lost, somebody does.
        self.record = Record(self.record.state, now + 2 * self._deadline)
        return flight, True

    def _launch(self, flight: Flight, *, can_wait: bool) -> None:
        if self._start_thread(lambda: self._fly(flight)):
            return
        if can_wait:
            # The cached credentials do, and nobody is to be held up.
            self._land(
                flight,
                CredentialsError(
                    "No thread can be started to fetch credentials on: the interpreter is "
                    "shutting down, or the process has too many threads already."
                ),
            )
        else:
            self._fly(flight)

    def _fly(self, flight: Flight) -> None:
        """Fetch, and land with whatever comes of it."""
        outcome: Outcome
        try:
            outcome = self._source.fetch(flight.took_off_at + FETCH_SHARE * self._deadline)
        except CredentialsError as error:
            outcome = error
        except BaseException as error:
            # A defect, or this thread is being killed: those who wait must hear of it.
            self._land(flight, _unexpected(error))
            if isinstance(error, Exception):
                return
            raise
        self._land(flight, outcome)

    def _land(self, flight: Flight, outcome: Outcome) -> None:
        """Take in the news, then wake those who wait for it."""
        with self._lock:
            is_current = self._flight is flight  # else it was taken for lost, and replaced
            now, before = self._clock(), self.record.state
            after = before
            if is_current:
                if isinstance(outcome, Credentials) and outcome.is_expired():
                    outcome = CredentialsExpiredError(
                        "The metadata service's credentials expired while they were fetched; "
                        "they are asked for again."
                    )
                if isinstance(outcome, Credentials):
                    after = before.after_success(outcome, now, self._random())
                    self.fetches += 1
                    self.rotations += before.is_news(outcome)
                else:
                    after = before.after_failure(outcome, now, self._random())
                self.record = Record(after, after.ask_at)
                # Last: whoever sees no fetch under way is to see what came of it.
                self._flight = None
        flight.land(outcome)
        if is_current:
            self._on_landing()
            _log(before, after, outcome, now)


def _unexpected(error: BaseException) -> CredentialsError:
    outcome = CredentialsError(
        "No credentials can be fetched while the interpreter takes its modules apart. Do what "
        "needs them before that: in an atexit handler at the latest."
        if sys.is_finalizing()
        else f"The fetch ended in an unexpected {type(error).__name__}. Please report this."
    )
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None  # its frames could still show a secret
        link = link.__cause__ or link.__context__
    outcome.__cause__ = error
    return outcome


def _log(before: State, after: State, outcome: Outcome, now: float) -> None:
    if isinstance(outcome, CredentialsError):
        logger.warning(
            "Credentials could not be fetched; %s; next attempt in %.1f s at the earliest: %s",
            f"those in hand are valid for another {after.expires_at - now:.0f} s"
            if now < after.expires_at
            else "there are none that are valid",
            after.ask_at - now,
            outcome,
        )
    elif before.is_news(outcome):
        logger.info(
            "New credentials of role %s, expiring %s",
            outcome.role_name,
            outcome.expiration.isoformat(),
        )
