"""Edges: the exact moment, the exact count, the second call. Mutation testing asked for each."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from types import ModuleType, SimpleNamespace

import pytest
from support import Launcher, MovableClock, ScriptedSource, build_cache, fake_credentials
from support.plain_http import wait_until

from ecs_role_creds import (
    Credentials,
    CredentialsError,
    EcsRamRoleCredentialsProvider,
    reporting,
)
from ecs_role_creds.cache import LAUNCH_GRACE, CredentialsCache, _without_frames
from ecs_role_creds.errors import (
    MetadataServiceError,
    MetadataUnreachableError,
    NoRoleAttachedError,
)
from ecs_role_creds.flight import Flight, Signal, start_daemon_thread
from ecs_role_creds.health import Health, health_of
from ecs_role_creds.polling import MAX_NAP, PollingSwitch, _poll
from ecs_role_creds.preload import IMPORT_LIMIT
from ecs_role_creds.provider import Runtime
from ecs_role_creds.reporting import Audience, RotationCallbacks
from ecs_role_creds.retries import Limits, RetryingClient
from ecs_role_creds.schedule import Lifetime, waits_for_first_attempt
from ecs_role_creds.state import Record, State
from ecs_role_creds.testing import FakeMetadataServer

LONG = 60.0
LIFE = 3600.0


# The exact moment.


@pytest.mark.parametrize("call", ["get_credentials", "get_credentials_nowait", "async"])
def test_at_the_moment_of_expiration_they_have_expired(
    ecs_metadata: FakeMetadataServer, clock: MovableClock, call: str
) -> None:
    provider = EcsRamRoleCredentialsProvider(
        deadline=LONG, runtime=Runtime(clock=clock, start_thread=Launcher())
    )
    old = fake_credentials(1, clock, LIFE)
    provider._cache = build_cache(
        ScriptedSource(old, CredentialsError("no more")),
        clock,
        start_thread=lambda work: not work(),
    )
    provider._cache.refresh()
    clock.advance(LIFE - 60.0)
    with pytest.raises(CredentialsError):
        provider._cache.refresh()  # the attempt after which nobody waits
    clock.advance(59.0)
    assert provider.get_credentials() is old
    clock.advance(1.0)
    assert old.is_expired()
    calls: dict[str, Callable[[], object]] = {
        "get_credentials": provider.get_credentials,
        "get_credentials_nowait": provider.get_credentials_nowait,
        "async": lambda: asyncio.run(provider.get_credentials_async()),
    }
    with pytest.raises(CredentialsError):
        calls[call]()


def test_who_waits_for_the_first_attempt() -> None:
    life = Lifetime(0.0, 7200.0)
    before = life.opens_at - 1.0
    assert not waits_for_first_attempt(life.close_at, life, before)
    assert waits_for_first_attempt(life.close_at + 0.1, life, before)
    assert waits_for_first_attempt(life.expires_at - 0.1, life, before)
    assert not waits_for_first_attempt(life.expires_at, life, before)
    assert not waits_for_first_attempt(life.expires_at - 0.1, life, life.opens_at)


# What a state remembers.


def test_a_child_without_valid_credentials_asks_no_later_than_its_parent(
    clock: MovableClock,
) -> None:
    """The parent has failed once, and has then been idle for hours."""
    state = State().after_success(fake_credentials(1, clock, LIFE), 1, clock(), 0.5)
    state = state.after_failure(CredentialsError("trouble"), clock(), 0.5)
    clock.advance(LIFE)
    child = state.after_fork(clock(), 0.9)
    assert child.ask_at == state.ask_at
    assert child.is_due(clock())
    # An outage in progress: the children do not all ask at the parent's next moment.
    state = state.after_failure(CredentialsError("trouble"), clock(), 0.9)
    child = state.after_fork(clock(), 0.1)
    assert clock() < child.ask_at < state.ask_at


def test_an_attempt_at_the_opening_of_the_window_counts(clock: MovableClock) -> None:
    state = State().after_success(fake_credentials(1, clock), 1, clock(), 0.5)
    assert state.attempted_at == clock()
    assert state.life is not None
    asked = state._replace(ask_at=inf, attempted_at=state.life.opens_at)
    assert Record(asked).hot_until == state.life.expires_at
    unasked = state._replace(ask_at=inf, attempted_at=state.life.opens_at - 0.001)
    assert Record(unasked).hot_until == state.life.close_at


def test_failures_are_counted_until_a_success(clock: MovableClock) -> None:
    first = fake_credentials(1, clock)
    error = CredentialsError("trouble")
    state = State().after_failure(error, clock(), 0.5)
    assert (state.failures, state.failed, state.failure) == (1, 1, error)
    assert state.attempted_at == clock()
    state = state.after_success(first, 1, clock(), 0.5).after_failure(error, clock() + 1.0, 0.5)
    assert (state.failures, state.failed, state.rotations) == (1, 2, 1)
    assert state.attempted_at == clock() + 1.0
    state = state.after_success(first, 2, clock() + 2.0, 0.5)
    assert (state.failures, state.failed, state.failure) == (0, 2, None)
    assert (state.fetches, state.rotations, state.attempted_at) == (2, 1, clock() + 2.0)
    state = state.after_success(fake_credentials(2, clock), 3, clock() + 3.0, 0.5)
    assert (state.failed, state.rotations) == (2, 2)


def test_credentials_that_are_confirmed_are_the_ones_of_the_last_answer(
    clock: MovableClock,
) -> None:
    first, again = fake_credentials(1, clock), fake_credentials(1, clock, life=21700.0)
    state = State().after_success(first, 1, clock(), 0.5).after_success(again, 2, clock(), 0.5)
    assert state.credentials is again
    assert state.expires_at == clock() + 21700.0


def test_a_role_that_is_gone_ends_refused_credentials_and_keeps_the_counts(
    clock: MovableClock,
) -> None:
    state = State().after_begin().after_success(fake_credentials(1, clock), 1, clock(), 0.5)
    state = state.after_failure(CredentialsError("trouble"), clock(), 0.5)
    state = state.after_refusal(clock())
    assert state.is_withheld
    over = state.after_failure(NoRoleAttachedError("no role"), clock() + 5.0, 0.5)
    assert over.credentials is None
    assert over.life is None
    assert (over.begun, over.fetches, over.rotations, over.failed) == (1, 1, 1, 2)
    assert (over.failures, over.attempted_at) == (2, clock() + 5.0)
    # With nothing to serve, it asks again within 10 s, not within a quarter of a life.
    assert over.ask_at <= clock() + 15.0


def test_refused_credentials_that_are_not_replaced_are_served(clock: MovableClock) -> None:
    first = fake_credentials(1, clock)
    state = State().after_success(first, 1, clock(), 0.5).after_refusal(clock())
    kept = state.after_failure(CredentialsError("trouble"), clock(), 0.5)
    assert (kept.is_withheld, kept.is_refused) == (False, True)
    confirmed = state.after_success(first, state.refused_after + 1, clock(), 0.5)
    assert (confirmed.is_withheld, confirmed.is_refused) == (False, False)


def test_a_forked_child_counts_from_zero(clock: MovableClock) -> None:
    state = State().after_begin().after_success(fake_credentials(1, clock), 1, clock(), 0.5)
    child = state.after_refusal(clock()).after_fork(clock(), 0.5)
    assert (child.begun, child.fetches, child.rotations, child.failed) == (0, 0, 0, 0)
    assert child.refused_after == 0


# Health.


def test_what_a_health_check_says(clock: MovableClock) -> None:
    first, error = fake_credentials(1, clock, LIFE), CredentialsError("Trouble.")
    cold = State()
    fine = cold.after_success(first, 1, clock(), 0.5)
    failing = fine.after_failure(error, clock(), 0.5)
    refused = fine.after_refusal(clock()).after_failure(error, clock(), 0.5)
    valid = "The credentials are valid for another 3600 s."
    assert health_of(cold, clock()) == Health(
        False, "not-started", "Nothing has been fetched yet.", 0.0
    )
    assert health_of(fine, clock()) == Health(True, "ok", valid, LIFE)
    assert health_of(failing, clock()) == Health(
        True, "failing", f"{valid} The last fetch failed: Trouble.", LIFE
    )
    assert health_of(refused, clock()) == Health(
        False,
        "refused",
        "A service refused the credentials, and they were not replaced. "
        "The last fetch failed: Trouble.",
        LIFE,
    )
    assert health_of(fine, clock() + LIFE) == Health(
        False,
        "no-credentials",
        "The credentials have expired, and no new ones were requested yet.",
        0.0,
    )
    assert health_of(cold.after_failure(error, clock(), 0.5), clock()) == Health(
        False, "no-credentials", "The last fetch failed: Trouble.", 0.0
    )


def test_a_health_check_in_a_coroutine_reports_a_failure(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.detach()
    found = asyncio.run(EcsRamRoleCredentialsProvider(deadline=LONG).check_health_async())
    assert found.condition == "no-credentials"


def test_a_status_reports_refusals_and_failures(
    ecs_metadata: FakeMetadataServer, clock: MovableClock
) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=LONG, runtime=Runtime(clock=clock))
    provider.invalidate(provider.get_credentials())
    ecs_metadata.fail(403)
    provider.get_credentials()
    assert (provider.status().is_refused, provider.status().failed) == (True, 1)


# Launching a fetch.


def test_a_second_launch_is_the_last() -> None:
    launcher, done = Launcher(), []
    flight: Flight[None] = Flight(done.append)
    flight.launch(lambda _: True)  # a thread that never runs
    flight.launch_again(launcher)
    flight.launch_again(launcher)
    assert len(launcher.waiting) == 1
    launcher.run_all()
    assert done == [flight]


def test_nothing_is_launched_again_once_a_thread_has_begun() -> None:
    launcher, done = Launcher(), []
    flight: Flight[None] = Flight(done.append)
    flight.run()
    flight.launch_again(launcher)
    assert not launcher.waiting


def test_the_threads_of_a_fetch_do_not_keep_the_process(
    ecs_metadata: FakeMetadataServer,
) -> None:
    kinds: set[bool] = set()
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)
    provider.on_rotation(lambda _: kinds.add(threading.current_thread().daemon))
    provider.refresh()
    before = threading.enumerate()  # a poller of an earlier test may be about to end
    with provider.polling():
        wait_until(lambda: bool(set(threading.enumerate()) - set(before)))
        kinds |= {one.daemon for one in threading.enumerate() if one not in before}
    assert kinds == {True}


def waiting_cache(clock: MovableClock, launcher: Launcher) -> tuple[CredentialsCache, Credentials]:
    """A cache whose credentials are valid, and due for a refresh."""
    first = fake_credentials(1, clock, LIFE)
    cache = build_cache(ScriptedSource(first), clock, deadline=LONG, start_thread=launcher)
    cache.start_if_due()
    launcher.run_all()
    clock.advance(LIFE - 900.0)
    return cache, first


def test_one_thread_is_started_for_calls_that_do_not_wait(clock: MovableClock) -> None:
    launcher = Launcher()
    cache, first = waiting_cache(clock, launcher)
    assert cache.get_nowait() is first
    assert cache.get_nowait() is first
    assert len(launcher.waiting) == 1
    launcher.run_all()
    cache.start_if_due()  # not due any more
    assert not launcher.waiting
    clock.advance(600.0)
    cache.start_if_due()
    assert len(launcher.waiting) == 1


def test_a_thread_that_cannot_be_started_is_tried_again(clock: MovableClock) -> None:
    launcher = Launcher()
    cache, first = waiting_cache(clock, launcher)
    launcher.is_shut_down = True
    assert cache.get_nowait() is first
    launcher.is_shut_down = False
    assert cache.get_nowait() is first
    assert len(launcher.waiting) == 1


def test_after_a_fork_a_fetch_can_be_started_without_waiting(clock: MovableClock) -> None:
    launcher = Launcher()
    cache, _ = waiting_cache(clock, launcher)
    cache.start_if_due()
    launcher.waiting.clear()  # that thread is the parent's
    cache.reset_after_fork()
    clock.advance(600.0)
    cache.start_if_due()
    assert len(launcher.waiting) == 1


def test_a_refusal_does_not_end_the_fetch_in_progress(clock: MovableClock) -> None:
    launcher = Launcher()
    cache, first = waiting_cache(clock, launcher)
    cache.get()  # begins a fetch in the background
    flight = cache.latest().flight
    assert flight is not None
    cache.invalidate(first)
    assert cache.latest().flight is flight


class Importing(ScriptedSource):
    """A source whose HTTP client is being imported."""

    def __init__(self, *outcomes: Credentials) -> None:
        super().__init__(*outcomes)
        self.imported: Flight[bool] | None = Flight(lambda _: None)

    def pending_import(self) -> Flight[bool] | None:  # type: ignore[override]
        return self.imported


def test_whether_the_import_has_ended(clock: MovableClock) -> None:
    source = Importing(fake_credentials(1, clock))
    cache = build_cache(source, clock)
    assert not cache.import_http_client()
    assert source.imported is not None
    source.imported.finish(True)
    assert cache.import_http_client()
    source.imported = None
    assert cache.import_http_client()


# Errors.


def test_an_import_that_fails_is_told_of(clock: MovableClock) -> None:
    cache = build_cache(ScriptedSource(ImportError("No module named 'idna'")), clock)
    with pytest.raises(CredentialsError, match="Cannot import the HTTP client: No module named"):
        cache.get()


def test_an_import_that_fails_in_any_way_is_an_import_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> None:
            raise RuntimeError("half of it is missing")

    monkeypatch.setitem(sys.modules, "ecs_role_creds.transport", Broken("transport"))
    client = RetryingClient("http://127.0.0.1:1")
    with pytest.raises(ImportError, match="RuntimeError: half of it is missing"):
        client.send("GET", "/", {}, Limits(client._clock() + LONG))


def with_frames(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_no_error_of_a_chain_keeps_its_frames() -> None:
    first, cause, context = (with_frames(ValueError(str(one))) for one in range(3))
    last = with_frames(ValueError("last"))
    first.__cause__, first.__context__ = cause, context
    context.__cause__, last.__context__ = last, first  # a circle
    _without_frames(first)
    assert [one.__traceback__ for one in (first, cause, context, last)] == [None] * 4


def test_refused_arguments_are_named(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider()
    with pytest.raises(TypeError, match="not str"):
        provider.invalidate("STS.FAKE")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not int"):
        provider.on_rotation(7)  # type: ignore[arg-type]


def test_a_fetch_has_a_number_of_requests(ecs_metadata: FakeMetadataServer) -> None:
    client = RetryingClient(ecs_metadata.endpoint, sleep=lambda _: None)
    limits = Limits(client._clock() + LONG)
    limits.requests_left = 3
    ecs_metadata.fail(500, times=2)
    client.send("GET", "/latest/api/token", {}, limits)
    assert (limits.requests_left, len(ecs_metadata.requests)) == (0, 3)
    with pytest.raises(MetadataServiceError, match=r"Gave up after 12 requests.*Check what is"):
        client.send("GET", "/latest/api/token", {}, limits)
    assert len(ecs_metadata.requests) == 3


def test_pauses_double(ecs_metadata: FakeMetadataServer) -> None:
    pauses: list[float] = []
    client = RetryingClient(ecs_metadata.endpoint, sleep=pauses.append, random=lambda: 0.5)
    ecs_metadata.fail(500)
    with pytest.raises(MetadataServiceError):
        client.send("GET", "/latest/api/token", {}, Limits(client._clock() + LONG))
    assert pauses == pytest.approx([0.1, 0.2])


# Polling.


def test_a_poller_sleeps_until_the_next_request(clock: MovableClock) -> None:
    cache = build_cache(ScriptedSource(fake_credentials(1, clock, LIFE)), clock)
    nap = PollingSwitch(cache, clock).fetch_if_due()
    assert nap == cache.latest().state.ask_at - clock()
    assert nap > 0


def test_an_import_that_no_thread_has_begun_is_launched_again(clock: MovableClock) -> None:
    """The caller that should have launched it was interrupted, and only a poller is left."""
    source = Importing(fake_credentials(1, clock))
    source.imported = Flight(lambda flight: flight.finish(True))
    assert build_cache(source, clock).import_http_client(LONG)


def test_a_defect_does_not_end_a_poller(
    clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(ScriptedSource):
        def pending_import(self) -> None:
            raise ZeroDivisionError

    switch = PollingSwitch(build_cache(Broken(), clock), clock)
    assert switch.fetch_if_due() == MAX_NAP
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "Unexpected error while polling. Please report this"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@pytest.mark.parametrize("call", ["get_credentials", "get_credentials_nowait", "async"])
def test_the_moment_when_a_fetch_is_due(
    ecs_metadata: FakeMetadataServer, clock: MovableClock, call: str
) -> None:
    provider = EcsRamRoleCredentialsProvider(runtime=Runtime(clock=clock))
    source = ScriptedSource(fake_credentials(1, clock, LIFE), fake_credentials(2, clock, 2 * LIFE))
    provider._cache = build_cache(source, clock, start_thread=lambda work: not work())
    provider._cache.refresh()
    clock.now = provider._cache.record.hot_until
    calls: dict[str, Callable[[], object]] = {
        "get_credentials": provider.get_credentials,
        "get_credentials_nowait": provider.get_credentials_nowait,
        "async": lambda: asyncio.run(provider.get_credentials_async()),
    }
    calls[call]()
    assert source.fetches == 2


def test_refresh_begins_again_where_the_record_changed_meanwhile(clock: MovableClock) -> None:
    first = fake_credentials(1, clock)
    readings = iter(["the limit of the call", "the begin of the fetch"])

    def change_at_the_begin() -> float:
        if next(readings, None) == "the begin of the fetch":
            cache.reset_after_fork()
        return clock()

    cache = build_cache(ScriptedSource(first), change_at_the_begin)  # type: ignore[arg-type]
    assert cache.refresh() is first
    assert cache.latest().state.begun == 1


def test_refresh_in_a_child_that_was_forked_while_it_waited_begins_again(
    clock: MovableClock,
) -> None:
    """Forked by native code, which calls no hook."""
    first = fake_credentials(1, clock)
    parents: list[object] = []

    def start(work: Callable[[], object]) -> bool:
        if parents:
            work()
        else:
            flight = cache.latest().flight
            assert flight is not None
            flight._pid = -1
            parents.append(flight)
        return True

    cache = build_cache(ScriptedSource(first), clock, start_thread=start)
    assert cache.refresh() is first


def test_waiting_for_no_time_in_a_coroutine_ends_at_once() -> None:
    async def main() -> None:
        flight: Flight[bool] = Flight(lambda flight: None)
        waiting = asyncio.ensure_future(flight.wait_async(-1.0))
        for _ in range(10):
            await asyncio.sleep(0)
        assert waiting.done()
        assert await waiting is None

    asyncio.run(main())


def test_the_setting_of_a_switch_is_kept_as_the_latest(clock: MovableClock) -> None:
    """Else each call would follow the whole chain of those that were replaced, and keep it."""
    switch = PollingSwitch(build_cache(ScriptedSource(fake_credentials(1, clock)), clock), clock)
    for _ in range(3):
        switch.start()
        switch.stop()
    assert not switch.is_on
    assert switch._setting is switch._setting.latest()


def test_idle_connections_age_by_the_clock_of_the_client(
    ecs_metadata: FakeMetadataServer, clock: MovableClock
) -> None:
    client = RetryingClient(ecs_metadata.endpoint, clock=clock)
    client.send("GET", "/latest/api/token", {}, Limits(clock() + LONG))
    assert client._transport is not None
    assert client._transport._clock is clock


class PendingImport:
    """An import that does not end."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.launches = 0

    def wait(self, timeout: float) -> None:
        self.waits.append(timeout)

    def launch_again(self, start_thread: object) -> None:
        self.launches += 1


