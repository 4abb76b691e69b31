"""Processes that start cold at once: how many first calls succeed, and how long they take."""

from __future__ import annotations

import os
import statistics
from typing import TYPE_CHECKING

from report import Section, seconds
from support.cold_start import FirstCall, first_calls

from ecs_role_creds.testing import FakeMetadataServer

if TYPE_CHECKING:
    from scenarios import Scale

COUNTS = (1, 16, 64, 128)


def cold_start_together(scale: Scale) -> Section:
    """Count and time the first calls."""
    rows = []
    for count in COUNTS[:2] if scale.is_quick else COUNTS:
        with FakeMetadataServer() as server:
            calls = _calls(server, count)
        good = [one for one in calls if not one.has_failed]
        took = [one.took for one in calls]
        rows.append(
            (
                str(count),
                f"{len(good)} of {count}",
                seconds(statistics.median(took)),
                seconds(max(took)),
            )
        )
    return Section(
        "cold-start-together",
        "Many processes that start cold at once",
        "Each process has imported `ecs_role_creds`. At the same moment each makes its first call, "
        "with the default settings, to a healthy fake service. The call imports the HTTP client, "
        f"which the {os.cpu_count()} processors have to do once for each process; this does not "
        "count towards the deadline of 2 s.",
        ["processes", "calls that succeeded", "median call", "longest call"],
        rows,
    )


def _calls(server: FakeMetadataServer, count: int) -> list[FirstCall]:
    name = "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT"
    before = os.environ.get(name)
    os.environ[name] = server.endpoint
    try:
        return first_calls(count)
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
