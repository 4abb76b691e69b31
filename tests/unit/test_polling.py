"""A poller ends with the provider that started it, and belongs to one process."""

from __future__ import annotations

import gc
import os
import threading
import time

import pytest

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer


def pollers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "ecs-role-creds-poller"]


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def wait_for_a_fetch(provider: EcsRamRoleCredentialsProvider) -> None:
    until = time.monotonic() + 60
    while provider.status().fetches == 0 and time.monotonic() < until:
        time.sleep(0.001)
    assert provider.status().fetches == 1


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
    assert len(set(pollers()) - set(before)) == 1
    provider.stop_polling()
    assert provider.status().is_polling
    threads = pollers()
    provider.stop_polling()
    assert not provider.status().is_polling
    join(threads)


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