@pytest.mark.parametrize(
    ("timeout", "waits", "launches"),
    [
        ((), [0.0], 0),
        ((LAUNCH_GRACE,), [LAUNCH_GRACE], 0),
        ((5.0,), [LAUNCH_GRACE, 5.0], 1),
    ],
)
def test_how_long_the_import_is_waited_for(
    clock: MovableClock, timeout: tuple[float], waits: list[float], launches: int
) -> None:
    source, pending = ScriptedSource(CredentialsError("none")), PendingImport()
    source.pending_import = lambda: pending  # type: ignore[method-assign,assignment,return-value]
    cache = build_cache(source, clock)
    assert not cache.import_http_client(*timeout)
    assert (pending.waits, pending.launches) == (waits, launches)


def test_a_poller_waits_for_the_import(clock: MovableClock) -> None:
    source, pending = ScriptedSource(CredentialsError("none")), PendingImport()
    source.pending_import = lambda: pending  # type: ignore[method-assign,assignment,return-value]
    build_cache(source, clock).ask_if_due()
    assert pending.waits == [LAUNCH_GRACE, IMPORT_LIMIT]
    limits: list[float] = []
    cache = SimpleNamespace(import_http_client=limits.append, ask_if_due=lambda: clock() + LONG)
    switch = PollingSwitch(cache, clock)  # type: ignore[arg-type]
    switch.start()
    switch.stop()
    assert limits == [IMPORT_LIMIT]


