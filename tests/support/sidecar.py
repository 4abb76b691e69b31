"""``ecs-role-creds serve`` for tests: in this process, or as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import requests

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.serve.application import Application
from ecs_role_creds.serve.client_secrets import Secrets, variables
from ecs_role_creds.serve.exchange import HostRule
from ecs_role_creds.serve.listening import Listener, TcpAddress, listen
from ecs_role_creds.serve.server import Limits, Server
from ecs_role_creds.testing import FakeMetadataServer
from support.plain_http import wait_until

PATIENCE = 300.0
"""Seconds until a wait is given up; only guards against hanging."""

COMMAND = [sys.executable, str(Path(__file__).with_name("command.py"))]


class Sidecar:
    """A server in this process, in front of a fake metadata service."""

    def __init__(
        self,
        upstream: FakeMetadataServer,
        limits: Limits = Limits(request_seconds=PATIENCE),  # noqa: B008 (immutable)
        address: TcpAddress = TcpAddress("127.0.0.1", 0),  # noqa: B008 (immutable)
        allow_remote: bool = False,
        provider: EcsRamRoleCredentialsProvider | None = None,
    ) -> None:
        self.upstream = upstream
        self.provider = provider or EcsRamRoleCredentialsProvider(
            endpoint=upstream.endpoint, deadline=30.0
        )
        self.secrets = Secrets.draw()
        self.listener: Listener = listen(address, allow_remote=allow_remote)
        hosts = HostRule(allow_any_address=allow_remote)
        self.server = Server(
            Application(self.provider, self.secrets, hosts), self.listener.socket, limits
        )
        self._thread = threading.Thread(target=self.server.run, name="sidecar")

    def __enter__(self) -> Sidecar:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    @property
    def endpoint(self) -> str:
        assert self.listener.endpoint is not None
        return self.listener.endpoint

    @property
    def variables(self) -> dict[str, str]:
        return variables(self.listener, self.secrets)

    def rotate(self) -> None:
        """Have the service issue new credentials, and the provider fetch them."""
        self.upstream.rotate()
        self.provider.refresh()

    def triple(self) -> list[str]:
        """What clients must have got: the latest credentials that were issued."""
        return list(self.upstream.issued[-1][:3])


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what points SDKs at credentials or proxies."""
    prefixes = ("ALIBABA", "ALICLOUD", "ALIYUN", "OSS_", "AWS_", "ECS_ROLE_CREDS")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(prefixes) and not name.lower().endswith("_proxy")
    }
    return {**kept, **more}


def run_python(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """An interpreter, from its start to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=clean_environment(**environ),
    )


def run_command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """``ecs-role-creds``, from its start to its end."""
    return run_python(*COMMAND[1:], *arguments, **environ)


def run_in_base_install(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The same where the extra ``serve`` is not installed."""
    script = (
        "import runpy, sys\n"
        "sys.modules['waitress'] = None\n"
        "runpy.run_path(sys.argv.pop(1), {}, '__main__')\n"
    )
    return run_python("-c", script, *COMMAND[1:], *arguments, **environ)


class ServeProcess:
    """``ecs-role-creds serve`` with its variables in a file."""

    def __init__(self, process: subprocess.Popen[str], env_file: Path) -> None:
        self.process = process
        self.env_file = env_file

    @property
    def variables(self) -> dict[str, str]:
        return dict(
            line.split("=", 1) for line in self.env_file.read_text(encoding="utf-8").splitlines()
        )

    @property
    def endpoint(self) -> str:
        return self.variables["ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT"]

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        text = requests.get(f"{self.endpoint}/metrics", timeout=300).text
        (line,) = [one for one in text.splitlines() if one.startswith(f"ecs_role_creds_{name} ")]
        return float(line.split(" ")[1])

    def refresh(self) -> None:
        """Have it fetch now, and wait until it has new credentials."""
        before = self.metric("rotations_total")
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.metric("rotations_total") > before, PATIENCE)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; the exit status and what it printed on stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


@contextmanager
def serve_process(
    env_file: Path,
    upstream: str,
    arguments: Sequence[str] = ("--listen", "127.0.0.1:0"),
    environ: Mapping[str, str] | None = None,
) -> Iterator[ServeProcess]:
    """The command, ready: its file is there and it has credentials, if there are any."""
    before = env_file.stat().st_mtime_ns if env_file.exists() else None
    process = subprocess.Popen(
        [*COMMAND, "serve", *arguments, "--env-file", str(env_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(
            ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT=upstream, **(environ or {})
        ),
    )
    try:
        wait_until(
            lambda: (
                process.poll() is not None
                or (env_file.exists() and env_file.stat().st_mtime_ns != before)
            ),
            PATIENCE,
        )
        yield ServeProcess(process, env_file)
    finally:
        process.kill()
        process.communicate()
