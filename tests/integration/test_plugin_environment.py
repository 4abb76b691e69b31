"""The pytest plugin leaves everything as it found it, in test runs of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

VARIABLES = {
    "ALIBABA_CLOUD_ECS_METADATA": "preset-role",
    "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
    "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": "http://192.0.2.1",
    "ALIBABA_CLOUD_IMDSV1_DISABLE": "true",
    "ALIBABA_CLOUD_IMDSV1_DISABLED": "true",
}

PRESET = """
import os
from ecs_role_creds import get_credentials

def preset():
    return {name: value for name, value in os.environ.items() if name.startswith("ALIBABA_CLOUD_")}

def test_before():
    assert preset() == VARIABLES

def test_with(ecs_metadata):
    assert preset() == ecs_metadata.environment
    assert get_credentials().role_name == "app-role"

def test_after():
    assert preset() == VARIABLES
"""

BOTH = """
import os
import pytest
from ecs_role_creds import get_credentials

def pointed_at():
    return os.environ["ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT"]

def test_session(ecs_metadata_session):
    assert pointed_at() == ecs_metadata_session.endpoint
    assert ecs_metadata_session.is_valid(get_credentials())

@pytest.mark.ecs_metadata(role="inner-role")
def test_nested(ecs_metadata_session, ecs_metadata):
    assert pointed_at() == ecs_metadata.endpoint != ecs_metadata_session.endpoint
    assert get_credentials().role_name == "inner-role"

def test_session_again(ecs_metadata_session):
    assert pointed_at() == ecs_metadata_session.endpoint
    assert ecs_metadata_session.is_valid(get_credentials())
"""

FORBIDDEN = """
import asyncio
import http.client
import socket
import pytest
import requests

@pytest.mark.parametrize("ask", [
    lambda: socket.create_connection(("100.100.100.200", 80), 1),
    lambda: socket.socket().connect_ex(("100.100.100.200", 80)),
    lambda: http.client.HTTPConnection("100.100.100.200").request("GET", "/"),
    lambda: requests.get("http://100.100.100.200/", timeout=1),
    lambda: asyncio.run(asyncio.open_connection("100.100.100.200", 80)),
])
def test_real(ask):
    with pytest.raises(OSError, match="use the ecs_metadata fixture"):
        ask()

def test_others_are_reached():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname(), 5).close()
        with socket.socket() as client:
            assert client.connect_ex(listener.getsockname()) == 0
"""


def run(folder: Path, source: str, ini: str = "", **environ: str) -> str:
    (folder / "test_user.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n" + ini)
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=folder,
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_variables_that_were_set_are_restored(tmp_path: Path) -> None:
    source = f"VARIABLES = {VARIABLES!r}\n{PRESET}"
    assert "3 passed" in run(tmp_path, source, **VARIABLES)


def test_variables_that_were_not_set_are_gone(tmp_path: Path) -> None:
    assert "3 passed" in run(tmp_path, f"VARIABLES = {{}}\n{PRESET}")


def test_a_server_inside_the_one_of_the_run(tmp_path: Path) -> None:
    assert "3 passed" in run(tmp_path, BOTH)


def test_the_real_service_is_out_of_reach_for_a_whole_run(tmp_path: Path) -> None:
    ini = "usefixtures = no_real_metadata\nfilterwarnings = ignore\n"
    assert "6 passed" in run(tmp_path, FORBIDDEN, ini)
