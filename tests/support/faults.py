"""The metadata service's faults, and many threads that call a provider while one lasts.

The tests assert what comes of it, the benchmark tabulates it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from math import inf
from types import FrameType
from typing import Any, NamedTuple

from ecs_role_creds import CredentialsError, EcsRamRoleCredentialsProvider
from ecs_role_creds.clock import boottime, draw
from ecs_role_creds.errors import (
    CredentialsExpiredError,
    MalformedResponseError,
    MetadataServiceError,
    MetadataUnreachableError,
    NoRoleAttachedError,
)
from ecs_role_creds.flight import Flight, start_daemon_thread
from ecs_role_creds.provider import ProviderStatus, Runtime
from ecs_role_creds.testing import FakeMetadataServer, IssuedCredentials

ROLE, NEXT_ROLE = "app-role", "next-role"
RETRY_AFTER = 1.0
PAUSE = 0.005
"""Seconds between two calls of a thread."""
BETWEEN_AGEINGS = 0.2

now = time.perf_counter
Step = Callable[[Any], object]
"""Does something to a fake service: a ``FakeMetadataServer``, or one without a socket."""


# The faults.


class Fault(NamedTuple):
    """Something that happens to a metadata service, and its end.

    Attributes:
        name: As shown in tables.
        begin: Has it begin; where a fetch copes with it, done again before the next.
        end: Has it end.
        error: What it makes of a fetch; ``None``: a fetch copes with it.
        before: Brings the service into the state it begins in, before the first call.
        needs_socket: Whether there is no such fault without one.
    """

    name: str
    begin: Step
    end: Step
    error: type[CredentialsError] | None
    before: Step = lambda service: None
    needs_socket: bool = False


def _recover(service: Any) -> None:
    service.recover()


def _start_again(server: FakeMetadataServer) -> None:
    until = now() + 60
    while now() < until:
        with contextlib.suppress(OSError):  # somebody else tries the port
            server.start()
            return
        time.sleep(0.01)
    server.start()


def _answer_yesterdays_document(service: Any) -> None:
    end = service.now() - timedelta(days=1)
    old = IssuedCredentials(
        access_key_id="STS.FAKEYESTERDAY",
        access_key_secret="fake-secret-yesterday",
        security_token="fake-security-token-yesterday",
        issued_at=end - timedelta(hours=6),
        expiration=end,
        role_name=ROLE,
    )
    service.issued.insert(0, old)
    document = {
        "AccessKeyId": old.access_key_id,
        "AccessKeySecret": old.access_key_secret,
        "SecurityToken": old.security_token,
        "Expiration": f"{old.expiration:%Y-%m-%dT%H:%M:%SZ}",
        "LastUpdated": f"{old.issued_at:%Y-%m-%dT%H:%M:%SZ}",
        "Code": "Success",
    }
    service.answer(json.dumps(document), on="document")


def _switch_to(mode: str) -> Step:
    def switch(service: Any) -> None:
        service.mode = mode

    return switch


DOWN = Fault(
    "down",
    lambda server: server.stop(),
    _start_again,
    MetadataUnreachableError,
    needs_socket=True,
)
HANGING = Fault("hanging", lambda service: service.hang(), _recover, MetadataUnreachableError)
DRIPPING = Fault(
    "responding byte by byte",
    lambda service: service.drip(0.05),
    _recover,
    MetadataUnreachableError,
)
RESETTING = Fault("resetting", lambda service: service.reset(), _recover, MetadataUnreachableError)
THROTTLING = Fault(
    "throttling", lambda service: service.throttle(RETRY_AFTER), _recover, MetadataServiceError
)
HTML = Fault(
    "returning HTML",
    lambda service: service.answer(
        "<html><body>Sign in</body></html>", headers={"Content-Type": "text/html"}
    ),
    _recover,
    MalformedResponseError,
)
YESTERDAY = Fault(
    "returning an expired document",
    _answer_yesterdays_document,
    _recover,
    CredentialsExpiredError,
)
ROLE_LOST = Fault(
    "role lost, then another",
    lambda service: service.detach(),
    lambda service: service.attach(NEXT_ROLE),
    NoRoleAttachedError,
)
HARDENING_ONLY = Fault(
    "hardening mode only, from now on",
    _switch_to("hardening-only"),
    lambda service: None,
    None,
    before=_switch_to("normal-only"),
)
SESSION_TOKENS_LOST = Fault(
    "session tokens forgotten",
    lambda service: service._session_tokens.clear(),
    lambda service: None,
    None,
)
CLOSING_IDLE = Fault(
    "closing idle connections",
    lambda server: server.close_idle_connections(),
    lambda server: None,
    None,
    needs_socket=True,
)
CLOSING_IN_USE = Fault(
    "closing a connection in use",
    lambda service: service.reset(times=1),
    _recover,
    None,
    needs_socket=True,
)
NO_ROTATION = Fault(
    "the same document forever",
    lambda service: setattr(service, "rotation_paused", True),
    lambda service: setattr(service, "rotation_paused", False),
    CredentialsExpiredError,
)

FAULTS = (
    DOWN,
    HANGING,
    DRIPPING,
    RESETTING,
    THROTTLING,
    HTML,
    YESTERDAY,
    ROLE_LOST,
    HARDENING_ONLY,
    SESSION_TOKENS_LOST,
    CLOSING_IDLE,
    CLOSING_IN_USE,
)
"""Those that a provider recovers from within seconds."""


# The service and the provider, with hours that pass at once.


class Ageing:
    """The time that a fake service and a provider share: the real one, and leaps ahead."""

    def __init__(self) -> None:
        self._ahead = 0.0

    @property
    def ahead(self) -> float:
        """Seconds by which it is ahead of the real time."""
        return self._ahead

    def clock(self) -> float:
        """What a provider reads."""
        return boottime() + self.ahead

    def time(self) -> float:
        """Seconds since the epoch, as a service reads them."""
        return time.time() + self.ahead

    def wall_clock(self) -> datetime:
        """The time of day."""
        return datetime.fromtimestamp(self.time(), timezone.utc)

    def leap(self, seconds: float) -> None:
        """Let time pass."""
        self._ahead += seconds


Parts = tuple[str, str, str]


class Subject(NamedTuple):
    """A provider that callers call while there is a fault.

    Attributes:
        get: What they call.
        parts: Takes apart what it returns: AccessKey id, AccessKey secret, security token.
        age: Moves the cached credentials' life to where so many seconds of it are left.
        time: The service's time, in seconds since the epoch.
        status: The provider's figures, where it has any.
        fetches: Sees to it that nobody waits for a fetch; ``None``: nobody looks.
        leap: Lets time pass; ``None``: it passes by itself.
    """

    get: Callable[[], Any]
    parts: Callable[[Any], Parts]
    age: Callable[[float], object]
    time: Callable[[], float] = time.time
    status: Callable[[], ProviderStatus] | None = None
    fetches: WatchedFetches | None = None
    leap: Callable[[float], object] | None = None


class WatchedFetches:
    """Starts each fetch of a provider once every caller has been served since it was begun.

    Attributes:
        waited_for: Fetches that a caller was seen to wait for.
    """

    def __init__(self) -> None:
        self.waited_for = 0
        self._callers: _Callers | None = None

    @contextlib.contextmanager
    def watching(self, callers: _Callers) -> Iterator[None]:
        self._callers = callers
        try:
            yield
        finally:
            self._callers = None

    def start(self, work: Callable[[], object]) -> bool:
        return start_daemon_thread(lambda: (self._look(), work()))

    def _look(self) -> None:
        if (callers := self._callers) is None:
            return
        calls = callers.calls()
        # Nobody is served while the callers are paused.
        while not (callers.have_called_since(calls) or callers.are_paused):
            if callers.wait_for_a_fetch():
                self.waited_for += 1
                return
            time.sleep(0.001)


def free_port() -> int:
    """A port that nobody is given by chance while nobody listens there."""
    while True:
        port = 20_000 + int(12_000 * draw())  # below those the system hands out
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def aged_server(ageing: Ageing) -> FakeMetadataServer:
    """A service that can be stopped and started again, at the same address."""
    return FakeMetadataServer(ROLE, port=free_port(), clock=ageing.time)


def aged_provider(
    server: FakeMetadataServer, ageing: Ageing, fetches: WatchedFetches | None = None
) -> Subject:
    """This library's provider, of whichever role the instance has."""
    runtime = Runtime(
        clock=ageing.clock,
        wall_clock=ageing.wall_clock,
        start_thread=start_daemon_thread if fetches is None else fetches.start,
    )
    provider = EcsRamRoleCredentialsProvider(endpoint=server.endpoint, runtime=runtime)

    return Subject(
        provider.get_credentials,
        lambda one: (one.access_key_id, one.access_key_secret, one.security_token),
        lambda left: ageing.leap(provider.status().expires_in - left),
        ageing.time,
        provider.status,
        fetches,
        ageing.leap,
    )


