"""Compare what exists with what is requested, and return a plan. Pure functions, no I/O."""

from ecs_role_creds.roles.plan import add_up
from ecs_role_creds.roles.planning.instances import (
    SETUP_TAG,
    ensure_attached,
    ensure_changed,
    ensure_detached,
    ensure_hardened,
    require_sight,
    undo_setup_on_instances,
)
from ecs_role_creds.roles.planning.policies import (
    ensure_granted,
    ensure_policy,
    ensure_revoked,
    remove_own_policy,
    require_policy,
)
from ecs_role_creds.roles.planning.roles import (
    ensure_role,
    mark,
    remove_role,
    require_ecs_role,
    require_role,
)

__all__ = [
    "SETUP_TAG",
    "add_up",
    "ensure_attached",
    "ensure_changed",
    "ensure_detached",
    "ensure_granted",
    "ensure_hardened",
    "ensure_policy",
    "ensure_revoked",
    "ensure_role",
    "mark",
    "remove_own_policy",
    "remove_role",
    "require_ecs_role",
    "require_policy",
    "require_role",
    "require_sight",
    "undo_setup_on_instances",
]
