"""ossfs: fsspec file systems on OSS that use a provider, for pandas, Dask and others."""

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
    """ossfs 2025.5 reads one byte too many, which parquet readers refuse."""

    def get_object(self, path: str, start: int, end: int) -> bytes:
        content: bytes = super().get_object(path, start, end)  # type: ignore[misc]
        return content[: end - start]


class OSSFileSystem(_ExactRanges, ossfs.OSSFileSystem):  # type: ignore[misc]
    """An ``ossfs.OSSFileSystem`` that signs each request with the provider's credentials.

    A pickle contains its arguments and no secret. If OSS refuses a token, that request fails, and
    the next one is signed with new credentials.

    >>> fs = OSSFileSystem(
    ...     endpoint="https://oss-cn-hangzhou-internal.aliyuncs.com", region="cn-hangzhou"
    ... )

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.
        region: The region for signature version 4; by default, version 1 is used.
        options: The arguments of ``ossfs.OSSFileSystem``: ``endpoint`` and others.

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
    """Like :class:`OSSFileSystem`, but an ``ossfs.AioOSSFileSystem``. It does not notice refusals.

    It gets credentials with a blocking call on its event loop: use ``provider.polling()``.
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
    """Build an :class:`OSSFileSystem` or an :class:`AioOSSFileSystem`.

    >>> fs = filesystem(
    ...     endpoint="https://oss-cn-hangzhou-internal.aliyuncs.com", region="cn-hangzhou"
    ... )

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.
        use_aio: Whether to build an :class:`AioOSSFileSystem`.
        region: The region for signature version 4; by default, version 1 is used.
        options: The arguments of the class in ossfs: ``endpoint`` and others.

    Raises:
        TypeError: ``provider`` is not a provider.
    """
    kind = AioOSSFileSystem if use_aio else OSSFileSystem
    return kind(provider=resolve(provider), region=region, **options)


def _auth(provider: Provider, region: str | None) -> Any:
    return oss2.ProviderAuth(provider) if region is None else _AuthV4(provider, region)


class _AuthV4(oss2.ProviderAuthV4):  # type: ignore[misc]
    """Sets the region of a request, which ossfs does not."""

    def __init__(self, provider: Provider, region: str) -> None:
        super().__init__(provider)
        self._region = region

    def _sign_request(self, req: Any, *arguments: Any, **options: Any) -> None:
        req.region, req.product, req.cloudbox_id = self._region, "oss", None
        super()._sign_request(req, *arguments, **options)
