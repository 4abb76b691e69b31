"""``ecs-role-creds wait``: until there are credentials, or the time is up."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.plain_http import wait_until
from support.sidecar import COMMAND, PATIENCE, clean_environment, run_command

from ecs_role_creds.testing import FakeMetadataServer


class Waiting:
    """The command, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def wait_for(self, text: str) -> None:
        wait_until(lambda: any(text in line for line in self.lines), PATIENCE)

    def end(self) -> int:
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code


@contextmanager
def waiting(server: FakeMetadataServer, *arguments: str) -> Iterator[Waiting]:
    process = subprocess.Popen(
        [*COMMAND, "wait", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(**server.environment),
    )
    command = Waiting(process)
    try:
        yield command
    finally:
        process.kill()
        command.end()
        process.communicate()


def test_ends_at_once_where_there_are_credentials(ecs_metadata: FakeMetadataServer) -> None:
    with waiting(ecs_metadata) as command:
        assert command.end() == 0
    assert len(command.lines) == 1
    assert "role app-role, valid for another" in command.lines[0]


@pytest.mark.ecs_metadata(role=None)
def test_a_role_that_is_attached_meanwhile(ecs_metadata: FakeMetadataServer) -> None:
    with waiting(ecs_metadata, "--timeout", "600") as command:
        command.wait_for("waiting: No RAM role")
        ecs_metadata.attach("late-role")
        assert command.end() == 0
    assert "late-role" in command.lines[-1]


def test_a_service_that_comes_back(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.fail(503)
    with waiting(ecs_metadata, "--timeout", "600") as command:
        command.wait_for("waiting: ")
        tried = len(ecs_metadata.requests)
        wait_until(lambda: len(ecs_metadata.requests) > tried + 5, PATIENCE)
        ecs_metadata.recover()
        assert command.end() == 0
    reasons = [line for line in command.lines if "waiting:" in line]
    assert len(reasons) == len(set(reasons))  # each is told once


@pytest.mark.ecs_metadata(role=None)
@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_gives_up(ecs_metadata: FakeMetadataServer, quiet: list[str]) -> None:
    with waiting(ecs_metadata, "--timeout", "0.5", *quiet) as command:
        assert command.end() == 1
    assert "No RAM role" in command.lines[-1]
    assert command.lines[-1].startswith("ecs-role-creds wait: ")
    assert any("waiting" in line for line in command.lines) is not bool(quiet)


@pytest.mark.ecs_metadata(role=None)
def test_may_be_interrupted(ecs_metadata: FakeMetadataServer) -> None:
    with waiting(ecs_metadata, "--timeout", "600") as command:
        command.wait_for("waiting")
        command.process.send_signal(signal.SIGINT)
        assert command.end() == 130
    assert not any("Traceback" in line for line in command.lines)


@pytest.mark.parametrize("timeout", ["0", "-1", "x", "inf", "nan"])
def test_what_is_no_timeout(timeout: str) -> None:
    done = run_command("wait", f"--timeout={timeout}")
    assert done.returncode == 2
    assert "number of seconds" in done.stderr
