"""The command under signals: it drops no request, comes back, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support.plain_http import ROLE_PATH, TOKEN_HEADER, TOKEN_PATH, TTL_HEADER, wait_until
from support.raw_http import connect, read_all, status
from support.sidecar import (
    COMMAND,
    PATIENCE,
    ServeProcess,
    Sidecar,
    clean_environment,
    run_command,
    run_in_base_install,
    serve_process,
)

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def upstream() -> Iterator[FakeMetadataServer]:
    with FakeMetadataServer() as server:
        yield server


@pytest.fixture
def served(upstream: FakeMetadataServer, tmp_path: Path) -> Iterator[ServeProcess]:
    arguments = ["--listen", "127.0.0.1:0", "--client-timeout", "600"]
    with serve_process(tmp_path / "creds.env", upstream.endpoint, arguments) as process:
        yield process


def get_by_uri(process: ServeProcess) -> requests.Response:
    return requests.get(process.variables["ALIBABA_CLOUD_CREDENTIALS_URI"], timeout=PATIENCE)


def refuses_connections(endpoint: str) -> bool:
    try:
        connect(endpoint).close()
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_when_told_to(served: ServeProcess, number: signal.Signals) -> None:
    assert get_by_uri(served).status_code == 200
    endpoint = served.endpoint
    code, _ = served.end(number)
    assert code == 0
    assert refuses_connections(endpoint)


def test_what_has_arrived_by_sigterm_is_answered(served: ServeProcess) -> None:
    """Connections in every state: queued, silent, with half a request, with a whole one."""
    endpoint = served.endpoint
    wait_until(lambda: get_by_uri(served).status_code == 200, PATIENCE)
    with contextlib.ExitStack() as stack:

        def open_many() -> list[socket.socket]:
            return [stack.enter_context(connect(endpoint)) for _ in range(20)]

        silent, half = open_many(), open_many()
        for connection in half:
            connection.sendall(HEALTH[:30])
        served.process.send_signal(signal.SIGSTOP)
        whole, queued = open_many(), open_many()
        for connection in whole:
            connection.sendall(HEALTH)
        served.process.send_signal(signal.SIGTERM)
        served.process.send_signal(signal.SIGCONT)
        wait_until(lambda: refuses_connections(endpoint), PATIENCE)
        for connection in half:
            connection.sendall(HEALTH[30:])
        for connection in (*silent, *queued):
            connection.sendall(HEALTH)
        answered = [status(read_all(one)) for one in (*silent, *half, *whole, *queued)]
        assert answered == [200] * 80
        assert served.process.wait(PATIENCE) == 0


def test_a_second_sigterm_does_not_wait(served: ServeProcess) -> None:
    endpoint = served.endpoint
    with connect(endpoint) as silent:
        wait_until(lambda: get_by_uri(served).status_code == 200, PATIENCE)
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses_connections(endpoint), PATIENCE)
        assert served.process.poll() is None
        assert served.end()[0] == 0
        assert read_all(silent) == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_clients_outlive_a_restart(
    upstream: FakeMetadataServer, tmp_path: Path, number: signal.Signals
) -> None:
    """URI and AWS token stay good; session tokens end, and clients ask for new ones."""
    env_file = tmp_path / "creds.env"
    with serve_process(env_file, upstream.endpoint) as first:
        variables, endpoint = first.variables, first.endpoint
        client = EcsRamRoleCredentialsProvider(endpoint=endpoint, deadline=30.0)
        client.get_credentials()
        token = requests.put(
            endpoint + TOKEN_PATH, headers={TTL_HEADER: "60"}, timeout=PATIENCE
        ).text
        first.end(number)
    address = endpoint.removeprefix("http://")
    with serve_process(env_file, upstream.endpoint, ["--listen", address]) as second:
        assert second.variables == variables
        assert get_by_uri(second).status_code == 200
        aws = requests.get(
            variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
            headers={"Authorization": variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]},
            timeout=PATIENCE,
        )
        assert aws.status_code == 200
        old = requests.get(endpoint + ROLE_PATH, headers={TOKEN_HEADER: token}, timeout=PATIENCE)
        assert old.status_code == 401
        assert client.refresh() == client.get_credentials()


def test_a_unix_socket_after_kill_9(upstream: FakeMetadataServer) -> None:
    folder = Path(os.path.realpath("/tmp")) / f"ecs-role-creds-serve-{os.getpid()}"
    folder.mkdir(mode=0o700)
    path, env_file = folder / "socket", folder / "creds.env"
    arguments = ["--listen", f"unix:{path}", "--socket-mode", "660"]

    def ask() -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path))
            connection.sendall(HEALTH)
            return status(read_all(connection))

    try:
        for number in (signal.SIGKILL, signal.SIGTERM):
            with serve_process(env_file, upstream.endpoint, arguments) as served:
                assert path.stat().st_mode & 0o777 == 0o660
                wait_until(lambda: ask() == 200, PATIENCE)
                assert set(served.variables) == {
                    "ECS_ROLE_CREDS_SOCKET",
                    "ECS_ROLE_CREDS_URI",
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                }
                if shutil.which("curl"):
                    command = (
                        'curl -sf --unix-socket "$ECS_ROLE_CREDS_SOCKET" "$ECS_ROLE_CREDS_URI"'
                    )
                    environ = clean_environment(**served.variables)
                    out = subprocess.check_output(["sh", "-c", command], text=True, env=environ)
                    assert upstream.issued[-1].security_token in out
                served.end(number)
            assert path.exists() is (number == signal.SIGKILL)
    finally:
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()


ACTIVATED = 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@" 3<&0 0</dev/null'


def test_restarts_with_systemds_socket_lose_nothing(
    upstream: FakeMetadataServer, tmp_path: Path
) -> None:
    """The socket stays open meanwhile: clients without a pause notice no restart."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
    env_file = tmp_path / "creds.env"
    command = ["sh", "-c", ACTIVATED, "sh", *COMMAND, "serve", "--listen", "systemd"]
    environ = clean_environment(ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT=upstream.endpoint)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command, "--env-file", str(env_file)],
            stdin=listening,
            stderr=subprocess.DEVNULL,
            env=environ,
        )

    answered: list[int] = []
    is_over = threading.Event()

    def poll() -> None:
        while not is_over.is_set():
            with connect(endpoint) as connection:
                connection.sendall(HEALTH)
                answered.append(status(read_all(connection)))

    clients = [threading.Thread(target=poll) for _ in range(8)]
    process = start()
    try:
        for client in clients:
            client.start()
        for _ in range(3):
            known = len(answered)
            wait_until(lambda known=known: len(answered) > known + 50, PATIENCE)  # type: ignore[misc]
            process.terminate()
            assert process.wait(PATIENCE) == 0
            process = start()
        known = len(answered)
        wait_until(lambda: len(answered) > known + 50, PATIENCE)
    finally:
        is_over.set()
        for client in clients:
            client.join(PATIENCE)
        process.kill()
        process.wait()
        listening.close()
    assert set(answered) <= {200, 503}  # 503: before the first credentials


