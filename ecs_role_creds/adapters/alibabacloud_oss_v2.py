"""alibabacloud-oss-v2: a configuration whose clients replace a refused token and try again.

The clients take an :class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` as
``config.credentials_provider`` without it.
"""

from __future__ import annotations

from typing import Any

from ecs_role_creds.adapters._provider import Provider, RequestSigner, resolve

try:
    from alibabacloud_oss_v2.config import Config, load_default
    from alibabacloud_oss_v2.credentials import CredentialsProvider
    from alibabacloud_oss_v2.exceptions import ServiceError
    from alibabacloud_oss_v2.retry import StandardRetryer
except ImportError as error:
    raise ImportError(
        "ecs_role_creds.adapters.alibabacloud_oss_v2 needs alibabacloud-oss-v2: "
        "pip install 'ecs-role-creds[oss-v2]'"
    ) from error

__all__ = ["OssCredentialsProvider", "config"]


class OssCredentialsProvider(CredentialsProvider):  # type: ignore[misc]
    """An ``alibabacloud_oss_v2.credentials.CredentialsProvider``, for code that checks types.

    Args:
        provider: Where the credentials come from; :func:`~ecs_role_creds.default_provider` if
            left out.

    Raises:
        TypeError: ``provider`` is not a provider.
    """

    def __init__(self, provider: Provider | None = None) -> None:
        self._signer = RequestSigner(resolve(provider))
        self.retryer = _Retryer(self._signer)
        """A retryer for ``config.retryer``: the standard one, and refused tokens are replaced."""

    def get_credentials(self) -> Any:
        """Valid :class:`~ecs_role_creds.Credentials`, with the attributes that the clients read.

        Raises:
            CredentialsError: There are no valid credentials, and the service gave none in time.
        """
        return self._signer.get_credentials()


def config(provider: Provider | None = None, **options: Any) -> Config:
    """A configuration, for the client and for the asyncio client.

    A request whose token OSS refuses is signed with new credentials and sent again, within the
    attempts that the client makes anyway.

    >>> import alibabacloud_oss_v2 as oss
    >>> client = oss.Client(config(region="cn-hangzhou", use_internal_endpoint=True))

    Args:
        provider: Where the credentials come from; the default one if left out.
        options: Attributes of ``alibabacloud_oss_v2.config.Config``.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    configured, over = load_default(), OssCredentialsProvider(provider)
    for name, value in {"credentials_provider": over, "retryer": over.retryer, **options}.items():
        if not hasattr(configured, name):
            raise TypeError(f"alibabacloud_oss_v2's Config has no attribute {name!r}")
        setattr(configured, name, value)
    return configured


class _Retryer(StandardRetryer):  # type: ignore[misc]
    def __init__(self, signer: RequestSigner) -> None:
        super().__init__()
        self._signer = signer

    def is_error_retryable(self, error: Exception) -> bool:
        if isinstance(error, ServiceError) and self._signer.is_refusal(error.code):
            return True
        return bool(super().is_error_retryable(error))
