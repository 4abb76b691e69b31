"""obstore, with OSS's S3-compatible endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ecs_role_creds.adapters._provider import Provider, resolve

if TYPE_CHECKING:
    from obstore.store import S3Credential

    from ecs_role_creds.credentials import Credentials

try:
    import obstore  # noqa: F401
except ImportError as error:
    raise ImportError(
        "ecs_role_creds.adapters.obstore needs obstore: pip install 'ecs-role-creds[obstore]'"
    ) from error

__all__ = ["async_credential_provider", "credential_provider"]


def credential_provider(provider: Provider | None = None) -> Callable[[], S3Credential]:
    """Build a function for ``S3Store(credential_provider=...)``.

    ``expires_at`` is always the current time, so the store calls the function for each request and
    never keeps credentials that the provider has replaced.

    >>> from obstore.store import S3Store
    >>> store = S3Store(
    ...     "example-bucket",
    ...     endpoint="https://example-bucket.s3.oss-cn-hangzhou-internal.aliyuncs.com",
    ...     region="cn-hangzhou",
    ...     virtual_hosted_style_request=True,
    ...     credential_provider=credential_provider(),
    ... )

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.

    Returns:
        A function without arguments that returns an ``obstore.store.S3Credential``.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    resolved = resolve(provider)
    return lambda: _for_store(resolved.get_credentials())


def async_credential_provider(
    provider: Provider | None = None,
) -> Callable[[], Awaitable[S3Credential]]:
    """Like :func:`credential_provider`, for a store that is used in coroutines only.

    The function awaits the provider, so it never blocks the event loop.

    >>> from obstore.store import S3Store
    >>> store = S3Store(
    ...     "example-bucket",
    ...     endpoint="https://example-bucket.s3.oss-cn-hangzhou-internal.aliyuncs.com",
    ...     region="cn-hangzhou",
    ...     virtual_hosted_style_request=True,
    ...     credential_provider=async_credential_provider(),
    ... )

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.

    Returns:
        A coroutine function without arguments that returns an ``obstore.store.S3Credential``.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    resolved = resolve(provider)

    async def provide() -> S3Credential:
        return _for_store(await resolved.get_credentials_async())

    return provide


def _for_store(credentials: Credentials) -> S3Credential:
    return {
        "access_key_id": credentials.access_key_id,
        "secret_access_key": credentials.access_key_secret,
        "token": credentials.security_token or None,
        "expires_at": datetime.now(timezone.utc),
    }
