"""Processes that start cold at once: how many first calls succeed, and how long they take."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from peers import ALIBABA, OSS2, OURS, PATH, ROLE, Peer
from report import Section, seconds

from ecs_role_creds.testing import FakeMetadataServer

if TYPE_CHECKING:
    from scenarios import Scale

COUNTS = (1, 16, 64)
PATIENCE = 300.0
"""Seconds; only against hanging."""

_CHILD = """
import json, sys, time
endpoint, role, path = sys.argv[1:]
print("ready", flush=True)
sys.stdin.read()  # ends for every process at once
begin = time.perf_counter()
{build}
built = time.perf_counter()
try:
    provider.get_credentials()
    is_good = True
except Exception:
    is_good = False
end = time.perf_counter()
print(json.dumps([is_good, end - built, end - begin]))
"""
_BUILD: dict[Peer, str] = {
    OURS: """
from ecs_role_creds import EcsRamRoleCredentialsProvider
provider = EcsRamRoleCredentialsProvider(role, endpoint=endpoint)
""",
    OSS2: """
from oss2.credentials import EcsRamRoleCredentialsProvider
provider = EcsRamRoleCredentialsProvider(endpoint + path + role)
""",
    ALIBABA: """
from alibabacloud_credentials.provider.ecs_ram_role import EcsRamRoleCredentialsProvider
provider = EcsRamRoleCredentialsProvider(role_name=role)
host = endpoint.removeprefix("http://")
provider._EcsRamRoleCredentialsProvider__metadata_service_host = host
""",
}


class FirstCall(NamedTuple):
    """What a process's first call came to.

    Attributes:
        is_good: Whether it returned credentials.
        took: Seconds.
        with_import: Seconds, with the import of the package and the making of a provider.
    """

    is_good: bool
    took: float
    with_import: float


def cold_start_together(scale: Scale) -> Section:
    """Count and time the first calls."""
    rows = []
    for count in COUNTS[:2] if scale.is_quick else COUNTS:
        for peer in _BUILD:
            with FakeMetadataServer(ROLE) as server:
                calls = _first_calls(peer, server, count)
            rows.append(
                (
                    str(count),
                    peer.name,
                    f"{sum(one.is_good for one in calls)} / {count}",
                    *_middle_and_most([one.took for one in calls]),
                    *_middle_and_most([one.with_import for one in calls]),
                )
            )
    return Section(
        "cold-start-together",
        "Many processes that start cold at once",
        "Each process has started Python and imported nothing yet. Then all of them, at the same "
        "time, import the package, build a provider with the default settings and the name of the "
        "role, and make the first call. The service is healthy. `ecs_role_creds` imports the HTTP "
        "client in the first call, which does not count towards its deadline of 2 s; the other "
        "packages import it before. The times with the import are therefore the ones to compare.",
        [
            "processes",
            "",
            "calls that succeeded",
            "median call",
            "longest call",
            "median with import",
            "longest with import",
        ],
        rows,
    )


def _middle_and_most(values: list[float]) -> tuple[str, str]:
    return seconds(statistics.median(values)), seconds(max(values))


def _first_calls(peer: Peer, server: FakeMetadataServer, count: int) -> list[FirstCall]:
    reader, writer = os.pipe()
    code = _CHILD.replace("{build}", _BUILD[peer])
    command = [sys.executable, "-W", "ignore", "-c", code, server.endpoint, ROLE, PATH]
    processes = [
        subprocess.Popen(
            command,
            stdin=reader,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(count)
    ]
    os.close(reader)
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        os.close(writer)
        outputs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [FirstCall(*json.loads(output)) for output in outputs]
