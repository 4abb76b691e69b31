"""What callers get of the cache, and what it asks of the service for them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from support import Launcher, MovableClock, ScriptedSource, build_cache, fake_credentials

from ecs_role_creds import Credentials, CredentialsError
from ecs_role_creds.cache import FETCH_SHARE, CredentialsCache
from ecs_role_creds.errors import (
    CredentialsExpiredError,
    MetadataServiceError,
    MetadataUnreachableError,
)

SIX_HOURS = 21600.0
THREADS = 64
LONG = 60.0
"""A deadline in real seconds that no passing test comes near."""


@pytest.fixture
def launcher() -> Launcher:
    return Launcher()


@pytest.fixture
def first(clock: MovableClock) -> Credentials:
    return fake_credentials(1, clock)


def ask(cache: CredentialsCache, clock: MovableClock) -> Credentials:
    """What a provider does: the hot path, then the rest."""
    record = cache.record
    if clock() < record.hot_until:
        return record.credentials
    return cache.get()


def unreachable() -> MetadataUnreachableError:
    return MetadataUnreachableError("nobody there")


def advance_to(clock: MovableClock, moment: float) -> None:
    clock.now = moment


class RollCall(MovableClock):
    """Tells when so many threads have read it so often, which they do before they wait."""

    def __init__(self, threads: int, *, readings: int = 1) -> None:
        super().__init__()
        self.seen: Counter[int] = Counter()
        self.threads = threads
        self.readings = readings
        self.all_here = threading.Event()

    def __call__(self) -> float:
        self.seen[threading.get_ident()] += 1
        if sum(count >= self.readings for count in list(self.seen.values())) >= self.threads:
            self.all_here.set()
        return self.now

    def begin(self) -> None:
        self.seen.clear()
        self.all_here.clear()


class PatientSource(ScriptedSource):
    """Answers once everybody waits for it."""

    def __init__(self, clock: RollCall, outcome: Credentials | Exception) -> None:
        super().__init__(outcome)
        clock.begin()
        self.clock = clock
        self.at_once = 0
        self.most_at_once = 0

    def fetch(self, until: float) -> Credentials:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.clock.all_here.wait(LONG)
        try:
            return super().fetch(until)
        finally:
            self.at_once -= 1


def in_threads(work: Callable[[], object], threads: int = THREADS) -> list[object]:
    """Every thread's result, or what it raised."""
    barrier = threading.Barrier(threads)

    def run(_: int) -> object:
        barrier.wait(LONG)
        try:
            return work()
        except CredentialsError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def start_thread(work: Callable[[], object]) -> bool:
    threading.Thread(target=work, daemon=True).start()
    return True


# Served from the cache.


def test_nothing_is_asked_before_the_first_call(clock: MovableClock, first: Credentials) -> None:
    source = ScriptedSource(first)
    cache = build_cache(source, clock)
    assert source.fetches == 0
    assert not cache.is_refreshing
    assert cache.record.state.credentials is None


def test_first_call_fetches_and_later_calls_do_not(clock: MovableClock, first: Credentials) -> None:
    source = ScriptedSource(first)
    cache = build_cache(source, clock)
    assert ask(cache, clock) is first
    for _ in range(100):
        clock.advance(60.0)
        assert ask(cache, clock) is first
    assert (source.fetches, cache.record.state.fetches, cache.record.state.rotations) == (1, 1, 1)


def test_fetch_may_take_a_little_less_than_the_deadline(
    clock: MovableClock, first: Credentials
) -> None:
    class Noting(ScriptedSource):
        def fetch(self, until: float) -> Credentials:
            self.until = until
            return super().fetch(until)

    source = Noting(first)
    build_cache(source, clock, deadline=2.0).get()
    assert source.until == clock() + FETCH_SHARE * 2.0


