"""Every call to the fake RAM and ECS has to be signed, and by whom matters."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from alibabacloud_openapi_util.client import Client as OpenApiUtil
from support.roles import Administrator, connect
from Tea.request import TeaRequest

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.roles import TRUST_POLICY, CallError, OpenApi
from ecs_role_creds.testing import FakeMetadataServer, FakeOpenApi


@pytest.fixture
def fake() -> Iterator[FakeOpenApi]:
    with FakeOpenApi() as fake:
        yield fake


def send(fake: FakeOpenApi, *, body: bytes = b"", query: str = "", **changes: Any) -> str:
    """Call ListRoles by hand, with something changed before or after it is signed."""
    host = fake.endpoint.removeprefix("http://")
    headers = {
        "host": host,
        "x-acs-action": "ListRoles",
        "x-acs-version": "2015-05-01",
        "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "x-acs-signature-nonce": uuid.uuid4().hex,
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        **changes.get("signed", {}),
    }
    request = TeaRequest()
    request.method, request.pathname, request.query = "POST", "/", {"MaxItems": "5"}
    request.headers = {
        name: value for name, value in headers.items() if name not in changes.get("left_out", ())
    }
    secret = changes.get("secret", fake.access_key_secret)
    headers["authorization"] = changes.get("authorization") or OpenApiUtil.get_authorization(
        request,
        "ACS3-HMAC-SHA256",
        headers["x-acs-content-sha256"],
        changes.get("access_key_id", fake.access_key_id),
        secret,
    )
    headers.update(changes.get("afterwards", {}))
    answer = requests.post(
        f"{fake.endpoint}/?MaxItems=5{query}", data=body, headers=headers, timeout=30
    )
    code: str = answer.json().get("Code", "")
    return code


def test_a_signature_by_another_implementation_is_accepted(fake: FakeOpenApi) -> None:
    assert send(fake) == ""
    assert fake.calls[-1].parameters == {"MaxItems": "5"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"authorization": "none"}, "IncompleteSignature"),
        ({"left_out": ["x-acs-action"]}, "IncompleteSignature"),
        ({"left_out": ["host"]}, "IncompleteSignature"),
        ({"access_key_id": "LTAI.FAKEOTHER"}, "InvalidAccessKeyId.NotFound"),
        ({"secret": "fake-secret-wrong"}, "SignatureDoesNotMatch"),
        ({"query": "&Marker=1"}, "SignatureDoesNotMatch"),
        ({"afterwards": {"x-acs-action": "ListPolicies"}}, "SignatureDoesNotMatch"),
        ({"body": b"more"}, "SignatureDoesNotMatch"),
        ({"signed": {"x-acs-security-token": "x"}}, "InvalidSecurityToken.MismatchWithAccessKey"),
        ({"signed": {"x-acs-date": "2020-01-01T00:00:00Z"}}, "InvalidTimeStamp.Expired"),
        ({"signed": {"x-acs-date": "today"}}, "InvalidTimeStamp.Format"),
        ({"signed": {"x-acs-action": "ListEverything"}}, "InvalidAction.NotFound"),
        ({"signed": {"x-acs-action": "documents_of"}}, "InvalidAction.NotFound"),
        ({"signed": {"x-acs-version": "1999-01-01"}}, "InvalidAction.NotFound"),
    ],
)
def test_what_is_refused(fake: FakeOpenApi, changes: dict[str, Any], code: str) -> None:
    assert send(fake, **changes) == code
    assert fake.calls[-1].code == code


def test_a_request_is_accepted_once(fake: FakeOpenApi) -> None:
    nonce = {"signed": {"x-acs-signature-nonce": "once"}}
    assert send(fake, **nonce) == ""
    assert send(fake, **nonce) == "SignatureNonceUsed"


def test_the_sdk_with_a_wrong_secret_learns_no_secret(fake: FakeOpenApi) -> None:
    api = OpenApi(
        Administrator(fake, "fake-secret-wrong"), region="cn-fake-1", ram_endpoint=fake.endpoint
    )
    with pytest.raises(CallError) as caught:
        api.call("ListRoles", {})
    assert caught.value.code == "SignatureDoesNotMatch"
    assert "fake-secret" not in str(caught.value) + caught.value.message
    assert caught.value.__cause__ is None


def test_a_role_of_a_joined_instance_may_do_what_its_policies_say(fake: FakeOpenApi) -> None:
    administrator = connect(fake)
    trust = json.dumps(TRUST_POLICY)
    administrator.call("CreateRole", {"RoleName": "app", "AssumeRolePolicyDocument": trust})
    with FakeMetadataServer("app") as metadata, FakeMetadataServer("app", seed=2) as stranger:
        fake.add_instance(metadata=metadata)
        provider = EcsRamRoleCredentialsProvider(endpoint=metadata.endpoint, deadline=60)
        api = OpenApi(
            provider,
            region="cn-fake-1",
            ram_endpoint=fake.endpoint,
            ecs_endpoint=fake.endpoint,
        )
        with pytest.raises(CallError) as caught:
            api.call("ListRoles", {})
        assert caught.value.code == "NoPermission"
        assert api.call("DescribeInstances", {})["TotalCount"] == 0  # documented
        with pytest.raises(CallError) as caught:
            api.call("DescribeInstanceRamRole", {"RamRoleName": "app"})
        assert caught.value.code == "Forbidden.RAM"
        system = {"PolicyType": "System", "PolicyName": "AliyunRAMFullAccess", "RoleName": "app"}
        administrator.call("AttachPolicyToRole", system)
        assert api.call("ListRoles", {})["Roles"]["Role"][0]["RoleName"] == "app"
        assert fake.calls[-1].role == "app"
        metadata.expire()
        with pytest.raises(CallError) as caught:
            api.call("ListRoles", {})
        assert caught.value.code == "InvalidSecurityToken.Expired"
        other = EcsRamRoleCredentialsProvider(endpoint=stranger.endpoint, deadline=60)
        with pytest.raises(CallError) as caught:
            OpenApi(other, ram_endpoint=fake.endpoint).call("ListRoles", {})
        assert caught.value.code == "InvalidAccessKeyId.NotFound"


def test_faults(fake: FakeOpenApi) -> None:
    api = connect(fake)
    fake.throttle(1, "ListRoles")
    api.call("ListPolicies", {})
    with pytest.raises(CallError) as caught:
        api.call("ListRoles", {})
    assert (caught.value.code, caught.value.status) == ("Throttling.User", 400)
    fake.fail("ListRoles", "InternalError", status=500)
    with pytest.raises(CallError) as caught:
        api.call("ListRoles", {})
    assert caught.value.is_unclear
    role = {"RoleName": "a", "AssumeRolePolicyDocument": json.dumps(TRUST_POLICY)}
    fake.drop_calls(1)
    with pytest.raises(CallError) as caught:
        api.call("CreateRole", role)
    assert caught.value.code == "NoAnswer"
    assert not fake.roles
    fake.lose_answers(1)
    with pytest.raises(CallError) as caught:
        api.call("CreateRole", role)
    assert caught.value.code == "NoAnswer"
    assert "a" in fake.roles
    assert fake.calls[-1].status == 0
    fake.throttle(5)
    fake.recover()
    api.call("ListRoles", {})
