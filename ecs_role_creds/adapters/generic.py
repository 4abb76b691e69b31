"""Credentials in plain shapes, for code that wants a tuple, a dictionary or an environment.

Each call takes one snapshot, so its parts belong together. What it returns holds the secrets
openly and is not renewed: call again for each use, and keep it out of logs.

``provider`` is a provider, a :class:`~ecs_role_creds.Credentials` snapshot, or ``None`` for
:func:`~ecs_role_creds.default_provider`. Every function raises
:class:`~ecs_role_creds.errors.CredentialsError` when the provider has no valid credentials.
"""

from __future__ import annotations

from collections.abc import Sequence

from ecs_role_creds.adapters._provider import Provider, resolve
from ecs_role_creds.credentials import Credentials

__all__ = [
    "AWS_ENVIRONMENT_VARIABLES",
    "ENVIRONMENT_VARIABLES",
    "aliyun_external_document",
    "aws_container_document",
    "aws_environment",
    "aws_process_document",
    "credentials_document",
    "credentials_environment",
    "credentials_tuple",
]


Source = Provider | Credentials | None

ENVIRONMENT_VARIABLES = (
    (
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_SECURITY_TOKEN",
    ),
    # oss2, alibabacloud-oss-v2, ossutil
    ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"),
    # the aliyun CLI, older SDKs
    (
        "ALIBABACLOUD_ACCESS_KEY_ID",
        "ALIBABACLOUD_ACCESS_KEY_SECRET",
        "ALIBABACLOUD_SECURITY_TOKEN",
    ),
    # Terraform, Packer, lego
    ("ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN"),
)
"""Variables that Alibaba Cloud's SDKs and tools read for the id, secret, security token."""

AWS_ENVIRONMENT_VARIABLES = (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),)
"""The same of AWS SDKs and S3 tools."""


def credentials_tuple(provider: Source = None) -> tuple[str, str, str]:
    """``(access_key_id, access_key_secret, security_token)``."""
    credentials = _snapshot(provider)
    return (
        credentials.access_key_id,
        credentials.access_key_secret,
        credentials.security_token,
    )


def credentials_document(provider: Source = None) -> dict[str, str]:
    """A dictionary in the keys of the metadata service's role document.

    ``AccessKeyId``, ``AccessKeySecret``, ``SecurityToken``, ``Expiration`` and ``Code``: what
    clients of ``ALIBABA_CLOUD_CREDENTIALS_URI`` read as JSON.
    """
    credentials = _snapshot(provider)
    return {
        "AccessKeyId": credentials.access_key_id,
        "AccessKeySecret": credentials.access_key_secret,
        "SecurityToken": credentials.security_token,
        "Expiration": _expiration(credentials),
        "Code": "Success",
    }


def aliyun_external_document(provider: Source = None) -> dict[str, str]:
    """What the aliyun CLI reads from the ``process_command`` of a profile in ``External`` mode."""
    credentials = _snapshot(provider)
    return {
        "mode": "StsToken",
        "access_key_id": credentials.access_key_id,
        "access_key_secret": credentials.access_key_secret,
        "sts_token": credentials.security_token,
        "expiration": _expiration(credentials),
    }


def aws_process_document(provider: Source = None) -> dict[str, str | int]:
    """What AWS SDKs and tools read from the ``credential_process`` of a profile."""
    credentials = _snapshot(provider)
    return {
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.access_key_secret,
        "SessionToken": credentials.security_token,
        "Expiration": _expiration(credentials),
    }


def aws_container_document(provider: Source = None) -> dict[str, str]:
    """What AWS SDKs and tools read from ``AWS_CONTAINER_CREDENTIALS_FULL_URI``."""
    credentials = _snapshot(provider)
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.access_key_secret,
        "Token": credentials.security_token,
        "Expiration": _expiration(credentials),
    }


def credentials_environment(provider: Source = None) -> dict[str, str]:
    """Environment variables that Alibaba Cloud's SDKs and tools, and oss2, read credentials from.

    For child processes: ``subprocess.run(..., env={**os.environ, **credentials_environment()})``.
    """
    return _environment(ENVIRONMENT_VARIABLES, provider)


def aws_environment(provider: Source = None) -> dict[str, str]:
    """Environment variables that AWS SDKs and S3 tools read credentials from.

    For tools that reach OSS through its S3-compatible interface. Keep them away from processes
    that also talk to AWS: these variables replace the credentials of every profile.
    """
    return _environment(AWS_ENVIRONMENT_VARIABLES, provider)


def _environment(names: Sequence[tuple[str, str, str]], provider: Source) -> dict[str, str]:
    values = credentials_tuple(provider)
    return {name: value for triple in names for name, value in zip(triple, values, strict=True)}


def _expiration(credentials: Credentials) -> str:
    return credentials.expiration.strftime("%Y-%m-%dT%H:%M:%SZ")


def _snapshot(provider: Source) -> Credentials:
    if isinstance(provider, Credentials):
        return provider
    return resolve(provider).get_credentials()
