"""A fake RAM and ECS on loopback.

Needs ``pip install 'ecs-role-creds[testing-openapi]'``.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import formatdate
from typing import Any, NamedTuple

from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.loopback import LoopbackServer
from ecs_role_creds.testing.metadata.service import (
    DEFAULT_INSTANCE_ID,
    DEFAULT_OWNER_ACCOUNT_ID,
    DEFAULT_REGION_ID,
    FakeMetadataService,
)
from ecs_role_creds.testing.openapi.ecs import FakeEcs, FakeInstance, NetworkType
from ecs_role_creds.testing.openapi.evaluator import is_allowed
from ecs_role_creds.testing.openapi.ram import Body, FakePolicy, FakeRam, FakeRole, Limits

try:
    from ecs_role_creds.testing.openapi.signature import Key, RefusedError, parameters, verify
except ImportError as error:
    raise ImportError(
        "FakeOpenApi verifies signatures with alibabacloud-openapi-util: "
        "pip install 'ecs-role-creds[testing-openapi]'"
    ) from error

_VERSIONS = {"2015-05-01": "ram", "2014-05-26": "ecs"}


class OpenApiCall(NamedTuple):
    """A call that the fake received.

    Attributes:
        api: The name of the API.
        parameters: Its parameters.
        role: The role of the caller; ``None``: the administrator, or a caller that was refused.
        status: The HTTP status of the response; 0 if the connection was reset instead.
        code: The error code; ``None`` if there was no error.
    """

    api: str
    parameters: Mapping[str, str]
    role: str | None
    status: int
    code: str | None


@dataclass
class _Fault:
    """A fault of the next calls."""

    api: str | None
    times: int
    status: int = 0
    code: str = ""
    message: str = ""
    instances: frozenset[str] = frozenset()
    is_answer_lost: bool = False


class FakeOpenApi(LoopbackServer):
    """A fake RAM and ECS on loopback, with the APIs for instance RAM roles.

    Both services use one endpoint. Every call must be signed: by the administrator, whose AccessKey
    pair is in :attr:`environment`, or by the role of an instance with a fake metadata service. The
    policies of a role decide what it may do.

    >>> with FakeOpenApi() as openapi:
    ...     instance = openapi.add_instance(metadata=ecs_metadata)
    ...     openapi.instances[instance.instance_id].role
    'app-role'

    Args:
        limits: The limits of the account; by default, the documented ones.
        account_id: The id of the account.
        clock: The service's clock, in seconds since the epoch.
        port: The port; 0: any free port.
    """

    access_key_id = "LTAI.FAKEADMINISTRATOR"
    access_key_secret = "fake-secret-administrator"  # noqa: S105 (a fake)

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        account_id: str = DEFAULT_OWNER_ACCOUNT_ID,
        clock: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        super().__init__(port=port)
        self.calls: list[OpenApiCall] = []
        """All calls received, oldest first."""
        self.forbidden: set[str] = set()
        """The actions that the administrator may not do, such as ``"ram:PassRole"``."""
        self._clock = clock
        self._lock = threading.RLock()
        self._serial = itertools.count(1)
        self._nonces: set[str] = set()
        self._faults: list[_Fault] = []
        self._caller: str | None = None  # of the call being served
        self._ram = FakeRam(account_id, limits or Limits(), self._now)
        self._ecs = FakeEcs(self._ram, self._may_pass, self._failing_instance)
        self._ecs.regions.add(DEFAULT_REGION_ID)

    # For tests.

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with the administrator's credentials and the region."""
        return {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": self.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": self.access_key_secret,
            "ALIBABA_CLOUD_REGION_ID": DEFAULT_REGION_ID,
        }

    @property
    def roles(self) -> dict[str, FakeRole]:
        """The roles, by name."""
        return self._ram.roles

    @property
    def policies(self) -> dict[tuple[str, str], FakePolicy]:
        """The policies, by type (``"System"``, ``"Custom"``) and name."""
        return self._ram.policies

    @property
    def instances(self) -> dict[str, FakeInstance]:
        """The instances, by id."""
        return self._ecs.instances

    def add_instance(
        self,
        instance_id: str = DEFAULT_INSTANCE_ID,
        *,
        region_id: str = DEFAULT_REGION_ID,
        network_type: NetworkType = "vpc",
        metadata: FakeMetadataService | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> FakeInstance:
        """Add an instance.

        >>> with FakeOpenApi() as openapi:
        ...     openapi.add_instance("i-fake1", tags={"team": "web"}).network_type
        'vpc'

        Args:
            instance_id: The instance id; by default the same as that of a ``FakeMetadataServer``.
            region_id: The region id.
            network_type: ``"vpc"``; or ``"classic"``, in which case it cannot have a role.
            metadata: The ``FakeMetadataServer`` of the instance. A role that is attached to the
                instance is attached there.
            tags: The tags.

        Returns:
            The instance.

        Raises:
            ValueError: There is already an instance with this id.
        """
        with self._lock:
            if instance_id in self.instances:
                raise ValueError(f"there is an instance {instance_id!r} already; name another id")
            one = FakeInstance(instance_id, region_id, network_type, metadata, dict(tags or {}))
            self._ecs.regions.add(region_id)
            self.instances[instance_id] = one
            return one

    def allows(
        self,
        role_name: str,
        action: str,
        resource: str,
        context: Mapping[str, str] | None = None,
    ) -> bool:
        """Return whether a role's policies allow a request; ``FakeOss(policies=...)`` calls it.

        >>> with FakeOpenApi() as openapi:
        ...     openapi.allows("no-such-role", "oss:GetObject", "acs:oss:*:*:bucket/key")
        False

        Args:
            role_name: The role.
            action: The action, such as ``"oss:GetObject"``.
            resource: The resource, such as ``"acs:oss:*:*:bucket/key"``.
            context: The values for conditions, such as ``{"oss:Prefix": "photos/"}``.
        """
        with self._lock:
            return is_allowed(self._ram.documents_of(role_name), action, resource, context)

    def throttle(self, times: int, api: str | None = None) -> None:
        """Refuse the next calls with ``Throttling.User``.

        >>> with FakeOpenApi() as openapi:
        ...     openapi.throttle(2, "CreateRole")

        Args:
            times: The number of calls.
            api: The name of the API; by default, any.
        """
        message = "Request was denied due to user flow control."
        self._add_fault(_Fault(api, times, 400, "Throttling.User", message))

    def fail(
        self,
        api: str,
        code: str,
        *,
        status: int = 400,
        message: str = "Made to fail.",
        instances: Iterable[str] = (),
        times: int = 1,
    ) -> None:
        """Make the next calls of an API fail, without effect.

        >>> with FakeOpenApi() as openapi:
        ...     openapi.fail("CreateRole", "LimitExceeded.Role", status=409)

        Args:
            api: The name of the API.
            code: The error code.
            status: The HTTP status.
            message: The message.
            instances: Fail only for these instances, each ``times`` times; the call succeeds for
                the others.
            times: The number of calls.
        """
        for one in instances:
            self._add_fault(_Fault(api, times, status, code, message, frozenset({one})))
        if not instances:
            self._add_fault(_Fault(api, times, status, code, message))

    def lose_answers(self, times: int = 1, api: str | None = None) -> None:
        """Carry out the next calls, but reset the connection instead of sending a response.

        >>> with FakeOpenApi() as openapi:
        ...     openapi.lose_answers(1, "CreateRole")

        Args:
            times: The number of calls.
            api: The name of the API; by default, any.
        """
        self._add_fault(_Fault(api, times, is_answer_lost=True))

    def drop_calls(self, times: int = 1, api: str | None = None) -> None:
        """Reset the connection of the next calls, without effect.

        >>> with FakeOpenApi() as openapi:
        ...     openapi.drop_calls(1)

        Args:
            times: The number of calls.
            api: The name of the API; by default, any.
        """
        self._add_fault(_Fault(api, times))

    def recover(self) -> None:
        """End all faults."""
        with self._lock:
            self._faults.clear()

    # The services.

    def handle(self, request: Request) -> Response:
        """Verify a call, carry it out, and record it."""
        with self._lock:
            api = request.headers.get("x-acs-action", "")
            sent = parameters(request)
            request_id = f"FAKE{next(self._serial):020}"
            code, status, self._caller = None, 200, None
            fault = self._take_fault(api)
            try:
                self._caller = self._verify(request)
                if fault is not None and fault.code:
                    raise RefusedError(fault.status, fault.code, fault.message)
                is_dropped = fault is not None and not fault.is_answer_lost
                body = {} if is_dropped else self._serve(request, api, sent)
            except RefusedError as refusal:
                code, status = refusal.code, refusal.status
                body = {"Code": code, "Message": refusal.message}
            is_reset = fault is not None and not fault.code
            self.calls.append(OpenApiCall(api, sent, self._caller, 0 if is_reset else status, code))
            answer = json.dumps({"RequestId": request_id, **body}).encode()
            headers = {
                "Content-Type": "application/json;charset=utf-8",
                "Date": formatdate(self._clock(), usegmt=True),
            }
            return Response(status, answer, headers, conduct="reset" if is_reset else "send")

    def _verify(self, request: Request) -> str | None:
        """Return the role of the caller; ``None``: the administrator."""
        key = verify(request, self._find_key, self._clock())
        nonce = request.headers.get("x-acs-signature-nonce", "")
        if not nonce or nonce in self._nonces:
            raise RefusedError(400, "SignatureNonceUsed", "Specified signature nonce was used.")
        self._nonces.add(nonce)
        return key.role

    def _find_key(self, access_key_id: str) -> Key | None:
        if access_key_id == self.access_key_id:
            return Key(self.access_key_secret)
        for one in self.instances.values():
            issued = one.metadata.find_issued(access_key_id) if one.metadata else None
            if issued is None or one.metadata is None:
                continue
            if one.metadata.now() >= issued.expiration:
                raise RefusedError(
                    400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired."
                )
            return Key(issued.access_key_secret, issued.security_token, issued.role_name)
        return None

    def _serve(self, request: Request, api: str, sent: Mapping[str, str]) -> Body:
        service = _VERSIONS.get(request.headers.get("x-acs-version", ""), "")
        holder: Any = {"ram": self._ram, "ecs": self._ecs}.get(service)
        method = getattr(holder, re.sub(r"(?<!^)(?=[A-Z])", "_", api).lower(), None)
        if method is None or not api[:1].isupper():
            raise RefusedError(404, "InvalidAction.NotFound", f"FakeOpenApi does not fake {api}.")
        action = f"{service}:{api}"
        if not all(self._may(action, one) for one in holder.resources(api, sent)):
            if api == "DescribeInstances":  # documented: an empty list
                return {"Instances": {"Instance": []}, "TotalCount": 0}
            refused = "NoPermission" if service == "ram" else "Forbidden.RAM"
            raise RefusedError(403, refused, "You are not authorized to do this action.")
        body: Body = method(sent)
        return body

    def _may(self, action: str, resource: str) -> bool:
        if self._caller is None:
            return action not in self.forbidden
        return is_allowed(self._ram.documents_of(self._caller), action, resource)

    def _may_pass(self, role: str) -> bool:
        return self._may("ram:PassRole", f"acs:ram:*:{self._ram.account_id}:role/{role}")

    def _add_fault(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _take_fault(self, api: str) -> _Fault | None:
        """Return the first fault for this whole call."""
        for fault in self._faults:
            if not fault.instances and fault.api in (None, api) and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _failing_instance(self, api: str, instance_id: str) -> tuple[str, str] | None:
        for fault in self._faults:
            if instance_id in fault.instances and fault.api == api and fault.times > 0:
                fault.times -= 1
                return fault.code, fault.message
        return None

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
