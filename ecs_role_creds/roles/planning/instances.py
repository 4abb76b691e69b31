"""Plans for instances: attach, detach and change roles, require the hardening mode."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ecs_role_creds.roles.plan import (
    ChangeStep,
    Failure,
    InstanceStep,
    Plan,
    add_up,
)
from ecs_role_creds.roles.sentences import explain
from ecs_role_creds.roles.state import (
    Instance,
    Instances,
)

SETUP_TAG = "ecs-role-creds:setup"
"""The tag that ``role setup`` puts on instances. Its value is the role."""


def ensure_attached(
    role: str, wanted: Sequence[str], instances: Instances, *, replace: bool = False, tag: str = ""
) -> Plan:
    """Attach the role to the instances.

    Args:
        role: The role's name.
        wanted: The ids of the instances.
        instances: The instances that exist.
        replace: Whether to change the role of instances that have another one.
        tag: A tag for the instances that get the role now, with the role as its value. It is set
            first, so that every instance that got the role has the tag.
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
        purpose = f"tag the instances with {tag}={role}"
        before = _for_instances(InstanceStep("TagResources", tuple(untagged), purpose, role))
        after = Plan()
    else:
        # Remove an old tag: `role setup` did not make this attachment.
        before = _unmark([instances[one] for one in free])
        after = _unmark(others) if replace else Plan()
    return add_up(
        missing,
        Plan(failures=_failures("InvalidNetworkType.MismatchRamRole", classic)),
        Plan(failures=_failures("InstanceHasRole", refused)),
        Plan(unchanged=_each((one for one in able if one.role == role), f"has role {role}")),
        before,
        _for_instances(_attach(role, free)),
        changes,
        after,
    )


def ensure_detached(wanted: Sequence[str], instances: Instances) -> Plan:
    """Detach the roles of the instances, whichever they are."""
    found, missing = _sort_out(wanted, instances)
    unchanged = Plan(unchanged=_each((one for one in found if one.role is None), "has no role"))
    roles = sorted({one.role for one in found if one.role is not None})
    return add_up(
        missing,
        unchanged,
        *(detach(role, [one.instance_id for one in found if one.role == role]) for role in roles),
        _unmark(found),
    )


def ensure_changed(role: str, wanted: Sequence[str], instances: Instances) -> Plan:
    """Attach the role to the instances, in place of the one that they have."""
    return ensure_attached(role, wanted, instances, replace=True)


def ensure_hardened(wanted: Sequence[str], instances: Instances) -> Plan:
    """Require the security hardening mode on the instances."""
    found, missing = _sort_out(wanted, instances)
    open_ones = tuple(one.instance_id for one in found if not one.is_hardened)
    purpose = "require the security hardening mode (IMDSv2) on the instances"
    return add_up(
        missing,
        Plan(
            unchanged=_each(
                (one for one in found if one.is_hardened), "requires the security hardening mode"
            )
        ),
        _for_instances(
            InstanceStep("ModifyInstanceMetadataOptions", open_ones, purpose, takes_rights=True)
        ),
    )


def detach(role: str, ids: Sequence[str]) -> Plan:
    """Detach the role from instances that have it."""
    purpose = f"detach role {role} from the instances"
    return _for_instances(
        InstanceStep("DetachInstanceRamRole", tuple(ids), purpose, role, takes_rights=True)
    )


def undo_setup_on_instances(role: str, only: Collection[str], instances: Instances) -> Plan:
    """Detach the role from the instances that ``role setup`` attached it to.

    Args:
        role: The role's name.
        only: The ids of the instances; if empty, all that ``role setup`` attached the role to.
        instances: The instances with the tag of ``role setup``, and those in ``only``.
    """
    found, missing = _sort_out(list(only) or list(instances), instances)
    ours = [one for one in found if one.tags.get(SETUP_TAG) == role]
    kept = [
        f"the role of instance {one.instance_id}: `role setup` did not attach it; use `role detach`"
        for one in found
        if one not in ours and one.role == role
    ]
    return add_up(
        missing,
        Plan(kept=tuple(kept)),
        detach(role, [one.instance_id for one in ours if one.role == role]),
        _unmark(ours),
    )


def require_sight(ids: Sequence[str], instances: Instances) -> Plan:
    """Report a problem if the caller may not see the instances: ECS then leaves them out."""
    _, missing = _sort_out(ids, instances)
    return Plan(problems=tuple(one.message for one in missing.failures[:1]))


def _unmark(found: Iterable[Instance]) -> Plan:
    """Remove the tag of ``role setup`` from the instances that have it."""
    marked = tuple(one.instance_id for one in found if SETUP_TAG in one.tags)
    purpose = f"remove the tag {SETUP_TAG} from the instances"
    return _for_instances(InstanceStep("UntagResources", marked, purpose))


def _attach(role: str, ids: Sequence[str]) -> InstanceStep:
    purpose = f"attach role {role} to the instances"
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


def _each(instances: Iterable[Instance], state: str) -> tuple[str, ...]:
    return tuple(f"instance {one.instance_id} {state}" for one in instances)
