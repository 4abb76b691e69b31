"""Log handlers, log filters and callbacks are the application's code: none ends a refresh."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider
from ecs_role_creds.reporting import log, logger
from ecs_role_creds.testing import FakeMetadataServer

LONG = 60.0


def leave(_: object) -> bool:
    raise SystemExit("fake exit")


@pytest.fixture
def failing_filter() -> Iterator[Callable[[object], bool]]:
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addFilter(leave)
    yield leave
    logger.removeFilter(leave)
    logger.setLevel(level)


def polls_on(on_rotation: Callable[[Credentials], object]) -> bool:
    """Whether the next callback is called, and the poller is alive then."""
    provider = EcsRamRoleCredentialsProvider(deadline=LONG)
    arrived = threading.Event()
    provider.on_rotation(on_rotation)
    provider.on_rotation(lambda _: arrived.set())
    with provider.polling():
        return arrived.wait(LONG) and provider.status().is_polling


def test_sys_exit_in_a_log_filter_does_not_end_a_poller(
    ecs_metadata: FakeMetadataServer, failing_filter: object
) -> None:
    assert polls_on(lambda _: None)


def test_sys_exit_in_a_callback_ends_neither_the_others_nor_a_poller(
    ecs_metadata: FakeMetadataServer,
) -> None:
    assert polls_on(leave)


def test_sys_exit_of_a_signal_handler_ends_the_main_thread(failing_filter: object) -> None:
    """The same exception may come from a handler of SIGTERM that interrupted the log call."""
    with pytest.raises(SystemExit):
        log(logging.WARNING, "fake record")


def test_failing_handler_is_harmless_where_stderr_is_closed(
    failing_filter: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    ended: list[bool] = []

    def work() -> None:
        log(logging.WARNING, "fake record")
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(LONG)
    assert ended
