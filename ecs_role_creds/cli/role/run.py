"""Run the subcommands: make a plan, print it, ask for confirmation, apply it, print the result."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecs_role_creds.cli.output import printable
from ecs_role_creds.cli.provider_options import tell
from ecs_role_creds.cli.role import printing
from ecs_role_creds.roles import (
    CallError,
    InputError,
    Outcome,
    Plan,
    Progress,
    Retry,
    RoleManager,
    RolesError,
    connect,
)
from ecs_role_creds.roles.documents import parse_document


class DeclinedError(RolesError):
    """The user did not confirm the plan."""


def run_plan(arguments: argparse.Namespace, retry: Retry | None = None) -> int:
    """Run a subcommand that changes something; returns the exit status."""

    def run(manager: RoleManager) -> int:
        plan = arguments.make_plan(manager, arguments)
        is_wanted = bool(plan.steps) and not plan.is_blocked and not arguments.dry_run
        if not arguments.json:
            print(printing.describe_plan(plan), flush=True)
        if is_wanted and plan.takes_rights and not arguments.yes:
            _ask(arguments)
        outcome = _apply(manager, plan) if is_wanted else None
        if arguments.json:
            print(json.dumps(printing.plan_as_json(plan, outcome), indent=2))
        elif outcome is not None:
            print(printing.describe_outcome(outcome))
        elif plan.is_blocked:
            print("Nothing was changed.")
        is_complete = outcome.is_complete if outcome else not (plan.is_blocked or plan.failures)
        return 0 if is_complete else 1

    return _with_manager(arguments, run, retry)


def run_show(arguments: argparse.Namespace) -> int:
    """Show a role or instances; returns the exit status."""

    def run(manager: RoleManager) -> int:
        what: list[str] = arguments.what
        ids = [one for one in what if one.startswith("i-")]
        if what and not ids:
            if len(what) > 1:
                raise InputError("pass the name of one role, or instance ids")
            return _show_role(manager, what[0], arguments.json)
        if len(ids) < len(what):
            raise InputError("pass the name of one role, or instance ids, not both")
        instances = manager.show_instances(ids)
        missing = [one for one in ids if one not in instances]
        if arguments.json:
            shown = [printing.instance_as_json(one) for one in instances.values()]
            print(json.dumps({"instances": shown, "not_found": missing}, indent=2))
        else:
            print(printing.describe_instances(instances, missing))
        return 1 if missing else 0

    return _with_manager(arguments, run)


def run_list(arguments: argparse.Namespace) -> int:
    """List the roles that instances can assume; returns the exit status."""

    def run(manager: RoleManager) -> int:
        roles = list(manager.list_roles())
        if arguments.json:
            shown = [{"name": one.name, "description": one.description} for one in roles]
            print(json.dumps({"roles": shown}, indent=2))
        else:
            print(printing.describe_roles(roles))
        return 0

    return _with_manager(arguments, run)


def read_document(path: str, role: str) -> tuple[str, Any]:
    """Return the policy document in a file, and the default name of its policy.

    Raises:
        InputError: The file cannot be read, or is not a policy document.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"--policy-document: cannot read {path}: {reason}") from None
    name = re.sub(r"[^A-Za-z0-9]+", "-", f"{role}-{Path(path).stem}").strip("-")
    return name[:128], parse_document(text, path)


def _show_role(manager: RoleManager, name: str, as_json: bool) -> int:
    found = manager.show_role(name)
    if found is None:
        tell("role", f"role {name} does not exist; use `role list`")
        return 1
    if as_json:
        print(json.dumps(printing.role_as_json(*found), indent=2))
    else:
        print(printing.describe_role(*found))
    return 0


def _with_manager(
    arguments: argparse.Namespace, run: Callable[[RoleManager], int], retry: Retry | None = None
) -> int:
    try:
        with _debugging(arguments.debug):
            api = connect(
                region=arguments.region,
                as_instance=arguments.as_instance,
                ram_endpoint=arguments.ram_endpoint,
                ecs_endpoint=arguments.ecs_endpoint,
            )
            return run(RoleManager(api, retry=retry))
    except (InputError, ImportError) as error:
        tell("role", str(error))
        return 2
    except (CallError, DeclinedError) as error:
        tell("role", printable(str(error)))
        return 1


def _ask(arguments: argparse.Namespace) -> None:
    """Ask for confirmation.

    Raises:
        DeclinedError: The answer is no, or standard input is not a terminal.
    """
    if arguments.json or not sys.stdin.isatty():
        raise DeclinedError(
            "this may remove access that applications use now, so it needs confirmation. Nothing "
            "was changed. Pass --yes to confirm"
        )
    question = "This may remove access that applications use now. Continue? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise DeclinedError("not confirmed; nothing was changed.")


def _apply(manager: RoleManager, plan: Plan) -> Outcome:
    progress = printing.ProgressLine(sys.stderr)

    def tell(news: Progress) -> None:
        progress.show(news)

    try:
        return manager.apply(plan, tell)
    finally:
        progress.end()


@contextmanager
def _debugging(is_on: bool) -> Iterator[None]:
    """Print every call if that is wanted; stop the SDKs from printing the security token."""
    if os.environ.get("DEBUG", "").lower() == "sdk":
        del os.environ["DEBUG"]
        tell("role", "DEBUG=sdk is ignored: the SDKs would print credentials. Use --debug.")
    if not is_on:
        yield
        return
    logger = logging.getLogger("ecs_role_creds.roles")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