def test_callers_are_served_while_the_next_ones_are_fetched(
    clock: MovableClock, launcher: Launcher, first: Credentials
) -> None:
    source = ScriptedSource(first)
    cache = build_cache(source, clock, start_thread=launcher)
    cache.ask_if_due()
    second = fake_credentials(2, clock, 2 * SIX_HOURS)
    source.outcomes.append(second)
    source.outcomes.popleft()

    advance_to(clock, cache.record.state.ask_at - 0.001)
    assert ask(cache, clock) is first
    assert not launcher.waiting
    clock.advance(0.001)
    for _ in range(50):
        assert ask(cache, clock) is first
    assert len(launcher.waiting) == 1
    assert cache.is_refreshing
    assert source.fetches == 1
    # During the fetch the hot path returns the cached credentials, which costs nothing.
    assert clock() < cache.record.hot_until

    launcher.run_all()
    assert ask(cache, clock) is second
    assert not cache.is_refreshing
    assert (cache.record.state.fetches, cache.record.state.rotations) == (2, 2)


def test_hot_path_ends_with_the_credentials_even_while_they_are_renewed(
    clock: MovableClock, launcher: Launcher
) -> None:
    source = ScriptedSource(fake_credentials(1, clock, 10.0))
    cache = build_cache(source, clock, start_thread=launcher, deadline=60.0)
    cache.ask_if_due()
    advance_to(clock, cache.record.state.ask_at)
    ask(cache, clock)
    assert cache.record.hot_until == cache.record.state.life.close_at


def test_unchanged_credentials_are_asked_for_again_later_not_at_once(
    clock: MovableClock, first: Credentials
) -> None:
    source = ScriptedSource(first)
    cache = build_cache(source, clock)
    cache.get()
    advance_to(clock, cache.record.state.ask_at)
    cache.get()
    assert source.fetches == 2
    assert cache.record.state.ask_at > clock() + 60.0
    assert cache.record.state.life == (1000.0, 1000.0 + SIX_HOURS)
    for _ in range(50):
        clock.advance(1.0)
        assert ask(cache, clock) is first
    assert (source.fetches, cache.record.state.fetches, cache.record.state.rotations) == (2, 2, 1)


# One fetch for all who need it.


def test_64_threads_on_a_cold_cache_share_one_fetch() -> None:
    clock = RollCall(THREADS)
    first = fake_credentials(1, clock)
    source = PatientSource(clock, first)
    cache = build_cache(source, clock, deadline=LONG, start_thread=start_thread)
    results = in_threads(cache.get)
    assert all(result is first for result in results)
    assert (source.fetches, source.most_at_once) == (1, 1)


def test_64_threads_share_one_error_and_each_raises_a_copy() -> None:
    clock = RollCall(THREADS)
    failure = unreachable()
    failure.__cause__ = OSError("no route")
    source = PatientSource(clock, failure)
    cache = build_cache(source, clock, deadline=LONG, start_thread=start_thread)
    results = in_threads(cache.get)
    assert source.fetches == 1
    assert len({id(result) for result in results}) == THREADS
    for result in results:
        assert isinstance(result, MetadataUnreachableError)
        assert result is not failure
        assert str(result) == "nobody there"
        assert result.__cause__ is failure.__cause__
    assert failure.__traceback__ is None or not _frames_of(failure, "get")


def _frames_of(error: BaseException, function: str) -> list[object]:
    frames, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == function:
            frames.append(trace.tb_frame)
        trace = trace.tb_next
    return frames


def test_at_expiration_all_wait_for_one_outcome() -> None:
    clock = RollCall(THREADS)
    stale = fake_credentials(1, clock, 10.0)
    source = PatientSource(clock, stale)
    clock.all_here.set()
    cache = build_cache(source, clock, deadline=LONG, start_thread=start_thread)
    assert cache.get() is stale

    clock.advance(10.0)
    fresh = fake_credentials(2, clock)
    source.outcomes[0] = fresh
    clock.begin()
    results = in_threads(cache.get)
    assert all(result is fresh for result in results)
    assert (source.fetches, source.most_at_once) == (2, 1)


def test_nothing_expired_is_handed_out_at_the_very_moment(
    clock: MovableClock, launcher: Launcher
) -> None:
    source = ScriptedSource(fake_credentials(1, clock, 10.0), unreachable())
    cache = build_cache(source, clock)
    cache.get()
    clock.advance(10.0)
    with pytest.raises(MetadataUnreachableError):
        ask(cache, clock)


