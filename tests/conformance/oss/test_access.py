"""Who may do what: anonymous requests by ACL, signed ones by policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from support.oss_clients import Oss2, OssError, oss2, signed_request

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.testing import FakeMetadataServer, FakeOss
from ecs_role_creds.testing.oss.operations import Operation
from ecs_role_creds.testing.oss.table import OPERATIONS

PATHS = {"service": ("", ""), "bucket": ("pictures", ""), "object": ("pictures", "a")}
RESOURCES = {
    "service": "acs:oss:*:*:*",
    "bucket": "acs:oss:*:*:pictures",
    "object": "acs:oss:*:*:pictures/a",
}


class Allowed:
    """Policies: what was asked, and what is allowed."""

    def __init__(self, *allowed: tuple[str, str]) -> None:
        self.allowed = set(allowed)
        self.asked: list[tuple[str, str, str]] = []

    def allows(self, role_name: str, action: str, resource: str, context: object = None) -> bool:
        self.asked.append((role_name, action, resource))
        return (action, resource) in self.allowed


@pytest.fixture
def policies() -> Allowed:
    return Allowed()


@pytest.fixture
def guarded(metadata: FakeMetadataServer, policies: Allowed) -> Iterator[FakeOss]:
    with FakeOss(metadata, ["pictures", "archive"], policies=policies) as oss:
        oss.put("pictures", "a", b"x")
        yield oss


@pytest.fixture
def guarded_client(guarded: FakeOss, provider: EcsRamRoleCredentialsProvider) -> Any:
    return Oss2(guarded, provider, "v4")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.name}-{one.method}")
def test_every_operation_asks_the_policies(
    operation: Operation,
    guarded: FakeOss,
    policies: Allowed,
    provider: EcsRamRoleCredentialsProvider,
) -> None:
    auth = oss2.ProviderAuthV4(provider)
    params = {name: {"list-type": "2"}.get(name, "") for name in operation.selectors}
    selecting = operation.selecting_header
    headers = {} if selecting is None else {selecting: "/pictures/a"}
    path = PATHS[operation.level]
    answer = signed_request(guarded, auth, operation.method, path, params, headers)
    assert answer.status_code == 403
    if operation.method != "HEAD":
        assert "<Code>AccessDenied</Code>" in answer.text
    assert policies.asked == [("app-role", operation.action, RESOURCES[operation.level])]
    assert [one.code for one in guarded.refused] == ["AccessDenied"]
    policies.allowed.add((operation.action, RESOURCES[operation.level]))
    signed_request(guarded, auth, operation.method, path, params, headers)
    assert policies.asked[1] == policies.asked[0]


def test_what_is_allowed_is_done(guarded_client: Any, policies: Allowed) -> None:
    policies.allowed.add(("oss:GetObject", "acs:oss:*:*:pictures/a"))
    assert guarded_client.get("pictures", "a").body == b"x"
    with pytest.raises(OssError) as caught:
        guarded_client.put("pictures", "a", b"y")
    assert (caught.value.status, caught.value.code) == (403, "AccessDenied")
    assert caught.value.ec == "0003-00000001"


def test_a_copy_needs_the_source_too(guarded_client: Any, policies: Allowed) -> None:
    policies.allowed.add(("oss:PutObject", "acs:oss:*:*:archive/b"))
    with pytest.raises(OssError, match="AccessDenied"):
        guarded_client.copy(("pictures", "a"), "archive", "b")
    assert policies.asked[-1][1:] == ("oss:GetObject", "acs:oss:*:*:pictures/a")
    policies.allowed.add(("oss:GetObject", "acs:oss:*:*:pictures/a"))
    guarded_client.copy(("pictures", "a"), "archive", "b")


def test_tags_need_a_permission_of_their_own(guarded_client: Any, policies: Allowed) -> None:
    policies.allowed.add(("oss:PutObject", "acs:oss:*:*:pictures/b"))
    with pytest.raises(OssError, match="AccessDenied"):
        guarded_client.put("pictures", "b", b"x", {"x-oss-tagging": "a=1"})
    policies.allowed.add(("oss:PutObjectTagging", "acs:oss:*:*:pictures/b"))
    guarded_client.put("pictures", "b", b"x", {"x-oss-tagging": "a=1"})


def test_batch_delete_asks_for_each_key(
    guarded: FakeOss, guarded_client: Any, policies: Allowed
) -> None:
    policies.allowed.add(("oss:DeleteObject", "acs:oss:*:*:pictures"))
    policies.allowed.add(("oss:DeleteObject", "acs:oss:*:*:pictures/a"))
    with pytest.raises(OssError, match="AccessDenied"):
        guarded_client.delete_many("pictures", ["a", "b"])
    assert list(guarded.objects["pictures"]) == ["a"]
    assert guarded_client.delete_many("pictures", ["a"]) == ["a"]


def anonymous(oss: FakeOss, method: str, path: str, **options: Any) -> requests.Response:
    return requests.request(method, oss.endpoint + path, timeout=300, **options)


@pytest.mark.parametrize(
    ("acl", "reads", "writes"),
    [("private", 403, 403), ("public-read", 200, 403), ("public-read-write", 200, 200)],
)
def test_anonymous_by_bucket_acl(oss: FakeOss, acl: Any, reads: int, writes: int) -> None:
    oss.put("pictures", "a", b"x")
    oss.objects["pictures"].acl = acl
    assert anonymous(oss, "GET", "/pictures/a").status_code == reads
    assert anonymous(oss, "HEAD", "/pictures/a").status_code == reads
    assert anonymous(oss, "GET", "/pictures/").status_code == reads
    assert anonymous(oss, "PUT", "/pictures/b", data=b"y").status_code == writes
    assert anonymous(oss, "DELETE", "/pictures/a").status_code == (204 if writes == 200 else 403)
    assert anonymous(oss, "PUT", "/pictures/?acl").status_code == 403
    assert anonymous(oss, "DELETE", "/pictures/").status_code == 403
    assert anonymous(oss, "GET", "/").status_code == 403
    assert ("b" in oss.objects["pictures"]) == (writes == 200)
    assert all(one.access_key_id is None for one in oss.requests)
    assert {one.status for one in oss.refused} == {403}


def test_the_acl_of_an_object_comes_first(oss: FakeOss, client: Any) -> None:
    client.put("pictures", "open", b"x", {"x-oss-object-acl": "public-read"})
    client.put_bucket_acl("archive", "public-read")
    client.put("archive", "closed", b"x", {"x-oss-object-acl": "private"})
    assert anonymous(oss, "GET", "/pictures/open").status_code == 200
    assert anonymous(oss, "GET", "/archive/closed").status_code == 403
    answer = anonymous(oss, "GET", "/pictures/open?response-content-type=text/html")
    assert (answer.status_code, "InvalidRequest" in answer.text) == (400, True)


def test_a_public_bucket_is_open_to_roles_without_permission(
    guarded: FakeOss, guarded_client: Any
) -> None:
    guarded.objects["pictures"].acl = "public-read"
    assert guarded_client.get("pictures", "a").body == b"x"
    assert guarded.refused == []
