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

# An application that builds its provider when it is imported, and its tests.
EARLY = """
import pytest
from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import MetadataUnreachableError, NoRoleAttachedError
from ecs_role_creds.testing import VirtualClock

provider = EcsRamRoleCredentialsProvider()

def test_the_fake_is_asked(ecs_metadata):
    assert ecs_metadata.is_valid(provider.get_credentials())
    assert len(ecs_metadata.issued) == 1

@pytest.mark.ecs_metadata(role=None)
def test_a_failure(ecs_metadata):
    with pytest.raises(NoRoleAttachedError):
        provider.get_credentials()

@pytest.mark.ecs_metadata(clock=VirtualClock)
def test_hours_pass(ecs_metadata):
    first = provider.get_credentials()
    ecs_metadata.advance(6 * 3600)
    assert first.is_expired()
    assert ecs_metadata.is_valid(provider.get_credentials())

class TestOverridden:
    @pytest.fixture
    def ecs_metadata_clock(self):
        return VirtualClock()

    def test_the_fixture(self, ecs_metadata, ecs_metadata_clock):
        assert ecs_metadata.clock is ecs_metadata_clock

def test_without_the_fixture():
    with pytest.raises(MetadataUnreachableError, match="use the ecs_metadata fixture"):
        provider.get_credentials()
"""

AT_IMPORT = """
import socket

try:
    socket.create_connection(("::ffff:100.100.100.200", 80), 1)
except OSError as error:
    MESSAGE = str(error)

def test_it():
    assert "use the ecs_metadata fixture" in MESSAGE
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
    assert str(caught.value) == (
        "No answer from the metadata service at http://100.100.100.200 (RealAddressError: a test "
        "tried to reach the real metadata service at 100.100.100.200; use the ecs_metadata "
        "fixture). The fixture points every provider without an explicit endpoint at a fake "
        "service, including those built before the test."
    )

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
        timeout=500,
        check=False,
    )


@pytest.mark.parametrize("arguments", ["-p no:randomly", "-p randomly", "-n 2"])
@pytest.mark.parametrize(
    ("source", "count"), [(USES, 8), (FORBIDDEN, 2)], ids=["uses", "forbidden"]
)
def test_users_tests_pass(tmp_path: Path, source: str, count: int, arguments: str) -> None:
    done = run(tmp_path, source, *arguments.split())
    assert f"{count} passed" in done.stdout, done.stdout
    assert done.returncode == 0


def test_one_server_for_the_whole_run(tmp_path: Path) -> None:
    done = run(tmp_path, SESSION)
    assert "2 passed" in done.stdout, done.stdout


BAD_MARKERS = [
    (["role='a'", "role='b'"], "contradict each other about role: 'b' and 'a'"),
    (["rolle='a'"], "the ecs_metadata marker takes role=, life=, mode= and clock= only"),
    (["'a'"], "the ecs_metadata marker takes role=, life=, mode= and clock= only"),
    (["role='a/b'"], "no role can be named 'a/b'"),
    (["life=0"], "life is 0"),
    (["mode='v2'"], "mode is 'v2'"),
    (["clock=5"], "clock is 5; pass VirtualClock"),
    (["clock=str"], "clock is ''; pass VirtualClock"),
]


def test_bad_markers_are_explained(tmp_path: Path) -> None:
    source = "import pytest\n"
    for number, (markers, _) in enumerate(BAD_MARKERS):
        source += "".join(f"@pytest.mark.ecs_metadata({marker})\n" for marker in markers)
        source += f"def test_{number}(ecs_metadata): pass\n"
    done = run(tmp_path, source, "-p", "no:randomly")
    assert f"{len(BAD_MARKERS)} errors" in done.stdout, done.stdout
    told = done.stdout.split("ERROR at setup of ")[1:]
    for (_, message), one in zip(BAD_MARKERS, told, strict=True):
        assert message in one


def test_application_that_builds_its_provider_at_import(tmp_path: Path) -> None:
    done = run(tmp_path, EARLY, "-o", "no_real_metadata=true")
    assert "5 passed" in done.stdout, done.stdout
    assert done.returncode == 0


def test_the_real_address_is_guarded_while_tests_are_imported(tmp_path: Path) -> None:
    done = run(tmp_path, AT_IMPORT, "-o", "no_real_metadata=true")
    assert "1 passed" in done.stdout, done.stdout


def test_a_marker_without_the_fixture_is_an_error(tmp_path: Path) -> None:
    marked = """
import pytest
@pytest.mark.ecs_metadata(life=60)
def test_it(): pass

@pytest.mark.ecs_metadata(life=60)
@pytest.mark.usefixtures("ecs_metadata")
def test_used(): pass

@pytest.mark.ecs_metadata(life=60)
class TestClass:
    def test_unrelated(self): pass
"""
    done = run(tmp_path, marked)
    assert "test_it has the ecs_metadata marker, but does not use" in done.stdout, done.stdout
    assert "2 passed, 1 error" in done.stdout, done.stdout


def test_costs_nothing_where_unused() -> None:
    script = (
        "import sys, pytest; before = set(sys.modules); import ecs_role_creds.testing.plugin; "
        "print(sorted({'requests', 'oss2', 'responses', 'asyncio', 'http.server'}"
        " & (set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout == "[]\n"
