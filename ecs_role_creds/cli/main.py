"""The command line's entry.

A subcommand module has ``add_parser(subparsers)``, which declares its arguments and sets
``run=`` to the function that does the work and returns the exit status. The modules import
what they need inside that function, so that ``--help`` stays fast.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from ecs_role_creds._version import __version__

COMMANDS = (
    "demo",
    "fake_metadata",
    "fake_oss",
)
"""The modules of this package that hold a subcommand each, in the order of ``--help``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="ecs-role-creds",
        description="Credentials of an ECS instance's RAM role: demonstration and test tools.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        import_module(f"ecs_role_creds.cli.{command}").add_parser(subparsers)
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status
