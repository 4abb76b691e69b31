"""Everything that can be wrong with the service or the way to it, over real sockets."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from support import MovableClock, run_at_once
from support.plain_http import ROLE_PATH, TOKEN_PATH, sending, wait_until

from ecs_role_creds import Credentials, EcsRamRoleCredentialsProvider
from ecs_role_creds.cache import FETCH_SHARE
from ecs_role_creds.errors import (
    AccessRefusedError,
    ConfigurationError,
    CredentialsError,
    CredentialsExpiredError,
    MalformedResponseError,
    MetadataServiceError,
    MetadataUnreachableError,
    NoRoleAttachedError,
    RoleMismatchError,
)
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer
from ecs_role_creds.transport import _DeadlineSocket

DEADLINE = 0.4
"""Of a fetch that is bound to reach it."""

LONG = 60.0
"""Of a fetch that ends before it, however slow the machine is."""

LOTS = 64 * 1024 * 1024


def document(**changes: object) -> str:
    parts = {
        "AccessKeyId": "STS.FAKEcanary",
        "AccessKeySecret": "fake-secret-canary",
        "SecurityToken": "fake-security-token-canary",
        "Expiration": "2099-01-01T00:00:00Z",
        "LastUpdated": "2026-01-01T00:00:00Z",
        "Code": "Success",
    }
    return json.dumps({**parts, **changes})


Spoil = Callable[[FakeMetadataServer], object]

# What is wrong; the kind of error; what its message tells.
CASES: dict[str, tuple[Spoil, type[CredentialsError], str]] = {
    "HTML where JSON belongs": (
        lambda server: server.answer("<html>fake-secret-canary</html>", on="document"),
        MalformedResponseError,
        "no JSON",
    ),
    "half a document": (
        lambda server: server.answer(document()[:-20], on="document"),
        MalformedResponseError,
        "no JSON",
    ),
    "a line break in the token": (
        lambda server: server.answer(
            document(SecurityToken="fake-security-token-canary\r\nHost: a"), on="document"
        ),
        MalformedResponseError,
        "SecurityToken",
    ),
    "another code": (
        lambda server: server.answer(document(Code="Failed"), on="document"),
        MalformedResponseError,
        "Code is Failed",
    ),
    "an expired document": (
        lambda server: server.answer(document(Expiration="2020-01-01T00:00:00Z"), on="document"),
        CredentialsExpiredError,
        "expired",
    ),
    "a role name that walks the path": (
        lambda server: server.answer("../../user-data", on="role"),
        MalformedResponseError,
        "role name",
    ),
    "no role": (lambda server: server.detach(), NoRoleAttachedError, "Attach"),
    "an answer of 10 MB": (
        lambda server: server.answer(b" " * 10_000_000, on="document"),
        MalformedResponseError,
        "too long",
    ),
    "a session token of 10 MB": (
        lambda server: server.answer(b"x" * 10_000_000, on="token"),
        MalformedResponseError,
        "too long",
    ),
    "every token refused": (
        lambda server: server.fail(401, on="document"),
        AccessRefusedError,
        "401",
    ),
    "hardening mode demanded, and not available": (
        lambda server: server.fail(403),
        AccessRefusedError,
        "hardening mode",
    ),
    "throttled": (
        lambda server: server.throttle(retry_after=60),
        MetadataServiceError,
        "throttled",
    ),
    "in trouble": (lambda server: server.fail(500), MetadataServiceError, "500"),
    "hanging": (lambda server: server.hang(), MetadataUnreachableError, "ECS instance"),
    "dripping": (
        lambda server: server.drip(0.05, on="document"),
        MetadataUnreachableError,
        "ECS instance",
    ),
    "reset": (lambda server: server.reset(), MetadataUnreachableError, "ECS instance"),
}


NEVER_ANSWERED = ("hanging", "dripping")


def provider_for(name: str) -> EcsRamRoleCredentialsProvider:
    """A provider whose calls end with what the fetch found, even if they wait longer for a CPU."""
    deadline = DEADLINE if name in NEVER_ANSWERED else LONG
    return EcsRamRoleCredentialsProvider(
        deadline=deadline, runtime=Runtime(start_thread=run_at_once)
    )


def patiently(call: Callable[[], Credentials]) -> Credentials:
    """Call again where a healthy service was too slow for the short deadline."""
    until = time.monotonic() + LONG
    while True:
        try:
            return call()
        except MetadataUnreachableError:
            if time.monotonic() > until:
                raise


@pytest.mark.parametrize("name", CASES)
def test_without_credentials_the_error_says_what_to_do(
    name: str, ecs_metadata: FakeMetadataServer
) -> None:
    spoil, kind, message = CASES[name]
    spoil(ecs_metadata)
    with pytest.raises(CredentialsError) as caught:
        provider_for(name).get_credentials()
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)
    assert str(caught.value).rstrip().endswith((".", ")"))


@pytest.mark.parametrize("name", [name for name in CASES if "session token" not in name])
def test_credentials_that_are_still_good_are_kept(
    name: str, ecs_metadata: FakeMetadataServer
) -> None:
    spoil, kind, _ = CASES[name]
    provider = provider_for(name)
    credentials = patiently(provider.get_credentials)
    spoil(ecs_metadata)
    with pytest.raises(kind):
        provider.refresh()
    assert provider.get_credentials() is credentials
    assert provider.status().failures == 1
    ecs_metadata.recover()
    if ecs_metadata.role is None:
        ecs_metadata.attach("app-role")
    assert ecs_metadata.is_valid(patiently(provider.refresh))
    assert provider.status().failures == 0


def test_another_role_than_the_pinned_one(ecs_metadata: FakeMetadataServer) -> None:
    with pytest.raises(RoleMismatchError, match=r"'other'.*its role is 'app-role'") as caught:
        EcsRamRoleCredentialsProvider("other").get_credentials()
    assert (caught.value.requested, caught.value.attached) == ("other", "app-role")


def test_switch_to_hardening_mode_only(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.mode = "normal-only"
    provider = EcsRamRoleCredentialsProvider()
    provider.get_credentials()
    assert provider.status().mode == "normal"
    ecs_metadata.mode = "hardening-only"
    assert ecs_metadata.is_valid(provider.refresh())
    assert provider.status().mode == "hardening"


def test_normal_mode_only_where_it_is_ruled_out(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.mode = "normal-only"
    with pytest.raises(AccessRefusedError, match="is disabled"):
        EcsRamRoleCredentialsProvider(disable_imds_v1=True).get_credentials()
    assert [one.method for one in ecs_metadata.requests] == ["PUT"]


def test_no_fall_back_to_normal_mode_after_a_time_out(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.hang(on="token")
    # By this clock, no time passes before the request is sent, however slow the machine is.
    runtime = Runtime(clock=MovableClock(), start_thread=run_at_once)
    with pytest.raises(MetadataUnreachableError):
        EcsRamRoleCredentialsProvider(deadline=DEADLINE, runtime=runtime).get_credentials()
    wait_until(lambda: bool(ecs_metadata.requests))
    assert {one.method for one in ecs_metadata.requests} == {"PUT"}


def assert_nothing_else_was_asked(server: FakeMetadataServer) -> None:
    asked = {f"{one.method} {one.path}" for one in server.requests}
    assert asked <= {f"PUT {TOKEN_PATH}", f"GET {ROLE_PATH}", f"GET {ROLE_PATH}app-role"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("on", ["token", "role", "document"])
def test_no_redirect_is_followed(ecs_metadata: FakeMetadataServer, on: Any, status: int) -> None:
    with FakeMetadataServer() as elsewhere:
        location = {"Location": elsewhere.endpoint + "/latest/api/token"}
        ecs_metadata.answer(b"", status=status, headers=location, on=on)
        with pytest.raises(MalformedResponseError, match="redirect was not followed"):
            EcsRamRoleCredentialsProvider().get_credentials()
        elsewhere.assert_no_requests()
    assert_nothing_else_was_asked(ecs_metadata)


@pytest.mark.parametrize(
    "location",
    [
        "//{elsewhere}/latest/api/token",
        "/latest/user-data",
        "../../../user-data",
        "?more",
        "file:///etc/passwd",
        "gopher://{elsewhere}/",
        "https://{elsewhere}/",
        "http://fake:fake@{elsewhere}/",
        "http://[",
        "http://{elsewhere}:99999/",
        "/\xe9",
        "",
    ],
)
def test_no_redirect_is_taken_apart(ecs_metadata: FakeMetadataServer, location: str) -> None:
    with FakeMetadataServer() as elsewhere:
        host = elsewhere.endpoint.removeprefix("http://")
        headers = {"Location": location.format(elsewhere=host)}
        ecs_metadata.answer(b"fake", status=307, headers=headers, on="role")
        with pytest.raises(MalformedResponseError, match="redirect was not followed"):
            EcsRamRoleCredentialsProvider().get_credentials()
        elsewhere.assert_no_requests()
    assert_nothing_else_was_asked(ecs_metadata)


@pytest.mark.parametrize(
    "header",
    [
        ("Refresh", "0; url={elsewhere}/"),
        ("Link", "<{elsewhere}/>; rel=preload"),
        ("Alt-Svc", 'h2="{host}", http/1.1="{host}"'),
        ("Content-Location", "{elsewhere}/"),
        ("Location", "{elsewhere}/"),
        ("Set-Cookie", "a=fake; Domain={host}"),
    ],
    ids=lambda header: header[0],
)
def test_no_header_leads_elsewhere(
    ecs_metadata: FakeMetadataServer, header: tuple[str, str]
) -> None:
    with FakeMetadataServer() as elsewhere:
        host = elsewhere.endpoint.removeprefix("http://")
        headers = {header[0]: header[1].format(elsewhere=elsewhere.endpoint, host=host)}
        ecs_metadata.answer("app-role", headers=headers, on="role")
        provider = EcsRamRoleCredentialsProvider()
        provider.get_credentials()
        assert ecs_metadata.is_valid(provider.refresh())
        elsewhere.assert_no_requests()
    assert_nothing_else_was_asked(ecs_metadata)


def test_no_page_leads_elsewhere(ecs_metadata: FakeMetadataServer) -> None:
    with FakeMetadataServer() as elsewhere:
        page = f'<meta http-equiv="refresh" content="0; url={elsewhere.endpoint}/"><html></html>'
        ecs_metadata.answer(page, headers={"Content-Type": "text/html"}, on="document")
        with pytest.raises(MalformedResponseError, match="no JSON"):
            EcsRamRoleCredentialsProvider().get_credentials()
        elsewhere.assert_no_requests()
    assert_nothing_else_was_asked(ecs_metadata)


@pytest.mark.parametrize(
    "role",
    [
        *("..", "../user-data", "../../../user-data", "%2e%2e/user-data", "..%2fuser-data"),
        *("..\\user-data", "/latest/user-data", "a?b", "a#b", "a;b", "a b", "a\tb", "a@b:80"),
        *("http://127.0.0.2/", "//127.0.0.2/", "a\r\nHost: 127.0.0.2", "a HTTP/1.1\r\n\r\nGET /b"),
        *("\u2024\u2024/user-data", "\uff0e\uff0e\uff0fuser-data", "a\x00b", "a\u2028b"),
    ],
)
def test_no_role_name_leads_elsewhere(ecs_metadata: FakeMetadataServer, role: str) -> None:
    ecs_metadata.answer(role, on="role")
    with pytest.raises(MalformedResponseError, match="role name"):
        EcsRamRoleCredentialsProvider().get_credentials()
    ecs_metadata.assert_requests(f"PUT {TOKEN_PATH}", f"GET {ROLE_PATH}")


@pytest.mark.parametrize("is_argument", [True, False], ids=["argument", "environment"])
@pytest.mark.parametrize(
    "endpoint",
    [
        *("file:///etc/passwd", "file:", "https://127.0.0.1", "gopher://127.0.0.1", "data:,fake"),
        *(
            "unix:///run/fake",
            "http+unix://fake",
            "//127.0.0.1",
            "http:127.0.0.1",
            "http:/127.0.0.1",
        ),
        *("http://fake@127.0.0.1", "http://@127.0.0.1", "http://127.0.0.1:80@127.0.0.2"),
        *("http://127.0.0.1\\@127.0.0.2", "http://127.0.0.1\\127.0.0.2", "http://127.0.0.1%00"),
        *("http://%31%32%37.0.0.1", "http://127.0.0.1%2f", "http://127.0.0.1%40127.0.0.2"),
        *("http://127.0.0.1%0d%0aX: 1", "http://\uff11\uff12\uff17.0.0.1", "http://127\u30020.0.1"),
        *(
            "http://[::1]127.0.0.2",
            "http://127.0.0.1/..",
            "http://127.0.0.1/%2e",
            "http://*",
            "http://",
        ),
        *("http://127.0.0.1?a=b", "http://127.0.0.1#a", "http://127.0.0.1\t", " http://127.0.0.1"),
    ],
)
def test_no_endpoint_leads_elsewhere(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, is_argument: bool
) -> None:
    if is_argument:
        with pytest.raises(ConfigurationError, match=r"^endpoint is"):
            EcsRamRoleCredentialsProvider(endpoint=endpoint)
    else:
        variable = "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT"
        monkeypatch.setenv(variable, endpoint)
        with pytest.raises(ConfigurationError, match=f"^{variable} is"):
            EcsRamRoleCredentialsProvider()


@pytest.mark.parametrize("no_proxy", [None, "", "example.com"])
def test_no_proxy_and_no_netrc(
    ecs_metadata: FakeMetadataServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    no_proxy: str | None,
) -> None:
    with FakeMetadataServer() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY"):
            monkeypatch.setenv(name, proxy.endpoint)
            monkeypatch.setenv(name.lower(), proxy.endpoint)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            if no_proxy is not None:
                monkeypatch.setenv(name, no_proxy)
        netrc = tmp_path / ".netrc"
        netrc.write_text("default login fake password fake\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "missing.pem"))
        EcsRamRoleCredentialsProvider().get_credentials()
        proxy.assert_no_requests()
    sent = {name for one in ecs_metadata.requests for name in one.headers}
    assert sent <= {
        *("host", "user-agent", "accept", "accept-encoding", "connection", "content-length"),
        *("x-aliyun-ecs-metadata-token", "x-aliyun-ecs-metadata-token-ttl-seconds"),
    }


def test_cookies_are_not_sent_back(ecs_metadata: FakeMetadataServer) -> None:
    cookie = {"Set-Cookie": "a=fake; Path=/"}
    ecs_metadata.answer("fake-token", headers=cookie, on="token", times=1)
    assert ecs_metadata.is_valid(EcsRamRoleCredentialsProvider().get_credentials())
    assert all("cookie" not in one.headers for one in ecs_metadata.requests)


@pytest.mark.parametrize("hours", [-1, 1])
def test_an_instance_whose_clock_is_off(ecs_metadata: FakeMetadataServer, hours: int) -> None:
    ecs_metadata.life = 600

    def wrong_clock() -> datetime:
        return datetime.now(timezone.utc) + timedelta(hours=hours)

    provider = EcsRamRoleCredentialsProvider(runtime=Runtime(wall_clock=wrong_clock))
    assert 590 < provider.get_credentials().expires_in() <= 600
    provider.get_credentials()
    assert provider.status().fetches == 1


def test_off_the_cloud_the_first_error_is_quick_and_remembered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    clock = time.monotonic()  # the second call comes within the pause after the first failure
    provider = EcsRamRoleCredentialsProvider(
        endpoint=f"http://127.0.0.1:{port}", deadline=60, runtime=Runtime(clock=lambda: clock)
    )
    with pytest.raises(MetadataUnreachableError, match="does not run on an ECS instance") as first:
        provider.get_credentials()
    with pytest.raises(MetadataUnreachableError) as second:
        provider.get_credentials()
    assert str(first.value) == str(second.value)
    assert first.value is not second.value
    assert provider.status().failures == 1


def test_something_that_speaks_no_http() -> None:
    with sending(lambda connection: connection.sendall(b"SSH-2.0-fake\r\n")) as endpoint:
        provider = EcsRamRoleCredentialsProvider(endpoint=endpoint)
        with pytest.raises(MalformedResponseError, match="is not HTTP"):
            provider.get_credentials()


# Servers that send whatever bytes, and on as long as they are let


@pytest.mark.parametrize("headers", ["", "Content-Encoding: gzip\r\n"], ids=["plain", "gzip"])
@pytest.mark.parametrize("status", [200, 302, 307])
def test_no_more_than_64_kib_of_an_endless_answer_are_read(status: int, headers: str) -> None:
    sent = 0

    def send(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(f"HTTP/1.1 {status} F\r\nLocation: /\r\n{headers}\r\n".encode())
        body = gzip.compress(bytes(2**20)) if headers else bytes(2**16)
        while sent < LOTS:  # for the case that everything is read
            sent += connection.send(body)

    with sending(send) as endpoint:
        provider = EcsRamRoleCredentialsProvider(endpoint=endpoint, deadline=10)
        with pytest.raises(MalformedResponseError, match="too long"):
            provider.get_credentials()
    # The sockets' buffers take more than what is read.
    assert sent < LOTS / 2


@pytest.mark.parametrize(
    ("at_once", "dripped"),
    [
        (b"", b"HTTP/1.1 200 OK\r\n" + b"X-Fake: fake\r\n" * 90),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"x" * 4000),
    ],
    ids=["head", "body", "chunks", "continues", "redirect"],
)
def test_the_deadline_covers_the_whole_exchange(at_once: bytes, dripped: bytes) -> None:
    sent_all = threading.Event()

    def send(connection: socket.socket) -> None:
        connection.sendall(at_once)
        for byte in dripped:  # until the client closes the connection
            connection.sendall(bytes([byte]))
            time.sleep(0.02)
        sent_all.set()

    with sending(send) as endpoint:
        # On the caller's own thread, so that it is the exchange that ends, not the wait.
        provider = EcsRamRoleCredentialsProvider(
            endpoint=endpoint, deadline=DEADLINE, runtime=Runtime(start_thread=run_at_once)
        )
        with pytest.raises(MetadataUnreachableError, match="ECS instance"):
            provider.get_credentials()
        # Each byte came in time; all of them take many times the deadline.
        assert not sent_all.is_set()


def test_the_deadline_covers_connecting_too(
    ecs_metadata: FakeMetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_connection, answer_by = socket.create_connection, _DeadlineSocket.answer_by
    begun_at: list[float] = []
    limits: list[float] = []

    def connect_slowly(*args: Any, **options: Any) -> socket.socket:
        begun_at.append(time.monotonic())
        time.sleep(0.1)
        return create_connection(*args, **options)

    def note(connection: _DeadlineSocket, moment: float) -> None:
        limits.append(moment)
        answer_by(connection, moment)

    monkeypatch.setattr(socket, "create_connection", connect_slowly)
    monkeypatch.setattr(_DeadlineSocket, "answer_by", note)
    EcsRamRoleCredentialsProvider(deadline=LONG).get_credentials()
    # The limit of the first exchange is counted from before the connection was made.
    assert limits[0] <= begun_at[0] + FETCH_SHARE * LONG


AUDIT = """
import os, sys
events = []
def note(event, arguments):
    if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND):
        events.append((event, str(arguments[0])))
    elif event.split(".")[0] in ("subprocess", "shutil", "tempfile", "sqlite3", "mmap"):
        events.append((event, str(arguments)))
    elif event in ("os.putenv", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.link",
                   "os.rename", "os.mkdir", "os.symlink", "os.truncate"):
        events.append((event, str(arguments)))
sys.addaudithook(note)
from ecs_role_creds import EcsRamRoleCredentialsProvider
provider = EcsRamRoleCredentialsProvider(deadline=60)
provider.invalidate(provider.get_credentials())
provider.get_credentials()
with provider.polling():
    provider.refresh()
{more}
print(sys.argv, events)
"""


@pytest.mark.parametrize(
    ("more", "left"),
    [
        ("", ""),
        ("open(os.devnull, 'w').close()", "open"),
        ("os.environ['FAKE'] = provider.get_credentials().security_token", "os.putenv"),
        ("os.system('true')", "os.system"),
    ],
    ids=["nothing", "a file", "a variable", "a process"],
)
def test_nothing_is_left_on_the_host(
    ecs_metadata: FakeMetadataServer, tmp_path: Path, more: str, left: str
) -> None:
    # The last three show that a trace would be seen.
    done = subprocess.run(
        [sys.executable, "-B", "-c", AUDIT.format(more=more)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert len(ecs_metadata.issued) == 1
    assert not list(tmp_path.iterdir())
    if left:
        assert f"['-c'] [('{left}', " in done.stdout
    else:
        assert done.stdout == "['-c'] []\n"
