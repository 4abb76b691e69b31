"""polars, on OSS's S3-compatible endpoint."""

from __future__ import annotations

import time

from ecs_role_creds.adapters._provider import Provider, resolve

try:
    import polars  # noqa: F401
except ImportError as error:
    raise ImportError(
        "ecs_role_creds.adapters.polars needs polars: pip install 'ecs-role-creds[polars]'"
    ) from error

__all__ = ["PolarsCredentialProvider", "credential_provider"]


class PolarsCredentialProvider:
    """What :func:`credential_provider` returns; pickles with its provider, without a secret."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def __call__(self) -> tuple[dict[str, str], int]:
        """The options to sign with, and when polars has to ask again: always now."""
        credentials = self._provider.get_credentials()
        options = {
            "aws_access_key_id": credentials.access_key_id,
            "aws_secret_access_key": credentials.access_key_secret,
        }
        if credentials.security_token:
            options["aws_session_token"] = credentials.security_token
        return options, int(time.time())


def credential_provider(provider: Provider | None = None) -> PolarsCredentialProvider:
    """A function for ``scan_parquet(credential_provider=...)`` and its like.

    polars asks it for each request, so that it never keeps what the provider has replaced.

    >>> import polars
    >>> frame = polars.scan_parquet(
    ...     "s3://example-bucket/table.parquet",
    ...     storage_options={
    ...         "endpoint_url": "https://example-bucket.s3.oss-cn-hangzhou-internal.aliyuncs.com",
    ...         "region": "cn-hangzhou",
    ...         "virtual_hosted_style_request": "true",
    ...     },
    ...     credential_provider=credential_provider(),
    ... )

    Args:
        provider: Where the credentials come from; :func:`~ecs_role_creds.default_provider` if
            left out.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    return PolarsCredentialProvider(resolve(provider))
