"""The ``alibabacloud_*`` product SDKs: clients that replace a refused token and try again.

The clients accept an :class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` as
``Config(credential=provider)`` without an adapter.
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
    """Build a configuration for the client of any product.

    If the service refuses the token of a request, the request is signed with new credentials and
    sent once more.

    >>> from alibabacloud_ecs20140526.client import Client
    >>> client = Client(config(region_id="cn-hangzhou"))

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.
        options: Arguments of ``alibabacloud_tea_openapi.utils_models.Config``. The conditions of
            ``retry_options`` are kept, after the one for refused tokens.

    Returns:
        An ``alibabacloud_tea_openapi.utils_models.Config``.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    credential: Any = _Credential(resolve(provider))
    retry = copy.copy(options.pop("retry_options", None) or RetryOptions())
    again = RetryCondition(max_attempts=2, error_code=_RefusedCodes(credential))
    retry.retry_condition = [again, *retry.retry_condition]
    return Config(credential=credential, retry_options=retry, **options)


class _Credential(RequestSigner):
    """The credential of the clients: they call these two methods for each request."""

    @property
    def get_credential(self) -> Any:
        return self.get_credentials

    @property
    def get_credential_async(self) -> Any:
        return self.get_credentials_async


class _RefusedCodes(list[str]):
    """The error codes of a retry condition: all codes that refuse the token.

    Before it tries again, the client checks whether the code of an error is in this list.
    """

    def __init__(self, credential: RequestSigner) -> None:
        super().__init__()
        self._credential = credential

    def __contains__(self, code: object) -> bool:
        return self._credential.is_refusal(code)
