"""Carry a plan out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecs_role_creds.roles.errors import BlockedPlanError, CallError
from ecs_role_creds.roles.openapi import Api
from ecs_role_creds.roles.plan import ChangeStep, Failure, InstanceStep, Plan, RamStep, Step
from ecs_role_creds.roles.planning import SETUP_TAG
from ecs_role_creds.roles.reading import MAX_IDS, Reader, batches
from ecs_role_creds.roles.throttling import Retry

MAX_TAGGED = 50  # documented

Failures = dict[str, CallError]
"""Why calls failed, by the instances' ids."""

_RESULTS = {
    "AttachInstanceRamRole": ("AttachInstanceRamRoleResults", "AttachInstanceRamRoleResult"),
    "DetachInstanceRamRole": ("DetachInstanceRamRoleResults", "DetachInstanceRamRoleResult"),
}

# What the service says where a step was done already, perhaps by a call whose answer was lost.
_DONE_ALREADY = {
    "AttachPolicyToRole": {"EntityAlreadyExists.Role.Policy"},
    "DetachPolicyFromRole": {"EntityNotExist.Role.Policy", "EntityNotExist.Role"},
    "DeletePolicyVersion": {"EntityNotExist.Policy.Version"},
    "DeletePolicy": {"EntityNotExist.Policy"},
    "DeleteRole": {"EntityNotExist.Role"},
}

