"""How an asyncio client of alibabacloud-oss-v2 signs in a coroutine.

The client asks its provider for credentials, and its signer for a signature, without ``await``, and
then awaits its HTTP client. So the signature is made by the HTTP client.
"""

from __future__ import annotations

from typing import Any

from alibabacloud_oss_v2.aio.transport import AioHttpClient
from alibabacloud_oss_v2.config import Config
from alibabacloud_oss_v2.credentials import CredentialsProvider
from alibabacloud_oss_v2.exceptions import CredentialsFetchError
from alibabacloud_oss_v2.signer import SignerV1, SignerV4
from alibabacloud_oss_v2.types import AsyncHttpClient, Signer

from ecs_role_creds.adapters._provider import RequestSigner
from ecs_role_creds.errors import CredentialsError

_TRANSPORT_OPTIONS = (
    "connect_timeout",
    "enabled_redirect",
    "insecure_skip_verify",
    "proxy_host",
    "readwrite_timeout",
)


class NoCredentials(CredentialsProvider):  # type: ignore[misc]
    """Lets the client continue without credentials."""

    def get_credentials(self) -> Any:
        """Stands in for credentials, too."""
        return self

    def has_keys(self) -> bool:
        """What the client asks of credentials."""
        return True


class SignAtSend(Signer):  # type: ignore[misc]
    """A signer that leaves the context of a signature with its request, for a coroutine to sign.

    Args:
        source: Where credentials come from.
    """

    def __init__(self, source: RequestSigner) -> None:
        super().__init__()
        self._source = source

    def sign(self, signing_ctx: Any) -> None:
        """Called by the client, which does not await it."""
        if not signing_ctx.auth_method_query:
            signing_ctx.request.signing_ctx = signing_ctx
            return
        try:  # a URL: nothing is sent
            signing_ctx.credentials = self._source.get_credentials_nowait()
        except CredentialsError as error:
            raise CredentialsFetchError(error=error) from error
        super().sign(signing_ctx)

    async def sign_now(self, request: Any) -> None:
        """Sign a request that :meth:`sign` has seen."""
        signing_ctx = vars(request).pop("signing_ctx", None)
        if signing_ctx is None:  # a URL
            return
        try:
            signing_ctx.credentials = await self._source.get_credentials_async()
        except CredentialsError as error:
            raise CredentialsFetchError(error=error) from error
        super().sign(signing_ctx)


class SignAtSendV1(SignAtSend, SignerV1):  # type: ignore[misc]
    """For ``signature_version="v1"``."""


class SignAtSendV4(SignAtSend, SignerV4):  # type: ignore[misc]
    """For the default signatures."""


class SigningHttpClient(AsyncHttpClient):  # type: ignore[misc]
    """Signs a request, then sends it.

    Args:
        signer: What the client signs with.
        config: The client's, with the options of the transport.
    """

    def __init__(self, signer: SignAtSend, config: Config) -> None:
        self._signer = signer
        options = {name: getattr(config, name) for name in _TRANSPORT_OPTIONS}
        self._transport: Any = config.http_client or AioHttpClient(
            **{name: value for name, value in options.items() if value}
        )

    async def send(self, request: Any, **kwargs: Any) -> Any:
        """Wait for credentials, sign, send."""
        await self._signer.sign_now(request)
        return await self._transport.send(request, **kwargs)

    async def open(self) -> None:
        """Open the transport."""
        await self._transport.open()

    async def close(self) -> None:
        """Close the transport."""
        await self._transport.close()
