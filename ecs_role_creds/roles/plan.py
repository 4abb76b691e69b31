"""A plan: the calls that turn what is there into what is wanted."""

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
        parameters: What is sent.
        purpose: What it does, for people.
        takes_rights: Whether somebody may have less rights after it.
        document: A policy document among the parameters, to be shown.
    """

    api: str
    parameters: Mapping[str, Any] = field(hash=False)
    purpose: str
    takes_rights: bool = False
    document: Document | None = field(default=None, hash=False)


@dataclass(frozen=True)
class InstanceStep:
    """Calls to ECS, for some instances.

    Attributes:
        api: The API's name.
        instances: Their ids.
        purpose: What it does to them, for people.
        role: The role that it is about, if any.
        takes_rights: Whether the instances may have less rights after it.
    """

    api: InstanceApi
    instances: tuple[str, ...]
    purpose: str
    role: str = ""
    takes_rights: bool = False


@dataclass(frozen=True)
class ChangeStep:
    """Take one role from instances and give them another, batch by batch.

    Where an instance cannot have the new role, it gets the old one again.

    Attributes:
        instances: Their ids.
        old: The role that they have.
        new: The role that they are to have.
    """

    instances: tuple[str, ...]
    old: str
    new: str

    api = "DetachInstanceRamRole, AttachInstanceRamRole"
    takes_rights = True

    @property
    def purpose(self) -> str:
        """What it does, for people."""
        return f"change the role from {self.old} to {self.new}"


Step = RamStep | InstanceStep | ChangeStep


@dataclass(frozen=True)
class Difference:
    """Something exists, but is not as wanted.

    Attributes:
        subject: What.
        actual: How it is.
        wanted: How it is wanted.
        remedy: What to do.
    """

    subject: str
    actual: Document = field(hash=False)
    wanted: Document = field(hash=False)
    remedy: str


@dataclass(frozen=True)
class Failure:
    """Something that could not be done.

    Attributes:
        subject: To what: an instance's id, or ``role NAME``, ``policy NAME``.
        code: The service's code.
        message: A sentence: what happened, and what to do.
    """

    subject: str
    code: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What a command will do.

    Plans add up: the steps of the first come first.

    Attributes:
        steps: The calls, in order.
        unchanged: What is as wanted already.
        differences: What is in the way, and would be changed only on request.
        problems: What else is in the way.
        failures: The instances that nothing can be done for. They stop no other.
        kept: What stays, though one might expect it to go, and why.
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
        """Whether nothing may be done before something else is."""
        return bool(self.differences or self.problems)

    @property
    def is_unchanged(self) -> bool:
        """Whether everything is as wanted already."""
        return not (self.steps or self.is_blocked or self.failures)

    @property
    def takes_rights(self) -> bool:
        """Whether anybody may have less rights afterwards."""
        return any(step.takes_rights for step in self.steps)


def add_up(*plans: Plan) -> Plan:
    """All of them, one after another."""
    return reduce(Plan.__add__, plans, Plan())
