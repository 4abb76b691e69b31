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

WORK = 0.05
"""Seconds that a request takes besides, so that requests at a time need workers at a time."""

provider = EcsRamRoleCredentialsProvider(deadline=10)
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
    told = {
        "pid": os.getpid(),
        "content": content.decode(),
        "access_key_id": provider.get_credentials().access_key_id,
        "fetches": provider.status().fetches,
    }
    time.sleep(WORK)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
