"""What has to be done: what is wanted and what is there in, a plan out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ecs_role_creds.roles.documents import (
    TRUST_POLICY,
    Document,
    dump_document,
    is_same_document,
    trusts_ecs,
)
from ecs_role_creds.roles.plan import (
    ChangeStep,
    Difference,
    Failure,
    InstanceStep,
    Plan,
    RamStep,
    add_up,
)
from ecs_role_creds.roles.sentences import explain
from ecs_role_creds.roles.state import (
    Instance,
    Instances,
    Policy,
    PolicyType,
    Role,
)

MAX_VERSIONS = 5  # documented

SETUP_TAG = "ecs-role-creds:setup"
"""The tag of the instances that ``role setup`` attached a role to; its value is the role."""


def mark(made_by: str, role: str) -> str:
    """The description of what we make, by which we know it again.

    Args:
        made_by: ``"create"``, ``"grant"`` or ``"setup"``.
        role: For which role.
    """
    return f"Created by ecs-role-creds role {made_by} for {role}"


# Roles.


def ensure_role(name: str, role: Role | None, *, made_by: str, replace: bool) -> Plan:
    """The role exists, and ECS instances may take it on."""
    if role is None:
        parameters = {
            "RoleName": name,
            "AssumeRolePolicyDocument": dump_document(TRUST_POLICY),
            "Description": mark(made_by, name),
        }
        purpose = f"create role {name}, which ECS instances may take on"
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
    """The role has to be there already, and ECS instances may take it on."""
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
    step = RamStep("DeleteRole", {"RoleName": name}, f"delete role {name}", takes_rights=True)
    return Plan((step,))


# Policies.


def ensure_policy(
    name: str, document: Document, policy: Policy | None, *, description: str, replace: bool
) -> Plan:
    """The custom policy exists, with this document."""
    if policy is None:
        created = {
            "PolicyName": name,
            "PolicyDocument": dump_document(document),
            "Description": description,
        }
        purpose = f"create policy {name}"
        return Plan((RamStep("CreatePolicy", created, purpose, document=document),))
    if is_same_document(policy.document, document):
        return Plan(unchanged=(f"policy {name}",))
    if not replace:
        remedy = "pass --replace to give it a new version"
        return Plan(differences=(Difference(f"policy {name}", policy.document, document, remedy),))
    parameters: dict[str, str | bool] = {
        "PolicyName": name,
        "PolicyDocument": dump_document(document),
        "SetAsDefault": True,
    }
    purpose = f"give policy {name} a new version"
    newer = RamStep("CreatePolicyVersion", parameters, purpose, True, document)
    spare = sorted(
        (one for one in policy.versions if not one.is_default),
        key=lambda one: (one.created, int(one.version_id.lstrip("v") or 0)),
    )
    room = [_delete_version(name, one.version_id) for one in spare[:1]]
    return Plan((*(room if len(policy.versions) >= MAX_VERSIONS else ()), newer))


def require_policy(name: str, type: PolicyType, policy: Policy | None) -> Plan:
    """The policy has to be there already."""
    if policy is not None:
        return Plan()
    subject = f"policy {name} of the type {type}"
    return Plan(problems=(explain("EntityNotExist.Policy", api="GetPolicy", subject=subject),))


def ensure_granted(role: Role | None, role_name: str, name: str, type: PolicyType) -> Plan:
    """The role has the policy."""
    if role is not None and _has(role, name, type):
        return Plan(unchanged=(f"policy {name} of role {role_name}",))
    parameters = {"PolicyType": type, "PolicyName": name, "RoleName": role_name}
    purpose = f"attach policy {name} to role {role_name}"
    return Plan((RamStep("AttachPolicyToRole", parameters, purpose),))


def ensure_revoked(role: Role | None, role_name: str, name: str, type: PolicyType) -> Plan:
    """The role does not have the policy."""
    if role is None or not _has(role, name, type):
        return Plan(unchanged=(f"role {role_name} without policy {name}",))
    parameters = {"PolicyType": type, "PolicyName": name, "RoleName": role_name}
    purpose = f"detach policy {name} from role {role_name}"
    return Plan((RamStep("DetachPolicyFromRole", parameters, purpose, takes_rights=True),))


def remove_own_policy(policy: Policy, role_name: str, role: Role | None) -> Plan:
    """A custom policy that we made for a role is detached from it and deleted.

    While others have it, it stays.
    """
    revoked = ensure_revoked(role, role_name, policy.name, policy.type)
    others = policy.attachments - len(revoked.steps)
    if others > 0:
        kept = f"policy {policy.name}: {others} other users, groups or roles have it"
        return Plan(revoked.steps, kept=(kept,))
    spare = [one.version_id for one in policy.versions if not one.is_default]
    steps = [_delete_version(policy.name, version) for version in spare]
    purpose = f"delete policy {policy.name}"
    steps.append(RamStep("DeletePolicy", {"PolicyName": policy.name}, purpose, takes_rights=True))
    return Plan((*revoked.steps, *steps))


def _delete_version(name: str, version: str) -> RamStep:
    parameters = {"PolicyName": name, "VersionId": version}
    purpose = f"delete version {version} of policy {name}, which is not in use"
    return RamStep("DeletePolicyVersion", parameters, purpose)


def _has(role: Role, name: str, type: PolicyType) -> bool:
    return any((one.name, one.type) == (name, type) for one in role.policies)


# Instances.


def ensure_attached(
    role: str, wanted: Sequence[str], instances: Instances, *, replace: bool = False, tag: str = ""
) -> Plan:
    """The instances have the role.

    Args:
        role: Its name.
        wanted: The instances' ids.
        instances: What is known of them.
        replace: Whether an instance that has another role is to be changed.
        tag: A tag to put on those that are attached now, with the role as its value; before that,
            so that no attachment of ours can be without it.
    """
    found, missing = _sort_out(wanted, instances)
    classic = [one.instance_id for one in found if not one.is_in_vpc]
    able = [one for one in found if one.is_in_vpc]
    free = [one.instance_id for one in able if one.role is None]
    others = [one for one in able if one.role not in (None, role)]
    changes = _changes(role, others) if replace else Plan()
    refused = [] if replace else [one.instance_id for one in others]
    new = [*free, *(one.instance_id for one in others if replace)]
    if tag:
        untagged = [one for one in new if instances[one].tags.get(tag) != role]
        purpose = f"mark the instances with the tag {tag}={role}"
        before = _for_instances(InstanceStep("TagResources", tuple(untagged), purpose, role))
        after = Plan()
    else:
        # An old mark must not make this attachment look like one of role setup's.
        before = _unmark([instances[one] for one in free])
        after = _unmark(others) if replace else Plan()
    return add_up(
        missing,
        Plan(failures=_failures("InvalidNetworkType.MismatchRamRole", classic)),
        Plan(failures=_failures("InstanceHasRole", refused)),
        Plan(unchanged=_names(one.instance_id for one in able if one.role == role)),
        before,
        _for_instances(_attach(role, free)),
        changes,
        after,
    )


def ensure_detached(wanted: Sequence[str], instances: Instances) -> Plan:
    """The instances have no role."""
    found, missing = _sort_out(wanted, instances)
    unchanged = Plan(unchanged=_names(one.instance_id for one in found if one.role is None))
    roles = sorted({one.role for one in found if one.role is not None})
    return add_up(
        missing,
        unchanged,
        *(detach(role, [one.instance_id for one in found if one.role == role]) for role in roles),
        _unmark(found),
    )


def ensure_changed(role: str, wanted: Sequence[str], instances: Instances) -> Plan:
    """The instances have this role instead of theirs."""
    return ensure_attached(role, wanted, instances, replace=True)


def ensure_hardened(wanted: Sequence[str], instances: Instances) -> Plan:
    """The instances' metadata service answers in the security hardening mode only."""
    found, missing = _sort_out(wanted, instances)
    open_ones = tuple(one.instance_id for one in found if not one.is_hardened)
    purpose = "answer metadata requests in the security hardening mode only"
    return add_up(
        missing,
        Plan(unchanged=_names(one.instance_id for one in found if one.is_hardened)),
        _for_instances(
            InstanceStep("ModifyInstanceMetadataOptions", open_ones, purpose, takes_rights=True)
        ),
    )


