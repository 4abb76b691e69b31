"""The evaluator of the fakes, by hand-written cases of RAM's rules."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_role_creds.testing.openapi.evaluator import is_allowed

OBJECT = "acs:oss:*:*:bucket/photos/cat.png"


def statement(effect: str = "Allow", **parts: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "oss:GetObject", "Resource": OBJECT, **parts}


def allows(*statements: dict[str, Any], context: dict[str, str] | None = None) -> bool:
    document = {"Version": "1", "Statement": list(statements)}
    return is_allowed([document], "oss:GetObject", OBJECT, context)


@pytest.mark.parametrize(
    ("action", "resource", "expected"),
    [
        ("oss:GetObject", OBJECT, True),
        ("oss:Get*", OBJECT, True),
        ("OSS:getobject", OBJECT, True),
        ("oss:*", "acs:oss:*:*:bucket/*", True),
        ("*", "*", True),
        ("oss:Get?bject", OBJECT, True),
        (["oss:PutObject", "oss:GetObject"], ["acs:oss:*:*:other/*", OBJECT], True),
        ("oss:GetObjectAcl", OBJECT, False),
        ("oss:Get", OBJECT, False),
        ("oss:PutObject", OBJECT, False),
        ("oss:GetObject", "acs:oss:*:*:bucket", False),
        ("oss:GetObject", "acs:oss:*:*:BUCKET/photos/cat.png", False),
        ("oss:GetObject", "acs:oss:*:*:bucket/photos/cat_png", False),
        ("oss:GetObject", "acs:oss:*:*:bucket/photos/cat?png", True),
        ("oss:GetObject", [], False),
    ],
)
def test_actions_and_resources(action: object, resource: object, expected: bool) -> None:
    assert allows(statement(Action=action, Resource=resource)) is expected


def test_nothing_is_allowed_without_a_policy() -> None:
    assert not is_allowed([], "oss:GetObject", OBJECT)
    assert not allows()


def test_deny_wins() -> None:
    assert not allows(statement(), statement("Deny"))
    assert not allows(statement("Deny"), statement())
    assert allows(statement(), statement("Deny", Action="oss:PutObject"))
    assert not is_allowed(
        [{"Statement": [statement(Action="*", Resource="*")]}, {"Statement": statement("Deny")}],
        "oss:GetObject",
        OBJECT,
    )


def test_everything_but() -> None:
    but = {"Effect": "Allow", "NotAction": ["oss:Put*"], "NotResource": ["acs:oss:*:*:other/*"]}
    assert allows(but)
    assert not allows({**but, "NotAction": ["oss:Get*"]})
    assert not allows({**but, "NotResource": [OBJECT]})
    assert not allows({"Effect": "Allow"})


@pytest.mark.parametrize(
    ("operator", "value", "context", "expected"),
    [
        ("StringEquals", "a", {"k": "a"}, True),
        ("StringEquals", "a*", {"k": "ab"}, False),
        ("StringEquals", ["a", "b"], {"k": "b"}, True),
        ("StringNotEquals", "a", {"k": "a"}, False),
        ("StringNotEquals", "a", {"k": "b"}, True),
        ("StringLike", "a*", {"k": "ab"}, True),
        ("StringLike", "a*", {"k": "b"}, False),
        ("StringLike", "a*", {}, False),
        ("StringNotLike", "a*", {"k": "b"}, True),
        ("StringNotLike", "a*", {"k": "ab"}, False),
    ],
)
def test_conditions(operator: str, value: object, context: dict[str, str], expected: bool) -> None:
    conditional = statement(Condition={operator: {"k": value}})
    assert allows(conditional, context=context) is expected
    denied = {**conditional, "Effect": "Deny"}
    assert allows(statement(), denied, context=context) is not expected


def test_a_condition_that_is_not_faked_never_gives_rights() -> None:
    unknown = {"IpAddress": {"acs:SourceIp": ["10.0.0.0/8"]}}
    assert not allows(statement(Condition=unknown))
    assert not allows(statement(), statement("Deny", Condition=unknown))
