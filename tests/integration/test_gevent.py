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
from support.shared_time import SharedAgeing

from ecs_role_creds.testing import FakeMetadataServer, FakeOss
from ecs_role_creds.testing.exchange import Request, Response

pytest.importorskip("gevent", reason="needs gevent")
pytest.importorskip("oss2", reason="needs oss2")

TESTS = Path(__file__).parents[1]
RUN = TESTS / "support" / "gevent_run.py"
TOKENS = 3


class ControlledServer(FakeMetadataServer):
    """A fake that the patched process controls, by requests to ``/control/...``."""

    def handle(self, request: Request) -> Response:
        if request.path == "/control/hold":
            self.hang(on="document")
        elif request.path == "/control/release":
            self.recover()
        elif request.path != "/control/count":
            return super().handle(request)
        return Response(200, str(documents(self)).encode())


@pytest.fixture
def shared_time(tmp_path: Path) -> Path:
    return tmp_path / "time"


@pytest.fixture
def server(shared_time: Path) -> Iterator[FakeMetadataServer]:
    with ControlledServer(clock=SharedAgeing(shared_time).time) as server:
        yield server


def run(scenario: str, *arguments: str) -> dict[str, Any]:
    """What a scenario of the patched process tells."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ALIBABA_CLOUD_") and not name.lower().endswith("_proxy")
    }
    path = os.environ.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), path]))
    done = subprocess.run(
        [sys.executable, str(RUN), scenario, *arguments],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def issued(server: FakeMetadataServer) -> list[list[str]]:
    return [list(one[:3]) for one in server.issued]


@pytest.mark.slow
def test_256_greenlets_through_rotations(server: FakeMetadataServer, shared_time: Path) -> None:
    with FakeOss(server) as oss:
        told = run("load", server.endpoint, oss.endpoint, oss.region, str(shared_time))
        assert (told["failed"], oss.refused) == ([], [])
        assert len(oss.requests) == 2 * 16 * TOKENS
    assert told["were_served_during_a_refresh"]
    in_order = [one.access_key_id for one in server.issued]
    assert len(in_order) == TOKENS
    assert told["used"] == [in_order] * (256 + 16)
    assert documents(server) == TOKENS
    for *triple, asked_at in told["last_asked"]:
        assert triple in issued(server)
        one = server.find_issued(triple[0])
        assert one is not None
        assert datetime.fromtimestamp(asked_at, timezone.utc) < one.expiration


def test_cold_start_of_100_greenlets_is_one_fetch(server: FakeMetadataServer) -> None:
    told = run("cold", server.endpoint)
    assert told["objects"] == 1
    assert [told["got"]] == issued(server)
    assert documents(server) == 1
    assert told["was_running_during_the_fetch"]


@pytest.mark.parametrize("polling", ["polling", "no polling"])
def test_killed_callers_take_nothing_from_the_others(
    server: FakeMetadataServer, polling: str
) -> None:
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
    told = run("killed_fetch", server.endpoint)
    assert len(told["got"]) == 10
    assert all("GreenletExit" in one for one in told["got"])
    assert told["afterwards"] in issued(server)


def test_fresh_credentials_cost_no_switch_to_the_hub(server: FakeMetadataServer) -> None:
    told = run("hot", server.endpoint, "1000")
    assert told == {"switches": 0, "all_same": True}
    assert documents(server) == 1


def test_greenlets_and_native_threads_wait_together(server: FakeMetadataServer) -> None:
    server.delay(0.02, on="document")  # so that the others have to wait
    told = run("native_threads", server.endpoint, "20")
    known = issued(server)
    assert len(told["got"]) == 20 * 2 * 16
    assert [one for one in told["got"] if one not in known] == []
