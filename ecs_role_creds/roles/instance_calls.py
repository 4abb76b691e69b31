"""Calls to ECS for many instances, with a result for each instance."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ecs_role_creds.roles.errors import CallError
from ecs_role_creds.roles.openapi import Api
from ecs_role_creds.roles.plan import ChangeStep, InstanceStep
from ecs_role_creds.roles.planning import SETUP_TAG
from ecs_role_creds.roles.reading import MAX_IDS, Reader
from ecs_role_creds.roles.throttling import Retry

MAX_TAGGED = 50  # documented

Failures = dict[str, CallError]
"""The errors by instance id."""

_RESULTS = {
    "AttachInstanceRamRole": ("AttachInstanceRamRoleResults", "AttachInstanceRamRoleResult"),
    "DetachInstanceRamRole": ("DetachInstanceRamRoleResults", "DetachInstanceRamRoleResult"),
}


def batch_size(api: str) -> int:
    """Return how many instances one call can take."""
    if api == "ModifyInstanceMetadataOptions":
        return 1
    return MAX_TAGGED if api in ("TagResources", "UntagResources") else MAX_IDS


class InstanceCalls:
    """Makes the calls for one batch of instances.

    Args:
        api: Makes the calls.
        retry: When calls are retried.
        settling: Codes to retry because an earlier step has not propagated yet.
    """

    def __init__(self, api: Api, retry: Retry, settling: Collection[str]) -> None:
        self._api = api
        self._retry = retry
        self._reader = Reader(api, retry)
        self._settling = settling

    def run(self, step: InstanceStep | ChangeStep, batch: Sequence[str]) -> Failures:
        """Run a step for a batch. Returns the errors by instance."""
        if isinstance(step, ChangeStep):
            return self._change(step, batch)
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
        except BaseException:  # such as Ctrl-C: leave no instance without a role
            self._set_role("AttachInstanceRamRole", step.old, detached)
            raise
        lost = self._set_role("AttachInstanceRamRole", step.old, list(refused))
        for one, error in refused.items():
            if one not in lost:
                told = f"The old role {step.old} was attached again."
            else:
                told = (
                    f"Attaching the old role {step.old} again failed too: {lost[one]} The instance "
                    f"has no role now. Run `role attach {step.old} {one}`."
                )
            failures[one] = _AmendedError(error, told)
        return failures

    def _set_role(self, api: str, role: str, ids: Sequence[str]) -> Failures:
        """Attach or detach the role. Returns the errors by instance."""
        failures = self._call_for_all(
            api, ids, lambda some: {"InstanceIds": json.dumps(list(some)), "RamRoleName": role}
        )
        unclear = [one for one, error in failures.items() if error.is_unclear]
        if unclear:
            # The call may have taken effect: look up the roles.
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
        """Make one call for all the instances. Returns the errors by instance."""
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
                # One instance makes the service reject the whole call: find out which.
                middle = len(left) // 2
                failures.update(self._call_for_all(api, left[:middle], parameters))
                failures.update(self._call_for_all(api, left[middle:], parameters))
            else:
                failures.update({one: error.about(f"instance {one}") for one in left})
        return failures

    def _passes(self, error: CallError) -> bool:
        """Whether to retry the call for the instance with this error."""
        return error.is_throttling or error.code in self._settling


class _AmendedError(CallError):
    """An error with a sentence added on what was done about it."""

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
