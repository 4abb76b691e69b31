"""Evaluates policy documents by RAM's rules. Pure functions.

Faked: ``Effect``, ``Action``, ``NotAction``, ``Resource``, ``NotResource``, the wildcards ``*`` and
``?``, and the conditions ``StringEquals``, ``StringNotEquals``, ``StringLike`` and
``StringNotLike``. A statement with any other condition allows nothing, and a ``Deny`` statement
denies as if the condition were met.
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
"""By operator: whether values are patterns, and whether the result is negated."""


def is_allowed(
    documents: Iterable[Mapping[str, Any]],
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
) -> bool:
    """Return whether a request is allowed: a statement allows it, and none denies it.

    Args:
        documents: The policy documents.
        action: The action, such as ``"oss:GetObject"``.
        resource: The resource, such as ``"acs:oss:*:*:bucket/key"``.
        context: The values for conditions, such as ``{"oss:Prefix": "photos/"}``.
    """
    effects = {
        statement.get("Effect")
        for document in documents
        for statement in listed(document.get("Statement"))
        if _applies(statement, action, resource, context or {})
    }
    return "Allow" in effects and "Deny" not in effects


def listed(value: Any) -> list[Any]:
    """Return a single value or a list of values as a list."""
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
