"""The arguments of ``ecs-role-creds role`` and its subcommands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ecs_role_creds.roles import Plan, RoleManager


class Planned(NamedTuple):
    """A subcommand that changes something.

    Attributes:
        help: Its line in ``--help``.
        example: How it is typed, after ``ecs-role-creds role``.
        declare: Declares its own arguments.
        plan: Makes its plan.
    """

    help: str
    example: str
    declare: Callable[[argparse.ArgumentParser], object]
    plan: Callable[[RoleManager, argparse.Namespace], Plan]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their arguments."""
    parser.description = (
        "Manage instance RAM roles, with the administrator's credentials. Every subcommand prints "
        "its plan first: what it will call, and the policy documents. Run it again, and it says "
        "that everything is unchanged. Needs: pip install 'ecs-role-creds[roles]'."
    )
    parser.epilog = (
        "Examples:\n"
        "  $ ecs-role-creds role setup example-role --bucket example-bucket --read \\\n"
        "      --instance i-bp1example --region cn-hangzhou --dry-run\n"
        "  $ ecs-role-creds role show i-bp1example\n"
        "  $ ecs-role-creds role teardown example-role\n"
    )
    subparsers = parser.add_subparsers(dest="action", required=True, metavar="SUBCOMMAND")
    for name, planned in PLANNED.items():
        subparser = _add(subparsers, parser, name, planned.help, planned.example)
        planned.declare(subparser)
        _add_common(subparser)
        subparser.add_argument(
            "--dry-run", action="store_true", help="print the plan, and change nothing"
        )
        subparser.add_argument("--yes", action="store_true", help="do not ask")
        subparser.set_defaults(run=_run_plan, make_plan=planned.plan)
    show = _add(
        subparsers,
        parser,
        "show",
        "show a role, or the roles of instances (default: of all in the region)",
        "show example-role",
    )
    show.add_argument(
        "what", nargs="*", metavar="NAME|INSTANCE", help="a role's name, or instances' ids"
    )
    _add_common(show)
    show.set_defaults(run=_run_show)
    listing = _add(
        subparsers, parser, "list", "list the roles that instances can assume", "list --json"
    )
    _add_common(listing)
    listing.set_defaults(run=_run_list)


def _add(
    subparsers: Any, parser: argparse.ArgumentParser, name: str, summary: str, example: str
) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"Example:\n  $ ecs-role-creds role {example}\n",
        formatter_class=parser.formatter_class,
    )
    return added


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where, and as whom")
    group.add_argument("--region", help="of the instances, such as cn-hangzhou")
    group.add_argument(
        "--as-instance",
        action="store_true",
        help="use the credentials of the role of the instance that this runs on",
    )
    group.add_argument("--ram-endpoint", metavar="URL", help="call RAM there")
    group.add_argument("--ecs-endpoint", metavar="URL", help="call ECS there")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--debug", action="store_true", help="print every call to standard error; no secrets"
    )


def _run_plan(arguments: argparse.Namespace) -> int:
    from ecs_role_creds.cli.role.run import run_plan

    return run_plan(arguments)


def _run_show(arguments: argparse.Namespace) -> int:
    from ecs_role_creds.cli.role.run import run_show

    return run_show(arguments)


def _run_list(arguments: argparse.Namespace) -> int:
    from ecs_role_creds.cli.role.run import run_list

    return run_list(arguments)


# Each subcommand's own arguments, and its plan.


def _declare_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the role")


