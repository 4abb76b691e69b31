"""API calls to RAM and ECS, made with Alibaba Cloud's SDKs.

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
    """The protocol of an object that makes API calls, such as :class:`OpenApi`."""

    @property
    def region(self) -> str:
        """The region of the instances.

        Raises:
            InputError: No region is set.
        """
        ...

    def call(self, api: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Make one call. Returns the body of the response.

        Raises:
            CallError: The call failed.
        """
        ...


class OpenApi:
    """Calls RAM and ECS with the real SDKs.

    Args:
        credential: A credential that the SDKs accept: an ``alibabacloud_credentials`` client, or
            an :class:`~ecs_role_creds.EcsRamRoleCredentialsProvider`.
        region: The region of the instances. Without one, ECS cannot be called.
        ram_endpoint: Another endpoint of RAM, ``https://HOST``; plain http on loopback only.
        ecs_endpoint: Another endpoint of ECS.

    Raises:
        InputError: An endpoint is invalid.
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
            InputError: No region is set.
        """
        if not self._region:
            raise InputError(
                "no region is set: pass --region, such as cn-hangzhou, or set "
                "ALIBABA_CLOUD_REGION_ID"
            )
        return self._region

    def call(self, api: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Make one call. Returns the body of the response.

        Raises:
            CallError: The call failed.
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
            # Not chained: the SDK's message may contain the request's headers.
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
        """Convert an SDK's exception, without secrets."""
        inner = getattr(error, "inner_exception", None) or error
        code, status = getattr(inner, "code", None), getattr(inner, "status_code", None)
        message = self._redact(str(getattr(inner, "message", None) or inner))
        if code and status:
            message = re.sub(r"^code: \d+, ", "", message)
            message, _, request_id = message.partition(" request id: ")
            return CallError(
                api, str(code), status=int(status), message=message, request_id=request_id
            )
        # Raised by alibabacloud_credentials or this library: no credentials.
        origin = type(inner).__module__
        if origin.startswith(("alibabacloud_credentials", "ecs_role_creds", "Tea.")):
            return CallError(api, "NoCredentials", message=message)
        return CallError(api, "NoAnswer", message=_reason(message))

    def _redact(self, message: str) -> str:
        """Remove secrets. Some messages quote the signed text, which holds the security token."""
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
    """Return an API client with the administrator's credentials, or with the instance's.

    Args:
        region: The region of the instances. By default the region in the environment, or in the
            profile of the ``aliyun`` command.
        as_instance: Use the credentials of the role of the instance that this runs on. By default
            the credentials that the default chain of alibabacloud-credentials finds.
        ram_endpoint: Another endpoint of RAM.
        ecs_endpoint: Another endpoint of ECS.
        environ: The environment variables.

    Raises:
        InputError: A setting is invalid.
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
    """Return the credentials of alibabacloud-credentials' default chain.

    The chain first reads the environment variables, but when it is imported. That is too early for
    programs that set the variables later, so they are read here. The last place of the chain, the
    role of the instance, is left out: it needs as_instance.
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
        raise InputError(f"invalid {name} {endpoint!r}: pass https://HOST")
    if parts.scheme == "https":
        return
    if parts.hostname not in _LOOPBACK:
        raise InputError(
            f"invalid {name} {endpoint!r}: plain http is allowed on loopback only, because it is "
            "not encrypted. Pass https://HOST"
        )
    if os.environ.get("HTTP_PROXY") or os.environ.get("http_proxy"):
        raise InputError(
            f"{name} is on loopback, but the SDKs would send the requests to the proxy in "
            "HTTP_PROXY. Unset HTTP_PROXY for this command"
        )


def _reason(message: str) -> str:
    """Extract the cause from a message of requests and urllib3."""
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
