"""A WSGI application that gunicorn preloads: its provider is warm before the workers are forked.

Run by tests/integration/test_processes.py, with the servers in that test's own process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import oss2

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.provider import Runtime
from support.shared_time import SharedAgeing

WORK = 0.03
"""Seconds that a request takes besides, so that requests at a time need workers at a time."""

ageing = SharedAgeing(os.environ["SHARED_TIME"])
provider = EcsRamRoleCredentialsProvider(
    deadline=30, runtime=Runtime(clock=ageing.clock, wall_clock=ageing.wall_clock)
)
provider.get_credentials()
bucket = oss2.Bucket(
    oss2.ProviderAuthV4(provider),
    os.environ["OSS_ENDPOINT"],
    "bucket",
    region=os.environ["OSS_REGION"],
)


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """Read an object, and tell who did, with whose credentials."""
    content = bucket.get_object("object").read()
    access_key_id = provider.get_credentials().access_key_id
    status = provider.status()
    told = {
        "pid": os.getpid(),
        "content": content.decode(),
        "access_key_id": access_key_id,
        "fetches": status.fetches,
        "is_refreshing": status.is_refreshing,
    }
    time.sleep(WORK)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
