"""What a provider tells about itself: figures for metrics and debugging."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ecs_role_creds.cache import CredentialsCache


class ProviderStatus(NamedTuple):
    """A provider's figures, for metrics and debugging. Holds no secret.

        >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
        >>> provider = EcsRamRoleCredentialsProvider()
        >>> provider.status().fetches                     # sends no request
        0
        >>> credentials = provider.get_credentials()
        >>> status = provider.status()
        >>> status.role_name, status.fetches, status.failures, status.mode
        ('app-role', 1, 0, 'hardening')

    Attributes:
        role_name: The role the cached credentials belong to; ``None`` before the first.
        expiration: When they expire, by the service's clock.
        expires_in: Seconds until then; 0 without valid credentials.
        next_request_in: Seconds until the service may be asked again; 0: at the next call.
        is_refreshing: Whether a fetch is in progress.
        is_polling: Whether a thread keeps them fresh.
        fetches: Documents fetched so far by this process.
        rotations: How many of them held new credentials.
        failures: Fetches that failed in a row, up to now.
        last_failure: What the last of these says.
        mode: ``"hardening"`` or ``"normal"``, as last found.
        is_refused: Whether a service refused the cached credentials (the application called
            ``invalidate()``), and the metadata service has neither confirmed nor replaced them
            since.
        failed: Fetches that failed so far in this process, in all.
    """

    role_name: str | None
    expiration: datetime | None
    expires_in: float
    next_request_in: float
    is_refreshing: bool
    is_polling: bool
    fetches: int
    rotations: int
    failures: int
    last_failure: str | None
    mode: str | None
    is_refused: bool = False
    failed: int = 0


def status_of(cache: CredentialsCache, now: float, *, is_polling: bool) -> ProviderStatus:
    """The figures of a cache at a time."""
    record = cache.latest()
    state = record.state
    credentials = state.credentials
    return ProviderStatus(
        role_name=credentials.role_name if credentials else None,
        expiration=credentials.expiration if credentials else None,
        expires_in=max(0.0, state.expires_at - now),
        next_request_in=max(0.0, state.ask_at - now),
        is_refreshing=record.flight is not None,
        is_polling=is_polling,
        fetches=state.fetches,
        rotations=state.rotations,
        failures=state.failures,
        last_failure=str(state.failure) if state.failure else None,
        mode=cache.mode,
        is_refused=state.is_refused,
        failed=state.failed,
    )
