"""The calls themselves, made by Alibaba Cloud's SDKs.

Needs ``pip install 'ecs-role-creds[roles]'``.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol
from urllib.parse import urlsplit

from ecs_role_creds.roles.errors import CallError, InputError

logger = logging.getLogger("ecs_role_creds.roles")

RAM_APIS = frozenset(
    {
        "AttachPolicyToRole",
        "CreatePolicy",
        "CreatePolicyVersion",
        "CreateRole",
        "DeletePolicy",
        "DeletePolicyVersion",
        "DeleteRole",
        "DetachPolicyFromRole",
        "GetPolicy",
        "GetRole",
        "ListPolicies",
        "ListPoliciesForRole",
        "ListPolicyVersions",
        "ListRoles",
        "UpdateRole",
    }
)
ECS_APIS = frozenset(
    {
        "AttachInstanceRamRole",
        "DescribeInstanceRamRole",
        "DescribeInstances",
        "DetachInstanceRamRole",
        "ModifyInstanceMetadataOptions",
        "TagResources",
        "UntagResources",
    }
)

_PACKAGES = {"ram": "alibabacloud_ram20150501", "ecs": "alibabacloud_ecs20140526"}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
_INSTALL = "pip install 'ecs-role-creds[roles]'"


class Api(Protocol):
    """Makes calls; :class:`OpenApi` does."""

    @property
    def region(self) -> str:
        """The region of the instances.

        Raises:
            InputError: None is set.
        """
        ...

    def call(self, api: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Make one call; returns the body of the answer.

        Raises:
            CallError: It failed.
        """
        ...


