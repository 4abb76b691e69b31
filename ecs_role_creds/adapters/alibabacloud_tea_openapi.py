"""The ``alibabacloud_*`` product SDKs: a configuration whose clients replace a refused token.

The clients take an :class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` as
``Config(credential=provider)`` without it.
"""

from __future__ import annotations

import copy
from typing import Any

from ecs_role_creds.adapters._provider import Provider, RequestSigner, resolve

try:
    from alibabacloud_tea_openapi.utils_models import Config
    from darabonba.policy.retry import RetryCondition, RetryOptions
except ImportError as error:
    raise ImportError(
        "ecs_role_creds.adapters.alibabacloud_tea_openapi needs alibabacloud-tea-openapi: "
        "pip install 'ecs-role-creds[tea-openapi]'"
    ) from error

__all__ = ["config"]


def config(provider: Provider | None = None, **options: Any) -> Config:
    """A configuration for the client of any product.

    A request whose token the service refuses is signed with new credentials and sent once more.

    >>> from alibabacloud_ecs20140526.client import Client
    >>> client = Client(config(region_id="cn-hangzhou"))

    Args:
        provider: Where the credentials come from; :func:`~ecs_role_creds.default_provider` if
            left out.
        options: Arguments of ``alibabacloud_tea_openapi.utils_models.Config``. The conditions of a
            ``retry_options`` are kept, and come after the one for refused tokens.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    credential: Any = _Credential(resolve(provider))
    retry = copy.copy(options.pop("retry_options", None) or RetryOptions())
    again = RetryCondition(max_attempts=2, error_code=_RefusedCodes(credential))
    retry.retry_condition = [again, *retry.retry_condition]
    return Config(credential=credential, retry_options=retry, **options)


class _Credential(RequestSigner):
    """What the clients ask for credentials."""

    @property
    def get_credential(self) -> Any:
        return self.get_credentials

    @property
    def get_credential_async(self) -> Any:
        return self.get_credentials_async


class _RefusedCodes(list[str]):
    """The error codes of a condition: all that refuse the token that was sent.

    The client looks whether the code of an error is in here, before it tries again.
    """

    def __init__(self, credential: RequestSigner) -> None:
        super().__init__()
        self._credential = credential

    def __contains__(self, code: object) -> bool:
        return self._credential.is_refusal(code)
