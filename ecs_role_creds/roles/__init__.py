"""Create, attach, detach and change instance RAM roles. For administrators.

Needs ``pip install 'ecs-role-creds[roles]'``. Make a plan first, then apply it::

    from ecs_role_creds.roles import RoleManager, connect

    manager = RoleManager(connect(region="cn-hangzhou"))
    plan = manager.plan_setup("example-role", "example-bucket", ["read"], ["i-bp1example"])
    for step in plan.steps:
        print(step.api, step.purpose)
    outcome = manager.apply(plan)
"""

from __future__ import annotations

from ecs_role_creds.roles.documents import TRUST_POLICY, Access, oss_policy
from ecs_role_creds.roles.errors import BlockedPlanError, CallError, InputError, RolesError
from ecs_role_creds.roles.execution import Outcome, Progress
from ecs_role_creds.roles.manager import RoleManager
from ecs_role_creds.roles.openapi import Api, OpenApi, connect
from ecs_role_creds.roles.plan import (
    ChangeStep,
    Difference,
    Failure,
    InstanceStep,
    Plan,
    RamStep,
    Step,
)
from ecs_role_creds.roles.state import Instance, Policy, Role
from ecs_role_creds.roles.throttling import Retry

__all__ = [
    "Access",
    "Api",
    "BlockedPlanError",
    "CallError",
    "ChangeStep",
    "Difference",
    "Failure",
    "InputError",
    "Instance",
    "InstanceStep",
    "OpenApi",
    "Outcome",
    "Plan",
    "Policy",
    "Progress",
    "RamStep",
    "Retry",
    "Role",
    "RoleManager",
    "RolesError",
    "Step",
    "TRUST_POLICY",
    "connect",
    "oss_policy",
]
