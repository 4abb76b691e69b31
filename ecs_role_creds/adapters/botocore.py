"""botocore and boto3, with OSS's S3-compatible endpoint."""

from __future__ import annotations

from typing import Any

from ecs_role_creds.adapters._provider import Provider, RequestSigner, resolve

try:
    from botocore import credentials as aws
    from botocore.config import Config
    from botocore.session import Session
except ImportError as error:
    raise ImportError(
        "ecs_role_creds.adapters.botocore needs botocore: pip install 'ecs-role-creds[boto3]'"
    ) from error

__all__ = ["credentials", "session"]

METHOD = "ecs-ram-role"

# OSS accepts the bucket only in the host name, and no checksums after the body.
OSS = Config(
    s3={"addressing_style": "virtual"},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


def credentials(provider: Provider | None = None) -> aws.Credentials:
    """Build credentials for code that accepts a ``botocore.credentials.Credentials``.

    Each request uses the provider's current snapshot.

    >>> credentials().get_frozen_credentials().access_key[:4]
    'STS.'

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.

    Returns:
        A ``botocore.credentials.Credentials``.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    return _Credentials(RequestSigner(resolve(provider)))


def session(provider: Provider | None = None) -> Session:
    """Build a session for ``boto3.Session(botocore_session=...)`` with the settings OSS needs.

    If OSS refuses the token of a request, the request is signed with new credentials and sent once
    more.

    >>> import boto3
    >>> s3 = boto3.Session(botocore_session=session(), region_name="cn-hangzhou").client(
    ...     "s3", endpoint_url="https://s3.oss-cn-hangzhou-internal.aliyuncs.com"
    ... )

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.

    Returns:
        A ``botocore.session.Session``.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    signer = RequestSigner(resolve(provider))
    resolver = aws.CredentialResolver([_CredentialProvider(_Credentials(signer))])
    made = Session()
    made.register_component("credential_provider", resolver)
    made.set_default_client_config(OSS)
    made.register("needs-retry", retry_after_refusal(signer))
    return made


def retry_after_refusal(signer: RequestSigner) -> Any:
    """Return a handler for ``needs-retry`` that retries once if the token was refused."""

    def handle(response: Any, attempts: int, **_: Any) -> float | None:
        code = response[1].get("Error", {}).get("Code") if response is not None else None
        return 0.0 if signer.is_refusal(code) and attempts == 1 else None

    return handle


class _Credentials(aws.Credentials):  # type: ignore[misc]
    """botocore calls ``get_frozen_credentials()`` for a request; other code may read the parts."""

    method = METHOD
    account_id = None

    def __init__(self, signer: RequestSigner) -> None:
        self._signer = signer

    def get_frozen_credentials(self) -> aws.ReadOnlyCredentials:
        now = self._signer.get_credentials()
        return aws.ReadOnlyCredentials(
            now.access_key_id, now.access_key_secret, now.security_token or None
        )

    access_key = property(lambda self: self.get_frozen_credentials().access_key)
    secret_key = property(lambda self: self.get_frozen_credentials().secret_key)
    token = property(lambda self: self.get_frozen_credentials().token)


class _CredentialProvider(aws.CredentialProvider):  # type: ignore[misc]
    METHOD = METHOD

    def __init__(self, loaded: aws.Credentials) -> None:
        super().__init__()
        self._loaded = loaded

    def load(self) -> Any:
        return self._loaded
