"""The ``ecs-role-creds`` command, with one module for each subcommand."""

from ecs_role_creds.cli.main import main

__all__ = ["main"]
