"""What is made of the SDKs' exceptions, and what is never shown of them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.roles import Administrator, connect

from ecs_role_creds.errors import NoRoleAttachedError
from ecs_role_creds.roles import CallError, InputError, OpenApi
from ecs_role_creds.roles import connect as connect_from_environment
from ecs_role_creds.testing import FakeOpenApi


@pytest.fixture
def fake() -> Iterator[FakeOpenApi]:
    with FakeOpenApi() as fake:
        yield fake


def failure(api: OpenApi, name: str = "ListRoles") -> CallError:
    with pytest.raises(CallError) as caught:
        api.call(name, {})
    return caught.value


def test_a_secret_that_the_service_quotes_is_not_shown(
    fake: FakeOpenApi, caplog: pytest.LogCaptureFixture
) -> None:
    api = connect(fake)
    secret = fake.access_key_secret
    fake.fail("ListRoles", "New.Code", message=f"We have calculated: {secret} and more")
    with caplog.at_level(logging.DEBUG, "ecs_role_creds.roles"):
        error = failure(api)
    assert error.message == "We have calculated: ******** and more"
    shown = "".join(traceback.format_exception(error)) + caplog.text
    assert secret not in shown
    assert "ListRoles" in caplog.text


def test_no_answer() -> None:
    with FakeOpenApi() as fake:
        api = connect(fake)
        fake.drop_calls(1)
        assert failure(api).message == "Connection aborted. Connection reset by peer"
    refused = failure(api)
    assert refused.message.startswith("Failed to establish a new connection: [Errno ")
    assert refused.code == "NoAnswer"
    assert (refused.status, refused.is_unclear) == (0, True)


def test_what_is_wrong_with_the_credentials(fake: FakeOpenApi) -> None:
    class Without:
        def get_credential(self) -> SimpleNamespace:
            raise NoRoleAttachedError("No role is attached to this instance.")

    api = OpenApi(Without(), region="cn-fake-1", ram_endpoint=fake.endpoint)
    error = failure(api)
    assert (error.code, error.is_unclear) == ("NoCredentials", False)
    assert "No role is attached" in str(error)
    assert "--as-instance" in str(error)


def test_ecs_needs_a_region(fake: FakeOpenApi) -> None:
    api = OpenApi(Administrator(fake), ram_endpoint=fake.endpoint, ecs_endpoint=fake.endpoint)
    api.call("ListRoles", {})
    with pytest.raises(InputError, match="pass --region"):
        api.call("DescribeInstances", {})


def test_the_environment_is_read_when_it_is_asked_for(fake: FakeOpenApi) -> None:
    where = {"ram_endpoint": fake.endpoint, "ecs_endpoint": fake.endpoint}
    api = connect_from_environment(environ=fake.environment, **where)
    api.call("ListRoles", {})
    assert api.region == "cn-fake-1"
    wrong = {**fake.environment, "ALIBABA_CLOUD_SECURITY_TOKEN": "fake-security-token-x"}
    error = failure(connect_from_environment(environ=wrong, **where))
    assert error.code == "InvalidSecurityToken.MismatchWithAccessKey"


def test_the_role_of_the_instance_is_used_on_request_only(tmp_path: Path) -> None:
    """Without the credentials of an administrator, no metadata service is asked."""
    script = """
import socket
def refuse(self, address):
    print("CONNECTS TO", address)
    raise OSError("refused by the test")
socket.socket.connect = refuse
from ecs_role_creds.cli import main
print("exit", main(["role", "show", "app-role", "--region", "cn-hangzhou"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
    )
    assert done.stdout == "exit 1\n"
    assert "pass `--as-instance`" in done.stderr
    assert "Traceback" not in done.stderr
