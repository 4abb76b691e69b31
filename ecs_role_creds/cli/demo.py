"""``ecs-role-creds demo``."""

from __future__ import annotations

from typing import Any


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand and its arguments."""
    parser = subparsers.add_parser("demo", help="see it work")
    parser.set_defaults(run=lambda arguments: 0)
