"""doctor against the fake metadata service in every state that it can be put in."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.doctor_run import diagnose, surroundings
from support.plain_http import sending, wait_until

from ecs_role_creds.settings import DISABLED, ENDPOINT, IMDS_V1_DISABLED, ROLE_NAME
from ecs_role_creds.testing import FakeMetadataServer, FakeOss, IssuedCredentials

NOW = datetime(2030, 1, 1, 12, 0, 0, 500_000, tzinfo=timezone.utc)
"""Amid a second, as the service tells whole ones."""

Spoil = Callable[[FakeMetadataServer], object]


class State(NamedTuple):
    """A state of the service, and what doctor has to say about it."""

    spoil: Spoil
    check: str
    sentence: str
    status: int = 1


ROLE_DOCUMENT = json.dumps(
    {
        "AccessKeyId": "STS.FAKEcanary",
        "AccessKeySecret": "fake-secret-canary",
        "SecurityToken": "fake-security-token-canary",
        "Expiration": "2020-01-01T00:00:00Z",
        "Code": "Success",
    }
)

STATES = {
    "all is well": State(
        lambda server: None, "credentials", "ok: Credentials of role app-role, valid for 6 h", 0
    ),
    "hardening mode": State(
        lambda server: None,
        "hardening mode",
        "ok: The service supports the security hardening mode (IMDSv2).",
        0,
    ),
    "both modes": State(
        lambda server: None,
        "normal mode",
        "warning: The service still answers in the normal mode (IMDSv1)",
        0,
    ),
    "hardening mode only": State(
        lambda server: setattr(server, "mode", "hardening-only"),
        "normal mode",
        "ok: The service refuses the normal mode (IMDSv1).",
        0,
    ),
    "normal mode only": State(
        lambda server: setattr(server, "mode", "normal-only"),
        "hardening mode",
        "warning: The service does not support the security hardening mode: it answered 404 to",
        0,
    ),
    "normal mode only, 403": State(
        lambda server: (
            setattr(server, "mode", "normal-only"),
            setattr(server, "no_hardening_status", 403),
        ),
        "hardening mode",
        "warning: The service refuses to issue a session token (403).",
        0,
    ),
    "no role": State(
        lambda server: server.detach(),
        "role",
        "failed: No RAM role is attached to the instance. Attach one in the ECS console",
    ),
    "another role": State(
        lambda server: server.swap("another-role"),
        "role",
        "ok: The role another-role is attached.",
        0,
    ),
    "a page for the role's name": State(
        lambda server: server.answer("<html>fake-secret-canary</html>", on="role"),
        "role",
        "failed: The response to the request for the role's name is not a role name. Check what is",
    ),
    "a page for the document": State(
        lambda server: server.answer("<html>fake-secret-canary</html>", on="document"),
        "credentials",
        "role document",
    ),
    "an expired document": State(
        lambda server: server.answer(ROLE_DOCUMENT, on="document"),
        "credentials",
        "of role 'app-role' that expired at 2020-01-01T00:00:00Z.",
    ),
    "a document without a secret": State(
        lambda server: server.answer('{"Code": "Success"}', on="document"),
        "credentials",
        "role document",
    ),
    "expired by the service": State(
        lambda server: (server.rotate(), server.expire()),
        "credentials",
        "of role 'app-role' that expired at 2030-01-01T12:00:00Z.",
    ),
    "an answer without end": State(
        lambda server: server.answer("x" * 70_000, on="role"),
        "role",
        "failed: The response to the request for the role's name is not a role name.",
    ),
    "slow": State(lambda server: server.delay(0.01), "address", " answers in ", 0),
    "throttled": State(
        lambda server: server.throttle(60),
        "hardening mode",
        "failed: The service limits the rate of requests (429 for a session token). Check for",
    ),
    "throttled at the role": State(
        lambda server: server.throttle(60, on="role"),
        "role",
        "failed: The service limits the rate of requests (429 for the role's name).",
    ),
    "in trouble": State(
        lambda server: server.fail(503),
        "hardening mode",
        "failed: The service answered 503 for a session token. Run doctor again in a minute.",
    ),
    "in trouble at the role": State(
        lambda server: server.fail(500, on="role"),
        "role",
        "failed: The service answered 500 for the role's name.",
    ),
    "session tokens malformed": State(
        lambda server: server.fail(400, on="token"),
        "hardening mode",
        "failed: The service answered 400 to the request for a session token.",
    ),
    "refused": State(
        lambda server: server.fail(403, on="role"),
        "role",
        "failed: The service refused the request for the role's name (403). A proxy",
    ),
    "redirected": State(
        lambda server: server.answer(
            "", status=302, headers={"Location": "http://127.0.0.1:9/"}, on="role"
        ),
        "role",
        "failed: The service answered 302 to the request for the role's name.",
    ),
    "reset": State(
        lambda server: server.reset(),
        "address",
        "closes the connection without a response.",
    ),
    "reset at the role": State(
        lambda server: server.reset(on="role"),
        "role",
        "failed: The request for the role's name failed: closed.",
    ),
    "not far from its end": State(
        lambda server: setattr(server, "life", 600),
        "rotation",
        "warning: The credentials expire in 10 min, and the service has not rotated them yet",
        0,
    ),
    "rotated soon": State(
        lambda server: setattr(server, "life", 1500),
        "rotation",
        "ok: The service is about to rotate the credentials.",
        0,
    ),
    "rotated later": State(
        lambda server: None,
        "rotation",
        "ok: The service rotates the credentials at about 17:30 UTC, in 5 h 30 min.",
        0,
    ),
    "clocks agree": State(
        lambda server: None, "clock", "ok: The clock agrees with the service's.", 0
    ),
    "clock behind": State(
        lambda server: server.skew_date(300),
        "clock",
        "warning: The clock is 5 min behind the service's.",
        0,
    ),
    "clock ahead": State(
        lambda server: server.skew_date(-120),
        "clock",
        "warning: The clock is 2 min ahead of the service's.",
        0,
    ),
    "clock far off": State(
        lambda server: server.skew_date(-3600),
        "clock",
        "failed: The clock is 1 h 00 min ahead of the service's. OSS refuses requests",
        0,
    ),
    "no date": State(
        lambda server: server.drop_date(),
        "clock",
        "note: The service sends no Date, so its clock cannot be compared.",
        0,
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_every_state_has_its_sentence(tmp_path: Path, name: str) -> None:
    state = STATES[name]
    with FakeMetadataServer(clock=NOW.timestamp) as server:
        server.rotation_paused = True
        state.spoil(server)
        around = surroundings(tmp_path, server, wall_clock=lambda: NOW)
        found = diagnose(["--json"], around)
    told = "\n".join(found.findings[state.check])
    assert state.sentence in told
    assert found.status == state.status


def test_a_service_that_hangs(tmp_path: Path) -> None:
    with FakeMetadataServer() as server:
        server.hang()
        found = diagnose(["--json"], surroundings(tmp_path, server, network_seconds=0.3))
        wait_until(lambda: bool(server.requests))
        server.assert_requests("PUT /latest/api/token")  # nothing more once that had no answer
    (told,) = found.findings["address"]
    assert told.startswith(f"failed: Nothing answers at {server_address(told)} within ")
    assert found.status == 1


def test_a_service_that_drips(tmp_path: Path) -> None:
    with FakeMetadataServer() as server:
        server.drip(0.5)
        found = diagnose(["--json"], surroundings(tmp_path, server, network_seconds=0.3))
    assert "Nothing answers at" in found.findings["address"][0]


def server_address(told: str) -> str:
    return next(word for word in told.split() if word.startswith("http://"))


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    found = diagnose(["--json"], surroundings(tmp_path, endpoint))
    assert found.findings["address"] == [
        f"failed: Nothing answers at {endpoint}: the connection was refused. {ENDPOINT} names this "
        f"address. Start the service at that address, or unset {ENDPOINT}."
    ]
    assert found.findings["credentials"] == ["failed: No credentials were fetched: see above."]
    assert found.status == 1


def test_something_that_does_not_speak_http(tmp_path: Path) -> None:
    with sending(lambda one: one.sendall(b"220 fake-secret-canary ESMTP\r\n")) as endpoint:
        found = diagnose(["--json"], surroundings(tmp_path, endpoint))
    assert f"The response from {endpoint} is not HTTP." in found.findings["address"][0]
    assert "canary" not in found.text


def test_a_role_that_is_expected(tmp_path: Path) -> None:
    with FakeMetadataServer("another-role") as server:
        found = diagnose(["--json", "--role", "my-role"], surroundings(tmp_path, server))
        named = diagnose(["--json"], surroundings(tmp_path, server, {ROLE_NAME: "my-role"}))
    assert found.findings["role"] == [
        "failed: The role another-role is attached, but --role says my-role. Correct --role, or "
        "remove it to use the attached role."
    ]
    assert f"but {ROLE_NAME} says my-role" in named.findings["role"][0]
    assert named.findings["settings"][1] == (f"note: {ROLE_NAME} requires the role my-role.")
    assert (found.status, named.status) == (1, 1)


def test_where_the_service_is_switched_off_nothing_is_asked(tmp_path: Path) -> None:
    with FakeMetadataServer() as server:
        found = diagnose(["--json"], surroundings(tmp_path, server, {DISABLED: "true"}))
        server.assert_no_requests()
    assert found.findings["settings"][0].startswith(
        f"failed: The environment variable {DISABLED} is true"
    )
    assert found.status == 1


def test_where_the_normal_mode_is_ruled_out_it_is_not_tried(tmp_path: Path) -> None:
    environ = {IMDS_V1_DISABLED: "true"}
    with FakeMetadataServer() as server:
        found = diagnose(["--json"], surroundings(tmp_path, server, environ))
        assert all(
            one.method == "PUT" or "x-aliyun-ecs-metadata-token" in one.headers
            for one in server.requests
        )
        server.mode = "normal-only"
        server.requests.clear()
        refused = diagnose(["--json"], surroundings(tmp_path, server, environ))
        assert {one.method for one in server.requests} == {"PUT"}
    assert found.findings["normal mode"] == [
        f"skipped: The normal mode was not tried: {IMDS_V1_DISABLED} disables it."
    ]
    assert (found.status, refused.status) == (0, 1)


# With OSS


OSS_STATES: dict[str, tuple[Callable[[FakeOss], object], list[str], str]] = {
    "accepted": (lambda oss: None, [], "ok: OSS accepted a signed request to list the bucket"),
    "accepted, V4": (lambda oss: None, ["--region", "cn-fake-1"], "ok: OSS accepted"),
    "another region": (
        lambda oss: None,
        ["--region", "cn-fake-2"],
        "failed: OSS ",
    ),
    "no such bucket": (
        lambda oss: None,
        ["--bucket", "missing"],
        "failed: OSS accepted the signature, but there is no bucket missing.",
    ),
}


@pytest.mark.parametrize("name", OSS_STATES)
def test_oss_in_words(tmp_path: Path, name: str) -> None:
    spoil, more, sentence = OSS_STATES[name]
    with FakeMetadataServer() as server, FakeOss(server, ["album"]) as oss:
        spoil(oss)
        arguments = ["--json", "--bucket", "album", "--endpoint", oss.endpoint, *more]
        found = diagnose(arguments, surroundings(tmp_path, server))
    (told,) = found.findings["bucket"]
    assert told.startswith(sentence)
    assert found.status == 0


def test_oss_that_has_never_heard_of_the_credentials(tmp_path: Path) -> None:
    with (
        FakeMetadataServer() as server,
        FakeMetadataServer(seed=1) as authority,
        FakeOss(authority, ["album"]) as oss,
    ):
        arguments = ["--json", "--bucket", "album", "--endpoint", oss.endpoint]
        found = diagnose(arguments, surroundings(tmp_path, server))
    (told,) = found.findings["bucket"]
    assert told.startswith("failed: OSS does not know the AccessKey id")


class Altering(NamedTuple):
    """An authority that knows the credentials a little otherwise than they were issued."""

    server: FakeMetadataServer
    changes: dict[str, Any]

    def find_issued(self, access_key_id: str) -> IssuedCredentials | None:
        one = self.server.find_issued(access_key_id)
        return one and one._replace(**self.changes)

    def now(self) -> datetime:
        return self.server.now()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"access_key_secret": "another"}, "failed: OSS computed another signature."),
        ({"security_token": "another"}, "failed: OSS does not accept the security token."),
        ({"expiration": NOW}, "failed: OSS says that the security token has expired."),
    ],
)
def test_oss_that_refuses(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    later = NOW.timestamp() + 5
    with (
        FakeMetadataServer(clock=lambda: later) as server,
        FakeOss(Altering(server, changes), ["album"]) as oss,
    ):
        arguments = ["--json", "--bucket", "album", "--endpoint", oss.endpoint]
        found = diagnose(arguments, surroundings(tmp_path, server))
        codes = [one.code for one in oss.requests]
    (told,) = found.findings["bucket"]
    assert told.startswith(sentence), codes


def test_an_endpoint_where_there_is_no_oss(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with FakeMetadataServer() as server:
        arguments = ["--json", "--bucket", "album", "--endpoint", endpoint]
        found = diagnose(arguments, surroundings(tmp_path, server))
    (told,) = found.findings["bucket"]
    assert told.startswith("failed: OSS does not answer at that endpoint.")


def test_without_credentials_oss_is_not_asked(tmp_path: Path) -> None:
    with FakeMetadataServer(None) as server, FakeOss(server, ["album"]) as oss:
        arguments = ["--json", "--bucket", "album", "--endpoint", oss.endpoint]
        found = diagnose(arguments, surroundings(tmp_path, server))
        assert oss.requests == []
    assert found.findings["bucket"] == [
        "failed: No request was sent to OSS: there are no credentials to sign the request with."
    ]


@pytest.mark.parametrize(
    "more",
    [["--bucket", "oss://album/"], ["--endpoint", "http://"], ["--endpoint", "ftp://127.0.0.1"]],
)
def test_what_oss2_refuses(tmp_path: Path, more: list[str]) -> None:
    with FakeMetadataServer() as server:
        arguments = ["--json", "--bucket", "album", "--endpoint", "http://127.0.0.1:9", *more]
        found = diagnose(arguments, surroundings(tmp_path, server))
    (told,) = found.findings["bucket"]
    assert told.startswith(
        ("failed: OSS does not", "failed: No request was sent to OSS: oss2 rejects")
    )
    assert found.status == 0


def test_without_oss2(tmp_path: Path) -> None:
    script = """
