"""Format what the subcommands print, as text or as JSON. Pure functions, no I/O."""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from ecs_role_creds.cli.output import printable, table
from ecs_role_creds.roles import (
    Difference,
    Failure,
    Instance,
    Outcome,
    Plan,
    Policy,
    Progress,
    RamStep,
    Role,
    Step,
)

MOST_SHOWN = 10
"""Longer lists are cut after this many entries."""

_INDENT = " " * 7


def describe_plan(plan: Plan) -> str:
    """Return the plan as text."""
    return "\n".join(_plan_lines(plan))


def _plan_lines(plan: Plan) -> Iterator[str]:
    if plan.is_unchanged and not plan.kept:
        yield "unchanged: " + (_some(plan.unchanged) or "nothing to do")
        return
    if plan.steps:
        yield "Plan (blocked, see below):" if plan.is_blocked else "Plan:"
    for number, step in enumerate(plan.steps, 1):
        yield f"  {number:2}. {step.api}: {printable(step.purpose)}"
        yield from _step_details(step)
    for label, items in (("unchanged", plan.unchanged), ("kept", plan.kept)):
        if items:
            yield f"{label}: {_some(items)}"
    for difference in plan.differences:
        yield from _difference_lines(difference)
    for problem in plan.problems:
        yield f"problem: {printable(problem)}"
    if plan.failures:
        yield "cannot be changed:"
        yield failure_table(plan.failures)
    if not plan.steps and not plan.is_blocked and not plan.failures:
        yield "Nothing to do."


def describe_outcome(outcome: Outcome) -> str:
    """Return the outcome as text."""
    lines = [f"done: {printable(one)}" for one in outcome.done]
    lines += [f"skipped because an earlier step failed: {one}" for one in outcome.skipped]
    failed = [one for one in outcome.failures if one.subject.startswith("i-")]
    total = len(outcome.instances) + len(failed)
    if total > MOST_SHOWN:
        lines.append(f"{len(outcome.instances)} of {total} instances done.")
    else:
        lines += [f"{one}: done" for one in outcome.instances]
    if outcome.failures:
        lines += [f"{len(outcome.failures)} failed:", failure_table(outcome.failures)]
    return "\n".join(lines)


def failure_table(failures: Sequence[Failure]) -> str:
    """Return failures as a table."""
    rows = [(one.subject, one.code, printable(one.message)) for one in failures]
    return table(rows, ("WHAT", "CODE", "REASON AND WHAT TO DO"))


def describe_role(role: Role, policies: Sequence[Policy], holders: Sequence[str]) -> str:
    """Return a role with its policies and instances as text."""
    lines = [f"role {role.name}  {printable(role.arn)}".rstrip()]
    if role.description:
        lines.append(f"description: {printable(role.description)}")
    lines += ["trust policy:", _json(role.trust_policy)]
    for policy in policies:
        lines += [f"policy {policy.name} ({policy.type}):", _json(policy.document)]
    lines.append(f"instances in this region: {_some(holders) or 'none'}")
    return "\n".join(lines)


def describe_instances(instances: Mapping[str, Instance], missing: Sequence[str]) -> str:
    """Return instances with their roles as a table."""
    rows = [
        (
            one.instance_id,
            one.role or "-",
            "VPC" if one.is_in_vpc else "classic (no role possible)",
            "hardening only" if one.is_hardened else "both modes",
        )
        for one in instances.values()
    ]
    rows += [(one, "not found in this region", "", "") for one in missing]
    return table(rows, ("INSTANCE", "ROLE", "NETWORK", "METADATA SERVICE"))


def describe_roles(roles: Sequence[Role]) -> str:
    """Return roles as a table."""
    rows = [(one.name, printable(one.description)) for one in roles]
    return table(rows, ("ROLE", "DESCRIPTION"))


