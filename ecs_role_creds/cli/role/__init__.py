"""``ecs-role-creds role``: create, grant, attach, detach and change instance RAM roles."""

from ecs_role_creds.cli.role.command import configure

__all__ = ["configure"]
