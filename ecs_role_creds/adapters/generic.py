"""Credentials as a tuple, a dictionary or environment variables, for any other client.

Each call uses one snapshot, so all parts belong together. The result contains the secrets in plain
text and is not refreshed: call again for each use, and keep it out of logs.

``provider`` is a provider, a :class:`~ecs_role_creds.Credentials` snapshot, or ``None`` for
:func:`~ecs_role_creds.default_provider`. Every function raises
:class:`~ecs_role_creds.errors.CredentialsError` if the provider has no valid credentials, and
``TypeError`` if ``provider`` is something else.
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
"""The environment variables from which Alibaba Cloud's SDKs and tools read the AccessKey id, the
AccessKey secret and the security token."""

AWS_ENVIRONMENT_VARIABLES = (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),)
"""The environment variables from which AWS SDKs and S3 tools read credentials."""


def credentials_tuple(provider: Source = None) -> tuple[str, str, str]:
    """Return ``(access_key_id, access_key_secret, security_token)``.

    >>> access_key_id, access_key_secret, security_token = credentials_tuple()
    >>> access_key_id
    'STS.FAKE...'
    """
    credentials = _snapshot(provider)
    return (
        credentials.access_key_id,
        credentials.access_key_secret,
        credentials.security_token,
    )


def credentials_document(provider: Source = None) -> dict[str, str]:
    """Return a dictionary with the keys of the metadata service's role document.

    Clients of ``ALIBABA_CLOUD_CREDENTIALS_URI`` read it as JSON.

    >>> sorted(credentials_document())
    ['AccessKeyId', 'AccessKeySecret', 'Code', 'Expiration', 'SecurityToken']
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
    """Return the JSON document for the ``process_command`` of an aliyun CLI profile.

    The profile has the mode ``External``.

    >>> aliyun_external_document()["mode"]
    'StsToken'
    """
    credentials = _snapshot(provider)
    return {
        "mode": "StsToken",
        "access_key_id": credentials.access_key_id,
        "access_key_secret": credentials.access_key_secret,
        "sts_token": credentials.security_token,
        "expiration": _expiration(credentials),
    }


def aws_process_document(provider: Source = None) -> dict[str, str | int]:
    """Return the JSON document for the ``credential_process`` of an AWS profile.

    >>> sorted(aws_process_document())
    ['AccessKeyId', 'Expiration', 'SecretAccessKey', 'SessionToken', 'Version']
    """
    credentials = _snapshot(provider)
    return {
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.access_key_secret,
        "SessionToken": credentials.security_token,
        "Expiration": _expiration(credentials),
    }


def aws_container_document(provider: Source = None) -> dict[str, str]:
    """Return the JSON document for ``AWS_CONTAINER_CREDENTIALS_FULL_URI``.

    >>> sorted(aws_container_document())
    ['AccessKeyId', 'Expiration', 'SecretAccessKey', 'Token']
    """
    credentials = _snapshot(provider)
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.access_key_secret,
        "Token": credentials.security_token,
        "Expiration": _expiration(credentials),
    }


def credentials_environment(provider: Source = None) -> dict[str, str]:
    """Return the environment variables from which Alibaba Cloud's SDKs and tools read credentials.

    >>> import os, subprocess
    >>> environment = {**os.environ, **credentials_environment()}
    >>> done = subprocess.run(["true"], env=environment, check=True)

    The keys are those of :data:`ENVIRONMENT_VARIABLES`.
    """
    return _environment(ENVIRONMENT_VARIABLES, provider)


def aws_environment(provider: Source = None) -> dict[str, str]:
    """Return the environment variables from which AWS SDKs and S3 tools read credentials.

    For tools that access OSS through its S3-compatible interface. Do not set them in a process that
    also uses AWS: they take precedence over the credentials of every profile.

    >>> sorted(aws_environment())
    ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']
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
