"""``ecs-role-creds fake-metadata``, as a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing.plugin import REAL_ADDRESS

COMMAND = [sys.executable, "-m", "ecs_role_creds", "fake-metadata"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the endpoint it printed."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        exported = re.fullmatch(r"export ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT=(\S+)\n", line)
        assert exported is not None
        yield process, exported[1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_interrupted(ended_by: signal.Signals) -> None:
    with running("--role", "my-role", "--life", "600") as (process, endpoint):
        assert REAL_ADDRESS not in endpoint
        credentials = EcsRamRoleCredentialsProvider(endpoint=endpoint).get_credentials()
        assert credentials.role_name == "my-role"
        assert 300 < credentials.expires_in() <= 601
        process.send_signal(ended_by)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out, err) == (0, "", "")


def test_modes_and_no_role() -> None:
    with running("--mode", "hardening-only", "--no-role") as (_, endpoint):
        path = f"{endpoint}/latest/meta-data/ram/security-credentials/"
        assert requests.get(path, timeout=300).status_code == 403
        token = requests.put(
            f"{endpoint}/latest/api/token",
            headers={"X-aliyun-ecs-metadata-token-ttl-seconds": "60"},
            timeout=300,
        ).text
        headers = {"X-aliyun-ecs-metadata-token": token}
        assert requests.get(path, headers=headers, timeout=300).status_code == 404


def test_a_seed_makes_runs_alike() -> None:
    ids = []
    for _ in range(2):
        with running("--seed", "7") as (_, endpoint):
            provider = EcsRamRoleCredentialsProvider(endpoint=endpoint)
            ids.append(provider.get_credentials().access_key_id)
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--role", "a/b"], "no role can be named 'a/b'"),
        (["--life", "0"], "life is 0"),
        (["--port", "99999"], "port"),
        (["--mode", "other"], "invalid choice"),
    ],
)
def test_bad_use_is_explained(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["fake-metadata", "fake-oss"])
@pytest.mark.parametrize("port", ["in use", "99999"])
def test_a_port_that_cannot_be_used(command: str, port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = str(other.getsockname()[1]) if port == "in use" else port
        done = subprocess.run(
            [sys.executable, "-m", "ecs_role_creds", command, "--port", number],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 2
    assert f"cannot listen on port {number}" in done.stderr
    assert "Choose another port, or 0 for any free one" in done.stderr
