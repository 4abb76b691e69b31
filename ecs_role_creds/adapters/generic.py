"""Credentials in plain shapes, for code that wants a tuple, a dictionary or an environment.

Each call takes one snapshot, so its parts belong together. What it returns holds the secrets
openly and does not renew itself: ask anew for each use, and keep it out of logs.
"""

from __future__ import annotations

from ecs_role_creds.adapters._provider import Provider, resolve

__all__ = ["credentials_document", "credentials_environment", "credentials_tuple"]


def credentials_tuple(
    provider: Provider | None = None,
) -> tuple[str, str, str]:
    """``(access_key_id, access_key_secret, security_token)``.

    Args:
        provider: Where from; :func:`~ecs_role_creds.default_provider` if left out.

    Raises:
        TypeError: ``provider`` is not a provider.
        CredentialsError: There are no valid credentials.
    """
    credentials = resolve(provider).get_credentials()
    return (
        credentials.access_key_id,
        credentials.access_key_secret,
        credentials.security_token,
    )


def credentials_document(provider: Provider | None = None) -> dict[str, str]:
    """A dictionary in the keys of the metadata service's role document.

    ``AccessKeyId``, ``AccessKeySecret``, ``SecurityToken``, ``Expiration`` and ``Code``: what
    clients of ``ALIBABA_CLOUD_CREDENTIALS_URI`` read as JSON.

    Args:
        provider: Where from; :func:`~ecs_role_creds.default_provider` if left out.

    Raises:
        TypeError: ``provider`` is not a provider.
        CredentialsError: There are no valid credentials.
    """
    credentials = resolve(provider).get_credentials()
    return {
        "AccessKeyId": credentials.access_key_id,
        "AccessKeySecret": credentials.access_key_secret,
        "SecurityToken": credentials.security_token,
        "Expiration": credentials.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Code": "Success",
    }


def credentials_environment(
    provider: Provider | None = None,
) -> dict[str, str]:
    """Environment variables that Alibaba Cloud's SDKs and tools, and oss2, read credentials from.

    For child processes: ``subprocess.run(..., env={**os.environ, **credentials_environment()})``.

    Args:
        provider: Where from; :func:`~ecs_role_creds.default_provider` if left out.

    Raises:
        TypeError: ``provider`` is not a provider.
        CredentialsError: There are no valid credentials.
    """
    access_key_id, access_key_secret, security_token = credentials_tuple(provider)
    return {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": access_key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": access_key_secret,
        "ALIBABA_CLOUD_SECURITY_TOKEN": security_token,
        "OSS_ACCESS_KEY_ID": access_key_id,
        "OSS_ACCESS_KEY_SECRET": access_key_secret,
        "OSS_SESSION_TOKEN": security_token,
    }
