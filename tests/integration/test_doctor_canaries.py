"""Secrets and account numbers are planted wherever doctor looks, and then looked for in all that
it prints and writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.doctor_run import diagnose, surroundings

from ecs_role_creds.cli.doctor.checks import run_checks
from ecs_role_creds.cli.doctor.known_places import KEY_FILES, KEY_VARIABLES
from ecs_role_creds.cli.doctor.observations import (
    BucketAnswer,
    Exchange,
    Finding,
    Leftover,
    Observations,
    Place,
)
from ecs_role_creds.cli.doctor.report import build_report, redact
from ecs_role_creds.errors import MalformedResponseError
from ecs_role_creds.testing import FakeMetadataServer, FakeOss

ACCOUNT = "1234567890123456"
# Put together here, so that no scanner takes this file for a leak.
KEY_ID = "LTAI" + "5tQz8WnR3bYk2LmVp7Xc"
KEY_SECRET = "Qw3rTy7uIoP1aSdF" + "9gHjK5lZxC2vBn"
PROXY = "http://user:proxy-password-canary@proxy.example:3128"
ISSUED = ("fake-secret-", "fake-security-token-", "fake-session-token-", "STS.FAKE")
PLANTED = (ACCOUNT, KEY_ID, KEY_SECRET, "proxy-password-canary", "variable-canary", *ISSUED)


def leaks(text: str) -> list[str]:
    return [planted for planted in PLANTED if planted in text]


def issued(server: FakeMetadataServer) -> dict[str, str]:
    one = server.rotate()
    return {
        "AccessKeyId": one.access_key_id,
        "AccessKeySecret": one.access_key_secret,
        "SecurityToken": one.security_token,
        "Expiration": "2099-01-01T00:00:00Z",
        "Code": "Success",
    }


SPOILS: dict[str, Callable[[FakeMetadataServer], object]] = {
    "well": lambda server: None,
    "no role": lambda server: server.detach(),
    "normal mode": lambda server: setattr(server, "mode", "normal-only"),
    "the document for the role's name": lambda server: server.answer(
        json.dumps(issued(server)), on="role"
    ),
    "the document for a session token": lambda server: server.answer(
        json.dumps(issued(server)), on="token"
    ),
    "half a document": lambda server: server.answer(json.dumps(issued(server))[:-9], on="document"),
    "the secret as the code": lambda server: server.answer(
        json.dumps({**issued(server), "Code": issued(server)["AccessKeySecret"]}), on="document"
    ),
    "the secret as the expiration": lambda server: server.answer(
        json.dumps({**issued(server), "Expiration": issued(server)["AccessKeySecret"]}),
        on="document",
    ),
    "the secret as a key": lambda server: server.answer(
        json.dumps({**issued(server), issued(server)["AccessKeySecret"]: 1}), on="document"
    ),
    "the secret in a header": lambda server: server.answer(
        json.dumps(issued(server)),
        headers={"X-Secret": issued(server)["AccessKeySecret"]},
        on="document",
    ),
    "an error page with the secret": lambda server: server.answer(
        json.dumps(issued(server)), status=500
    ),
    "a redirect with the secret": lambda server: server.answer(
        "", status=302, headers={"Location": f"http://a/{issued(server)['AccessKeySecret']}"}
    ),
}


def plant(place: Path) -> None:
    """A pair in every file that doctor looks at."""
    for file in KEY_FILES:
        path = place / ("home" if file.path.startswith("~") else "root") / file.path.lstrip("~/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[{ACCOUNT}]\naccess_key_id={KEY_ID}\naccess_key_secret={KEY_SECRET}\n")


ENVIRON = {
    **{name: "variable-canary" for variables in KEY_VARIABLES for name in variables.names},
    "ALIBABA_CLOUD_SECURITY_TOKEN": "variable-canary",
    "ALIBABA_CLOUD_ROLE_ARN": f"acs:ram::{ACCOUNT}:role/variable-canary",
    "HTTP_PROXY": PROXY,
    "DATABASE_PASSWORD": "variable-canary",
}


@pytest.mark.parametrize("name", SPOILS)
def test_nothing_printed_or_written_shows_a_secret(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    with FakeMetadataServer() as server, FakeOss(server, ["album"]) as oss:
        around = surroundings(tmp_path, server, ENVIRON)
        plant(tmp_path)
        SPOILS[name](server)
        oss_arguments = ["--bucket", "missing", "--endpoint", oss.endpoint]
        plain = diagnose(["--report", str(report), *oss_arguments], around)
        as_json = diagnose(["--json", *oss_arguments], around)
    printed = "".join(capfd.readouterr())
    written = report.read_text()
    assert "leftovers" in plain.text
    assert "the proxy in HTTP_PROXY" in as_json.text
    assert len(json.loads(written)["exchanges"]) >= 1
    for shown in (plain.text, as_json.text, written, printed):
        assert leaks(shown) == []


def test_the_report_tells_what_a_maintainer_needs(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    with FakeMetadataServer() as server:
        diagnose(["--report", str(report)], surroundings(tmp_path, server, ENVIRON))
    content = json.loads(report.read_text())
    assert content["versions"]["ecs-role-creds"]
    assert content["settings"]["endpoint"] == server_endpoint(content)
    assert "HTTP_PROXY" in content["variables_set"]
    assert "DATABASE_PASSWORD" not in content["variables_set"]
    assert [
        (one["purpose"], one["method"], one["path"], one["status"]) for one in content["exchanges"]
    ] == [
        ("session token", "PUT", "/latest/api/token", 200),
        ("normal mode", "GET", "/latest/meta-data/instance-id", 200),
        ("role name", "GET", "/latest/meta-data/ram/security-credentials/", 200),
        ("role document", "GET", "/latest/meta-data/ram/security-credentials/ROLE", 200),
    ]
    document = content["exchanges"][-1]
    assert document["seconds"] > 0
    assert "Date" in document["header_names"]
    assert "AccessKeySecret (41 characters)" in document["shape"]
    assert {one["check"] for one in content["findings"]} >= {"credentials", "clock", "role"}


def server_endpoint(content: dict[str, dict[str, str]]) -> str:
    endpoint = content["settings"]["endpoint"]
    assert endpoint.startswith("http://127.0.0.1:")
    return endpoint


# That secrets do not come through where a check, now or later, is careless.


def test_careless_findings_are_redacted() -> None:
    careless = f"{KEY_ID} {KEY_SECRET} {ACCOUNT} variable-canary STS.FAKE0001ABC {PROXY}"
    seen = Observations(
        ENVIRON,
        MalformedResponseError(careless),
        Place(careless),
        (Exchange("role name", "GET", careless, 0.1, 200, shape=careless, role_name=careless),),
        MalformedResponseError(careless),
        (Leftover(careless, careless),),
        BucketAnswer(careless, 403, careless, careless, careless, careless),
    )
    findings = [*run_checks(seen), ("careless", Finding("failed", careless, careless))]
    now = datetime(2030, 1, 1, tzinfo=timezone.utc)
    report = json.dumps(build_report(seen, findings, {"python": careless}, now))
    assert leaks(report) == []
    assert "careless" in report


NOISE = st.text(st.characters(exclude_categories=["L", "N", "Cs"], exclude_characters="+/_.-=@"))


@given(NOISE, NOISE)
def test_redaction_finds_secrets_amid_anything(before: str, after: str) -> None:
    text = f"{before}{KEY_ID}{after}{KEY_SECRET}{before}{ACCOUNT}{after}variable-canary"
    assert leaks(redact(text, {"variable-canary"})) == []


def test_redaction_leaves_the_rest() -> None:
    text = "The role app-role is attached; status 404; 2030-01-01T00:00:00Z"
    assert redact(text, {"variable-canary"}) == text


def test_the_search_finds_what_is_shown() -> None:
    assert leaks(f"x{KEY_ID}x{ACCOUNT} fake-secret-0001") == [ACCOUNT, KEY_ID, "fake-secret-"]
