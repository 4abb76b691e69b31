"""oss2: a provider for code that checks types, and a session that replaces a refused token.

``oss2.ProviderAuth``, ``ProviderAuthV2`` and ``ProviderAuthV4`` accept an
:class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` without an adapter.
"""

from __future__ import annotations

import base64
import contextlib
import re
from typing import TYPE_CHECKING, Any

from ecs_role_creds.adapters._provider import Provider, is_token_refused, resolve
from ecs_role_creds.credentials import Credentials
from ecs_role_creds.errors import CredentialsError

if TYPE_CHECKING:

    class CredentialsProvider:
        """The interface of oss2's class, which has no types."""

        def get_credentials(self) -> object: ...

    class _Session:
        def __init__(self, pool_size: int | None = None, adapter: Any = None) -> None: ...

        def do_request(self, req: Any, timeout: Any) -> Any: ...

else:
    try:
        from oss2 import CredentialsProvider
        from oss2 import Session as _Session
    except ImportError as error:
        raise ImportError(
            "ecs_role_creds.adapters.oss2 needs oss2: pip install 'ecs-role-creds[oss2]'"
        ) from error

__all__ = ["OssCredentialsProvider", "Session"]

_CODE = re.compile(rb"<Code>(\w+)</Code>")


class OssCredentialsProvider(CredentialsProvider):
    """An ``oss2.CredentialsProvider`` that returns the provider's credentials.

    >>> import oss2
    >>> auth = oss2.ProviderAuthV4(OssCredentialsProvider())

    Args:
        provider: The source of the credentials; by default
            :func:`~ecs_role_creds.default_provider`.

    Raises:
        TypeError: ``provider`` is not a provider.
    """

    def __init__(self, provider: Provider | None = None) -> None:
        self._provider = resolve(provider)

    def get_credentials(self) -> Credentials:
        """Return valid credentials, with the getters that oss2 calls.

        >>> OssCredentialsProvider().get_credentials().get_access_key_id()
        'STS.FAKE...'

        Raises:
            CredentialsError: There are no valid credentials, and the service returned none in time.
        """
        return self._provider.get_credentials()


class Session(_Session):
    """An ``oss2.Session`` that invalidates the credentials if OSS refuses their token.

    The refused request still fails. The next one is signed with new credentials.

    >>> import oss2
    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> provider = EcsRamRoleCredentialsProvider()
    >>> bucket = oss2.Bucket(
    ...     oss2.ProviderAuthV4(provider),
    ...     "https://oss-cn-hangzhou-internal.aliyuncs.com",
    ...     "example-bucket",
    ...     region="cn-hangzhou",
    ...     session=Session(provider),
    ... )

    Args:
        provider: The provider that signs the requests; by default
            :func:`~ecs_role_creds.default_provider`.
        pool_size: The number of connections, as for ``oss2.Session``.
        adapter: The HTTP adapter, as for ``oss2.Session``.

    Raises:
        TypeError: ``provider`` is not a provider.
    """

    def __init__(
        self, provider: Provider | None = None, pool_size: int | None = None, adapter: Any = None
    ) -> None:
        super().__init__(pool_size, adapter)
        self._provider = resolve(provider)

    def do_request(self, req: Any, timeout: Any) -> Any:
        """Send a request, and check the error code if the status is 403."""
        answer = super().do_request(req, timeout)
        token = req.headers.get("x-oss-security-token")
        if answer.status == 403 and token is not None and is_token_refused(_code(answer.response)):
            with contextlib.suppress(CredentialsError):
                current = self._provider.get_credentials()
                if current.security_token == token:
                    self._provider.invalidate(current)
        return answer


def _code(response: Any) -> str | None:
    """Return the error code from the body, which stays readable, or from the header."""
    error = response.content or base64.b64decode(response.headers.get("x-oss-err", ""))
    match = _CODE.search(error)
    return match[1].decode() if match else None
