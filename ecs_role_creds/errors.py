"""What can go wrong, by what a caller can do about it.

Everything here is a :class:`CredentialsError`. Each message says what happened and what to do
next, and holds no secret; the error from below is chained as ``__cause__``, without the frames
that could still show a secret, and not at all where it quotes the answer.
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
    """No credentials could be had. The base of every error of this library."""

    retry_after: float | None = None
    """Seconds the service asked to be left alone, where it did (its ``Retry-After``)."""

    def fresh(self) -> CredentialsError:
        """A copy to raise.

        One failure is shared by many callers and remembered between them; an exception object
        that is raised twice collects the tracebacks of both.
        """
        twin = copy.copy(self)
        twin.__cause__ = self.__cause__
        return twin


class ConfigurationError(CredentialsError, ValueError):
    """An argument or an environment variable has a value that cannot be used.

    Attributes:
        source: The name of the argument or of the variable.
    """

    source: str = ""


class MetadataDisabledError(CredentialsError):
    """The environment forbids this process to ask the metadata service."""


class MetadataUnreachableError(CredentialsError):
    """Nothing answered in time: not on an ECS instance, or a firewall in between."""


class MetadataServiceError(CredentialsError):
    """The metadata service answered that it cannot serve now (429, 5xx).

    Attributes:
        status: The HTTP status.
        retry_after: Seconds to wait, where the service said so.
    """

    status: int = 0


class NoRoleAttachedError(CredentialsError):
    """The instance has no RAM role."""


class RoleMismatchError(CredentialsError):
    """The instance has another RAM role than the one named.

    Attributes:
        requested: The role the provider was given.
        attached: The role the instance has, where the service told.
    """

    requested: str = ""
    attached: str | None = None


class AccessRefusedError(CredentialsError):
    """The metadata service refused to answer this process (401, 403).

    Attributes:
        status: The HTTP status.
    """

    status: int = 0


class MalformedResponseError(CredentialsError):
    """The answer is not what a metadata service sends; none of it was believed."""


class CredentialsExpiredError(CredentialsError):
    """The service handed out credentials that have already expired."""
