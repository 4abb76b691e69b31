"""Credentials of an ECS instance's RAM role, for applications on Alibaba Cloud.

    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> provider = EcsRamRoleCredentialsProvider()  # sends no request yet

Pass the provider to a client SDK (``oss2.ProviderAuthV4(provider)``), or call
``provider.get_credentials()``.
"""

import logging

from ecs_role_creds import errors
from ecs_role_creds._version import __version__
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import CredentialsError
from ecs_role_creds.health import Health
from ecs_role_creds.provider import (
    EcsRamRoleCredentialsProvider,
    ProviderStatus,
    default_provider,
    get_credentials,
)

logging.getLogger("ecs_role_creds").addHandler(logging.NullHandler())

__all__ = [
    "Credentials",
    "CredentialsError",
    "EcsRamRoleCredentialsProvider",
    "Health",
    "ProviderStatus",
    "__version__",
    "default_provider",
    "errors",
    "get_credentials",
]
