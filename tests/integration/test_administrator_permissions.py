"""The documented permissions are enough for each command, and none of them is too many."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.roles import connect, manage

from ecs_role_creds.cli import main
from ecs_role_creds.roles import TRUST_POLICY
from ecs_role_creds.testing import FakeMetadataServer, FakeOpenApi

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "administrator-permissions.md"
DOCUMENTED: dict[str, dict[str, Any]] = {
    match[1]: json.loads(match[2])
    for match in re.finditer(
        r"^## `role (\w+)`\n.*?^```json\n(.*?)^```$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
}

ROLE, INSTANCE, MARKED = "example-role", "i-1", "i-marked"
BUCKET = ["--bucket", "example-bucket"]
# Every path through a command that takes a permission of its own.
COMMANDS: dict[str, list[list[str]]] = {
    "create": [["create", ROLE], ["create", ROLE, "--replace"]],
    "delete": [["delete", ROLE]],
    "grant": [
        ["grant", ROLE, *BUCKET, "--read"],
        ["grant", ROLE, *BUCKET, "--write", "--replace"],
        ["grant", ROLE, *BUCKET, "--list", "--replace"],
        ["grant", ROLE, *BUCKET, "--read", "--replace"],
        ["grant", ROLE, *BUCKET, "--write", "--replace"],
        ["grant", ROLE, *BUCKET, "--list", "--replace"],
    ],
    "revoke": [["revoke", ROLE, *BUCKET]],
    "attach": [["attach", ROLE, INSTANCE, MARKED]],
    "detach": [["detach", INSTANCE, MARKED]],
    "change": [["change", ROLE, INSTANCE, MARKED]],
    "harden": [["harden", INSTANCE]],
    "setup": [["setup", ROLE, *BUCKET, "--read", "--instance", INSTANCE]] * 2,
    "teardown": [["teardown", ROLE]],
    "show": [["show", ROLE], ["show", INSTANCE]],
    "list": [["list"]],
}


@pytest.fixture
def fake(ecs_metadata: FakeMetadataServer) -> Iterator[FakeOpenApi]:
    with FakeOpenApi() as fake:
        fake.add_instance("i-administrator", metadata=ecs_metadata)
        fake.add_instance(INSTANCE)
        fake.add_instance(MARKED, tags={"ecs-role-creds:setup": "old-role"})
        trust = {"AssumeRolePolicyDocument": json.dumps(TRUST_POLICY)}
        connect(fake).call("CreateRole", {"RoleName": "app-role", **trust})
        yield fake


def permit(fake: FakeOpenApi, document: dict[str, Any]) -> None:
    """Give the role that the command is run as these permissions."""
    api = connect(fake)
    policy = {"PolicyName": "permissions", "PolicyDocument": json.dumps(document)}
    api.call("CreatePolicy", policy)
    attached = {"PolicyName": "permissions", "PolicyType": "Custom", "RoleName": "app-role"}
    api.call("AttachPolicyToRole", attached)


def prepare(fake: FakeOpenApi, command: str) -> None:
    """What has to be there before the command, as an administrator would have made it."""
    manager = manage(fake)
    if command in ("delete", "grant", "revoke", "attach", "detach", "change", "show", "list"):
        manager.apply(manager.plan_create(ROLE))
    if command in ("delete", "revoke", "show"):
        for access in ("read", "write"):
            plan = manager.plan_grant_bucket(ROLE, "example-bucket", [access], replace=True)
            manager.apply(plan)
    if command in ("delete", "show"):
        manager.apply(manager.plan_grant_policy(ROLE, "AliyunOSSReadOnlyAccess"))
    if command == "detach":
        manager.apply(manager.plan_setup(ROLE, "example-bucket", ["read"], [INSTANCE, MARKED]))
    if command == "change":
        manager.apply(
            manager.plan_setup("old-role", "example-bucket", ["read"], [INSTANCE, MARKED])
        )
    if command == "teardown":
        for access in ("read", "write"):
            manager.apply(
                manager.plan_setup(ROLE, "example-bucket", [access], [INSTANCE], replace=True)
            )


def run(fake: FakeOpenApi, command: str) -> bool:
    """Whether the command works, run as the role of an instance."""
    endpoints = ["--ram-endpoint", fake.endpoint, "--ecs-endpoint", fake.endpoint]
    where = [*endpoints, "--region", "cn-fake-1", "--as-instance"]
    yes = [] if command in ("show", "list") else ["--yes"]
    for argv in COMMANDS[command]:
        if argv[0] == "create" and "--replace" in argv:
            fake.roles[ROLE].trust_policy = {"Version": "1", "Statement": []}
        if main(["role", *argv, *where, *yes]) != 0:
            return False
    return True


def test_every_command_is_documented() -> None:
    assert set(DOCUMENTED) == set(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_what_is_documented_is_enough(command: str, fake: FakeOpenApi) -> None:
    prepare(fake, command)
    document = DOCUMENTED[command]
    if command == "delete":  # the page says so of policies of the type System
        system = "acs:ram:*:system:policy/*"
        statement = document["Statement"][1]
        document = {
            **document,
            "Statement": [
                *document["Statement"],
                {**statement, "Resource": [*statement["Resource"], system]},
            ],
        }
    permit(fake, document)
    assert run(fake, command)


ONE_LESS = [
    pytest.param(command, number, action, id=f"{command}-{number}-{action}")
    for command, document in DOCUMENTED.items()
    for number, statement in enumerate(document["Statement"])
    for action in statement["Action"]
]


@pytest.mark.parametrize(("command", "number", "action"), ONE_LESS)
def test_nothing_can_be_left_out(command: str, number: int, action: str, fake: FakeOpenApi) -> None:
    prepare(fake, command)
    if command in ("delete", "show"):
        connect(fake).call(
            "DetachPolicyFromRole",
            {
                "PolicyName": "AliyunOSSReadOnlyAccess",
                "PolicyType": "System",
                "RoleName": ROLE,
            },
        )
    statements = json.loads(json.dumps(DOCUMENTED[command]["Statement"]))
    statements[number]["Action"].remove(action)
    statements = [one for one in statements if one["Action"]]
    permit(fake, {"Version": "1", "Statement": statements})
    assert not run(fake, command)
