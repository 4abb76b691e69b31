"""ossfs: fsspec file systems on OSS that follow a provider, for pandas, Dask and others."""

from __future__ import annotations

from typing import Any

from ecs_role_creds.adapters._provider import Provider, resolve

try:
    import oss2
    import ossfs
except ImportError as error:
    raise ImportError(
        "ecs_role_creds.adapters.ossfs needs ossfs: pip install 'ecs-role-creds[ossfs]'"
    ) from error

from ecs_role_creds.adapters.oss2 import Session

__all__ = ["AioOSSFileSystem", "OSSFileSystem", "filesystem"]


class _ExactRanges:
    """ossfs 2025.5 reads one byte more than it was asked for, which parquet readers refuse."""

    def get_object(self, path: str, start: int, end: int) -> bytes:
        content: bytes = super().get_object(path, start, end)  # type: ignore[misc]
        return content[: end - start]


class OSSFileSystem(_ExactRanges, ossfs.OSSFileSystem):  # type: ignore[misc]
    """An ``ossfs.OSSFileSystem`` that signs each request with the provider's credentials.

    It pickles as its arguments, without a secret. A token that OSS refuses is replaced; the
    refused request fails, and the next one is signed with new credentials.

    Args:
        provider: Where the credentials come from; :func:`~ecs_role_creds.default_provider` if
            left out.
        region: Signs with version 4 for this region; with version 1 if left out.
        options: As of ``ossfs.OSSFileSystem``: ``endpoint`` and others.

    Raises:
        TypeError: ``provider`` is not a provider.
    """

    def __init__(
        self, provider: Provider | None = None, region: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        resolved = resolve(provider)
        self._auth = _auth(resolved, region)
        self._session = Session(resolved)


class AioOSSFileSystem(_ExactRanges, ossfs.AioOSSFileSystem):  # type: ignore[misc]
    """The same on ``ossfs.AioOSSFileSystem``; it does not see refusals.

    It asks for credentials on its event loop: use ``provider.polling()``.
    """

    def __init__(
        self, provider: Provider | None = None, region: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._auth = _auth(resolve(provider), region)


def filesystem(
    provider: Provider | None = None,
    *,
    use_aio: bool = False,
    region: str | None = None,
    **options: Any,
) -> OSSFileSystem | AioOSSFileSystem:
    """Build a file system.

    >>> fs = filesystem(
    ...     endpoint="https://oss-cn-hangzhou-internal.aliyuncs.com", region="cn-hangzhou"
    ... )

    Args:
        provider: Where the credentials come from; the default one if left out.
        use_aio: Whether to build the one on aiooss2.
        region: Signs with version 4 for this region; with version 1 if left out.
        options: As of the classes of ossfs: ``endpoint`` and others.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    kind = AioOSSFileSystem if use_aio else OSSFileSystem
    return kind(provider=resolve(provider), region=region, **options)


def _auth(provider: Provider, region: str | None) -> Any:
    return oss2.ProviderAuth(provider) if region is None else _AuthV4(provider, region)


class _AuthV4(oss2.ProviderAuthV4):  # type: ignore[misc]
    """Says which region a request is for, which ossfs does not."""

    def __init__(self, provider: Provider, region: str) -> None:
        super().__init__(provider)
        self._region = region

    def _sign_request(self, req: Any, *arguments: Any, **options: Any) -> None:
        req.region, req.product, req.cloudbox_id = self._region, "oss", None
        super()._sign_request(req, *arguments, **options)
