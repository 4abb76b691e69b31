"""Roles, policies and instances, as read from RAM and ECS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ecs_role_creds.roles.documents import Document

PolicyType = Literal["System", "Custom"]


@dataclass(frozen=True)
class PolicyVersion:
    """A version of a custom policy."""

    version_id: str
    is_default: bool
    created: str


@dataclass(frozen=True)
class Policy:
    """A policy, with the document of its default version.

    Attributes:
        name: The policy's name.
        type: ``"System"`` for policies of Alibaba Cloud, ``"Custom"`` for those of the account.
        document: The policy document of the default version.
        description: The description. Policies that this library creates are found by it.
        versions: All versions of a custom policy; empty for a system policy.
        attachments: The number of users, user groups and roles that have the policy.
    """

    name: str
    type: PolicyType
    document: Document = field(hash=False)
    description: str = ""
    versions: tuple[PolicyVersion, ...] = ()
    attachments: int = 0


@dataclass(frozen=True)
class AttachedPolicy:
    """A policy that is attached to a role."""

    name: str
    type: PolicyType
    description: str = ""


@dataclass(frozen=True)
class Role:
    """A RAM role.

    Attributes:
        name: The role's name.
        trust_policy: Who can assume the role.
        description: The description. Roles that this library creates are found by it.
        arn: ``acs:ram::ACCOUNT:role/NAME``.
        policies: The attached policies.
    """

    name: str
    trust_policy: Document = field(hash=False)
    description: str = ""
    arn: str = ""
    policies: tuple[AttachedPolicy, ...] = ()


@dataclass(frozen=True)
class Instance:
    """An ECS instance.

    Attributes:
        instance_id: The id.
        is_in_vpc: Whether it is in a VPC. Only instances in a VPC can have a role.
        role: The attached role, or ``None``.
        is_hardened: Whether its metadata service requires the security hardening mode.
        tags: Its tags.
    """

    instance_id: str
    is_in_vpc: bool = True
    role: str | None = None
    is_hardened: bool = False
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)


Instances = Mapping[str, Instance]
"""Instances by id, without those that do not exist."""
