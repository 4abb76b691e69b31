"""The fake ECS, as the real SDK sees it. Documented codes, limits, pages and partial results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.roles import connect

from ecs_role_creds.roles import TRUST_POLICY, CallError, OpenApi
from ecs_role_creds.testing import FakeMetadataServer, FakeOpenApi

TRUST = json.dumps(TRUST_POLICY)


@pytest.fixture
def fake() -> Iterator[FakeOpenApi]:
    with FakeOpenApi() as fake:
        fake.add_instance("i-1", tags={"team": "a"})
        fake.add_instance("i-2")
        fake.add_instance("i-classic", network_type="classic")
        fake.add_instance("i-far", region_id="cn-fake-2")
        yield fake


@pytest.fixture
def api(fake: FakeOpenApi) -> OpenApi:
    api = connect(fake)
    api.call("CreateRole", {"RoleName": "app", "AssumeRolePolicyDocument": TRUST})
    fc = TRUST.replace("ecs", "fc")
    api.call("CreateRole", {"RoleName": "for-fc", "AssumeRolePolicyDocument": fc})
    return api


def ids(*names: str) -> str:
    return json.dumps(names)


def attach(*names: str, role: str = "app") -> dict[str, str]:
    return {"InstanceIds": ids(*names), "RamRoleName": role}


def refusal(api: OpenApi, name: str, parameters: dict[str, Any]) -> tuple[int, str]:
    with pytest.raises(CallError) as caught:
        api.call(name, parameters)
    return caught.value.status, caught.value.code


METADATA = {"InstanceId": "i-1", "HttpEndpoint": "enabled", "HttpTokens": "required"}


@pytest.mark.parametrize(
    ("name", "parameters", "status", "code"),
    [
        ("AttachInstanceRamRole", attach(role="app"), 400, "InvalidInstanceIds.Malformed"),
        ("AttachInstanceRamRole", attach("x"), 400, "InvalidInstanceIds.Malformed"),
        (
            "AttachInstanceRamRole",
            attach(*(f"i-{number}" for number in range(101))),
            400,
            "InvalidInstanceIds.Malformed",
        ),
        ("AttachInstanceRamRole", attach("i-1", "i-0"), 404, "InvalidInstanceId.NotFound"),
        ("AttachInstanceRamRole", attach("i-far"), 404, "InvalidInstanceId.NotFound"),
        ("AttachInstanceRamRole", attach("i-1", role="none"), 404, "InvalidRamRole.NotFound"),
        ("AttachInstanceRamRole", attach("i-1", role="for-fc"), 404, "InvalidRamRole.NotEcsRole"),
        ("DetachInstanceRamRole", attach("i-0"), 404, "InvalidInstanceId.NotFound"),
        ("DescribeInstanceRamRole", {}, 400, "MissingParameter"),
        ("DescribeInstances", {"RegionId": "nowhere"}, 404, "InvalidRegionId.NotFound"),
        (
            "ModifyInstanceMetadataOptions",
            {**METADATA, "HttpEndpoint": "on"},
            400,
            "InvalidHttpEndpoint.NotSupported",
        ),
        (
            "ModifyInstanceMetadataOptions",
            {**METADATA, "HttpTokens": "on"},
            400,
            "InvalidHttpTokens.NotSupported",
        ),
        (
            "ModifyInstanceMetadataOptions",
            {**METADATA, "InstanceId": "i-0"},
            404,
            "InvalidInstanceId.NotFound",
        ),
        (
            "UntagResources",
            {"ResourceType": "instance", "ResourceId": ["i-0"], "TagKey": ["team"]},
            404,
            "InvalidResourceId.NotFound",
        ),
        (
            "TagResources",
            {
                "ResourceType": "instance",
                "ResourceId": ["i-1"],
                "Tag": [{"Key": f"k{number}", "Value": ""} for number in range(20)],
            },
            403,
            "NumberExceed.Tags",
        ),
    ],
)
def test_refuses_with_the_documented_code(
    api: OpenApi, name: str, parameters: dict[str, Any], status: int, code: str
) -> None:
    assert refusal(api, name, parameters) == (status, code)


def test_results_come_instance_by_instance(api: OpenApi, fake: FakeOpenApi) -> None:
    body = api.call("AttachInstanceRamRole", attach("i-1", "i-classic"))
    results = body["AttachInstanceRamRoleResults"]["AttachInstanceRamRoleResult"]
    assert {one["InstanceId"]: one["Code"] for one in results} == {
        "i-1": "200",
        "i-classic": "InvalidNetworkType.MismatchRamRole",
    }
    assert (body["TotalCount"], body["FailCount"]) == (2, 1)
    assert fake.instances["i-1"].role == "app"
    again = api.call("AttachInstanceRamRole", attach("i-1"))
    assert again["FailCount"] == 1  # an instance has one role
    held = api.call("DescribeInstanceRamRole", {"RamRoleName": "app"})
    assert [one["InstanceId"] for one in held["InstanceRamRoleSets"]["InstanceRamRoleSet"]] == [
        "i-1"
    ]
    assert api.call("DetachInstanceRamRole", attach("i-1", role="for-fc"))["FailCount"] == 1
    assert api.call("DetachInstanceRamRole", attach("i-1", "i-2"))["FailCount"] == 0
    assert fake.instances["i-1"].role is None


def test_an_instance_can_be_made_to_fail(api: OpenApi, fake: FakeOpenApi) -> None:
    fake.fail("AttachInstanceRamRole", "InternalError", instances=["i-2"], times=1)
    body = api.call("AttachInstanceRamRole", attach("i-1", "i-2"))
    assert body["FailCount"] == 1
    assert fake.instances["i-2"].role is None
    assert api.call("AttachInstanceRamRole", attach("i-2"))["FailCount"] == 0


def test_instances_with_their_tags_and_options(api: OpenApi, fake: FakeOpenApi) -> None:
    api.call("ModifyInstanceMetadataOptions", METADATA)
    resource = {"ResourceType": "instance", "ResourceId": ["i-1", "i-2"]}
    api.call("TagResources", {**resource, "Tag": [{"Key": "k", "Value": "v"}]})
    api.call("UntagResources", {**resource, "TagKey": ["team"]})
    found = api.call("DescribeInstances", {"InstanceIds": ids("i-1", "i-classic", "i-0")})
    one, classic = found["Instances"]["Instance"]
    assert one["MetadataOptions"]["HttpTokens"] == "required"
    assert one["Tags"]["Tag"] == [{"TagKey": "k", "TagValue": "v"}]
    assert (one["InstanceNetworkType"], classic["InstanceNetworkType"]) == ("vpc", "classic")
    tagged = api.call("DescribeInstances", {"Tag": [{"Key": "k", "Value": "v"}]})
    assert [each["InstanceId"] for each in tagged["Instances"]["Instance"]] == ["i-1", "i-2"]
    assert api.call("DescribeInstances", {"Tag": [{"Key": "k", "Value": "w"}]})["TotalCount"] == 0


def test_pages(api: OpenApi, fake: FakeOpenApi) -> None:
    for number in range(120):
        fake.add_instance(f"i-x{number}")
    assert len(api.call("DescribeInstances", {})["Instances"]["Instance"]) == 10
    last = api.call("DescribeInstances", {"PageSize": 100, "PageNumber": 2})
    assert (last["TotalCount"], len(last["Instances"]["Instance"])) == (123, 23)
    asked = {"InstanceIds": ids(*(f"i-x{number}" for number in range(100))), "PageSize": 100}
    page = api.call("DescribeInstanceRamRole", asked)
    assert len(page["InstanceRamRoleSets"]["InstanceRamRoleSet"]) == 50  # documented


def test_the_metadata_service_of_an_instance_follows(api: OpenApi, fake: FakeOpenApi) -> None:
    with FakeMetadataServer(role=None) as one, FakeMetadataServer(role="legacy") as other:
        fake.add_instance("i-a", metadata=one)
        fake.add_instance("i-b", metadata=other)
        assert fake.instances["i-b"].role == "legacy"
        api.call("AttachInstanceRamRole", attach("i-a"))
        assert (one.role, other.role) == ("app", "legacy")
        api.call("DetachInstanceRamRole", {"InstanceIds": ids("i-a", "i-b")})
        assert (one.role, other.role) == (None, None)
        api.call("ModifyInstanceMetadataOptions", {**METADATA, "InstanceId": "i-a"})
        assert (one.mode, other.mode) == ("hardening-only", "both")
        assert fake.instances["i-a"].is_hardened
        with pytest.raises(ValueError, match="'i-a' already"):
            fake.add_instance("i-a")
