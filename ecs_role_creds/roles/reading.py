"""Read roles, policies and instances."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ecs_role_creds.roles.documents import trusts_ecs
from ecs_role_creds.roles.errors import CallError
from ecs_role_creds.roles.openapi import Api
from ecs_role_creds.roles.state import (
    AttachedPolicy,
    Instance,
    Policy,
    PolicyType,
    PolicyVersion,
    Role,
)
from ecs_role_creds.roles.throttling import Retry

MAX_IDS = 100  # documented, as are the next two
MAX_INSTANCES_PER_PAGE = 100
MAX_ROLES_PER_PAGE = 50

_Item = TypeVar("_Item")


class Reader:
    """Reads roles, policies and instances.

    Args:
        api: Makes the calls.
        retry: When calls are retried.
    """

    def __init__(self, api: Api, retry: Retry) -> None:
        self._api = api
        self._retry = retry

    def role(self, name: str) -> Role | None:
        """Return the role with its policies, or ``None`` if it does not exist."""
        try:
            found = self._call("GetRole", {"RoleName": name}, f"role {name}")["Role"]
        except CallError as error:
            if error.code == "EntityNotExist.Role":
                return None
            raise
        listed = self._call("ListPoliciesForRole", {"RoleName": name}, f"role {name}")
        policies = tuple(
            AttachedPolicy(one["PolicyName"], one["PolicyType"], one.get("Description") or "")
            for one in _items(listed, "Policies", "Policy")
        )
        return _role(found, policies)

    def policy(self, name: str, type: PolicyType) -> Policy | None:
        """Return the policy with its versions, or ``None`` if it does not exist."""
        subject = f"policy {name}"
        parameters = {"PolicyName": name, "PolicyType": type}
        try:
            found = self._call("GetPolicy", parameters, subject)
        except CallError as error:
            if error.code == "EntityNotExist.Policy":
                return None
            raise
        versions: tuple[PolicyVersion, ...] = ()
        if type == "Custom":
            listed = self._call("ListPolicyVersions", parameters, subject)
            versions = tuple(
                PolicyVersion(
                    one["VersionId"], bool(one.get("IsDefaultVersion")), one.get("CreateDate") or ""
                )
                for one in _items(listed, "PolicyVersions", "PolicyVersion")
            )
        described, default = found["Policy"], found.get("DefaultPolicyVersion") or {}
        return Policy(
            name,
            type,
            json.loads(default.get("PolicyDocument") or described.get("PolicyDocument") or "{}"),
            described.get("Description") or "",
            versions,
            int(described.get("AttachmentCount") or 0),
        )

    def own_policies(self, marks: Collection[str]) -> list[Policy]:
        """Return the custom policies with one of these descriptions."""
        pages = self._marked_pages("ListPolicies", {"PolicyType": "Custom"}, "the policies")
        names = [
            one["PolicyName"]
            for page in pages
            for one in _items(page, "Policies", "Policy")
            if one.get("Description") in marks
        ]
        found = (self.policy(name, "Custom") for name in names)
        return [one for one in found if one is not None]

    def ecs_roles(self) -> Iterator[Role]:
        """Iterate over the roles that ECS instances can assume, without their policies."""
        for page in self._marked_pages("ListRoles", {}, "the roles"):
            for one in _items(page, "Roles", "Role"):
                name = one["RoleName"]
                role = _role(self._call("GetRole", {"RoleName": name}, f"role {name}")["Role"])
                if trusts_ecs(role.trust_policy):
                    yield role

    def instances(self, ids: Sequence[str]) -> dict[str, Instance]:
        """Return the instances that exist, with their roles."""
        found: dict[str, Instance] = {}
        for batch in batches(list(dict.fromkeys(ids)), MAX_IDS):
            described = list(self._describe({"InstanceIds": json.dumps(batch)}))
            held = self.roles_of([one["InstanceId"] for one in described])
            found.update((one["InstanceId"], _instance(one, held)) for one in described)
        return found

    def all_instances(self) -> dict[str, Instance]:
        """Return all instances of the region, with their roles."""
        return self._with_roles(self._describe({}))

    def tagged_instances(self, key: str, value: str) -> dict[str, Instance]:
        """Return the instances of the region that have a tag, with their roles."""
        return self._with_roles(self._describe({"Tag": [{"Key": key, "Value": value}]}))

    def roles_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the roles by instance id, for those instances that have one."""
        found: dict[str, str] = {}
        for batch in batches(ids, MAX_IDS):
            found.update(self._held({"InstanceIds": json.dumps(list(batch))}))
        return found

    def holders(self, role: str) -> list[str]:
        """Return the ids of the instances of the region that have the role."""
        return sorted(self._held({"RamRoleName": role}))

    def _with_roles(self, described: Iterable[Mapping[str, Any]]) -> dict[str, Instance]:
        listed = list(described)
        held = self.roles_of([one["InstanceId"] for one in listed])
        return {one["InstanceId"]: _instance(one, held) for one in listed}

    def _describe(self, which: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        pages = self._pages("DescribeInstances", which, MAX_INSTANCES_PER_PAGE)
        return (one for page in pages for one in _items(page, "Instances", "Instance"))

    def _held(self, which: Mapping[str, Any]) -> dict[str, str]:
        pages = self._pages("DescribeInstanceRamRole", which, MAX_ROLES_PER_PAGE)
        return {
            one["InstanceId"]: one["RamRoleName"]
            for page in pages
            for one in _items(page, "InstanceRamRoleSets", "InstanceRamRoleSet")
            if one.get("RamRoleName")
        }

    def _marked_pages(
        self, api: str, which: Mapping[str, Any], subject: str
    ) -> Iterator[dict[str, Any]]:
        marker: dict[str, str] = {}
        while True:
            page = self._call(api, {**which, **marker}, subject)
            yield page
            if not page.get("IsTruncated") or not page.get("Marker"):
                return
            marker = {"Marker": page["Marker"]}

    def _pages(self, api: str, which: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
        number = 1
        while True:
            shaped = {**which, "PageNumber": number, "PageSize": size}
            page = self._call(api, shaped, "the instances")
            yield page
            if number * size >= int(page.get("TotalCount") or 0):
                return
            number += 1

    def _call(self, api: str, parameters: Mapping[str, Any], subject: str) -> dict[str, Any]:
        try:
            return self._retry.run(lambda: self._api.call(api, parameters), is_safe_to_repeat=True)
        except CallError as error:
            raise error.about(subject) from None


def batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Split the items into batches."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _role(found: Mapping[str, Any], policies: tuple[AttachedPolicy, ...] = ()) -> Role:
    return Role(
        found["RoleName"],
        json.loads(found.get("AssumeRolePolicyDocument") or "{}"),
        found.get("Description") or "",
        found.get("Arn") or "",
        policies,
    )


def _instance(described: Mapping[str, Any], held: Mapping[str, str]) -> Instance:
    instance_id = described["InstanceId"]
    options = described.get("MetadataOptions") or {}
    return Instance(
        instance_id,
        is_in_vpc=described.get("InstanceNetworkType") != "classic",
        role=held.get(instance_id),
        is_hardened=options.get("HttpTokens") == "required",
        tags={one["TagKey"]: one.get("TagValue") or "" for one in _items(described, "Tags", "Tag")},
    )


def _items(body: Mapping[str, Any], plural: str, singular: str) -> list[Any]:
    """Return the items of a list; the services wrap lists twice."""
    return (body.get(plural) or {}).get(singular) or []
