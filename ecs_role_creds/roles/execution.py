"""Apply plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecs_role_creds.roles.errors import BlockedPlanError, CallError
from ecs_role_creds.roles.instance_calls import Failures, InstanceCalls, batch_size
from ecs_role_creds.roles.openapi import Api
from ecs_role_creds.roles.plan import ChangeStep, Failure, InstanceStep, Plan, RamStep, Step
from ecs_role_creds.roles.reading import batches
from ecs_role_creds.roles.throttling import Retry

# Codes that mean that the step was already done, perhaps by a call whose response was lost.
_DONE_ALREADY = {
    "AttachPolicyToRole": {"EntityAlreadyExists.Role.Policy"},
    "DetachPolicyFromRole": {"EntityNotExist.Role.Policy", "EntityNotExist.Role"},
    "DeletePolicyVersion": {"EntityNotExist.Policy.Version"},
    "DeletePolicy": {"EntityNotExist.Policy"},
    "DeleteRole": {"EntityNotExist.Role"},
}

# Codes that the services may return shortly after a step, until the change has propagated.
_SETTLING = {
    "CreateRole": {"EntityNotExist.Role", "InvalidRamRole.NotFound"},
    "UpdateRole": {"InvalidRamRole.NotEcsRole"},
    "CreatePolicy": {"EntityNotExist.Policy"},
    "DetachPolicyFromRole": {"DeleteConflict.Role.Policy", "DeleteConflict.Policy.Role"},
    "DeletePolicyVersion": {"DeleteConflict.Policy.Version", "LimitExceeded.Policy.Version"},
}


@dataclass(frozen=True)
class Progress:
    """The progress of a step.

    Attributes:
        step: The step.
        done: The number of instances done so far, including failed ones.
        total: The number of instances of the step; 0 for a call to RAM.
    """

    step: Step
    done: int
    total: int


@dataclass(frozen=True)
class Outcome:
    """The result of a plan.

    Attributes:
        done: The purposes of the steps that were done.
        skipped: The purposes of the steps that were skipped because an earlier step failed.
        instances: The instances for which every step succeeded.
        failures: The failures of the plan, then those of the steps.
    """

    done: tuple[str, ...]
    skipped: tuple[str, ...]
    instances: tuple[str, ...]
    failures: tuple[Failure, ...]

    @property
    def is_complete(self) -> bool:
        """Whether nothing failed and nothing was skipped."""
        return not self.failures and not self.skipped


class Executor:
    """Applies plans.

    Args:
        api: Makes the calls.
        retry: When calls are retried.
        tell: Called with the progress.
    """

    def __init__(
        self, api: Api, retry: Retry, tell: Callable[[Progress], object] = lambda _: None
    ) -> None:
        self._api = api
        self._retry = retry
        self._tell = tell
        self._settling: set[str] = set()
        self._instance_calls = InstanceCalls(api, retry, self._settling)

    def run(self, plan: Plan) -> Outcome:
        """Apply a plan.

        If a call to RAM fails, the remaining steps are skipped. If a step fails for an instance,
        the next steps leave out that instance, and the following calls to RAM are skipped.

        Raises:
            BlockedPlanError: The plan has differences or problems.
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
        done = 0
        hopeless: CallError | None = None
        self._tell(Progress(step, 0, len(ids)))
        for batch in batches(ids, batch_size(step.api)):
            if hopeless is not None:
                errors = {one: hopeless.about(f"instance {one}") for one in batch}
            else:
                errors = self._instance_calls.run(step, batch)
            failures.update(errors)
            if len(errors) == len(batch) and all(one.is_about_all for one in errors.values()):
                hopeless = next(iter(errors.values()))  # the next batch would fail as well
            done += len(batch)
            self._tell(Progress(step, done, len(ids)))
        return failures

    def _call(self, api: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return self._retry.run(
            lambda: self._api.call(api, parameters), settling=frozenset(self._settling)
        )


def _subject(step: RamStep) -> str:
    name = step.parameters.get("PolicyName")
    return f"policy {name}" if name else f"role {step.parameters['RoleName']}"