def detach(role: str, ids: Sequence[str]) -> Plan:
    """Take the role from instances that have it."""
    purpose = f"take role {role} from the instances"
    return _for_instances(
        InstanceStep("DetachInstanceRamRole", tuple(ids), purpose, role, takes_rights=True)
    )


def undo_setup_on_instances(role: str, only: Collection[str], instances: Instances) -> Plan:
    """Take the role from the instances that ``role setup`` gave it to, and from no other.

    Args:
        role: Its name.
        only: Their ids; empty: all that ``role setup`` gave it to.
        instances: Those with the tag of ``role setup``, and those named.
    """
    found, missing = _sort_out(list(only) or list(instances), instances)
    ours = [one for one in found if one.tags.get(SETUP_TAG) == role]
    kept = [
        f"{one.instance_id}: role setup did not attach the role; use role detach"
        for one in found
        if one not in ours and one.role == role
    ]
    return add_up(
        missing,
        Plan(kept=tuple(kept)),
        detach(role, [one.instance_id for one in ours if one.role == role]),
        _unmark(ours),
    )


def _unmark(found: Iterable[Instance]) -> Plan:
    """Remove the mark of ``role setup`` from those that have it."""
    marked = tuple(one.instance_id for one in found if SETUP_TAG in one.tags)
    purpose = f"remove the tag {SETUP_TAG}"
    return _for_instances(InstanceStep("UntagResources", marked, purpose))


def _attach(role: str, ids: Sequence[str]) -> InstanceStep:
    purpose = f"give the instances role {role}"
    return InstanceStep("AttachInstanceRamRole", tuple(ids), purpose, role)


def _changes(role: str, others: Sequence[Instance]) -> Plan:
    olds = sorted({one.role for one in others if one.role is not None})
    return Plan(
        tuple(
            ChangeStep(tuple(one.instance_id for one in others if one.role == old), old, role)
            for old in olds
        )
    )


def _sort_out(wanted: Sequence[str], instances: Instances) -> tuple[list[Instance], Plan]:
    unique = list(dict.fromkeys(wanted))
    missing = [one for one in unique if one not in instances]
    found = [instances[one] for one in unique if one in instances]
    return found, Plan(failures=_failures("InvalidInstanceId.NotFound", missing))


def _for_instances(step: InstanceStep) -> Plan:
    return Plan((step,)) if step.instances else Plan()


def _failures(code: str, ids: Iterable[str]) -> tuple[Failure, ...]:
    return tuple(
        Failure(one, code, explain(code, api="", subject=f"instance {one}")) for one in ids
    )


def _names(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"instance {one}" for one in ids)


def _shown(ids: Sequence[str], most: int = 5) -> str:
    return " ".join(ids[:most]) + (" ..." if len(ids) > most else "")
