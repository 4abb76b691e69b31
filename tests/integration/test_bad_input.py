"""Everything that can be wrong with the service or the way to it, over real sockets."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import (
    AccessRefusedError,
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

DEADLINE = 0.4


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
        "role's name",
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
    "hardening mode demanded, and not to be had": (
        lambda server: server.fail(403),
        AccessRefusedError,
        "hardening mode",
    ),
    "throttled": (
        lambda server: server.throttle(retry_after=30),
        MetadataServiceError,
        "throttles",
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


@pytest.mark.parametrize("name", CASES)
def test_without_credentials_the_error_says_what_to_do(
    name: str, ecs_metadata: FakeMetadataServer
) -> None:
    spoil, kind, message = CASES[name]
    spoil(ecs_metadata)
    with pytest.raises(CredentialsError) as caught:
        EcsRamRoleCredentialsProvider(deadline=DEADLINE).get_credentials()
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)
    assert str(caught.value).rstrip().endswith((".", ")"))


@pytest.mark.parametrize("name", [name for name in CASES if "session token" not in name])
def test_credentials_that_are_still_good_are_kept(
    name: str, ecs_metadata: FakeMetadataServer
) -> None:
    spoil, kind, _ = CASES[name]
    provider = EcsRamRoleCredentialsProvider(deadline=DEADLINE)
    credentials = provider.get_credentials()
    spoil(ecs_metadata)
    with pytest.raises(kind):
        provider.refresh()
    assert provider.get_credentials() is credentials
    assert provider.status().failures == 1
    ecs_metadata.recover()
    if ecs_metadata.role is None:
        ecs_metadata.attach("app-role")
    assert ecs_metadata.is_valid(provider.refresh())
    assert provider.status().failures == 0


def test_another_role_than_the_pinned_one(ecs_metadata: FakeMetadataServer) -> None:
    with pytest.raises(RoleMismatchError, match=r"'other'.*which has 'app-role'") as caught:
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
    with pytest.raises(AccessRefusedError, match="switched off"):
        EcsRamRoleCredentialsProvider(disable_imds_v1=True).get_credentials()
    assert [one.method for one in ecs_metadata.requests] == ["PUT"]


def test_no_fall_back_to_normal_mode_after_a_time_out(ecs_metadata: FakeMetadataServer) -> None:
    ecs_metadata.hang(on="token")
    with pytest.raises(MetadataUnreachableError):
        EcsRamRoleCredentialsProvider(deadline=DEADLINE).get_credentials()
    assert {one.method for one in ecs_metadata.requests} == {"PUT"}


@pytest.mark.parametrize("on", ["token", "role", "document"])
def test_no_redirect_is_followed(ecs_metadata: FakeMetadataServer, on: str) -> None:
    with FakeMetadataServer() as elsewhere:
        location = {"Location": elsewhere.endpoint + "/latest/api/token"}
        ecs_metadata.answer(b"", status=302, headers=location, on=on)  # type: ignore[arg-type]
        with pytest.raises(MalformedResponseError, match="redirect was not followed"):
            EcsRamRoleCredentialsProvider().get_credentials()
        elsewhere.assert_no_requests()


def test_no_proxy_and_no_netrc(
    ecs_metadata: FakeMetadataServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with FakeMetadataServer() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.endpoint)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        netrc = tmp_path / "netrc"
        netrc.write_text("default login fake password fake\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        EcsRamRoleCredentialsProvider().get_credentials()
        proxy.assert_no_requests()
    assert all("authorization" not in one.headers for one in ecs_metadata.requests)


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
    provider = EcsRamRoleCredentialsProvider(endpoint=f"http://127.0.0.1:{port}")
    with pytest.raises(MetadataUnreachableError, match="Not on an ECS instance") as first:
        provider.get_credentials()
    with pytest.raises(MetadataUnreachableError) as second:
        provider.get_credentials()
    assert str(first.value) == str(second.value)
    assert first.value is not second.value
    assert provider.status().failures == 1


def test_something_that_speaks_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-fake\r\n")

        greeter = threading.Thread(target=greet, daemon=True)
        greeter.start()
        port = listener.getsockname()[1]
        provider = EcsRamRoleCredentialsProvider(endpoint=f"http://127.0.0.1:{port}")
        with pytest.raises(MalformedResponseError, match="does not speak HTTP"):
            provider.get_credentials()
        greeter.join()
