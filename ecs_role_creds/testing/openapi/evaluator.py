"""What policy documents allow: RAM's rules for statements. Pure.

Faked: ``Effect``, ``Action``, ``NotAction``, ``Resource``, ``NotResource``, the wildcards ``*`` and
``?``, and the conditions ``StringEquals``, ``StringNotEquals``, ``StringLike`` and
``StringNotLike``. A statement with any other condition allows nothing, and denies as if the
condition held.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

_CONDITIONS = {
    "StringEquals": (False, False),
    "StringNotEquals": (False, True),
    "StringLike": (True, False),
    "StringNotLike": (True, True),
}
"""By operator: whether values are patterns, and whether the result is turned round."""


def is_allowed(
    documents: Iterable[Mapping[str, Any]],
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
) -> bool:
    """Whether a request is allowed: some statement allows it, and none denies it.

    Args:
        documents: The policy documents.
        action: Such as ``"oss:GetObject"``.
        resource: Such as ``"acs:oss:*:*:bucket/key"``.
        context: What conditions look at, such as ``{"oss:Prefix": "photos/"}``.
    """
    effects = {
        statement.get("Effect")
        for document in documents
        for statement in listed(document.get("Statement"))
        if _applies(statement, action, resource, context or {})
    }
    return "Allow" in effects and "Deny" not in effects


def listed(value: Any) -> list[Any]:
    """A value that may stand alone or in a list, as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _applies(
    statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]
) -> bool:
    return (
        _matches_one(statement, "Action", action, ignore_case=True)
        and _matches_one(statement, "Resource", resource, ignore_case=False)
        and _condition_holds(statement, context)
    )


def _matches_one(statement: Mapping[str, Any], key: str, value: str, ignore_case: bool) -> bool:
    def is_among(patterns: list[Any]) -> bool:
        return any(_pattern(str(one), ignore_case).fullmatch(value) for one in patterns)

    if key in statement:
        return is_among(listed(statement[key]))
    if f"Not{key}" in statement:
        return not is_among(listed(statement[f"Not{key}"]))
    return False


def _condition_holds(statement: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    for operator, entries in (statement.get("Condition") or {}).items():
        if operator not in _CONDITIONS:
            return bool(statement.get("Effect") == "Deny")
        is_pattern, is_negated = _CONDITIONS[operator]
        for key, values in entries.items():
            actual = context.get(key)
            is_met = actual is not None and any(
                _pattern(str(one), False).fullmatch(actual) if is_pattern else one == actual
                for one in listed(values)
            )
            if is_met == is_negated:
                return False
    return True


@lru_cache(maxsize=1024)
def _pattern(text: str, ignore_case: bool) -> re.Pattern[str]:
    wildcards = {"*": ".*", "?": "."}
    expression = "".join(wildcards.get(one) or re.escape(one) for one in text)
    return re.compile(expression, re.DOTALL | (re.IGNORECASE if ignore_case else 0))
