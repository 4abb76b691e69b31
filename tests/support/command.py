"""``ecs-role-creds`` as a process of its own, with the default deadline of the tests.

python tests/support/command.py get --format env
"""

import sys
from pathlib import Path


def run() -> int:
    sys.path[0] = str(Path(__file__).parents[1])  # instead of this folder
    from ecs_role_creds.cli import main
    from support import patience  # noqa: F401

    return main()


if __name__ == "__main__":
    sys.exit(run())