def test_a_poller_does_not_sleep_if_a_fetch_is_due() -> None:
    naps: list[float] = []

    def wait(timeout: float) -> bool:
        naps.append(timeout)
        return True

    switch = SimpleNamespace(fetch_if_due=lambda: -5.0, is_polled_by=lambda _: True)
    ends: list[bool] = []
    signal = SimpleNamespace(is_set=False, wait=wait, set=lambda: ends.append(True))
    _poll(lambda: switch, signal, ["work"])  # type: ignore[arg-type,return-value]
    assert (naps, ends) == ([0.0], [True])


def test_only_the_first_thread_of_a_poller_polls() -> None:
    signal = Signal()
    _poll(lambda: pytest.fail("it looked for the provider"), signal, [])
    assert not signal.is_set


def test_a_poller_that_is_stopped_before_its_thread_runs_fetches_nothing() -> None:
    signal = Signal()
    signal.set()
    _poll(lambda: pytest.fail("it looked for the provider"), signal, ["work"])


def test_a_signal_that_is_set_does_not_wait() -> None:
    signal = Signal()
    assert signal.is_set is False
    signal.set()
    assert signal.is_set is True
    assert signal.wait(LONG) is True
    assert signal.wait(LONG) is True


def test_waiting_in_a_coroutine_goes_on_for_as_long_as_was_said(
    ecs_metadata: FakeMetadataServer,
) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)
    ecs_metadata.detach()

    async def attach_after_a_failure() -> Credentials:
        waiting = asyncio.ensure_future(provider.wait_async(LONG))
        while provider.status().failures == 0:  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(0.001)
        ecs_metadata.attach("app-role")
        return await waiting

    assert ecs_metadata.is_valid(asyncio.run(attach_after_a_failure()))


