"""``ecs-role-creds watch``, on a terminal and into a pipe."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest
from support.sidecar import COMMAND, PATIENCE, clean_environment, run_command
from support.terminal import terminal

from ecs_role_creds.testing import FakeMetadataServer

SCREEN = re.compile(r"life left  (█+░*)\r\n +(?:\d+ h )?\d+ min\r\nnext       in ")


def test_a_terminal_gets_a_picture(ecs_metadata: FakeMetadataServer) -> None:
    environ = clean_environment(**ecs_metadata.environment)
    with terminal([*COMMAND, "watch"], environ) as shown:
        shown.wait_for("rotation 1: new credentials of role app-role")
        shown.wait_for("\x1b[")
        shown.wait_for("1 rotations")
        shown.type("\x03")
        assert shown.wait() == 0
    assert SCREEN.search(shown.shown)
    assert "fake-s" not in shown.shown
    assert "\x1b[32m" in shown.shown


def test_no_color(ecs_metadata: FakeMetadataServer) -> None:
    environ = clean_environment(**ecs_metadata.environment, NO_COLOR="1")
    with terminal([*COMMAND, "watch"], environ) as shown:
        shown.wait_for("1 rotations")
        shown.type("\x03")
        assert shown.wait() == 0
    assert not re.search(r"\x1b\[[0-9;]*m", shown.shown)


def test_a_terminal_without_block_characters(ecs_metadata: FakeMetadataServer) -> None:
    environ = clean_environment(**ecs_metadata.environment, PYTHONIOENCODING="ascii")
    with terminal([*COMMAND, "watch"], environ) as shown:
        shown.wait_for("life left  ####")
        shown.type("\x03")
        assert shown.wait() == 0


@pytest.mark.ecs_metadata(role=None)
def test_failures_are_shown_until_they_end(ecs_metadata: FakeMetadataServer) -> None:
    environ = clean_environment(**ecs_metadata.environment)
    with terminal([*COMMAND, "watch"], environ) as shown:
        shown.wait_for("failure 1 in a row: No RAM role")
        shown.wait_for("failures in a row")
        ecs_metadata.attach("late-role")
        shown.wait_for("rotation 1: new credentials of role late-role")
        shown.type("\x03")
        assert shown.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, None])
def test_a_pipe_gets_a_line_an_event(
    ecs_metadata: FakeMetadataServer, number: signal.Signals | None
) -> None:
    process = subprocess.Popen(
        [*COMMAND, "watch", *([] if number else ["--duration", "0.5"])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(**ecs_metadata.environment),
    )
    try:
        if number is None:
            out, err = process.communicate(timeout=PATIENCE)
        else:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.send_signal(number)
            rest, err = process.communicate(timeout=PATIENCE)
            out = line + rest
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, err) == (0, "")
    lines = out.splitlines()
    if number is not None or lines:  # half a second may be too short on a busy machine
        assert len(lines) == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:+]+ rotation 1: new credentials .*Z", lines[0])


def test_a_wrong_setting() -> None:
    done = run_command("watch", "--role", "a/b")
    assert done.returncode == 2
    assert "a role name is" in done.stderr
