"""The forms that credentials are printed in."""

from __future__ import annotations

import json
import shlex

import pytest
from support import MovableClock, fake_credentials

from ecs_role_creds import Credentials
from ecs_role_creds.cli.get import FORMATS, masked, render

VARIABLES = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "STS.FAKE0001",
    "OSS_ACCESS_KEY_SECRET": "fake-secret-0001",
    "ALICLOUD_SECURITY_TOKEN": "fake-security-token-0001",
}
AWS = {"AWS_SESSION_TOKEN": "fake-security-token-0001"}


@pytest.fixture
def credentials() -> Credentials:
    return fake_credentials(1, MovableClock())


@pytest.mark.parametrize(
    ("form", "keys"),
    [
        (
            "json",
            ["access_key_id", "access_key_secret", "security_token", "expiration", "role_name"],
        ),
        (
            "role-document",
            ["AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration", "Code"],
        ),
        (
            "aliyun-external",
            ["mode", "access_key_id", "access_key_secret", "sts_token", "expiration"],
        ),
        (
            "aws-process",
            ["Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"],
        ),
    ],
)
def test_json_forms(credentials: Credentials, form: str, keys: list[str]) -> None:
    document = json.loads(render(credentials, form))
    assert list(document) == keys
    assert {"STS.FAKE0001", "fake-secret-0001", "fake-security-token-0001"} <= set(
        document.values()
    )


def test_constants_of_the_forms(credentials: Credentials) -> None:
    assert json.loads(render(credentials, "aliyun-external"))["mode"] == "StsToken"
    assert json.loads(render(credentials, "aws-process"))["Version"] == 1
    assert json.loads(render(credentials, "role-document"))["Code"] == "Success"


def test_env(credentials: Credentials) -> None:
    words = [shlex.split(line) for line in render(credentials, "env").splitlines()]
    assert {export for export, _ in words} == {"export"}
    named = dict(assignment.split("=", 1) for _, assignment in words)
    assert VARIABLES.items() <= named.items()
    assert not any(name.startswith("AWS_") for name in named)


def test_dotenv(credentials: Credentials) -> None:
    named = dict(line.split("=", 1) for line in render(credentials, "dotenv").splitlines())
    assert VARIABLES.items() <= named.items()


@pytest.mark.parametrize("form", ["env", "dotenv"])
def test_with_the_variables_of_aws(credentials: Credentials, form: str) -> None:
    assert "AWS_SESSION_TOKEN=fake-security-token-0001" in render(credentials, form, aws=True)


def test_odd_characters_are_quoted() -> None:
    odd = Credentials("STS.FAKE", "a'b$c#d", "t", fake_credentials(1, MovableClock()).expiration)
    assert "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + shlex.quote("a'b$c#d") in render(odd, "dotenv")
    (line,) = [
        one for one in render(odd, "env").splitlines() if "ALIBABA_CLOUD_ACCESS_KEY_SECRET" in one
    ]
    assert shlex.split(line)[1].endswith("=a'b$c#d")


def test_table(credentials: Credentials) -> None:
    rows = dict(line.split("  ", 1) for line in render(credentials, "table").splitlines())
    assert rows["Valid for"].strip() == "6 h 00 min"
    assert rows["Role"].strip() == "app-role"


@pytest.mark.parametrize("form", FORMATS)
def test_masked(credentials: Credentials, form: str) -> None:
    shown = render(credentials, form, aws=form in ("env", "dotenv"), is_masked=True)
    assert "fake-s" not in shown
    assert "STS.FAKE0001" in shown
    assert "*" in shown


def test_masked_keeps_the_rest(credentials: Credentials) -> None:
    got = masked(credentials)
    assert got.expiration == credentials.expiration
    assert got.role_name == credentials.role_name
