"""The state and the APIs of the fake RAM."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ecs_role_creds.testing.openapi.evaluator import listed
from ecs_role_creds.testing.openapi.signature import RefusedError

Parameters = Mapping[str, str]
Body = dict[str, Any]

_ROLE_NAME = re.compile(r"[A-Za-z0-9.-]+")
_POLICY_NAME = re.compile(r"[A-Za-z0-9-]+")
_MAX_DOCUMENT = 6144  # documented
_MAX_DESCRIPTION = 1024  # documented


class Limits(NamedTuple):
    """The limits of an account. The first is documented and fixed; the others are quotas.

    Attributes:
        versions: The maximum number of versions of a policy.
        roles: The maximum number of roles.
        policies: The maximum number of custom policies.
        policies_per_role: The maximum number of policies of a role.
    """

    versions: int = 5
    roles: int = 1000
    policies: int = 1500
    policies_per_role: int = 20


@dataclass
class FakePolicy:
    """A policy.

    Attributes:
        name: The name.
        type: ``"System"`` or ``"Custom"``.
        versions: The documents by version, oldest first.
        default: The version in effect.
        description: The description.
        other_attachments: The number of users and groups that have the policy.
        created: When it was created, as RAM prints it.
        serial: The number of the next version.
    """

    name: str
    type: str
    versions: dict[str, Mapping[str, Any]]
    default: str = "v1"
    description: str = ""
    other_attachments: int = 0
    created: str = ""
    serial: itertools.count[int] = field(default_factory=lambda: itertools.count(2), repr=False)

    @property
    def document(self) -> Mapping[str, Any]:
        """The document in effect."""
        return self.versions[self.default]


@dataclass
class FakeRole:
    """A role.

    Attributes:
        name: The name.
        trust_policy: The trust policy.
        description: The description.
        policies: The types and names of its policies.
        created: When it was created, as RAM prints it.
    """

    name: str
    trust_policy: Mapping[str, Any]
    description: str = ""
    policies: list[tuple[str, str]] = field(default_factory=list)
    created: str = ""

    @property
    def trusts_ecs(self) -> bool:
        """Whether ECS instances may have the role."""
        return any(
            statement.get("Effect") == "Allow"
            and "sts:AssumeRole" in listed(statement.get("Action"))
            and "ecs.aliyuncs.com" in listed((statement.get("Principal") or {}).get("Service"))
            for statement in listed(self.trust_policy.get("Statement"))
        )


def _allowing(*actions: str) -> dict[str, Mapping[str, Any]]:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return {"v1": {"Version": "1", "Statement": [statement]}}


SYSTEM_POLICIES: Mapping[str, tuple[str, ...]] = {
    "AdministratorAccess": ("*",),
    "AliyunOSSFullAccess": ("oss:*",),
    "AliyunOSSReadOnlyAccess": ("oss:Get*", "oss:List*"),
    "AliyunRAMFullAccess": ("ram:*",),
    "AliyunECSFullAccess": ("ecs:*",),
}
"""The system policies that are faked, with their actions."""


class FakeRam:
    """The roles and policies of an account, and the APIs of RAM, without a socket.

    Args:
        account_id: The id of the account.
        limits: The limits of the account.
        now: Returns the service's time, as RAM prints it.
    """

    def __init__(self, account_id: str, limits: Limits, now: Callable[[], str]) -> None:
        self.account_id = account_id
        self.limits = limits
        self.roles: dict[str, FakeRole] = {}
        """The roles by name."""
        self.policies: dict[tuple[str, str], FakePolicy] = {
            ("System", name): FakePolicy(name, "System", _allowing(*actions))
            for name, actions in SYSTEM_POLICIES.items()
        }
        """The policies by type and name."""
        self._now = now

    def documents_of(self, role_name: str) -> list[Mapping[str, Any]]:
        """Return the documents in effect of a role's policies."""
        role = self.roles.get(role_name)
        return [self.policies[key].document for key in (role.policies if role else ())]

    def resources(self, api: str, parameters: Parameters) -> list[str]:
        """Return the resources of a call, as in the ``Resource`` of a policy."""
        names = []
        if role := parameters.get("RoleName"):
            names.append(f"acs:ram:*:{self.account_id}:role/{role}")
        if policy := parameters.get("PolicyName"):
            is_system = parameters.get("PolicyType") == "System"
            owner = "system" if is_system else self.account_id
            names.append(f"acs:ram:*:{owner}:policy/{policy}")
        kind = "role" if api == "ListRoles" else "policy"
        return names or [f"acs:ram:*:{self.account_id}:{kind}/*"]

    # Roles.

    def create_role(self, parameters: Parameters) -> Body:
        """CreateRole: create a role. Its ``AssumeRolePolicyDocument`` is the trust policy."""
        name = _checked_name(parameters, "RoleName", _ROLE_NAME, 64)
        trust_policy = _checked_document(parameters["AssumeRolePolicyDocument"], "Principal")
        if name in self.roles:
            raise RefusedError(409, "EntityAlreadyExists.Role", "The role already exists.")
        _check_limit(len(self.roles), self.limits.roles, "Role")
        description = _checked_description(parameters)
        self.roles[name] = FakeRole(name, trust_policy, description, created=self._now())
        return {"Role": self._show_role(self.roles[name])}

    def get_role(self, parameters: Parameters) -> Body:
        """GetRole: return a role with its trust policy."""
        return {"Role": self._show_role(self._role(parameters))}

    def update_role(self, parameters: Parameters) -> Body:
        """UpdateRole: change the trust policy or the description of a role."""
        role = self._role(parameters)
        if document := parameters.get("NewAssumeRolePolicyDocument"):
            role.trust_policy = _checked_document(document, "Principal")
        if "NewDescription" in parameters:
            role.description = parameters["NewDescription"]
        return {"Role": self._show_role(role)}

    def delete_role(self, parameters: Parameters) -> Body:
        """DeleteRole: delete a role that has no policies."""
        role = self._role(parameters)
        if role.policies:
            raise RefusedError(409, "DeleteConflict.Role.Policy", "The role has policies.")
        del self.roles[role.name]
        return {}

    def list_roles(self, parameters: Parameters) -> Body:
        """ListRoles: return the roles, in pages, without their trust policies."""
        shown = [self._show_role(role, is_listed=True) for role in self.roles.values()]
        return _marked_page(parameters, shown, "Roles", "Role")

    # Policies.

    def create_policy(self, parameters: Parameters) -> Body:
        """CreatePolicy: create a custom policy with its first version."""
        name = _checked_name(parameters, "PolicyName", _POLICY_NAME, 128)
        document = _checked_document(parameters["PolicyDocument"], "Resource", "NotResource")
        if ("Custom", name) in self.policies:
            raise RefusedError(409, "EntityAlreadyExists.Policy", "The policy already exists.")
        custom = sum(type == "Custom" for type, _ in self.policies)
        _check_limit(custom, self.limits.policies, "Policy")
        description = _checked_description(parameters)
        policy = FakePolicy(name, "Custom", {"v1": document}, description=description)
        policy.created = self._now()
        self.policies["Custom", name] = policy
        return {"Policy": self._show_policy(policy)}

    def get_policy(self, parameters: Parameters) -> Body:
        """GetPolicy: return a policy and its default version."""
        policy = self._policy(parameters)
        return {
            "Policy": self._show_policy(policy),
            "DefaultPolicyVersion": self._show_version(policy, policy.default),
        }

    def list_policies(self, parameters: Parameters) -> Body:
        """ListPolicies: return the policies, in pages, of one type or of both."""
        wanted = parameters.get("PolicyType")
        shown = [
            self._show_policy(policy)
            for policy in self.policies.values()
            if wanted in (None, policy.type)
        ]
        return _marked_page(parameters, shown, "Policies", "Policy")

    def delete_policy(self, parameters: Parameters) -> Body:
        """DeletePolicy: delete a custom policy that nothing has and that has one version."""
        policy = self._policy({**parameters, "PolicyType": "Custom"})
        if policy.other_attachments:
            raise RefusedError(409, "DeleteConflict.Policy.User", "A user has the policy.")
        if self._attached_roles(policy):  # inferred: documented for users and groups only
            raise RefusedError(409, "DeleteConflict.Policy.Role", "A role has the policy.")
        if len(policy.versions) > 1:
            raise RefusedError(409, "DeleteConflict.Policy.Version", "There are more versions.")
        del self.policies["Custom", policy.name]
        return {}

    def create_policy_version(self, parameters: Parameters) -> Body:
        """CreatePolicyVersion: add a version to a custom policy."""
        policy = self._policy({**parameters, "PolicyType": "Custom"})
        document = _checked_document(parameters["PolicyDocument"], "Resource", "NotResource")
        _check_limit(len(policy.versions), self.limits.versions, "Policy.Version")
        version = f"v{next(policy.serial)}"
        policy.versions[version] = document
        if parameters.get("SetAsDefault", "").lower() == "true":
            policy.default = version
        return {"PolicyVersion": self._show_version(policy, version)}

    def list_policy_versions(self, parameters: Parameters) -> Body:
        """ListPolicyVersions: return the versions of a policy."""
        policy = self._policy(parameters)
        shown = [self._show_version(policy, version) for version in policy.versions]
        return {"PolicyVersions": {"PolicyVersion": shown}}

    def delete_policy_version(self, parameters: Parameters) -> Body:
        """DeletePolicyVersion: delete a version that is not the default."""
        policy = self._policy({**parameters, "PolicyType": "Custom"})
        version = parameters["VersionId"]
        if not re.fullmatch(r"v\d+", version):
            raise RefusedError(400, "InvalidParameter.VersionId.Format", "A version is v1, v2, ...")
        if version not in policy.versions:
            raise RefusedError(404, "EntityNotExist.Policy.Version", "There is no such version.")
        if version == policy.default:
            raise RefusedError(409, "DeleteConflict.Policy.Version.Default", "It is the default.")
        del policy.versions[version]
        return {}

    # The policies of roles.

    def attach_policy_to_role(self, parameters: Parameters) -> Body:
        """AttachPolicyToRole: attach a policy to a role."""
        role, policy = self._role(parameters), self._policy(parameters)
        if (policy.type, policy.name) in role.policies:
            raise RefusedError(409, "EntityAlreadyExists.Role.Policy", "The role has the policy.")
        _check_limit(len(role.policies), self.limits.policies_per_role, "Role.Policy")
        role.policies.append((policy.type, policy.name))
        return {}

    def detach_policy_from_role(self, parameters: Parameters) -> Body:
        """DetachPolicyFromRole: detach a policy from a role."""
        role, policy = self._role(parameters), self._policy(parameters)
        if (policy.type, policy.name) not in role.policies:
            raise RefusedError(404, "EntityNotExist.Role.Policy", "The role lacks the policy.")
        role.policies.remove((policy.type, policy.name))
        return {}

    def list_policies_for_role(self, parameters: Parameters) -> Body:
        """ListPoliciesForRole: return the policies of a role."""
        shown = [self._show_policy(self.policies[key]) for key in self._role(parameters).policies]
        return {"Policies": {"Policy": shown}}

    def _role(self, parameters: Parameters) -> FakeRole:
        name = _checked_name(parameters, "RoleName", _ROLE_NAME, 64)
        if name not in self.roles:
            raise RefusedError(404, "EntityNotExist.Role", "The role does not exist.")
        return self.roles[name]

    def _policy(self, parameters: Parameters) -> FakePolicy:
        type = parameters.get("PolicyType", "")
        if type not in ("System", "Custom"):
            raise RefusedError(400, "InvalidParameter.PolicyType", "System or Custom.")
        name = _checked_name(parameters, "PolicyName", _POLICY_NAME, 128)
        if (type, name) not in self.policies:
            raise RefusedError(404, "EntityNotExist.Policy", "The policy does not exist.")
        return self.policies[type, name]

    def _attached_roles(self, policy: FakePolicy) -> int:
        return sum((policy.type, policy.name) in role.policies for role in self.roles.values())

    def _show_role(self, role: FakeRole, is_listed: bool = False) -> Body:
        shown = {
            "RoleName": role.name,
            "Arn": f"acs:ram::{self.account_id}:role/{role.name.lower()}",
            "Description": role.description,
            "CreateDate": role.created,
            "MaxSessionDuration": 3600,
        }
        if not is_listed:
            shown["AssumeRolePolicyDocument"] = json.dumps(role.trust_policy)
        return shown

    def _show_policy(self, policy: FakePolicy) -> Body:
        return {
            "PolicyName": policy.name,
            "PolicyType": policy.type,
            "Description": policy.description,
            "DefaultVersion": policy.default,
            "CreateDate": policy.created,
            "AttachmentCount": self._attached_roles(policy) + policy.other_attachments,
        }

    def _show_version(self, policy: FakePolicy, version: str) -> Body:
        return {
            "VersionId": version,
            "IsDefaultVersion": version == policy.default,
            "PolicyDocument": json.dumps(policy.versions[version]),
            "CreateDate": policy.created,
        }


