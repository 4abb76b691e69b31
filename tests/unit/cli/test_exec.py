"""The environment that a command is given."""

from __future__ import annotations

import pytest

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.cli.exec import endpoint_environment, static_environment
from ecs_role_creds.testing import FakeMetadataServer

SERVED = {
    "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1",
    "ALIBABA_CLOUD_CREDENTIALS_URI": "http://127.0.0.1:1/credentials/x",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/aws-container",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x",
}


@pytest.mark.parametrize("aws", [False, True])
def test_static(ecs_metadata: FakeMetadataServer, aws: bool) -> None:
    environ = {"PATH": "/bin", "OSS_ACCESS_KEY_ID": "old", "AWS_ACCESS_KEY_ID": "another"}
    got = static_environment(environ, EcsRamRoleCredentialsProvider(), aws=aws)
    (issued,) = ecs_metadata.issued
    assert got["PATH"] == "/bin"
    assert got["OSS_ACCESS_KEY_ID"] == issued.access_key_id
    assert got["ALIBABA_CLOUD_SECURITY_TOKEN"] == issued.security_token
    assert got["AWS_ACCESS_KEY_ID"] == (issued.access_key_id if aws else "another")


@pytest.mark.parametrize("aws", [False, True])
def test_endpoint_without_what_beats_it(aws: bool) -> None:
    environ = {
        "PATH": "/bin",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "old",
        "OSS_SESSION_TOKEN": "old",
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "another",
    }
    got = endpoint_environment(environ, SERVED, aws=aws)
    if aws:
        assert got == {"PATH": "/bin", **SERVED}
    else:
        alibaba = {name: value for name, value in SERVED.items() if name.startswith("ALIBABA")}
        assert got == {"PATH": "/bin", "AWS_ACCESS_KEY_ID": "another", **alibaba}
