"""The command line's entry.

A subcommand module has ``add_parser(subparsers)``, which declares its arguments and sets
``run=`` to the function that does the work and returns the exit status. The modules import
what they need inside that function, so ``--help`` stays quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ecs_role_creds._version import __version__
from ecs_role_creds.cli import demo, fake_metadata


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="ecs-role-creds",
        description="Credentials of an ECS instance's RAM role: demonstration and test tools.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo.add_parser(subparsers)
    fake_metadata.add_parser(subparsers)
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status
