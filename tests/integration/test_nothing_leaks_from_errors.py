"""No error shows a secret: not its message, its causes, or the local variables on its way."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from ecs_role_creds import EcsRamRoleCredentialsProvider
from ecs_role_creds.errors import CredentialsError, CredentialsExpiredError
from ecs_role_creds.provider import Runtime
from ecs_role_creds.testing import FakeMetadataServer, VirtualClock


def shown_by(error: BaseException) -> str:
    # As crash reporters do: the whole chain, with the local variables.
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda server: server.fail(401, on="document"),
        lambda server: server.fail(500, on="document"),
        lambda server: server.reset(on="document"),
        lambda server: server.hang(on="document"),
        lambda server: server.drip(0.02, on="document"),
        lambda server: server.skew_date(86400, on="document"),
        lambda server: server.detach(),
        lambda server: server.swap("other"),
    ],
    ids=["401", "500", "reset", "hang", "drip", "expired", "detached", "swapped"],
)
def test_tracebacks_hold_no_secret(
    ecs_metadata: FakeMetadataServer, spoil: Callable[[FakeMetadataServer], None]
) -> None:
    provider = EcsRamRoleCredentialsProvider("app-role", deadline=1.0)
    # On a busy machine the deadline may pass before the first response is there.
    credentials = provider.wait(60)
    spoil(ecs_metadata)
    with pytest.raises(CredentialsError) as caught:
        provider.refresh()
    shown = shown_by(caught.value)
    for one in ecs_metadata.issued:
        assert one.access_key_id not in shown
        assert one.access_key_secret not in shown
        assert one.security_token not in shown
    assert "fake-session-token" not in shown
    assert provider.get_credentials() is credentials
    assert "fake-s" not in str(provider.status())


def test_a_service_that_does_not_rotate() -> None:
    clock = VirtualClock()
    with FakeMetadataServer(life=600, clock=clock) as server:
        server.rotation_paused = True
        provider = EcsRamRoleCredentialsProvider(
            endpoint=server.endpoint, deadline=60, runtime=Runtime(clock=clock)
        )
        credentials = provider.get_credentials()
        clock.advance(598)  # what is left is less than a second, by a Date in whole seconds
        assert provider.refresh().access_key_id == credentials.access_key_id
        clock.advance(2)
        with pytest.raises(CredentialsExpiredError, match="detach the role") as caught:
            provider.refresh()
        shown = shown_by(caught.value)
        assert credentials.access_key_secret not in shown
        server.rotation_paused = False
        assert server.is_valid(provider.refresh())
