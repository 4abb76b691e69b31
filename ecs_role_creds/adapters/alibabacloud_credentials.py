"""alibabacloud-credentials: a provider for code that checks types, and a provider from its client.

``alibabacloud_credentials.client.Client(provider=...)`` accepts an
:class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` without an adapter.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from math import inf
from typing import Any

from ecs_role_creds.adapters._provider import Provider, resolve
from ecs_role_creds.credentials import Credentials

try:
    from alibabacloud_credentials.provider.refreshable import Credentials as SdkCredentials
    from alibabacloud_credentials_api import ICredentialsProvider
except ImportError as error:
    raise ImportError(
        "ecs_role_creds.adapters.alibabacloud_credentials needs alibabacloud-credentials: "
        "pip install 'ecs-role-creds[credentials]'"
    ) from error

__all__ = ["ClientProvider", "CredentialsProvider", "from_client"]


class CredentialsProvider(ICredentialsProvider):  # type: ignore[misc]
    """An ``ICredentialsProvider`` that returns the SDK's own ``Credentials``.

    >>> from alibabacloud_credentials.client import Client
    >>> client = Client(provider=CredentialsProvider())
    >>> client.get_credential().provider_name
    'ecs_ram_role'

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.

    Raises:
        TypeError: ``provider`` is not a provider.
    """

    def __init__(self, provider: Provider | None = None) -> None:
        self._provider = resolve(provider)

    def get_credentials(self) -> SdkCredentials:
        """Return valid credentials. Their ``get_expiration()`` is in whole seconds since the epoch.

        >>> CredentialsProvider().get_credentials().get_access_key_id()
        'STS.FAKE...'

        Raises:
            CredentialsError: There are no valid credentials, and the service returned none in time.
        """
        return _for_sdk(self._provider.get_credentials())

    async def get_credentials_async(self) -> SdkCredentials:
        """Like :meth:`get_credentials`, without blocking the event loop.

        Raises:
            CredentialsError: As :meth:`get_credentials`.
        """
        return _for_sdk(await self._provider.get_credentials_async())

    def get_provider_name(self) -> str:
        """Return ``"ecs_ram_role"``."""
        return Credentials.provider_name


def _for_sdk(credentials: Credentials) -> SdkCredentials:
    return SdkCredentials(
        access_key_id=credentials.access_key_id,
        access_key_secret=credentials.access_key_secret,
        security_token=credentials.security_token,
        expiration=int(credentials.expiration.timestamp()),
        provider_name=credentials.get_provider_name(),
    )


class ClientProvider:
    """The provider that :func:`from_client` returns."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get_credentials(self) -> Credentials:
        """Return one snapshot of the client's credentials.

        For an AccessKey pair, ``security_token`` is empty. ``expiration`` is in the year 9999,
        because the client does not tell it; the client refreshes the credentials itself.

        Raises:
            Exception: Any error of the client.
        """
        model = self._client.get_credential()
        return Credentials(
            model.access_key_id,
            model.access_key_secret,
            model.security_token or "",
            datetime.max.replace(tzinfo=timezone.utc),
            expires_at=inf,
        )

    async def get_credentials_async(self) -> Credentials:
        """Like :meth:`get_credentials`, on another thread: the client blocks the event loop."""
        return await asyncio.to_thread(self.get_credentials)

    def invalidate(self, credentials: Credentials) -> None:
        """Do nothing: the client decides when it refreshes."""

    # The names that other SDKs use.

    get_credential = get_credentials
    get_credential_async = get_credentials_async

    def get_provider_name(self) -> str:
        """Return the name of the provider that the client uses."""
        return str(self._client.get_credential().provider_name)


def from_client(client: Any) -> ClientProvider:
    """Make a provider from an ``alibabacloud_credentials`` client, for use off an instance.

    >>> from alibabacloud_credentials.client import Client
    >>> from alibabacloud_credentials.models import Config
    >>> client = Client(Config(type="access_key", access_key_id="LTAI", access_key_secret="fake"))
    >>> from_client(client).get_credentials().access_key_id
    'LTAI'

    Args:
        client: An ``alibabacloud_credentials.client.Client``. Without arguments, it reads the
            environment, then the profiles, and so on.

    Returns:
        A provider for all the adapters, and for every client that accepts a provider.

    Raises:
        TypeError: ``client`` has no ``get_credential()``.
    """
    if isinstance(client, type) or not callable(getattr(client, "get_credential", None)):
        raise TypeError(
            f"client is of type {type(client).__name__}; pass an "
            "alibabacloud_credentials.client.Client()"
        )
    return ClientProvider(client)
