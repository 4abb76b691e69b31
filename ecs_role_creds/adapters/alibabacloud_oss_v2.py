"""alibabacloud-oss-v2: clients that replace a refused token and try again.

The clients accept an :class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` as
``config.credentials_provider`` without an adapter. But then the asyncio client calls the blocking
method on the event loop; a client from :func:`async_client` awaits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from alibabacloud_oss_v2.aio import AsyncClient

__all__ = ["OssCredentialsProvider", "async_client", "config"]


class OssCredentialsProvider(CredentialsProvider):  # type: ignore[misc]
    """An ``alibabacloud_oss_v2.credentials.CredentialsProvider``, for code that checks types.

    >>> from alibabacloud_oss_v2.config import load_default
    >>> configured = load_default()
    >>> configured.credentials_provider = OssCredentialsProvider()

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.

    Raises:
        TypeError: ``provider`` is not a provider.
    """

    def __init__(self, provider: Provider | None = None) -> None:
        self._signer = RequestSigner(resolve(provider))
        self.retryer = _Retryer(self._signer)
        """A retryer for ``config.retryer``. It is the standard one, and replaces refused tokens."""

    def get_credentials(self) -> Any:
        """Return valid :class:`~ecs_role_creds.Credentials`; the clients read their attributes.

        Raises:
            CredentialsError: There are no valid credentials, and the service returned none in time.
        """
        return self._signer.get_credentials()


def config(provider: Provider | None = None, **options: Any) -> Config:
    """Build a configuration for a client. For an asyncio client, use :func:`async_client`.

    If OSS refuses the token of a request, the request is signed with new credentials and sent
    again, within the client's number of attempts.

    >>> import alibabacloud_oss_v2 as oss
    >>> client = oss.Client(config(region="cn-hangzhou", use_internal_endpoint=True))

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.
        options: Attributes of ``alibabacloud_oss_v2.config.Config``.

    Returns:
        An ``alibabacloud_oss_v2.config.Config``.

    Raises:
        TypeError: ``provider`` is not a provider, or ``Config`` has no such attribute.
    """
    configured, over = load_default(), OssCredentialsProvider(provider)
    for name, value in {"credentials_provider": over, "retryer": over.retryer, **options}.items():
        if not hasattr(configured, name):
            raise TypeError(f"alibabacloud_oss_v2's Config has no attribute {name!r}")
        setattr(configured, name, value)
    return configured


def async_client(provider: Provider | None = None, **options: Any) -> AsyncClient:
    """Build an asyncio client that never blocks the event loop.

    The SDK's own client gets credentials with a blocking call before it sends a request. This one
    uses ``await provider.get_credentials_async()``. It replaces refused tokens as a client with
    :func:`config` does.

    ``client.presign()`` cannot wait: it uses the cached credentials, and fails if there are none.

    >>> async def main() -> None:
    ...     async with async_client(region="cn-hangzhou", use_internal_endpoint=True) as client:
    ...         ...

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.
        options: As for :func:`config`.

    Returns:
        An ``alibabacloud_oss_v2.aio.AsyncClient``.

    Raises:
        ImportError: aiohttp is not installed.
        TypeError: As for :func:`config`.
    """
    from alibabacloud_oss_v2.aio import AsyncClient

    from ecs_role_creds.adapters import _oss_v2_asyncio as at_send

    source = RequestSigner(resolve(provider))
    own = {"credentials_provider": at_send.NoCredentials(), "retryer": _Retryer(source)}
    configured: Any = config(provider, **{**own, **options})  # its types have no asyncio client
    is_v1 = configured.signature_version == "v1"
    signer = (at_send.SignAtSendV1 if is_v1 else at_send.SignAtSendV4)(source)
    configured.http_client = at_send.SigningHttpClient(signer, configured)
    return AsyncClient(configured, signer=signer)


class _Retryer(StandardRetryer):  # type: ignore[misc]
    def __init__(self, signer: RequestSigner) -> None:
        super().__init__()
        self._signer = signer

    def is_error_retryable(self, error: Exception) -> bool:
        if isinstance(error, ServiceError) and self._signer.is_refusal(error.code):
            return True
        return bool(super().is_error_retryable(error))
