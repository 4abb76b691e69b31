"""``ecs-role-creds role`` against a fake RAM and ECS, with the real SDKs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.roles import changing_calls, connect, manage

from ecs_role_creds.cli import main
from ecs_role_creds.roles import RoleManager
from ecs_role_creds.roles.sentences import SENTENCES, explain
from ecs_role_creds.testing import FakeMetadataServer, FakeOpenApi

INSTANCE = "i-fake0000000000000001"
SETUP = ["setup", "app", "--bucket", "pictures", "--read", "--instance", INSTANCE]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeOpenApi]:
    with FakeOpenApi() as fake:
        monkeypatch.setenv("HOME", str(tmp_path))
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake


@pytest.fixture
def role(fake: FakeOpenApi, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*argv: str) -> tuple[int, str, str]:
        endpoints = ["--ram-endpoint", fake.endpoint, "--ecs-endpoint", fake.endpoint]
        status = main(["role", *argv, *endpoints])
        printed = capsys.readouterr()
        assert "fake-secret" not in printed.out + printed.err
        assert "fake-security-token" not in printed.out + printed.err
        return status, printed.out, printed.err

    return run


def test_the_whole_guide(role: Run, fake: FakeOpenApi) -> None:
    with FakeMetadataServer(role=None) as metadata:
        fake.add_instance(metadata=metadata)
        status, out, _ = role(*SETUP, "--dry-run")
        assert status == 0
        for told in (
            "1. CreateRole: create role app",
            '"Service": ["ecs.aliyuncs.com"]',
            "2. CreatePolicy: ",
            '"acs:oss:*:*:pictures/*"',
            "3. AttachPolicyToRole: ",
            "5. AttachInstanceRamRole: attach role app to the instances",
        ):
            assert told in out
        assert changing_calls(fake) == []
        status, out, err = role(*SETUP, "--debug")
        assert (status, metadata.role) == (0, "app")
        assert f"{INSTANCE}: done" in out
        assert "AttachInstanceRamRole" in err
        made = len(changing_calls(fake))
        status, out, _ = role(*SETUP)
        assert (status, out.startswith("unchanged: ")) == (0, True)
        assert role("show", "app")[1].endswith(f"instances in this region: {INSTANCE}\n")
        assert "app" in role("show", INSTANCE)[1]
        assert "setup for app" in role("list")[1]
        assert len(changing_calls(fake)) == made
        status, out, err = role("teardown", "app")
        assert (status, metadata.role) == (1, "app")
        assert "Pass --yes" in err
        assert role("teardown", "app", "--yes")[0] == 0
        assert metadata.role is None
        assert not fake.roles
        assert not fake.instances[INSTANCE].tags
        status, out, _ = role("teardown", "app", "--yes")
        assert (status, out) == (0, "unchanged: role app does not exist\n")


def test_where_nothing_listens_it_says_so_soon(
    fake: FakeOpenApi, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = "http://127.0.0.1:9"
    assert main(["role", "show", "app", "--ram-endpoint", dead, "--ecs-endpoint", dead]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("ecs-role-creds role: No response to GetRole (role app): ")
    assert "Connection refused" in printed.err
    assert "Check the network" in printed.err


def test_json(role: Run, fake: FakeOpenApi) -> None:
    fake.add_instance()
    status, out, _ = role(*SETUP, "--json")
    shown = json.loads(out)
    assert status == 0
    assert shown["steps"][0]["api"] == "CreateRole"
    assert shown["outcome"]["instances"] == [INSTANCE]
    assert json.loads(role(*SETUP, "--json")[1])["is_unchanged"]
    [policy] = json.loads(role("show", "app", "--json")[1])["policies"]
    assert policy["document"]["Statement"][0]["Action"] == ["oss:GetObject"]
    assert json.loads(role("show", "--json")[1])["instances"][0]["role"] == "app"
    assert json.loads(role("list", "--json")[1])["roles"][0]["name"] == "app"
    status, out, err = role("detach", INSTANCE, "--json")
    assert (status, out) == (1, "")
    assert "needs confirmation" in err


def test_what_differs_is_shown_and_left_alone(role: Run, fake: FakeOpenApi) -> None:
    fake.add_instance()
    assert role(*SETUP)[0] == 0
    made = changing_calls(fake)
    status, out, _ = role(*SETUP, "--write")
    assert status == 1
    assert "differs: policy app-pictures-" in out
    assert '-         {"Effect": "Allow", "Action": ["oss:GetObject"]' in out
    assert "pass --replace" in out
    assert "Nothing was changed." in out
    assert changing_calls(fake) == made
    assert role(*SETUP, "--write", "--replace", "--yes")[0] == 0
    assert role(*SETUP, "--write")[0] == 0


def test_grants(role: Run, fake: FakeOpenApi, tmp_path: Path) -> None:
    document = tmp_path / "send-logs.json"
    content = {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Action": "log:Post*", "Resource": "*"}],
    }
    document.write_text(json.dumps(content), encoding="utf-8")
    assert role("create", "app")[0] == 0
    bucket = ["--bucket", "pictures", "--prefix", "photos/"]
    grants = (
        [*bucket, "--read", "--list"],
        ["--policy", "AliyunOSSReadOnlyAccess"],
        ["--policy-document", str(document)],
        ["--policy-document", str(document), "--policy", "logs"],
    )
    for grant in grants:
        assert role("grant", "app", *grant)[0] == 0
        assert role("grant", "app", *grant)[1].startswith("unchanged: ")
    names = [name for _, name in fake.roles["app"].policies]
    assert names[1:] == ["AliyunOSSReadOnlyAccess", "app-send-logs", "logs"]
    assert fake.allows("app", "log:PostLogStoreLogs", "acs:log:*:*:project/p")
    assert fake.allows("app", "oss:GetObject", "acs:oss:*:*:pictures/photos/cat.png")
    revokes = (
        bucket,
        ["--policy", "AliyunOSSReadOnlyAccess"],
        ["--policy", "app-send-logs", "--type", "Custom"],
        ["--policy", "logs", "--type", "Custom"],
    )
    for revoke in revokes:
        assert role("revoke", "app", *revoke, "--yes")[0] == 0
        assert role("revoke", "app", *revoke)[1].startswith("unchanged: ")
    assert not fake.roles["app"].policies
    assert not [name for type, name in fake.policies if type == "Custom"]
    assert role("delete", "app", "--yes")[0] == 0


def test_a_revoke_that_changes_nothing_says_why(role: Run, fake: FakeOpenApi) -> None:
    fake.add_instance()
    assert role(*SETUP)[0] == 0
    [(_, by_setup)] = fake.roles["app"].policies
    status, out, _ = role("revoke", "app", "--bucket", "pictures")
    assert status == 0
    assert f"kept: policy {by_setup}: `role setup` created it" in out
    assert "Nothing to do." in out
    out = role("revoke", "app", "--policy", by_setup)[1]  # the default type is System
    assert out.endswith("but one of the type Custom: pass --type Custom\n")
    assert role("revoke", "app", "--policy", by_setup, "--type", "Custom", "--yes")[0] == 0
    assert not fake.roles["app"].policies


def test_change_and_harden(role: Run, fake: FakeOpenApi) -> None:
    with FakeMetadataServer(role=None) as metadata:
        fake.add_instance(metadata=metadata)
        for name in ("old", "new"):
            assert role("create", name)[0] == 0
        assert role("attach", "old", INSTANCE)[0] == 0
        status, out, _ = role("attach", "new", INSTANCE)
        assert status == 1
        assert "already has another role" in out
        assert role("change", "new", INSTANCE)[0] == 1  # not confirmed
        status, out, _ = role("change", "new", INSTANCE, "--yes")
        assert (status, metadata.role) == (0, "new")
        assert "DetachInstanceRamRole, AttachInstanceRamRole: change the role from old" in out
        assert role("harden", INSTANCE, "--yes")[0] == 0
        assert metadata.mode == "hardening-only"
        assert (
            role("harden", INSTANCE)[1]
            == f"unchanged: instance {INSTANCE} requires the security hardening mode\n"
        )
        status, out, _ = role("delete", "new", "--yes")
        assert status == 1
        assert f"role detach {INSTANCE}" in out
        assert role("detach", INSTANCE, "--yes")[0] == 0
        assert metadata.role is None


def test_an_instance_that_cannot_have_the_new_role_keeps_the_old_one(
    role: Run, fake: FakeOpenApi
) -> None:
    for name in ("i-1", "i-2"):
        fake.add_instance(name)
    for name in ("old", "new"):
        role("create", name)
    role("attach", "old", "i-1", "i-2")
    fake.fail("AttachInstanceRamRole", "InvalidUser.PassRoleForbidden", instances=["i-2"])
    status, out, _ = role("change", "new", "i-1", "i-2", "--yes")
    assert status == 1
    assert (fake.instances["i-1"].role, fake.instances["i-2"].role) == ("new", "old")
    assert "ram:PassRole" in out
    assert "The old role old was attached again." in out
    fake.forbidden.add("ram:PassRole")  # now of the whole call
    status, out, _ = role("change", "new", "i-2", "--yes")
    assert (status, fake.instances["i-2"].role) == (1, "old")


@pytest.mark.parametrize("lost", [0, 1])
def test_an_answer_that_is_lost_changes_nothing(fake: FakeOpenApi, lost: int) -> None:
    fake.add_instance("i-1")
    manager = manage(fake)
    for name in ("old", "new"):
        manager.apply(manager.plan_create(name))
    plan = manager.plan_attach("old", ["i-1"])
    fake.lose_answers(1, "AttachInstanceRamRole")
    assert manager.apply(plan).instances == ("i-1",)
    plan = manager.plan_change("new", ["i-1"])
    fake.lose_answers(1, ["DetachInstanceRamRole", "AttachInstanceRamRole"][lost])
    outcome = manager.apply(plan)
    assert (outcome.instances, outcome.failures) == (("i-1",), ())
    assert fake.instances["i-1"].role == "new"


@pytest.mark.parametrize("api", ["DetachInstanceRamRole", "AttachInstanceRamRole"])
def test_a_call_that_never_arrived_is_a_failure(fake: FakeOpenApi, api: str) -> None:
    fake.add_instance("i-1")
    manager = manage(fake)
    for name in ("old", "new"):
        manager.apply(manager.plan_create(name))
    manager.apply(manager.plan_attach("old", ["i-1"]))
    plan = manager.plan_change("new", ["i-1"])
    fake.drop_calls(1, api)
    [failure] = manager.apply(plan).failures
    assert failure.code == "NoAnswer"
    assert fake.instances["i-1"].role == "old"


def test_an_instance_left_without_a_role_is_told(role: Run, fake: FakeOpenApi) -> None:
    fake.add_instance("i-1")
    for name in ("old", "new"):
        role("create", name)
    role("attach", "old", "i-1")
    fake.fail("AttachInstanceRamRole", "InternalError", instances=["i-1"], times=2)
    status, out, _ = role("change", "new", "i-1", "--yes")
    assert (status, fake.instances["i-1"].role) == (1, None)
    assert "has no role now. Run `role attach old i-1`" in out


def test_1000_instances(fake: FakeOpenApi, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [f"i-{number:04}" for number in range(1000)]
    for one in ids:
        fake.add_instance(one)
    waits: list[float] = []
    manager = manage(fake, waits)
    manager.apply(manager.plan_create("app"))
    plan = manager.plan_attach("app", ids)
    begun = len(fake.calls)
    fake.throttle(3, "AttachInstanceRamRole")
    broken = {"InternalError": "i-0042", "InvalidNetworkType.MismatchRamRole": "i-0999"}
    for code, one in broken.items():
        fake.fail("AttachInstanceRamRole", code, instances=[one])
    progress: list[tuple[int, int]] = []
    outcome = manager.apply(plan, lambda news: progress.append((news.done, news.total)))
    assert {one.code: one.subject for one in outcome.failures} == broken
    assert len(outcome.instances) == 998
    assert not outcome.is_complete
    attached = [one for one in fake.calls[begun:] if one.api == "AttachInstanceRamRole"]
    assert [one.code for one in attached[:3]] == ["Throttling.User"] * 3
    assert len(attached) == 13
    assert all(len(json.loads(one.parameters["InstanceIds"])) == 100 for one in attached)
    assert waits == [1.0, 2.0, 4.0]
    assert progress == [(done, 1000) for done in range(0, 1001, 100)]
    without = {one for one in ids if fake.instances[one].role is None}
    assert without == set(broken.values())


def test_1000_instances_by_the_command(role: Run, fake: FakeOpenApi) -> None:
    ids = [f"i-{number:04}" for number in range(1000)]
    for one in ids:
        fake.add_instance(one)
    role("create", "app")
    fake.fail("AttachInstanceRamRole", "InternalError", instances=["i-0042", "i-0777"])
    status, out, err = role("attach", "app", *ids)
    assert status == 1
    assert "998 of 1000 instances done." in out
    assert "2 failed:" in out
    assert "i-0777  InternalError  The service returned an internal error (instance i-0777)" in out
    assert "AttachInstanceRamRole: 500 of 1000 instances" in err.splitlines()
    status, out, err = role("attach", "app", *ids)
    assert (status, len(fake.calls[-1].parameters["InstanceIds"])) == (0, 20)


def test_a_whole_call_that_fails_for_one_instance_stops_no_other(fake: FakeOpenApi) -> None:
    ids = [f"i-{number}" for number in range(9)]
    for one in ids:
        fake.add_instance(one)
    manager = manage(fake)
    manager.apply(manager.plan_create("app"))
    plan = manager.plan_attach("app", ids)
    del fake.instances["i-5"]  # since the plan was made; the service then refuses the whole call
    outcome = manager.apply(plan)
    assert [one.subject for one in outcome.failures] == ["i-5"]
    assert "i-5 was not found" in outcome.failures[0].message
    assert len(outcome.instances) == 8


def test_what_fails_for_all_is_not_tried_for_each(fake: FakeOpenApi) -> None:
    ids = [f"i-{number}" for number in range(300)]
    for one in ids:
        fake.add_instance(one)
    manager = manage(fake)
    manager.apply(manager.plan_create("app"))
    plan = manager.plan_attach("app", ids)
    fake.forbidden.add("ram:PassRole")
    begun = len(fake.calls)
    outcome = manager.apply(plan)
    assert len(fake.calls) == begun + 1
    assert len(outcome.failures) == 300
    assert "i-299" in outcome.failures[-1].message


def test_an_instance_that_cannot_be_hardened_stops_no_other(fake: FakeOpenApi) -> None:
    ids = ["i-1", "i-2", "i-3"]
    for one in ids:
        fake.add_instance(one)
    manager = manage(fake)
    code = "InvalidHttpTokens.NotSupported"
    fake.fail("ModifyInstanceMetadataOptions", code, instances=["i-1"])
    outcome = manager.apply(manager.plan_harden(ids))
    assert [one.subject for one in outcome.failures] == ["i-1"]
    assert [fake.instances[one].is_hardened for one in ids] == [False, True, True]


def test_an_instance_that_has_gone_stops_no_tag(fake: FakeOpenApi) -> None:
    ids = ["i-1", "i-2", "i-3"]
    for one in ids:
        fake.add_instance(one)
    manager = manage(fake)
    plan = manager.plan_setup("app", "pictures", ["read"], ids)
    del fake.instances["i-2"]
    outcome = manager.apply(plan)
    assert [one.subject for one in outcome.failures] == ["i-2"]
    assert outcome.instances == ("i-1", "i-3")
    assert fake.instances["i-3"].role == "app"


def test_teardown_of_more_instances_than_a_page_has(fake: FakeOpenApi) -> None:
    ids = [f"i-{number}" for number in range(120)]
    for one in ids:
        fake.add_instance(one)
    manager = manage(fake)
    assert manager.apply(manager.plan_setup("app", "pictures", ["read"], ids)).is_complete
    assert len(manager.show_instances()) == 120
    fake.fail("DetachInstanceRamRole", "IncorrectInstanceStatus", instances=["i-7"])
    outcome = manager.apply(manager.plan_teardown("app"))
    # The role stays as long as an instance has it.
    assert [one.subject for one in outcome.failures] == ["i-7"]
    assert outcome.skipped[-1].startswith("delete role app")
    assert "app" in fake.roles
    assert fake.instances["i-7"].tags
    assert manager.apply(manager.plan_teardown("app")).is_complete
    assert not fake.roles
    assert not any(one.tags or one.role for one in fake.instances.values())


def test_teardown_keeps_what_setup_did_not_make(role: Run, fake: FakeOpenApi) -> None:
    for one in ("i-1", "i-2"):
        fake.add_instance(one)
    role("setup", "app", "--bucket", "pictures", "--read", "--instance", "i-1")
    role("attach", "app", "i-2")
    status, out, _ = role("teardown", "app", "--yes", "--instance", "i-1", "i-2")
    assert status == 0
    assert "the role of instance i-2: `role setup` did not attach it" in out
    assert "role app and its policies: still attached to i-2" in out
    assert (fake.instances["i-1"].role, fake.instances["i-2"].role) == (None, "app")
    role("detach", "i-2", "--yes")
    role("grant", "app", "--policy", "AliyunOSSReadOnlyAccess")
    out = role("teardown", "app", "--yes")[1]
    assert "kept: role app: it has other policies (AliyunOSSReadOnlyAccess)" in out
    role("delete", "app", "--yes")
    role("create", "app")
    role("setup", "app", "--bucket", "pictures", "--read", "--instance", "i-1")
    out = role("teardown", "app", "--yes")[1]
    assert "kept: role app: `role setup` did not create it" in out
    assert list(fake.roles) == ["app"]
    assert not fake.roles["app"].policies


def test_a_policy_that_does_not_exist(role: Run, fake: FakeOpenApi) -> None:
    role("create", "app")
    status, out, _ = role("grant", "app", "--policy", "AliyunOSSReadOnly")
    assert status == 1
    assert "The policy does not exist (policy AliyunOSSReadOnly of the type System)" in out
    status, _, err = role("show", "none")
    assert status == 1
    assert "role none does not exist" in err
    assert "not found" in role("show", "i-0")[1]


def test_what_somebody_else_has_done_meanwhile_is_done(fake: FakeOpenApi) -> None:
    manager = manage(fake)
    manager.apply(manager.plan_create("app"))
    grant = manager.plan_grant_policy("app", "AliyunOSSReadOnlyAccess")
    assert manager.apply(grant).is_complete
    assert manager.apply(grant).is_complete
    delete = manager.plan_delete("app")
    assert manager.apply(delete).is_complete
    assert manager.apply(delete).is_complete
    assert not fake.roles


def test_a_role_that_ecs_does_not_know_yet_is_waited_for(fake: FakeOpenApi) -> None:
    fake.add_instance()
    waits: list[float] = []
    manager = manage(fake, waits)
    plan = manager.plan_setup("app", "pictures", ["read"], [INSTANCE])
    fake.fail("AttachInstanceRamRole", "InvalidRamRole.NotFound", status=404, times=2)
    assert manager.apply(plan).is_complete
    assert waits == [1.0, 2.0]


def test_an_instance_that_is_throttled_alone_is_tried_again(fake: FakeOpenApi) -> None:
    for one in ("i-1", "i-2", "i-3"):
        fake.add_instance(one)
    waits: list[float] = []
    manager = manage(fake, waits)
    manager.apply(manager.plan_create("app"))
    plan = manager.plan_attach("app", ["i-1", "i-2", "i-3"])
    fake.fail("AttachInstanceRamRole", "Throttling.User", instances=["i-2"], times=2)
    fake.fail("AttachInstanceRamRole", "InternalError", instances=["i-3"])
    outcome = manager.apply(plan)
    assert [one.subject for one in outcome.failures] == ["i-3"]
    assert outcome.instances == ("i-1", "i-2")
    assert waits == [1.0, 2.0]
    asked = [json.loads(one.parameters["InstanceIds"]) for one in fake.calls[-2:]]
    assert asked == [["i-2"], ["i-2"]]


def test_stops_at_a_failure_in_ram(role: Run, fake: FakeOpenApi) -> None:
    fake.add_instance()
    fake.fail("AttachPolicyToRole", "LimitExceeded.Role.Policy", status=409)
    status, out, _ = role(*SETUP)
    assert status == 1
    assert "The role has reached the maximum number of policies" in out
    assert "skipped because an earlier step failed: attach role app to the instances" in out
    assert fake.instances[INSTANCE].role is None
    assert role(*SETUP)[0] == 0
    assert fake.instances[INSTANCE].role == "app"


RAM_CODES = sorted(
    code
    for code in SENTENCES
    if not code.startswith(("InvalidN", "InvalidI", "InvalidH", "InvalidRamRole", "InvalidRes"))
    and code not in ("NoAnswer", "NoCredentials", "InstanceHasRole")
)


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_each_code_has_its_sentence(code: str, fake: FakeOpenApi) -> None:
    fake.add_instance()
    manager = manage(fake)
    manager.apply(manager.plan_create("app"))
    if code in RAM_CODES:
        plan = manager.plan_grant_bucket("app", "pictures", ["read"])
        api, subject = "CreatePolicy", plan.steps[0].purpose.removeprefix("create ")
    else:
        plan = manager.plan_attach("app", [INSTANCE])
        api, subject = "AttachInstanceRamRole", f"instance {INSTANCE}"
    # As often as it is tried: throttled calls are.
    fake.fail(api, code, status=403, message="Details.", times=5)
    [failure] = manager.apply(plan).failures
    assert failure.code == code
    assert failure.message == explain(code, api=api, subject=subject, message="Details.")
    assert "failed with the code" not in failure.message
    assert "{" not in failure.message
    # It says what it is about, and something to do.
    assert subject.lower() in failure.message.lower() or api in failure.message
    assert len(failure.message.split()) > 8


def test_the_guides_limits_in_words(role: Run, fake: FakeOpenApi) -> None:
    fake.add_instance("i-classic", network_type="classic")
    fake.add_instance("i-1")
    role("create", "app")
    assert "i-classic is not in a VPC" in role("attach", "app", "i-classic")[1]
    assert "i-0 was not found" in role("attach", "app", "i-0")[1]
    assert "The role does not exist (role none)" in role("attach", "none", "i-1")[1]
    fake.roles["app"].trust_policy = {"Version": "1", "Statement": []}
    assert "its trust policy does not name ECS" in role("attach", "app", "i-1")[1]
    status, out, _ = role("create", "app")
    assert status == 1
    assert "differs: the trust policy of role app" in out
    assert role("create", "app", "--replace", "--yes")[0] == 0
    fake.forbidden.add("ram:PassRole")
    assert "You need the permission ram:PassRole" in role("attach", "app", "i-1")[1]
    fake.forbidden.add("ram:GetRole")
    status, out, err = role("attach", "app", "i-1")
    assert status == 1
    assert "You are not allowed to call GetRole (role app)" in err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["attach", "app", "bp1example"], "'bp1example' is not an instance id"),
        (["attach", "acs:ram::1:role/app", "i-1"], "is an ARN; pass the name"),
        (["create", "a_b"], "invalid role name 'a_b'"),
        (["grant", "app"], "pass --bucket, --policy or --policy-document"),
        (["grant", "app", "--bucket", "pictures"], "one or more of --read, --list, --write"),
        (["grant", "app", "--read"], "--read, --list, --write and --prefix need --bucket"),
        (["grant", "app", "--bucket", "b", "--policy", "p"], "cannot be combined with --policy"),
        (["grant", "app", "--bucket", "P", "--read"], "invalid bucket name 'P'"),
        (["grant", "app", "--policy-document", "none.json"], "cannot read none.json"),
        (["grant", "app", "--policy", "a b"], "invalid policy name 'a b'"),
        (["revoke", "app"], "pass either --bucket or --policy"),
        (["show", "app", "other"], "pass the name of one role"),
        (["show", "app", "i-1"], "not both"),
    ],
)
def test_says_what_cannot_be_typed(role: Run, argv: list[str], told: str) -> None:
    status, out, err = role(*argv)
    assert (status, out) == (2, "")
    assert told in err


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("http://ram.example.com", "plain http is allowed on loopback only"),
        ("ftp://127.0.0.1", "pass https://HOST"),
        ("https://ram.example.com/path", "pass https://HOST"),
    ],
)
def test_endpoints(
    endpoint: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["role", "list", "--ram-endpoint", endpoint]) == 2
    assert told in capsys.readouterr().err
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com")
    assert main(["role", "list", "--ram-endpoint", "http://127.0.0.1:1"]) == 2
    assert "Unset HTTP_PROXY" in capsys.readouterr().err


def test_needs_a_region_for_instances_only(
    role: Run, fake: FakeOpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALIBABA_CLOUD_REGION_ID")
    assert role("create", "app")[0] == 0
    status, _, err = role("attach", "app", "i-1")
    assert status == 2
    assert "no region is set: pass --region" in err
    fake.add_instance("i-1")
    assert role("attach", "app", "i-1", "--region", "cn-fake-1")[0] == 0


def test_no_credentials(fake: FakeOpenApi, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ecs_role_creds", "role", "list", "--ram-endpoint", fake.endpoint],
        env={"HOME": str(tmp_path), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "No credentials to call ListRoles with" in done.stderr
    assert "--as-instance" in done.stderr
    assert fake.calls == []


def test_as_the_instance(role: Run, fake: FakeOpenApi, ecs_metadata: FakeMetadataServer) -> None:
    fake.add_instance(metadata=ecs_metadata)
    manager = manage(fake)
    manager.apply(manager.plan_create("app-role"))
    status, _, err = role("list", "--as-instance")
    assert status == 1
    assert "not allowed to call ListRoles" in err
    manager.apply(manager.plan_grant_policy("app-role", "AliyunRAMFullAccess"))
    assert role("list", "--as-instance", "--debug")[0] == 0
    assert fake.calls[-1].role == "app-role"


def test_the_sdks_own_debugging_is_switched_off(role: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "sdk")
    status, out, err = role("list")
    assert status == 0
    assert "DEBUG=sdk is ignored" in err
    assert "authorization" not in (out + err).lower()


@pytest.mark.parametrize(("answer", "status"), [("yes", 0), ("", 1)])
def test_asks_on_a_terminal(fake: FakeOpenApi, answer: str, status: int) -> None:
    fake.add_instance("i-1")
    manager = manage(fake)
    manager.apply(manager.plan_create("app"))
    manager.apply(manager.plan_attach("app", ["i-1"]))
    ours, theirs = pty.openpty()
    endpoints = ["--ram-endpoint", fake.endpoint, "--ecs-endpoint", fake.endpoint]
    command = [sys.executable, "-m", "ecs_role_creds", "role", "detach", "i-1", *endpoints]
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **fake.environment},
    ) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        _, err = process.communicate(timeout=300)
    os.close(ours)
    assert "Continue? [y/N]" in err
    assert process.returncode == status
    assert (fake.instances["i-1"].role is None) == (status == 0)


def test_an_interrupted_change_leaves_no_instance_without_a_role(fake: FakeOpenApi) -> None:
    fake.add_instance("i-1")
    manager = manage(fake)
    for name in ("old", "new"):
        manager.apply(manager.plan_create(name))
    manager.apply(manager.plan_attach("old", ["i-1"]))

    class Interrupted:
        region = "cn-fake-1"

        def __init__(self, api: Any) -> None:
            self.api = api

        def call(self, api: str, parameters: Any) -> Any:
            if api == "AttachInstanceRamRole" and parameters["RamRoleName"] == "new":
                raise KeyboardInterrupt
            return self.api.call(api, parameters)

    interrupted = RoleManager(Interrupted(connect(fake)))
    with pytest.raises(KeyboardInterrupt):
        interrupted.apply(interrupted.plan_change("new", ["i-1"]))
    assert fake.instances["i-1"].role == "old"


def test_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "alibabacloud_credentials.client", None)
    assert main(["role", "list"]) == 2
    assert "pip install 'ecs-role-creds[roles]'" in capsys.readouterr().err


DOCS = Path(__file__).parents[2] / "docs"


def shown_in(page: str, command: str) -> str:
    """What a page shows under a command."""
    text = (DOCS / page).read_text(encoding="utf-8").replace(" \\\n    ", " ")
    return text.split(f"$ ecs-role-creds {command}\n", 1)[1].split("```", 1)[0]


def test_the_tutorial_shows_what_is_printed(role: Run, fake: FakeOpenApi) -> None:
    fake.add_instance("i-bp1example", region_id="cn-hangzhou")
    command = (
        "role setup example-role --bucket example-bucket --read --list "
        "--instance i-bp1example --region cn-hangzhou --dry-run"
    )
    assert role(*command.split()[1:])[1] == shown_in("tutorial/on-an-instance.md", command)


def test_the_guide_to_a_change_shows_what_is_printed(role: Run, fake: FakeOpenApi) -> None:
    ids = ["i-bp1example", "i-bp2example"]
    for one in ids:
        fake.add_instance(one, region_id="cn-hangzhou")
    for name in ("old-role", "new-role"):
        role("create", name)
    role("attach", "old-role", *ids, "--region", "cn-hangzhou")
    command = "role change new-role i-bp1example i-bp2example --region cn-hangzhou"
    page = shown_in("how-to/change-the-role.md", command)
    asked = "This may remove access that applications use now. Continue? [y/N] y\n"
    assert asked in page
    assert role(*command.split()[1:], "--yes")[1] == page.replace(asked, "")