def test_sighup_fetches_now(served: ServeProcess, upstream: FakeMetadataServer) -> None:
    wait_until(lambda: served.metric("rotations_total") == 1, PATIENCE)
    issued = upstream.rotate()
    served.refresh()
    assert get_by_uri(served).json()["AccessKeyId"] == issued.access_key_id


def test_starts_before_there_is_a_role(tmp_path: Path) -> None:
    with (
        FakeMetadataServer(role=None) as upstream,
        serve_process(tmp_path / "creds.env", upstream.endpoint) as served,
    ):
        wait_until(lambda: served.metric("consecutive_failures") > 0, PATIENCE)
        assert get_by_uri(served).status_code == 404
        assert "RAM role" in requests.get(f"{served.endpoint}/healthz", timeout=PATIENCE).text
        upstream.attach("late-role")
        served.refresh()
        assert get_by_uri(served).status_code == 200


def test_no_secret_is_logged(upstream: FakeMetadataServer, tmp_path: Path) -> None:
    with serve_process(tmp_path / "creds.env", upstream.endpoint) as served:
        client = EcsRamRoleCredentialsProvider(endpoint=served.endpoint, deadline=30.0)
        client.get_credentials()
        uri = served.variables["ALIBABA_CLOUD_CREDENTIALS_URI"]
        aws_token = served.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        assert get_by_uri(served).status_code == 200
        with connect(served.endpoint) as leaver:  # gone before its answer
            leaver.sendall(f"GET {uri[len(served.endpoint) :]} HTTP/1.1\r\nHost: x".encode())
        for headers in ({"Host": "evil.example"}, {"Authorization": aws_token[:-1]}):
            requests.get(uri, headers=headers, timeout=PATIENCE)
        requests.get(uri + "x", timeout=PATIENCE)
        upstream.fail(503)
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: served.metric("consecutive_failures") > 0, PATIENCE)
        upstream.recover()
        upstream.rotate()
        served.refresh()
        get_by_uri(served)
        code, err = served.end()
    assert code == 0
    assert "New credentials for role app-role" in err
    assert "Failed to fetch credentials" in err
    secrets = [uri.rpartition("/")[2], aws_token, "fake-secret", "fake-security-token"]
    secrets += [
        token for one in upstream.requests if (token := one.headers.get(TOKEN_HEADER.lower()))
    ]
    assert [secret for secret in secrets if secret[-20:] in err] == []


