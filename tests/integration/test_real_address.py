"""Clients unmodified, at the service's own address, in a network namespace of this test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ecs_role_creds.testing.plugin import REAL_ADDRESS

NAMESPACE = f"ecs-role-creds-{os.getpid()}"

LIBRARY = """
from ecs_role_creds import get_credentials
credentials = get_credentials()
"""
ALIBABACLOUD_CREDENTIALS = """
from alibabacloud_credentials.client import Client
from alibabacloud_credentials.models import Config
credentials = Client(Config(type="ecs_ram_role")).get_credential()
"""
RUN = """
from ecs_role_creds.testing import FakeMetadataServer
with FakeMetadataServer("real-role", host={address!r}, port=80) as server:
{client}
    assert server.is_valid(credentials), server.transcript()
    assert server.requests[0].method == "PUT", server.transcript()
print("valid")
import os, sys
sys.stdout.flush()
os._exit(0)  # a scheduler thread of one of the clients does not end
"""


def ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def namespace() -> Iterator[str]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2 for a network namespace")
    made = ip("netns", "add", NAMESPACE)
    if made.returncode != 0:
        pytest.skip(f"no network namespace can be made here: {made.stderr.strip()}")
    try:
        for arguments in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{REAL_ADDRESS}/32", "dev", "lo"),
        ):
            done = ip("netns", "exec", NAMESPACE, "ip", *arguments)
            if done.returncode != 0:
                pytest.skip(f"the namespace cannot have the address: {done.stderr.strip()}")
        yield NAMESPACE
    finally:
        ip("netns", "delete", NAMESPACE)


@pytest.mark.parametrize("client", [LIBRARY, ALIBABACLOUD_CREDENTIALS])
def test_unmodified_client(namespace: str, client: str) -> None:
    indented = "".join(f"    {line}\n" for line in client.strip().splitlines())
    script = RUN.format(address=REAL_ADDRESS, client=indented)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ALIBABA_CLOUD_") and not name.lower().endswith("_proxy")
    }
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.stdout.endswith("valid\n"), done.stderr
