"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

USES = """
import os
import pytest
from ecs_role_creds import EcsRamRoleCredentialsProvider, get_credentials

def test_server(ecs_metadata):
    assert os.environ["ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT"] == ecs_metadata.endpoint
    assert ecs_metadata.is_valid(get_credentials())
    assert get_credentials().role_name == "app-role"
    assert len(ecs_metadata.issued) == 1

def test_another_server(ecs_metadata):
    assert ecs_metadata.requests == []  # and the cache is cold
    assert ecs_metadata.is_valid(get_credentials())

def test_environment_is_restored():
    assert "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT" not in os.environ

@pytest.mark.ecs_metadata(role="other-role", life=60, mode="hardening-only")
def test_marker(ecs_metadata):
    credentials = get_credentials()
    assert credentials.role_name == "other-role"
    assert credentials.expires_in() <= 61
    assert ecs_metadata.mode == "hardening-only"

class TestOverridden:
    @pytest.fixture
    def ecs_metadata_role(self):
        return "class-role"

    @pytest.fixture
    def ecs_metadata_life(self):
        return 90

    def test_fixtures(self, ecs_metadata):
        assert (ecs_metadata.role, ecs_metadata.life) == ("class-role", 90)

    @pytest.mark.ecs_metadata(role=None)
    def test_the_marker_wins(self, ecs_metadata):
        assert (ecs_metadata.role, ecs_metadata.life) == (None, 90)

@pytest.mark.ecs_metadata(role="class-role")
class TestMarked:
    def test_class(self, ecs_metadata):
        assert ecs_metadata.role == "class-role"

    @pytest.mark.ecs_metadata(role="test-role")
    def test_the_nearer_marker_wins(self, ecs_metadata):
        assert ecs_metadata.role == "test-role"
"""

SESSION = """
from ecs_role_creds import get_credentials

def test_one(ecs_metadata_session):
    assert ecs_metadata_session.is_valid(get_credentials())

def test_other(ecs_metadata_session):
    assert ecs_metadata_session.is_valid(get_credentials())
    assert len(ecs_metadata_session.issued) == 1
"""

FORBIDDEN = """
import pytest
import socket
from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import MetadataUnreachableError

def test_real(no_real_metadata):
    with pytest.raises(MetadataUnreachableError) as caught:
        EcsRamRoleCredentialsProvider().get_credentials()
    assert "use the ecs_metadata fixture" in str(caught.value)

def test_fake(no_real_metadata, ecs_metadata):
    assert EcsRamRoleCredentialsProvider().get_credentials()
"""


def run(folder: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_user.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments", [["-p", "no:randomly"], ["-p", "randomly"], ["-n", "8"]], ids=" ".join
)
@pytest.mark.parametrize(("source", "count"), [(USES, 8), (FORBIDDEN, 2)])
def test_users_tests_pass(tmp_path: Path, source: str, count: int, arguments: list[str]) -> None:
    done = run(tmp_path, source, *arguments)
    assert f"{count} passed" in done.stdout, done.stdout
    assert done.returncode == 0


def test_one_server_for_the_whole_run(tmp_path: Path) -> None:
    done = run(tmp_path, SESSION)
    assert "2 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("markers", "message"),
    [
        (["role='a'", "role='b'"], "contradict each other about role: 'b' and 'a'"),
        (["rolle='a'"], "takes role=, life= and mode= only"),
        (["'a'"], "takes role=, life= and mode= only"),
        (["role='a/b'"], "no role can be named 'a/b'"),
        (["life=0"], "life is 0"),
        (["mode='v2'"], "mode is 'v2'"),
    ],
)
def test_bad_markers_are_explained(tmp_path: Path, markers: list[str], message: str) -> None:
    lines = "".join(f"@pytest.mark.ecs_metadata({marker})\n" for marker in markers)
    done = run(tmp_path, f"import pytest\n{lines}def test_it(ecs_metadata): pass\n")
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_costs_nothing_where_unused() -> None:
    script = (
        "import sys, pytest; before = set(sys.modules); import ecs_role_creds.testing.plugin; "
        "print(sorted({'requests', 'oss2', 'responses', 'asyncio', 'http.server'}"
        " & (set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "[]\n"