def _checked_name(parameters: Parameters, key: str, pattern: re.Pattern[str], longest: int) -> str:
    name = parameters.get(key)
    if name is None:
        raise RefusedError(400, "MissingParameter", f"The parameter {key} is missing.")
    if not 1 <= len(name) <= longest:
        raise RefusedError(400, f"InvalidParameter.{key}.Length", f"{key} has a wrong length.")
    if not pattern.fullmatch(name):
        raise RefusedError(400, f"InvalidParameter.{key}.InvalidChars", f"{key} has wrong letters.")
    return name


def _checked_description(parameters: Parameters) -> str:
    description = parameters.get("Description", "")
    if len(description) > _MAX_DESCRIPTION:
        raise RefusedError(400, "InvalidParameter.Description.Length", "It is too long.")
    return description


def _checked_document(text: str, *one_of: str) -> Mapping[str, Any]:
    if len(text) > _MAX_DOCUMENT:
        raise RefusedError(400, "InvalidParameter.PolicyDocument.Length", "It is too long.")
    try:
        document: Mapping[str, Any] = json.loads(text)
        statements = listed(document["Statement"])
        is_well_formed = (
            str(document["Version"]) == "1"
            and bool(statements)
            and all(
                statement["Effect"] in ("Allow", "Deny")
                and {"Action", "NotAction"} & set(statement)
                and set(one_of) & set(statement)
                for statement in statements
            )
        )
    except (ValueError, KeyError, TypeError):
        raise _malformed() from None
    if not is_well_formed:
        raise _malformed()
    return document


def _malformed() -> RefusedError:
    return RefusedError(400, "MalformedPolicyDocument", "A statement lacks a part.")


def _check_limit(number: int, limit: int, what: str) -> None:
    if number >= limit:
        raise RefusedError(409, f"LimitExceeded.{what}", f"There are {number} already.")


def _marked_page(parameters: Parameters, items: list[Body], plural: str, singular: str) -> Body:
    start, size = int(parameters.get("Marker") or 0), int(parameters.get("MaxItems") or 100)
    page: Body = {plural: {singular: items[start : start + size]}, "IsTruncated": False}
    if start + size < len(items):
        page |= {"IsTruncated": True, "Marker": str(start + size)}
    return page
