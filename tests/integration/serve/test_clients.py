"""Real clients against the server, each through a rotation."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.sidecar import COMMAND, PATIENCE, Sidecar, clean_environment

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.loopback import LoopbackServer
from ecs_role_creds.testing.plugin import REAL_ADDRESS

Triple = list[str]
ASK = Callable[[], Triple]

ROLE_PATH = "latest/meta-data/ram/security-credentials/"


def output_of(command: list[str], environ: Mapping[str, str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=dict(environ),
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def through_a_rotation(sidecar: Sidecar, ask: ASK) -> None:
    """The client gets what was issued, then what was issued next; each is fetched once."""
    assert ask() == sidecar.triple()
    first = sidecar.triple()
    sidecar.rotate()
    assert ask() == sidecar.triple() != first
    assert len(sidecar.upstream.issued) == 2
    assert sidecar.provider.status().fetches == 2


def aws_triple(document: Mapping[str, Any], token: str) -> Triple:
    return [document["AccessKeyId"], document["SecretAccessKey"], document[token]]


def document_triple(document: Mapping[str, Any]) -> Triple:
    return [document[key] for key in ("AccessKeyId", "AccessKeySecret", "SecurityToken")]


# Clients of Alibaba Cloud.


def test_this_library(sidecar: Sidecar) -> None:
    provider = EcsRamRoleCredentialsProvider(endpoint=sidecar.endpoint, disable_imds_v1=True)

    def ask() -> Triple:
        got = provider.refresh()
        assert got.role_name == "app-role"
        upstream = sidecar.provider.get_credentials()
        assert abs(got.expires_in() - upstream.expires_in()) < 2
        return [got.access_key_id, got.access_key_secret, got.security_token]

    through_a_rotation(sidecar, ask)
    assert provider.status().mode == "hardening"


ALIBABACLOUD_CREDENTIALS = """
import json, os
from alibabacloud_credentials.client import Client
from alibabacloud_credentials.models import Config
patience = {"timeout": 30_000, "connect_timeout": 30_000}  # milliseconds
got = Client(Config(type="credentials_uri", **patience)).get_credential()
print(json.dumps([got.access_key_id, got.access_key_secret, got.security_token]), flush=True)
os._exit(0)  # a scheduler thread of the client does not end
"""


def test_alibabacloud_credentials_by_uri(sidecar: Sidecar) -> None:
    command = [sys.executable, "-c", ALIBABACLOUD_CREDENTIALS]
    environ = clean_environment(**sidecar.variables)
    through_a_rotation(sidecar, lambda: json.loads(output_of(command, environ)))


ALIYUN_PROFILE = """
import json, os
from alibabacloud_credentials.provider import CLIProfileCredentialsProvider
got = CLIProfileCredentialsProvider().get_credentials()
parts = [got.get_access_key_id(), got.get_access_key_secret(), got.get_security_token()]
print(json.dumps(parts), flush=True)
os._exit(0)  # a scheduler thread of the client does not end
"""


def test_external_profile_of_the_aliyun_cli(sidecar: Sidecar, tmp_path: Path) -> None:
    """As alibabacloud-credentials reads it, which writes what it got back into the file."""
    folder = tmp_path / ".aliyun"
    folder.mkdir()
    profile = {
        "name": "ecs",
        "mode": "External",
        "region_id": "cn-hangzhou",
        "process_command": " ".join([*COMMAND, "get", "--format", "aliyun-external"]),
    }
    environ = clean_environment(HOME=str(tmp_path), **sidecar.variables)

    def ask() -> Triple:
        config = json.dumps({"current": "ecs", "profiles": [profile]})
        (folder / "config.json").write_text(config, encoding="utf-8")
        got: Triple = json.loads(output_of([sys.executable, "-c", ALIYUN_PROFILE], environ))
        return got

    through_a_rotation(sidecar, ask)


@pytest.mark.slow
def test_node_by_uri(sidecar: Sidecar, npm_client: Path) -> None:
    environ = clean_environment(CREDENTIAL_TYPE="credentials_uri", **sidecar.variables)
    command = ["node", "client.js"]
    through_a_rotation(sidecar, lambda: json.loads(output_of(command, environ, npm_client)))


# By the address that cannot be set: the SDKs' own ECS role providers.

AT_THE_REAL_ADDRESS = """
import json, os, subprocess, sys
from support.sidecar import Sidecar
from ecs_role_creds.serve.listening import TcpAddress
from ecs_role_creds.testing import FakeMetadataServer

PYTHON = '''
import json, os
from alibabacloud_credentials.client import Client
from alibabacloud_credentials.models import Config
got = Client(Config(type="ecs_ram_role", timeout=30_000, connect_timeout=30_000)).get_credential()
print(json.dumps([got.access_key_id, got.access_key_secret, got.security_token]), flush=True)
os._exit(0)
'''
command = ["node", "client.js"] if sys.argv[2] == "node" else [sys.executable, "-c", PYTHON]
told = []
with FakeMetadataServer() as upstream:
    with Sidecar(upstream, address=TcpAddress(sys.argv[1], 80), allow_remote=True) as sidecar:
        for _ in range(2):
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            told.append([json.loads(done.stdout), sidecar.triple()])
            sidecar.rotate()