def plan_as_json(plan: Plan, outcome: Outcome | None) -> dict[str, Any]:
    """Return a plan and its outcome as JSON types."""
    shown: dict[str, Any] = {
        "steps": [_step_as_json(step) for step in plan.steps],
        "unchanged": list(plan.unchanged),
        "kept": list(plan.kept),
        "differences": [
            {
                "subject": one.subject,
                "actual": one.actual,
                "wanted": one.wanted,
                "remedy": one.remedy,
            }
            for one in plan.differences
        ],
        "problems": list(plan.problems),
        "failures": [_failure_as_json(one) for one in plan.failures],
        "takes_rights": plan.takes_rights,
        "is_unchanged": plan.is_unchanged,
        "outcome": None,
    }
    if outcome is not None:
        shown["outcome"] = {
            "done": list(outcome.done),
            "skipped": list(outcome.skipped),
            "instances": list(outcome.instances),
            "failures": [_failure_as_json(one) for one in outcome.failures],
            "is_complete": outcome.is_complete,
        }
    return shown


def role_as_json(role: Role, policies: Sequence[Policy], holders: Sequence[str]) -> dict[str, Any]:
    """Return a role as JSON types."""
    return {
        "name": role.name,
        "arn": role.arn,
        "description": role.description,
        "trust_policy": role.trust_policy,
        "policies": [
            {"name": one.name, "type": one.type, "document": one.document} for one in policies
        ],
        "instances": list(holders),
    }


def instance_as_json(one: Instance) -> dict[str, Any]:
    """Return an instance as JSON types."""
    return {
        "instance_id": one.instance_id,
        "role": one.role,
        "is_in_vpc": one.is_in_vpc,
        "is_hardened": one.is_hardened,
    }


class ProgressLine:
    """Shows the progress of a step for many instances.

    Args:
        stream: A terminal gets one line that is updated, anything else a line per 100 instances.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_open = False

    def show(self, news: Progress) -> None:
        """Show the progress. Steps for few instances show nothing."""
        if news.total <= MOST_SHOWN:
            return
        text = f"{news.step.api}: {news.done} of {news.total} instances"
        if self._stream.isatty():
            print(f"\r{text}", end="", file=self._stream, flush=True)
            self._is_open = True
            if news.done == news.total:
                self.end()
        elif news.done == news.total or news.done % 100 == 0:
            print(text, file=self._stream, flush=True)

    def end(self) -> None:
        """End the line, if one was started."""
        if self._is_open:
            print(file=self._stream)
            self._is_open = False


def _step_details(step: Step) -> Iterator[str]:
    if isinstance(step, RamStep):
        if step.document is not None:
            yield _json(step.document)
    else:
        yield _INDENT + _some(step.instances)


def _difference_lines(difference: Difference) -> Iterator[str]:
    yield f"differs: {difference.subject}"
    actual, wanted = (_json(one).splitlines() for one in (difference.actual, difference.wanted))
    compared = difflib.unified_diff(actual, wanted, "current", "requested", lineterm="", n=99)
    yield from (printable(line) for line in compared if not line.startswith("@@"))
    yield f"  To continue, {difference.remedy}."


def _some(items: Sequence[str]) -> str:
    more = len(items) - MOST_SHOWN
    shown = ", ".join(printable(one) for one in items[:MOST_SHOWN])
    return f"{shown}, and {more} more" if more > 0 else shown


def _json(document: Mapping[str, Any]) -> str:
    """Format a document with one line for each statement."""
    shown = {key: value for key, value in document.items() if key != "Statement"}
    statements = document.get("Statement")
    lines = [json.dumps(one) for one in (statements if isinstance(statements, list) else [])]
    head = json.dumps(shown)[:-1] + (", " if shown else "")
    text = head + '"Statement": [\n  ' + ",\n  ".join(lines) + "\n]}"
    return textwrap.indent(text if lines else json.dumps(document), _INDENT)


def _step_as_json(step: Step) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "api": step.api,
        "purpose": step.purpose,
        "takes_rights": step.takes_rights,
    }
    if isinstance(step, RamStep):
        return {**shown, "parameters": dict(step.parameters)}
    return {**shown, "instances": list(step.instances)}


def _failure_as_json(one: Failure) -> dict[str, Any]:
    return {"subject": one.subject, "code": one.code, "message": one.message}