def _declare_replace(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--replace", action="store_true", help=f"{what}, where it differs")


def _declare_instances(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("instances", nargs="+", metavar="INSTANCE", help="instances' ids")


def _declare_bucket(parser: argparse.ArgumentParser, is_required: bool) -> None:
    parser.add_argument("--bucket", required=is_required, help="the OSS bucket")
    parser.add_argument(
        "--prefix", default="", help="only objects whose names begin with this, such as photos/"
    )


def _declare_access(parser: argparse.ArgumentParser) -> None:
    for access, does in (
        ("read", "get objects"),
        ("list", "list the objects' names"),
        ("write", "put objects"),
    ):
        parser.add_argument(
            f"--{access}", dest="access", action="append_const", const=access, help=does
        )


def _declare_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", metavar="P", help="a policy's name")
    parser.add_argument(
        "--type",
        choices=("System", "Custom"),
        default="System",
        help="the policy's (default: %(default)s)",
    )


def _declare_create(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    _declare_replace(parser, "replace the trust policy of the role")


def _declare_grant(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    _declare_bucket(parser, is_required=False)
    _declare_access(parser)
    _declare_policy(parser)
    parser.add_argument(
        "--policy-document",
        metavar="FILE",
        help="a policy document; becomes the custom policy --policy (default: ROLE-FILE)",
    )
    _declare_replace(parser, "give the policy a new version")


def _declare_revoke(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    _declare_bucket(parser, is_required=False)
    _declare_policy(parser)


def _declare_attach(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    _declare_instances(parser)
    _declare_replace(parser, "replace the role of an instance")


def _declare_change(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NEW", help="the role that they are to have")
    _declare_instances(parser)


def _declare_setup(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    _declare_bucket(parser, is_required=True)
    _declare_access(parser)
    parser.add_argument(
        "--instance",
        dest="instances",
        action="extend",
        nargs="+",
        required=True,
        metavar="I",
        help="instances' ids",
    )
    _declare_replace(parser, "change what exists")


def _declare_teardown(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    parser.add_argument(
        "--instance",
        dest="instances",
        action="extend",
        nargs="+",
        default=[],
        metavar="I",
        help="only these instances (default: all that setup attached the role to)",
    )


def _plan_grant(manager: RoleManager, arguments: argparse.Namespace) -> Plan:
    from ecs_role_creds.cli.role.run import read_document
    from ecs_role_creds.roles import InputError

    one, replace = arguments, arguments.replace
    if one.bucket and (one.policy or one.policy_document):
        raise InputError("--bucket writes a policy of its own: leave out --policy and its document")
    if one.bucket:
        return manager.plan_grant_bucket(
            one.name, one.bucket, _access(one), prefix=one.prefix, replace=replace
        )
    if one.access or one.prefix:
        raise InputError("--read, --list, --write and --prefix are for --bucket")
    if one.policy_document:
        name, document = read_document(one.policy_document, one.name)
        return manager.plan_grant_document(one.name, one.policy or name, document, replace=replace)
    if one.policy:
        return manager.plan_grant_policy(one.name, one.policy, one.type)
    raise InputError("what is to be granted? Pass --bucket, --policy or --policy-document")


def _plan_revoke(manager: RoleManager, arguments: argparse.Namespace) -> Plan:
    from ecs_role_creds.roles import InputError

    one = arguments
    if bool(one.bucket) == bool(one.policy):
        raise InputError("what is to be revoked? Pass --bucket or --policy")
    if one.bucket:
        return manager.plan_revoke_bucket(one.name, one.bucket, prefix=one.prefix)
    return manager.plan_revoke_policy(one.name, one.policy, one.type)


def _access(arguments: argparse.Namespace) -> Any:
    from ecs_role_creds.roles import InputError

    if not arguments.access:
        raise InputError("what may the role do? Pass one or more of --read, --list, --write")
    return arguments.access


PLANNED = {
    "create": Planned(
        "create a role that ECS instances can assume",
        "create example-role",
        _declare_create,
        lambda manager, one: manager.plan_create(one.name, replace=one.replace),
    ),
    "delete": Planned(
        "delete a role, with the policies that grant made for it",
        "delete example-role",
        _declare_name,
        lambda manager, one: manager.plan_delete(one.name),
    ),
    "grant": Planned(
        "let a role do something",
        "grant example-role --bucket example-bucket --prefix photos/ --read --list",
        _declare_grant,
        _plan_grant,
    ),
    "revoke": Planned(
        "take back what was granted",
        "revoke example-role --bucket example-bucket --prefix photos/",
        _declare_revoke,
        _plan_revoke,
    ),
    "attach": Planned(
        "give instances a role",
        "attach example-role i-bp1example",
        _declare_attach,
        lambda manager, one: manager.plan_attach(one.name, one.instances, replace=one.replace),
    ),
    "detach": Planned(
        "take the role from instances",
        "detach i-bp1example",
        _declare_instances,
        lambda manager, one: manager.plan_detach(one.instances),
    ),
    "change": Planned(
        "give instances another role; where that fails, they keep the old one",
        "change other-role i-bp1example",
        _declare_change,
        lambda manager, one: manager.plan_change(one.name, one.instances),
    ),
    "harden": Planned(
        "have instances answer metadata requests in the security hardening mode only",
        "harden i-bp1example",
        _declare_instances,
        lambda manager, one: manager.plan_harden(one.instances),
    ),
    "setup": Planned(
        "create a role, let it use a bucket, and give it to instances",
        "setup example-role --bucket example-bucket --read --instance i-bp1example",
        _declare_setup,
        lambda manager, one: manager.plan_setup(
            one.name,
            one.bucket,
            _access(one),
            one.instances,
            prefix=one.prefix,
            replace=one.replace,
        ),
    ),
    "teardown": Planned(
        "undo what setup did, and nothing else",
        "teardown example-role",
        _declare_teardown,
        lambda manager, one: manager.plan_teardown(one.name, one.instances),
    ),
}
