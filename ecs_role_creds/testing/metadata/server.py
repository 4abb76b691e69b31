"""The fake metadata service on a real socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from ecs_role_creds.testing.exchange import Request, Response
from ecs_role_creds.testing.loopback import LoopbackServer
from ecs_role_creds.testing.metadata.service import (
    DEFAULT_INSTANCE_ID,
    DEFAULT_OWNER_ACCOUNT_ID,
    DEFAULT_REGION_ID,
    FakeMetadataService,
    Mode,
)


class FakeMetadataServer(LoopbackServer, FakeMetadataService):
    """A fake metadata service on loopback, for clients in any language.

    It is a context manager: it listens inside the block, and the block's end closes its sockets and
    ends its threads. Several may run at once. All methods may be called from any thread. A forked
    child closes its copies of the sockets.

    Methods that inject a fault have the arguments ``times``, the number of requests, and ``on``,
    the kind of requests: ``"token"``, ``"role"``, ``"document"`` or ``"other"``. Faults combine: a
    delay and a failure make a delayed failure.

    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> with FakeMetadataServer("app-role") as metadata:
    ...     provider = EcsRamRoleCredentialsProvider(endpoint=metadata.endpoint)
    ...     metadata.is_valid(provider.get_credentials())
    True

    Args:
        role: The instance's RAM role; ``None``: no role is attached.
        life: How many seconds credentials are valid; rounded up, so that they expire at a whole
            second.
        mode: ``"both"``, ``"hardening-only"`` or ``"normal-only"``.
        port: The port; 0: any free port.
        host: The address to listen on.
        rotation_share: For lives of up to an hour: the share of a life after which the credentials
            are rotated. Others are rotated 30 minutes before they expire.
        no_hardening_status: The status for a session token request in ``"normal-only"``: 403, 404
            or 405.
        region_id: The region id that the service returns.
        instance_id: The instance id that the service returns.
        owner_account_id: The account id that the service returns.
        clock: The service's clock: a function that returns seconds since the epoch, or a
            :class:`~ecs_role_creds.testing.VirtualClock`.
        seed: The seed of the fake tokens. Equal seeds issue equal tokens.

    Raises:
        ValueError: An argument is invalid; the message says what is allowed.
    """

    def __init__(
        self,
        role: str | None = "app-role",
        *,
        life: float = 21600.0,
        mode: Mode = "both",
        port: int = 0,
        host: str = "127.0.0.1",
        rotation_share: float = 0.5,
        no_hardening_status: Literal[403, 404, 405] = 404,
        region_id: str = DEFAULT_REGION_ID,
        instance_id: str = DEFAULT_INSTANCE_ID,
        owner_account_id: str = DEFAULT_OWNER_ACCOUNT_ID,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
    ) -> None:
        LoopbackServer.__init__(self, host, port)
        FakeMetadataService.__init__(
            self,
            role,
            life=life,
            mode=mode,
            rotation_share=rotation_share,
            no_hardening_status=no_hardening_status,
            region_id=region_id,
            instance_id=instance_id,
            owner_account_id=owner_account_id,
            clock=clock,
            seed=seed,
        )

    def handle(self, request: Request) -> Response:
        """Respond to a request."""
        return FakeMetadataService.handle(self, request)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that point clients at this service.

        >>> sorted(ecs_metadata.environment)
        ['ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT']

        Raises:
            RuntimeError: The server is not running.
        """
        return {"ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": self.endpoint}

    def recover(self) -> None:
        """End all faults. Responses that hang or drip are sent at once.

        >>> ecs_metadata.hang()
        >>> ecs_metadata.recover()
        """
        FakeMetadataService.recover(self)
        self.release()
