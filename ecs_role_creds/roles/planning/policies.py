"""Plans for policies: create, attach, detach and delete them."""

from __future__ import annotations

from ecs_role_creds.roles.documents import (
    Document,
    dump_document,
    is_same_document,
)
from ecs_role_creds.roles.plan import (
    Difference,
    Plan,
    RamStep,
)
from ecs_role_creds.roles.sentences import explain
from ecs_role_creds.roles.state import (
    Policy,
    PolicyType,
    Role,
)

MAX_VERSIONS = 5  # documented


def ensure_policy(
    name: str, document: Document, policy: Policy | None, *, description: str, replace: bool
) -> Plan:
    """Create the custom policy, or check its document."""
    if policy is None:
        created = {
            "PolicyName": name,
            "PolicyDocument": dump_document(document),
            "Description": description,
        }
        purpose = f"create policy {name}"
        return Plan((RamStep("CreatePolicy", created, purpose, document=document),))
    if is_same_document(policy.document, document):
        return Plan(unchanged=(f"policy {name} exists",))
    if not replace:
        remedy = "pass --replace to create a new version"
        return Plan(differences=(Difference(f"policy {name}", policy.document, document, remedy),))
    parameters: dict[str, str | bool] = {
        "PolicyName": name,
        "PolicyDocument": dump_document(document),
        "SetAsDefault": True,
    }
    purpose = f"create a new default version of policy {name}"
    newer = RamStep("CreatePolicyVersion", parameters, purpose, True, document)
    spare = sorted(
        (one for one in policy.versions if not one.is_default),
        key=lambda one: (one.created, int(one.version_id.lstrip("v") or 0)),
    )
    room = [_delete_version(name, one.version_id) for one in spare[:1]]
    return Plan((*(room if len(policy.versions) >= MAX_VERSIONS else ()), newer))


def require_policy(name: str, type: PolicyType, policy: Policy | None) -> Plan:
    """Report a problem if the policy does not exist."""
    if policy is not None:
        return Plan()
    subject = f"policy {name} of the type {type}"
    return Plan(problems=(explain("EntityNotExist.Policy", api="GetPolicy", subject=subject),))


def ensure_granted(role: Role | None, role_name: str, name: str, type: PolicyType) -> Plan:
    """Attach the policy to the role."""
    if role is not None and _has(role, name, type):
        return Plan(unchanged=(f"policy {name} is attached to role {role_name}",))
    parameters = {"PolicyType": type, "PolicyName": name, "RoleName": role_name}
    purpose = f"attach policy {name} to role {role_name}"
    return Plan((RamStep("AttachPolicyToRole", parameters, purpose),))


def ensure_revoked(role: Role | None, role_name: str, name: str, type: PolicyType) -> Plan:
    """Detach the policy from the role."""
    if role is None or not _has(role, name, type):
        lacks = f"role {role_name} does not have policy {name} of the type {type}"
        other: PolicyType = "Custom" if type == "System" else "System"
        if role is not None and _has(role, name, other):
            lacks += f", but one of the type {other}: pass --type {other}"
        return Plan(unchanged=(lacks,))
    parameters = {"PolicyType": type, "PolicyName": name, "RoleName": role_name}
    purpose = f"detach policy {name} from role {role_name}"
    return Plan((RamStep("DetachPolicyFromRole", parameters, purpose, takes_rights=True),))


def remove_own_policy(policy: Policy, role_name: str, role: Role | None) -> Plan:
    """Detach a custom policy that a command created for the role, and delete it.

    It is not deleted if it is attached to anything else.
    """
    revoked = ensure_revoked(role, role_name, policy.name, policy.type)
    others = policy.attachments - len(revoked.steps)
    if others > 0:
        kept = f"policy {policy.name}: attached elsewhere too (to users, user groups or roles)"
        return Plan(revoked.steps, kept=(kept,))
    spare = [one.version_id for one in policy.versions if not one.is_default]
    steps = [_delete_version(policy.name, version) for version in spare]
    purpose = f"delete policy {policy.name}"
    steps.append(RamStep("DeletePolicy", {"PolicyName": policy.name}, purpose, takes_rights=True))
    return Plan((*revoked.steps, *steps))


def _delete_version(name: str, version: str) -> RamStep:
    parameters = {"PolicyName": name, "VersionId": version}
    purpose = f"delete version {version} of policy {name}, which is not the default"
    return RamStep("DeletePolicyVersion", parameters, purpose)


def _has(role: Role, name: str, type: PolicyType) -> bool:
    return any((one.name, one.type) == (name, type) for one in role.policies)
