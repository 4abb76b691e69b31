"""``ecs-role-creds exec``: environment, signals, exit status, and what is left afterwards."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import requests
from support.plain_http import wait_until
from support.sidecar import (
    COMMAND,
    PATIENCE,
    clean_environment,
    run_command,
    run_in_base_install,
    run_python,
)
from support.terminal import terminal

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.cli.exec import serving
from ecs_role_creds.testing import FakeMetadataServer

MODES = pytest.mark.parametrize("mode", [[], ["--keep-fresh"]], ids=["static", "kept fresh"])
TESTS = str(Path(__file__).parents[2])
SAY_URI = 'echo "$ALIBABA_CLOUD_CREDENTIALS_URI"; '


def run(
    mode: list[str], command: list[str], server: FakeMetadataServer, **environ: str
) -> subprocess.CompletedProcess[str]:
    return run_command("exec", *mode, *command, **server.environment, **environ)


WITH_PATIENCE = f"import sys; sys.path.append({TESTS!r}); from support import patience\n"


def run_script(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_python("-c", WITH_PATIENCE + code, **environ)


@contextmanager
def running(
    mode: list[str], script: str, server: FakeMetadataServer, **environ: str
) -> Iterator[subprocess.Popen[str]]:
    """A shell script that says ``ready`` when it is. What it prints as errors, pytest shows."""
    process = subprocess.Popen(
        [*COMMAND, "exec", *mode, "--", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(**server.environment, **environ),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # all of them have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# Environment.


def test_the_credentials_themselves(ecs_metadata: FakeMetadataServer) -> None:
    done = run([], ["--", "printenv", "OSS_ACCESS_KEY_ID", "ALICLOUD_SECURITY_TOKEN"], ecs_metadata)
    (issued,) = ecs_metadata.issued
    assert done.stdout.split() == [issued.access_key_id, issued.security_token]
    assert "expire in" in done.stderr
    assert "--keep-fresh" in done.stderr


def test_an_endpoint(ecs_metadata: FakeMetadataServer) -> None:
    get = " ".join([*COMMAND, "get"])
    script = f'{get}; curl -s "$ALIBABA_CLOUD_CREDENTIALS_URI"; printenv OSS_ACCESS_KEY_ID'
    done = run(["--keep-fresh"], ["--", "sh", "-c", script], ecs_metadata, OSS_ACCESS_KEY_ID="old")
    (issued,) = ecs_metadata.issued
    assert done.stdout.count(issued.access_key_secret) == 2
    assert "old" not in done.stdout
    assert done.returncode == 1  # printenv's: there is no such variable


def test_an_endpoint_has_what_is_valid_at_the_moment(ecs_metadata: FakeMetadataServer) -> None:
    provider = EcsRamRoleCredentialsProvider(deadline=30.0)
    with serving(provider) as variables:
        for _ in range(3):
            issued = ecs_metadata.rotate()
            provider.refresh()
            got = requests.get(variables["ALIBABA_CLOUD_CREDENTIALS_URI"], timeout=PATIENCE)
            assert got.json()["AccessKeyId"] == issued.access_key_id


@pytest.mark.parametrize("mode", [["--aws"], ["--aws", "--keep-fresh"]])
def test_variables_of_aws(ecs_metadata: FakeMetadataServer, mode: list[str]) -> None:
    done = run(mode, ["--", "env"], ecs_metadata, AWS_ACCESS_KEY_ID="old")
    assert ("AWS_CONTAINER_CREDENTIALS_FULL_URI" in done.stdout) is ("--keep-fresh" in mode)
    assert "AWS_ACCESS_KEY_ID=old" not in done.stdout


@MODES
def test_quiet(ecs_metadata: FakeMetadataServer, mode: list[str]) -> None:
    done = run([*mode, "--quiet"], ["--", "true"], ecs_metadata)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@MODES
def test_no_command_is_the_shell(
    ecs_metadata: FakeMetadataServer, tmp_path: Path, mode: list[str]
) -> None:
    shell = tmp_path / "shell"
    shell.write_text("#!/bin/sh\necho this is the shell\n")
    shell.chmod(0o755)
    done = run(mode, [], ecs_metadata, SHELL=str(shell))
    assert done.stdout == "this is the shell\n"


@MODES
def test_arguments_are_the_commands_own(ecs_metadata: FakeMetadataServer, mode: list[str]) -> None:
    done = run(mode, ["--", "echo", "--", "--role", "a b", "*"], ecs_metadata)
    assert done.stdout == "-- --role a b *\n"


@MODES
def test_signals_that_python_ignores_are_not_ignored(
    ecs_metadata: FakeMetadataServer, mode: list[str]
) -> None:
    done = run(mode, ["--", "sh", "-c", "yes | head -n 1"], ecs_metadata)
    assert done.stdout == "y\n"
    assert "roken pipe" not in done.stderr


# Exit status.


@MODES
@pytest.mark.parametrize("status", [0, 7])
def test_the_exit_status_is_the_commands(
    ecs_metadata: FakeMetadataServer, mode: list[str], status: int
) -> None:
    done = run(mode, ["--", "sh", "-c", f"exit {status}"], ecs_metadata)
    assert done.returncode == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_command_that_a_signal_ends(
    ecs_metadata: FakeMetadataServer, number: signal.Signals
) -> None:
    script = ["--", "sh", "-c", f"kill -{int(number)} $$"]
    assert run(["--keep-fresh"], script, ecs_metadata).returncode == 128 + number
    # It took this process's place: who waits for it sees the signal itself.
    assert run([], script, ecs_metadata).returncode == -number


@MODES
def test_a_command_that_is_not_there(ecs_metadata: FakeMetadataServer, mode: list[str]) -> None:
    done = run(mode, ["--", "no-such-command", "x"], ecs_metadata)
    assert done.returncode == 127
    assert "cannot run 'no-such-command': No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


@MODES
def test_a_command_without_a_name(ecs_metadata: FakeMetadataServer, mode: list[str]) -> None:
    done = run(mode, ["--", ""], ecs_metadata)
    assert done.returncode == 127
    assert "cannot run '': " in done.stderr


@MODES
def test_a_command_that_cannot_be_executed(
    ecs_metadata: FakeMetadataServer, tmp_path: Path, mode: list[str]
) -> None:
    (tmp_path / "text").write_text("x")
    done = run(mode, ["--", str(tmp_path / "text")], ecs_metadata)
    assert done.returncode == 126
    assert "Permission denied" in done.stderr


@MODES
@pytest.mark.ecs_metadata(role=None)
def test_without_credentials(ecs_metadata: FakeMetadataServer, mode: list[str]) -> None:
    done = run(mode, ["--", "echo", "ran"], ecs_metadata)
    assert (done.returncode, done.stdout) == (125, "")
    assert "role" in done.stderr


# Signals.


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        *((["--keep-fresh"], name) for name in ("TERM", "INT", "HUP", "USR1", "USR2", "QUIT")),
        ([], "TERM"),
    ],
)
def test_signals_are_passed_on(
    ecs_metadata: FakeMetadataServer, mode: list[str], name: str
) -> None:
    script = f"trap 'echo got {name}; exit 3' {name}; echo ready; while :; do sleep 0.05; done"
    with running(mode, script, ecs_metadata) as process:
        assert read_line(process) == "ready"
        process.send_signal(getattr(signal, f"SIG{name}"))
        assert read_line(process) == f"got {name}"
        assert process.wait(PATIENCE) == 3


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_only_the_main_thread_takes_signals(ecs_metadata: FakeMetadataServer) -> None:
    """Also during the first fetch, whose threads may outlive it on a busy machine."""
    ecs_metadata.hang(on="role")
    with running(["--keep-fresh"], "echo ready", ecs_metadata) as process:
        wait_until(lambda: any("ram" in one.path for one in ecs_metadata.requests), PATIENCE)
        taking = [
            task.name
            for task in Path(f"/proc/{process.pid}/task").iterdir()
            if has_signal(task, "SigBlk", signal.SIGTERM) is False
        ]
        ecs_metadata.recover()
    assert taking == [str(process.pid)]


def has_signal(process: Path, field: str, number: signal.Signals) -> bool | None:
    """Whether a set of signals in ``/proc/PID/status`` has this one; ``None`` if it has ended."""
    try:
        status = (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    (signals,) = re.findall(rf"^{field}:\s*(\w+)$", status, re.MULTILINE)
    return bool(int(signals, 16) >> (number - 1) & 1)


def test_ctrl_c_ends_the_first_fetch(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.hang(on="role")
    with running(["--keep-fresh"], "echo ready", ecs_metadata) as process:
        wait_until(lambda: any("ram" in one.path for one in ecs_metadata.requests), PATIENCE)
        process.send_signal(signal.SIGINT)
        assert read_line(process) == ""
        assert process.wait(PATIENCE) == 128 + signal.SIGINT


CTRL_C_DURING_THE_IMPORT = """
import importlib.abc, os, sys, time
from ecs_role_creds.cli import main

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name == "ecs_role_creds.serve.server":
            print("importing", flush=True)
            while not os.path.exists(sys.argv[1]):
                time.sleep(0.01)
        return None

