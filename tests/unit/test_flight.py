"""The thread that a fetch runs on."""

from __future__ import annotations

import _thread
import threading

import pytest

from ecs_role_creds.flight import start_daemon_thread


def test_fetch_runs_on_a_daemon_thread_that_tells_what_it_is() -> None:
    seen: list[threading.Thread] = []
    is_over = threading.Event()

    def work() -> None:
        seen.append(threading.current_thread())
        is_over.set()

    assert start_daemon_thread(work)
    assert is_over.wait(30)
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
    assert has_run.wait(30)


def test_the_work_is_done_where_only_one_thread_could_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_run = threading.Event()

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert start_daemon_thread(has_run.set)
    assert has_run.wait(30)


def test_it_tells_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert not start_daemon_thread(lambda: None)
