"""Policy documents."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ecs_role_creds.roles import TRUST_POLICY, InputError, oss_policy
from ecs_role_creds.roles.documents import (
    bucket_policy_name,
    dump_document,
    is_same_document,
    parse_document,
    trusts_ecs,
)


def test_reading_a_bucket_takes_one_action() -> None:
    assert oss_policy("example-bucket", ["read"]) == {
        "Version": "1",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["oss:GetObject"],
                "Resource": ["acs:oss:*:*:example-bucket/*"],
            }
        ],
    }


def test_listing_under_a_prefix_has_a_condition() -> None:
    document = oss_policy("example-bucket", ["list", "write"], "photos/")
    objects, listing = document["Statement"]
    assert objects["Action"] == ["oss:PutObject", "oss:ListParts", "oss:AbortMultipartUpload"]
    assert objects["Resource"] == ["acs:oss:*:*:example-bucket/photos/*"]
    assert listing["Action"] == ["oss:ListObjects"]
    assert listing["Resource"] == ["acs:oss:*:*:example-bucket"]
    assert listing["Condition"] == {"StringLike": {"oss:Prefix": ["photos/*"]}}


@pytest.mark.parametrize(
    ("bucket", "access", "prefix", "told"),
    [
        ("B", ["read"], "", "invalid bucket name 'B'"),
        ("bucket/*", ["read"], "", "invalid bucket name"),
        ("bucket", [], "", "pass one or more of read, list, write"),
        ("bucket", ["delete"], "", "access is ['delete']"),
        ("bucket", ["read"], "a*", "wildcards"),
        ("bucket", ["read"], "a?", "wildcards"),
        ("bucket", ["read"], "/a", "begin with '/'"),
    ],
)
def test_says_what_cannot_be_granted(
    bucket: str, access: list[Any], prefix: str, told: str
) -> None:
    with pytest.raises(InputError) as caught:
        oss_policy(bucket, access, prefix)
    assert told in str(caught.value)


def test_policy_names_are_stable_distinct_and_allowed() -> None:
    name = bucket_policy_name("example-role", "example-bucket")
    assert name == "example-role-example-bucket-2e4d8392"
    others = {
        bucket_policy_name("example-role", "example-bucket", "photos/"),
        bucket_policy_name("example-role", "example-bucket", made_by="setup"),
        bucket_policy_name("example", "role-example-bucket"),
        bucket_policy_name("example.role", "example-bucket"),
    }
    assert len({name, *others}) == 5
    long = bucket_policy_name("r" * 64, "b" * 63)
    assert len(long) <= 128
    assert long.replace("-", "").isalnum()


def test_documents_that_say_the_same_are_the_same() -> None:
    one = {"Statement": [{"Action": "a:B", "Effect": "Allow", "Resource": ["y", "x"]}]}
    other = {"Statement": [{"Effect": "Allow", "Resource": ["x", "y"], "Action": ["a:B"]}]}
    assert is_same_document(one, other)
    more = {"Statement": [{**other["Statement"][0], "Action": ["a:B", "a:C"]}]}
    assert not is_same_document(one, more)
    assert not is_same_document(one, {**one, "Version": "1"})
    swapped = [{"Effect": "Deny"}, {"Effect": "Allow"}]
    assert is_same_document({"Statement": swapped}, {"Statement": swapped[::-1]})
    condition = {"Statement": [{"Condition": {"StringLike": {"oss:Prefix": "a*"}}}]}
    listed = {"Statement": [{"Condition": {"StringLike": {"oss:Prefix": ["a*"]}}}]}
    assert is_same_document(condition, listed)


def test_knows_which_trust_policies_ecs_can_use() -> None:
    assert trusts_ecs(TRUST_POLICY)
    statement = dict(TRUST_POLICY["Statement"][0])
    for change in (
        {"Principal": {"Service": "ecs.aliyuncs.com"}},
        {"Principal": {"Service": ["fc.aliyuncs.com", "ecs.aliyuncs.com"]}},
        {"Action": ["sts:AssumeRole", "sts:SetSourceIdentity"]},
    ):
        assert trusts_ecs({"Statement": [{**statement, **change}]})
    for change in (
        {"Effect": "Deny"},
        {"Action": "ram:*"},
        {"Principal": {"RAM": ["acs:ram::1:root"]}},
        {"Principal": {"Service": ["fc.aliyuncs.com"]}},
        {"Principal": "ecs.aliyuncs.com"},
    ):
        assert not trusts_ecs({"Statement": [{**statement, **change}]})
    assert not trusts_ecs({})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "p.json is not JSON"),
        ("[]", "p.json is not a policy document"),
        ('{"Statement": {}}', "p.json is not a policy document"),
        (json.dumps({"Statement": ["x" * 6200]}), "at most 6144 characters"),
    ],
)
def test_says_what_is_wrong_with_a_document(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_document(text, "p.json")
    assert told in str(caught.value)


def test_a_document_survives_the_journey() -> None:
    assert parse_document(dump_document(TRUST_POLICY), "it") == TRUST_POLICY
