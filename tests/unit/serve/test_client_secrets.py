"""What clients authenticate with, and the file that tells them."""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from ecs_role_creds.serve.client_secrets import (
    Secrets,
    read_secrets,
    variables,
    write_variables,
)
from ecs_role_creds.serve.listening import TcpAddress, listen


@pytest.fixture
def values() -> dict[str, str]:
    with closing(listen(TcpAddress("127.0.0.1", 0))) as listener:
        return variables(listener, Secrets.draw())


def test_secrets_are_long_and_differ() -> None:
    drawn = [secret for _ in range(100) for secret in Secrets.draw()]
    assert len(set(drawn)) == 200
    assert {len(secret) for secret in drawn} == {43}


def test_secrets_are_not_shown() -> None:
    drawn = Secrets.draw()
    assert drawn.aws_token not in f"{drawn!r} {drawn}"


def test_the_file_is_for_its_owner_alone(tmp_path: Path, values: dict[str, str]) -> None:
    path = tmp_path / "creds.env"
    path.write_text("old")
    path.chmod(0o644)
    write_variables(path, values)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_shell_reads_the_file(tmp_path: Path, values: dict[str, str]) -> None:
    path = tmp_path / "creds.env"
    write_variables(path, values)
    name = "ALIBABA_CLOUD_CREDENTIALS_URI"
    done = subprocess.run(
        ["sh", "-c", f'set -a; . "{path}"; printenv {name}'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == values[name]


def test_a_restart_finds_its_secrets(tmp_path: Path) -> None:
    path, drawn = tmp_path / "creds.env", Secrets.draw()
    with closing(listen(TcpAddress("127.0.0.1", 0))) as listener:
        write_variables(path, variables(listener, drawn))
    assert read_secrets(path) == drawn


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "ALIBABA_CLOUD_CREDENTIALS_URI=http://127.0.0.1:1/credentials/short\n"],
)
def test_nothing_is_found_in_other_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "creds.env"
    assert read_secrets(path) is None
    path.write_text(text)
    path.chmod(0o600)
    assert read_secrets(path) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "creds.env"
    path.write_text("")
    path.chmod(mode)
    with pytest.raises(PermissionError, match="mode 0600"):
        read_secrets(path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("")
    link = tmp_path / "creds.env"
    link.symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        read_secrets(link)


def test_a_failure_leaves_nothing_behind(tmp_path: Path, values: dict[str, str]) -> None:
    (tmp_path / "creds.env").mkdir()
    (tmp_path / "creds.env" / "x").touch()
    with pytest.raises(OSError, match=r"Cannot write \S+/creds\.env: "):
        write_variables(tmp_path / "creds.env", values)
    assert os.listdir(tmp_path) == ["creds.env"]


def test_a_missing_folder_is_named(tmp_path: Path, values: dict[str, str]) -> None:
    path = tmp_path / "missing" / "creds.env"
    with pytest.raises(OSError, match="there is no folder") as caught:
        write_variables(path, values)
    assert str(caught.value) == (
        f"Cannot write {path}: there is no folder {path.parent}. Create it, or name a file in "
        "another folder."
    )


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OSError, match=f"{path} is not a file"):
            read_secrets(path)