# Callers, and what they see.


class Recovery(NamedTuple):
    """What came after a fault.

    Attributes:
        was_fetching: Whether a fetch was in progress at the fault's end.
        pending: Seconds from the end until the service might be asked: the current backoff, or the
            one after the fetch in progress (only its length, if the clock jumps).
        failed: Fetches that failed after the end.
        took: Seconds from the end until there were new credentials; 0 where they had come before,
            ``None`` where they did not come.
        is_asked_when_due: Whether, where time leaps over the back-off, the next calls ask.
    """

    was_fetching: bool
    pending: float
    failed: int
    took: float | None
    is_asked_when_due: bool = True


class Observed(NamedTuple):
    """What callers saw of a fault, and what the service saw of them.

    Attributes:
        calls: How many there were.
        failed: How many of them raised.
        failed_while_valid: How many of those while credentials were valid all the time.
        errors: What they raised, and how often.
        torn: Credentials whose parts are not of one issue; equal ones count once.
        expired: Calls that gave credentials which had expired before the call.
        longest: The longest call.
        longest_while_valid: The same, of calls during all of which credentials were valid.
        longest_beside: The same, of what was called beside.
        lasted: Seconds from the fault's begin to its end.
        ageings: How often credentials were made to look old meanwhile.
        requests: Requests received meanwhile.
        failed_fetches: Most fetches that failed in a row, up to its end.
        recovery: What came after; ``None`` where the subject tells no figures.
    """

    calls: int
    failed: int
    failed_while_valid: int
    errors: Counter[type[Exception]]
    torn: int
    expired: int
    longest: float
    longest_while_valid: float
    longest_beside: float
    lasted: float
    ageings: int
    requests: int
    failed_fetches: int
    recovery: Recovery | None


