"""One method for each command: read what exists, and return a plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from ecs_role_creds.roles import planning
from ecs_role_creds.roles.documents import Access, Document, bucket_policy_name, oss_policy
from ecs_role_creds.roles.errors import InputError
from ecs_role_creds.roles.execution import Executor, Outcome, Progress
from ecs_role_creds.roles.openapi import Api
from ecs_role_creds.roles.plan import Plan, add_up
from ecs_role_creds.roles.planning import SETUP_TAG, mark
from ecs_role_creds.roles.reading import Reader
from ecs_role_creds.roles.state import Instance, Policy, PolicyType, Role
from ecs_role_creds.roles.throttling import Retry

_ROLE = re.compile(r"[A-Za-z0-9.@_-]{1,64}")
_NEW_ROLE = re.compile(r"[A-Za-z0-9.-]{1,64}")
_POLICY = re.compile(r"[A-Za-z0-9-]{1,128}")
_INSTANCE = re.compile(r"i-[A-Za-z0-9-]{1,62}")


class RoleManager:
    """Manages instance RAM roles.

    The ``plan_...`` methods read what exists and change nothing. :meth:`apply` makes the calls of a
    plan. If everything already is as requested, the plan has no steps, so you can run it again.

    Args:
        api: Makes the calls; see :func:`~ecs_role_creds.roles.connect`.
        retry: When calls are retried; by default with exponential backoff and jitter.

    Every method may raise :class:`~ecs_role_creds.roles.CallError` if a call fails, and
    :class:`~ecs_role_creds.roles.InputError` if an argument is invalid.
    """

    def __init__(self, api: Api, *, retry: Retry | None = None) -> None:
        self._api = api
        self._retry = retry or Retry()
        self._read = Reader(api, self._retry)

    def apply(self, plan: Plan, tell: Callable[[Progress], object] = lambda _: None) -> Outcome:
        """Make the calls of a plan.

        A call that fails does not raise: see the ``failures`` of the outcome.

        Args:
            plan: The plan.
            tell: Called with the progress.

        Raises:
            BlockedPlanError: The plan has differences or problems.
        """
        return Executor(self._api, self._retry, tell).run(plan)

    # Show what exists.

    def show_role(self, name: str) -> tuple[Role, list[Policy], list[str]] | None:
        """Return the role, its policies, and the instances of the region that have it."""
        role = self._read.role(_checked(name, _ROLE, "role"))
        if role is None:
            return None
        found = (self._read.policy(one.name, one.type) for one in role.policies)
        return role, [one for one in found if one is not None], self._read.holders(name)

    def show_instances(self, ids: Sequence[str] = ()) -> dict[str, Instance]:
        """Return these instances, or all of the region, with their roles. Omit missing ones."""
        return self._read.instances(_ids(ids)) if ids else self._read.all_instances()

    def list_roles(self) -> Iterator[Role]:
        """Iterate over the roles that ECS instances can assume, without their policies."""
        return self._read.ecs_roles()

    # Roles.

    def plan_create(self, name: str, *, replace: bool = False) -> Plan:
        """Create a role that ECS instances can assume."""
        role = self._read.role(_checked(name, _NEW_ROLE, "role"))
        return planning.ensure_role(name, role, made_by="create", replace=replace)

    def plan_delete(self, name: str) -> Plan:
        """Delete a role, and the policies that ``plan_grant_...`` or ``plan_setup`` created for it.

        The plan is blocked if an instance of the region has the role; other regions are not
        checked.
        """
        role = self._read.role(_checked(name, _ROLE, "role"))
        holders = self._read.holders(name) if role else []
        own = self._read.own_policies({mark("grant", name), mark("setup", name)})
        others = [one for one in (role.policies if role else ()) if one.name not in _named(own)]
        return add_up(
            *(planning.remove_own_policy(one, name, role) for one in own),
            *(planning.ensure_revoked(role, name, one.name, one.type) for one in others),
            planning.remove_role(name, role, holders),
        )

    # Permissions.

    def plan_grant_bucket(
        self,
        name: str,
        bucket: str,
        access: Iterable[Access],
        *,
        prefix: str = "",
        replace: bool = False,
    ) -> Plan:
        """Grant a role access to a bucket, with a custom policy that allows nothing else.

        Args:
            name: The role.
            bucket: The bucket.
            access: One or more of ``"read"``, ``"list"``, ``"write"``.
            prefix: Only objects whose names begin with this.
            replace: If the policy for this bucket and prefix exists and differs, create a new
                version of it.
        """
        role = self._read.role(_checked(name, _ROLE, "role"))
        document = oss_policy(bucket, access, prefix)
        policy = bucket_policy_name(name, bucket, prefix)
        return self._grant_own(role, name, policy, document, "grant", replace)

    def plan_grant_document(
        self, name: str, policy: str, document: Document, *, replace: bool = False
    ) -> Plan:
        """Create a custom policy with this name and document, and attach it to a role."""
        role = self._read.role(_checked(name, _ROLE, "role"))
        return self._grant_own(
            role, name, _checked(policy, _POLICY, "policy"), document, "grant", replace
        )

    def plan_grant_policy(self, name: str, policy: str, type: PolicyType = "System") -> Plan:
        """Attach an existing policy to a role."""
        role = self._read.role(_checked(name, _ROLE, "role"))
        found = self._read.policy(_checked(policy, _POLICY, "policy"), type)
        return add_up(
            planning.require_role(name, role),
            planning.require_policy(policy, type, found),
            planning.ensure_granted(role, name, policy, type),
        )

    def plan_revoke_bucket(self, name: str, bucket: str, *, prefix: str = "") -> Plan:
        """Detach and delete the policy of :meth:`plan_grant_bucket` for this bucket and prefix."""
        oss_policy(bucket, ["read"], prefix)  # checks the names
        role = self._read.role(_checked(name, _ROLE, "role"))
        policy = bucket_policy_name(name, bucket, prefix)
        by_setup = bucket_policy_name(name, bucket, prefix, made_by="setup")
        plan = self._revoke(role, name, policy, "Custom")
        if role is None or by_setup not in {one.name for one in role.policies}:
            return plan
        revoke = f"role revoke {name} --policy {by_setup} --type Custom"
        kept = (
            f"policy {by_setup}: `role setup` created it; use `role teardown {name}` or `{revoke}`"
        )
        return plan + Plan(kept=(kept,))

    def plan_revoke_policy(self, name: str, policy: str, type: PolicyType = "System") -> Plan:
        """Detach a policy from a role. If ``plan_grant_...`` created it, delete it as well."""
        role = self._read.role(_checked(name, _ROLE, "role"))
        return self._revoke(role, name, _checked(policy, _POLICY, "policy"), type)

    def _revoke(self, role: Role | None, name: str, policy: str, type: PolicyType) -> Plan:
        found = self._read.policy(policy, type)
        is_own = found is not None and found.description == mark("grant", name)
        return add_up(
            planning.require_role(name, role),
            planning.remove_own_policy(found, name, role)
            if found is not None and is_own
            else planning.ensure_revoked(role, name, policy, type),
        )

    def _grant_own(
        self,
        role: Role | None,
        name: str,
        policy: str,
        document: Document,
        made_by: str,
        replace: bool,
        requires_role: bool = True,
    ) -> Plan:
        return add_up(
            planning.require_role(name, role) if requires_role else Plan(),
            planning.ensure_policy(
                policy,
                document,
                self._read.policy(policy, "Custom"),
                description=mark(made_by, name),
                replace=replace,
            ),
            planning.ensure_granted(role, name, policy, "Custom"),
        )

    # Instances.

    def plan_attach(self, name: str, ids: Sequence[str], *, replace: bool = False) -> Plan:
        """Attach a role to instances.

        Args:
            name: The role.
            ids: The ids of the instances.
            replace: Whether to change the role of instances that have another one.
        """
        role = self._read.role(_checked(name, _ROLE, "role"))
        instances = self._read.instances(_ids(ids))
        return add_up(
            planning.require_ecs_role(name, role),
            planning.ensure_attached(name, ids, instances, replace=replace),
        )

    def plan_detach(self, ids: Sequence[str]) -> Plan:
        """Detach the roles of instances, whichever they are."""
        return planning.ensure_detached(ids, self._read.instances(_ids(ids)))

    def plan_change(self, name: str, ids: Sequence[str]) -> Plan:
        """Change the role of instances. If that fails for one, the old role is attached again."""
        return self.plan_attach(name, ids, replace=True)

    def plan_harden(self, ids: Sequence[str]) -> Plan:
        """Require the security hardening mode on instances."""
        return planning.ensure_hardened(ids, self._read.instances(_ids(ids)))

    # Everything at once.

    def plan_setup(
        self,
        name: str,
        bucket: str,
        access: Iterable[Access],
        ids: Sequence[str],
        *,
        prefix: str = "",
        replace: bool = False,
    ) -> Plan:
        """Create a role, grant it access to a bucket, and attach it to instances."""
        role = self._read.role(_checked(name, _NEW_ROLE, "role"))
        document = oss_policy(bucket, access, prefix)
        policy = bucket_policy_name(name, bucket, prefix, made_by="setup")
        return add_up(
            planning.ensure_role(name, role, made_by="setup", replace=replace),
            self._grant_own(role, name, policy, document, "setup", replace, requires_role=False),
            planning.ensure_attached(
                name, ids, self._read.instances(_ids(ids)), replace=replace, tag=SETUP_TAG
            ),
        )

    def plan_teardown(self, name: str, ids: Sequence[str] = ()) -> Plan:
        """Undo what :meth:`plan_setup` did.

        Args:
            name: The role.
            ids: The ids of the instances. By default all of the region that ``plan_setup`` attached
                the role to.
        """
        role = self._read.role(_checked(name, _ROLE, "role"))
        instances = self._read.tagged_instances(SETUP_TAG, name)
        named = self._read.instances(_ids(ids)) if ids else {}
        undone = planning.undo_setup_on_instances(name, ids, {**instances, **named})
        own = self._read.own_policies({mark("setup", name)})
        holders = self._read.holders(name) if role else []
        seen = {**instances, **named}
        unknown = [one for one in holders if one not in seen]
        detached = {one for step in undone.steps for one in getattr(step, "instances", ())}
        left = sorted(set(holders) - detached)
        return add_up(
            planning.require_sight(unknown, self._read.instances(unknown) if unknown else {}),
            undone,
            self._undo_in_ram(name, role, own, left),
        )

    def _undo_in_ram(
        self, name: str, role: Role | None, own: Sequence[Policy], left: Sequence[str]
    ) -> Plan:
        """Undo what ``role setup`` did in RAM, unless instances still have the role."""
        if left:
            shown = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
            kept = (
                f"role {name} and its policies: still attached to {shown}; use `role detach` first"
            )
            return Plan(kept=(kept,))
        plan = add_up(*(planning.remove_own_policy(one, name, role) for one in own))
        if role is None or role.description == mark("setup", name):
            others = [one.name for one in (role.policies if role else ())]
            others = [one for one in others if one not in _named(own)]
            if not others:
                return plan + planning.remove_role(name, role, ())
            kept = f"role {name}: it has other policies ({', '.join(others)}); use `role delete`"
        else:
            kept = f"role {name}: `role setup` did not create it; use `role delete`"
        return plan + Plan(kept=(kept,))


def _named(policies: Sequence[Policy]) -> set[str]:
    return {one.name for one in policies}


def _checked(name: str, pattern: re.Pattern[str], kind: str) -> str:
    if name.startswith("acs:"):
        raise InputError(f"{name!r} is an ARN; pass the name of the {kind}, the part after the '/'")
    if not pattern.fullmatch(name):
        allowed = {
            "role": "1 to 64 letters, digits, '.' and '-'",
            "policy": "1 to 128 letters, digits and '-'",
        }[kind]
        raise InputError(f"invalid {kind} name {name!r}: use {allowed}")
    return name


def _ids(ids: Sequence[str]) -> Sequence[str]:
    if not ids:
        raise InputError("no instance ids: pass at least one, such as i-bp1example")
    for one in ids:
        if not _INSTANCE.fullmatch(one):
            raise InputError(f"{one!r} is not an instance id; an id looks like i-bp1example")
    return ids
