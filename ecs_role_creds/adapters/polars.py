"""polars, with OSS's S3-compatible endpoint."""

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
    """The object that :func:`credential_provider` returns. Its pickle contains no secret."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def __call__(self) -> tuple[dict[str, str], int]:
        """Return the credentials for polars, and when it must call again: always now."""
        credentials = self._provider.get_credentials()
        options = {
            "aws_access_key_id": credentials.access_key_id,
            "aws_secret_access_key": credentials.access_key_secret,
        }
        if credentials.security_token:
            options["aws_session_token"] = credentials.security_token
        return options, int(time.time())


def credential_provider(provider: Provider | None = None) -> PolarsCredentialProvider:
    """Build a function for ``scan_parquet(credential_provider=...)`` and similar functions.

    polars calls it for each request, so it never keeps credentials that the provider has replaced.

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
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    return PolarsCredentialProvider(resolve(provider))
