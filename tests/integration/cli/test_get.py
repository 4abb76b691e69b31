"""``ecs-role-creds get``, as a process of its own, into pipes and on a terminal."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from support.sidecar import COMMAND, clean_environment, run_command
from support.terminal import terminal

from ecs_role_creds.testing import FakeMetadataServer


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_command("get", *arguments, **environ)


def test_a_pipe_gets_them_whole(ecs_metadata: FakeMetadataServer) -> None:
    done = run("--endpoint", ecs_metadata.endpoint)
    (issued,) = ecs_metadata.issued
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stderr == ""
    assert document["access_key_secret"] == issued.access_key_secret
    assert document["security_token"] == issued.security_token


def test_a_shell_takes_them(ecs_metadata: FakeMetadataServer) -> None:
    get = " ".join([*COMMAND, "get", "--format", "env"])
    done = subprocess.run(
        ["sh", "-c", f'eval "$({get})"; printenv OSS_SESSION_TOKEN'],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(**ecs_metadata.environment),
    )
    assert done.stdout.strip() == ecs_metadata.issued[0].security_token


@pytest.mark.parametrize("form", ["json", "env", "aws-process", "table"])
def test_a_terminal_gets_a_mask(ecs_metadata: FakeMetadataServer, form: str) -> None:
    environ = clean_environment(**ecs_metadata.environment)
    with terminal([*COMMAND, "get", "--format", form], environ, columns=2000) as shown:
        assert shown.wait() == 0
    (issued,) = ecs_metadata.issued
    assert issued.access_key_id in shown.shown
    assert "fake-s" not in shown.shown
    assert "--show-secrets" in shown.shown


def test_a_terminal_gets_them_if_asked_for(ecs_metadata: FakeMetadataServer) -> None:
    environ = clean_environment(**ecs_metadata.environment)
    with terminal([*COMMAND, "get", "--show-secrets"], environ, columns=2000) as shown:
        assert shown.wait() == 0
    assert ecs_metadata.issued[0].security_token in shown.shown


def test_a_pipe_from_a_terminal_gets_them_whole(ecs_metadata: FakeMetadataServer) -> None:
    environ = clean_environment(**ecs_metadata.environment)
    reader, writer = os.pipe()
    with terminal([*COMMAND, "get"], environ, stdout=writer) as shown:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            document = json.loads(pipe.read())
        assert shown.wait() == 0
    assert document["access_key_secret"] == ecs_metadata.issued[0].access_key_secret
    assert shown.shown == ""


def test_the_role_named(ecs_metadata: FakeMetadataServer) -> None:
    assert run("--role", "app-role", **ecs_metadata.environment).returncode == 0
    done = run("--role", "other-role", **ecs_metadata.environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert "other-role" in done.stderr
    assert "app-role" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environ", "status", "message"),
    [
        (["--role", "a/b"], {}, 2, "a role name is"),
        (["--endpoint", "https://x"], {}, 2, "http://HOST"),
        (
            [],
            {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"},
            1,
            "ALIBABA_CLOUD_ECS_METADATA_DISABLED",
        ),
        (["--endpoint", "http://127.0.0.1:1"], {}, 1, "127.0.0.1:1"),
        (["--aws"], {}, 2, "--aws needs --format env or --format dotenv"),
        (["--format", "xml"], {}, 2, "invalid choice"),
    ],
)
def test_failures_are_explained(
    arguments: list[str], environ: dict[str, str], status: int, message: str
) -> None:
    done = run(*arguments, **environ)
    assert done.returncode == status
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_the_lines_for_the_files_of_others() -> None:
    done = run("--help", COLUMNS="80")
    assert '"process_command": "ecs-role-creds get --format aliyun-external"' in done.stdout
    assert "credential_process = ecs-role-creds get --format aws-process" in done.stdout