class _Tally:
    """What one thread saw, or all of them."""

    def __init__(self) -> None:
        self.calls = 0
        self.failed_while_valid = 0
        self.errors: Counter[type[Exception]] = Counter()
        self.seen: set[Parts] = set()
        self.expired = 0
        self.last: object = None
        self.expiration = inf
        self.longest = self.longest_while_valid = self.longest_beside = 0.0

    def add(self, other: _Tally) -> None:
        self.calls += other.calls
        self.failed_while_valid += other.failed_while_valid
        self.errors += other.errors
        self.seen |= other.seen
        self.expired += other.expired
        self.longest = max(self.longest, other.longest)
        self.longest_while_valid = max(self.longest_while_valid, other.longest_while_valid)
        self.longest_beside = max(self.longest_beside, other.longest_beside)


_looking = threading.Lock()


def _current_frames() -> dict[int, FrameType]:
    """The frame of each thread, by its identifier.

    Without garbage collection: before Python 3.12, one that begins in the call may block all
    threads for good (https://github.com/python/cpython/issues/106883).
    """
    with _looking:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames()
        finally:
            if was_enabled:
                gc.enable()


class _Callers:
    """Threads that call a provider every few milliseconds, inside a ``with`` block."""

    def __init__(
        self,
        server: FakeMetadataServer,
        subject: Subject,
        threads: int,
        beside: Callable[[], object] | None,
    ) -> None:
        self._server = server
        self._subject = subject
        self._beside = beside
        self._stop = threading.Event()
        self._may_call = threading.Event()
        self._may_call.set()
        self._calling = [threading.Lock() for _ in range(threads)]
        self._tallies = [_Tally() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._work, args=both, daemon=True)
            for both in zip(self._tallies, self._calling, strict=True)
        ]
        self.valid_until = inf
        """The initial credentials are valid until then, or longer."""
        self.valid_from = inf
        """From when on there were valid ones again."""
        self.has_failed = False

    def __enter__(self) -> _Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=300)
        if any(thread.is_alive() for thread in self._threads):
            raise TimeoutError("a caller does not come back")

    def total(self) -> _Tally:
        total = _Tally()
        for tally in self._tallies:
            total.add(tally)
        return total

    def calls(self) -> list[int]:
        """How many each has made."""
        return [tally.calls for tally in self._tallies]

    def have_called_since(self, calls: list[int]) -> bool:
        """Whether each has made a whole call since, whatever it was at then."""
        if self._stop.is_set():
            return True
        return all(now >= then + 2 for now, then in zip(self.calls(), calls, strict=True))

    def wait_for_a_fetch(self) -> bool:
        """Whether one of them is waiting for the outcome of a fetch."""
        frames = _current_frames()
        for thread in self._threads:
            frame = frames.get(thread.ident or 0)
            while frame is not None:
                if frame.f_code is Flight.wait.__code__:
                    return True
                frame = frame.f_back
        return False

    @property
    def are_paused(self) -> bool:
        return not self._may_call.is_set()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Nobody calls inside the block."""
        self._may_call.clear()
        with contextlib.ExitStack() as stack:
            stack.callback(self._may_call.set)
            for calling in self._calling:
                stack.enter_context(calling)
            yield

    def _work(self, tally: _Tally, calling: threading.Lock) -> None:
        while not self._stop.is_set():
            self._may_call.wait()
            with calling:
                self._call(tally)
            time.sleep(PAUSE)

    def _call(self, tally: _Tally) -> None:
        time_before = self._subject.time()
        begin = now()
        error = None
        try:
            got = self._subject.get()
        except Exception as caught:
            got, error = None, type(caught)
        end = now()
        tally.longest = max(tally.longest, end - begin)
        was_valid = end < self.valid_until or begin > self.valid_from
        if was_valid:
            tally.longest_while_valid = max(tally.longest_while_valid, end - begin)
        if error is not None:
            self.has_failed = True
            tally.errors[error] += 1
            tally.failed_while_valid += was_valid
        else:
            if got is not tally.last:
                tally.last = got
                tally.expiration = self._look_at(self._subject.parts(got), tally)
            tally.expired += time_before >= tally.expiration
        tally.calls += 1
        if self._beside is not None:
            begin = now()
            self._beside()
            tally.longest_beside = max(tally.longest_beside, now() - begin)

    def _look_at(self, parts: Parts, tally: _Tally) -> float:
        """Remember them; when they expire."""
        tally.seen.add(parts)
        issued = self._server.find_issued(parts[0])
        return inf if issued is None else issued.expiration.timestamp()


def _is_torn(server: FakeMetadataServer, parts: Parts) -> bool:
    issued = server.find_issued(parts[0])
    return issued is None or (issued.access_key_secret, issued.security_token) != parts[1:]


# A fault's course.


def run_fault(
    fault: Fault,
    server: FakeMetadataServer,
    subject: Subject,
    *,
    left: float,
    lasts: float,
    threads: int = 64,
    beside: Callable[[], object] | None = None,
    patience: float = 60.0,
    leaps: bool = False,
) -> Observed:
    """Have threads call a provider from before a fault's begin until it has new credentials.

    As the fault begins, the credentials in hand are made to look old. A fetch that copes with it
    gets new ones; those are made to look old in turn.

    Args:
        fault: What happens.
        server: To whom.
        subject: Who is called.
        left: Seconds of life left in the credentials as the fault begins.
        lasts: Seconds from its begin to its end. Where the subject tells its figures, it lasts
            longer if need be: until a fetch has met it, and, where it outlasts the credentials,
            a caller has noticed.
        threads: How many call, every 5 ms.
        beside: Called by each of them after each call, to compare.
        patience: Seconds to wait for what has to come.
        leaps: Whether the back-off after the fault's end is leapt over.

    Raises:
        TimeoutError: Nobody noticed the fault.
    """
    fault.before(server)
    subject.get()
    with _Callers(server, subject, threads, beside) as callers, contextlib.ExitStack() as stack:
        if subject.fetches is not None:
            stack.enter_context(subject.fetches.watching(callers))
        time.sleep(0.1)
        course = _Course(fault, server, subject, callers, left, lasts)
        course.run(patience)
        recovery = course.recover_by_leaps(patience) if leaps else course.recover(patience)
        callers.valid_from = now()
        time.sleep(0.1)
    total = callers.total()
    return Observed(
        calls=total.calls,
        failed=sum(total.errors.values()),
        failed_while_valid=total.failed_while_valid,
        errors=total.errors,
        torn=sum(_is_torn(server, parts) for parts in total.seen),
        expired=total.expired,
        longest=total.longest,
        longest_while_valid=total.longest_while_valid,
        longest_beside=total.longest_beside,
        lasted=course.lasted,
        ageings=course.ageings,
        requests=course.requests,
        failed_fetches=course.failed_fetches,
        recovery=recovery,
    )


def _wait_until(is_so: Callable[[], bool], patience: float) -> None:
    until = now() + patience
    while not is_so():
        if now() > until:
            raise TimeoutError("it did not come to be in time")
        time.sleep(0.002)


class _Course:
    """A fault, from its begin until it is over and done with."""

    def __init__(
        self,
        fault: Fault,
        server: FakeMetadataServer,
        subject: Subject,
        callers: _Callers,
        left: float,
        lasts: float,
    ) -> None:
        self._fault = fault
        self._server = server
        self._subject = subject
        self._callers = callers
        self._left = left
        self._lasts = lasts
        self._rotations = 0
        self._aged_at = 0.0
        self.lasted = 0.0
        self.ageings = self.requests = self.failed_fetches = 0

    def run(self, patience: float) -> None:
        """From its begin to its end."""
        fault, server = self._fault, self._server
        asked, begin = len(server.requests), now()
        self._begin()
        while now() < begin + self._lasts or not self._is_noticed():
            if now() > begin + self._lasts + patience:
                raise TimeoutError(f"nobody noticed that the service is {fault.name}")
            if self._subject.status is not None:
                failures = self._subject.status().failures
                self.failed_fetches = max(self.failed_fetches, failures)
            if fault.error is None and self._has_new() and now() > self._aged_at + BETWEEN_AGEINGS:
                self._begin()
            time.sleep(0.01)
        fault.end(server)
        self.lasted = now() - begin
        self.requests = len(server.requests) - asked

    def recover(self, patience: float) -> Recovery | None:
        """From its end until there are new credentials."""
        status = self._subject.status
        if status is None:
            time.sleep(0.2)  # callers that were waiting get their result
            return None
        ended = now()
        latest = status()
        was_fetching, failures, failed = latest.is_refreshing, latest.failures, 0
        pending = latest.next_request_in
        self.failed_fetches = max(self.failed_fetches, failures)
        took = 0.0
        while latest.rotations == self._rotations:
            if took > patience:
                return Recovery(was_fetching, pending, failed, None)
            time.sleep(0.001)
            latest, took = status(), now() - ended
            if latest.failures > failures + failed:
                failed = latest.failures - failures
                if was_fetching and failed == 1:
                    pending = took + latest.next_request_in
        return Recovery(was_fetching, pending, failed, took)

    def recover_by_leaps(self, patience: float) -> Recovery:
        """The same, with time that leaps over the back-off."""
        status, leap = self._subject.status, self._subject.leap
        assert status is not None
        assert leap is not None
        ended, is_asked_when_due = now(), True
        with self._callers.paused():  # so that no fetch begins
            was_fetching, failures = status().is_refreshing, status().failures
            _wait_until(lambda: not status().is_refreshing, patience)
            latest = status()
            failed = max(0, latest.failures - failures)
            pending = 0.0
            if latest.rotations == self._rotations:
                pending = latest.next_request_in
                leap(pending)
        self.failed_fetches = max(self.failed_fetches, failures)
        if latest.rotations == self._rotations:
            calls = self._callers.calls()
            _wait_until(lambda: self._callers.have_called_since(calls), patience)
            later = status()
            is_asked_when_due = later.is_refreshing or later != latest._replace(
                expires_in=later.expires_in, next_request_in=later.next_request_in
            )
        _wait_until(
            lambda: status().rotations > self._rotations or status().failures > failures + failed,
            patience,
        )
        latest = status()
        failed = max(failed, latest.failures - failures)
        took = None if latest.rotations == self._rotations else now() - ended
        return Recovery(was_fetching, pending, failed, took, is_asked_when_due)

    def _begin(self) -> None:
        self._fault.begin(self._server)
        if self._subject.status is not None:
            self._rotations = self._subject.status().rotations
        self._aged_at = now()
        self._callers.valid_until = min(self._callers.valid_until, self._aged_at + self._left)
        self._subject.age(self._left)
        self.ageings += 1

    def _has_new(self) -> bool:
        status = self._subject.status
        return status is None or status().rotations > self._rotations

    def _is_noticed(self) -> bool:
        if self._subject.status is None:
            return True
        if self._fault.error is None:
            return self.ageings > 1
        status = self._subject.status()
        are_over = status.expires_in == 0 and self._callers.has_failed
        return status.failures > 0 and (are_over or self._left > self._lasts)