def test_variables_are_printed_where_no_file_is_named(upstream: FakeMetadataServer) -> None:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=clean_environment(ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT=upstream.endpoint),
    )
    try:
        assert process.stdout is not None
        printed = "".join(process.stdout.readline() for _ in range(4))
    finally:
        process.kill()
        process.communicate()
    done = subprocess.run(
        ["sh", "-c", f"{printed}\nprintenv ALIBABA_CLOUD_CREDENTIALS_URI"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert "/credentials/" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen", "0.0.0.0:0"], "--allow-remote"),
        (["--listen", "nonsense"], "HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "the port must be 1 to 65535, or 0 for any free port"),
        (["--listen", "systemd"], "a .socket unit"),
        (["--socket-mode", "9"], "octal"),
        (["--assume-role", "acs:ram::1:role/x"], "--source default-chain"),
        (["--source", "default-chain", "--assume-role", "x"], "acs:ram::"),
        (["--source", "default-chain", "--role", "x"], "--source instance"),
        (
            ["--listen", "127.0.0.1:0", "--env-file", "/nonexistent/creds.env"],
            "Cannot write /nonexistent/creds.env: there is no folder /nonexistent. Create it",
        ),
        (["--listen", "127.0.0.1:0", "--role", "a/b"], "a role name is"),
    ],
)
def test_bad_use_is_explained(arguments: list[str], message: str) -> None:
    done = run_command("serve", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_does_not_ask_itself(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    done = run_command(
        "serve",
        "--listen",
        address,
        "--env-file",
        str(tmp_path / "creds.env"),
        ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT=f"http://{address}",
    )
    assert done.returncode == 2
    assert "would send its requests to itself" in done.stderr


def test_systemd_is_told_when_it_is_ready(upstream: FakeMetadataServer, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(f"\0ecs-role-creds-test-{os.getpid()}")
        notify.settimeout(PATIENCE)
        environ = {"NOTIFY_SOCKET": f"@ecs-role-creds-test-{os.getpid()}"}
        with serve_process(tmp_path / "creds.env", upstream.endpoint, environ=environ) as served:
            assert notify.recv(100) == b"READY=1"
            assert served.variables


def test_it_says_what_is_missing() -> None:
    """In the base install, which has no server."""
    done = run_in_base_install("serve")
    assert done.returncode == 2
    assert done.stderr == (
        "ecs-role-creds serve: this command needs the package waitress: "
        "pip install 'ecs-role-creds[serve]'\n"
    )


def test_stop_after_the_end(ecs_metadata: FakeMetadataServer) -> None:
    """The thread that stops it may come late: the server has seen the first call and has ended."""
    with Sidecar(ecs_metadata) as served:
        served.server.stop()
        served._thread.join(300)
        served.server.stop()
