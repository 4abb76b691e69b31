"""One method a command: read what is there, and return the plan."""

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
    """Plans what has to be done about instance RAM roles, and does it.

    Every ``plan_...`` method reads what is there and changes nothing. :meth:`apply` carries a plan
    out. A plan of what is as wanted already has no steps, so all of it can be run again.

    Args:
        api: Makes the calls; see :func:`~ecs_role_creds.roles.connect`.
        retry: When a call is tried again; by default with exponential backoff.

    Every method may raise :class:`~ecs_role_creds.roles.CallError` if a call fails, and
    :class:`~ecs_role_creds.roles.InputError` for an argument that cannot be used.
    """

    def __init__(self, api: Api, *, retry: Retry | None = None) -> None:
        self._api = api
        self._retry = retry or Retry()
        self._read = Reader(api, self._retry)

    def apply(self, plan: Plan, tell: Callable[[Progress], object] = lambda _: None) -> Outcome:
        """Carry a plan out.

        Args:
            plan: What to do.
            tell: Hears of the progress.

        Raises:
            BlockedPlanError: Something is in the way.
        """
        return Executor(self._api, self._retry, tell).run(plan)

    # What is there.

    def show_role(self, name: str) -> tuple[Role, list[Policy], list[str]] | None:
        """The role, its policies with their documents, and the instances that have it."""
        role = self._read.role(_checked(name, _ROLE, "role"))
        if role is None:
            return None
        found = (self._read.policy(one.name, one.type) for one in role.policies)
        return role, [one for one in found if one is not None], self._read.holders(name)

    def show_instances(self, ids: Sequence[str] = ()) -> dict[str, Instance]:
        """The instances, or all of the region, with their roles; without those not found."""
        return self._read.instances(_ids(ids)) if ids else self._read.all_instances()

    def list_roles(self) -> Iterator[Role]:
        """The roles that ECS instances can assume, without their policies."""
        return self._read.ecs_roles()

    # Roles.

    def plan_create(self, name: str, *, replace: bool = False) -> Plan:
        """Create a role that ECS instances can assume."""
        role = self._read.role(_checked(name, _NEW_ROLE, "role"))
        return planning.ensure_role(name, role, made_by="create", replace=replace)

    def plan_delete(self, name: str) -> Plan:
        """Delete a role, with the policies that ``plan_grant`` made for it.

        It stays if an instance of the region has it. Other regions are not looked at.
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

    # What a role may do.

    def plan_grant_bucket(
        self,
        name: str,
        bucket: str,
        access: Iterable[Access],
        *,
        prefix: str = "",
        replace: bool = False,
    ) -> Plan:
        """Let a role do with a bucket's objects what is asked for, and no more.

        Args:
            name: The role.
            bucket: The bucket.
            access: ``"read"``, ``"list"``, ``"write"``.
            prefix: Only objects whose names begin with this.
            replace: Whether a policy for the same bucket and prefix with other rights is to get a
                new version.
        """
        role = self._read.role(_checked(name, _ROLE, "role"))
        document = oss_policy(bucket, access, prefix)
        policy = bucket_policy_name(name, bucket, prefix)
        return self._grant_own(role, name, policy, document, "grant", replace)

    def plan_grant_document(
        self, name: str, policy: str, document: Document, *, replace: bool = False
    ) -> Plan:
        """Let a role do what a policy document says, by a custom policy of that name."""
        role = self._read.role(_checked(name, _ROLE, "role"))
        return self._grant_own(
            role, name, _checked(policy, _POLICY, "policy"), document, "grant", replace
        )

    def plan_grant_policy(self, name: str, policy: str, type: PolicyType = "System") -> Plan:
        """Attach a policy that exists to a role."""
        role = self._read.role(_checked(name, _ROLE, "role"))
        found = self._read.policy(_checked(policy, _POLICY, "policy"), type)
        return add_up(
            planning.require_role(name, role),
            planning.require_policy(policy, type, found),
            planning.ensure_granted(role, name, policy, type),
        )

    def plan_revoke_bucket(self, name: str, bucket: str, *, prefix: str = "") -> Plan:
        """Take back what :meth:`plan_grant_bucket` granted for the same bucket and prefix."""
        oss_policy(bucket, ["read"], prefix)  # checks the names
        return self.plan_revoke_policy(name, bucket_policy_name(name, bucket, prefix), "Custom")

    def plan_revoke_policy(self, name: str, policy: str, type: PolicyType = "System") -> Plan:
        """Detach a policy from a role; one that ``plan_grant_...`` made is deleted as well."""
        role = self._read.role(_checked(name, _ROLE, "role"))
        found = self._read.policy(_checked(policy, _POLICY, "policy"), type)
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

    # Which instances have it.

    def plan_attach(self, name: str, ids: Sequence[str], *, replace: bool = False) -> Plan:
        """Give instances a role.

        Args:
            name: The role.
            ids: The instances.
            replace: Whether those that have another role are to be changed.
        """
        role = self._read.role(_checked(name, _ROLE, "role"))
        instances = self._read.instances(_ids(ids))
        return add_up(
            planning.require_ecs_role(name, role),
            planning.ensure_attached(name, ids, instances, replace=replace),
        )

    def plan_detach(self, ids: Sequence[str]) -> Plan:
        """Take the role, whichever it is, from instances."""
        return planning.ensure_detached(ids, self._read.instances(_ids(ids)))

    def plan_change(self, name: str, ids: Sequence[str]) -> Plan:
        """Give instances another role; where that fails, they keep the old one."""
        return self.plan_attach(name, ids, replace=True)

    def plan_harden(self, ids: Sequence[str]) -> Plan:
        """Have the instances' metadata service answer in the security hardening mode only."""
        return planning.ensure_hardened(ids, self._read.instances(_ids(ids)))

    # All of it.

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
        """Create a role, let it do what is asked for with a bucket, and give it to instances."""
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
        """Undo what :meth:`plan_setup` did, and nothing else.

        Args:
            name: The role.
            ids: Only these instances; none: all of the region that ``plan_setup`` attached it to.
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
        """Undo what ``role setup`` did in RAM, as far as nobody else needs it."""
        if left:
            shown = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
            return Plan(kept=(f"role {name} and its policies: still attached to {shown}",))
        plan = add_up(*(planning.remove_own_policy(one, name, role) for one in own))
        if role is None or role.description == mark("setup", name):
            others = [one.name for one in (role.policies if role else ())]
            others = [one for one in others if one not in _named(own)]
            if not others:
                return plan + planning.remove_role(name, role, ())
            kept = f"role {name}: it has the policies {', '.join(others)}"
        else:
            kept = f"role {name}: role setup did not create it"
        return plan + Plan(kept=(kept,))


def _named(policies: Sequence[Policy]) -> set[str]:
    return {one.name for one in policies}


def _checked(name: str, pattern: re.Pattern[str], kind: str) -> str:
    if name.startswith("acs:"):
        raise InputError(f"{name!r} is an ARN; pass the name of the {kind}, after the '/'")
    if not pattern.fullmatch(name):
        allowed = {
            "role": "1 to 64 letters, digits, '.' and '-'",
            "policy": "1 to 128 letters, digits and '-'",
        }[kind]
        raise InputError(f"no {kind} can be named {name!r}: {allowed}")
    return name


def _ids(ids: Sequence[str]) -> Sequence[str]:
    if not ids:
        raise InputError("no instance is named; pass one id or more, such as i-bp1example")
    for one in ids:
        if not _INSTANCE.fullmatch(one):
            raise InputError(f"{one!r} is not an instance's id; an id looks like i-bp1example")
    return ids
