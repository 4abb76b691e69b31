"""The errors of this library, one class for each kind of failure.

All are subclasses of :class:`CredentialsError`. Each message says what happened and what to do,
and contains no secret. The original error is chained as ``__cause__``, without the frames that
could show a secret. It is not chained if it quotes the response.
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
    """No credentials are available. The base class of every error of this library."""

    retry_after: float | None = None
    """Seconds to wait before the next request, if the service sent ``Retry-After``."""

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

    Attributes:
        source: The name of the argument or variable.
    """

    source: str = ""


class MetadataDisabledError(CredentialsError):
    """The environment forbids this process to use the metadata service."""


class MetadataUnreachableError(CredentialsError):
    """No response in time: this is not an ECS instance, or a firewall blocks the service."""


class MetadataServiceError(CredentialsError):
    """The metadata service returned a temporary error (429, 5xx).

    Attributes:
        status: The HTTP status.
        retry_after: Seconds to wait, if the service sent them.
    """

    status: int = 0


class NoRoleAttachedError(CredentialsError):
    """The instance has no RAM role."""


class RoleMismatchError(CredentialsError):
    """The instance has a different RAM role than the requested one.

    Attributes:
        requested: The role the provider was given.
        attached: The role the instance has, if known.
    """

    requested: str = ""
    attached: str | None = None


class AccessRefusedError(CredentialsError):
    """The metadata service refused the request (401, 403).

    Attributes:
        status: The HTTP status.
    """

    status: int = 0


class MalformedResponseError(CredentialsError):
    """The response is not valid for a metadata service; none of it was used."""


class CredentialsExpiredError(CredentialsError):
    """The service returned credentials that have already expired."""
