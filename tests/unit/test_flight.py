"""The thread that a fetch runs on."""

from __future__ import annotations

import threading

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