sys.meta_path.insert(0, Slow())
sys.exit(main(["exec", "--keep-fresh", "--", "echo", "the command ran"]))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_ctrl_c_before_the_command_has_started(
    ecs_metadata: FakeMetadataServer, tmp_path: Path
) -> None:
    code = WITH_PATIENCE + CTRL_C_DURING_THE_IMPORT
    command = [sys.executable, "-c", code, str(tmp_path / "go on")]
    with terminal(command, clean_environment(**ecs_metadata.environment)) as shown:
        shown.wait_for("importing")
        shown.type("\x03")
        process = Path(f"/proc/{shown.process.pid}")
        wait_until(lambda: has_signal(process, "ShdPnd", signal.SIGINT), PATIENCE)
        (tmp_path / "go on").touch()
        assert shown.wait() == 128 + signal.SIGINT
    assert "the command ran" not in shown.shown


def test_a_signal_after_the_command_has_ended(ecs_metadata: FakeMetadataServer) -> None:
    """The exit status is still the command's."""
    done = run_script(
        "import atexit, os, signal, sys\n"
        "from ecs_role_creds.cli import main\n"
        "for number in (signal.SIGTERM, signal.SIGINT):\n"
        "    atexit.register(os.kill, os.getpid(), number)\n"
        "sys.exit(main(['exec', '--quiet', '--keep-fresh', '--', 'sh', '-c', 'exit 7']))\n",
        **ecs_metadata.environment,
    )
    assert (done.returncode, done.stderr) == (7, "")


