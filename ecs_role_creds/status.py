"""What a provider tells about itself: figures for metrics and debugging."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ecs_role_creds.cache import CredentialsCache


class ProviderStatus(NamedTuple):
    """A provider's figures, for metrics and debugging. Contains no secret.

    >>> from ecs_role_creds import EcsRamRoleCredentialsProvider
    >>> provider = EcsRamRoleCredentialsProvider()
    >>> credentials = provider.get_credentials()
    >>> status = provider.status()
    >>> status.role_name, status.fetches, status.failures, status.mode
    ('app-role', 1, 0, 'hardening')

    Attributes:
        role_name: The role of the cached credentials; ``None`` before the first fetch.
        expiration: When they expire, by the service's clock: an aware datetime in UTC; ``None``
            before the first fetch.
        expires_in: Seconds until then; 0 if there are no valid credentials.
        next_request_in: Seconds until the next request to the service is due; 0: at the next call.
        is_refreshing: Whether a fetch is in progress.
        is_polling: Whether ``polling()`` is active for this
            provider.
        fetches: How many fetches succeeded in this process.
        rotations: How many of them returned new credentials.
        failures: How many fetches have failed in a row; 0 after a successful one.
        last_failure: The message of the last of these failures; ``None`` if there is none.
        mode: The mode that was last used: ``"hardening"`` or ``"normal"``; ``None`` before the
            first request.
        is_refused: Whether a service refused the cached credentials (see
            ``invalidate()``), and the metadata service has neither
            confirmed nor replaced them since.
        failed: How many fetches failed in this process in total.
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
    """Return the figures of a cache, at a time on its clock."""
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