def test_coroutines_and_threads_wait_for_the_same_fetch(
    clock: MovableClock, launcher: Launcher, first: Credentials
) -> None:
    source = ScriptedSource(first)
    cache = build_cache(source, clock, deadline=LONG, start_thread=launcher)

    async def main() -> list[Credentials]:
        tasks = [asyncio.ensure_future(cache.get_async()) for _ in range(100)]
        await asyncio.sleep(0)
        assert len(launcher.waiting) == 1
        launcher.run_all()
        return await asyncio.gather(*tasks)

    assert set(map(id, asyncio.run(main()))) == {id(first)}
    assert source.fetches == 1


def test_whoever_waits_gives_up_at_the_deadline(clock: MovableClock, launcher: Launcher) -> None:
    cache = build_cache(ScriptedSource(), clock, deadline=0.01, start_thread=launcher)
    with pytest.raises(MetadataUnreachableError, match=r"within the deadline of 0\.01 s"):
        cache.get()
    with pytest.raises(MetadataUnreachableError, match="within the deadline"):
        asyncio.run(cache.get_async())
    with pytest.raises(MetadataUnreachableError, match="within the deadline"):
        cache.refresh()
    assert len(launcher.waiting) == 1


# Failures.


def test_failure_is_remembered_while_the_back_off_lasts(clock: MovableClock) -> None:
    source = ScriptedSource(unreachable())
    cache = build_cache(source, clock)
    errors = []
    for _ in range(100):
        with pytest.raises(MetadataUnreachableError, match="nobody there") as caught:
            ask(cache, clock)
        errors.append(caught.value)
    assert source.fetches == 1
    assert len(set(map(id, errors))) == 100
    advance_to(clock, cache.record.state.ask_at)
    with pytest.raises(MetadataUnreachableError):
        ask(cache, clock)
    assert source.fetches == 2
    assert cache.record.state.failures == 2
    assert (cache.record.state.fetches, cache.record.state.rotations) == (0, 0)


def test_service_that_is_back_is_found_when_the_back_off_is_over(
    clock: MovableClock, first: Credentials
) -> None:
    source = ScriptedSource(unreachable(), first)
    cache = build_cache(source, clock)
    with pytest.raises(MetadataUnreachableError):
        cache.get()
    advance_to(clock, cache.record.state.ask_at)
    assert cache.get() is first
    assert cache.record.state.failures == 0
    assert cache.record.state.failure is None


def test_valid_credentials_outlive_failures_and_expire_on_time(
    clock: MovableClock, first: Credentials
) -> None:
    source = ScriptedSource(first, unreachable())
    cache = build_cache(source, clock)
    cache.get()
    expires_at = cache.record.state.expires_at
    while clock() < expires_at:
        assert ask(cache, clock) is first
        clock.advance(1.0)
    assert 5 < cache.record.state.failures < 200
    with pytest.raises(MetadataUnreachableError):
        ask(cache, clock)


def test_retry_after_is_kept(clock: MovableClock) -> None:
    throttled = MetadataServiceError("throttled")
    throttled.retry_after = 30.0
    cache = build_cache(ScriptedSource(throttled), clock)
    with pytest.raises(MetadataServiceError) as caught:
        cache.get()
    assert caught.value.retry_after == 30.0
    assert cache.record.state.ask_at == clock() + 30.0


def test_document_that_has_expired_is_a_failure(clock: MovableClock, first: Credentials) -> None:
    stale = fake_credentials(2, clock, 0.0)
    source = ScriptedSource(stale, first)
    cache = build_cache(source, clock)
    with pytest.raises(CredentialsExpiredError, match="expired before they could be used"):
        cache.get()
    assert cache.record.state.fetches == 0
    assert cache.record.state.failures == 1
    advance_to(clock, cache.record.state.ask_at)
    assert cache.get() is first


def test_outcome_that_expires_before_its_waiter_wakes_is_not_handed_out(
    clock: MovableClock, launcher: Launcher
) -> None:
    source = ScriptedSource(fake_credentials(1, clock, 1.0))
    cache = build_cache(source, clock, start_thread=launcher)

    async def main() -> Credentials:
        task = asyncio.ensure_future(cache.get_async())
        await asyncio.sleep(0)
        launcher.run_all()
        clock.advance(1.0)
        return await task

    with pytest.raises(CredentialsExpiredError):
        asyncio.run(main())