def test_a_command_that_may_not_be_signalled() -> None:
    """It runs as another user (sudo). It goes on, and so does its endpoint."""
    done = run_script(
        "import os, signal, sys\n"
        "from ecs_role_creds.cli.exec import WAITED_FOR, supervise\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)\n"
        "child = os.spawnlp(os.P_NOWAIT, 'sleep', 'sleep', '1000')\n"
        "def kill(pid, number):\n"
        "    os.kill(pid, signal.SIGKILL)  # as if it ended by itself\n"
        "    raise PermissionError(1, 'Operation not permitted')\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "sys.exit(supervise(child, kill))\n"
    )
    assert done.returncode == 128 + signal.SIGKILL
    assert done.stderr == (
        "ecs-role-creds exec: cannot pass SIGHUP on to the command: Operation not permitted\n"
    )


def test_a_command_that_ignores_sigterm_goes_on(ecs_metadata: FakeMetadataServer) -> None:
    """And it still has its endpoint, until it ends by itself."""
    script = (
        "trap '' TERM; trap 'seen=1; echo seen' USR1; echo ready;"
        ' while [ -z "$seen" ]; do sleep 0.05; done;'
        ' curl -s "$ALIBABA_CLOUD_CREDENTIALS_URI"; exit 4'
    )
    with running(["--keep-fresh"], script, ecs_metadata) as process:
        assert read_line(process) == "ready"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGUSR1)  # passed on after the other
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 4
        assert "seen" in out
        assert ecs_metadata.issued[0].access_key_secret in out


def test_ctrl_c_reaches_the_command_once(ecs_metadata: FakeMetadataServer) -> None:
    """The terminal signals the whole group: passing it on as well would be twice."""
    script = (
        "trap 'echo interrupted' INT; trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done"
    )
    command = [*COMMAND, "exec", "--keep-fresh", "--quiet", "--", "sh", "-c", script]
    with terminal(command, clean_environment(**ecs_metadata.environment)) as shown:
        shown.wait_for("ready")
        shown.type("\x03")
        shown.wait_for("interrupted")
        os.kill(shown.process.pid, signal.SIGUSR1)
        assert shown.wait() == 5
    assert shown.shown.count("interrupted") == 1


def test_a_shell_with_job_control(ecs_metadata: FakeMetadataServer) -> None:
    command = [*COMMAND, "exec", "--keep-fresh"]
    environ = clean_environment(**ecs_metadata.environment, SHELL="/bin/sh", PS1="prompt> ")
    with terminal(command, environ) as shown:
        shown.wait_for("prompt> ")
        shown.type("echo served at $ALIBABA_CLOUD_CREDENTIALS_URI\n")
        shown.wait_for("served at http://127.0.0.1:")
        shown.type("exit 6\n")
        assert shown.wait() == 6


