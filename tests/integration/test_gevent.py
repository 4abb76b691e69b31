"""Under gevent: greenlets for threads, and a hub that no fetch may hold up.

The servers run in this process, which is not patched; the clients in one that is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from support import documents

from ecs_role_creds.testing import FakeMetadataServer, FakeOss

pytest.importorskip("gevent", reason="needs gevent")
pytest.importorskip("oss2", reason="needs oss2")

RUN = Path(__file__).parents[1] / "support" / "gevent_run.py"
LIFE = 4.0
DURATION = 3.5  # past one rotation at least
DELAY = 0.5
HELD_UP = 0.3  # well under the delay: a hub that waits for the service stands still that long


@pytest.fixture
def server() -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer() as server:
        yield server


def run(scenario: str, *arguments: str) -> dict[str, Any]:
    """What a scenario of the patched process tells."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ALIBABA_CLOUD_") and not name.lower().endswith("_proxy")
    }
    done = subprocess.run(
        [sys.executable, str(RUN), scenario, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def issued(server: FakeMetadataServer) -> list[list[str]]:
    return [list(one[:3]) for one in server.issued]


@pytest.mark.slow
def test_256_greenlets_through_a_rotation(server: FakeMetadataServer) -> None:
    server.life = LIFE
    server.delay(DELAY, on="document")
    with FakeOss(server) as oss:
        told = run("load", server.endpoint, oss.endpoint, oss.region, str(DURATION))
        assert (told["failed"], oss.refused) == ([], [])
        assert len(oss.requests) > 16
    asked_for = told["last_asked"]
    assert len(asked_for) >= 2
    for *triple, asked_at in asked_for:
        assert triple in issued(server)
        one = server.find_issued(triple[0])
        assert one is not None
        assert datetime.fromtimestamp(asked_at, timezone.utc) < one.expiration
    assert told["calls"] > 256
    assert documents(server) < 60
    assert told["longest_warm_call"] < HELD_UP
    assert told["longest_gap"] < HELD_UP
    assert told["ticks_amid_fetches"] > 5 * documents(server)


def test_cold_start_of_100_greenlets_is_one_fetch(server: FakeMetadataServer) -> None:
    server.delay(DELAY, on="document")
    told = run("cold", server.endpoint)
    assert told["objects"] == 1
    assert [told["got"]] == issued(server)
    assert documents(server) == 1
    assert told["longest_gap"] < HELD_UP
    assert told["ticks_amid_fetches"] > 5


@pytest.mark.parametrize("polling", ["polling", "no polling"])
def test_killed_callers_take_nothing_from_the_others(
    server: FakeMetadataServer, polling: str
) -> None:
    server.delay(DELAY, on="document")
    told = run("killed", server.endpoint, polling)
    (only,) = issued(server)
    assert told["killed"] == [True, True]
    assert told["impatient"] == "gave up"
    assert told["was_refreshing"]
    assert told["got"] == [only] * 8
    assert told["afterwards"] == only
    assert (told["was_polling"], told["is_polling"]) == (polling == "polling", False)
    assert documents(server) == 1


def test_killed_fetch_is_heard_of_and_made_up_for(server: FakeMetadataServer) -> None:
    server.delay(DELAY, on="document", times=1)
    told = run("killed_fetch", server.endpoint)
    assert len(told["got"]) == 10
    assert all("GreenletExit" in one for one in told["got"])
    assert told["heard_after"] < HELD_UP
    assert told["afterwards"] in issued(server)


def test_fresh_credentials_cost_no_switch_to_the_hub(server: FakeMetadataServer) -> None:
    told = run("hot", server.endpoint, "1000")
    assert told == {"switches": 0, "all_same": True}
    assert documents(server) == 1


def test_greenlets_and_native_threads_wait_together(server: FakeMetadataServer) -> None:
    server.delay(0.1, on="document")
    told = run("native_threads", server.endpoint)
    assert len(told["got"]) == len(told["again"]) == 16
    assert all(one in issued(server) for one in told["got"] + told["again"])
