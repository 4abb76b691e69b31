"""A provider's settings, from arguments, then the environment, then defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from ecs_role_creds.errors import ConfigurationError, MetadataDisabledError

ROLE_NAME = "ALIBABA_CLOUD_ECS_METADATA"
DISABLED = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"
IMDS_V1_DISABLED = "ALIBABA_CLOUD_IMDSV1_DISABLED"
IMDS_V1_DISABLED_OLD = "ALIBABA_CLOUD_IMDSV1_DISABLE"  # still in READMEs
ENDPOINT = "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT"

DEFAULT_ENDPOINT = "http://100.100.100.200"
DEFAULT_DEADLINE = 2.0
MAX_DEADLINE = 60.0
MAX_SESSION_TOKEN_TTL = 21600  # documented: 1 to 21600 seconds

DISABLED_MESSAGE = (
    f"The environment variable {DISABLED} is true, so this process must not request credentials "
    "from the metadata service. Unset it, or use another source of credentials."
)

_ROLE_NAME_PATTERN = re.compile(r"[A-Za-z0-9.@_-]{1,64}")
_AUTHORITY_PATTERN = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")


class Settings(NamedTuple):
    """The settings of a provider. Hashable; contains no secrets.

    Build it with :meth:`resolve`, which validates. Providers with equal settings share one cache.

    Attributes:
        role_name: The role the instance must have; ``None``: any role.
        endpoint: The metadata service, ``http://HOST[:PORT]``.
        deadline: The maximum number of seconds that a caller without valid credentials waits.
        disable_imds_v1: Whether normal mode (IMDSv1) is disabled.
        session_token_ttl: The requested life of a session token of the hardening mode (IMDSv2), in
            seconds.
        is_disabled: Whether this process must not use the service. Only set for settings from
            another process: in this process, :meth:`resolve` raises.
    """

    role_name: str | None = None
    endpoint: str = DEFAULT_ENDPOINT
    deadline: float = DEFAULT_DEADLINE
    disable_imds_v1: bool = False
    session_token_ttl: int = MAX_SESSION_TOKEN_TTL
    is_disabled: bool = False

    @classmethod
    def resolve(
        cls,
        role_name: str | None = None,
        *,
        endpoint: str | None = None,
        deadline: float = DEFAULT_DEADLINE,
        disable_imds_v1: bool | None = None,
        session_token_ttl: int = MAX_SESSION_TOKEN_TTL,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """Determine every setting: the argument, else the environment, else the default.

        An environment variable that is set but empty counts as not set.

        Args:
            role_name: See the attribute; environment ``ALIBABA_CLOUD_ECS_METADATA``.
            endpoint: See the attribute; environment
                ``ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT``.
            deadline: See the attribute; more than 0 and at most 60.
            disable_imds_v1: See the attribute; environment ``ALIBABA_CLOUD_IMDSV1_DISABLED``, or
                its older spelling ``ALIBABA_CLOUD_IMDSV1_DISABLE``.
            session_token_ttl: See the attribute; 1 to 21600 (documented).
            environ: The environment; the process's own by default.

        Raises:
            ConfigurationError: A setting has an invalid value. The message names the argument or
                environment variable.
            MetadataDisabledError: ``ALIBABA_CLOUD_ECS_METADATA_DISABLED`` is ``true``.
        """
        environ = os.environ if environ is None else environ
        if _switch(environ, DISABLED):
            raise MetadataDisabledError(DISABLED_MESSAGE)
        role_source, endpoint_source = "role_name", "endpoint"
        if role_name is None and environ.get(ROLE_NAME):
            role_name, role_source = environ[ROLE_NAME], ROLE_NAME
        if endpoint is None and environ.get(ENDPOINT):
            endpoint, endpoint_source = environ[ENDPOINT], ENDPOINT
        if disable_imds_v1 is None:
            disable_imds_v1 = _is_imds_v1_disabled(environ)
        return cls(
            role_name=None if role_name is None else _role_name(role_name, role_source),
            endpoint=(
                DEFAULT_ENDPOINT if endpoint is None else _endpoint(endpoint, endpoint_source)
            ),
            deadline=_deadline(deadline),
            disable_imds_v1=_flag(disable_imds_v1),
            session_token_ttl=_session_token_ttl(session_token_ttl),
        )

    def arriving(self, environ: Mapping[str, str] | None = None) -> Settings:
        """Return these settings for another process, after unpickling.

        If either process disables the normal mode, it stays disabled.
        ``ALIBABA_CLOUD_ECS_METADATA_DISABLED`` applies to each process separately.

        Args:
            environ: The environment; the process's own by default.

        Raises:
            ConfigurationError: One of the two variables is neither true nor false.
        """
        environ = os.environ if environ is None else environ
        return self._replace(
            disable_imds_v1=self.disable_imds_v1 or _is_imds_v1_disabled(environ),
            is_disabled=_switch(environ, DISABLED),
        )


def is_role_name(text: str) -> bool:
    """Whether this is a valid RAM role name that is also safe in a URL path."""
    return _ROLE_NAME_PATTERN.fullmatch(text) is not None and text not in (".", "..")


def _refuse(source: str, value: object, allowed: str) -> ConfigurationError:
    error = ConfigurationError(f"{source} is {value!r:.200}; {allowed}")
    error.source = source
    return error


def _switch(environ: Mapping[str, str], variable: str) -> bool:
    value = environ.get(variable, "").strip().lower()
    if value not in ("", "true", "false"):
        raise _refuse(variable, environ[variable], "set it to true or false, or unset it")
    return value == "true"


def _is_imds_v1_disabled(environ: Mapping[str, str]) -> bool:
    return _switch(environ, IMDS_V1_DISABLED) or _switch(environ, IMDS_V1_DISABLED_OLD)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _refuse("disable_imds_v1", value, "pass True or False")
    return value


def _role_name(value: object, source: str) -> str:
    if not isinstance(value, str) or not is_role_name(value):
        raise _refuse(
            source,
            value,
            "a role name is 1 to 64 letters, digits and '.', '@', '_', '-' "
            "(the name alone, not the ARN); leave it out to use the role the instance has",
        )
    return value


def _endpoint(value: object, source: str) -> str:
    from urllib.parse import urlsplit  # a tenth of the import time, and rarely needed

    allowed = f"write it as http://HOST or http://HOST:PORT, like {DEFAULT_ENDPOINT}"
    if "@" in str(value) or "%40" in str(value):
        # Do not show the value: there may be a password before the @.
        raise _refuse(source, "not shown: it has a user name in it", allowed)
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise _refuse(source, value, allowed)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as problem:
        raise _refuse(source, value, allowed) from problem
    if parts.scheme != "http" or not _AUTHORITY_PATTERN.fullmatch(parts.netloc):
        raise _refuse(source, value, allowed)
    if not parts.hostname or " " in value or port == 0:
        raise _refuse(source, value, allowed)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _refuse(source, value, allowed)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"http://{host}" if port is None or port == 80 else f"http://{host}:{port}"


def _deadline(value: object) -> float:
    allowed = f"pass a number of seconds, more than 0 and at most {MAX_DEADLINE:g}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _refuse("deadline", value, allowed)
    if not 0 < value <= MAX_DEADLINE:  # also refuses NaN
        raise _refuse("deadline", value, allowed)
    return float(value)


def _session_token_ttl(value: object) -> int:
    if type(value) is int and 1 <= value <= MAX_SESSION_TOKEN_TTL:
        return value
    allowed = f"pass a whole number of seconds, 1 to {MAX_SESSION_TOKEN_TTL}"
    raise _refuse("session_token_ttl", value, allowed)
