"""aiobotocore and s3fs, with OSS's S3-compatible endpoint."""

from __future__ import annotations

from ecs_role_creds.adapters._provider import Provider, RequestSigner, resolve

try:
    # Installed in another environment; pyright mistakes this file for the package.
    from aiobotocore import credentials as aws  # pyright: ignore
    from aiobotocore.session import AioSession  # pyright: ignore
    from botocore.credentials import ReadOnlyCredentials
except ImportError as error:
    raise ImportError(
        "ecs_role_creds.adapters.aiobotocore needs aiobotocore: pip install 'ecs-role-creds[s3fs]'"
    ) from error

from ecs_role_creds.adapters.botocore import METHOD, OSS, retry_after_refusal

__all__ = ["session"]


def session(provider: Provider | None = None) -> AioSession:
    """Build a session for ``s3fs.S3FileSystem(session=...)``, with the settings OSS needs.

    If OSS refuses the token of a request, the request is signed with new credentials and sent once
    more.

    >>> import s3fs
    >>> filesystem = s3fs.S3FileSystem(
    ...     session=session(),
    ...     endpoint_url="https://s3.oss-cn-hangzhou-internal.aliyuncs.com",
    ...     client_kwargs={"region_name": "cn-hangzhou"},
    ... )

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.

    Returns:
        An ``aiobotocore.session.AioSession``.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    signer = RequestSigner(resolve(provider))
    resolver = aws.AioCredentialResolver([_CredentialProvider(_Credentials(signer))])
    made = AioSession()
    made.register_component("credential_provider", resolver)
    made.set_default_client_config(OSS)
    made.register("needs-retry", retry_after_refusal(signer))
    return made


class _Credentials(aws.AioCredentials):  # type: ignore[misc]
    """aiobotocore awaits ``get_frozen_credentials()`` for each request."""

    method = METHOD
    account_id = None

    def __init__(self, signer: RequestSigner) -> None:
        self._signer = signer

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        now = await self._signer.get_credentials_async()
        return ReadOnlyCredentials(
            now.access_key_id, now.access_key_secret, now.security_token or None
        )


class _CredentialProvider:
    METHOD = METHOD
    CANONICAL_NAME = None

    def __init__(self, loaded: aws.AioCredentials) -> None:
        self._loaded = loaded

    async def load(self) -> aws.AioCredentials:
        return self._loaded
