"""oss2: a provider that *is* an ``oss2.CredentialsProvider``, for code that checks types.

``oss2.ProviderAuth``, ``ProviderAuthV2`` and ``ProviderAuthV4`` take an
:class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecs_role_creds.credentials import Credentials
from ecs_role_creds.provider import EcsRamRoleCredentialsProvider, default_provider

if TYPE_CHECKING:

    class CredentialsProvider:
        """What oss2's untyped class of that name declares."""

        def get_credentials(self) -> object: ...

else:
    try:
        from oss2 import CredentialsProvider
    except ImportError as error:
        raise ImportError(
            "ecs_role_creds.adapters.oss2 needs oss2: pip install 'ecs-role-creds[oss2]'"
        ) from error

__all__ = ["OssCredentialsProvider"]


class OssCredentialsProvider(CredentialsProvider):
    """An ``oss2.CredentialsProvider`` over an instance role provider.

    Args:
        provider: Where the credentials come from; :func:`~ecs_role_creds.default_provider` if
            left out.
    """

    def __init__(self, provider: EcsRamRoleCredentialsProvider | None = None) -> None:
        self._provider = default_provider() if provider is None else provider

    def get_credentials(self) -> Credentials:
        """Valid credentials, with the getters that oss2 calls.

        Raises:
            CredentialsError: There are no valid credentials, and the service gave none in time.
        """
        return self._provider.get_credentials()
