"""Roles: that they exist, with the right trust policy, or do not."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ecs_role_creds.roles.documents import (
    TRUST_POLICY,
    dump_document,
    is_same_document,
    trusts_ecs,
)
from ecs_role_creds.roles.plan import (
    Difference,
    Plan,
    RamStep,
)
from ecs_role_creds.roles.sentences import explain
from ecs_role_creds.roles.state import (
    Role,
)


def mark(made_by: str, role: str) -> str:
    """The description of what we make, by which we know it again.

    Args:
        made_by: ``"create"``, ``"grant"`` or ``"setup"``.
        role: For which role.
    """
    return f"Created by ecs-role-creds role {made_by} for {role}"


def ensure_role(name: str, role: Role | None, *, made_by: str, replace: bool) -> Plan:
    """The role exists, and ECS instances can assume it."""
    if role is None:
        parameters = {
            "RoleName": name,
            "AssumeRolePolicyDocument": dump_document(TRUST_POLICY),
            "Description": mark(made_by, name),
        }
        purpose = f"create role {name}, which ECS instances can assume"
        return Plan((RamStep("CreateRole", parameters, purpose, document=TRUST_POLICY),))
    if is_same_document(role.trust_policy, TRUST_POLICY):
        return Plan(unchanged=(f"role {name}",))
    if not replace:
        remedy = "pass --replace to replace its trust policy, or choose another name"
        subject = f"the trust policy of role {name}"
        return Plan(differences=(Difference(subject, role.trust_policy, TRUST_POLICY, remedy),))
    parameters = {"RoleName": name, "NewAssumeRolePolicyDocument": dump_document(TRUST_POLICY)}
    purpose = f"replace the trust policy of role {name}"
    return Plan((RamStep("UpdateRole", parameters, purpose, True, TRUST_POLICY),))


def require_role(name: str, role: Role | None) -> Plan:
    """The role has to be there already."""
    if role is not None:
        return Plan()
    return Plan(problems=(explain("EntityNotExist.Role", api="GetRole", subject=f"role {name}"),))


def require_ecs_role(name: str, role: Role | None) -> Plan:
    """The role has to be there already, and ECS instances can assume it."""
    if role is None or trusts_ecs(role.trust_policy):
        return require_role(name, role)
    subject = f"role {name}"
    code = "InvalidRamRole.NotEcsRole"
    return Plan(problems=(explain(code, api="AttachInstanceRamRole", subject=subject),))


def remove_role(name: str, role: Role | None, holders: Collection[str]) -> Plan:
    """The role does not exist, and has had its policies detached.

    Args:
        name: The role's name.
        role: The role, if there is one.
        holders: The instances that have it: while there are any, it stays.
    """
    if role is None:
        return Plan(unchanged=(f"role {name}: does not exist",))
    if holders:
        shown = _shown(sorted(holders))
        detach = f"detach it first: role detach {shown}"
        return Plan(problems=(f"Role {name} is attached to {len(holders)} instances; {detach}",))
    purpose = f"delete role {name} (instances of other regions are not looked at)"
    step = RamStep("DeleteRole", {"RoleName": name}, purpose, takes_rights=True)
    return Plan((step,))


def _shown(ids: Sequence[str], most: int = 5) -> str:
    return " ".join(ids[:most]) + (" ..." if len(ids) > most else "")
