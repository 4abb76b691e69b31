"""``serve --source default-chain``: a developer's own credentials, for a program made for ECS.

The SDK asks ``sts.aliyuncs.com`` over TLS. It finds a fake there, in a network and with a
``/etc/hosts`` of the test's own, and trusts it by ``SSL_CERT_FILE``.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from support.fake_sts import HOST
from support.plain_http import wait_until
from support.sidecar import PATIENCE, clean_environment, serve_process

from ecs_role_creds import EcsRamRoleCredentialsProvider

KEY_ID, SECRET = "LTAI.FAKE0001", "fake-secret-of-a-person"
ROLE = "acs:ram::1234567890123456:role/dev-role"


def write_profile(home: Path, **profile: str) -> None:
    folder = home / ".aliyun"
    folder.mkdir()
    config = {
        "current": "dev",
        "profiles": [{"name": "dev", "region_id": "cn-hangzhou", **profile}],
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


# Without a role.


def test_temporary_credentials_are_served_as_they_are(tmp_path: Path) -> None:
    write_profile(
        tmp_path,
        mode="StsToken",
        access_key_id="STS.FAKE0001",
        access_key_secret="fake-secret-0001",
        sts_token="fake-security-token-0001",
    )
    with serve_process(
        tmp_path / "creds.env",
        "http://127.0.0.1:1",  # nothing is asked of a metadata service
        ["--listen", "127.0.0.1:0", "--source", "default-chain"],
        {"HOME": str(tmp_path)},
    ) as served:
        wait_until(lambda: served.metric("rotations_total") == 1, PATIENCE)
        got = EcsRamRoleCredentialsProvider(endpoint=served.endpoint).get_credentials()
        assert got.access_key_id == "STS.FAKE0001"
        assert got.security_token == "fake-security-token-0001"
        assert got.role_name == "default-chain"
        assert 0 < got.expires_in() <= 15 * 60
        code, err = served.end()
    assert code == 0
    assert "fake-s" not in err


def test_a_long_lived_pair_is_not_served(tmp_path: Path) -> None:
    write_profile(tmp_path, mode="AK", access_key_id=KEY_ID, access_key_secret=SECRET)
    with serve_process(
        tmp_path / "creds.env",
        "http://127.0.0.1:1",
        ["--listen", "127.0.0.1:0", "--source", "default-chain"],
        {"HOME": str(tmp_path)},
    ) as served:
        wait_until(lambda: served.metric("consecutive_failures") > 0, PATIENCE)
        health = requests.get(f"{served.endpoint}/healthz", timeout=PATIENCE)
        assert health.status_code == 503
        assert "--assume-role ARN" in health.text
        got = requests.get(served.variables["ALIBABA_CLOUD_CREDENTIALS_URI"], timeout=PATIENCE)
        assert got.status_code == 503
        assert SECRET not in got.text


COMMAND = """
import json, sys
from pathlib import Path
count = Path(sys.argv[1])
serial = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(serial))
print(json.dumps({
    "mode": "StsToken",
    "access_key_id": f"STS.FAKE{serial:04}",
    "access_key_secret": f"fake-secret-{serial:04}",
    "sts_token": f"fake-security-token-{serial:04}",
}))
"""


def test_a_rotation_reaches_clients(tmp_path: Path) -> None:
    """A profile whose command issues new credentials at each call."""
    (tmp_path / "issue.py").write_text(COMMAND, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "issue.py"), str(tmp_path / "count")]
    write_profile(tmp_path, mode="External", process_command=shlex.join(command))
    with serve_process(
        tmp_path / "creds.env",
        "http://127.0.0.1:1",
        ["--listen", "127.0.0.1:0", "--source", "default-chain"],
        {"HOME": str(tmp_path)},
    ) as served:
        wait_until(lambda: served.metric("rotations_total") == 1, PATIENCE)
        client = EcsRamRoleCredentialsProvider(endpoint=served.endpoint, deadline=30.0)
        got = [client.get_credentials()]
        for _ in range(2):
            served.refresh()
            got.append(client.refresh())
            by_uri = requests.get(
                served.variables["ALIBABA_CLOUD_CREDENTIALS_URI"], timeout=PATIENCE
            )
            assert by_uri.json()["AccessKeyId"] == got[-1].access_key_id
        _, err = served.end()
    assert [one.access_key_id for one in got] == ["STS.FAKE0001", "STS.FAKE0002", "STS.FAKE0003"]
    for one in got:
        parts = {one.access_key_id[-4:], one.access_key_secret[-4:], one.security_token[-4:]}
        assert len(parts) == 1
    assert "fake-s" not in err


def test_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['alibabacloud_credentials'] = None\n"
        "from ecs_role_creds.cli import main\n"
        "raise SystemExit(main(sys.argv[1:]))\n"
    )
    arguments = ["serve", "--listen", "127.0.0.1:0", "--source", "default-chain"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=clean_environment(),
    )
    assert done.returncode == 2
    assert done.stderr.endswith(
        "ecs-role-creds serve: --source default-chain needs the package alibabacloud-credentials: "
        "pip install 'ecs-role-creds[credentials]'\n"
    )


# With a role.

RUN = """
import json, os, sys
from pathlib import Path
from support.fake_sts import FakeSts
from support.plain_http import wait_until
from support.sidecar import serve_process
from ecs_role_creds import EcsRamRoleCredentialsProvider