def test_waiter_is_served_what_came_meanwhile_whatever_its_own_fetch_came_to(
    clock: MovableClock, launcher: Launcher, first: Credentials
) -> None:
    source = ScriptedSource(unreachable(), first)
    cache = build_cache(source, clock, start_thread=launcher)

    async def main() -> Credentials:
        task = asyncio.ensure_future(cache.get_async())
        await asyncio.sleep(0)
        launcher.run_all()
        advance_to(clock, cache.record.state.ask_at)
        cache.ask_if_due()
        return await task

    assert asyncio.run(main()) is first


@pytest.mark.parametrize("defect", [KeyError("secret-thing"), MemoryError()])
def test_unexpected_exception_reaches_those_who_wait_and_is_not_the_end(
    clock: MovableClock, first: Credentials, defect: Exception
) -> None:
    source = ScriptedSource(defect, first)
    cache = build_cache(source, clock)
    with pytest.raises(CredentialsError, match=f"unexpected {type(defect).__name__}") as caught:
        cache.get()
    assert "secret-thing" not in str(caught.value)
    assert caught.value.__cause__ is defect
    assert defect.__traceback__ is None
    assert not cache.is_refreshing
    advance_to(clock, cache.record.state.ask_at)
    assert cache.get() is first


def test_no_frame_of_an_unexpected_exception_is_kept(clock: MovableClock) -> None:
    class Defective(ScriptedSource):
        def fetch(self, until: float) -> Credentials:
            try:
                try:
                    raise KeyError("first")
                except KeyError as first:
                    raise ValueError("because of it") from first
            except ValueError:
                raise TypeError("on the way")  # noqa: B904 (that is the point)

    # On a thread of its own: on this one, an exception of an earlier test may still be handled.
    (error,) = in_threads(build_cache(Defective(), clock).get, threads=1)
    assert isinstance(error, CredentialsError)
    assert "unexpected TypeError" in str(error)
    chain: list[BaseException] = []
    link = error.__cause__
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    assert [type(one) for one in chain] == [TypeError, ValueError, KeyError]
    assert [one.__traceback__ for one in chain] == [None] * 3


def test_thread_that_is_killed_lands_and_dies(clock: MovableClock, launcher: Launcher) -> None:
    class Dying(ScriptedSource):
        def fetch(self, until: float) -> Credentials:
            raise SystemExit

    cache = build_cache(Dying(), clock, start_thread=launcher)

    async def main() -> Credentials:
        task = asyncio.ensure_future(cache.get_async())
        await asyncio.sleep(0)
        with pytest.raises(SystemExit):
            launcher.run_all()
        return await task

    with pytest.raises(CredentialsError, match="unexpected SystemExit"):
        asyncio.run(main())
    assert not cache.is_refreshing


# Where no thread can be started.


def test_at_shutdown_valid_credentials_are_served_without_a_fetch(
    clock: MovableClock, launcher: Launcher, first: Credentials
) -> None:
    source = ScriptedSource(first)
    cache = build_cache(source, clock, start_thread=launcher)
    cache.ask_if_due()
    advance_to(clock, cache.record.state.ask_at)
    launcher.is_shut_down = True
    for _ in range(20):
        assert ask(cache, clock) is first
    assert source.fetches == 1
    assert not cache.is_refreshing
    assert "shutting down" in str(cache.record.state.failure)


def test_at_shutdown_a_caller_without_credentials_fetches_itself(
    clock: MovableClock, first: Credentials
) -> None:
    source = ScriptedSource(first, fake_credentials(2, clock))
    cache = build_cache(source, clock, start_thread=Launcher(is_shut_down=True))
    assert cache.get() is first
    assert cache.refresh().access_key_id == "STS.FAKE0002"
    assert source.fetches == 2


# A fetch whose thread is gone.


def test_lost_fetch_is_replaced_after_twice_the_deadline(
    clock: MovableClock, launcher: Launcher, first: Credentials
) -> None:
    source = ScriptedSource(first)
    cache = build_cache(source, clock, deadline=2.0, start_thread=launcher)
    cache.ask_if_due()
    advance_to(clock, cache.record.state.ask_at)
    ask(cache, clock)
    lost = launcher.waiting.popleft()

    clock.advance(3.9)
    assert ask(cache, clock) is first
    assert not launcher.waiting
    clock.advance(0.1)
    assert ask(cache, clock) is first
    assert len(launcher.waiting) == 1

    second, late = fake_credentials(2, clock), fake_credentials(3, clock)
    source.outcomes[0] = second
    launcher.run_all()
    before = cache.record
    source.outcomes[0] = late
    lost()
    assert cache.record is before
    assert ask(cache, clock) is second
    assert cache.record.state.fetches == 2


