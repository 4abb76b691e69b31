"""oss2: a provider that *is* an ``oss2.CredentialsProvider``, and a session that replaces tokens.

``oss2.ProviderAuth``, ``ProviderAuthV2`` and ``ProviderAuthV4`` take an
:class:`~ecs_role_creds.EcsRamRoleCredentialsProvider` without it.
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
        """What oss2's untyped class of that name declares."""

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
    """An ``oss2.CredentialsProvider`` over an instance role provider.

    >>> import oss2
    >>> auth = oss2.ProviderAuthV4(OssCredentialsProvider())

    Args:
        provider: Where the credentials come from; :func:`~ecs_role_creds.default_provider` if
            left out.

    Raises:
        TypeError: ``provider`` is not a provider.
    """

    def __init__(self, provider: Provider | None = None) -> None:
        self._provider = resolve(provider)

    def get_credentials(self) -> Credentials:
        """Valid credentials, with the getters that oss2 calls.

        Raises:
            CredentialsError: There are no valid credentials, and the service gave none in time.
        """
        return self._provider.get_credentials()


class Session(_Session):
    """An ``oss2.Session`` that invalidates the credentials whose token OSS refuses.

    The refused request fails as before; the next one is signed with new credentials.

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
        provider: The one that the requests are signed with; the default one if left out.
        pool_size: As of ``oss2.Session``.
        adapter: As of ``oss2.Session``.

    Raises:
        TypeError: ``provider`` is not a provider.
    """

    def __init__(
        self, provider: Provider | None = None, pool_size: int | None = None, adapter: Any = None
    ) -> None:
        super().__init__(pool_size, adapter)
        self._provider = resolve(provider)

    def do_request(self, req: Any, timeout: Any) -> Any:
        """Send a request, and look at the error code of a 403."""
        answer = super().do_request(req, timeout)
        token = req.headers.get("x-oss-security-token")
        if answer.status == 403 and token is not None and is_token_refused(_code(answer.response)):
            with contextlib.suppress(CredentialsError):
                current = self._provider.get_credentials()
                if current.security_token == token:
                    self._provider.invalidate(current)
        return answer


def _code(response: Any) -> str | None:
    """The error code in a body, which stays readable, or in the header of an answer without."""
    error = response.content or base64.b64decode(response.headers.get("x-oss-err", ""))
    match = _CODE.search(error)
    return match[1].decode() if match else None
