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
    """A metadata service on loopback, for tests in any client or language.

    A context manager: ready inside the block, and gone without a trace after it. Any number may
    run at once; safe to use from any thread. A forked child has no part in it.

    Args:
        role: The instance's RAM role; ``None``: none attached.
        life: Seconds that credentials live; rounded up so that they end at a whole second.
        mode: ``"both"``, ``"hardening-only"`` or ``"normal-only"``.
        port: Where to listen; 0: wherever there is room.
        host: The address to listen at.
        rotation_share: For lives up to an hour: the share of a life after which it is rotated.
        no_hardening_status: What a PUT for a session token is answered in ``"normal-only"``.
        region_id: Told at its path, as are the next two.
        instance_id: See there.
        owner_account_id: See there.
        clock: The service's time in seconds since the epoch; a
            :class:`~ecs_role_creds.testing.VirtualClock` for one that the test moves.
        seed: Makes tokens the same in every run.

    Raises:
        ValueError: An argument cannot be; the message says what can.
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
        """Answer one request."""
        return FakeMetadataService.handle(self, request)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that point clients here.

        Raises:
            RuntimeError: It does not listen.
        """
        return {"ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": self.endpoint}

    def recover(self) -> None:
        """End every fault; requests that hang or drip are answered at once."""
        FakeMetadataService.recover(self)
        self.release()
