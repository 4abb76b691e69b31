"""The fake RAM, as the real SDK sees it. Documented codes, limits and pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.roles import connect

from ecs_role_creds.roles import TRUST_POLICY, CallError, OpenApi
from ecs_role_creds.testing import FakeOpenApi
from ecs_role_creds.testing.openapi.ram import Limits

TRUST = json.dumps(TRUST_POLICY)
DOCUMENT = json.dumps(
    {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "oss:*", "Resource": "*"}]}
)


@pytest.fixture
def fake() -> Iterator[FakeOpenApi]:
    with FakeOpenApi(limits=Limits(roles=4, policies=3, policies_per_role=2)) as fake:
        yield fake


@pytest.fixture
def api(fake: FakeOpenApi) -> OpenApi:
    api = connect(fake)
    api.call("CreateRole", {"RoleName": "app", "AssumeRolePolicyDocument": TRUST})
    api.call("CreatePolicy", {"PolicyName": "mine", "PolicyDocument": DOCUMENT})
    return api


def code_of(api: OpenApi, name: str, **parameters: Any) -> tuple[int, str]:
    with pytest.raises(CallError) as caught:
        api.call(name, parameters)
    assert caught.value.request_id.startswith("FAKE")
    return caught.value.status, caught.value.code


CUSTOM = {"PolicyType": "Custom", "PolicyName": "mine"}
ROLE = {"RoleName": "app"}

REFUSALS: list[tuple[str, dict[str, Any], int, str]] = [
    ("GetRole", {"RoleName": "none"}, 404, "EntityNotExist.Role"),
    ("GetRole", {"RoleName": "a/b"}, 400, "InvalidParameter.RoleName.InvalidChars"),
    ("GetRole", {"RoleName": "a" * 65}, 400, "InvalidParameter.RoleName.Length"),
    (
        "CreateRole",
        {**ROLE, "AssumeRolePolicyDocument": TRUST},
        409,
        "EntityAlreadyExists.Role",
    ),
    (
        "CreateRole",
        {"RoleName": "b", "AssumeRolePolicyDocument": "{}"},
        400,
        "MalformedPolicyDocument",
    ),
    (
        "CreateRole",
        {"RoleName": "b", "AssumeRolePolicyDocument": TRUST, "Description": "d" * 1025},
        400,
        "InvalidParameter.Description.Length",
    ),
    (
        "CreatePolicy",
        {"PolicyName": "mine", "PolicyDocument": DOCUMENT},
        409,
        "EntityAlreadyExists.Policy",
    ),
    (
        "CreatePolicy",
        {"PolicyName": "a.b", "PolicyDocument": DOCUMENT},
        400,
        "InvalidParameter.PolicyName.InvalidChars",
    ),
    (
        "CreatePolicy",
        {"PolicyName": "a" * 129, "PolicyDocument": DOCUMENT},
        400,
        "InvalidParameter.PolicyName.Length",
    ),
    (
        "CreatePolicy",
        {"PolicyName": "b", "PolicyDocument": DOCUMENT + " " * 6144},
        400,
        "InvalidParameter.PolicyDocument.Length",
    ),
    (
        "CreatePolicy",
        {"PolicyName": "b", "PolicyDocument": "no"},
        400,
        "MalformedPolicyDocument",
    ),
    ("GetPolicy", {**CUSTOM, "PolicyType": "Own"}, 400, "InvalidParameter.PolicyType"),
    ("GetPolicy", {**CUSTOM, "PolicyType": "System"}, 404, "EntityNotExist.Policy"),
    ("AttachPolicyToRole", {**CUSTOM, "RoleName": "none"}, 404, "EntityNotExist.Role"),
    ("AttachPolicyToRole", {**CUSTOM, **ROLE, "PolicyName": "b"}, 404, "EntityNotExist.Policy"),
    ("DetachPolicyFromRole", {**CUSTOM, **ROLE}, 404, "EntityNotExist.Role.Policy"),
    ("DeleteRole", {"RoleName": "none"}, 404, "EntityNotExist.Role"),
    ("DeletePolicy", {"PolicyName": "none"}, 404, "EntityNotExist.Policy"),
    (
        "DeletePolicyVersion",
        {"PolicyName": "mine", "VersionId": "v9"},
        404,
        "EntityNotExist.Policy.Version",
    ),
    (
        "DeletePolicyVersion",
        {"PolicyName": "mine", "VersionId": "v1"},
        409,
        "DeleteConflict.Policy.Version.Default",
    ),
    (
        "DeletePolicyVersion",
        {"PolicyName": "mine", "VersionId": "1"},
        400,
        "InvalidParameter.VersionId.Format",
    ),
]


@pytest.mark.parametrize(
    ("name", "parameters", "status", "code"),
    [pytest.param(*one, id=f"{one[0]}-{one[3]}") for one in REFUSALS],
)
def test_refuses_with_the_documented_code(
    api: OpenApi, name: str, parameters: dict[str, Any], status: int, code: str
) -> None:
    assert code_of(api, name, **parameters) == (status, code)


def test_a_role_is_told_as_it_was_created(api: OpenApi) -> None:
    role = api.call("GetRole", ROLE)["Role"]
    assert json.loads(role["AssumeRolePolicyDocument"]) == TRUST_POLICY
    assert role["Arn"] == "acs:ram::1000000000000001:role/app"
    other = TRUST.replace("ecs", "fc")
    api.call("UpdateRole", {**ROLE, "NewAssumeRolePolicyDocument": other, "NewDescription": "d"})
    role = api.call("GetRole", ROLE)["Role"]
    assert (role["AssumeRolePolicyDocument"], role["Description"]) == (
        json.dumps(json.loads(other)),
        "d",
    )
    listed = api.call("ListRoles", {})["Roles"]["Role"]
    assert "AssumeRolePolicyDocument" not in listed[0]  # as documented


def test_attachments_and_what_they_prevent(api: OpenApi, fake: FakeOpenApi) -> None:
    api.call("AttachPolicyToRole", {**CUSTOM, **ROLE})
    already = (409, "EntityAlreadyExists.Role.Policy")
    assert code_of(api, "AttachPolicyToRole", **CUSTOM, **ROLE) == already
    [shown] = api.call("ListPoliciesForRole", ROLE)["Policies"]["Policy"]
    assert (shown["PolicyName"], shown["PolicyType"]) == ("mine", "Custom")
    assert api.call("GetPolicy", CUSTOM)["Policy"]["AttachmentCount"] == 1
    assert code_of(api, "DeleteRole", **ROLE) == (409, "DeleteConflict.Role.Policy")
    assert code_of(api, "DeletePolicy", PolicyName="mine") == (409, "DeleteConflict.Policy.Role")
    api.call("DetachPolicyFromRole", {**CUSTOM, **ROLE})
    fake.policies["Custom", "mine"].other_attachments = 1
    assert code_of(api, "DeletePolicy", PolicyName="mine") == (409, "DeleteConflict.Policy.User")
    fake.policies["Custom", "mine"].other_attachments = 0
    api.call("DeletePolicy", {"PolicyName": "mine"})
    api.call("DeleteRole", ROLE)
    assert not fake.roles


def test_versions(api: OpenApi) -> None:
    other = DOCUMENT.replace("oss:*", "ecs:*")
    version = {"PolicyName": "mine", "PolicyDocument": other}
    created = api.call("CreatePolicyVersion", version)["PolicyVersion"]
    assert (created["VersionId"], created["IsDefaultVersion"]) == ("v2", False)
    default = api.call("GetPolicy", CUSTOM)["DefaultPolicyVersion"]
    assert json.loads(default["PolicyDocument"]) == json.loads(DOCUMENT)
    api.call("CreatePolicyVersion", {**version, "SetAsDefault": True})
    default = api.call("GetPolicy", CUSTOM)["DefaultPolicyVersion"]
    assert json.loads(default["PolicyDocument"]) == json.loads(other)
    for _ in range(2):
        api.call("CreatePolicyVersion", version)
    limit = (409, "LimitExceeded.Policy.Version")
    assert code_of(api, "CreatePolicyVersion", **version) == limit
    conflict = (409, "DeleteConflict.Policy.Version")
    assert code_of(api, "DeletePolicy", PolicyName="mine") == conflict
    api.call("DeletePolicyVersion", {"PolicyName": "mine", "VersionId": "v1"})
    created = api.call("CreatePolicyVersion", version)["PolicyVersion"]
    assert created["VersionId"] == "v6"  # numbers are not used again
    listed = api.call("ListPolicyVersions", CUSTOM)["PolicyVersions"]["PolicyVersion"]
    assert [one["VersionId"] for one in listed] == ["v2", "v3", "v4", "v5", "v6"]


def test_limits(api: OpenApi) -> None:
    for name in ("b", "c", "d"):
        api.call("CreateRole", {"RoleName": name, "AssumeRolePolicyDocument": TRUST})
    parameters = {"RoleName": "e", "AssumeRolePolicyDocument": TRUST}
    assert code_of(api, "CreateRole", **parameters) == (409, "LimitExceeded.Role")
    for name in ("b", "c"):
        api.call("CreatePolicy", {"PolicyName": name, "PolicyDocument": DOCUMENT})
    parameters = {"PolicyName": "d", "PolicyDocument": DOCUMENT}
    assert code_of(api, "CreatePolicy", **parameters) == (409, "LimitExceeded.Policy")
    for name in ("b", "c"):
        api.call("AttachPolicyToRole", {**CUSTOM, **ROLE, "PolicyName": name})
    parameters = {**CUSTOM, **ROLE}
    assert code_of(api, "AttachPolicyToRole", **parameters) == (409, "LimitExceeded.Role.Policy")


def test_pages_of_roles(fake: FakeOpenApi, api: OpenApi) -> None:
    for name in ("b", "c"):
        api.call("CreateRole", {"RoleName": name, "AssumeRolePolicyDocument": TRUST})
    first = api.call("ListRoles", {"MaxItems": 2})
    assert [one["RoleName"] for one in first["Roles"]["Role"]] == ["app", "b"]
    assert first["IsTruncated"]
    second = api.call("ListRoles", {"MaxItems": 2, "Marker": first["Marker"]})
    assert [one["RoleName"] for one in second["Roles"]["Role"]] == ["c"]
    assert not second["IsTruncated"]


def test_policies_by_type(api: OpenApi) -> None:
    custom = api.call("ListPolicies", {"PolicyType": "Custom"})["Policies"]["Policy"]
    assert [one["PolicyName"] for one in custom] == ["mine"]
    every = api.call("ListPolicies", {})["Policies"]["Policy"]
    assert {"mine", "AliyunOSSReadOnlyAccess"} <= {one["PolicyName"] for one in every}


def test_allows_what_the_policies_in_force_allow(api: OpenApi, fake: FakeOpenApi) -> None:
    def allows(action: str) -> bool:
        return fake.allows("app", action, "acs:oss:*:*:bucket/key")

    assert not allows("oss:GetObject")
    assert not fake.allows("none", "oss:GetObject", "acs:oss:*:*:bucket/key")
    system = {"PolicyType": "System", "PolicyName": "AliyunOSSReadOnlyAccess"}
    api.call("AttachPolicyToRole", {**system, **ROLE})
    assert allows("oss:GetObject")
    assert not allows("oss:PutObject")
    api.call("AttachPolicyToRole", {**CUSTOM, **ROLE})
    assert allows("oss:PutObject")
    deny = DOCUMENT.replace("Allow", "Deny")
    version = {"PolicyName": "mine", "PolicyDocument": deny, "SetAsDefault": True}
    api.call("CreatePolicyVersion", version)
    assert not allows("oss:GetObject")
