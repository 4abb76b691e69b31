"""The ``ecs-role-creds`` command: one module a subcommand."""

from ecs_role_creds.cli.main import main

__all__ = ["main"]
