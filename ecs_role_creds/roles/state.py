"""What is there: roles, policies and instances as RAM and ECS tell of them."""

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
        name: Its name.
        type: ``"System"``: Alibaba Cloud's own; ``"Custom"``: the account's.
        document: What it allows and denies.
        description: Who made it, if we did.
        versions: Of a custom policy, all of them.
        attachments: To how many users, groups and roles it is attached.
    """

    name: str
    type: PolicyType
    document: Document = field(hash=False)
    description: str = ""
    versions: tuple[PolicyVersion, ...] = ()
    attachments: int = 0


@dataclass(frozen=True)
class AttachedPolicy:
    """A policy that a role has."""

    name: str
    type: PolicyType
    description: str = ""


@dataclass(frozen=True)
class Role:
    """A RAM role.

    Attributes:
        name: Its name.
        trust_policy: Who can assume it.
        description: Who made it, if we did.
        arn: ``acs:ram::ACCOUNT:role/NAME``.
        policies: What it has.
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
        instance_id: Its id.
        is_in_vpc: Whether it can have a role.
        role: The role it has; ``None``: none.
        is_hardened: Whether its metadata service answers in the security hardening mode only.
        tags: Its tags.
    """

    instance_id: str
    is_in_vpc: bool = True
    role: str | None = None
    is_hardened: bool = False
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)


Instances = Mapping[str, Instance]
"""Those instances asked for that exist, by id."""
