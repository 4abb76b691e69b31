"""The units and containers in the documentation, as far as they can be tried without systemd as
process 1 and without a container engine."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import yaml
from support.plain_http import wait_until
from support.sidecar import PATIENCE, clean_environment

from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.plugin import REAL_ADDRESS

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "run-the-sidecar.md"
NAMES = ["ecs-role-creds.socket", "ecs-role-creds.service", "application.service"]
PROGRAM = "/opt/ecs-role-creds/bin/ecs-role-creds"

TEXT = PAGE.read_text(encoding="utf-8")


def fences(tag: str) -> list[str]:
    return re.findall(rf"```{tag}\n(.*?)```", TEXT, re.DOTALL)


UNITS = dict(zip(NAMES, fences("ini"), strict=True))


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")


def setting(unit: str, name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNITS[unit], re.MULTILINE)
    return str(value)


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    needs("systemd-analyze")
    for name, text in UNITS.items():
        (tmp_path / name).write_text(text.replace(PROGRAM, sys.executable), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in NAMES)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert complaints == []
    if done.returncode != 0:
        pytest.skip(f"systemd-analyze does not work here: {done.stderr[-200:]}")


def test_the_units_say_the_same_as_the_page() -> None:
    address = setting("ecs-role-creds.socket", "ListenStream")
    assert f"http://{address}/healthz" in TEXT
    env_file = setting("application.service", "EnvironmentFile")
    assert env_file in setting("ecs-role-creds.service", "ExecStart")


def test_the_command_of_the_unit_takes_systemds_socket(
    ecs_metadata: FakeMetadataServer, tmp_path: Path
) -> None:
    """systemd's own tool listens, and starts the command at the first connection."""
    needs("systemd-socket-activate")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = setting("ecs-role-creds.service", "ExecStart").split()
    assert command[0] == PROGRAM
    command[command.index("--env-file") + 1] = str(tmp_path / "creds.env")
    process = subprocess.Popen(
        [
            "systemd-socket-activate",
            f"--listen={address}",
            f"--setenv=ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT={ecs_metadata.endpoint}",
            f"--setenv=HOME={tmp_path}",
            sys.executable,
            "-m",
            "ecs_role_creds",
            *command[1:],
        ],
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    try:

        def is_healthy() -> bool:
            with contextlib.suppress(requests.ConnectionError):
                return requests.get(f"http://{address}/healthz", timeout=PATIENCE).ok
            return False

        wait_until(is_healthy, PATIENCE)
        assert len(ecs_metadata.issued) == 1
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, err


CONTAINERS = """
import json, os, subprocess, sys
from support.plain_http import wait_until
from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer

address, command, health, environ = sys.argv[1], *map(json.loads, sys.argv[2:])
with FakeMetadataServer(host=address, port=80) as upstream:
    sidecar = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: subprocess.run(health, capture_output=True).returncode == 0)
        os.environ.update(environ)
        got = EcsRamRoleCredentialsProvider(deadline=30.0).get_credentials()
        assert upstream.is_valid(got)
        assert len(upstream.issued) == 1
        upstream.fail(503)
    finally:
        sidecar.terminate()
        assert sidecar.wait(300) == 0
    assert subprocess.run(health, capture_output=True).returncode != 0
"""


def test_containers_that_share_a_network(inside: list[str]) -> None:
    """What Dockerfile and Compose file run, in a network namespace that they share."""
    (dockerfile,), (compose,) = fences("dockerfile"), fences("yaml")
    instructions = dict(line.split(" ", 1) for line in dockerfile.splitlines())
    program, *arguments = [
        *json.loads(instructions["ENTRYPOINT"]),
        *json.loads(instructions["CMD"]),
    ]
    assert program == "ecs-role-creds"
    health = json.loads(instructions["HEALTHCHECK"].removeprefix("CMD "))
    assert health[0] == "python"
    services = yaml.safe_load(compose)["services"]
    assert services["credentials"]["network_mode"] == "service:app"
    command = [sys.executable, "-m", "ecs_role_creds", *arguments]
    done = subprocess.run(
        [
            *inside,
            *(sys.executable, "-c", CONTAINERS, REAL_ADDRESS),
            json.dumps(command),
            json.dumps([sys.executable, *health[1:]]),
            json.dumps(services["app"]["environment"]),
        ],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
        env=clean_environment(PYTHONPATH=str(Path(__file__).parents[2])),
    )
    assert done.returncode == 0, done.stderr
