"""Signs the requests of alibabacloud-oss-v2's asyncio client in a coroutine.

The client calls its credentials provider and its signer without ``await``, and then awaits its HTTP
client. Therefore the HTTP client makes the signature here.
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
        """Return this object, in place of credentials."""
        return self

    def has_keys(self) -> bool:
        """Return ``True``; the client checks it."""
        return True


class SignAtSend(Signer):  # type: ignore[misc]
    """A signer that stores the signing context in the request, for a coroutine to sign later.

    Args:
        source: The source of the credentials.
    """

    def __init__(self, source: RequestSigner) -> None:
        super().__init__()
        self._source = source

    def sign(self, signing_ctx: Any) -> None:
        """Sign a URL now, and a request later. The client calls it without ``await``."""
        if not signing_ctx.auth_method_query:
            signing_ctx.request.signing_ctx = signing_ctx
            return
        try:  # a presigned URL: nothing is sent
            signing_ctx.credentials = self._source.get_credentials_nowait()
        except CredentialsError as error:
            raise CredentialsFetchError(error=error) from error
        super().sign(signing_ctx)

    async def sign_now(self, request: Any) -> None:
        """Sign a request that was passed to :meth:`sign`."""
        signing_ctx = vars(request).pop("signing_ctx", None)
        if signing_ctx is None:  # a presigned URL
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
        signer: The signer of the client.
        config: The client's configuration, with the options of the transport.
    """

    def __init__(self, signer: SignAtSend, config: Config) -> None:
        self._signer = signer
        options = {name: getattr(config, name) for name in _TRANSPORT_OPTIONS}
        self._transport: Any = config.http_client or AioHttpClient(
            **{name: value for name, value in options.items() if value}
        )

    async def send(self, request: Any, **kwargs: Any) -> Any:
        """Wait for credentials, sign the request, and send it."""
        await self._signer.sign_now(request)
        return await self._transport.send(request, **kwargs)

    async def open(self) -> None:
        """Open the transport."""
        await self._transport.open()

    async def close(self) -> None:
        """Close the transport."""
        await self._transport.close()
