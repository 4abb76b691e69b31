"""Clients unmodified, at the service's own address, in a network namespace of each test's own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ecs_role_creds.testing.plugin import REAL_ADDRESS

MODES = ["both", "hardening-only", "normal-only"]
ROLE_NAMES = [None, "real-role"]

LIBRARY = """
from ecs_role_creds import EcsRamRoleCredentialsProvider
got = EcsRamRoleCredentialsProvider(role_name, deadline=30).get_credentials()
triple = [got.access_key_id, got.access_key_secret, got.security_token]
"""
ALIBABACLOUD_CREDENTIALS = """
from alibabacloud_credentials.client import Client
from alibabacloud_credentials.models import Config
patience = {"timeout": 30_000, "connect_timeout": 30_000}  # milliseconds
got = Client(Config(type="ecs_ram_role", role_name=role_name, **patience)).get_credential()
triple = [got.access_key_id, got.access_key_secret, got.security_token]
"""
NODE = """
command = ["node", "client.js", *([role_name] if role_name else [])]
done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
assert done.returncode == 0, done.stderr
triple = json.loads(done.stdout)
"""
RUN = """
import json, os, subprocess, sys
from ecs_role_creds.testing import FakeMetadataServer
address, mode, role_name = sys.argv[1], sys.argv[2], sys.argv[3] or None
with FakeMetadataServer("real-role", mode=mode, host=address, port=80) as server:
{client}
    issued = [list(one[:3]) for one in server.issued]
    asked = [[one.method, one.path, one.status] for one in server.requests]
    print(json.dumps({{"is_the_issued_one": [triple] == issued, "asked": asked}}))
sys.stdout.flush()
os._exit(0)  # a scheduler thread of one of the clients does not end
"""


def run(
    inside: list[str], client: str, mode: str, role_name: str | None, folder: Path | None = None
) -> dict[str, Any]:
    """What came of a client that was run beside a service at the real address."""
    indented = "".join(f"    {line}\n" for line in client.strip().splitlines())
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ALIBABA_CLOUD_") and not name.lower().endswith("_proxy")
    }
    script = RUN.format(client=indented)
    done = subprocess.run(
        [*inside, sys.executable, "-c", script, REAL_ADDRESS, mode, role_name or ""],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, (mode, role_name, done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def assert_served(told: dict[str, Any], mode: str, role_name: str | None) -> None:
    """It got what was issued, asked for a session token first, and asked nothing in vain."""
    context = (mode, role_name, told)
    assert told["is_the_issued_one"], context
    tokens = [one for one in told["asked"] if one[0] == "PUT"]
    rest = [one for one in told["asked"] if one[0] != "PUT"]
    assert told["asked"][0] == tokens[0], context
    no_token = mode == "normal-only"
    assert {status for *_, status in tokens} == {404 if no_token else 200}, context
    folder = "/latest/meta-data/ram/security-credentials/"
    role = [] if role_name else [["GET", folder, 200]]
    assert rest == [*role, ["GET", f"{folder}real-role", 200]], context


@pytest.mark.parametrize("role_name", ROLE_NAMES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "client", [LIBRARY, ALIBABACLOUD_CREDENTIALS], ids=["library", "alibabacloud-credentials"]
)
def test_unmodified_client(
    inside: list[str], client: str, mode: str, role_name: str | None
) -> None:
    assert_served(run(inside, client, mode, role_name), mode, role_name)


# One test for all, so that no more than one worker installs the client.
@pytest.mark.slow
def test_unmodified_client_for_node(inside: list[str], npm_client: Path) -> None:
    for mode, role_name in itertools.product(MODES, ROLE_NAMES):
        told = run(inside, NODE, mode, role_name, npm_client)
        assert_served(told, mode, role_name)