def test_lost_refresh_leaves_the_hot_path_as_it_was(
    clock: MovableClock, launcher: Launcher, first: Credentials
) -> None:
    cache = build_cache(ScriptedSource(first), clock, deadline=0.01, start_thread=launcher)
    cache.ask_if_due()
    hot_until = cache.record.hot_until
    with pytest.raises(MetadataUnreachableError):
        cache.refresh()
    assert cache.is_refreshing

    clock.advance(0.02)
    assert ask(cache, clock) is first
    assert not cache.is_refreshing
    assert cache.record.hot_until == hot_until


# refresh(), invalidate(), ask_if_due().


def test_refresh_fetches_whatever_the_cache_holds(clock: MovableClock, first: Credentials) -> None:
    second = fake_credentials(2, clock)
    source = ScriptedSource(first, second, unreachable())
    cache = build_cache(source, clock)
    cache.get()
    assert cache.refresh() is second
    assert ask(cache, clock) is second
    with pytest.raises(MetadataUnreachableError):
        cache.refresh()
    assert ask(cache, clock) is second
    assert source.fetches == 3


def test_refresh_joins_the_fetch_under_way() -> None:
    # By the third reading, a call of refresh() has joined or begun the fetch.
    clock = RollCall(THREADS, readings=3)
    first = fake_credentials(1, clock)
    source = PatientSource(clock, first)
    cache = build_cache(source, clock, deadline=LONG, start_thread=start_thread)
    assert all(result is first for result in in_threads(cache.refresh))
    assert source.fetches == 1


def test_refresh_asks_during_the_back_off_too(clock: MovableClock, first: Credentials) -> None:
    source = ScriptedSource(unreachable(), first)
    cache = build_cache(source, clock)
    with pytest.raises(MetadataUnreachableError):
        cache.get()
    assert cache.refresh() is first


def test_refused_credentials_are_served_to_nobody_before_the_next_fetch(
    clock: MovableClock, first: Credentials
) -> None:
    second = fake_credentials(2, clock)
    source = ScriptedSource(first, second)
    cache = build_cache(source, clock)
    cache.get()
    cache.invalidate(first)
    assert source.fetches == 1
    assert ask(cache, clock) is second
    assert source.fetches == 2


def test_refusal_of_credentials_that_were_replaced_changes_nothing(
    clock: MovableClock, first: Credentials
) -> None:
    source = ScriptedSource(first, fake_credentials(2, clock))
    cache = build_cache(source, clock)
    cache.invalidate(first)  # nothing known yet
    cache.get()
    second = cache.refresh()
    before = cache.record
    cache.invalidate(first)
    assert cache.record is before
    assert ask(cache, clock) is second
    assert source.fetches == 2


def test_refusals_that_the_service_confirms_are_heeded_less_and_less_often(
    clock: MovableClock, first: Credentials
) -> None:
    source = ScriptedSource(first)
    cache = build_cache(source, clock)
    cache.get()
    asked = []
    for tenth in range(6000):
        cache.invalidate(first)
        before = source.fetches
        assert ask(cache, clock) is first
        if source.fetches > before:
            asked.append(round(tenth / 10))
        clock.advance(0.1)
    assert asked[:6] == [0, 1, 3, 7, 15, 31]
    assert all(later - earlier >= 59 for earlier, later in pairwise(asked[6:]))
    assert len(asked) < 20


def test_refused_credentials_are_served_again_if_the_service_cannot_be_asked(
    clock: MovableClock, first: Credentials
) -> None:
    source = ScriptedSource(first, unreachable())
    cache = build_cache(source, clock)
    cache.get()
    for _ in range(100):
        cache.invalidate(first)
        assert ask(cache, clock) is first
    assert source.fetches == 2


def test_new_credentials_may_be_refused_at_once(clock: MovableClock, first: Credentials) -> None:
    second, third = fake_credentials(2, clock), fake_credentials(3, clock)
    source = ScriptedSource(first, first, second, third)
    cache = build_cache(source, clock)
    cache.get()
    cache.invalidate(first)
    assert cache.get() is first
    assert cache.refresh() is second
    cache.invalidate(second)
    assert cache.get() is third


