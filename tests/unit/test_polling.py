"""A poller ends with the provider that started it, and belongs to one process."""

from __future__ import annotations

import gc
import os
import threading

import pytest
from support.plain_http import wait_until
from support.pollers import pollers

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer


def join(threads: list[threading.Thread]) -> None:
    """Not by Thread.join(), which fails for a thread that is about to start."""
    wait_until(lambda: not set(threads) & set(threading.enumerate()))


def wait_for_a_fetch(provider: EcsRamRoleCredentialsProvider) -> None:
    wait_until(lambda: provider.status().fetches == 1)


def test_keeps_fresh_without_traffic(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider()
    with provider.polling():
        wait_for_a_fetch(provider)
        assert provider.status().is_polling
        threads = pollers()
    assert not provider.status().is_polling
    join(threads)


def test_starts_and_stops_are_counted(ecs_metadata: FakeMetadataServer) -> None:
    before = pollers()  # those of an earlier test may be about to end
    provider = EcsRamRoleCredentialsProvider()
    provider.stop_polling()  # without effect
    provider.start_polling()
    provider.start_polling()
    wait_until(lambda: len(set(pollers()) - set(before)) == 1)
    provider.stop_polling()
    assert provider.status().is_polling
    threads = pollers()
    provider.stop_polling()
    assert not provider.status().is_polling
    join(threads)


def test_whoever_starts_polling_does_not_wait_for_the_thread(
    ecs_metadata: FakeMetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that a signal handler forked in such a wait would never return from it."""
    may_begin = threading.Event()
    start = threading.Thread.start

    def start_late(self: threading.Thread) -> None:
        if self.name == "ecs-role-creds-poller":  # not the one that imports the client
            may_begin.wait(300)
        start(self)

    provider = EcsRamRoleCredentialsProvider()
    before = pollers()
    monkeypatch.setattr(threading.Thread, "start", start_late)
    with provider.polling():
        assert provider.status().is_polling
        assert set(pollers()) <= set(before)
        may_begin.set()
        wait_for_a_fetch(provider)


def test_polling_that_was_stopped_before_its_thread_runs(
    ecs_metadata: FakeMetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_begin, have_ended = threading.Event(), []
    run = threading.Thread.run

    def run_late(self: threading.Thread) -> None:
        is_poller = self.name == "ecs-role-creds-poller"  # not the one that imports the client
        if is_poller:
            may_begin.wait(300)
        run(self)
        if is_poller:
            have_ended.append(self.name)

    provider = EcsRamRoleCredentialsProvider()
    monkeypatch.setattr(threading.Thread, "run", run_late)
    for _ in range(2):
        with provider.polling():
            pass
    may_begin.set()
    wait_until(lambda: len(have_ended) == 2)
    assert provider.status().fetches == 0
    assert ecs_metadata.requests == []


def test_ends_when_nobody_holds_the_provider(ecs_metadata: FakeMetadataServer) -> None:
    """The credentials are still shared then, so that the cache alone lives on."""
    provider = EcsRamRoleCredentialsProvider()
    provider.start_polling()
    wait_for_a_fetch(provider)
    threads = pollers()
    assert threads
    del provider
    gc.collect()
    join(threads)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_begins_with_polling_off(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider()
    with provider.polling():
        wait_for_a_fetch(provider)
        child = os.fork()
        if child == 0:
            status = 0
            try:
                assert not provider.status().is_polling
                provider.start_polling()
                assert provider.status().is_polling
                provider.stop_polling()
                assert not provider.status().is_polling
            except BaseException:
                status = 1
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert provider.status().is_polling
