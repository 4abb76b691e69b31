"""The first call of a process: importing the HTTP client does not count towards the deadline.

The processes are real, and so are their imports, sockets and threads. The deadline is measured by
a clock of the process's own, which stands still except in the import: that takes many times the
deadline. So these tests do not depend on how fast the machine is.
"""

from __future__ import annotations

import pytest
from support.cold_process import IMPORT_TAKES
from support.cold_start import cold_processes

from ecs_role_creds.settings import MAX_DEADLINE
from ecs_role_creds.testing import FakeMetadataServer

SEVERAL = pytest.param(16, marks=pytest.mark.slow)
MANY = pytest.param(64, marks=pytest.mark.slow)


def test_import_takes_many_times_the_deadline() -> None:
    assert IMPORT_TAKES >= 10 * MAX_DEADLINE


@pytest.mark.parametrize("count", [1, MANY])
def test_first_coroutine_of_each_process_succeeds(
    ecs_metadata: FakeMetadataServer, count: int
) -> None:
    # The event loop's timers run by the process's own clock, too: however long the fetches take
    # that all of them make at the same moment, no time passes.
    with cold_processes(count, "get_credentials_async") as processes:
        assert ecs_metadata.requests == []
        assert_all_succeed(processes.fetch_together(), ecs_metadata)


@pytest.mark.parametrize("count", [1, SEVERAL])
def test_first_call_of_each_process_succeeds(ecs_metadata: FakeMetadataServer, count: int) -> None:
    # A waiting thread's time-outs run by the machine's clock, so its deadline is the longest. All
    # import at the same time, and then fetch in turn: none waits for the fetches of others. There
    # are not more of them, because the import may take 60 s, and a busy machine takes longer for
    # 64 imports.
    with cold_processes(count, "get_credentials") as processes:
        assert ecs_metadata.requests == []
        assert_all_succeed(processes.fetch_in_turn(), ecs_metadata)


@pytest.mark.parametrize("method", ["refresh", "refresh_async"])
def test_first_refresh_succeeds(ecs_metadata: FakeMetadataServer, method: str) -> None:
    with cold_processes(1, method) as processes:
        assert_all_succeed(processes.fetch_together(), ecs_metadata)


def assert_all_succeed(outcomes: list[str], server: FakeMetadataServer) -> None:
    """Fail unless each call returned what the service issued."""
    issued = {one.access_key_id for one in server.issued}
    assert [one for one in outcomes if one not in issued] == []