def test_ask_if_due_fetches_on_its_own_thread_and_tells_when_to_come_back(
    clock: MovableClock, launcher: Launcher, first: Credentials
) -> None:
    source = ScriptedSource(first, unreachable())
    cache = build_cache(source, clock, start_thread=launcher)
    ask_at = cache.ask_if_due()
    assert source.fetches == 1
    assert not launcher.waiting
    assert ask_at == cache.record.state.ask_at > clock()
    assert cache.ask_if_due() == ask_at
    assert source.fetches == 1
    advance_to(clock, ask_at)
    assert cache.ask_if_due() > ask_at  # which failed, and raised nothing
    assert source.fetches == 2


def test_ask_if_due_waits_for_a_fetch_under_way() -> None:
    clock = RollCall(2)
    first = fake_credentials(1, clock)
    source = PatientSource(clock, first)
    cache = build_cache(source, clock, deadline=LONG, start_thread=start_thread)
    results = in_threads(cache.ask_if_due, threads=2)
    assert results == [cache.record.state.ask_at] * 2
    assert source.fetches == 1


def test_ask_if_due_gives_up_on_a_fetch_that_is_lost(
    clock: MovableClock, launcher: Launcher, first: Credentials
) -> None:
    cache = build_cache(ScriptedSource(first), clock, deadline=0.05, start_thread=launcher)
    with pytest.raises(MetadataUnreachableError):
        cache.get()
    launcher.waiting.clear()
    assert clock() < cache.ask_if_due() <= clock() + 1.0
    clock.advance(1.0)
    assert cache.ask_if_due() > clock() + 60.0


def test_after_a_fork_the_credentials_are_kept_and_all_else_is_left(
    clock: MovableClock, launcher: Launcher, first: Credentials
) -> None:
    source = ScriptedSource(first)
    cache = build_cache(source, clock, start_thread=launcher)
    cache.ask_if_due()
    advance_to(clock, cache.record.state.ask_at)
    ask(cache, clock)
    assert cache.is_refreshing
    cache.reset_after_fork()
    assert not cache.is_refreshing
    assert (cache.record.state.fetches, cache.record.state.rotations) == (0, 0)
    assert source.forgotten == 1
    assert ask(cache, clock) is first
    assert cache.record.state.ask_at > clock()


# What it says.


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "ecs_role_creds"
    ]


def test_one_line_for_a_rotation_and_none_for_a_call(
    clock: MovableClock, first: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    second = fake_credentials(2, clock, 2 * SIX_HOURS)
    cache = build_cache(ScriptedSource(first, first, second), clock)
    for _ in range(50):
        cache.get()
    cache.refresh()  # unchanged
    cache.refresh()
    for _ in range(50):
        cache.get()
    assert lines(caplog) == [
        (
            "INFO",
            f"New credentials for role app-role, valid until {credentials.expiration.isoformat()}",
        )
        for credentials in (first, second)
    ]


def test_one_warning_for_a_failure_however_many_callers_it_has(
    clock: MovableClock, first: Credentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    cache = build_cache(ScriptedSource(unreachable(), first, unreachable()), clock)
    for _ in range(50):
        with pytest.raises(MetadataUnreachableError):
            cache.get()
    ((level, message),) = lines(caplog)
    assert level == "WARNING"
    assert "there are no valid credentials" in message
    assert "next attempt in 0.8 s" in message
    assert "nobody there" in message

    caplog.clear()
    clock.advance(1.0)
    cache.get()
    advance_to(clock, cache.record.state.ask_at)
    for _ in range(50):
        cache.get()
    (_, (level, message)) = lines(caplog)
    assert level == "WARNING"
    left = first.expires_in()
    assert f"the cached credentials are valid for another {left:.0f} s" in message

    caplog.clear()
    clock.advance(left)
    with pytest.raises(MetadataUnreachableError):
        cache.get()
    ((_, message),) = lines(caplog)
    assert "there are no valid credentials" in message
    assert not any(secret in caplog.text for secret in ("STS.FAKE", "fake-secret", "fake-security"))