import sys
sys.modules["oss2"] = None
from ecs_role_creds.cli import main
sys.exit(main(["doctor", "--json", "--bucket", "album", "--endpoint", "http://127.0.0.1:9"]))
"""
    with FakeMetadataServer() as server:
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "HOME": str(tmp_path), **server.environment},
        )
    assert "--bucket needs the package oss2: pip install 'ecs-role-creds[oss2]'" in done.stdout
    assert done.returncode == 0, done.stderr


# The command


def run_command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ALIBABA_CLOUD_") and name not in ("NO_COLOR", "FORCE_COLOR")
    }
    return subprocess.run(
        [sys.executable, "-m", "ecs_role_creds", "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**clean, **environ},
    )


def test_the_command(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with FakeMetadataServer() as server:
        environ = {"HOME": str(tmp_path), **server.environment}
        plain = run_command("--report", str(report), **environ)
        colored = run_command(FORCE_COLOR="1", **environ)
        uncolored = run_command(FORCE_COLOR="1", NO_COLOR="1", **environ)
        server.detach()
        failed = run_command("--json", **environ)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.endswith("\nCredentials can be fetched.\n")
    assert "\x1b" not in plain.stdout
    assert "\x1b[32mok" in colored.stdout
    assert "\x1b" not in uncolored.stdout
    assert json.loads(report.read_text())["format"] == 1
    assert f"report written to {report}." in plain.stderr
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["credentials"] is False


def test_on_a_terminal(tmp_path: Path) -> None:
    """In a pseudo terminal: colors unless NO_COLOR is set, and lines that fit."""
    terminal = load_tool("terminal")
    command = [sys.executable, "-m", "ecs_role_creds", "doctor"]
    with FakeMetadataServer(None) as server:
        environ = {"HOME": str(tmp_path), **server.environment}
        colored = terminal.run_in_terminal(command, environ, columns=80)
        plain = terminal.run_in_terminal(command, {**environ, "NO_COLOR": "1"}, columns=80)
    colors = [{cell.fg for line in screen.buffer.values() for cell in line.values()}
              for screen in (colored, plain)]  # fmt: skip
    assert colors[0] >= {"red", "green"}
    assert colors[1] == {"default"}
    assert any(line.startswith("FAILED   role   ") for line in plain.display)
    # Nothing was wrapped by the terminal itself: every line begins a finding, or is indented.
    for line in filter(str.strip, plain.display):
        assert line.startswith((" " * 28, "ok", "note", "warning", "FAILED", "Credentials cannot"))
    terminal.draw(plain, "doctor", tmp_path / "doctor.svg")
    assert "FAILED" in (tmp_path / "doctor.svg").read_text()


def load_tool(name: str) -> Any:
    path = Path(__file__).parents[2] / f"docs/tools/{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bucket", "b"], "pass --bucket and --endpoint together"),
        (["--endpoint", "http://127.0.0.1:9"], "pass --bucket and --endpoint together"),
        (["--region", "cn-fake-1"], "--region needs --bucket and --endpoint"),
    ],
)
def test_arguments_that_do_not_fit(arguments: list[str], message: str) -> None:
    done = run_command(*arguments, **{ENDPOINT: "http://127.0.0.1:9"})
    assert done.returncode == 2
    assert message in done.stderr


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    with FakeMetadataServer() as server:
        missing = str(tmp_path / "missing" / "report.json")
        done = run_command("--report", missing, HOME=str(tmp_path), **server.environment)
    assert done.returncode == 2
    assert f"cannot write the report to {missing}: No such file or directory." in done.stderr


def test_the_base_install_is_enough(tmp_path: Path) -> None:
    """Nothing is imported but the library, its two dependencies and theirs."""
    script = """
import json, sys
from importlib.metadata import packages_distributions
from ecs_role_creds.cli import main
status = main(["doctor", "--report", sys.argv[1]])
owners = packages_distributions()
imported = {name.partition(".")[0] for name in sys.modules}
print(json.dumps([owner for name in imported for owner in owners.get(name, ())]), file=sys.stderr)
raise SystemExit(status)
"""
    with FakeMetadataServer() as server:
        done = subprocess.run(
            [sys.executable, "-I", "-c", script, str(tmp_path / "report.json")],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={"HOME": str(tmp_path), "PATH": "", **server.environment},
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(json.loads(done.stderr.splitlines()[-1])) <= {
        *("ecs-role-creds", "requests", "cachetools"),
        *("urllib3", "idna", "certifi", "charset-normalizer", "chardet", "PySocks"),
        "setuptools",  # its .pth file imports it in every process
        "backports.tarfile",  # shares a namespace with backports.zstd, which urllib3 looks for
    }
