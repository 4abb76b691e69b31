"""The errors of this library, one class for each kind of failure.

All are subclasses of :class:`CredentialsError`. Each message says what happened and what to do, and
contains no secret. The original error is chained as ``__cause__``, without the frames that could
show a secret. It is not chained if it quotes the response.
"""

from __future__ import annotations

import copy

__all__ = [
    "AccessRefusedError",
    "ConfigurationError",
    "CredentialsError",
    "CredentialsExpiredError",
    "MalformedResponseError",
    "MetadataDisabledError",
    "MetadataServiceError",
    "MetadataUnreachableError",
    "NoRoleAttachedError",
    "RoleMismatchError",
]


class CredentialsError(Exception):
    """No credentials are available. The base class of all errors of this library.

    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> provider = EcsRamRoleCredentialsProvider("misspelt-role")
    >>> try:
    ...     credentials = provider.get_credentials()
    ... except CredentialsError as error:
    ...     print(error)
    The role 'misspelt-role' is not attached to this instance; its role is 'app-role'. ...
    """

    retry_after: float | None = None
    """Seconds to wait before the next request; ``None`` if the service sent no ``Retry-After``."""

    def fresh(self) -> CredentialsError:
        """Return a copy that is safe to raise.

        The original is cached and shared between threads; an exception object that is raised twice
        collects both tracebacks.
        """
        twin = copy.copy(self)
        twin.__cause__ = self.__cause__
        return twin


class ConfigurationError(CredentialsError, ValueError):
    """An argument or an environment variable has an invalid value.

    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> EcsRamRoleCredentialsProvider(deadline=0)
    Traceback (most recent call last):
        ...
    ecs_role_creds.errors.ConfigurationError: deadline is 0; pass a number of seconds, ...

    Attributes:
        source: The name of the argument or variable.
    """

    source: str = ""


class MetadataDisabledError(CredentialsError):
    """``ALIBABA_CLOUD_ECS_METADATA_DISABLED`` is ``true``, so the service must not be used.

    >>> import os
    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> os.environ["ALIBABA_CLOUD_ECS_METADATA_DISABLED"] = "true"
    >>> EcsRamRoleCredentialsProvider()
    Traceback (most recent call last):
        ...
    ecs_role_creds.errors.MetadataDisabledError: The environment variable ...
    """


class MetadataUnreachableError(CredentialsError):
    """No response in time: this is not an ECS instance, or a firewall blocks the service.

    >>> from ecs_role_creds import get_credentials
    >>> ecs_metadata.reset()  # in a test
    >>> get_credentials()
    Traceback (most recent call last):
        ...
    ecs_role_creds.errors.MetadataUnreachableError: No answer from the metadata service ...
    """


class MetadataServiceError(CredentialsError):
    """The metadata service returned a temporary error (429, 5xx).

    >>> from ecs_role_creds import get_credentials
    >>> ecs_metadata.throttle(retry_after=5)  # in a test
    >>> try:
    ...     credentials = get_credentials()
    ... except MetadataServiceError as error:
    ...     print(error.status, error.retry_after)
    429 5.0

    Attributes:
        status: The HTTP status; 0 if the library stopped after too many requests.
        retry_after: Seconds to wait, if the service sent ``Retry-After``; else ``None``.
    """

    status: int = 0


class NoRoleAttachedError(CredentialsError):
    """The instance has no RAM role.

    >>> from ecs_role_creds import get_credentials
    >>> ecs_metadata.detach()  # in a test
    >>> get_credentials()
    Traceback (most recent call last):
        ...
    ecs_role_creds.errors.NoRoleAttachedError: No RAM role is attached to this instance ...
    """


class RoleMismatchError(CredentialsError):
    """The instance has a different RAM role than the requested one.

    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> try:
    ...     credentials = EcsRamRoleCredentialsProvider("other-role").get_credentials()
    ... except RoleMismatchError as error:
    ...     print(error.requested, error.attached)
    other-role app-role

    Attributes:
        requested: The role that was passed to the provider, or set in the environment.
        attached: The role that the instance has.
    """

    requested: str = ""
    attached: str | None = None


class AccessRefusedError(CredentialsError):
    """The metadata service refused the request, or supports only a mode that is disabled.

    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> ecs_metadata.mode = "normal-only"  # in a test
    >>> try:
    ...     credentials = EcsRamRoleCredentialsProvider(disable_imds_v1=True).get_credentials()
    ... except AccessRefusedError as error:
    ...     print(error.status)
    404

    Attributes:
        status: The HTTP status: 401 or 403; or 403, 404 or 405 if the service does not support the
            hardening mode and the normal mode is disabled.
    """

    status: int = 0


class MalformedResponseError(CredentialsError):
    """The response is not valid for a metadata service. Nothing in it was used.

    >>> from ecs_role_creds import get_credentials
    >>> ecs_metadata.answer("<html>Please log in</html>", on="role")  # in a test
    >>> get_credentials()
    Traceback (most recent call last):
        ...
    ecs_role_creds.errors.MalformedResponseError: Expected a role name from the metadata ...
    """


class CredentialsExpiredError(CredentialsError):
    """The service returned credentials that have already expired.

    >>> from ecs_role_creds import default_provider
    >>> credentials = default_provider().get_credentials()
    >>> ecs_metadata.rotation_paused = True  # in a test
    >>> ecs_metadata.expire()
    >>> default_provider().refresh()
    Traceback (most recent call last):
        ...
    ecs_role_creds.errors.CredentialsExpiredError: The metadata service returned credentials ...
    """
