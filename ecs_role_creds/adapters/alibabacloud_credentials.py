"""alibabacloud-credentials: its provider's type for code that checks types, and the way back.

``alibabacloud_credentials.client.Client(provider=...)`` takes an
:class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` without it.
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
    """An ``ICredentialsProvider`` that hands out the SDK's own ``Credentials``.

    >>> from alibabacloud_credentials.client import Client
    >>> client = Client(provider=CredentialsProvider())
    >>> client.get_credential().provider_name
    'ecs_ram_role'

    Args:
        provider: Where the credentials come from; :func:`~ecs_role_creds.default_provider` if
            left out.

    Raises:
        TypeError: ``provider`` is not a provider.
    """

    def __init__(self, provider: Provider | None = None) -> None:
        self._provider = resolve(provider)

    def get_credentials(self) -> SdkCredentials:
        """Valid credentials; ``get_expiration()`` is in whole seconds since the epoch.

        Raises:
            CredentialsError: There are no valid credentials, and the service gave none in time.
        """
        return _for_sdk(self._provider.get_credentials())

    async def get_credentials_async(self) -> SdkCredentials:
        """The same, without blocking the event loop."""
        return _for_sdk(await self._provider.get_credentials_async())

    def get_provider_name(self) -> str:
        """``"ecs_ram_role"``."""
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
    """What :func:`from_client` returns."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get_credentials(self) -> Credentials:
        """One snapshot of the client's credentials.

        ``security_token`` is empty for an AccessKey pair. ``expiration`` is the year 9999: the
        client does not tell it, and takes care of it itself.
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
        """The same on another thread: the client's own coroutine blocks the event loop."""
        return await asyncio.to_thread(self.get_credentials)

    def invalidate(self, credentials: Credentials) -> None:
        """Do nothing: the client decides itself when it refreshes."""

    # The names other SDKs call.

    get_credential = get_credentials
    get_credential_async = get_credentials_async

    def get_provider_name(self) -> str:
        """What the client says it has credentials from."""
        return str(self._client.get_credential().provider_name)


def from_client(client: Any) -> ClientProvider:
    """Make a provider of an ``alibabacloud_credentials`` client, for a machine that is no instance.

    >>> from alibabacloud_credentials.client import Client
    >>> from alibabacloud_credentials.models import Config
    >>> client = Client(Config(type="access_key", access_key_id="LTAI", access_key_secret="fake"))
    >>> from_client(client).get_credentials().access_key_id
    'LTAI'

    Args:
        client: An ``alibabacloud_credentials.client.Client``: its default chain reads the
            environment, then the profiles, and so on.

    Raises:
        TypeError: ``client`` is something else.
    """
    if isinstance(client, type) or not callable(getattr(client, "get_credential", None)):
        raise TypeError(
            f"client is of type {type(client).__name__}; pass an "
            "alibabacloud_credentials.client.Client()"
        )
    return ClientProvider(client)