class OpenApi:
    """Calls RAM and ECS with the real SDKs.

    Args:
        credential: What the SDKs take as a credential: an ``alibabacloud_credentials`` client, or
            an :class:`~ecs_role_creds.EcsRamRoleCredentialsProvider`.
        region: The region of the instances; ``None``: none, so that ECS cannot be called.
        ram_endpoint: Another endpoint of RAM's, ``https://HOST``; plain http on loopback only.
        ecs_endpoint: Another endpoint of ECS's.

    Raises:
        InputError: An endpoint cannot be used.
        ImportError: The SDKs are not installed.
    """

    def __init__(
        self,
        credential: Any,
        *,
        region: str | None = None,
        ram_endpoint: str | None = None,
        ecs_endpoint: str | None = None,
    ) -> None:
        self._credential = credential
        self._region = region
        self._endpoints = {
            "ram": ram_endpoint or "https://ram.aliyuncs.com",
            "ecs": ecs_endpoint or "",
        }
        self._clients: dict[str, Any] = {}
        for service in ("ram", "ecs"):
            if endpoint := self._endpoints[service]:
                _check_endpoint(endpoint, service)
            if find_spec(_PACKAGES[service]) is None:
                raise ImportError(_needs(_PACKAGES[service]))

    @property
    def region(self) -> str:
        """The region of the instances.

        Raises:
            InputError: None is set.
        """
        if not self._region:
            raise InputError(
                "no region is set: pass --region, such as cn-hangzhou, or set "
                "ALIBABA_CLOUD_REGION_ID"
            )
        return self._region

    def call(self, api: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Make one call; returns the body of the answer.

        Raises:
            CallError: It failed.
        """
        service = "ram" if api in RAM_APIS else "ecs"
        if service == "ecs":
            parameters = {"RegionId": self.region, **parameters}
        models = _import(f"{_PACKAGES[service]}.models")
        request = getattr(models, f"{api}Request")().from_map(dict(parameters))
        method = getattr(self._client(service), _snake(api))
        begun = time.monotonic()
        try:
            body: dict[str, Any] = method(request).body.to_map()
        except Exception as error:  # noqa: BLE001 (whatever the SDKs raise)
            failure = self._told(api, error)
            self._log(api, parameters, begun, f"{failure.status} {failure.code}")
            # Not chained: what the SDKs say may hold the request's headers.
            raise failure from None
        self._log(api, parameters, begun, f"200 {body.get('RequestId', '')}")
        return body

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            config = _import("alibabacloud_tea_openapi.models").Config(credential=self._credential)
            config.connect_timeout, config.read_timeout = 3000, 30000
            if endpoint := self._endpoints[service]:
                parts = urlsplit(endpoint)
                config.protocol, config.endpoint = parts.scheme, parts.netloc
            else:
                config.region_id = self.region
            client = _import(f"{_PACKAGES[service]}.client").Client(config)
            self._clients[service] = client
        return self._clients[service]

    def _told(self, api: str, error: Exception) -> CallError:
        """What an SDK's exception says, without what must not be shown."""
        inner = getattr(error, "inner_exception", None) or error
        code, status = getattr(inner, "code", None), getattr(inner, "status_code", None)
        message = self._redact(str(getattr(inner, "message", None) or inner))
        if code and status:
            message = re.sub(r"^code: \d+, ", "", message)
            message, _, request_id = message.partition(" request id: ")
            return CallError(
                api, str(code), status=int(status), message=message, request_id=request_id
            )
        # Of the credentials, by their modules: alibabacloud_credentials, and this library.
        origin = type(inner).__module__
        if origin.startswith(("alibabacloud_credentials", "ecs_role_creds", "Tea.")):
            return CallError(api, "NoCredentials", message=message)
        return CallError(api, "NoAnswer", message=_reason(message))

    def _redact(self, message: str) -> str:
        """Services quote what was signed in some messages, and that holds the security token."""
        try:
            credential = self._credential.get_credential()
        except Exception:  # noqa: BLE001 (then none was sent)
            return message[:500]
        for name in ("access_key_secret", "security_token"):
            if secret := getattr(credential, name, None):
                message = message.replace(secret, "********")
        return message[:500]

    def _log(self, api: str, parameters: Mapping[str, Any], begun: float, outcome: str) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            seconds = time.monotonic() - begun
            logger.debug("%s %s -> %s in %.3f s", api, dict(parameters), outcome, seconds)


def connect(
    *,
    region: str | None = None,
    as_instance: bool = False,
    ram_endpoint: str | None = None,
    ecs_endpoint: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> OpenApi:
    """The API, called with the administrator's own credentials or the instance's.

    Args:
        region: The region of the instances; by default that of the environment, or of the profile
            of Alibaba Cloud's command line.
        as_instance: Use the credentials of the role of the instance this runs on; by default
            those that alibabacloud-credentials' default chain finds.
        ram_endpoint: Another endpoint of RAM's.
        ecs_endpoint: Another endpoint of ECS's.
        environ: The environment.

    Raises:
        InputError: A setting cannot be used.
        ImportError: The SDKs are not installed.
    """
    from ecs_role_creds.roles.region import find_region

    if as_instance:
        from ecs_role_creds.provider import EcsRamRoleCredentialsProvider

        credential: Any = EcsRamRoleCredentialsProvider()
    else:
        credential = _administrator(environ)
    return OpenApi(
        credential,
        region=region or find_region(environ),
        ram_endpoint=ram_endpoint,
        ecs_endpoint=ecs_endpoint,
    )


def _administrator(environ: Mapping[str, str]) -> Any:
    """What alibabacloud-credentials' default chain finds.

    Its first place is the environment, which it reads when it is imported. That is too early for
    programs that set variables of their own, so that place is looked at here. Its last place, the
    instance's role, is left out: as_instance asks for it.
    """
    client = _import("alibabacloud_credentials.client").Client
    key_id = environ.get("ALIBABA_CLOUD_ACCESS_KEY_ID")
    secret = environ.get("ALIBABA_CLOUD_ACCESS_KEY_SECRET")
    if not key_id or not secret:
        settings = _import("alibabacloud_credentials.utils.auth_util")
        before = settings.environment_ecs_metadata_disabled
        settings.environment_ecs_metadata_disabled = "true"
        try:
            return client()  # builds the chain
        finally:
            settings.environment_ecs_metadata_disabled = before
    token = environ.get("ALIBABA_CLOUD_SECURITY_TOKEN")
    config = _import("alibabacloud_credentials.models").Config(
        type="sts" if token else "access_key",
        access_key_id=key_id,
        access_key_secret=secret,
        security_token=token,
    )
    return client(config)


def _check_endpoint(endpoint: str, service: str) -> None:
    parts = urlsplit(endpoint)
    name = f"--{service}-endpoint"
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise InputError(f"{name} is {endpoint!r}; pass https://HOST")
    if parts.scheme == "https":
        return
    if parts.hostname not in _LOOPBACK:
        raise InputError(
            f"{name} is {endpoint!r}: plain http is for loopback only, since the answers are not "
            "protected. Pass https://HOST"
        )
    if os.environ.get("HTTP_PROXY") or os.environ.get("http_proxy"):
        raise InputError(
            f"{name} is on loopback, but the SDKs would send its requests to the proxy that "
            "HTTP_PROXY names. Unset HTTP_PROXY for this command"
        )


def _reason(message: str) -> str:
    """Why there was no answer, out of what requests and urllib3 wrap around it."""
    caused = re.search(r"Caused by \w+\((.*)\)\)$", message, re.DOTALL)
    if caused is not None:
        return re.sub(r"^\w+\([^)]*\): ", "", caused[1].strip("'\""))
    aborted = re.fullmatch(r"\('([^']*)', \w+\(.*'([^']*)'\)\)", message, re.DOTALL)
    return f"{aborted[1]} {aborted[2]}" if aborted is not None else message


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(_needs(error.name or module)) from error


def _needs(module: str) -> str:
    package = module.partition(".")[0].replace("_", "-")
    return f"managing roles needs the package {package}: {_INSTALL}"


def _snake(api: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", api).lower()