print(json.dumps(told), flush=True)
os._exit(0)
"""


def at_the_real_address(inside: list[str], client: str, cwd: Path | None = None) -> None:
    command = [*inside, sys.executable, "-c", AT_THE_REAL_ADDRESS, REAL_ADDRESS, client]
    environ = clean_environment(PYTHONPATH=str(Path(__file__).parents[2]))
    first, second = json.loads(output_of(command, environ, cwd))
    assert first[0] == first[1]
    assert second[0] == second[1] != first[0]


def test_alibabacloud_credentials_as_ecs_role(inside: list[str]) -> None:
    at_the_real_address(inside, "python")


@pytest.mark.slow
def test_node_as_ecs_role(inside: list[str], npm_client: Path) -> None:
    at_the_real_address(inside, "node", npm_client)


# AWS SDKs and tools.


@pytest.fixture
def renewing() -> Any:
    """Credentials with little life left by AWS's measure: its SDKs ask again at each use."""
    with FakeMetadataServer(life=800) as upstream, Sidecar(upstream) as served:
        yield served


def aws_environment(sidecar: Sidecar, tmp_path: Path) -> dict[str, str]:
    """With a profile that runs ``get``, and without any other source."""
    process = " ".join([*COMMAND, "get", "--format", "aws-process"])
    config = tmp_path / "config"
    config.write_text(f"[profile oss]\ncredential_process = {process}\n", encoding="utf-8")
    return clean_environment(
        AWS_CONFIG_FILE=str(config),
        AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "none"),
        AWS_EC2_METADATA_DISABLED="true",
        **sidecar.variables,
    )


@pytest.mark.parametrize(
    ("profile", "method"), [(None, "container-role"), ("oss", "custom-process")]
)
def test_boto3(
    renewing: Sidecar,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    profile: str | None,
    method: str,
) -> None:
    """One session through the rotation: botocore renews what it holds."""
    import boto3

    for name, value in aws_environment(renewing, tmp_path).items():
        monkeypatch.setenv(name, value)
    credentials = boto3.Session(profile_name=profile).get_credentials()
    assert credentials is not None
    assert credentials.method == method

    def ask() -> Triple:
        frozen = credentials.get_frozen_credentials()
        return [frozen.access_key, frozen.secret_key, frozen.token]

    through_a_rotation(renewing, ask)


AWS = Path(sys.prefix) / "awscli" / "bin" / "aws"


class FakeSts(LoopbackServer):
    """Answers GetCallerIdentity, and keeps the requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def handle(self, request: Request) -> Response:
        self.requests.append(request)
        body = (
            b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            b"<GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult>"
            b"</GetCallerIdentityResponse>"
        )
        return Response(200, body, {"Content-Type": "text/xml"})


def is_signed_with(request: Request, url: str, triple: Triple) -> bool:
    """Whether an AWS signature (version 4) was made with these credentials."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    fields = dict(
        field.strip().split("=", 1)
        for field in request.headers["authorization"].partition(" ")[2].split(",")
    )
    signed = {name: request.headers[name] for name in fields["SignedHeaders"].split(";")}
    again = AWSRequest(request.method, url, headers=signed, data=request.body)
    again.context["timestamp"] = request.headers["x-amz-date"]
    auth = SigV4Auth(Credentials(*triple), "sts", "us-east-1")
    signature = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
    return (
        fields["Credential"].startswith(f"{triple[0]}/")
        and request.headers["x-amz-security-token"] == triple[2]
        and fields["Signature"] == signature
    )


@pytest.mark.slow
def test_awscli(sidecar: Sidecar, tmp_path: Path) -> None:
    """A signed request by each form, before and after the rotation."""
    if not AWS.exists():
        pytest.skip(f"{AWS} is missing; make test installs it")
    environ = aws_environment(sidecar, tmp_path)
    with FakeSts() as sts:
        aws = [str(AWS), "--endpoint-url", sts.endpoint, "--region", "us-east-1"]
        for profile in ([], ["--profile", "oss"]):
            output_of([*aws, *profile, "sts", "get-caller-identity"], environ)
            assert is_signed_with(sts.requests[-1], sts.endpoint + "/", sidecar.triple())
            sidecar.rotate()
            assert not is_signed_with(sts.requests[-1], sts.endpoint + "/", sidecar.triple())
        output_of([*aws, "sts", "get-caller-identity"], environ)
        assert is_signed_with(sts.requests[-1], sts.endpoint + "/", sidecar.triple())


# curl.


@pytest.fixture
def curl() -> list[str]:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    return ["curl", "--silent", "--show-error", "--fail", "--max-time", str(PATIENCE)]


def test_curl_in_hardening_mode(sidecar: Sidecar, curl: list[str]) -> None:
    environ = clean_environment()

    def ask() -> Triple:
        put = [*curl, "-X", "PUT", "-H", "X-aliyun-ecs-metadata-token-ttl-seconds: 60"]
        token = output_of([*put, f"{sidecar.endpoint}/latest/api/token"], environ)
        get = [*curl, "-H", f"X-aliyun-ecs-metadata-token: {token}"]
        role = output_of([*get, f"{sidecar.endpoint}/{ROLE_PATH}"], environ)
        return document_triple(
            json.loads(output_of([*get, f"{sidecar.endpoint}/{ROLE_PATH}{role}"], environ))
        )

    through_a_rotation(sidecar, ask)


def test_curl_by_uri_and_in_the_aws_form(sidecar: Sidecar, curl: list[str]) -> None:
    shell = 'curl -sf "$ALIBABA_CLOUD_CREDENTIALS_URI"'
    aws = (
        'curl -sf -H "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" '
        '"$AWS_CONTAINER_CREDENTIALS_FULL_URI"'
    )
    environ = clean_environment(**sidecar.variables)

    def ask() -> Triple:
        by_uri = document_triple(json.loads(output_of(["sh", "-c", shell], environ)))
        in_aws_form = json.loads(output_of(["sh", "-c", aws], environ))
        assert aws_triple(in_aws_form, "Token") == by_uri
        return by_uri

    through_a_rotation(sidecar, ask)
