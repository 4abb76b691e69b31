"""alibabacloud-oss-v2: configurations whose clients replace a refused token and try again.

The clients take an :class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` as
``config.credentials_provider`` without it. The asyncio client then calls its blocking method on the
event loop; that of
:func:`async_client` awaits.
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
    """A configuration for the client. For an asyncio client, use :func:`async_client`.

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


def async_client(provider: Provider | None = None, **options: Any) -> AsyncClient:
    """An asyncio client that never blocks the event loop.

    The SDK's own signs a request, by blocking calls, before it sends it. This one signs as it
    sends, after ``await provider.get_credentials_async()``. It replaces refused tokens as clients
    with :func:`config` do.

    ``client.presign()`` sends nothing, so it has no place to wait: it uses the cached credentials,
    and fails after the client's attempts if there are none.

    >>> async def main() -> None:
    ...     async with async_client(region="cn-hangzhou", use_internal_endpoint=True) as client:
    ...         ...

    Args:
        provider: Where the credentials come from; the default one if left out.
        options: As for :func:`config`.

    Returns:
        An ``alibabacloud_oss_v2.aio.AsyncClient``.

    Raises:
        ImportError: aiohttp is not installed.
        TypeError: ``provider`` is not a provider.
    """
    from alibabacloud_oss_v2.aio import AsyncClient

    from ecs_role_creds.adapters import _oss_v2_asyncio as at_send

    source = RequestSigner(resolve(provider))
    own = {"credentials_provider": at_send.NoCredentials(), "retryer": _Retryer(source)}
    configured: Any = config(provider, **{**own, **options})  # its types know no asyncio client
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
