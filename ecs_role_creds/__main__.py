"""``python -m ecs_role_creds`` is the ``ecs-role-creds`` command."""

from ecs_role_creds.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
