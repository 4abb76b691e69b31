"""A role manager against a fake RAM and ECS."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ecs_role_creds.roles import CallError, OpenApi, Retry, RoleManager
from ecs_role_creds.testing import FakeOpenApi

REGION = "cn-fake-1"

READING = ("Get", "List", "Describe")


def connect(fake: FakeOpenApi, **changes: Any) -> OpenApi:
    """The real SDKs, pointed at the fake, as its administrator."""
    arguments: dict[str, Any] = {
        "region": REGION,
        "ram_endpoint": fake.endpoint,
        "ecs_endpoint": fake.endpoint,
        **changes,
    }
    return OpenApi(Administrator(fake), **arguments)


def manage(fake: FakeOpenApi, waits: list[float] | None = None, **changes: Any) -> RoleManager:
    """A manager that does not sleep, but notes how long it would have."""
    noted: list[float] = [] if waits is None else waits
    retry = Retry(attempts=5, sleep=noted.append, random=lambda: 1.0)
    return RoleManager(connect(fake, **changes), retry=retry)


def changing_calls(fake: FakeOpenApi) -> list[str]:
    """The names of the calls that change something."""
    return [one.api for one in fake.calls if not one.api.startswith(READING)]


class Administrator:
    """The fake's administrator, as the SDKs take a credential."""

    def __init__(self, fake: FakeOpenApi, secret: str | None = None) -> None:
        self._key = (fake.access_key_id, secret or fake.access_key_secret)

    def get_credential(self) -> SimpleNamespace:
        return SimpleNamespace(
            access_key_id=self._key[0],
            access_key_secret=self._key[1],
            security_token=None,
            type="access_key",
            provider_name="test",
        )


class FlakyApi:
    """Has some calls fail, by their number from 0 on.

    Args:
        api: Makes the others.
        faults: ``"dropped"``: no answer and no effect; ``"lost"``: no answer; ``"throttled"``;
            ``"broken"``: an internal error without effect.
    """

    def __init__(self, api: OpenApi, faults: Mapping[int, str]) -> None:
        self._api = api
        self._faults = faults
        self._number = 0

    @property
    def region(self) -> str:
        return self._api.region

    def call(self, api: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        fault = self._faults.get(self._number)
        self._number += 1
        if fault == "throttled":
            raise CallError(api, "Throttling.User", status=400)
        if fault == "broken":
            raise CallError(api, "InternalError", status=500)
        body = {} if fault == "dropped" else self._api.call(api, parameters)
        if fault is not None:
            raise CallError(api, "NoAnswer", message="The connection was reset.")
        return body
