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
        help: The line in ``--help``.
        example: An example, without ``ecs-role-creds role``.
        declare: Declares the arguments.
        plan: Makes the plan.
    """

    help: str
    example: str
    declare: Callable[[argparse.ArgumentParser], object]
    plan: Callable[[RoleManager, argparse.Namespace], Plan]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their arguments."""
    parser.description = (
        "Manage instance RAM roles, with the administrator's credentials. Every subcommand that "
        "changes something first prints its plan: the API calls and the policy documents. Running "
        "it again changes nothing. Needs: pip install 'ecs-role-creds[roles]'."
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
            "--dry-run", action="store_true", help="print the plan and change nothing"
        )
        subparser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
        subparser.set_defaults(run=_run_plan, make_plan=planned.plan)
    show = _add(
        subparsers,
        parser,
        "show",
        "show a role, or the roles of instances (default: all instances of the region)",
        "show example-role",
    )
    show.add_argument(
        "what", nargs="*", metavar="NAME|INSTANCE", help="a role name, or instance ids"
    )
    _add_common(show)
    show.set_defaults(run=_run_show)
    listing = _add(
        subparsers, parser, "list", "list the roles that ECS instances can assume", "list --json"
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
    group = parser.add_argument_group("region and credentials")
    group.add_argument("--region", help="the region of the instances, such as cn-hangzhou")
    group.add_argument(
        "--as-instance",
        action="store_true",
        help="use the RAM role of the instance that this command runs on (default: the default "
        "credentials chain of alibabacloud-credentials)",
    )
    group.add_argument("--ram-endpoint", metavar="URL", help="another endpoint of RAM")
    group.add_argument("--ecs-endpoint", metavar="URL", help="another endpoint of ECS")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--debug",
        action="store_true",
        help="print every API call to standard error, without secrets",
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


# The arguments and the plan of each subcommand.


def _declare_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the name of the role")


def _declare_replace(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--replace", action="store_true", help=what)


def _declare_instances(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("instances", nargs="+", metavar="INSTANCE", help="instance ids")


def _declare_bucket(parser: argparse.ArgumentParser, is_required: bool) -> None:
    parser.add_argument("--bucket", required=is_required, help="the OSS bucket")
    parser.add_argument(
        "--prefix", default="", help="only objects whose names start with this, such as photos/"
    )


def _declare_access(parser: argparse.ArgumentParser) -> None:
    for access, does in (
        ("read", "allow to download objects"),
        ("list", "allow to list objects"),
        ("write", "allow to upload objects"),
    ):
        parser.add_argument(
            f"--{access}", dest="access", action="append_const", const=access, help=does
        )


def _declare_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", metavar="P", help="the name of a policy")
    parser.add_argument(
        "--type",
        choices=("System", "Custom"),
        default="System",
        help="the type of the policy: System for policies of Alibaba Cloud, Custom for your own "
        "(default: %(default)s)",
    )


def _declare_create(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    _declare_replace(parser, "replace the trust policy of the role if it differs")


def _declare_grant(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    _declare_bucket(parser, is_required=False)
    _declare_access(parser)
    _declare_policy(parser)
    parser.add_argument(
        "--policy-document",
        metavar="FILE",
        help="a policy document, for a custom policy named --policy (default: NAME-FILE)",
    )
    _declare_replace(parser, "create a new version of the policy if it differs")


def _declare_revoke(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    _declare_bucket(parser, is_required=False)
    _declare_policy(parser)


def _declare_attach(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    _declare_instances(parser)
    _declare_replace(parser, "change the role of instances that have another one")


def _declare_change(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NEW", help="the name of the new role")
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
        help="instance ids",
    )
    _declare_replace(parser, "change what exists but differs")


def _declare_teardown(parser: argparse.ArgumentParser) -> None:
    _declare_name(parser)
    parser.add_argument(
        "--instance",
        dest="instances",
        action="extend",
        nargs="+",
        default=[],
        metavar="I",
        help="only these instances (default: all instances that setup attached the role to)",
    )


def _plan_grant(manager: RoleManager, arguments: argparse.Namespace) -> Plan:
    from ecs_role_creds.cli.role.run import read_document
    from ecs_role_creds.roles import InputError

    one, replace = arguments, arguments.replace
    if one.bucket and (one.policy or one.policy_document):
        raise InputError("--bucket cannot be combined with --policy or --policy-document")
    if one.bucket:
        return manager.plan_grant_bucket(
            one.name, one.bucket, _access(one), prefix=one.prefix, replace=replace
        )
    if one.access or one.prefix:
        raise InputError("--read, --list, --write and --prefix need --bucket")
    if one.policy_document:
        name, document = read_document(one.policy_document, one.name)
        return manager.plan_grant_document(one.name, one.policy or name, document, replace=replace)
    if one.policy:
        return manager.plan_grant_policy(one.name, one.policy, one.type)
    raise InputError("nothing to grant: pass --bucket, --policy or --policy-document")


def _plan_revoke(manager: RoleManager, arguments: argparse.Namespace) -> Plan:
    from ecs_role_creds.roles import InputError

    one = arguments
    if bool(one.bucket) == bool(one.policy):
        raise InputError("pass either --bucket or --policy to say what to revoke")
    if one.bucket:
        return manager.plan_revoke_bucket(one.name, one.bucket, prefix=one.prefix)
    return manager.plan_revoke_policy(one.name, one.policy, one.type)


def _access(arguments: argparse.Namespace) -> Any:
    from ecs_role_creds.roles import InputError

    if not arguments.access:
        raise InputError("no permissions: pass one or more of --read, --list, --write")
    return arguments.access


PLANNED = {
    "create": Planned(
        "create a role that ECS instances can assume",
        "create example-role",
        _declare_create,
        lambda manager, one: manager.plan_create(one.name, replace=one.replace),
    ),
    "delete": Planned(
        "delete a role, and the policies that grant and setup created for it",
        "delete example-role",
        _declare_name,
        lambda manager, one: manager.plan_delete(one.name),
    ),
    "grant": Planned(
        "grant permissions to a role",
        "grant example-role --bucket example-bucket --prefix photos/ --read --list",
        _declare_grant,
        _plan_grant,
    ),
    "revoke": Planned(
        "revoke permissions of a role",
        "revoke example-role --bucket example-bucket --prefix photos/",
        _declare_revoke,
        _plan_revoke,
    ),
    "attach": Planned(
        "attach a role to instances",
        "attach example-role i-bp1example",
        _declare_attach,
        lambda manager, one: manager.plan_attach(one.name, one.instances, replace=one.replace),
    ),
    "detach": Planned(
        "detach the role of instances",
        "detach i-bp1example",
        _declare_instances,
        lambda manager, one: manager.plan_detach(one.instances),
    ),
    "change": Planned(
        "change the role of instances; if that fails, attach the old one again",
        "change other-role i-bp1example",
        _declare_change,
        lambda manager, one: manager.plan_change(one.name, one.instances),
    ),
    "harden": Planned(
        "require the security hardening mode (IMDSv2) on instances",
        "harden i-bp1example",
        _declare_instances,
        lambda manager, one: manager.plan_harden(one.instances),
    ),
    "setup": Planned(
        "create a role, grant it access to a bucket, and attach it to instances",
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
        "undo setup: detach and delete the role, and delete the policies that setup created",
        "teardown example-role",
        _declare_teardown,
        lambda manager, one: manager.plan_teardown(one.name, one.instances),
    ),
}
