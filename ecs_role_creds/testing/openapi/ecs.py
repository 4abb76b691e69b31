"""The state and the APIs of the fake ECS."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ecs_role_creds.testing.metadata.service import FakeMetadataService
from ecs_role_creds.testing.openapi.ram import Body, FakeRam, Parameters
from ecs_role_creds.testing.openapi.signature import RefusedError

NetworkType = Literal["vpc", "classic"]

_MAX_IDS = 100  # documented, as are the next three
_MAX_TAGGED = 50
_MAX_TAGS = 20
_PAGE_SIZES = {"DescribeInstances": 100, "DescribeInstanceRamRole": 50}


@dataclass
class FakeInstance:
    """An instance.

    Attributes:
        instance_id: The instance id.
        region_id: The region id.
        network_type: ``"vpc"``; or ``"classic"``, in which case it cannot have a role.
        metadata: The fake metadata service of the instance, if any. It then has the role and the
            mode.
        tags: The tags.
    """

    instance_id: str
    region_id: str
    network_type: NetworkType = "vpc"
    metadata: FakeMetadataService | None = None
    tags: dict[str, str] = field(default_factory=dict)
    _role: str | None = None
    _is_hardened: bool = False

    @property
    def role(self) -> str | None:
        """The role of the instance; ``None`` if it has none."""
        return self._role if self.metadata is None else self.metadata.role

    @property
    def is_hardened(self) -> bool:
        """Whether its metadata service supports the hardening mode only."""
        if self.metadata is None:
            return self._is_hardened
        return self.metadata.mode == "hardening-only"

    def attach(self, role: str) -> None:
        """Attach a role. The instance must have none."""
        if self.metadata is None:
            self._role = role
        else:
            self.metadata.attach(role)

    def detach(self) -> None:
        """Detach the role."""
        self._role = None
        if self.metadata is not None:
            self.metadata.detach()

    def set_hardened(self, is_hardened: bool) -> None:
        """Set whether the metadata service supports the hardening mode only."""
        self._is_hardened = is_hardened
        if self.metadata is not None:
            self.metadata.mode = "hardening-only" if is_hardened else "both"


class FakeEcs:
    """The instances of an account, and the APIs of ECS, without a socket.

    Args:
        ram: The roles of the account.
        may_pass: Returns whether the caller may pass a role to an instance.
        failing: Returns the error of the next call of an API for an instance, if any.
    """

    def __init__(
        self,
        ram: FakeRam,
        may_pass: Callable[[str], bool],
        failing: Callable[[str, str], tuple[str, str] | None],
    ) -> None:
        self.instances: dict[str, FakeInstance] = {}
        """The instances by id."""
        self.regions: set[str] = set()
        self._ram = ram
        self._may_pass = may_pass
        self._failing = failing

    def resources(self, _: str, parameters: Parameters) -> list[str]:
        """Return the resources of a call, as in the ``Resource`` of a policy."""
        region, account = parameters.get("RegionId", "*"), self._ram.account_id
        ids = list(_numbered(parameters, "ResourceId"))
        if "InstanceIds" in parameters:
            ids += _ids(parameters)
        if "InstanceId" in parameters:
            ids.append(parameters["InstanceId"])
        return [f"acs:ecs:{region}:{account}:instance/{one}" for one in ids or ["*"]]

    def describe_instances(self, parameters: Parameters) -> Body:
        """DescribeInstances: return the instances in a region, by id or tag, in pages."""
        found = self._in_region(parameters)
        if "InstanceIds" in parameters:
            wanted = set(_ids(parameters))
            found = [one for one in found if one.instance_id in wanted]
        keys, values = _numbered(parameters, "Tag", ".Key"), _numbered(parameters, "Tag", ".Value")
        for key, value in itertools.zip_longest(keys, values):
            found = [one for one in found if key in one.tags and value in (None, one.tags[key])]
        shown = [_show_instance(one) for one in found]
        return _page(parameters, "DescribeInstances", shown, "Instances", "Instance")

    def describe_instance_ram_role(self, parameters: Parameters) -> Body:
        """DescribeInstanceRamRole: return the roles of instances, by id or by role."""
        found = self._in_region(parameters)
        if "InstanceIds" in parameters:
            wanted = set(_ids(parameters))
            found = [one for one in found if one.instance_id in wanted]
        elif "RamRoleName" in parameters:
            found = [one for one in found if one.role == parameters["RamRoleName"]]
        else:
            raise RefusedError(400, "MissingParameter", "InstanceIds or RamRoleName is missing.")
        shown = [{"InstanceId": one.instance_id, "RamRoleName": one.role or ""} for one in found]
        api, plural = "DescribeInstanceRamRole", "InstanceRamRoleSets"
        page = _page(parameters, api, shown, plural, "InstanceRamRoleSet")
        return {**page, "RegionId": parameters["RegionId"]}

    def attach_instance_ram_role(self, parameters: Parameters) -> Body:
        """AttachInstanceRamRole: attach a role to instances, each with its own result."""
        name = parameters.get("RamRoleName", "")
        instances = self._named(parameters)
        role = self._ram.roles.get(name)
        if role is None:
            raise RefusedError(
                404, "InvalidRamRole.NotFound", "The specified RAMRoleName does not exist."
            )
        if not role.trusts_ecs:
            raise RefusedError(
                404,
                "InvalidRamRole.NotEcsRole",
                "The specified ram role is not authorized for ecs, please check your role policy.",
            )
        self._check_pass_role(name)

        def attach(one: FakeInstance) -> tuple[str, str] | None:
            if one.network_type == "classic":
                return "InvalidNetworkType.MismatchRamRole", "The instance is not in a VPC."
            if one.role is not None:
                # Documented: an error. The code is inferred.
                return "OperationDenied.InstanceHasRamRole", "The instance has a role already."
            one.attach(name)
            return None

        return self._for_each("AttachInstanceRamRole", instances, name, attach)

    def detach_instance_ram_role(self, parameters: Parameters) -> Body:
        """DetachInstanceRamRole: detach the role from instances, each with its own result."""
        name = parameters.get("RamRoleName")
        instances = self._named(parameters)
        for held in {one.role for one in instances} - {None}:
            self._check_pass_role(held or "")

        def detach(one: FakeInstance) -> tuple[str, str] | None:
            if name is not None and one.role not in (None, name):
                return "InvalidRamRole.NotFound", "The instance has another role."  # inferred
            one.detach()
            return None

        return self._for_each("DetachInstanceRamRole", instances, name or "", detach)

    def modify_instance_metadata_options(self, parameters: Parameters) -> Body:
        """ModifyInstanceMetadataOptions: set whether session tokens are required."""
        [one] = self._named({**parameters, "InstanceIds": json.dumps([parameters["InstanceId"]])})
        if parameters.get("HttpEndpoint") not in ("enabled", "disabled"):
            raise RefusedError(
                400,
                "InvalidHttpEndpoint.NotSupported",
                "The specified HttpEndpoint not supported, you can use enabled(default) or "
                "disabled.",
            )
        tokens = parameters.get("HttpTokens", "optional")
        if tokens not in ("optional", "required"):
            raise RefusedError(
                400,
                "InvalidHttpTokens.NotSupported",
                "The specified HttpTokens not supported, you can use optional(default) or "
                "required.",
            )
        if failure := self._failing("ModifyInstanceMetadataOptions", one.instance_id):
            raise RefusedError(400, *failure)
        one.set_hardened(tokens == "required")
        return {}

    def tag_resources(self, parameters: Parameters) -> Body:
        """TagResources: add tags to instances."""
        keys, values = _numbered(parameters, "Tag", ".Key"), _numbered(parameters, "Tag", ".Value")
        tags = dict(zip(keys, values, strict=True))
        tagged = self._tagged(parameters)
        if any(len({**one.tags, **tags}) > _MAX_TAGS for one in tagged):
            raise RefusedError(403, "NumberExceed.Tags", "An instance has 20 tags at most.")
        for one in tagged:
            one.tags.update(tags)
        return {}

    def untag_resources(self, parameters: Parameters) -> Body:
        """UntagResources: remove tags from instances."""
        for one in self._tagged(parameters):
            for key in _numbered(parameters, "TagKey"):
                one.tags.pop(key, None)
        return {}

    def _for_each(
        self,
        api: str,
        instances: list[FakeInstance],
        role: str,
        act: Callable[[FakeInstance], tuple[str, str] | None],
    ) -> Body:
        results: list[Body] = []
        for one in instances:
            failure = self._failing(api, one.instance_id) or act(one)
            code, message = failure or ("200", "success")
            results.append({"InstanceId": one.instance_id, "Code": code, "Message": message})
        return {
            "TotalCount": len(results),
            "FailCount": sum(one["Code"] != "200" for one in results),
            "RamRoleName": role,
            f"{api}Results": {f"{api}Result": results},
        }

    def _check_pass_role(self, role: str) -> None:
        if not self._may_pass(role):
            raise RefusedError(
                403,
                "InvalidUser.PassRoleForbidden",
                "The RAM user does not have the privilege to pass a RAM role.",
            )

    def _in_region(self, parameters: Parameters) -> list[FakeInstance]:
        region = parameters.get("RegionId", "")
        if region not in self.regions:
            raise RefusedError(404, "InvalidRegionId.NotFound", "There is no such region.")
        return [one for one in self.instances.values() if one.region_id == region]

    def _named(self, parameters: Parameters) -> list[FakeInstance]:
        """Return the instances of a call. If one does not exist, the whole call fails."""
        there = {one.instance_id: one for one in self._in_region(parameters)}
        ids = _ids(parameters)
        if not set(ids) <= set(there):
            raise RefusedError(
                404, "InvalidInstanceId.NotFound", "The specified instanceId does not exist"
            )
        return [there[one] for one in ids]

    def _tagged(self, parameters: Parameters) -> list[FakeInstance]:
        there = {one.instance_id: one for one in self._in_region(parameters)}
        ids = list(_numbered(parameters, "ResourceId"))
        if not 1 <= len(ids) <= _MAX_TAGGED or parameters.get("ResourceType") != "instance":
            raise RefusedError(400, "InvalidResourceType.NotFound", "1 to 50 instances, please.")
        if not set(ids) <= set(there):
            raise RefusedError(404, "InvalidResourceId.NotFound", "There is no such instance.")
        return [there[one] for one in ids]


def _ids(parameters: Parameters) -> list[str]:
    try:
        ids = json.loads(parameters["InstanceIds"])
    except (KeyError, ValueError):
        ids = None
    if (
        not isinstance(ids, list)
        or not 1 <= len(ids) <= _MAX_IDS
        or not all(isinstance(one, str) and one.startswith("i-") for one in ids)
    ):
        raise RefusedError(
            400, "InvalidInstanceIds.Malformed", "The specified instanceIds are not valid."
        )
    return ids


def _numbered(parameters: Parameters, name: str, rest: str = "") -> Iterator[str]:
    """Return the values of ``NAME.1``, ``NAME.2``, and so on."""
    for number in itertools.count(1):
        if (key := f"{name}.{number}{rest}") not in parameters:
            return
        yield parameters[key]


def _show_instance(one: FakeInstance) -> Mapping[str, Any]:
    return {
        "InstanceId": one.instance_id,
        "RegionId": one.region_id,
        "InstanceNetworkType": one.network_type,
        "Status": "Running",
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required" if one.is_hardened else "optional",
        },
        "Tags": {"Tag": [{"TagKey": key, "TagValue": value} for key, value in one.tags.items()]},
    }


def _page(parameters: Parameters, api: str, items: list[Any], plural: str, singular: str) -> Body:
    number = int(parameters.get("PageNumber") or 1)
    size = min(int(parameters.get("PageSize") or 10), _PAGE_SIZES[api])
    shown = items[(number - 1) * size : number * size]
    return {
        "PageNumber": number,
        "PageSize": size,
        "TotalCount": len(items),
        plural: {singular: shown},
    }