folder, key_id, secret, role, life = Path(sys.argv[1]), *sys.argv[2:]
sts = FakeSts(key_id, secret, int(life))
arguments = ["--listen", "127.0.0.1:0", "--source", "default-chain", "--assume-role", role]
environ = {"HOME": str(folder), "SSL_CERT_FILE": str(folder / "ca.pem")}
told = {}
with (
    sts.serving(folder / "server.pem"),
    serve_process(folder / "creds.env", "http://127.0.0.1:1", arguments, environ) as served,
):
    wait_until(
        lambda: served.metric("rotations_total") or served.metric("consecutive_failures"), 60
    )
    if served.metric("rotations_total"):
        got = EcsRamRoleCredentialsProvider(endpoint=served.endpoint).get_credentials()
        told["triple"] = [got.access_key_id, got.access_key_secret, got.security_token]
        told["role"], told["life"] = got.role_name, got.expires_in()
        if int(life) < 900:  # the SDK then assumes the role again at each fetch
            served.refresh()
            got = EcsRamRoleCredentialsProvider(endpoint=served.endpoint).refresh()
            told["after"] = [got.access_key_id, got.access_key_secret, got.security_token]
    told["status"], told["log"] = served.end()
print(json.dumps({**told, "issued": sts.issued, "requests": sts.requests}))
"""

# A file system of its own, too, so that the host's name leads to loopback.
SET_UP = 'mount --bind "$0" /etc/hosts && exec "$@"'


def run(inside: list[str], folder: Path, role: str, life: int = 3600) -> dict[str, Any]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem")
    )
    (folder / "hosts").write_text(f"127.0.0.1 localhost {HOST}\n", encoding="utf-8")
    prefix = [*inside, "unshare", "--mount", "sh", "-c", SET_UP, str(folder / "hosts")]
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no file system of its own can be made here: {tried.stderr.strip()}")
    done = subprocess.run(
        [*prefix, sys.executable, "-c", RUN, str(folder), KEY_ID, SECRET, role, str(life)],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
        env=clean_environment(PYTHONPATH=str(Path(__file__).parents[2])),
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_role_is_assumed(inside: list[str], tmp_path: Path) -> None:
    write_profile(tmp_path, mode="AK", access_key_id=KEY_ID, access_key_secret=SECRET)
    told = run(inside, tmp_path, ROLE)
    assert told["triple"] == told["issued"][-1]
    assert told["role"] == "dev-role"
    assert 3000 < told["life"] <= 3601
    (request,) = told["requests"]
    assert request["RoleArn"] == ROLE
    assert request["RoleSessionName"] == "ecs-role-creds"
    assert told["status"] == 0
    assert "fake-s" not in told["log"]


def test_an_assumed_role_rotates(inside: list[str], tmp_path: Path) -> None:
    write_profile(tmp_path, mode="AK", access_key_id=KEY_ID, access_key_secret=SECRET)
    told = run(inside, tmp_path, ROLE, life=600)
    assert told["after"] == told["issued"][-1]
    assert told["after"] != told["triple"]
    assert told["status"] == 0
    assert "fake-s" not in told["log"]


def test_why_a_role_cannot_be_assumed_is_told(inside: list[str], tmp_path: Path) -> None:
    write_profile(tmp_path, mode="AK", access_key_id=KEY_ID, access_key_secret=SECRET)
    told = run(inside, tmp_path, ROLE.replace("dev-role", "forbidden"))
    assert "NoPermission" in told["log"]
    assert "You may not assume this role." in told["log"]
    assert SECRET not in told["log"]
