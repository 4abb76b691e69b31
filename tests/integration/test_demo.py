"""The demo, as its users run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from ecs_role_creds.cli import main
from ecs_role_creds.cli.demo_story import conclude
from ecs_role_creds.testing import FakeMetadataServer, FakeOss

PNG = b"\x89PNG\r\n\x1a\n"


def test_tells_the_whole_guide(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ecs_role_creds", "demo", "--duration", "8"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    signed, tokens = re.search(r"(\d+) signed requests with (\d+) diff", done.stdout).groups()  # type: ignore[union-attr]
    assert int(signed) >= int(tokens) >= 2
    story = (
        "$ ecs-role-creds role setup app-role --bucket pictures --read --write",
        "5. AttachInstanceRamRole: attach role app-role to the instances",
        "uploaded picture.png",
        "rotated: requests are now signed with token 2",
        "$ ecs-role-creds role change picture-reader",
        "without a restart, requests are now signed as picture-reader",
        "uploads are refused now (AccessDenied); downloads continue",
        "$ ecs-role-creds role teardown app-role",
        "done: no role or policy is left",
        "1 refused, 1 expected, 0 pictures damaged",
    )
    places = [done.stdout.find(told) for told in story]
    assert -1 not in places
    assert places == sorted(places)
    assert "fake-secret" not in done.stdout
    assert "FAKE" not in done.stdout
    assert (tmp_path / "demo-output" / "picture.png").read_bytes().startswith(PNG)


def test_a_refused_request_fails_the_demo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeMetadataServer() as metadata, FakeOss(metadata) as oss:
        assert conclude(oss, 0, tmp_path / "a.png") == 0
        assert conclude(oss, 1, tmp_path / "a.png") == 1
        assert requests.get(f"{oss.endpoint}/bucket/a", timeout=300).status_code == 403
        assert conclude(oss, 0, tmp_path / "a.png") == 1
    assert "1 refused" in capsys.readouterr().out


@pytest.mark.parametrize("region", [[], ["--region", "cn-fake-1"]])
def test_downloads_an_object_on_an_instance(
    ecs_metadata: FakeMetadataServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    region: list[str],
) -> None:
    import oss2

    from ecs_role_creds import EcsRamRoleCredentialsProvider

    monkeypatch.chdir(tmp_path)
    with FakeOss(ecs_metadata, ["album"]) as oss:
        auth = oss2.ProviderAuth(EcsRamRoleCredentialsProvider())
        oss2.Bucket(auth, oss.endpoint, "album").put_object("2026/cat.png", b"meow")
        where = ["--bucket", "album", "--endpoint", oss.endpoint]
        assert main(["demo", *where, "--object", "2026/cat.png", *region]) == 0
        assert (tmp_path / "demo-output" / "cat.png").read_bytes() == b"meow"
        assert "app-role" in capsys.readouterr().out
        assert main(["demo", *where, "--object", "2026/dog.png", *region]) == 1
        assert "NoSuchKey" in capsys.readouterr().err
        assert main(["demo", *where, "--object", "a", "--role", "other", *region]) == 1
        assert "not attached to this instance" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--bucket", "album"], ["--region", "cn-fake-1"]])
def test_says_which_arguments_go_together(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", *argv])
    assert ended.value.code == 2
    assert "--bucket, --endpoint and --object" in capsys.readouterr().err
