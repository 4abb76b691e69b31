"""The thread that a fetch runs on, and those who wait for its outcome."""

from __future__ import annotations

import _thread
import asyncio
import signal
import threading
import time
from math import inf

import pytest
from support.plain_http import wait_until

from ecs_role_creds.flight import Flight, _waiting, start_daemon_thread, wake_after_fork


def test_fetch_runs_on_a_daemon_thread_that_tells_what_it_is() -> None:
    seen: list[threading.Thread] = []
    is_over = threading.Event()

    def work() -> None:
        seen.append(threading.current_thread())
        is_over.set()

    assert start_daemon_thread(work)
    assert is_over.wait(300)
    assert seen[0] is not threading.current_thread()
    assert seen[0].daemon
    assert seen[0].name == "ecs-role-creds-refresh"


def test_whoever_starts_a_fetch_does_not_wait_for_its_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_begin, has_run = threading.Event(), threading.Event()
    start = threading.Thread.start

    def start_late(self: threading.Thread) -> None:
        may_begin.wait(3)  # as long as it takes where hundreds of threads run
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_late)
    assert start_daemon_thread(has_run.set)
    assert not has_run.is_set()
    may_begin.set()
    assert has_run.wait(300)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_the_work_is_done_where_only_one_thread_could_be_started(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    has_run = threading.Event()

    def refuse(self: threading.Thread) -> None:
        raise error

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert start_daemon_thread(has_run.set)
    assert has_run.wait(300)


def test_it_tells_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert not start_daemon_thread(lambda: None)


@pytest.fixture
def flight() -> Flight[str]:
    return Flight(lambda _: None)


def test_those_who_wait_without_a_limit_are_woken(flight: Flight[str]) -> None:
    got: list[str | None] = []
    waiting = [threading.Thread(target=lambda: got.append(flight.wait(inf))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    wait_until(lambda: len(flight._wakes) == 3)
    flight.finish("outcome")
    for thread in waiting:
        thread.join(300)
    assert got == ["outcome"] * 3
    assert _waiting == {}


def test_a_fork_wakes_those_who_wait(flight: Flight[str]) -> None:
    """The child inherits the wait, but not the thread that ends it."""
    got: list[str | None] = []
    waiting = threading.Thread(target=lambda: got.append(flight.wait(inf)), daemon=True)
    waiting.start()
    wait_until(lambda: bool(flight._wakes))
    until = time.monotonic() + 60
    while waiting.is_alive() and time.monotonic() < until:  # it may not be waiting yet
        wake_after_fork()
        waiting.join(0.01)
    assert got == [None]
    assert flight._wakes == {}


def test_who_comes_later_finds_the_outcome(flight: Flight[str]) -> None:
    flight.finish("outcome")
    assert flight.wait(inf) == flight.wait(0.0) == "outcome"
    assert asyncio.run(flight.wait_async(inf)) == "outcome"


def test_who_gives_up_leaves_nothing_behind(flight: Flight[str]) -> None:
    async def give_up() -> None:
        assert await flight.wait_async(0.001) is None
        task = asyncio.ensure_future(flight.wait_async(inf))
        await asyncio.sleep(0)
        assert len(flight._wakes) == 1
        task.cancel()
        await asyncio.wait([task])

    assert flight.wait(0.001) is None
    asyncio.run(give_up())
    assert flight._wakes == {}


def test_an_event_loop_that_was_closed_keeps_the_outcome_from_nobody(flight: Flight[str]) -> None:
    closed = asyncio.new_event_loop()
    abandoned = closed.create_task(flight.wait_async(inf))
    closed.run_until_complete(asyncio.sleep(0))
    closed.close()

    async def main() -> None:
        waiting = asyncio.ensure_future(flight.wait_async(30))
        await asyncio.sleep(0)
        assert len(flight._wakes) == 2
        flight.finish("outcome")
        assert await waiting == "outcome"

    asyncio.run(main())
    abandoned._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_broken_event_loop_keeps_the_outcome_from_nobody(flight: Flight[str]) -> None:
    def break_down() -> None:
        raise OSError("fake failure of an event loop")

    woken: list[bool] = []
    flight._wakes = {break_down: None, lambda: woken.append(True): None}
    flight.finish("outcome")
    assert woken == [True]
    assert flight._wakes == {}


@pytest.mark.parametrize("error", [StopIteration, TimeoutError, GeneratorExit, RuntimeError])
def test_what_a_signal_handler_raises_ends_the_wait(
    flight: Flight[str], error: type[BaseException]
) -> None:
    def interrupt(*_: object) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, interrupt)
    main = threading.get_ident()
    alarm = threading.Thread(
        target=lambda: (
            wait_until(lambda: bool(flight._wakes)),
            signal.pthread_kill(main, signal.SIGUSR1),
        )
    )
    try:
        alarm.start()
        with pytest.raises(error):
            flight.wait(60)
    finally:
        alarm.join(300)
        signal.signal(signal.SIGUSR1, before)
    assert flight._wakes == {}