# What the service may say for a moment after a step, since it tells itself of news with a delay.
_SETTLING = {
    "CreateRole": {"EntityNotExist.Role", "InvalidRamRole.NotFound"},
    "UpdateRole": {"InvalidRamRole.NotEcsRole"},
    "CreatePolicy": {"EntityNotExist.Policy"},
    "DetachPolicyFromRole": {"DeleteConflict.Role.Policy", "DeleteConflict.Policy.Role"},
    "DeletePolicyVersion": {"DeleteConflict.Policy.Version", "LimitExceeded.Policy.Version"},
}


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    Attributes:
        step: The step.
        done: For how many instances it is through, the failed ones counted.
        total: How many instances it is for; 0 for a step of RAM's.
    """

    step: Step
    done: int
    total: int


@dataclass(frozen=True)
class Outcome:
    """What came of a plan.

    Attributes:
        done: What the steps did that were carried out.
        skipped: What the steps would have done that were not, because one before them failed.
        instances: The instances that every one of their steps succeeded for.
        failures: What failed: those of the plan, then those of the steps.
    """

    done: tuple[str, ...]
    skipped: tuple[str, ...]
    instances: tuple[str, ...]
    failures: tuple[Failure, ...]

    @property
    def is_complete(self) -> bool:
        """Whether everything is as wanted now."""
        return not self.failures and not self.skipped


class Executor:
    """Carries plans out.

    Args:
        api: Makes the calls.
        retry: When a call is tried again.
        tell: Hears of the progress.
    """

    def __init__(
        self, api: Api, retry: Retry, tell: Callable[[Progress], object] = lambda _: None
    ) -> None:
        self._api = api
        self._retry = retry
        self._tell = tell
        self._reader = Reader(api, retry)
        self._settling: set[str] = set()

    def run(self, plan: Plan) -> Outcome:
        """Carry the plan out, as far as that is possible.

        After a step that failed, the others are skipped; but an instance that a step failed for
        keeps only itself from the next ones that are for instances.

        Raises:
            BlockedPlanError: Something has to be done before.
        """
        if plan.is_blocked:
            subjects = [one.subject for one in plan.differences]
            raise BlockedPlanError("; ".join([*plan.problems, *subjects]))
        done, skipped = [], []
        failures: list[Failure] = list(plan.failures)
        failed: set[str] = set()
        touched: list[str] = []
        is_stopped = False
        for step in plan.steps:
            if isinstance(step, RamStep):
                if is_stopped or failed:
                    skipped.append(step.purpose)
                    continue
                error = self._run_ram_step(step)
                if error is None:
                    done.append(step.purpose)
                else:
                    is_stopped = True
                    failures.append(Failure(error.subject, error.code, str(error)))
                continue
            able = [one for one in step.instances if one not in failed]
            if is_stopped or not able:
                skipped.append(step.purpose)
                continue
            touched += able
            errors = self._run_for_instances(step, able)
            failures += [Failure(one, error.code, str(error)) for one, error in errors.items()]
            failed |= set(errors)
            if len(errors) < len(able):
                done.append(step.purpose)
        succeeded = tuple(one for one in dict.fromkeys(touched) if one not in failed)
        return Outcome(tuple(done), tuple(skipped), succeeded, tuple(failures))

    def _run_ram_step(self, step: RamStep) -> CallError | None:
        self._tell(Progress(step, 0, 0))
        try:
            self._call(step.api, step.parameters)
        except CallError as error:
            if error.code not in _DONE_ALREADY.get(step.api, ()):
                return error.about(_subject(step))
        self._settling |= _SETTLING.get(step.api, set())
        return None

    def _run_for_instances(self, step: InstanceStep | ChangeStep, ids: Sequence[str]) -> Failures:
        failures: Failures = {}
        size = {"TagResources": MAX_TAGGED, "UntagResources": MAX_TAGGED}.get(step.api, MAX_IDS)
        if step.api == "ModifyInstanceMetadataOptions":
            size = 1
        done = 0
        hopeless: CallError | None = None
        self._tell(Progress(step, 0, len(ids)))
        for batch in batches(ids, size):
            if hopeless is not None:
                errors = {one: hopeless.about(f"instance {one}") for one in batch}
            elif isinstance(step, ChangeStep):
                errors = self._change(step, batch)
            else:
                errors = self._run_batch(step, batch)
            failures.update(errors)
            # What fails for a whole batch, and is not about instances, fails for the next as well.
            if len(errors) == len(batch) and not any(
                one.is_about_instance or one.is_unclear or one.is_throttling
                for one in errors.values()
            ):
                codes = {one.code for one in errors.values()}
                hopeless = next(iter(errors.values())) if len(codes) == 1 else None
            done += len(batch)
            self._tell(Progress(step, done, len(ids)))
        return failures

    def _run_batch(self, step: InstanceStep, batch: Sequence[str]) -> Failures:
        if step.api in _RESULTS:
            return self._set_role(step.api, step.role, batch)
        if step.api == "ModifyInstanceMetadataOptions":
            parameters = {"HttpEndpoint": "enabled", "HttpTokens": "required"}
            return self._call_for_all(
                step.api, batch, lambda ids: {**parameters, "InstanceId": ids[0]}
            )
        tag: dict[str, Any] = {"TagKey": [SETUP_TAG]}
        if step.api == "TagResources":
            tag = {"Tag": [{"Key": SETUP_TAG, "Value": step.role}]}
        return self._call_for_all(
            step.api,
            batch,
            lambda ids: {"ResourceType": "instance", "ResourceId": list(ids), **tag},
        )

    def _change(self, step: ChangeStep, batch: Sequence[str]) -> Failures:
        failures = self._set_role("DetachInstanceRamRole", step.old, batch)
        detached = [one for one in batch if one not in failures]
        try:
            refused = self._set_role("AttachInstanceRamRole", step.new, detached)
        except BaseException:  # Ctrl-C, say: no instance is left without a role
            self._set_role("AttachInstanceRamRole", step.old, detached)
            raise
        lost = self._set_role("AttachInstanceRamRole", step.old, list(refused))
        for one, error in refused.items():
            if one not in lost:
                told = f"Role {step.old} is attached again."
            else:
                told = (
                    f"Role {step.old} could not be attached again either: {lost[one]} The instance "
                    f"has no role now: run `role attach {step.old} {one}`."
                )
            failures[one] = _AmendedError(error, told)
        return failures

    def _set_role(self, api: str, role: str, ids: Sequence[str]) -> Failures:
        """Attach or detach the role; why that failed, by instance."""
        failures = self._call_for_all(
            api, ids, lambda some: {"InstanceIds": json.dumps(list(some)), "RamRoleName": role}
        )
        unclear = [one for one, error in failures.items() if error.is_unclear]
        if unclear:
            # The call may have had its effect all the same: see what has become of it.
            try:
                held = self._reader.roles_of(unclear)
            except CallError:
                return failures
            is_attached = api == "AttachInstanceRamRole"
            for one in unclear:
                if (held.get(one) == role) == is_attached:
                    del failures[one]
        return failures

    def _call_for_all(
        self,
        api: str,
        ids: Sequence[str],
        parameters: Callable[[Sequence[str]], Mapping[str, Any]],
    ) -> Failures:
        """One call for all the instances; why it failed, by instance."""
        failures: Failures = {}
        left = list(ids)

        def call() -> None:
            nonlocal left
            failed = _failed_results(api, self._api.call(api, parameters(left)))
            left = [one for one, error in failed.items() if self._passes(error)]
            failures.update({one: error for one, error in failed.items() if one not in left})
            if left:
                raise failed[left[0]]

        if not ids:
            return {}
        try:
            self._retry.run(call, settling=frozenset(self._settling))
        except CallError as error:
            if error.is_about_instance and len(left) > 1:
                # The service refuses the whole call for the sake of one: find out which.
                middle = len(left) // 2
                failures.update(self._call_for_all(api, left[:middle], parameters))
                failures.update(self._call_for_all(api, left[middle:], parameters))
            else:
                failures.update({one: error.about(f"instance {one}") for one in left})
        return failures

    def _passes(self, error: CallError) -> bool:
        """Whether an instance's failure goes away by itself."""
        return error.is_throttling or error.code in self._settling

    def _call(self, api: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return self._retry.run(
            lambda: self._api.call(api, parameters), settling=frozenset(self._settling)
        )


class _AmendedError(CallError):
    """The same failure, and what was done about it."""

    def __init__(self, error: CallError, more: str) -> None:
        super().__init__(
            error.api,
            error.code,
            status=error.status,
            message=error.message,
            request_id=error.request_id,
            subject=error.subject,
        )
        self._more = more

    def __str__(self) -> str:
        return f"{super().__str__()} {self._more}"


def _failed_results(api: str, body: Mapping[str, Any]) -> Failures:
    plural, singular = _RESULTS.get(api, ("", ""))
    results = (body.get(plural) or {}).get(singular) or []
    return {
        one["InstanceId"]: CallError(
            api,
            str(one.get("Code")),
            status=200,
            message=str(one.get("Message") or ""),
            request_id=str(body.get("RequestId") or ""),
            subject=f"instance {one['InstanceId']}",
        )
        for one in results
        if str(one.get("Code")) != "200"
    }


def _subject(step: RamStep) -> str:
    name = step.parameters.get("PolicyName")
    return f"policy {name}" if name else f"role {step.parameters['RoleName']}"