# Interpreter shutdown, where no other thread runs any more.


def test_at_shutdown_nobody_waits(clock: MovableClock, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Importing(fake_credentials(1, clock))
    cache = build_cache(source, clock, deadline=LONG, start_thread=Launcher())
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    for call in (cache.get, cache.refresh):
        with pytest.raises(CredentialsError, match=r"during interpreter shutdown.*atexit"):
            call()
    source.imported = None
    for call in (cache.get, cache.refresh):
        with pytest.raises(MetadataUnreachableError, match=r"during interpreter shutdown.*atexit"):
            call()
    with pytest.raises(RuntimeError, match="Cannot start polling during interpreter shutdown"):
        PollingSwitch(cache, clock).start()


# Callbacks.


def test_an_audience_forgets_callbacks_that_are_gone(clock: MovableClock) -> None:
    audience, callbacks, heard = Audience(), RotationCallbacks(), []
    callbacks.add(heard.append)
    audience.add(callbacks)
    first = fake_credentials(1, clock)
    audience.call(first, lambda: True)
    assert heard == [first]
    del callbacks
    gc.collect()
    assert not audience._members


def test_an_audience_without_some_callbacks_calls_the_others(clock: MovableClock) -> None:
    audience, removed, kept = Audience(), RotationCallbacks(), RotationCallbacks()
    heard: list[str] = []
    for callbacks, name in ((removed, "removed"), (kept, "kept")):
        callbacks.add(lambda _, name=name: heard.append(name))
        audience.add(callbacks)
    audience.remove(removed)
    audience.remove(removed)
    audience.call(fake_credentials(1, clock), lambda: True)
    assert heard == ["kept"]


def test_leaving_in_a_callback_leaves_on_the_main_thread_only(clock: MovableClock) -> None:
    callbacks = RotationCallbacks()

    def leave(_: Credentials) -> None:
        raise SystemExit(3)

    callbacks.add(leave)
    with pytest.raises(SystemExit) as left:
        callbacks.call(fake_credentials(1, clock), lambda: True)
    assert left.value.code == 3


@pytest.mark.parametrize("raised", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
def test_whatever_a_callback_raises_on_a_thread_the_next_one_is_called(
    clock: MovableClock, caplog: pytest.LogCaptureFixture, raised: type[BaseException]
) -> None:
    callbacks, heard = RotationCallbacks(), []

    def fail(_: Credentials) -> None:
        raise raised

    callbacks.add(fail)
    callbacks.add(heard.append)
    first = fake_credentials(1, clock)
    thread = threading.Thread(target=callbacks.call, args=(first, lambda: True))
    thread.start()
    thread.join(LONG)
    assert heard == [first]
    assert "A callback of on_rotation() failed" in caplog.text


def test_a_greenlet_can_be_killed_in_a_callback(clock: MovableClock) -> None:
    class GreenletExit(BaseException):
        """Has the name of gevent's."""

    def be_killed(_: Credentials) -> None:
        raise GreenletExit

    callbacks = RotationCallbacks()
    callbacks.add(be_killed)
    with ThreadPoolExecutor(1) as pool, pytest.raises(GreenletExit):
        pool.submit(callbacks.call, fake_credentials(1, clock), lambda: True).result(LONG)


def test_whatever_a_log_handler_raises_on_a_thread_the_call_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Failing(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            raise asyncio.CancelledError

    handler, ended = Failing(), []
    reporting.logger.addHandler(handler)
    try:
        thread = threading.Thread(
            target=lambda: ended.append(reporting.log(logging.ERROR, "It failed"))
        )
        thread.start()
        thread.join(LONG)
    finally:
        reporting.logger.removeHandler(handler)
    assert ended == [None]
    assert "CancelledError" in capsys.readouterr().err


def test_callbacks_do_not_get_credentials_that_were_replaced_meanwhile(
    clock: MovableClock,
) -> None:
    """The first callback takes longer than the next rotation."""
    first, second = fake_credentials(1, clock), fake_credentials(2, clock)
    cache = build_cache(ScriptedSource(first, second), clock)
    callbacks, heard = RotationCallbacks(), []

    def rotate(credentials: Credentials) -> None:
        if credentials is first:
            cache.refresh()

    callbacks.add(rotate)
    callbacks.add(heard.append)
    cache.audience.add(callbacks)
    cache.get()
    assert heard == [second]


def test_a_callback_that_blocks_does_not_stop_the_next_fetch(clock: MovableClock) -> None:
    first, second = (fake_credentials(one, clock, life=one * LIFE) for one in (1, 2))
    launcher = Launcher()
    cache = build_cache(ScriptedSource(first, second), clock, start_thread=launcher)
    callbacks = RotationCallbacks()

    def block(credentials: Credentials) -> None:
        """What happens to others, while this one blocks."""
        if credentials is first:
            clock.advance(LIFE)
            with pytest.raises(CredentialsError):
                cache.get_nowait()
            launcher.run_all()
            assert cache.get_nowait() is second
            unblocked.append(True)

    unblocked: list[bool] = []
    callbacks.add(block)
    cache.audience.add(callbacks)
    cache.start_if_due()
    launcher.run_all()
    assert unblocked == [True]


def test_no_answer_is_an_error_of_its_own() -> None:
    """The port is closed, so that the answer is certain and at once."""
    with FakeMetadataServer() as server:
        endpoint = server.endpoint
    client = RetryingClient(endpoint, sleep=lambda _: None)
    with pytest.raises(MetadataUnreachableError, match="check that no firewall"):
        client.send("GET", "/latest/api/token", {}, Limits(client._clock() + LONG))


# The steps of a call.


class StalledImport(PendingImport):
    """An import that the call waits for."""

    def __init__(self, outcome: bool | None = None, *, is_from_parent: bool = False) -> None:
        super().__init__()
        self.outcome = outcome
        self.is_from_parent = is_from_parent
        self.starters: list[object] = []

    def wait(self, timeout: float) -> bool | None:  # type: ignore[override]
        super().wait(timeout)
        return self.outcome

    def launch_again(self, start_thread: object) -> None:
        self.starters.append(start_thread)


def test_a_call_waits_for_a_stalled_import_and_launches_it_again(clock: MovableClock) -> None:
    source, pending = ScriptedSource(fake_credentials(1, clock)), StalledImport()
    source.pending_import = lambda: pending  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(CredentialsError, match=r"^Importing the HTTP client .* took more than"):
        build_cache(source, clock).get()
    assert pending.waits == [LAUNCH_GRACE, IMPORT_LIMIT]
    assert pending.starters == [start_daemon_thread]
    assert source.fetches == 0


def test_a_child_waits_for_its_own_import_and_not_for_its_parents(clock: MovableClock) -> None:
    source = ScriptedSource(fake_credentials(1, clock))
    parents, own = StalledImport(is_from_parent=True), StalledImport(outcome=True)
    imports = iter([parents, own])
    source.pending_import = lambda: next(imports)  # type: ignore[method-assign,assignment,return-value]
    build_cache(source, clock).get()
    assert own.waits == [LAUNCH_GRACE]


@pytest.mark.parametrize("call", ["get", "refresh"])
def test_a_fetch_that_no_thread_has_begun_is_launched_again(clock: MovableClock, call: str) -> None:
    starts: list[object] = []

    def start(work: Callable[[], object]) -> bool:
        starts.append(work)
        if len(starts) > 1:
            work()
        return True

    first = fake_credentials(1, clock)
    cache = build_cache(ScriptedSource(first), clock, deadline=5.0, start_thread=start)
    assert getattr(cache, call)() is first
    assert len(starts) == 2


def test_a_call_without_time_for_that_launches_nothing_again(clock: MovableClock) -> None:
    starts: list[object] = []
    cache = build_cache(
        ScriptedSource(fake_credentials(1, clock)),
        clock,
        deadline=LAUNCH_GRACE,
        start_thread=lambda work: starts.append(work) is None,
    )
    clock.now = 0.0  # so that the deadline is exact
    with pytest.raises(CredentialsError):
        cache.get()
    assert len(starts) == 1


def test_the_fetching_thread_does_not_wait_for_itself(clock: MovableClock) -> None:
    class AsksAgain(ScriptedSource):
        def fetch(self, until: float) -> Credentials:
            with pytest.raises(CredentialsError, match="Credentials were requested on"):
                cache.refresh()
            return super().fetch(until)

    first = fake_credentials(1, clock)
    cache = build_cache(AsksAgain(first), clock)
    assert cache.refresh() is first


def test_get_begins_again_where_the_record_changed_meanwhile(clock: MovableClock) -> None:
    first = fake_credentials(1, clock)
    readings = iter(["the limit of the call", "is it due", "the begin of the fetch"])

    def change_at_the_begin() -> float:
        if next(readings, None) == "the begin of the fetch":
            cache.reset_after_fork()
        return clock()

    cache = build_cache(ScriptedSource(first), change_at_the_begin)  # type: ignore[arg-type]
    assert cache.get() is first


def test_who_waits_for_a_fetch_that_was_replaced_gets_its_outcome(clock: MovableClock) -> None:
    class Replaces(ScriptedSource):
        def fetch(self, until: float) -> Credentials:
            cache.reset_after_fork()
            return super().fetch(until)

    first = fake_credentials(1, clock)
    cache = build_cache(Replaces(first), clock)
    assert cache.refresh() is first
    assert cache.latest().state.credentials is None


def test_credentials_that_are_refused_while_they_are_fetched_are_fetched_again(
    clock: MovableClock,
) -> None:
    first, second = fake_credentials(1, clock, LIFE), fake_credentials(2, clock, 2 * LIFE)

    class RefusedMeanwhile(ScriptedSource):
        def fetch(self, until: float) -> Credentials:
            fetched = super().fetch(until)
            if self.fetches == 2:
                cache.invalidate(first)
            return fetched

    cache = build_cache(RefusedMeanwhile(first, first, second), clock)
    cache.get()
    clock.advance(LIFE - 30.0)  # so close to the end that a call waits
    assert cache.get() is second


def test_the_warning_of_a_fetch_is_logged(
    clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    source = ScriptedSource(fake_credentials(1, clock))
    source.take_warning = lambda: "a fake warning, 100 %s"  # type: ignore[method-assign,assignment,return-value]
    build_cache(source, clock).get()
    (record,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert record.getMessage() == "a fake warning, 100 %s"


def test_waiting_for_no_time_ends_at_once() -> None:
    flight: Flight[bool] = Flight(lambda flight: None)
    assert flight.wait(0.0) is None
    assert flight.wait(-1.0) is None  # to a lock, it would mean to wait without limit


def test_a_record_that_was_replaced_serves_nobody(clock: MovableClock) -> None:
    record = Record(State().after_success(fake_credentials(1, clock), 1, clock(), 0.5))
    assert record.hot_until > clock()
    record.retire()
    assert record.hot_until == -inf


def test_the_record_of_a_cache_is_kept_as_the_latest(clock: MovableClock) -> None:
    """Else each call would follow the whole chain of those that were replaced, and keep it."""
    cache = build_cache(ScriptedSource(fake_credentials(1, clock)), clock)
    old = cache.record
    cache.get()
    cache.record = old  # as a thread leaves it that wrote last, but began first
    latest = cache.latest()
    assert cache.record is latest is not old


def test_a_child_does_not_run_the_fetch_of_its_parent() -> None:
    flight: Flight[bool] = Flight(lambda flight: pytest.fail("it was run"))
    flight._pid = -1
    flight.run()
    assert not flight.has_begun