# What stays behind.


def is_closed(uri: str) -> bool:
    try:
        requests.get(uri, timeout=PATIENCE)
    except requests.ConnectionError:
        return True
    return False


def test_the_endpoint_ends_with_the_command(
    ecs_metadata: FakeMetadataServer, tmp_path: Path
) -> None:
    done = run(["--keep-fresh"], ["--", "sh", "-c", SAY_URI], ecs_metadata, TMPDIR=str(tmp_path))
    assert is_closed(done.stdout.strip())
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_forks(ecs_metadata: FakeMetadataServer) -> None:
    """What it leaves running is its own; the endpoint and this process end with it."""
    script = SAY_URI + "sleep 1000 >/dev/null 2>&1 </dev/null & echo $!; exit 8"
    with running(["--keep-fresh"], script, ecs_metadata) as process:
        uri, left = read_line(process), psutil.Process(int(read_line(process)))
        try:
            assert process.wait(PATIENCE) == 8
            assert is_closed(uri)
            assert left.is_running()
            inherited = {one.fd for one in left.open_files()} | set(left.net_connections())
            assert inherited <= {0, 1, 2}
        finally:
            left.kill()


def test_nothing_is_left_of_what_was_started(ecs_metadata: FakeMetadataServer) -> None:
    with running(["--keep-fresh"], "echo ready; exec sleep 1000", ecs_metadata) as process:
        assert read_line(process) == "ready"
        started = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        wait_until(lambda: not any(one.is_running() for one in started), PATIENCE)
        assert len(started) == 1


@pytest.mark.parametrize(("mode", "status"), [([], 0), (["--keep-fresh"], 125)])
def test_without_threads(ecs_metadata: FakeMetadataServer, mode: list[str], status: int) -> None:
    """Where the limit of threads is reached. An endpoint needs them."""
    done = run_script(
        "import resource, sys, threading\n"
        "from ecs_role_creds.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "threading.stack_size(4 << 30)  # more than there is\n"
        f"sys.exit(main(['exec', '--quiet', *{mode}, '--', 'echo', 'ran']))\n",
        **ecs_metadata.environment,
    )
    assert done.returncode == status
    if status == 0:
        assert (done.stdout, done.stderr) == ("ran\n", "")
    else:
        assert done.stdout == ""
        assert done.stderr.startswith("ecs-role-creds exec: --keep-fresh needs threads: can't")
        assert done.stderr.count("\n") == 1


def test_without_a_free_port(ecs_metadata: FakeMetadataServer) -> None:
    done = run_script(
        "import errno, os, socket, sys\n"
        "from ecs_role_creds.cli import main\n"
        "def refuse(*_, **__):\n"
        "    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))\n"
        "socket.create_server = refuse\n"
        "sys.exit(main(['exec', '--keep-fresh', '--', 'echo', 'ran']))\n",
        **ecs_metadata.environment,
    )
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == (
        "ecs-role-creds exec: --keep-fresh cannot serve on loopback: Too many open files. Check "
        "the limit of open files (ulimit -n) and the free ports.\n"
    )


@MODES
@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_messages_that_cannot_be_printed(
    ecs_metadata: FakeMetadataServer, mode: list[str], stderr: str
) -> None:
    command = shlex.join([*COMMAND, "exec", *mode, "--", "sh", "-c", "echo ran; exit 9"])
    done = subprocess.run(
        ["sh", "-c", f"{command} {stderr}"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=clean_environment(**ecs_metadata.environment),
    )
    assert (done.returncode, done.stdout) == (9, "ran\n")


def test_without_the_server(ecs_metadata: FakeMetadataServer) -> None:
    """In the base install."""
    done = run_in_base_install("exec", "--keep-fresh", "--", "true", **ecs_metadata.environment)
    assert done.returncode == 125  # not 2, which the command may return itself
    assert done.stderr == (
        "ecs-role-creds exec: --keep-fresh needs the package waitress: "
        "pip install 'ecs-role-creds[serve]'\n"
    )


def test_secrets_are_in_no_message(ecs_metadata: FakeMetadataServer) -> None:
    for mode in ([], ["--keep-fresh"]):
        done = run(mode, ["--", "no-such-command"], ecs_metadata)
        assert "fake-s" not in done.stderr
        assert json.dumps(ecs_metadata.issued[0].security_token) not in done.stderr
