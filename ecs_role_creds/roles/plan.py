"""A plan: the calls that make the roles, policies and instances as requested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal

from ecs_role_creds.roles.documents import Document

InstanceApi = Literal[
    "AttachInstanceRamRole",
    "DetachInstanceRamRole",
    "ModifyInstanceMetadataOptions",
    "TagResources",
    "UntagResources",
]


@dataclass(frozen=True)
class RamStep:
    """One call to RAM.

    Attributes:
        api: The API's name.
        parameters: The parameters of the call.
        purpose: What the call does, as text.
        takes_rights: Whether the call may remove permissions.
        document: The policy document among the parameters, if any.
    """

    api: str
    parameters: Mapping[str, Any] = field(hash=False)
    purpose: str
    takes_rights: bool = False
    document: Document | None = field(default=None, hash=False)


@dataclass(frozen=True)
class InstanceStep:
    """Calls to ECS for a number of instances.

    Attributes:
        api: The API's name.
        instances: The ids of the instances.
        purpose: What the calls do, as text.
        role: The role, for calls that have one.
        takes_rights: Whether the calls may take something away that applications use.
    """

    api: InstanceApi
    instances: tuple[str, ...]
    purpose: str
    role: str = ""
    takes_rights: bool = False


@dataclass(frozen=True)
class ChangeStep:
    """Detach one role from instances and attach another, batch by batch.

    If attaching the new role to an instance fails, the old role is attached again.

    Attributes:
        instances: The ids of the instances.
        old: The role to detach.
        new: The role to attach.
    """

    instances: tuple[str, ...]
    old: str
    new: str

    api = "DetachInstanceRamRole, AttachInstanceRamRole"
    takes_rights = True

    @property
    def purpose(self) -> str:
        """What the calls do, as text."""
        return f"change the role from {self.old} to {self.new}"


Step = RamStep | InstanceStep | ChangeStep


@dataclass(frozen=True)
class Difference:
    """Something exists but differs from what was requested.

    Attributes:
        subject: What differs, such as ``"policy NAME"``.
        actual: The document that exists.
        wanted: The document that was requested.
        remedy: What to do.
    """

    subject: str
    actual: Document = field(hash=False)
    wanted: Document = field(hash=False)
    remedy: str


@dataclass(frozen=True)
class Failure:
    """Something that cannot be done, or failed.

    Attributes:
        subject: An instance id, ``"role NAME"`` or ``"policy NAME"``.
        code: The service's error code.
        message: What happened, and what to do.
    """

    subject: str
    code: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What a command will do.

    Adding two plans gives a plan with the steps of both, in order.

    Attributes:
        steps: The calls, in order.
        unchanged: What already is as requested.
        differences: What exists but differs. Nothing is done until it is resolved.
        problems: What else prevents the plan, such as a missing role.
        failures: The instances that cannot be changed. The others are not affected.
        kept: What is not removed, and why.
    """

    steps: tuple[Step, ...] = ()
    unchanged: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    problems: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    kept: tuple[str, ...] = ()

    def __add__(self, other: Plan) -> Plan:
        return Plan(
            *(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__)
        )

    @property
    def is_blocked(self) -> bool:
        """Whether differences or problems prevent the plan."""
        return bool(self.differences or self.problems)

    @property
    def is_unchanged(self) -> bool:
        """Whether everything already is as requested."""
        return not (self.steps or self.is_blocked or self.failures)

    @property
    def takes_rights(self) -> bool:
        """Whether a step may remove permissions, or something else that applications use."""
        return any(step.takes_rights for step in self.steps)


def add_up(*plans: Plan) -> Plan:
    """Return one plan with the steps of all the plans, in order."""
    return reduce(Plan.__add__, plans, Plan())
