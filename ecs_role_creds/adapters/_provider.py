"""Common code of the adapters: the provider, and the handling of a refused token."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from ecs_role_creds.credentials import Credentials
from ecs_role_creds.provider import default_provider

_REFUSED = frozenset(
    {
        # OSS; the S3-compatible endpoint too
        "InvalidAccessKeyId",
        "InvalidSecurityToken",
        "SecurityTokenExpired",
        # what S3 itself says
        "ExpiredToken",
        "InvalidToken",
    }
)


class Provider(Protocol):
    """What the adapters need of :class:`~ecs_role_creds.EcsRamRoleCredentialsProvider`."""

    def get_credentials(self) -> Credentials:
        """Return valid credentials."""
        ...

    async def get_credentials_async(self) -> Credentials:
        """Return valid credentials, without blocking the event loop."""
        ...

    def invalidate(self, credentials: Credentials) -> None:
        """Replace these credentials at the next call, because a service refused them."""
        ...


def resolve(provider: Provider | None) -> Provider:
    """Return the provider, or the default one.

    Raises:
        TypeError: It is not a provider.
    """
    if provider is None:
        return default_provider()
    names = ("get_credentials", "get_credentials_async", "invalidate")
    if isinstance(provider, type) or not all(
        callable(getattr(provider, name, None)) for name in names
    ):
        got = (
            f"the class {provider.__name__}"
            if isinstance(provider, type)
            else f"an object of type {type(provider).__name__}"
        )
        raise TypeError(
            f"provider is {got}; pass an EcsRamRoleCredentialsProvider(), or what "
            "ecs_role_creds.adapters.alibabacloud_credentials.from_client() returns"
        )
    return provider


def is_token_refused(code: object) -> bool:
    """Whether a service's error code says that it refuses the token.

    The OpenAPI gateways add a detail after a dot: ``InvalidSecurityToken.Expired``,
    ``InvalidAccessKeyId.NotFound``. ``AccessDenied`` is not one of the codes, because the service
    would deny new credentials of the same role too.
    """
    return isinstance(code, str) and code.partition(".")[0] in _REFUSED


class RequestSigner:
    """Returns snapshots to sign with, and invalidates the one that a service refused.

    For clients that request credentials and check the response in the same thread or task, but do
    not tell which credentials a request was signed with.

    Args:
        provider: The source of the credentials.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def get_credentials(self) -> Credentials:
        """Return credentials for one request."""
        credentials = self._provider.get_credentials()
        _signed.set((self, credentials))
        return credentials

    async def get_credentials_async(self) -> Credentials:
        """Return credentials for one request, without blocking the event loop."""
        credentials = await self._provider.get_credentials_async()
        _signed.set((self, credentials))
        return credentials

    def get_credentials_nowait(self) -> Credentials:
        """Return the cached credentials; other providers' ``get_credentials()`` is called."""
        ask = getattr(self._provider, "get_credentials_nowait", self._provider.get_credentials)
        credentials: Credentials = ask()
        _signed.set((self, credentials))
        return credentials

    def last(self) -> Credentials:
        """Return the credentials of the request that this thread or task is signing."""
        signer, credentials = _signed.get() or (None, None)
        if signer is self and credentials is not None:
            return credentials
        return self.get_credentials()

    def is_refusal(self, code: object) -> bool:
        """Whether this error code refuses the token; if so, invalidates the credentials.

        Args:
            code: The error code of the response to the last request of this thread or task.
        """
        if not is_token_refused(code):
            return False
        signer, credentials = _signed.get() or (None, None)
        if signer is self and credentials is not None:
            self._provider.invalidate(credentials)
        return True


_signed: ContextVar[tuple[RequestSigner, Credentials] | None] = ContextVar(
    "ecs_role_creds_signed", default=None
)
