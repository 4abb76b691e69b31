"""Plans for roles: create them, correct their trust policy, delete them."""

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
    """Return the description of a role or policy that a command creates. It is found by it later.

    Args:
        made_by: The command: ``"create"``, ``"grant"`` or ``"setup"``.
        role: The role's name.
    """
    return f"Created by ecs-role-creds role {made_by} for {role}"


def ensure_role(name: str, role: Role | None, *, made_by: str, replace: bool) -> Plan:
    """Create the role, or check its trust policy."""
    if role is None:
        parameters = {
            "RoleName": name,
            "AssumeRolePolicyDocument": dump_document(TRUST_POLICY),
            "Description": mark(made_by, name),
        }
        purpose = f"create role {name}, which ECS instances can assume"
        return Plan((RamStep("CreateRole", parameters, purpose, document=TRUST_POLICY),))
    if is_same_document(role.trust_policy, TRUST_POLICY):
        return Plan(unchanged=(f"role {name} exists",))
    if not replace:
        remedy = "pass --replace to replace its trust policy, or choose another name"
        subject = f"the trust policy of role {name}"
        return Plan(differences=(Difference(subject, role.trust_policy, TRUST_POLICY, remedy),))
    parameters = {"RoleName": name, "NewAssumeRolePolicyDocument": dump_document(TRUST_POLICY)}
    purpose = f"replace the trust policy of role {name}"
    return Plan((RamStep("UpdateRole", parameters, purpose, True, TRUST_POLICY),))


def require_role(name: str, role: Role | None) -> Plan:
    """Report a problem if the role does not exist."""
    if role is not None:
        return Plan()
    return Plan(problems=(explain("EntityNotExist.Role", api="GetRole", subject=f"role {name}"),))


def require_ecs_role(name: str, role: Role | None) -> Plan:
    """Report a problem if the role does not exist, or ECS instances cannot assume it."""
    if role is None or trusts_ecs(role.trust_policy):
        return require_role(name, role)
    subject = f"role {name}"
    code = "InvalidRamRole.NotEcsRole"
    return Plan(problems=(explain(code, api="AttachInstanceRamRole", subject=subject),))


def remove_role(name: str, role: Role | None, holders: Collection[str]) -> Plan:
    """Delete the role. Its policies must be detached by earlier steps.

    Args:
        name: The role's name.
        role: The role, or ``None`` if it does not exist.
        holders: The instances that have the role. If there are any, it is not deleted.
    """
    if role is None:
        return Plan(unchanged=(f"role {name} does not exist",))
    if holders:
        shown = _shown(sorted(holders))
        count = f"{len(holders)} instance" + ("s" if len(holders) > 1 else "")
        detach = f"Detach it first: `role detach {shown}`."
        return Plan(problems=(f"Role {name} is attached to {count}. {detach}",))
    purpose = f"delete role {name} (instances in other regions were not checked)"
    step = RamStep("DeleteRole", {"RoleName": name}, purpose, takes_rights=True)
    return Plan((step,))


def _shown(ids: Sequence[str], most: int = 5) -> str:
    return " ".join(ids[:most]) + (" ..." if len(ids) > most else "")
